//! Debits: what was used is charged on every leg, each a function of the total used so far.

use smallvec::SmallVec;

use super::counters::{counter, note_charged, position, room};
use super::draft::{CounterOwner, Draft};
use super::funds::{Charging, Payer};
use super::group::{Draw, Group, Meter, PayerLeg};
use super::rates::{Priced, priced, retail_of};
use super::request::Declined;
use super::wholesale;
use crate::catalogue::Use;
use crate::identifier::AccountId;
use crate::money::{Amount, Currency, Rounding};
use crate::quantity::Unit;
use crate::rating::{BandIndex, CapSoFar, Exact, LegSoFar, Schedule};
use crate::subscriber::Pays;
use crate::time::Timestamp;

/// Units by the time band in which they fall.
pub(super) type Pieces = SmallVec<[(BandIndex, u64); 2]>;

/// Charges `units` more of this group. `used_at` says when units that do not run with the clock were used.
pub(super) fn use_units(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    units: u64,
    used_at: Timestamp,
) -> Result<(), Declined> {
    let used = group.used.checked_add(units).ok_or(Declined::AmountOutOfRange)?;
    if units > group.granted {
        group.overrun = group.overrun.saturating_add(units - group.granted);
    }
    group.granted = group.granted.saturating_sub(units);
    let retail = retail_of(charging, group)?;
    let billable = retail.rate.billable(used);
    let further = billable.saturating_sub(group.billable);
    charge_payers(charging, draft, group, &retail, further, used_at)?;
    (group.used, group.billable) = (used, billable);
    charge_cost(charging, draft, group, used_at)?;
    wholesale::charge(charging, draft, group, used_at)?;
    share_content(charging, group);
    charging.note_carried(draft, units);
    Ok(())
}

pub(super) fn share_content(charging: &Charging<'_>, group: &mut Group) {
    let net = group.retail_net();
    if let Some(content) = &mut group.content
        && let Some(provider) = charging.state.registry.content_provider(content.provider)
    {
        content.share = provider.share_of(net);
    }
}

/// Where in the week the units from `position` on fall. Seconds run with the clock from the group's start;
/// other units count where they were used. A list that keeps its price over band edges has one piece.
pub(super) fn pieces(
    priced: &Priced<'_>,
    started_at: Timestamp,
    position: u64,
    units: u64,
    used_at: Timestamp,
) -> Pieces {
    if !priced.prices.switches_at_band_edge() {
        return SmallVec::from_slice(&[(priced.prices.band_at(started_at), units)]);
    }
    if priced.rate.unit() == Unit::Seconds {
        return priced.prices.band_pieces(started_at.plus_seconds(position), units).collect();
    }
    SmallVec::from_slice(&[(priced.prices.band_at(used_at), units)])
}

pub(super) fn schedule(
    priced: &Priced<'_>,
    started_at: Timestamp,
    position: u64,
    used_at: Timestamp,
) -> Schedule {
    if priced.rate.unit() == Unit::Seconds && priced.prices.switches_at_band_edge() {
        return Schedule::Clock { at: started_at.plus_seconds(position) };
    }
    let at = if priced.prices.switches_at_band_edge() { used_at } else { started_at };
    Schedule::Fixed(priced.prices.band_at(at))
}

/// What other payers of the group were charged: fees, minimum and cap hold once for all of them together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    exact: Exact,
    net: Amount,
    tax: Amount,
    any_units: bool,
    forgiven: Amount,
}

impl Beside {
    pub fn of(legs: &[PayerLeg], payer: AccountId, currency: Currency) -> Beside {
        let others = legs.iter().filter(|leg| leg.account != payer && leg.currency == currency);
        others.fold(Beside::default(), |sum, leg| Beside {
            exact: sum.exact.checked_add(leg.meter.exact).unwrap_or(sum.exact),
            net: sum.net.saturating_add(leg.meter.net),
            tax: sum.tax.saturating_add(leg.meter.tax),
            any_units: sum.any_units || leg.meter.units > 0,
            forgiven: sum.forgiven.saturating_add(leg.meter.forgiven),
        })
    }

    pub fn net(&self) -> Amount {
        self.net
    }

    fn gross(&self) -> Amount {
        self.net.saturating_add(self.tax)
    }
}

