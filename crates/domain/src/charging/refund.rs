//! Refunds (RFC 8506 section 6.4), of a debit that is named or by today's price.
//!
//! One that names its debit (Refund-Information, TS 32.299) gives back every leg of it. A debit of `n` units of which `k`
//! are kept has charged each leg `k/n` of what it charged at first, rounded to the nearest millionth. What goes back is the
//! difference between two such states: giving back in parts gives back exactly what giving back at once would.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::funds::Charging;
use super::group::{Group, Meter, Wholesale};
use super::one_time::{named_of, priced_alone};
use super::request::{Declined, EventAnswer, EventRequest};
use super::session::EndCause;
use super::{BucketChange, named, rates};
use crate::content::{ContentEntry, ContentEntryKind};
use crate::event::{Event, RefundedDebit, Transfer, TransferKind};
use crate::identifier::{ContentProviderId, SessionId};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Currency, Money, Rounding};
use crate::quantity::Unit;
use crate::subscriber::{Account, Pays};
use crate::time::Timestamp;
use crate::usage_record::UsageRecord;

/// The debit that a refund names, as the books had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDebit {
    pub session: SessionId,
    /// None: there is none.
    pub record: Option<Box<UsageRecord>>,
    /// The books held everything that was answered before.
    pub read_at: Timestamp,
}

/// What was given back a moment ago, which who reads the books may not have seen.
#[derive(Clone, Debug, Default)]
pub struct RecentRefunds {
    units: BTreeMap<SessionId, (Timestamp, u64)>,
    order: VecDeque<(Timestamp, SessionId)>,
}

impl RecentRefunds {
    /// What was read from the books longer ago is not gone by.
    const FRESH_SECONDS: u64 = 60;
    const KEPT_SECONDS: u64 = 2 * Self::FRESH_SECONDS;

    fn of(&self, session: SessionId) -> u64 {
        self.units.get(&session).map_or(0, |(_, units)| *units)
    }

    pub(crate) fn note(&mut self, refunded: RefundedDebit, at: Timestamp) {
        self.units.insert(refunded.session, (at, refunded.units));
        self.order.push_back((at, refunded.session));
        while let Some((noted_at, oldest)) = self.order.front().copied()
            && noted_at.plus_seconds(Self::KEPT_SECONDS) <= at
        {
            self.order.pop_front();
            if self.units.get(&oldest).is_some_and(|(at, _)| *at == noted_at) {
                self.units.remove(&oldest);
            }
        }
    }
}

type Refunded = Result<(EventAnswer, Option<Event>), Declined>;

pub(super) fn refund(charging: &Charging<'_>, request: &EventRequest) -> Refunded {
    match &request.debit {
        Some(debit) => of_debit(charging, request, debit),
        None => by_price(charging, request),
    }
}

fn given_back(
    charging: &Charging<'_>,
    entry: Entry,
    buckets: SmallVec<[BucketChange; 4]>,
    content: Option<ContentEntry>,
    refunds: Option<RefundedDebit>,
) -> Event {
    let vno = charging.vno.id;
    let number = charging.state.tally(vno).map_or(0, |tally| tally.transfers) + 1;
    Event::Transferred(Box::new(Transfer {
        vno,
        number,
        kind: TransferKind::Refund,
        postings: entry.into_postings(),
        buckets,
        subscription: None,
        note: None,
        content: content.map(Box::new),
        refunds,
    }))
}

/// What the provider gives back stands on its remittance like what it got.
fn content_entry(
    charging: &Charging<'_>,
    provider: ContentProviderId,
    currency: Currency,
    [net, tax, share]: [Amount; 3],
    wholesale: Money,
) -> ContentEntry {
    ContentEntry {
        kind: ContentEntryKind::Refund,
        provider,
        vno: charging.vno.id,
        line: Some(charging.line_id),
        payment: None,
        currency,
        net: net.negated(),
        tax: tax.negated(),
        merchant_tax: Amount::ZERO,
        share_currency: currency,
        share: share.negated(),
        share_base: Amount::ZERO,
        wholesale_currency: wholesale.currency,
        wholesale: wholesale.amount.negated(),
        month: None,
    }
}

