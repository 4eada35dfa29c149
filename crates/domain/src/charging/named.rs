//! Money that the switch names itself (CC-Money, RFC 8506 section 8.22): it has priced the use, no list of ours does.
//! Debited at once by an event, or reserved and reported within a session.

use smallvec::SmallVec;

use super::draft::Draft;
use super::funds::{Charging, Payer};
use super::grant::release;
use super::group::{Group, GroupKey, PayerLeg, Phase, Wholesale};
use super::hold::keep_holds;
use super::rates;
use super::request::{Declined, FinalUnit, Granted, GroupOutcome, NamedMoney, UnitCounts};
use super::settle::{leg_of, share_content};
use super::wholesale;
use crate::money::{Amount, Currency, Money};
use crate::quantity::Unit;
use crate::subscriber::Pays;

/// In the currency it was named in, or else in that of the subscriber's own account.
pub(super) fn money(charging: &Charging<'_>, named: NamedMoney) -> Money {
    let own = charging.subscriber.accounts.first().map(|account| account.currency);
    let currency = named.currency.or(own).unwrap_or(charging.vno.wholesale_currency);
    Money::new(named.amount, currency)
}

/// A group without a price of ours.
pub(super) fn begin(charging: &Charging<'_>, key: GroupKey, currency: Currency) -> Group {
    let wholesale = wholesale::derived_terms(charging);
    let wholesale = wholesale.filter(|terms| matches!(terms, Wholesale::RetailMinus { .. }));
    Group {
        key,
        unit: Unit::Money,
        started_at: charging.now,
        retail: None,
        used: 0,
        billable: 0,
        payers: SmallVec::new(),
        wholesale,
        cost: None,
        granted: 0,
        wholesale_hold: Amount::ZERO,
        phase: Phase::Idle,
        overrun: 0,
        content: rates::content(charging, key, currency),
        sponsor: None,
        reported_at: None,
        pool: None,
        burst: None,
    }
}

/// The accounts that may pay this, in order.
fn able<'a>(
    charging: &Charging<'a>,
    group: &Group,
    currency: Currency,
) -> Result<SmallVec<[Payer<'a>; 2]>, Declined> {
    let mut payers = charging.payers_of(group, &charging.usage(group.key));
    payers.retain(|payer| payer.pays == Pays::Everything);
    if payers.is_empty() {
        return Err(Declined::NoPayer);
    }
    payers.retain(|payer| payer.account.currency == currency);
    if payers.is_empty() { Err(Declined::CurrencyMismatch) } else { Ok(payers) }
}

/// Amounts of a group add up: they are all of one currency.
fn keeps_currency(group: &Group, currency: Currency) -> Result<(), Declined> {
    let differs = group.currency().is_some_and(|known| known != currency);
    if differs { Err(Declined::CurrencyMismatch) } else { Ok(()) }
}

/// Takes all of it from the first account that has it, or nothing.
pub(super) fn take(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    money: Money,
) -> Result<(), Declined> {
    let usage = charging.usage(group.key);
    let payers = able(charging, group, money.currency)?;
    let covers = |payer: &&Payer<'_>| charging.money_free(draft, payer, &usage) >= money.amount;
    let payer = payers.iter().find(covers).ok_or(Declined::InsufficientBalance)?;
    charge(charging, draft, group, payer, money.amount)
}

/// Debits what a session's report names, whether or not there is cover: it was used.
pub(super) fn report(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    counts: &UnitCounts,
) -> Result<(), Declined> {
    let Some(named) = counts.money else {
        return if counts.is_empty() { Ok(()) } else { Err(Declined::UnitMismatch) };
    };
    let money = money(charging, named);
    keeps_currency(group, money.currency)?;
    if money.amount == Amount::ZERO {
        return Ok(());
    }
    if !money.amount.is_positive() {
        return Err(Declined::AmountOutOfRange);
    }
    let micros = u64::try_from(money.amount.micros()).map_err(|_| Declined::AmountOutOfRange)?;
    group.overrun = group.overrun.saturating_add(micros.saturating_sub(group.granted));
    group.granted = group.granted.saturating_sub(micros);
    let usage = charging.usage(group.key);
    let payers = able(charging, group, money.currency)?;
    let covers = |payer: &&Payer<'_>| charging.money_free(draft, payer, &usage) >= money.amount;
    let payer = payers.iter().find(covers).or(payers.last()).ok_or(Declined::NoPayer)?;
    charge(charging, draft, group, payer, money.amount)
}