/// Adds priced units to a meter; returns by how much the charge grew, tax included.
#[allow(clippy::too_many_arguments)]
pub(super) fn advance(
    charging: &Charging<'_>,
    draft: &mut Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
    (meter, beside): (&mut Meter, &Beside),
    in_session: u64,
    pieces: &[(BandIndex, u64)],
) -> Result<Amount, Declined> {
    let range = |_| Declined::AmountOutOfRange;
    let mut position = position(charging, draft, priced, owner, in_session);
    let mut total = 0u64;
    for (band, units) in pieces {
        let end = position.checked_add(*units).ok_or(Declined::AmountOutOfRange)?;
        let cost = priced.rate.cost(*band, position, end).map_err(range)?;
        meter.exact = meter.exact.checked_add(cost).map_err(range)?;
        meter.note(*band, *units);
        position = end;
        total = total.saturating_add(*units);
    }
    if let Some((key, month)) = counter(charging, priced)
        && total > 0
    {
        draft.count(owner, key, month, total);
    }
    let exact = meter.exact.checked_add(beside.exact).map_err(range)?;
    let any_units = meter.units > 0 || beside.any_units;
    let cap = cap_so_far(charging, draft, priced, owner, (meter, beside));
    let charge = priced.prices.settle(priced.rate, exact, any_units, &cap).map_err(range)?;
    if charge.gross > Amount::LARGEST {
        return Err(Declined::AmountOutOfRange);
    }
    let grown = charge.gross.saturating_sub(beside.gross()).saturating_sub(meter.gross());
    meter.net = charge.net.saturating_sub(beside.net);
    meter.tax = charge.tax.saturating_sub(beside.tax);
    meter.forgiven = charge.forgiven.saturating_sub(beside.forgiven);
    let listed = priced.prices.listed(charge.net, charge.tax).saturating_sub(cap.charged);
    note_charged(charging, draft, priced, owner, listed);
    Ok(grown)
}

/// Where all payers together stand below the caps of this owner's day and month.
fn cap_so_far(
    charging: &Charging<'_>,
    draft: &Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
    (meter, beside): (&Meter, &Beside),
) -> CapSoFar {
    let net = meter.net.saturating_add(beside.net);
    CapSoFar {
        charged: priced.prices.listed(net, meter.tax.saturating_add(beside.tax)),
        forgiven: meter.forgiven.saturating_add(beside.forgiven),
        room: room(charging, draft, priced, owner),
    }
}

/// The front `units` of the pieces, which are taken off them.
pub(super) fn split_front(pieces: &mut Pieces, units: u64) -> Pieces {
    let mut front = Pieces::new();
    let mut left = units;
    while left > 0 {
        let Some((band, available)) = pieces.first_mut() else { break };
        let part = left.min(*available);
        front.push((*band, part));
        *available -= part;
        left -= part;
        if *available == 0 {
            pieces.remove(0);
        }
    }
    front
}

/// The retail leg: allowances, then money, payer after payer; what nobody covers is metered overrun
/// on the last account that pays in money.
fn charge_payers(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    retail: &Priced<'_>,
    units: u64,
    used_at: Timestamp,
) -> Result<(), Declined> {
    if units == 0 {
        return Ok(());
    }
    let usage = charging.usage(group.key);
    let payers = charging.payers_of(group, &usage);
    let mut left = pieces(retail, group.started_at, group.billable, units, used_at);
    let mut done = group.billable;
    for (index, payer) in payers.iter().enumerate() {
        let beside = Beside::of(&group.payers, payer.id, retail.currency());
        let leg = leg_of(&mut group.payers, payer);
        done += draw_allowances(charging, draft, payer, leg, retail.rate.unit(), &usage, &mut left);
        if payer.pays == Pays::AllowancesOnly || left.is_empty() {
            continue;
        }
        if index + 1 == payers.len() {
            // It owes what it cannot pay.
            return pay_units(charging, draft, payer, (leg, &beside), retail, &usage, done, &left);
        }
        let budget = charging.money_free(draft, payer, &usage);
        let wanted = left.iter().fold(0u64, |sum, (_, units)| sum.saturating_add(*units));
        let owner = CounterOwner::Subscriber(payer.id.subscriber());
        let so_far = so_far(charging, draft, retail, owner, (&leg.meter, &beside), done);
        let plan = schedule(retail, group.started_at, done, used_at);
        let affordable = retail.prices.affordable(retail.rate, &so_far, budget, wanted, plan);
        let paid = split_front(&mut left, affordable);
        pay_units(charging, draft, payer, (leg, &beside), retail, &usage, done, &paid)?;
        done += affordable;
    }
    if left.is_empty() {
        return Ok(());
    }
    let last = payers.iter().rfind(|payer| payer.pays == Pays::Everything).or(payers.last());
    let last = last.ok_or(Declined::NoPayer)?;
    let beside = Beside::of(&group.payers, last.id, retail.currency());
    let leg = leg_of(&mut group.payers, last);
    pay_units(charging, draft, last, (leg, &beside), retail, &usage, done, &left)
}

pub(super) fn so_far(
    charging: &Charging<'_>,
    draft: &Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
    (meter, beside): (&Meter, &Beside),
    in_session: u64,
) -> LegSoFar {
    LegSoFar {
        exact: meter.exact.checked_add(beside.exact).unwrap_or(meter.exact),
        position: position(charging, draft, priced, owner, in_session),
        any_units: meter.units > 0 || beside.any_units,
        charged: meter.gross().saturating_add(beside.gross()),
        cap: cap_so_far(charging, draft, priced, owner, (meter, beside)),
    }
}