/// Of no debit that is named: to the account that pays first. Units are valued at today's price, under a cap as the first
/// of its day; the cap's room stays as it is.
fn by_price(charging: &Charging<'_>, request: &EventRequest) -> Refunded {
    let usage = charging.usage(request.group);
    let payers = charging.payers(&usage);
    let payer =
        payers.iter().find(|payer| payer.pays == Pays::Everything).ok_or(Declined::NoPayer)?;
    let (net, tax, currency) = match named_of(charging, request) {
        Some(money) => (money.amount, Amount::ZERO, money.currency),
        None => {
            let (group, currency) = priced_alone(charging, request)?;
            (group.retail_net(), group.retail_tax(), currency)
        }
    };
    if currency != payer.account.currency {
        return Err(Declined::CurrencyMismatch);
    }
    let amount = net.saturating_add(tax);
    if !amount.is_positive() || amount > Amount::LARGEST {
        return Err(Declined::AmountOutOfRange);
    }
    let vno = charging.vno.id;
    let mut entry = Entry::new();
    let account = LedgerAccount::Subscriber(payer.id);
    entry.transfer(LedgerAccount::VnoRevenue(vno), account, currency, net);
    entry.transfer(LedgerAccount::Tax(vno), account, currency, tax);
    let mut content = None;
    if let Some(leg) = rates::content(charging, request.group, currency)
        && let Some(provider) = charging.state.registry.content_provider(leg.provider)
    {
        let share = provider.share_of(net);
        let (from, to) =
            (LedgerAccount::ContentProviderPayable(provider.id), LedgerAccount::ContentShare(vno));
        entry.transfer(from, to, currency, share);
        let wholesale = Money::new(Amount::ZERO, charging.vno.wholesale_currency);
        let legs = [net, tax, share];
        content = Some(content_entry(charging, provider.id, currency, legs, wholesale));
    }
    let change = BucketChange {
        account: payer.id,
        bucket: Account::MAIN,
        balance: amount.micros(),
        held: 0,
    };
    let buckets = SmallVec::from_iter([change]);
    let cost = Some(Money::new(amount, currency));
    let answer = EventAnswer { cost, ..EventAnswer::of(Unit::Money) };
    Ok((answer, Some(given_back(charging, entry, buckets, content, None))))
}

/// What the request asks for of the debit, or all that is left of it.
fn of_debit(charging: &Charging<'_>, request: &EventRequest, debit: &NamedDebit) -> Refunded {
    let record = debit.record.as_deref().ok_or(Declined::UnknownDebit)?;
    let session = &record.session;
    let is_own = session.line == charging.line_id && session.carrier == charging.carrier;
    let is_fresh = debit.read_at.plus_seconds(RecentRefunds::FRESH_SECONDS) >= charging.now;
    let [group] = session.groups.as_slice() else { return Err(Declined::UnknownDebit) };
    if !is_own || !is_fresh || record.cause != EndCause::Event {
        return Err(Declined::UnknownDebit);
    }
    let before = record.refunded.max(charging.state.refunded.of(session.id));
    let left = group.used.saturating_sub(before);
    let asked = asked(charging, request, group)?.unwrap_or(left);
    if asked == 0 || asked > left {
        return Err(Declined::AmountOutOfRange);
    }
    let earlier = kept(group, left);
    let mut later = kept(group, left - asked);
    let buckets = bucket_changes(charging, &earlier, &mut later)?;
    let mut entry = Entry::new();
    later.post_since(Some(&earlier), &mut entry, charging.vno.id, session.carrier);
    let less = |of: fn(&Group) -> Amount| of(&earlier).saturating_sub(of(&later));
    let content = earlier.content.map(|leg| {
        let share = less(|group| group.content.map_or(Amount::ZERO, |leg| leg.share));
        let wholesale = Money::new(
            less(Group::wholesale_net),
            earlier.wholesale_currency().unwrap_or(charging.vno.wholesale_currency),
        );
        let legs = [less(Group::retail_net), less(Group::retail_tax), share];
        content_entry(charging, leg.provider, leg.currency, legs, wholesale)
    });
    let cost = group.currency().map(|currency| Money::new(less(Group::retail_gross), currency));
    let answer = EventAnswer { cost, ..EventAnswer::of(group.unit) };
    let refunds = RefundedDebit { session: session.id, units: before + asked };
    Ok((answer, Some(given_back(charging, entry, buckets, content, Some(refunds)))))
}

