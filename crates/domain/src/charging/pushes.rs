//! What the platform asks of switches by itself: come again, end the session; and what their restarts mean.

use smallvec::SmallVec;

use super::ending::new_sweep;
use super::group::{Group, GroupKey, Phase};
use super::session::Session;
use crate::directive::{Directive, DirectiveId, Order};
use crate::event::Event;
use crate::identifier::{LineId, PeerId, SubscriberId};
use crate::service::Service;
use crate::state::State;
use crate::sweep::SweepPurpose;
use crate::time::Timestamp;

/// Orders to the switch of one session; numbers follow those already issued and `earlier` of this decision.
pub(crate) fn directive(
    state: &State,
    earlier: usize,
    session: &Session,
    order: Order,
    now: Timestamp,
) -> Event {
    Event::DirectiveIssued(Box::new(Directive {
        id: DirectiveId(state.directives_issued + 1 + earlier as u64),
        session: session.id,
        key: session.key.clone(),
        peer: session.peer,
        host: session.origin_host.clone(),
        realm: session.origin_realm.clone(),
        order,
        issued_at: now,
    }))
}

/// Money or a plan changed: sessions that wait for money, or run on their last units, are asked to come again.
pub(crate) fn reauthorise(
    state: &State,
    subscriber: SubscriberId,
    all: bool,
    now: Timestamp,
) -> Vec<Event> {
    let wants = |_: &Session, group: &Group| {
        all || matches!(group.phase, Phase::Waiting | Phase::FinalGrant)
    };
    come_again(state, subscriber, wants, |_| false, 0, now)
}

/// A limit of the line's calls changed: those that run are asked to come again, and get what is left.
/// `earlier` orders stand in the same decision already.
pub(crate) fn limit_calls(
    state: &State,
    line: LineId,
    earlier: usize,
    now: Timestamp,
) -> Vec<Event> {
    let calls =
        |session: &Session| session.line == line && session.context.service == Service::Voice;
    let of_calls = |session: &Session, _: &Group| calls(session);
    come_again(state, line.subscriber(), of_calls, calls, earlier, now)
}

fn come_again(
    state: &State,
    subscriber: SubscriberId,
    wants: impl Fn(&Session, &Group) -> bool,
    of_all: impl Fn(&Session) -> bool,
    earlier: usize,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = Vec::new();
    let sessions = state.sessions_of(subscriber).iter().filter_map(|id| state.sessions.get(id));
    for session in sessions.filter(|session| !session.ending) {
        let groups = session.groups.iter().filter(|group| wants(session, group));
        let wanting: SmallVec<[GroupKey; 4]> = groups.map(|group| group.key).collect();
        let order = match wanting.as_slice() {
            // A free call has no group yet.
            [] if session.groups.is_empty() && of_all(session) => Order::Reauthorise(None),
            [] => continue,
            [one] => Order::Reauthorise(Some(*one)),
            _ => Order::Reauthorise(None),
        };
        events.push(directive(state, earlier + events.len(), session, order, now));
    }
    events
}

/// The line or subscriber was blocked: its sessions are ended at the switch.
pub(crate) fn abort(
    state: &State,
    subscriber: SubscriberId,
    concerns: impl Fn(&Session) -> bool,
    now: Timestamp,
) -> Vec<Event> {
    let sessions = state.sessions_of(subscriber).iter().filter_map(|id| state.sessions.get(id));
    let mut events = Vec::new();
    let concerned = sessions
        .filter(|session| !session.ending && !session.context.is_emergency && concerns(session));
    for (issued, session) in concerned.enumerate() {
        events.push(Event::SessionEnding(session.id));
        events.push(directive(state, issued, session, Order::Abort, now));
    }
    events
}

/// Did this host of the peer lose its sessions? (RFC 6733 section 8.16)
pub(crate) fn decide_peer_state(
    state: &State,
    peer: PeerId,
    host: &str,
    value: u32,
) -> SmallVec<[Event; 1]> {
    let known = state.origin_states.get(&(peer, Box::from(host))).copied();
    if known.is_some_and(|known| known >= value) {
        return SmallVec::new();
    }
    let mut events: SmallVec<[Event; 1]> = SmallVec::new();
    events.push(Event::PeerRestarted(peer, host.into(), value));
    if known.is_some() {
        let purpose = SweepPurpose::SettlePeer(peer, host.into(), value);
        events.push(Event::SweepBegun(new_sweep(state, purpose)));
    }
    events
}
