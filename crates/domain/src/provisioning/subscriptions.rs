//! Offers held by subscribers: bought, renewed, cancelled; fees and allowances.

use super::money::part;
use super::{Desk, Events, Outcome};
use crate::catalogue::{Offer, Proration};
use crate::charging::{self, BucketChange};
use crate::command::{Noun, Receipt, Refused};
use crate::event::{Event, Transfer, TransferKind};
use crate::identifier::{AccountId, BucketId, OfferId, SubscriberId, SubscriptionId, VnoId};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Rounding};
use crate::period::Period;
use crate::quantity::Unit;
use crate::state::State;
use crate::subscriber::{Account, Bucket, Subscription, SubscriptionState};
use crate::time::Timestamp;

const SUBSCRIPTIONS_MAX: u8 = 250;

impl Desk<'_> {
    pub(super) fn sellable(&self, offer: OfferId, vno: VnoId) -> Result<&Offer, Refused> {
        let own = self.state.registry.offer(offer).filter(|offer| offer.vno == vno);
        let offer = own.ok_or(Refused::NotFound(Noun::Offer))?;
        if offer.withdrawn { Err(Refused::WrongState("the offer is withdrawn")) } else { Ok(offer) }
    }

    pub(super) fn subscribe(
        &self,
        id: SubscriberId,
        offer: OfferId,
        account: Option<AccountId>,
    ) -> Outcome {
        let subscriber = self.own_subscriber(id)?;
        let offer = self.sellable(offer, id.vno())?;
        let account = account.unwrap_or(AccountId::new(id, 1));
        let own = (account.subscriber() == id).then(|| subscriber.account(account)).flatten();
        let mut account = own.ok_or(Refused::NotFound(Noun::Account))?.clone();
        let last = subscriber.subscriptions.iter().map(|one| one.number).max().unwrap_or(0);
        if last >= SUBSCRIPTIONS_MAX {
            return Err(Refused::WrongState("the subscriber has held 250 subscriptions"));
        }
        let mut events = Events::new();
        self.begin_subscription(id, &mut account, last + 1, offer, &mut events)?;
        events.extend(charging::reauthorise(self.state, id, true, self.now));
        Ok((Receipt::Subscription(SubscriptionId::new(id, last + 1)), events))
    }

    /// Takes the fees and gives the allowances of the first period. `account` is kept as it will be.
    pub(super) fn begin_subscription(
        &self,
        id: SubscriberId,
        account: &mut Account,
        number: u8,
        offer: &Offer,
        events: &mut Events,
    ) -> Result<(), Refused> {
        let vno = self.state.registry.vno(id.vno()).ok_or(Refused::NotFound(Noun::Vno))?;
        let whole = (1, 1);
        let share = match (offer.period, offer.proration) {
            (Some(period), Proration::Daily) => period.days_left(self.now, &vno.time_zone),
            _ => whole,
        };
        let ends = period_end(offer, self.now, self.now, &vno.time_zone);
        let term = Term { subscriber: id, number, ends, share };
        let fees = [
            (TransferKind::OneTimeFee, offer.one_time_fee, whole),
            (TransferKind::RecurringFee, offer.recurring_fee, share),
        ];
        // Allowances of a one-off purchase are paid by its one-time fee.
        let valued = if offer.period.is_some() {
            TransferKind::RecurringFee
        } else {
            TransferKind::OneTimeFee
        };
        for (kind, fee, share) in fees {
            let value = if kind == valued { allowance_value(offer, share) } else { Amount::ZERO };
            let net = part(fee, share.0, share.1);
            let number = transfer_number(self.state, AccountId::new(id, account.number), events);
            let transfer = fee_transfer(account, &term, offer, kind, net, value, number);
            if let Some((transfer, gross)) = transfer {
                if free_money(account, self.now) < gross {
                    return Err(Refused::InsufficientBalance);
                }
                take(account, gross);
                events.push(Event::Transferred(Box::new(transfer)));
            }
        }
        add_allowances(self.state, account, &term, offer, events);
        events.push(Event::SubscriptionSet(
            id,
            Subscription {
                number,
                state: SubscriptionState::Active,
                account: account.number,
                offer: offer.id,
                started_at: self.now,
                renews_at: ends,
            },
        ));
        Ok(())
    }

    pub(super) fn cancel(&self, id: SubscriptionId, at_once: bool) -> Outcome {
        let subscriber = self.own_subscriber(id.subscriber())?;
        let known = subscriber.subscription(id).filter(|one| one.state.is_live());
        let known = known.ok_or(Refused::NotFound(Noun::Subscription))?;
        let runs_out =
            !at_once && known.renews_at.is_some() && known.state == SubscriptionState::Active;
        let mut events = Events::new();
        let next = if runs_out {
            Subscription { state: SubscriptionState::Cancelled, ..known.clone() }
        } else {
            let account = AccountId::new(id.subscriber(), known.account);
            expire_buckets(self.state, account, &mut events, |bucket| {
                bucket.subscription == known.number
            });
            Subscription { state: SubscriptionState::Ended, renews_at: None, ..known.clone() }
        };
        events.push(Event::SubscriptionSet(id.subscriber(), next));
        events.extend(charging::reauthorise(self.state, id.subscriber(), true, self.now));
        Ok((Receipt::Done, events))
    }
}

