//! Events about subscribers, their lines, accounts, buckets and subscriptions.

use smallvec::SmallVec;

use super::charging::move_buckets;
use super::post;
use crate::content::apply_entry;
use crate::event::{Event, Transfer};
use crate::identifier::{AccountId, Identity, IdentityKind, LineId, SubscriberId};
use crate::party::Standing;
use crate::state::State;
use crate::subscriber::{Account, Line, Subscriber};
use crate::time::Timestamp;
use crate::timer::TimerKey;

pub(super) fn apply(state: &mut State, event: &Event, at: Timestamp) -> Result<(), &'static str> {
    match event {
        Event::SubscriberCreated(id, _) => {
            let tally = state.vnos.get_mut(id.vno().index()).ok_or("unknown VNO")?;
            tally.subscribers_created = tally.subscribers_created.max(id.number());
            state.subscribers.put(Box::new(Subscriber::new(*id)));
        }
        Event::SubscriberStanding(id, standing) => {
            count_lines(state, *id, |subscriber| {
                subscriber.standing = *standing;
                Ok(())
            })?;
        }
        // Personal data is the books' business.
        Event::ProfileChanged(..) => {}
        Event::LineAdded(id, identities) => {
            let line = Line {
                number: id.number(),
                standing: Standing::Active,
                barred: 0,
                identities: identities.iter().cloned().collect(),
                payer_rules: None,
                calls: None,
                content: None,
                sim_changed_at: seconds(at),
            };
            count_lines(state, id.subscriber(), |subscriber| {
                subscriber.lines.push(line);
                Ok(())
            })?;
            identities.iter().for_each(|identity| state.identities.insert(identity, *id));
        }
        Event::LineCallsSet(id, calls) => line(state, *id)?.calls = Some(calls.clone()),
        Event::LineStanding(id, standing) => count_lines(state, id.subscriber(), |subscriber| {
            subscriber.line_mut(*id).ok_or("unknown line")?.standing = *standing;
            Ok(())
        })?,
        Event::LineBarring(id, barred) => line(state, *id)?.barred = *barred,
        Event::PayerRulesSet(id, rules) => {
            line(state, *id)?.payer_rules = (!rules.is_empty()).then(|| Box::new(rules.clone()));
        }
        Event::LineIdentities(id, identities) => {
            let line = line(state, *id)?;
            if sims(&line.identities) != sims(identities) {
                line.sim_changed_at = seconds(at);
            }
            let former =
                std::mem::replace(&mut line.identities, identities.iter().cloned().collect());
            former.iter().for_each(|identity| state.identities.remove(identity));
            identities.iter().for_each(|identity| state.identities.insert(identity, *id));
        }
        Event::AccountOpened(id, account) => {
            subscriber(state, *id)?.accounts.push(account.as_ref().clone());
        }
        Event::CreditLimitSet(id, limit) => account(state, *id)?.credit_limit = *limit,
        Event::AccountShared(id, shared) => account(state, *id)?.shared = *shared,
        Event::SubscriptionSet(id, subscription) => {
            let subscriptions = &mut subscriber(state, *id)?.subscriptions;
            match subscriptions.iter_mut().find(|known| known.number == subscription.number) {
                Some(known) => *known = subscription.clone(),
                None => subscriptions.push(subscription.clone()),
            }
            arm(state, *id);
        }
        Event::BucketAdded(id, bucket) => {
            let account = account(state, *id)?;
            account.next_bucket = account.next_bucket.max(bucket.id.number().saturating_add(1));
            account.buckets.reserve_exact(1);
            account.buckets.push(bucket.clone());
            arm(state, id.subscriber());
        }
        Event::BucketRemoved(id, bucket) => {
            account(state, *id)?.buckets.retain(|known| known.id != *bucket);
            arm(state, id.subscriber());
        }
        Event::MainBalanceExpiry(id, expires) => {
            let main = account(state, *id)?.bucket_mut(Account::MAIN);
            main.ok_or("no main balance")?.expires = *expires;
            arm(state, id.subscriber());
        }
        Event::LineContentSet(id, content) => {
            let own = line(state, *id)?.content.get_or_insert_default();
            own.monthly_max = content.monthly_max;
            own.age = content.age;
            own.consents.clone_from(&content.consents);
        }
        Event::ContentSubscriptionSet(id, subscription) => {
            let own = line(state, *id)?.content.get_or_insert_default();
            own.subscriptions_begun = own.subscriptions_begun.max(subscription.number);
            let known = own.subscriptions.iter_mut().find(|one| one.number == subscription.number);
            match known {
                Some(known) => known.clone_from(subscription),
                None => own.keep(subscription.as_ref().clone()),
            }
            arm(state, id.subscriber());
        }
        Event::Transferred(transfer) => return transferred(state, transfer, at),
        _ => return Err("not an event about subscribers"),
    }
    Ok(())
}

/// Changes a subscriber, and its VNO's count of lines with it.
fn count_lines(
    state: &mut State,
    id: SubscriberId,
    change: impl FnOnce(&mut Subscriber) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let subscriber = subscriber(state, id)?;
    let before = subscriber.open_lines();
    change(subscriber)?;
    let after = subscriber.open_lines();
    let tally = state.vnos.get_mut(id.vno().index()).ok_or("unknown VNO")?;
    tally.lines = (tally.lines + after).saturating_sub(before);
    Ok(())
}

/// Times of SIM changes fit 32 bits until 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(0)
}

/// The identities that come with a SIM.
fn sims(identities: &[Identity]) -> SmallVec<[&Identity; 2]> {
    let of_sim = |one: &&Identity| matches!(one.kind(), IdentityKind::Imsi | IdentityKind::Iccid);
    let mut sims: SmallVec<[&Identity; 2]> = identities.iter().filter(of_sim).collect();
    sims.sort_unstable();
    sims
}

fn transferred(state: &mut State, transfer: &Transfer, at: Timestamp) -> Result<(), &'static str> {
    move_buckets(state, &transfer.buckets)?;
    post(state, &transfer.postings)?;
    let tally = state.vnos.get_mut(transfer.vno.index()).ok_or("unknown VNO")?;
    tally.transfers = tally.transfers.max(transfer.number);
    if let Some(refunded) = transfer.refunds {
        state.refunded.note(refunded, at);
    }
    match &transfer.content {
        Some(entry) => apply_entry(state, entry, at),
        None => Ok(()),
    }
}

fn subscriber(state: &mut State, id: SubscriberId) -> Result<&mut Subscriber, &'static str> {
    state.subscribers.at_mut(id).ok_or("unknown subscriber")
}

fn line(state: &mut State, id: LineId) -> Result<&mut Line, &'static str> {
    subscriber(state, id.subscriber())?.line_mut(id).ok_or("unknown line")
}

fn account(state: &mut State, id: AccountId) -> Result<&mut Account, &'static str> {
    subscriber(state, id.subscriber())?.account_mut(id).ok_or("unknown account")
}

/// Arms the subscriber's timer for what is next due; an earlier one that still stands finds nothing to do.
fn arm(state: &mut State, id: SubscriberId) {
    if let Some(due) = state.subscribers.at(id).and_then(Subscriber::next_due) {
        state.timers.arm(due, TimerKey::Subscriber(id));
    }
}
