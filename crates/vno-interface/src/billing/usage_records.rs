//! Usage records: what was used, and what every party owes for it.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use tandem_books::UsageFilter;
use tandem_domain::access::Role;
use tandem_domain::usage_record::UsageRecord;
use tandem_http_api::{Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::{IntoParams, ToSchema};

use super::sessions::{SessionGroupBody, groups_of};
use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{MoneyBody, time};
use tandem_http_access::{Errors, ask_books};

#[derive(Debug, Serialize, ToSchema)]
pub struct UsageRecordBody {
    /// The session's id.
    pub id: String,
    /// Not shown to carriers.
    pub subscriber: Option<String>,
    pub line: Option<String>,
    pub service: String,
    pub destination: Option<String>,
    /// What was dialled, where that was something else.
    pub dialled: Option<String>,
    pub opened_at: String,
    pub closed_at: String,
    pub end: String,
    /// Of a call that was refused before it rang: why.
    pub refused_because: Option<String>,
    /// Retail, tax included. Not shown to carriers.
    pub retail: Option<MoneyBody>,
    /// What the VNO owes the broker. Not shown to carriers.
    pub wholesale: Option<MoneyBody>,
    /// What the broker owes the carrier. Not shown to VNOs.
    pub cost: Option<MoneyBody>,
    /// Of a one-time event: units that refunds which named it gave back.
    pub refunded_units: u64,
    /// Of a call: each way that was tried and what came of it. Shown to the broker only.
    pub trail: Option<String>,
    /// Empty for carriers.
    pub groups: Vec<SessionGroupBody>,
}

fn body_of(record: &UsageRecord, role: Role) -> UsageRecordBody {
    let session = &record.session;
    let (sees_retail, sees_cost) = match role {
        Role::Broker => (true, true),
        Role::Vno(_) => (true, false),
        Role::Carrier(_) | Role::ContentProvider(_) => (false, true),
    };
    let currency =
        session.groups.iter().find_map(|group| group.payers.first()).map(|payer| payer.currency);
    let retail = currency.map(|currency| MoneyBody::from_amount(record.retail_gross(), currency));
    UsageRecordBody {
        id: identifiers::session(session.id),
        subscriber: sees_retail.then(|| identifiers::subscriber(session.line.subscriber())),
        line: sees_retail.then(|| identifiers::line(session.line)),
        service: session.context.service.name().into(),
        destination: session.context.destination.map(|digits| digits.to_string()),
        dialled: session.context.dialled.map(|digits| digits.to_string()),
        opened_at: session.opened_at.to_string(),
        closed_at: record.closed_at.to_string(),
        end: record.cause.name().into(),
        refused_because: record.declined.map(|declined| declined.name().into()),
        retail: retail.filter(|_| sees_retail),
        wholesale: record.wholesale().map(MoneyBody::of).filter(|_| sees_retail),
        cost: record.cost().map(MoneyBody::of).filter(|_| sees_cost),
        refunded_units: record.refunded,
        trail: record.trail.as_deref().filter(|_| role == Role::Broker).map(Into::into),
        groups: if sees_retail { groups_of(session) } else { Vec::new() },
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    pub subscriber: Option<String>,
    /// RFC 3339: ended at or after.
    pub from: Option<String>,
    /// RFC 3339: ended before.
    pub to: Option<String>,
}

async fn list(
    platform: &Platform,
    role: Role,
    mut filter: UsageFilter,
    query: &UsageQuery,
    page: PageQuery,
) -> Result<Json<Page<UsageRecordBody>>, Problem> {
    filter.from = query.from.as_deref().map(time).transpose()?;
    filter.to = query.to.as_deref().map(time).transpose()?;
    let (limit, before) = (page.limit()?, page.position()?);
    let rows =
        ask_books(platform, move |books| books.usage_records(&filter, before, limit)).await?;
    let last = rows.last().map(|row| row.cursor);
    Ok(Json(Page::of(rows.iter().map(|row| body_of(&row.record, role)).collect(), limit, last)))
}

/// Usage records of a VNO, newest first
#[utoipa::path(get, path = "/v1/vnos/{vno}/usage-records", params(("vno" = String, Path), UsageQuery, PageQuery), responses((status = 200, body = Page<UsageRecordBody>), Errors))]
pub async fn of_vno(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    Query(query): Query<UsageQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<UsageRecordBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let subscriber = query
        .subscriber
        .as_deref()
        .map(|text| identifiers::parse_subscriber(vno, text))
        .transpose()?;
    let filter = UsageFilter { vno: Some(vno), subscriber, ..UsageFilter::default() };
    list(&platform, caller.role(), filter, &query, page).await
}

/// Usage records that a carrier is owed for, newest first
#[utoipa::path(get, path = "/v1/carriers/{carrier}/usage-records", params(("carrier" = String, Path), UsageQuery, PageQuery), responses((status = 200, body = Page<UsageRecordBody>), Errors))]
pub async fn of_carrier(
    State(platform): State<Platform>,
    caller: Caller,
    Path(carrier): Path<String>,
    Query(query): Query<UsageQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<UsageRecordBody>>, Problem> {
    let carrier = caller.carrier(&carrier)?.id;
    let filter = UsageFilter { carrier: Some(carrier), ..UsageFilter::default() };
    list(&platform, caller.role(), filter, &query, page).await
}
