//! Reports on a session that was settled for its silence: what was used meanwhile is charged all the same, and what
//! goes on is a session of its own. (RFC 8506 section 8.4 knows such a session no more; the use is real.)

use minicbor::{Decode, Encode};

use super::request::{Declined, SessionAnswer, SessionRequest, SessionVerb};
use super::session::{Context, EndCause, Session};
use super::sessions::{begun, charging, refused_as_a_whole};
use super::work::Work;
use crate::answered::{Reply, RequestKey};
use crate::decide::Decision;
use crate::event::{Event, Remembered};
use crate::identifier::{CarrierId, LineId};
use crate::state::State;
use crate::time::Timestamp;

/// What is kept of a session that was settled for its silence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LostSession {
    #[n(0)]
    line: LineId,
    /// Whose network carried it.
    #[n(1)]
    carrier: CarrierId,
    #[n(2)]
    context: Context,
    /// The highest request number that was answered.
    #[n(3)]
    last: u32,
    /// As in the session.
    #[n(4)]
    overtaken: u64,
    /// When it was last granted anything.
    #[n(5)]
    heard_at: Option<Timestamp>,
}

impl LostSession {
    pub(super) fn of(session: &Session) -> LostSession {
        LostSession {
            line: session.line,
            carrier: session.carrier,
            context: session.context.clone(),
            last: session.highest_number().unwrap_or(0),
            overtaken: session.overtaken,
            heard_at: Some(session.heard_at),
        }
    }
}

/// `owner`: the carrier whose switch asks.
pub(super) fn late(
    state: &State,
    owner: CarrierId,
    lost: &LostSession,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let is_overtaken = lost.last > request.number
        && lost.overtaken & Session::overtaken_by(lost.last - request.number) != 0;
    let is_new = request.number > lost.last || is_overtaken;
    if request.verb == SessionVerb::Open || !is_new {
        return Decision::refused(Declined::UnknownSession);
    }
    let charging = match charging(state, lost.line, lost.carrier, &lost.context, now) {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, now);
    work.granted_at = lost.heard_at.unwrap_or(now);
    // A report that later ones overtook asks for nothing any more.
    let verb = if is_overtaken { SessionVerb::Close(EndCause::Normal) } else { request.verb };
    let ends = matches!(verb, SessionVerb::Close(_));
    // Whether or not the line may use anything now: it has.
    let mut answer = work.serve(&[], &SessionRequest { verb, ..request.clone() }, None);
    let has_used = work.has_used();
    let gate = work.gate_events();
    if let Some(declined) = refused_as_a_whole(&answer).filter(|_| !has_used) {
        let mut decision = Decision::refused(declined);
        decision.events.extend(gate);
        return decision;
    }
    if ends && !has_used {
        return Decision::new(Ok(answer));
    }
    answer.failure_handling = Some(charging.vno.failure_handling);
    let mut session = begun(&mut work, request, &answer);
    let mut decision = Decision::new(Ok(answer.clone()));
    let key = RequestKey::of_carrier(owner, &request.key);
    let reply = if is_overtaken {
        let overtaken = lost.overtaken & !Session::overtaken_by(lost.last - request.number);
        Reply::SessionLost(Box::new(LostSession { overtaken, ..lost.clone() }))
    } else {
        session.goes_on_after(lost.last, lost.overtaken);
        // While the session runs it speaks for itself; what is repeated after it is not begun again.
        Reply::SessionClosed(request.number, Box::new(answer))
    };
    decision.remember = Some(Remembered { key, reply });
    let (session, movements) = (Box::new(session), work.movements());
    decision.events.push(if ends {
        Event::OneTimeCharged(session, movements)
    } else {
        Event::SessionOpened(session, movements)
    });
    decision.events.extend(gate);
    decision
}
