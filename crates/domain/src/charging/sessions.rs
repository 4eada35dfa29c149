//! Open, report and close (RFC 8506 section 8.4, server state machine for session-based credit control).
//!
//! Usage is debited before anything else, whatever the answer; grants come last, so that all groups of one
//! request see each other's money.

use smallvec::SmallVec;

use super::emergency::{is_emergency, let_through};
use super::ending::supervised_until;
use super::funds::Charging;
use super::grant::release;
use super::group::Group;
use super::late::late;
use super::rates;
use super::request::{
    Declined, GroupAnswer, GroupOutcome, GroupRequest, SessionAnswer, SessionRequest, SessionVerb,
};
use super::session::{Context, EndCause, GivenAnswer, Session};
use super::wholesale;
use super::work::Work;
use crate::answered::{Reply, RequestKey};
use crate::decide::Decision;
use crate::event::{Event, Remembered, SessionClosing, SessionReport, SessionRerouted};
use crate::identifier::{CarrierId, Identity, LineId, SessionId};
use crate::party::Standing;
use crate::state::State;
use crate::time::Timestamp;

pub(crate) fn decide_session(
    state: &State,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let carrier_of = |peer| state.registry.peer(peer).map(|peer| peer.carrier);
    let Some(owner) = carrier_of(request.peer) else {
        return Decision::refused(Declined::CarrierNotAllowed);
    };
    if let Some(session) = state.session_by_key(&request.key) {
        if carrier_of(session.peer) != Some(owner) {
            return Decision::refused(Declined::UnknownSession);
        }
        if let Some(answer) = session.answered(request.number) {
            return Decision::repeated(Ok(answer.clone()));
        }
        if session.is_stale(request.number) || request.verb == SessionVerb::Open {
            return Decision::refused(Declined::StaleRequest);
        }
        return go_on(state, session, owner, request, now);
    }
    let remembered = state.answered.reply(&RequestKey::of_carrier(owner, &request.key));
    match remembered {
        Some(Reply::SessionClosed(number, answer)) if *number == request.number => {
            return Decision::repeated(Ok(answer.as_ref().clone()));
        }
        Some(Reply::SessionClosed(..)) => return Decision::refused(Declined::UnknownSession),
        Some(Reply::SessionLost(lost)) => return late(state, owner, lost, request, now),
        _ => {}
    }
    // A call that runs through us leaves a record; of others only their switch knows.
    if request.call.is_none() && is_emergency(state, &request.identities, &request.context) {
        return Decision::repeated(Ok(let_through(request)));
    }
    match request.verb {
        SessionVerb::Open => {
            let chosen = request.call.as_ref().and_then(|call| call.carrier);
            open(state, chosen.unwrap_or(owner), request, now)
        }
        SessionVerb::Report | SessionVerb::Close(_) => Decision::refused(Declined::UnknownSession),
    }
}

/// The line that all given identities belong to. Unknown ones are passed over when another is known:
/// a gateway may send identities that were never provisioned.
pub(super) fn identify(state: &State, identities: &[Identity]) -> Result<LineId, Declined> {
    let mut found = None;
    for line in identities.iter().filter_map(|identity| state.identities.line(identity)) {
        match found {
            None => found = Some(line),
            Some(known) if known == line => {}
            Some(_) => return Err(Declined::ConflictingIdentities),
        }
    }
    found.ok_or(Declined::UnknownUser)
}

/// Everything a decision about this line looks at.
pub(crate) fn charging<'a>(
    state: &'a State,
    line_id: LineId,
    carrier: CarrierId,
    context: &'a Context,
    now: Timestamp,
) -> Result<Charging<'a>, Declined> {
    let vno = state.registry.vno(line_id.vno()).ok_or(Declined::UnknownUser)?;
    let subscriber = state.subscriber(line_id.subscriber()).ok_or(Declined::UnknownUser)?;
    let line = subscriber.line(line_id).ok_or(Declined::UnknownUser)?;
    let granted_at = now;
    Ok(Charging { state, vno, subscriber, line, line_id, carrier, context, now, granted_at })
}

/// May this line use this service at all?
pub(crate) fn admit_line(charging: &Charging<'_>) -> Result<(), Declined> {
    let state = charging.state;
    if charging.vno.standing != Standing::Active {
        return Err(Declined::VnoSuspended);
    }
    if state.tally(charging.vno.id).is_some_and(|tally| tally.credit_exhausted) {
        return Err(Declined::VnoCreditExhausted);
    }
    if charging.subscriber.standing != Standing::Active {
        return Err(Declined::SubscriberSuspended);
    }
    if charging.line.standing != Standing::Active {
        return Err(Declined::LineSuspended);
    }
    if charging.line.is_barred(charging.context.service) {
        return Err(Declined::Barred);
    }
    Ok(())
}

/// And on this carrier's network?
pub(super) fn admit(charging: &Charging<'_>) -> Result<(), Declined> {
    if charging.context.is_emergency {
        return Ok(());
    }
    admit_line(charging)?;
    may_carry(charging)
}

/// Is the carrier in service, and open to the VNO's subscribers?
pub(super) fn may_carry(charging: &Charging<'_>) -> Result<(), Declined> {
    if charging.carrier == CarrierId::NOBODY {
        return Ok(());
    }
    let state = charging.state;
    let carrier = state.registry.carrier(charging.carrier);
    let usable = carrier.is_some_and(|carrier| carrier.standing == Standing::Active)
        && charging.vno.may_use(charging.carrier);
    if usable { Ok(()) } else { Err(Declined::CarrierNotAllowed) }
}

