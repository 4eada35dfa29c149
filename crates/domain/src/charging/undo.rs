//! A refund that names its debit (Refund-Information, TS 32.299 section 7.2.157): every leg of the debit goes back.
//!
//! A debit of `n` units of which `k` are kept has charged each leg `k/n` of what it charged at first, rounded to the
//! nearest millionth. What goes back is the difference between two such states: giving back in parts gives back exactly
//! what giving back at once would.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::funds::Charging;
use super::group::{Group, Meter, Wholesale};
use super::request::{Declined, EventAnswer, EventRequest};
use super::session::EndCause;
use super::{BucketChange, named};
use crate::content::{ContentEntry, ContentEntryKind};
use crate::event::{Event, Transfer, TransferKind, Undoes};
use crate::identifier::SessionId;
use crate::ledger::Entry;
use crate::money::{Amount, Money, Rounding};
use crate::quantity::Unit;
use crate::subscriber::Account;
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

    pub(crate) fn note(&mut self, undoes: Undoes, at: Timestamp) {
        self.units.insert(undoes.session, (at, undoes.units));
        self.order.push_back((at, undoes.session));
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

/// Gives back what the request asks for of the debit, or all that is left of it.
pub(super) fn undo(
    charging: &Charging<'_>,
    request: &EventRequest,
    debit: &NamedDebit,
) -> Result<(EventAnswer, Option<Event>), Declined> {
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
    let (vno, mut entry) = (charging.vno.id, Entry::new());
    later.post_since(Some(&earlier), &mut entry, vno, session.carrier);
    let less = |of: fn(&Group) -> Amount| of(&earlier).saturating_sub(of(&later));
    let number = charging.state.tally(vno).map_or(0, |tally| tally.transfers) + 1;
    let transfer = Transfer {
        vno,
        number,
        kind: TransferKind::Refund,
        postings: entry.into_postings(),
        buckets,
        subscription: None,
        note: None,
        content: content_entry(charging, &earlier, &later).map(Box::new),
        undoes: Some(Undoes { session: session.id, units: before + asked }),
    };
    let answer = EventAnswer {
        unit: group.unit,
        granted: 0,
        cost: group.currency().map(|currency| Money::new(less(Group::retail_gross), currency)),
        has_credit: None,
        is_free: false,
        failure_handling: None,
        debit: None,
    };
    Ok((answer, Some(Event::Transferred(Box::new(transfer)))))
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

/// What the provider gives back stands on its remittance like what it got.
fn content_entry(charging: &Charging<'_>, earlier: &Group, later: &Group) -> Option<ContentEntry> {
    let (before, after) = (earlier.content?, later.content?);
    let tax = |group: &Group| group.retail_gross().saturating_sub(group.retail_net());
    Some(ContentEntry {
        kind: ContentEntryKind::Refund,
        provider: before.provider,
        vno: charging.vno.id,
        line: Some(charging.line_id),
        payment: None,
        currency: earlier.currency().unwrap_or(before.currency),
        net: later.retail_net().saturating_sub(earlier.retail_net()),
        tax: tax(later).saturating_sub(tax(earlier)),
        merchant_tax: Amount::ZERO,
        share_currency: before.currency,
        share: after.share.saturating_sub(before.share),
        share_base: Amount::ZERO,
        wholesale_currency: charging.vno.wholesale_currency,
        wholesale: Amount::ZERO,
        month: None,
    })
}