/// None: all that is left.
fn asked(
    charging: &Charging<'_>,
    request: &EventRequest,
    group: &Group,
) -> Result<Option<u64>, Declined> {
    if request.units.is_empty() {
        return Ok(None);
    }
    if let Some(amount) = request.units.money.filter(|_| group.unit == Unit::Money)
        && Some(named::money(charging, amount).currency) != group.currency()
    {
        return Err(Declined::CurrencyMismatch);
    }
    request.units.of(group.unit).map(Some).ok_or(Declined::UnitMismatch)
}

/// The debit as if only so many of its units had been used.
fn kept(group: &Group, units: u64) -> Group {
    let whole = i128::from(group.used.max(1));
    let part = |amount: &mut Amount| {
        let exact = i128::from(amount.micros()) * i128::from(units);
        // A part of an amount is no larger than the amount.
        *amount = Amount::from_wide(Rounding::HalfEven.divide(exact, whole)).unwrap_or(*amount);
    };
    let part_of_meter = |meter: &mut Meter| {
        part(&mut meter.net);
        part(&mut meter.tax);
    };
    let mut kept = group.clone();
    for payer in &mut kept.payers {
        part_of_meter(&mut payer.meter);
        for draw in &mut payer.draws {
            let exact = u128::from(draw.units) * u128::from(units) / whole.unsigned_abs();
            draw.units = u64::try_from(exact).unwrap_or(draw.units);
        }
    }
    match &mut kept.wholesale {
        Some(Wholesale::Rated(leg)) => part_of_meter(&mut leg.meter),
        Some(Wholesale::RetailMinus { net, .. } | Wholesale::CostPlus { net, .. }) => part(net),
        None => {}
    }
    if let Some(burst) = &mut kept.burst {
        part(&mut burst.fee);
    }
    if let Some(cost) = &mut kept.cost {
        part_of_meter(&mut cost.meter);
    }
    if let Some(content) = &mut kept.content {
        part(&mut content.share);
    }
    kept
}

/// Money goes onto the main balance of who paid it, units into the allowance that they came from. An allowance that has
/// ended since takes none back: what it was worth has been earned.
fn bucket_changes(
    charging: &Charging<'_>,
    earlier: &Group,
    later: &mut Group,
) -> Result<SmallVec<[BucketChange; 4]>, Declined> {
    let mut changes = SmallVec::new();
    for (before, after) in earlier.payers.iter().zip(&mut later.payers) {
        let account = charging.state.account(before.account).ok_or(Declined::NoPayer)?;
        let mut give = |bucket, balance: i64| {
            if balance != 0 {
                changes.push(BucketChange { account: before.account, bucket, balance, held: 0 });
            }
        };
        let money = before.meter.gross().saturating_sub(after.meter.gross());
        give(Account::MAIN, money.micros());
        for (drawn, draw) in before.draws.iter().zip(&mut after.draws) {
            let bucket = account
                .buckets
                .iter()
                .find(|bucket| bucket.id == drawn.bucket && !bucket.is_expired(charging.now));
            let Some(bucket) = bucket else { continue };
            let units = i64::try_from(drawn.units.saturating_sub(draw.units))
                .map_err(|_| Declined::AmountOutOfRange)?;
            let filled = bucket.balance.checked_add(units).ok_or(Declined::AmountOutOfRange)?;
            let deferred =
                bucket.deferred_at(filled).saturating_sub(bucket.deferred_at(bucket.balance));
            draw.earned = drawn.earned.saturating_sub(deferred);
            give(drawn.bucket, units);
        }
    }
    Ok(changes)
}
