//! Events of the charging machine.

use smallvec::SmallVec;

use super::post_entry;
use crate::charging::{BucketChange, CounterOwner, Group, Session};
use crate::event::{Movements, SessionClosing, SessionReport, SessionRerouted};
use crate::identifier::{SessionId, SubscriberId, VnoId};
use crate::ledger::Entry;
use crate::quantity::Unit;
use crate::service::Service;
use crate::state::State;
use crate::subscriber;
use crate::time::Timestamp;

pub(super) fn open(
    state: &mut State,
    session: Box<Session>,
    movements: &Movements,
    at: Timestamp,
) -> Result<(), &'static str> {
    move_all(state, session.id, movements)?;
    note_carried(state, session.id.vno(), octets_of(&session), at);
    let mut entry = Entry::new();
    post_groups(&session, &mut entry);
    post_entry(state, &entry)?;
    let tally = state.vnos.get_mut(session.id.vno().index()).ok_or("unknown VNO")?;
    tally.sessions_opened = tally.sessions_opened.max(session.id.number());
    state.admit_session(session);
    Ok(())
}

pub(super) fn report(
    state: &mut State,
    report: &mut SessionReport,
    movements: &Movements,
    at: Timestamp,
) -> Result<(), &'static str> {
    move_all(state, report.session, movements)?;
    let session = state.sessions.get_mut(&report.session).ok_or("unknown session")?;
    let mut entry = Entry::new();
    let own = session.line.subscriber();
    let mut newcomers: SmallVec<[SubscriberId; 2]> = SmallVec::new();
    let mut carried = 0;
    for group in &mut report.groups {
        let payers = group.payers.iter().map(|payer| payer.account.subscriber());
        newcomers.extend(payers.filter(|payer| *payer != own));
        carried = replace_group(session, group, &mut entry).saturating_add(carried);
    }
    if report.note.is_some() {
        session.note = report.note.take();
    }
    session.remember(report.number, std::mem::take(&mut report.answer));
    session.heard_at = at;
    session.supervised_until = report.supervised_until;
    session.origin_state = report.origin_state.or(session.origin_state);
    newcomers.into_iter().for_each(|one| state.watch(one, report.session));
    note_carried(state, report.session.vno(), carried, at);
    post_entry(state, &entry)
}

/// Nothing was charged yet: the new groups take the place of the old ones.
pub(super) fn reroute(
    state: &mut State,
    moved: SessionRerouted,
    movements: &Movements,
) -> Result<(), &'static str> {
    move_all(state, moved.session, movements)?;
    let session = state.sessions.get_mut(&moved.session).ok_or("unknown session")?;
    session.carrier = moved.carrier;
    session.groups = moved.groups;
    session.supervised_until = moved.supervised_until;
    Ok(())
}

fn post_groups(session: &Session, entry: &mut Entry) {
    let (vno, carrier) = (session.id.vno(), session.carrier);
    session.groups.iter().for_each(|group| group.post_since(None, entry, vno, carrier));
}

/// Puts the group in the place of what it was, which is in its own place then. Returns the octets of data that were
/// used since.
fn replace_group(session: &mut Session, group: &mut Group, entry: &mut Entry) -> u64 {
    let (vno, carrier) = (session.id.vno(), session.carrier);
    let is_data = session.context.service == Service::Data;
    match session.groups.iter_mut().find(|known| known.key == group.key) {
        Some(known) => {
            let carried = octets(is_data, group).saturating_sub(octets(is_data, known));
            group.post_since(Some(known), entry, vno, carrier);
            std::mem::swap(known, group);
            carried
        }
        None => {
            group.post_since(None, entry, vno, carrier);
            session.groups.push(group.clone());
            octets(is_data, group)
        }
    }
}

fn octets(is_data: bool, group: &Group) -> u64 {
    if is_data && group.unit == Unit::Octets { group.used } else { 0 }
}

/// Of a session that begins with use: reported after one was settled for its silence, or at once.
fn octets_of(session: &Session) -> u64 {
    let is_data = session.context.service == Service::Data;
    session.groups.iter().fold(0, |sum, group| sum.saturating_add(octets(is_data, group)))
}

/// Only of VNOs for whom somebody asks.
fn note_carried(state: &mut State, vno: VnoId, octets: u64, at: Timestamp) {
    if octets == 0 {
        return;
    }
    let clauses = state.registry.vno(vno).and_then(|vno| vno.clauses.as_ref());
    let is_asked = clauses
        .and_then(|clauses| clauses.capacity(Service::Data))
        .is_some_and(|capacity| capacity.kilobits_per_second.is_some());
    if is_asked && let Some(tally) = state.vnos.get_mut(vno.index()) {
        tally.throughput.note(octets, at);
    }
}

