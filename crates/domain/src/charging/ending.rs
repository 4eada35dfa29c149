//! Ends that no switch asked for: supervision, and the VNO's own credit.

use super::draft::Draft;
use super::grant::release;
use super::group::Phase;
use super::late::LostSession;
use super::request::{GroupOutcome, SessionAnswer};
use super::session::{EndCause, Session};
use crate::answered::{Reply, RequestKey};
use crate::event::{Event, Remembered, SessionClosing};
use crate::identifier::{SessionId, VnoId};
use crate::money::Amount;
use crate::party::Vno;
use crate::state::State;
use crate::sweep::{Sweep, SweepPurpose};
use crate::time::Timestamp;

/// Seconds added to twice the validity before a silent session is settled.
const SUPERVISION_GRACE_SECONDS: u64 = 30;
const VALIDITY_DEFAULT_SECONDS: u32 = 3600;

/// The VNO's own money ended: its sessions are ended too.
pub(super) fn close_gate(state: &State, vno: VnoId) -> [Event; 2] {
    [
        Event::VnoCreditGate(vno, true),
        Event::SweepBegun(new_sweep(state, SweepPurpose::AbortVno(vno))),
    ]
}

/// The gate of a VNO without credit opens when this much more comes onto its account and leaves something free.
pub(crate) fn reopen_gate(state: &State, vno: &Vno, more: Amount) -> Option<Event> {
    let tally = state.tally(vno.id)?;
    let free = state
        .vno_balance(vno.id)
        .saturating_add(more)
        .saturating_add(vno.credit_limit)
        .saturating_sub(tally.held);
    (tally.credit_exhausted && free.is_positive()).then(|| Event::VnoCreditGate(vno.id, false))
}

pub(crate) fn new_sweep(state: &State, purpose: SweepPurpose) -> Sweep {
    Sweep { id: state.sweeps_begun + 1, purpose, after: None, part: 0 }
}

/// Ends a session without the switch's word: holds go back, what was reported stays charged.
pub(crate) fn end_session(session: &Session, cause: EndCause) -> Event {
    let mut draft = Draft::default();
    let mut groups = session.groups.clone();
    for group in &mut groups {
        release(&mut draft, group);
        group.phase = Phase::Idle;
        group.granted = 0;
    }
    let closing = SessionClosing { session: session.id, cause, groups, trail: None };
    Event::SessionClosed(Box::new(closing), draft.movements())
}

/// When a session that is heard of no more is settled.
pub(super) fn supervised_until(answer: &SessionAnswer, now: Timestamp) -> Timestamp {
    let validity = answer.groups.iter().filter_map(|group| match &group.outcome {
        GroupOutcome::Granted(granted) => Some(granted.validity_seconds),
        _ => None,
    });
    let validity = validity.max().unwrap_or(VALIDITY_DEFAULT_SECONDS);
    now.plus_seconds(2 * u64::from(validity) + SUPERVISION_GRACE_SECONDS)
}

/// The session's supervision timer fired (Tcc, RFC 8506 section 8.4): settle it when it is really due.
pub(crate) fn decide_supervision(state: &State, id: SessionId, now: Timestamp) -> Supervision {
    match state.sessions.get(&id) {
        None => Supervision::Gone,
        Some(session) if session.supervised_until <= now => {
            let owner = state.registry.peer(session.peer).map(|peer| peer.carrier);
            let remembered = owner.map(|owner| Remembered {
                key: RequestKey::of_carrier(owner, &session.key),
                reply: Reply::SessionLost(Box::new(LostSession::of(session))),
            });
            Supervision::Settled(Box::new(end_session(session, EndCause::Lost)), remembered)
        }
        Some(session) => Supervision::NotBefore(session.supervised_until),
    }
}

pub(crate) enum Supervision {
    Gone,
    /// With what is kept of it, should its switch be heard of again.
    Settled(Box<Event>, Option<Remembered>),
    NotBefore(Timestamp),
}