/// One period of one subscription.
pub(super) struct Term {
    pub subscriber: SubscriberId,
    pub number: u8,
    pub ends: Option<Timestamp>,
    /// The part of the whole period that it is.
    pub share: (u64, u64),
}

pub(super) fn period_end(
    offer: &Offer,
    anchor: Timestamp,
    now: Timestamp,
    time_zone: &str,
) -> Option<Timestamp> {
    match (offer.period, offer.validity_days) {
        (Some(period), _) => Some(period.end_after(anchor, now, time_zone)),
        (None, Some(days)) => Some(Period::Days(days).end_after(now, now, time_zone)),
        (None, None) => None,
    }
}

pub(super) fn allowance_value(offer: &Offer, share: (u64, u64)) -> Amount {
    let values = offer.allowances.iter().map(|allowance| part(allowance.value, share.0, share.1));
    values.fold(Amount::ZERO, Amount::saturating_add)
}

/// Money that can pay a fee: the main balance without what sessions hold, with the credit limit.
pub(super) fn free_money(account: &Account, now: Timestamp) -> Amount {
    let main = account.bucket(Account::MAIN).filter(|main| !main.is_expired(now));
    let free = main.map_or(0, |main| main.balance.saturating_sub(main.held));
    Amount::from_micros(free).saturating_add(account.credit_limit)
}

fn take(account: &mut Account, amount: Amount) {
    if let Some(main) = account.bucket_mut(Account::MAIN) {
        main.balance = main.balance.saturating_sub(amount.micros());
    }
}

/// The transfer that takes a fee with its tax, and the gross. None when there is nothing to take.
pub(super) fn fee_transfer(
    account: &Account,
    term: &Term,
    offer: &Offer,
    kind: TransferKind,
    net: Amount,
    value: Amount,
    number: u64,
) -> Option<(Transfer, Amount)> {
    if net.is_zero() {
        return None;
    }
    let exact = i128::from(net.micros()) * i128::from(offer.tax_basis_points);
    let tax = Amount::from_wide(Rounding::HalfUp.divide(exact, 10_000)).unwrap_or(Amount::ZERO);
    let gross = net.saturating_add(tax);
    let vno = term.subscriber.vno();
    let id = AccountId::new(term.subscriber, account.number);
    let payer = LedgerAccount::Subscriber(id);
    let deferred = value.min(net);
    let mut entry = Entry::new();
    let earned = net.saturating_sub(deferred);
    entry.transfer(payer, LedgerAccount::VnoRevenue(vno), account.currency, earned);
    entry.transfer(payer, LedgerAccount::VnoDeferred(vno), account.currency, deferred);
    entry.transfer(payer, LedgerAccount::Tax(vno), account.currency, tax);
    let change =
        BucketChange { account: id, bucket: Account::MAIN, balance: -gross.micros(), held: 0 };
    let transfer = Transfer {
        vno,
        number,
        kind,
        postings: entry.into_postings(),
        buckets: smallvec::SmallVec::from_iter([change]),
        subscription: Some(SubscriptionId::new(term.subscriber, term.number)),
        note: None,
        content: None,
        refunds: None,
    };
    Some((transfer, gross))
}