pub(super) fn close(
    state: &mut State,
    closing: &mut SessionClosing,
    movements: &Movements,
    at: Timestamp,
) -> Result<(), &'static str> {
    let mut session = state.sessions.remove(&closing.session).ok_or("unknown session")?;
    state.sessions_in_order.remove(&closing.session);
    state.session_keys.remove(&session.key);
    let tally = state.vnos.get_mut(session.id.vno().index()).ok_or("unknown VNO")?;
    tally.ended(session.context.service);
    let mut entry = Entry::new();
    let mut carried = 0;
    for group in &mut closing.groups {
        carried = replace_group(&mut session, group, &mut entry).saturating_add(carried);
    }
    note_carried(state, session.id.vno(), carried, at);
    for subscriber in session.subscribers() {
        if let Some(sessions) = state.sessions_of.get_mut(&subscriber) {
            sessions.retain(|id| *id != closing.session);
            if sessions.is_empty() {
                state.sessions_of.remove(&subscriber);
            }
        }
    }
    move_all(state, closing.session, movements)?;
    post_entry(state, &entry)
}

pub(super) fn one_time(
    state: &mut State,
    session: &Session,
    movements: &Movements,
    at: Timestamp,
) -> Result<(), &'static str> {
    move_all(state, session.id, movements)?;
    note_carried(state, session.id.vno(), octets_of(session), at);
    let tally = state.vnos.get_mut(session.id.vno().index()).ok_or("unknown VNO")?;
    tally.sessions_opened = tally.sessions_opened.max(session.id.number());
    let mut entry = Entry::new();
    post_groups(session, &mut entry);
    post_entry(state, &entry)
}

pub(super) fn refused(state: &mut State, session: &Session) -> Result<(), &'static str> {
    let tally = state.vnos.get_mut(session.id.vno().index()).ok_or("unknown VNO")?;
    tally.sessions_opened = tally.sessions_opened.max(session.id.number());
    Ok(())
}

pub(super) fn ending(state: &mut State, id: SessionId) -> Result<(), &'static str> {
    state.sessions.get_mut(&id).ok_or("unknown session")?.ending = true;
    Ok(())
}

fn move_all(
    state: &mut State,
    session: SessionId,
    movements: &Movements,
) -> Result<(), &'static str> {
    move_buckets(state, &movements.buckets)?;
    for change in &movements.counters {
        let counters = match change.owner {
            CounterOwner::Subscriber(id) => {
                let subscriber = state.subscribers.at_mut(id).ok_or("unknown subscriber")?;
                subscriber.counters.get_or_insert_default().as_mut()
            }
            CounterOwner::Vno(id) => {
                &mut state.vnos.get_mut(id.index()).ok_or("unknown VNO")?.counters
            }
            CounterOwner::Carrier(id) => {
                state.carrier_counters.get_mut(id.index()).ok_or("unknown carrier")?
            }
        };
        subscriber::count(counters, change.key, change.period, change.units);
    }
    let tally = state.vnos.get_mut(session.vno().index()).ok_or("unknown VNO")?;
    let held = tally.held.micros().checked_add(movements.wholesale_held);
    tally.held = crate::money::Amount::from_micros(held.ok_or("the VNO's holds overflow")?);
    for (unit, held) in movements.pools_held.iter().flatten() {
        tally.hold_pool(*unit, *held);
    }
    Ok(())
}

pub(crate) fn move_buckets(
    state: &mut State,
    changes: &[BucketChange],
) -> Result<(), &'static str> {
    for change in changes {
        let subscriber = state.subscribers.at_mut(change.account.subscriber());
        let account = subscriber.and_then(|subscriber| subscriber.account_mut(change.account));
        let Some(bucket) = account.and_then(|account| account.bucket_mut(change.bucket)) else {
            // A bucket that expired while sessions held some of it: only the hold is left to give back.
            if change.balance == 0 && change.held <= 0 {
                continue;
            }
            return Err("unknown bucket");
        };
        bucket.balance = bucket.balance.checked_add(change.balance).ok_or("a balance overflows")?;
        bucket.held = bucket.held.checked_add(change.held).ok_or("a hold overflows")?;
    }
    Ok(())
}
