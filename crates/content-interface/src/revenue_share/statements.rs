//! Statements of a month: the provider's remittance, the VNO's content statement. Both are cut from the same rows.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tandem_books::{StatementFilter, StatementRow};
use tandem_domain::access::Role;
use tandem_domain::catalogue::Registry;
use tandem_domain::money::Amount;
use tandem_domain::period::parse_month;
use tandem_http_access::representation::MoneyBody;
use tandem_http_access::{Caller, Errors, ask_books};
use tandem_http_api::Problem;
use tandem_platform::Platform;
use utoipa::ToSchema;

use crate::catalogue::provider;

/// Sums of one kind of entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementLine {
    /// sale, refund, guarantee or sponsored.
    pub kind: String,
    pub provider: Option<String>,
    pub vno: Option<String>,
    pub count: u64,
    /// What subscribers paid, without tax.
    pub net: MoneyBody,
    /// Tax that the VNO owes.
    pub tax: MoneyBody,
    /// Tax that merchants applied and get passed on.
    pub merchant_tax: MoneyBody,
    /// The provider's.
    pub share: MoneyBody,
    /// What the VNO paid the broker: the provider's share and the broker's part. Not on remittances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wholesale: Option<MoneyBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StatementBody {
    /// YYYY-MM
    pub month: String,
    pub lines: Vec<StatementLine>,
    /// What the provider is to be paid for the month, by currency; on a VNO's statement, what its providers are.
    pub totals: Vec<MoneyBody>,
}

fn line(row: &StatementRow, registry: &Registry, for_provider: bool) -> StatementLine {
    let money = MoneyBody::from_amount;
    StatementLine {
        kind: row.kind.name().into(),
        provider: registry.content_provider(row.provider).map(|one| one.slug.to_string()),
        vno: registry.vno(row.vno).map(|one| one.slug.to_string()),
        count: row.count,
        net: money(row.net, row.currency),
        tax: money(row.tax, row.currency),
        merchant_tax: money(row.merchant_tax, row.currency),
        share: money(row.share, row.share_currency),
        wholesale: (!for_provider).then(|| money(row.wholesale, row.wholesale_currency)),
    }
}

fn body(
    month: String,
    rows: &[StatementRow],
    registry: &Registry,
    for_provider: bool,
) -> StatementBody {
    let mut totals: Vec<(tandem_domain::money::Currency, Amount)> = Vec::new();
    for row in rows {
        match totals.iter_mut().find(|(currency, _)| *currency == row.share_currency) {
            Some((_, sum)) => *sum = sum.saturating_add(row.share),
            None => totals.push((row.share_currency, row.share)),
        }
    }
    StatementBody {
        month,
        lines: rows.iter().map(|row| line(row, registry, for_provider)).collect(),
        totals: totals.into_iter().map(|(of, sum)| MoneyBody::from_amount(sum, of)).collect(),
    }
}

/// A provider's remittance statement
///
/// Each line names a VNO, in whose time zone the month is.
#[utoipa::path(get, path = "/v1/content-providers/{provider}/remittances/{month}", params(("provider" = String, Path), ("month" = String, Path)), responses((status = 200, body = StatementBody), Errors))]
pub async fn remittance(
    State(platform): State<Platform>,
    caller: Caller,
    Path((owner, month)): Path<(String, String)>,
) -> Result<Json<StatementBody>, Problem> {
    let owner = provider(&caller, &owner)?.id;
    let number = parse_month(&month).ok_or_else(bad_month)?;
    let filter = StatementFilter {
        provider: Some(owner),
        month: Some(number),
        ..StatementFilter::default()
    };
    let rows = ask_books(&platform, move |books| books.content_statement(&filter)).await?;
    Ok(Json(body(month, &rows, &caller.registry, caller.role() != Role::Broker)))
}

/// A VNO's content statement: what was sold, and what it paid for it
///
/// Each line names a provider; the month is that of the VNO's time zone.
#[utoipa::path(get, path = "/v1/vnos/{vno}/content-statements/{month}", params(("vno" = String, Path), ("month" = String, Path)), responses((status = 200, body = StatementBody), Errors))]
pub async fn of_vno(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, month)): Path<(String, String)>,
) -> Result<Json<StatementBody>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let number = parse_month(&month).ok_or_else(bad_month)?;
    let filter =
        StatementFilter { vno: Some(vno), month: Some(number), ..StatementFilter::default() };
    let rows = ask_books(&platform, move |books| books.content_statement(&filter)).await?;
    Ok(Json(body(month, &rows, &caller.registry, false)))
}

fn bad_month() -> Problem {
    Problem::invalid("month: expected YYYY-MM")
}
