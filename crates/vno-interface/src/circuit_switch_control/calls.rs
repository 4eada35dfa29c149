//! Calls that run now: as a list, as a stream, and ended by order.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use tandem_domain::charging::Session;
use tandem_domain::command::Administer;
use tandem_domain::identifier::SessionId;
use tandem_domain::service::Service;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::{CallEvent, CallStage, Platform};
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::parse;
use tandem_http_access::{Errors, carry_out, unavailable};

#[derive(Debug, Serialize, ToSchema)]
pub struct CallBody {
    pub id: String,
    pub line: String,
    /// originating, terminating or forwarded.
    pub direction: String,
    pub destination: Option<String>,
    pub placed_at: String,
    pub answered: bool,
    /// It has been asked to end.
    pub ending: bool,
    /// Seconds reported so far.
    pub seconds: u64,
}

fn body_of(session: &Session) -> CallBody {
    CallBody {
        id: identifiers::session(session.id),
        line: identifiers::line(session.line),
        direction: session.context.direction.name().into(),
        destination: session.context.destination.map(|digits| digits.to_string()),
        placed_at: session.opened_at.to_string(),
        answered: session.note.is_some() || session.groups.iter().any(|group| group.used > 0),
        ending: session.ending,
        seconds: session.groups.iter().map(|group| group.used).sum(),
    }
}

const CALLS_SHOWN: usize = 1000;

/// List the calls that run now, oldest first, at most 1000
#[utoipa::path(get, path = "/v1/vnos/{vno}/calls", operation_id = "list_calls", params(("vno" = String, Path)), responses((status = 200, body = Vec<CallBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Json<Vec<CallBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let read = platform.read(move |state, _| {
        let is_call = |one: &Session| one.id.vno() == vno && one.context.service == Service::Voice;
        let mut calls: Vec<Session> = state
            .sessions
            .values()
            .filter(|one| is_call(one))
            .take(CALLS_SHOWN)
            .map(|one| one.as_ref().clone())
            .collect();
        calls.sort_by_key(|one| one.id);
        calls
    });
    let calls = read.await.map_err(unavailable)?;
    Ok(Json(calls.iter().map(body_of).collect()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCallBody {
    /// Its registered phone is called first, and it pays.
    pub line: String,
    /// Who is called once the phone is picked up.
    pub called: String,
}

/// Have a call placed between a line's phone and a number (third-party call control)
///
/// 202: the phone rings. What becomes of it is seen in the list and on the stream; rules, prices and money are those of a
/// call that the line makes itself. A repeat rings again.
#[utoipa::path(post, path = "/v1/vnos/{vno}/calls", operation_id = "place_call", params(("vno" = String, Path)), request_body = NewCallBody, responses((status = 202), Errors))]
pub async fn place(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    body: JsonBody<NewCallBody>,
) -> Result<StatusCode, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &body.value.line)?;
    let called = parse("called", &body.value.called)?;
    let known = platform.read(move |state, _| state.line(line).cloned()).await;
    let known = known.map_err(unavailable)?.ok_or_else(|| Problem::not_found("line"))?;
    let user = known.calls.as_deref().and_then(|calls| calls.user.clone());
    let no_phone = || {
        let detail = "no phone of the line is registered, or it takes no more calls";
        Problem::new(StatusCode::CONFLICT, "wrong-state", detail)
    };
    let user = user.ok_or_else(no_phone)?;
    let identities = known.identities.into_iter().collect();
    let taken = platform.originate(line, identities, user, called).await.map_err(unavailable)?;
    if taken { Ok(StatusCode::ACCEPTED) } else { Err(no_phone()) }
}

/// End a call on both legs
#[utoipa::path(delete, path = "/v1/vnos/{vno}/calls/{call}", operation_id = "end_call", params(("vno" = String, Path), ("call" = String, Path)), responses((status = 202), Errors))]
pub async fn end(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, call)): Path<(String, String)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let id: SessionId = identifiers::parse_session(caller.vno_id(&vno)?, &call)?;
    carry_out(&platform, caller.role(), key, b"", Administer::EndSession(id)).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CallEventBody {
    pub id: String,
    pub line: String,
    pub destination: Option<String>,
    /// placed, charged or ended.
    pub stage: String,
    pub at: String,
    pub seconds: u64,
}

/// Follow the calls of a VNO as they are placed, charged and ended (server-sent events)
///
/// A listener that is too slow loses events and gets one named `lost` with how many.
#[utoipa::path(get, path = "/v1/vnos/{vno}/calls/events", operation_id = "follow_calls", params(("vno" = String, Path)), responses((status = 200, body = CallEventBody, content_type = "text/event-stream"), Errors))]
pub async fn stream(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let events = platform.call_events();
    let stream = futures_util::stream::unfold(events, move |mut events| async move {
        loop {
            return match events.recv().await {
                Ok(event) if event.session.vno() != vno => continue,
                Ok(event) => Some((Ok(shown(&event)), events)),
                Err(RecvError::Lagged(count)) => {
                    Some((Ok(Event::default().event("lost").data(count.to_string())), events))
                }
                Err(RecvError::Closed) => None,
            };
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn shown(event: &CallEvent) -> Event {
    let stage = match event.stage {
        CallStage::Placed => "placed",
        CallStage::Refused => "refused",
        CallStage::Charged => "charged",
        CallStage::Ended => "ended",
    };
    let body = CallEventBody {
        id: identifiers::session(event.session),
        line: identifiers::line(event.line),
        destination: event.destination.map(|digits| digits.to_string()),
        stage: stage.into(),
        at: event.at.to_string(),
        seconds: event.seconds,
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    Event::default().event(stage).data(text)
}