fn charge(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    payer: &Payer<'_>,
    amount: Amount,
) -> Result<(), Declined> {
    let leg = leg_of(&mut group.payers, payer);
    let net = leg.meter.net.saturating_add(amount);
    if net > Amount::LARGEST {
        return Err(Declined::AmountOutOfRange);
    }
    leg.meter.net = net;
    let used = group.retail_net().micros();
    group.used = u64::try_from(used).map_err(|_| Declined::AmountOutOfRange)?;
    group.billable = group.used;
    let usage = charging.usage(group.key);
    charging.pay(draft, payer, &usage, amount);
    charging.note_spent(draft, &usage, amount);
    wholesale::charge(charging, draft, group, charging.now)?;
    share_content(charging, group);
    Ok(())
}

/// Reserves as much of what is asked for as one account has. The group holds nothing when this is called.
pub(super) fn reserve(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    requested: &UnitCounts,
) -> GroupOutcome {
    match granted(charging, draft, group, requested) {
        Ok(granted) => GroupOutcome::Granted(granted),
        Err(declined) => {
            release(draft, group);
            GroupOutcome::Declined(declined)
        }
    }
}

fn granted(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    requested: &UnitCounts,
) -> Result<Granted, Declined> {
    if requested.money.is_none() && !requested.is_empty() {
        return Err(Declined::UnitMismatch);
    }
    let policy = charging.vno.grant_policy(Unit::Money);
    let slice = Amount::from_micros(i64::try_from(policy.slice_max).unwrap_or(i64::MAX));
    let asked = requested.money.map(|named| money(charging, named));
    let currency = asked.map(|money| money.currency).or_else(|| group.currency());
    let currency = currency.ok_or(Declined::UnitMismatch)?;
    keeps_currency(group, currency)?;
    let lasted = charging.now.millis().saturating_sub(group.started_at.millis()) / 1000;
    let lasted = u64::try_from(lasted).unwrap_or(0);
    let seconds_left = charging.call_seconds_max().map(|most| most.saturating_sub(lasted));
    if seconds_left == Some(0) {
        return Err(Declined::TimeLimit);
    }
    let wanted = asked.map(|money| money.amount).filter(|amount| amount.is_positive());
    let wanted = wanted.unwrap_or(slice).min(slice);
    let usage = charging.usage(group.key);
    let payers = able(charging, group, currency)?;
    let cover = payers.iter().map(|payer| (payer, charging.money_free(draft, payer, &usage)));
    let (payer, free) = cover
        .into_iter()
        .find(|(_, free)| free.is_positive())
        .ok_or(Declined::InsufficientBalance)?;
    let amount = wanted.min(free);
    let mut leg = PayerLeg::new(payer.id, currency);
    charging.hold_money(draft, payer, &usage, &mut leg, amount);
    keep_holds(group, leg);
    wholesale::hold(charging, draft, group, 0, amount)?;
    let is_last = payers.len() == 1 && wanted >= free;
    group.granted = u64::try_from(amount.micros()).map_err(|_| Declined::AmountOutOfRange)?;
    group.phase = if is_last { Phase::FinalGrant } else { Phase::Granted };
    Ok(Granted {
        unit: Unit::Money,
        amount: group.granted,
        validity_seconds: seconds_left.map_or(policy.validity_seconds, |left| {
            policy.validity_seconds.min(u32::try_from(left).unwrap_or(u32::MAX))
        }),
        threshold: 0,
        holding_seconds: policy.holding_seconds,
        final_unit: is_last.then(|| FinalUnit(charging.vno.final_unit.clone())),
        tariff_change: None,
        currency: Some(currency),
        is_time_limit: false,
    })
}