/// A leg of which nothing was used yet.
pub(super) fn unused(
    charging: &Charging<'_>,
    priced: &Priced<'_>,
    owner: CounterOwner,
) -> LegSoFar {
    let nothing = (&Meter::default(), &Beside::default());
    so_far(charging, &Draft::default(), priced, owner, nothing, 0)
}

pub(super) fn leg_of<'a>(
    legs: &'a mut SmallVec<[PayerLeg; 1]>,
    payer: &Payer<'_>,
) -> &'a mut PayerLeg {
    let found = legs.iter().position(|leg| leg.account == payer.id);
    let index = found.unwrap_or_else(|| {
        legs.push(PayerLeg::new(payer.id, payer.account.currency));
        legs.len() - 1
    });
    &mut legs[index]
}

fn draw_allowances(
    charging: &Charging<'_>,
    draft: &mut Draft,
    payer: &Payer<'_>,
    leg: &mut PayerLeg,
    unit: Unit,
    usage: &Use<'_>,
    left: &mut Pieces,
) -> u64 {
    let mut drawn = 0u64;
    for bucket in charging.allowances(draft, payer, unit, usage) {
        let wanted = left.iter().fold(0u64, |sum, (_, units)| sum.saturating_add(*units));
        let free = u64::try_from(draft.free(payer.id, bucket)).unwrap_or(0);
        let units = wanted.min(free);
        if units == 0 {
            continue;
        }
        let before = draft.balance(payer.id, bucket);
        let taken = i64::try_from(units).unwrap_or(i64::MAX);
        draft.take(payer.id, bucket.id, taken);
        let after = draft.balance(payer.id, bucket);
        let earned = bucket.deferred_at(before).saturating_sub(bucket.deferred_at(after));
        match leg.draws.iter_mut().find(|draw| draw.bucket == bucket.id) {
            Some(draw) => {
                draw.units = draw.units.saturating_add(units);
                draw.earned = draw.earned.saturating_add(earned);
            }
            None => leg.draws.push(Draw { bucket: bucket.id, units, earned }),
        }
        split_front(left, units);
        drawn = drawn.saturating_add(units);
    }
    drawn
}

#[allow(clippy::too_many_arguments)]
fn pay_units(
    charging: &Charging<'_>,
    draft: &mut Draft,
    payer: &Payer<'_>,
    (leg, beside): (&mut PayerLeg, &Beside),
    retail: &Priced<'_>,
    usage: &Use<'_>,
    in_session: u64,
    pieces: &[(BandIndex, u64)],
) -> Result<(), Declined> {
    if pieces.is_empty() {
        return Ok(());
    }
    if payer.account.currency != retail.currency() {
        return Err(Declined::CurrencyMismatch);
    }
    let owner = CounterOwner::Subscriber(payer.id.subscriber());
    let meter = (&mut leg.meter, beside);
    let grown = advance(charging, draft, retail, owner, meter, in_session, pieces)?;
    charging.pay(draft, payer, usage, grown);
    charging.note_spent(draft, usage, grown);
    Ok(())
}

fn charge_cost(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    used_at: Timestamp,
) -> Result<(), Declined> {
    let Some(cost) = &mut group.cost else {
        return Ok(());
    };
    let priced = priced(charging, cost.rate).ok_or(Declined::NoCostRate)?;
    let further = priced.rate.billable(group.used).saturating_sub(cost.meter.units);
    if further == 0 {
        return Ok(());
    }
    let pieces = pieces(&priced, group.started_at, cost.meter.units, further, used_at);
    let owner = CounterOwner::Carrier(charging.carrier);
    let in_session = cost.meter.units;
    let meter = (&mut cost.meter, &Beside::default());
    advance(charging, draft, &priced, owner, meter, in_session, &pieces)?;
    Ok(())
}

/// A part (in ten-thousandths) of another leg's total, in the wholesale currency at the group's exchange rate.
pub(super) fn derived(
    charging: &Charging<'_>,
    total: Amount,
    from: Option<Currency>,
    to: Currency,
    part: i128,
    at: Timestamp,
) -> Result<Amount, Declined> {
    let Some(from) = from else {
        return Ok(Amount::ZERO);
    };
    let rate =
        charging.state.registry.exchange_rate(from, to, at).ok_or(Declined::NoWholesaleRate)?;
    let exact =
        i128::from(total.micros()).checked_mul(part).and_then(|n| n.checked_mul(i128::from(rate)));
    let exact = exact.ok_or(Declined::AmountOutOfRange)?;
    Amount::from_wide(Rounding::HalfEven.divide(exact, 10_000 * 1_000_000))
        .map_err(|_| Declined::AmountOutOfRange)
}
