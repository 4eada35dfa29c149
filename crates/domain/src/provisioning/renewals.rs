//! What falls due by itself: renewals with their fees, roll-over, expiry.

use super::Events;
use super::subscriptions::{
    Term, add_allowances, allowance_value, breakage, expire_buckets, expiry_seconds, fee_transfer,
    free_money, period_end, transfer_number,
};
use crate::catalogue::{Offer, Rollover};
use crate::charging;
use crate::content;
use crate::event::{Event, TransferKind};
use crate::identifier::{AccountId, BucketId, SubscriberId};
use crate::state::State;
use crate::subscriber::{Account, Bucket, Subscriber, Subscription, SubscriptionState};
use crate::time::Timestamp;

const RETRY_SECONDS: u64 = 24 * 3600;

/// Ends what has run out and renews the first subscription that is due; others follow at once by their own timer.
pub(crate) fn decide_due(state: &State, id: SubscriberId, now: Timestamp) -> Events {
    let mut events = Events::new();
    let Some(subscriber) = state.subscriber(id) else {
        return events;
    };
    if let Some(renewals) = content::decide_renewals(state, id, now) {
        return renewals;
    }
    let due = subscriber
        .subscriptions
        .iter()
        .find(|one| one.state.is_live() && one.renews_at.is_some_and(|renews_at| renews_at <= now));
    // The buckets of subscriptions that renew are their own business, when their turn comes: they may roll over.
    let renews = |account: u8, bucket: &Bucket| {
        let mut all = subscriber.subscriptions.iter();
        all.any(|one| {
            // A begun second more: buckets end with whole seconds.
            one.state.is_live()
                && one.renews_at.is_some_and(|at| at <= now.plus_seconds(1))
                && (one.account, one.number) == (account, bucket.subscription)
        })
    };
    for account in &subscriber.accounts {
        let account_id = AccountId::new(id, account.number);
        expire_buckets(state, account_id, &mut events, |bucket| {
            bucket.is_expired(now) && !renews(account.number, bucket)
        });
    }
    if let Some(subscription) = due {
        renew(state, subscriber, subscription, now, &mut events);
    }
    if state.sessions_of(id).is_empty() {
        return events;
    }
    let asked = charging::reauthorise(state, id, true, now);
    events.extend(asked);
    events
}

fn renew(
    state: &State,
    subscriber: &Subscriber,
    subscription: &Subscription,
    now: Timestamp,
    events: &mut Events,
) {
    let id = AccountId::new(subscriber.id, subscription.account);
    let (Some(account), Some(offer), Some(vno)) = (
        subscriber.account(id),
        state.registry.offer(subscription.offer),
        state.registry.vno(subscriber.id.vno()),
    ) else {
        return;
    };
    let goes_on = offer.period.is_some() && subscription.state != SubscriptionState::Cancelled;
    let ends = period_end(offer, subscription.started_at, now, &vno.time_zone);
    let term = Term { subscriber: subscriber.id, number: subscription.number, ends, share: (1, 1) };
    let mut account = account.clone();
    let next = goes_on.then_some(&term);
    roll_over(state, id, &mut account, offer, subscription.number, next, now, events);
    let next = if goes_on {
        charge_and_refill(state, &mut account, &term, offer, subscription, now, events)
    } else {
        Subscription { state: SubscriptionState::Ended, renews_at: None, ..subscription.clone() }
    };
    events.push(Event::SubscriptionSet(subscriber.id, next));
}

fn charge_and_refill(
    state: &State,
    account: &mut Account,
    term: &Term,
    offer: &Offer,
    subscription: &Subscription,
    now: Timestamp,
    events: &mut Events,
) -> Subscription {
    let id = AccountId::new(term.subscriber, account.number);
    let value = allowance_value(offer, term.share);
    let number = transfer_number(state, id, events);
    let kind = TransferKind::RecurringFee;
    if let Some((transfer, gross)) =
        fee_transfer(account, term, offer, kind, offer.recurring_fee, value, number)
    {
        if free_money(account, now) < gross {
            return Subscription {
                state: SubscriptionState::Unpaid,
                renews_at: Some(now.plus_seconds(RETRY_SECONDS)),
                ..subscription.clone()
            };
        }
        events.push(Event::Transferred(Box::new(transfer)));
    }
    add_allowances(state, account, term, offer, events);
    Subscription { state: SubscriptionState::Active, renews_at: term.ends, ..subscription.clone() }
}

/// Last period's buckets of this subscription end; what the offer lets roll over stands one period more.
#[allow(clippy::too_many_arguments)]
fn roll_over(
    state: &State,
    id: AccountId,
    account: &mut Account,
    offer: &Offer,
    subscription: u8,
    next: Option<&Term>,
    now: Timestamp,
    events: &mut Events,
) {
    if next.is_none() {
        expire_buckets(state, id, events, |bucket| bucket.subscription == subscription);
        return;
    }
    // A begun second is the bucket's, and over all the same.
    let by = now.plus_seconds(1);
    let old: Vec<Bucket> = account
        .buckets
        .iter()
        .filter(|bucket| bucket.subscription == subscription && bucket.is_expired(by))
        .cloned()
        .collect();
    for bucket in old {
        let kept = kept_units(offer, &bucket);
        let number = transfer_number(state, id, events);
        let lost = bucket.balance.saturating_sub(kept);
        let transfer = breakage(id, account, &bucket, lost, number);
        events.extend(transfer.map(|transfer| Event::Transferred(Box::new(transfer))));
        events.push(Event::BucketRemoved(id, bucket.id));
        if kept > 0 {
            let rolled = Bucket {
                id: BucketId::new(account.next_bucket),
                rolled_over: true,
                balance: kept,
                held: 0,
                initial: kept,
                value: bucket.deferred_at(kept),
                expires: expiry_seconds(next.and_then(|term| term.ends)),
                ..bucket
            };
            account.next_bucket = account.next_bucket.saturating_add(1);
            events.push(Event::BucketAdded(id, rolled));
        }
    }
}

fn kept_units(offer: &Offer, bucket: &Bucket) -> i64 {
    if bucket.rolled_over {
        return 0;
    }
    let same = |allowance: &&crate::catalogue::Allowance| {
        allowance.unit == bucket.unit
            && allowance.scope == bucket.scope
            && allowance.priority == bucket.priority
    };
    match offer.allowances.iter().find(same).map(|allowance| allowance.rollover) {
        Some(Rollover::OnePeriod(most)) => {
            bucket.balance.min(i64::try_from(most).unwrap_or(i64::MAX)).max(0)
        }
        Some(Rollover::None) | None => 0,
    }
}
