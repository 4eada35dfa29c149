//! Who pays, and from which buckets.
//!
//! Order, fixed and visible: payer rules as they stand; within an account allowances before money,
//! among allowances the earliest expiry, then priority, then the smallest; money the same, the main balance last.

use smallvec::SmallVec;

use super::draft::{CounterOwner, Draft};
use super::group::{Group, GroupKey, Hold, PayerLeg};
use super::session::Context;
use crate::catalogue::Use;
use crate::digits::Digits;
use crate::identifier::{AccountId, BucketId, CarrierId, Identity, LineId, PriceListId};
use crate::money::Amount;
use crate::party::Vno;
use crate::period::calendar_month;
use crate::quantity::Unit;
use crate::service::{Direction, Service};
use crate::state::State;
use crate::subscriber::{Account, Bucket, Counted, CounterKey, Line, Pays, Subscriber, counted};
use crate::time::Timestamp;

/// What one decision is about.
#[derive(Clone, Copy)]
pub(crate) struct Charging<'a> {
    pub state: &'a State,
    pub vno: &'a Vno,
    pub subscriber: &'a Subscriber,
    pub line: &'a Line,
    pub line_id: LineId,
    pub carrier: CarrierId,
    pub context: &'a Context,
    pub now: Timestamp,
    /// When what is charged was granted: caps count it in that day and month, so that who reached one is granted
    /// what follows for nothing whenever it is reported.
    pub granted_at: Timestamp,
}

#[derive(Clone, Copy)]
pub(crate) struct Payer<'a> {
    pub id: AccountId,
    pub account: &'a Account,
    pub pays: Pays,
}

