//! Sessions that are open now.

use std::ops::Bound;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Serialize;
use tandem_domain::charging::Session;
use tandem_domain::command::Administer;
use tandem_domain::identifier::SessionId;
use tandem_http_api::{IdempotencyKey, Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::MoneyBody;
use tandem_http_access::{Errors, carry_out, unavailable};

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    pub id: String,
    pub line: String,
    pub service: String,
    pub destination: Option<String>,
    pub opened_at: String,
    pub heard_at: String,
    /// It has been asked to end.
    pub ending: bool,
    pub groups: Vec<SessionGroupBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionGroupBody {
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    pub unit: String,
    pub used: u64,
    pub granted: u64,
    /// What each account paid in money so far, tax included.
    pub charged: Vec<MoneyBody>,
    /// What it did not pay because the day or month had cost all it may, as listed.
    pub beyond_cap: Option<MoneyBody>,
}

pub fn groups_of(session: &Session) -> Vec<SessionGroupBody> {
    let groups = session.groups.iter().map(|group| SessionGroupBody {
        rating_group: group.key.rating_group,
        service_identifier: group.key.service_identifier,
        unit: group.unit.name().into(),
        used: group.used,
        granted: group.granted,
        charged: group
            .payers
            .iter()
            .map(|payer| MoneyBody::from_amount(payer.meter.gross(), payer.currency))
            .collect(),
        beyond_cap: group.beyond_cap().map(MoneyBody::of),
    });
    groups.collect()
}

fn body_of(session: &Session) -> SessionBody {
    SessionBody {
        id: identifiers::session(session.id),
        line: identifiers::line(session.line),
        service: session.context.service.name().into(),
        destination: session.context.destination.map(|digits| digits.to_string()),
        opened_at: session.opened_at.to_string(),
        heard_at: session.heard_at.to_string(),
        ending: session.ending,
        groups: groups_of(session),
    }
}

/// List the sessions that are open now, oldest first
#[utoipa::path(get, path = "/v1/vnos/{vno}/sessions", params(("vno" = String, Path), PageQuery), responses((status = 200, body = Page<SessionBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<SessionBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let (limit, after) = (page.limit()?, page.position()?.unwrap_or(0));
    let after = SessionId::new(vno, u64::try_from(after).unwrap_or(0));
    let read = platform.read(move |state, _| {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let own = state.sessions_in_order.range(later).take_while(|id| id.vno() == vno);
        own.take(limit)
            .filter_map(|id| state.sessions.get(id).map(|session| session.as_ref().clone()))
            .collect::<Vec<_>>()
    });
    let sessions = read.await.map_err(unavailable)?;
    let last = sessions.last().and_then(|session| i64::try_from(session.id.number()).ok());
    Ok(Json(Page::of(sessions.iter().map(body_of).collect(), limit, last)))
}

/// Have a session ended by its switch
#[utoipa::path(delete, path = "/v1/vnos/{vno}/sessions/{session}", params(("vno" = String, Path), ("session" = String, Path)), responses((status = 202), Errors))]
pub async fn end(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, session)): Path<(String, String)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let id = identifiers::parse_session(caller.vno_id(&vno)?, &session)?;
    carry_out(&platform, caller.role(), key, b"", Administer::EndSession(id)).await?;
    Ok(StatusCode::ACCEPTED)
}
