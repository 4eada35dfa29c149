//! Brings what a batch of commands will touch into the processor's caches.
//!
//! State is far larger than any cache and one decision reads a chain of places in it. Reading the same step of all
//! chains together lets their waits overlap; deciding then finds everything near.

use std::hint::black_box;

use smallvec::SmallVec;

use crate::charging::SessionVerb;
use crate::command::{Administer, Command};
use crate::identifier::SubscriberId;
use crate::state::State;

/// Commands looked at together; what is brought in for more might be gone again before it is used.
pub const COMMANDS_MAX: usize = 64;

/// Reads, changes nothing, answers nothing.
pub fn read_ahead<'a>(state: &State, commands: impl Iterator<Item = &'a Command>) {
    let mut subscribers: SmallVec<[SubscriberId; COMMANDS_MAX]> = SmallVec::new();
    let mut ids: SmallVec<[_; COMMANDS_MAX]> = SmallVec::new();
    for command in commands.take(COMMANDS_MAX) {
        match command {
            Command::Session(request) if request.verb == SessionVerb::Open => {
                let line = request.identities.first().and_then(|one| state.identities.line(one));
                subscribers.extend(line.map(|line| line.subscriber()));
            }
            Command::Session(request) => ids.extend(state.session_keys.get(&request.key).copied()),
            Command::Administer(administration) => {
                if let Administer::TopUp { account, .. } = administration.order {
                    subscribers.push(account.subscriber());
                }
            }
            _ => {}
        }
    }
    let sessions: SmallVec<[_; COMMANDS_MAX]> =
        ids.iter().filter_map(|id| state.sessions.get(id)).collect();
    let mut sum = 0u64;
    for session in &sessions {
        subscribers.push(session.line.subscriber());
        sum = sum.wrapping_add(session.answers.len() as u64 + u64::from(session.ending));
        sum = sum.wrapping_add(session.groups.first().map_or(0, |group| group.used));
    }
    for session in &sessions {
        // What was answered lies elsewhere, and a group is many lines long.
        for given in &session.answers {
            sum = sum.wrapping_add(u64::from(given.number));
            sum = sum.wrapping_add(given.answer.groups.len() as u64);
        }
        for group in &session.groups {
            let payer = group.payers.first().map_or(0, |payer| payer.meter.net.micros());
            let legs = u64::from(group.wholesale.is_some()) + u64::from(group.cost.is_some());
            sum = sum.wrapping_add(payer as u64).wrapping_add(legs).wrapping_add(group.granted);
        }
    }
    let found: SmallVec<[_; COMMANDS_MAX]> =
        subscribers.iter().filter_map(|id| state.subscribers.at(*id)).collect();
    for id in &subscribers {
        sum = sum.wrapping_add(state.sessions_of(*id).len() as u64);
    }
    for subscriber in &found {
        sum = sum.wrapping_add((subscriber.lines.len() + subscriber.subscriptions.len()) as u64);
    }
    for account in found.iter().flat_map(|subscriber| &subscriber.accounts) {
        sum = sum.wrapping_add(account.buckets.first().map_or(0, |bucket| bucket.balance as u64));
    }
    black_box(sum);
}