/// Buckets of one period. Money allowances are bonus money, given by the VNO.
pub(super) fn add_allowances(
    state: &State,
    account: &mut Account,
    term: &Term,
    offer: &Offer,
    events: &mut Events,
) {
    let id = AccountId::new(term.subscriber, account.number);
    for allowance in &offer.allowances {
        let quantity = u128::from(allowance.quantity) * u128::from(term.share.0);
        let quantity =
            i64::try_from(quantity / u128::from(term.share.1.max(1))).unwrap_or(i64::MAX);
        let is_money = allowance.unit == Unit::Money;
        let bucket = Bucket {
            id: BucketId::new(account.next_bucket),
            unit: allowance.unit,
            scope: allowance.scope,
            priority: allowance.priority,
            subscription: term.number,
            rolled_over: false,
            balance: if is_money { 0 } else { quantity },
            held: 0,
            initial: quantity,
            value: part(allowance.value, term.share.0, term.share.1),
            expires: expiry_seconds(term.ends),
        };
        account.next_bucket = account.next_bucket.saturating_add(1);
        let bucket_id = bucket.id;
        events.push(Event::BucketAdded(id, bucket));
        if is_money {
            let number = transfer_number(state, id, events);
            events.push(Event::Transferred(Box::new(bonus(
                account, term, bucket_id, quantity, number,
            ))));
        }
    }
}

fn bonus(account: &Account, term: &Term, bucket: BucketId, quantity: i64, number: u64) -> Transfer {
    let id = AccountId::new(term.subscriber, account.number);
    let mut entry = Entry::new();
    let (from, to) = (LedgerAccount::VnoClearing(id.vno()), LedgerAccount::Subscriber(id));
    entry.transfer(from, to, account.currency, Amount::from_micros(quantity));
    Transfer {
        vno: id.vno(),
        number,
        kind: TransferKind::Adjustment,
        postings: entry.into_postings(),
        buckets: smallvec::SmallVec::from_iter([BucketChange {
            account: id,
            bucket,
            balance: quantity,
            held: 0,
        }]),
        subscription: Some(SubscriptionId::new(term.subscriber, term.number)),
        note: None,
        content: None,
        refunds: None,
    }
}

/// The next transfer's number, after those of this decision.
pub(super) fn transfer_number(state: &State, id: AccountId, events: &Events) -> u64 {
    let earlier = events.iter().filter(|event| matches!(event, Event::Transferred(_))).count();
    state.tally(id.vno()).map_or(0, |tally| tally.transfers) + 1 + earlier as u64
}

pub(super) fn expiry_seconds(ends: Option<Timestamp>) -> u32 {
    // A begun second is the bucket's: it does not end before its subscription renews.
    let seconds = |ends: Timestamp| {
        ends.millis().div_euclid(1000) + i64::from(ends.millis().rem_euclid(1000) > 0)
    };
    ends.map_or(0, |ends| u32::try_from(seconds(ends)).unwrap_or(u32::MAX))
}

/// Ends buckets: what is left of their value becomes breakage.
pub(super) fn expire_buckets(
    state: &State,
    id: AccountId,
    events: &mut Events,
    concerns: impl Fn(&Bucket) -> bool,
) {
    let Some(account) = state.account(id) else {
        return;
    };
    for bucket in account.buckets.iter().filter(|bucket| concerns(bucket)) {
        let number = transfer_number(state, id, events);
        events.extend(
            breakage(id, account, bucket, bucket.balance, number)
                .map(|t| Event::Transferred(Box::new(t))),
        );
        if bucket.is_main() {
            events.push(Event::MainBalanceExpiry(id, 0));
        } else {
            events.push(Event::BucketRemoved(id, bucket.id));
        }
    }
}

/// What goes when `units` of a bucket are lost.
pub(super) fn breakage(
    id: AccountId,
    account: &Account,
    bucket: &Bucket,
    units: i64,
    number: u64,
) -> Option<Transfer> {
    let vno = id.vno();
    let to = LedgerAccount::VnoBreakage(vno);
    // What running sessions hold of the main balance stays for them.
    let lost = if bucket.is_main() { units.saturating_sub(bucket.held) } else { units };
    if lost <= 0 {
        return None;
    }
    let (from, amount) = if bucket.unit == Unit::Money {
        (LedgerAccount::Subscriber(id), Amount::from_micros(lost))
    } else {
        let left = bucket.balance.saturating_sub(lost);
        let value = bucket.deferred_at(bucket.balance).saturating_sub(bucket.deferred_at(left));
        (LedgerAccount::VnoDeferred(vno), value)
    };
    let mut entry = Entry::new();
    entry.transfer(from, to, account.currency, amount);
    let change = BucketChange { account: id, bucket: bucket.id, balance: -lost, held: 0 };
    let subscription = (bucket.subscription != 0)
        .then(|| SubscriptionId::new(id.subscriber(), bucket.subscription));
    Some(Transfer {
        vno,
        number,
        kind: TransferKind::Breakage,
        postings: entry.into_postings(),
        buckets: smallvec::SmallVec::from_iter([change]),
        subscription,
        note: None,
        content: None,
        refunds: None,
    })
}
