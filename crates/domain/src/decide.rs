//! From a command to a decision: pure, reading the state, never changing it.

use smallvec::SmallVec;

use crate::charging::{self, Declined, EndCause, Supervision};
use crate::command::{Command, Response};
use crate::content;
use crate::directive::{DirectiveId, DirectiveOutcome, Order};
use crate::event::{Event, Record, Remembered};
use crate::identifier::SessionId;
use crate::monthly_fees;
use crate::parts::Parts;
use crate::provisioning;
use crate::service::Service;
use crate::state::State;
use crate::sweep::{Sweep, SweepPurpose};
use crate::time::Timestamp;
use crate::timer::TimerKey;

/// An answer, and what must be durable before it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<T = Response> {
    pub response: T,
    pub events: SmallVec<[Event; 1]>,
    pub remember: Option<Remembered>,
    /// A timer to arm again: it fired before its owner was due.
    pub rearm: Option<(Timestamp, TimerKey)>,
}

impl<T> Decision<T> {
    pub fn new(response: T) -> Decision<T> {
        Decision { response, events: SmallVec::new(), remember: None, rearm: None }
    }

    /// The answer was given before; nothing changes.
    pub fn repeated(response: T) -> Decision<T> {
        Decision::new(response)
    }

    pub(crate) fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Decision<U> {
        Decision {
            response: wrap(self.response),
            events: self.events,
            remember: self.remember,
            rearm: self.rearm,
        }
    }

    /// Does anything have to be written?
    pub fn is_pure_reply(&self) -> bool {
        self.events.is_empty() && self.remember.is_none()
    }

    /// The decision as the journal keeps it.
    pub fn into_record(self, sequence: u64, at: Timestamp) -> (T, Record) {
        (self.response, Record { sequence, at, events: self.events, remember: self.remember })
    }
}

impl<T> Decision<Result<T, Declined>> {
    pub fn refused(declined: Declined) -> Decision<Result<T, Declined>> {
        Decision::new(Err(declined))
    }
}

/// Decides one command at one instant.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    match command {
        Command::Session(request) => {
            charging::decide_session(state, request, now).map(Response::Session)
        }
        Command::Event(request) => charging::decide_event(state, request, now).map(Response::Event),
        Command::Call(request) => {
            charging::decide_call(state, request, now).map(|plan| Response::Call(Box::new(plan)))
        }
        Command::Reroute(request) => {
            charging::decide_reroute(state, request, now).map(Response::Session)
        }
        Command::Administer(administration) => {
            provisioning::decide(state, administration, now).map(Response::Administered)
        }
        Command::Timer(key) => decide_timer(state, *key, now),
        Command::DirectiveDone(id, outcome) => directive_done(state, *id, *outcome),
        Command::PeerState(peer, host, value) => {
            let mut decision = Decision::new(Response::Done);
            decision.events = charging::decide_peer_state(state, *peer, host, *value);
            decision
        }
        Command::Sweep => sweep(state, now),
        Command::Content(command) => content::decide_content(state, command, now),
    }
}

fn decide_timer(state: &State, key: TimerKey, now: Timestamp) -> Decision {
    let mut decision = Decision::new(Response::Done);
    match key {
        TimerKey::Session(id) => match charging::decide_supervision(state, id, now) {
            Supervision::Gone => {}
            Supervision::Settled(event, remembered) => {
                decision.events.push(*event);
                decision.remember = remembered;
            }
            Supervision::NotBefore(at) => decision.rearm = Some((at, key)),
        },
        TimerKey::Subscriber(id) => match state.subscriber(id).and_then(|s| s.next_due()) {
            None => {}
            Some(due) if due <= now => {
                decision.events = provisioning::decide_due(state, id, now);
                if decision.events.is_empty() {
                    decision.rearm = Some((now.plus_seconds(1), key));
                }
            }
            Some(due) => decision.rearm = Some((due, key)),
        },
        TimerKey::Payment(id) => return content::decide_expiry(state, id, now),
        TimerKey::Agreement(id) => {
            decision.events = content::close_month(state, id, now);
            let agreement = state.registry.agreement(id).filter(|one| !one.ended);
            let due = agreement.and_then(|one| content::next_close(state, one, now));
            decision.rearm = due.map(|due| (due, key));
        }
        TimerKey::Fees(id) => {
            decision.events = monthly_fees::close_months(state, id, now);
            if decision.events.is_empty() {
                let vno = state.registry.vno(id).filter(|vno| vno.fees.is_some());
                decision.rearm = vno.map(|vno| (monthly_fees::next_close(vno, now), key));
            }
        }
    }
    decision
}