fn open(
    state: &State,
    carrier: CarrierId,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let prepared = identify(state, &request.identities)
        .and_then(|line| charging(state, line, carrier, &request.context, now))
        .and_then(|charging| admit(&charging).map(|()| charging));
    let charging = match prepared {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, now);
    work.burst = match wholesale::admit(&charging) {
        Ok(burst) => burst,
        Err(declined) => return Decision::refused(declined),
    };
    let mut answer = work.serve(&[], request, None);
    answer.failure_handling = Some(charging.vno.failure_handling);
    if let Some(declined) = refused_as_a_whole(&answer) {
        let mut decision = Decision::refused(declined);
        decision.events.extend(work.gate_events());
        return decision;
    }
    let session = begun(&mut work, request, &answer);
    let gate = work.gate_events();
    let mut decision = Decision::new(Ok(answer));
    decision.events.push(Event::SessionOpened(Box::new(session), work.movements()));
    decision.events.extend(gate);
    decision
}

/// The session that a request begins, with the groups that it touched.
pub(super) fn begun(
    work: &mut Work<'_>,
    request: &SessionRequest,
    answer: &SessionAnswer,
) -> Session {
    let charging = work.charging;
    let (state, now) = (charging.state, charging.now);
    let opened = state.tally(charging.vno.id).map_or(0, |tally| tally.sessions_opened);
    Session {
        id: SessionId::new(charging.vno.id, opened + 1),
        key: request.key.clone(),
        line: charging.line_id,
        peer: request.peer,
        carrier: charging.carrier,
        origin_host: request.origin_host.clone(),
        origin_realm: request.origin_realm.clone(),
        // A session of a host that has said so elsewhere belongs to what it is now.
        origin_state: request.origin_state.or_else(|| {
            let host = (request.peer, request.origin_host.clone());
            state.origin_states.get(&host).copied()
        }),
        context: charging.context.clone(),
        opened_at: now,
        heard_at: now,
        supervised_until: supervised_until(answer, now),
        groups: std::mem::take(&mut work.groups),
        answers: SmallVec::from_buf([GivenAnswer {
            number: request.number,
            answer: answer.clone(),
        }]),
        ending: false,
        note: None,
        overtaken: 0,
        burst: work.burst,
    }
}

/// When no group got anything and all for the same reason, the request itself is refused.
pub(super) fn refused_as_a_whole(answer: &SessionAnswer) -> Option<Declined> {
    let reason = |group: &GroupAnswer| match group.outcome {
        GroupOutcome::Declined(declined) => Some(declined),
        _ => None,
    };
    let first = reason(answer.groups.first()?)?;
    answer.groups.iter().all(|group| reason(group) == Some(first)).then_some(first)
}

fn go_on(
    state: &State,
    session: &Session,
    owner: CarrierId,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let charging = match charging(state, session.line, session.carrier, &session.context, now) {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, session.heard_at);
    work.burst = session.burst;
    let answer = work.serve(&session.groups, request, Some(session));
    let gate = work.gate_events();
    let groups = std::mem::take(&mut work.groups);
    let mut decision = Decision::new(Ok(answer.clone()));
    if let SessionVerb::Close(cause) = request.verb {
        let cause = if session.ending { EndCause::Administrative } else { cause };
        let trail = request.call.as_ref().and_then(|call| call.trail.clone());
        let closing = SessionClosing { session: session.id, cause, groups, trail };
        decision.events.push(Event::SessionClosed(Box::new(closing), work.movements()));
        decision.remember = Some(Remembered {
            key: RequestKey::of_carrier(owner, &request.key),
            reply: Reply::SessionClosed(request.number, Box::new(answer)),
        });
    } else {
        let report = SessionReport {
            session: session.id,
            number: request.number,
            groups,
            // What other groups were granted runs on, whatever this answer says.
            supervised_until: supervised_until(&answer, now).max(session.supervised_until),
            answer,
            origin_state: request.origin_state.filter(|state| session.origin_state != Some(*state)),
            note: request.call.as_ref().and_then(|call| call.note.clone()),
        };
        decision.events.push(Event::SessionReported(Box::new(report), work.movements()));
    }
    decision.events.extend(gate);
    decision
}

/// Prices and reserves all legs of an unused session anew, over another carrier.
pub(super) fn reroute(
    session: &Session,
    charging: Charging<'_>,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    if session.groups.iter().any(|group| group.used > 0) || session.ending {
        return Decision::refused(Declined::SessionEnding);
    }
    let mut work = Work::new(charging, now);
    for group in &session.groups {
        release(&mut work.draft, &mut group.clone());
    }
    let mut answer = SessionAnswer::default();
    for key in session.groups.iter().map(|group| group.key) {
        let begun = rates::begin(&work.charging, key, now);
        let outcome = match begun {
            Ok(group) => {
                let reported_at = rates::depends_on_time(&work.charging, &group).then_some(now);
                work.groups.push(Group { burst: session.burst, reported_at, ..group });
                let asked = GroupRequest {
                    key,
                    requested: Some(Default::default()),
                    used: SmallVec::new(),
                    is_final: false,
                };
                work.reserve(&asked, true)
            }
            Err(declined) => GroupOutcome::Declined(declined),
        };
        answer.groups.push(GroupAnswer { key, outcome });
    }
    if let Some(declined) = refused_as_a_whole(&answer) {
        return Decision::refused(declined);
    }
    let gate = work.gate_events();
    let moved = SessionRerouted {
        session: session.id,
        carrier: work.charging.carrier,
        groups: std::mem::take(&mut work.groups),
        supervised_until: supervised_until(&answer, now),
    };
    let mut decision = Decision::new(Ok(answer));
    decision.events.push(Event::SessionRerouted(Box::new(moved), work.movements()));
    decision.events.extend(gate);
    decision
}