impl<'a> Charging<'a> {
    pub fn usage(&self, key: GroupKey) -> Use<'a> {
        Use {
            service: self.context.service,
            direction: self.context.direction,
            destination: self.context.destination,
            rating_group: key.rating_group,
            service_identifier: key.service_identifier,
            serving_network: self.context.serving_network,
            at: self.now,
            time_zone: &self.vno.time_zone,
        }
    }

    /// The accounts that pay for this use, in order.
    pub fn payers(&self, usage: &Use<'_>) -> SmallVec<[Payer<'a>; 2]> {
        let open = |id: AccountId, pays| Some(Payer { id, account: self.state.account(id)?, pays });
        match &self.line.payer_rules {
            None => {
                let own = AccountId::new(self.line_id.subscriber(), 1);
                open(own, Pays::Everything).into_iter().collect()
            }
            Some(rules) => rules
                .iter()
                .filter(|rule| self.state.registry.covers(rule.scope, usage))
                .filter_map(|rule| open(rule.account, rule.pays))
                .collect(),
        }
    }

    /// Of a group that a content provider sponsors, its account alone.
    pub fn payers_of(&self, group: &Group, usage: &Use<'_>) -> SmallVec<[Payer<'a>; 2]> {
        match group.sponsor {
            Some(id) => {
                let account = self.state.account(id).into_iter();
                account.map(|account| Payer { id, account, pays: Pays::Everything }).collect()
            }
            None => {
                let payers = self.payers(usage);
                // Rules may have changed, or their hour passed: what was granted is paid for by who it was granted on.
                if payers.is_empty() { self.known_payers(group) } else { payers }
            }
        }
    }

    fn known_payers(&self, group: &Group) -> SmallVec<[Payer<'a>; 2]> {
        let known = group.payers.iter().filter_map(|leg| {
            let account = self.state.account(leg.account)?;
            Some(Payer { id: leg.account, account, pays: Pays::Everything })
        });
        known.collect()
    }

    /// Allowances of this unit that cover the use and have something free, in the order in which they are used.
    pub fn allowances(
        &self,
        draft: &Draft,
        payer: &Payer<'a>,
        unit: Unit,
        usage: &Use<'_>,
    ) -> SmallVec<[&'a Bucket; 4]> {
        self.eligible(payer, unit, usage, |bucket| draft.free(payer.id, bucket) > 0)
    }

    fn eligible(
        &self,
        payer: &Payer<'a>,
        unit: Unit,
        usage: &Use<'_>,
        filter: impl Fn(&Bucket) -> bool,
    ) -> SmallVec<[&'a Bucket; 4]> {
        let mut buckets: SmallVec<[&Bucket; 4]> = payer
            .account
            .buckets
            .iter()
            .filter(|bucket| {
                bucket.unit == unit
                    && filter(bucket)
                    && !bucket.is_expired(self.now)
                    && self.state.registry.covers(bucket.scope, usage)
            })
            .collect();
        buckets.sort_by_key(|bucket| {
            let expires = if bucket.expires == 0 { u32::MAX } else { bucket.expires };
            (bucket.is_main(), expires, bucket.priority, bucket.balance)
        });
        buckets
    }

    /// Money that is free for this use, credit limit included.
    pub fn money_free(&self, draft: &Draft, payer: &Payer<'a>, usage: &Use<'_>) -> Amount {
        let mut free = 0i64;
        for bucket in &payer.account.buckets {
            let counts = bucket.unit == Unit::Money
                && !bucket.is_expired(self.now)
                && (bucket.is_main() || self.state.registry.covers(bucket.scope, usage));
            if counts {
                let own = draft.free(payer.id, bucket);
                // A main balance in debt lessens what there is; a bonus bucket cannot be in debt.
                free = free.saturating_add(if bucket.is_main() { own } else { own.max(0) });
            }
        }
        let free = Amount::from_micros(free).saturating_add(payer.account.credit_limit);
        self.spend_left(draft, usage).map_or(free, |left| free.min(left))
    }

    fn spent_key(&self) -> CounterKey {
        let counter = u16::from(self.line_id.number());
        CounterKey { list: PriceListId::SPENT_ON_CALLS, counter, of: Counted::Month }
    }

    fn spend_max(&self, usage: &Use<'_>) -> Option<Amount> {
        if usage.service != Service::Voice {
            return None;
        }
        let own = self.line.calls.as_deref().and_then(|calls| calls.spend_max);
        let of_vno = self.vno.calls.as_deref().and_then(|calls| calls.spend_max);
        own.into_iter().chain(of_vno).min()
    }

    /// What the line may still spend on calls this month, its running calls' reservations taken off.
    fn spend_left(&self, draft: &Draft, usage: &Use<'_>) -> Option<Amount> {
        let most = self.spend_max(usage)?;
        let key = self.spent_key();
        let owner = CounterOwner::Subscriber(self.subscriber.id);
        let month = calendar_month(self.now, &self.vno.time_zone);
        let counters = self.subscriber.counters.as_deref().map_or(&[][..], Vec::as_slice);
        let spent = counted(counters, key, month).saturating_add(draft.counted(owner, key, month));
        let sessions = self.state.sessions_of(self.subscriber.id).iter();
        let own = sessions.filter_map(|id| self.state.sessions.get(id)).filter(|session| {
            session.line == self.line_id && session.context.service == Service::Voice
        });
        let payers = own.flat_map(|session| &session.groups).flat_map(|group| &group.payers);
        let holds = payers.flat_map(|payer| payer.holds.iter().map(|hold| (payer.account, *hold)));
        let now = draft
            .buckets
            .iter()
            .map(|change| (change.account, Hold { bucket: change.bucket, amount: change.held }));
        let is_money = |(account, hold): &(AccountId, Hold)| {
            let bucket = self.state.account(*account).and_then(|one| one.bucket(hold.bucket));
            bucket.is_some_and(|bucket| bucket.unit == Unit::Money)
        };
        let held = holds.chain(now).filter(is_money);
        let held = held.fold(0i64, |sum, (_, hold)| sum.saturating_add(hold.amount));
        let spent = Amount::from_micros(i64::try_from(spent).unwrap_or(i64::MAX));
        Some(most.saturating_sub(spent).saturating_sub(Amount::from_micros(held)))
    }

    /// Counts what a call cost towards its line's limit, where there is one.
    pub fn note_spent(&self, draft: &mut Draft, usage: &Use<'_>, amount: Amount) {
        if self.spend_max(usage).is_none() {
            return;
        }
        let units = u64::try_from(amount.micros()).unwrap_or(0);
        let month = calendar_month(self.now, &self.vno.time_zone);
        draft.count(CounterOwner::Subscriber(self.subscriber.id), self.spent_key(), month, units);
    }

    /// The caller's number: as it was said, or the line's own for what it begins itself.
    pub fn origin(&self) -> Option<Digits> {
        let is_own = self.context.direction == Direction::Originating;
        let own = || self.line.identities.iter().find_map(Identity::digits);
        self.context.origin.or_else(|| own().filter(|_| is_own))
    }

    /// How long a call that the line makes or forwards may last: the shorter of what line and VNO allow.
    /// None: as long as there is money.
    pub fn call_seconds_max(&self) -> Option<u64> {
        let is_taken = self.context.direction == Direction::Terminating;
        if self.context.service != Service::Voice || is_taken {
            return None;
        }
        let own = self.line.calls.as_deref().map(|calls| calls.seconds_max);
        let of_vno = self.vno.calls.as_deref().map(|calls| calls.seconds_max);
        own.into_iter().chain(of_vno).filter(|most| *most > 0).min().map(u64::from)
    }

    fn carried_key(&self) -> (CounterKey, u32) {
        let key = CounterKey { list: PriceListId::CARRIED, counter: 0, of: Counted::Month };
        (key, calendar_month(self.now, "UTC"))
    }

    /// What the carrier was promised this month, if anything.
    fn committed_seconds(&self) -> Option<u64> {
        let promised = self.state.registry.carrier(self.carrier)?.committed_seconds;
        let carries = self.context.service == Service::Voice
            && self.context.direction != Direction::Terminating;
        Some(promised).filter(|promised| *promised > 0 && carries)
    }

    /// Seconds of calls that the carrier still has to get this month.
    pub fn seconds_owed(&self) -> u64 {
        let (key, month) = self.carried_key();
        let carried = || counted(self.state.carrier_counters(self.carrier), key, month);
        self.committed_seconds().map_or(0, |promised| promised.saturating_sub(carried()))
    }

    /// Counts what the carrier carried towards what it was promised.
    pub fn note_carried(&self, draft: &mut Draft, seconds: u64) {
        if self.committed_seconds().is_some() {
            let (key, month) = self.carried_key();
            draft.count(CounterOwner::Carrier(self.carrier), key, month, seconds);
        }
    }

    /// Splits an amount of money over the account's buckets: bonus money first, all that is left on the main balance.
    fn spread(
        &self,
        draft: &Draft,
        payer: &Payer<'a>,
        usage: &Use<'_>,
        amount: Amount,
    ) -> SmallVec<[(BucketId, i64); 2]> {
        let mut parts = SmallVec::new();
        let mut left = amount.micros();
        if left > 0 && payer.account.buckets.len() > 1 {
            let bonus = |bucket: &Bucket| !bucket.is_main() && draft.free(payer.id, bucket) > 0;
            for bucket in self.eligible(payer, Unit::Money, usage, bonus) {
                let part = draft.free(payer.id, bucket).min(left);
                if part > 0 {
                    parts.push((bucket.id, part));
                    left -= part;
                }
            }
        }
        if left != 0 {
            parts.push((Account::MAIN, left));
        }
        parts
    }

    /// Takes money; a negative amount gives back to the main balance.
    pub fn pay(&self, draft: &mut Draft, payer: &Payer<'a>, usage: &Use<'_>, amount: Amount) {
        for (bucket, part) in self.spread(draft, payer, usage, amount) {
            draft.take(payer.id, bucket, part);
        }
    }

    /// Reserves money.
    pub fn hold_money(
        &self,
        draft: &mut Draft,
        payer: &Payer<'a>,
        usage: &Use<'_>,
        leg: &mut PayerLeg,
        amount: Amount,
    ) {
        for (bucket, part) in self.spread(draft, payer, usage, amount) {
            hold(draft, leg, bucket, part);
        }
    }

    /// What the VNO may still spend with the broker.
    pub fn wholesale_free(&self, draft: &Draft) -> Amount {
        let held = self.state.tally(self.vno.id).map_or(Amount::ZERO, |tally| tally.held);
        self.state
            .vno_balance(self.vno.id)
            .saturating_add(self.vno.credit_limit)
            .saturating_sub(held)
            .saturating_add(Amount::from_micros(draft.wholesale_balance))
            .saturating_sub(Amount::from_micros(draft.wholesale_held))
    }
}

/// Reserves units or money of one bucket for a payer.
pub(super) fn hold(draft: &mut Draft, leg: &mut PayerLeg, bucket: BucketId, amount: i64) {
    draft.hold(leg.account, bucket, amount);
    match leg.holds.iter_mut().find(|hold| hold.bucket == bucket) {
        Some(hold) => hold.amount = hold.amount.saturating_add(amount),
        None => leg.holds.push(Hold { bucket, amount }),
    }
}