fn directive_done(state: &State, id: DirectiveId, outcome: DirectiveOutcome) -> Decision {
    let mut decision = Decision::new(Response::Done);
    let Some(directive) = state.outbox.get(&id) else {
        return decision;
    };
    decision.events.push(Event::DirectiveDone(id));
    if outcome == DirectiveOutcome::UnknownSession
        && let Some(session) = state.sessions.get(&directive.session)
    {
        decision.events.push(charging::end_session(session, EndCause::UnknownToPeer));
    }
    decision
}

/// Sessions that one step of a sweep looks at.
const SWEEP_STEP: usize = 256;

/// One step of the first sweep under way.
fn sweep(state: &State, now: Timestamp) -> Decision {
    let mut decision = Decision::new(Response::Done);
    let Some(sweep) = state.sweeps.first() else {
        return decision;
    };
    let (ids, next) = sweep_step(state, sweep);
    let mut issued = 0;
    for session in ids.iter().filter_map(|id| state.sessions.get(id)) {
        match &sweep.purpose {
            SweepPurpose::AbortVno(vno)
                if session.id.vno() == *vno && !session.ending && !session.context.is_emergency =>
            {
                decision.events.push(Event::SessionEnding(session.id));
                decision.events.push(charging::directive(
                    state,
                    issued,
                    session,
                    Order::Abort,
                    now,
                ));
                issued += 1;
            }
            SweepPurpose::LimitCalls(vno)
                if session.id.vno() == *vno
                    && session.context.service == Service::Voice
                    && !session.ending =>
            {
                let order = Order::Reauthorise(None);
                decision.events.push(charging::directive(state, issued, session, order, now));
                issued += 1;
            }
            SweepPurpose::SettlePeer(peer, host, value)
                if session.peer == *peer
                    && session.origin_host == *host
                    && session.origin_state.is_none_or(|then| then < *value) =>
            {
                decision.events.push(charging::end_session(session, EndCause::PeerRestarted));
            }
            SweepPurpose::RetireVersion(version) if session.uses(*version) => {
                decision.events.push(Event::SweepEnded(sweep.id));
                return decision;
            }
            _ => {}
        }
    }
    if let (SweepPurpose::RetireVersion(version), None) = (&sweep.purpose, &next) {
        decision.events.push(Event::PriceListVersionRetired(*version));
    }
    decision.events.push(match next {
        Some(next) => Event::SweepAdvanced(next),
        None => Event::SweepEnded(sweep.id),
    });
    decision
}

/// The sessions of one step, and where the next one begins. Sessions are passed part by part, in order within
/// each: a step reads about one part, never all sessions that are open.
fn sweep_step(state: &State, sweep: &Sweep) -> (Vec<SessionId>, Option<Sweep>) {
    let mut ids: Vec<SessionId> = Vec::new();
    let mut after = sweep.after;
    for part in sweep.part.. {
        if part as usize >= Parts::<SessionId, ()>::COUNT {
            break;
        }
        let of_part = state.sessions.keys_of_part(part as usize).copied();
        let mut of_part: Vec<_> = of_part.filter(|id| Some(*id) > after).collect();
        after = None;
        of_part.sort_unstable();
        let room = SWEEP_STEP - ids.len();
        ids.extend(of_part.iter().take(room));
        if of_part.len() >= room {
            return (
                ids.clone(),
                Some(Sweep { part, after: ids.last().copied(), ..sweep.clone() }),
            );
        }
    }
    (ids, None)
}
