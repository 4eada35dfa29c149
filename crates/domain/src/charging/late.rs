//! Reports on a session that was settled for its silence: what was used meanwhile is charged all the same, as a session
//! of its own that goes on from there. (RFC 8506 section 8.4 knows such a session no more; the use is real.)

use smallvec::SmallVec;

use super::request::{Declined, SessionAnswer, SessionRequest, SessionVerb};
use super::sessions::{begun, charging, identify, refused_as_a_whole};
use super::work::Work;
use crate::answered::{Reply, RequestKey};
use crate::decide::Decision;
use crate::event::{Event, Movements, Remembered, SessionClosing};
use crate::identifier::CarrierId;
use crate::state::State;
use crate::time::Timestamp;

/// `last`: the highest number that was answered before. What is no newer was charged then.
pub(super) fn late(
    state: &State,
    owner: CarrierId,
    last: u32,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let unknown = || Decision::refused(Declined::UnknownSession);
    if request.number <= last || request.identities.is_empty() {
        return unknown();
    }
    let prepared = identify(state, &request.identities)
        .and_then(|line| charging(state, line, owner, &request.context, now));
    let charging = match prepared {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, now);
    // Whether or not the line may use anything now: it has.
    let mut answer = work.serve(&[], request, None);
    if let Some(declined) = refused_as_a_whole(&answer).filter(|_| !work.has_used()) {
        return Decision::refused(declined);
    }
    answer.failure_handling = Some(charging.vno.failure_handling);
    let session = begun(&mut work, request, &answer);
    let id = session.id;
    let gate = work.gate_events();
    let mut decision = Decision::new(Ok(answer.clone()));
    decision.events.push(Event::SessionOpened(Box::new(session), work.movements()));
    if let SessionVerb::Close(cause) = request.verb {
        let closing = SessionClosing { session: id, cause, groups: SmallVec::new(), trail: None };
        decision.events.push(Event::SessionClosed(Box::new(closing), Movements::default()));
        decision.remember = Some(Remembered {
            key: RequestKey::of_carrier(owner, &request.key),
            reply: Reply::SessionClosed(request.number, Box::new(answer)),
        });
    }
    decision.events.extend(gate);
    decision
}
