//! Holds: what a grant reserves with every payer.

use super::draft::Draft;
use super::funds::{Charging, Payer, hold};
use super::grant::{Plan, affordable, leg_so_far, use_times};
use super::group::{Group, PayerLeg};
use super::rates::Priced;
use super::settle::{Beside, pieces};
use crate::money::Amount;
use crate::rating::{BandIndex, Charge, LegSoFar};
use crate::subscriber::Pays;

/// Reserves the plan's billable units: allowances first, then money, payer after payer.
/// Returns the net of the money reserved.
pub(super) fn hold_retail(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    plan: &Plan<'_>,
) -> Amount {
    let mut left = plan.further;
    let mut net = Amount::ZERO;
    for payer in &plan.payers {
        let mut leg = PayerLeg::new(payer.id, payer.account.currency);
        for bucket in charging.allowances(draft, payer, group.unit, &plan.usage) {
            let free = u64::try_from(draft.free(payer.id, bucket)).unwrap_or(0);
            let units = left.min(free);
            if units > 0 {
                hold(draft, &mut leg, bucket.id, i64::try_from(units).unwrap_or(i64::MAX));
                left -= units;
            }
        }
        if left > 0
            && payer.pays == Pays::Everything
            && payer.account.currency == plan.retail.currency()
        {
            let offset = plan.further - left;
            let money = charging.money_free(draft, payer, &plan.usage);
            let (units, (gross, part)) =
                paid(charging, draft, group, plan, payer, offset, money, left);
            charging.hold_money(draft, payer, &plan.usage, &mut leg, gross);
            net = net.saturating_add(part);
            left -= units;
        }
        keep_holds(group, leg);
        if left == 0 {
            break;
        }
    }
    net
}

pub(super) fn keep_holds(group: &mut Group, leg: PayerLeg) {
    match group.payers.iter_mut().find(|known| known.account == leg.account) {
        Some(known) => known.holds = leg.holds,
        None if !leg.holds.is_empty() => group.payers.push(leg),
        None => {}
    }
}

/// Billable units, of `wanted`, that this payer's money pays for, and what they would cost with tax and without.
#[allow(clippy::too_many_arguments)]
fn paid(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    plan: &Plan<'_>,
    payer: &Payer<'_>,
    offset: u64,
    money: Amount,
    wanted: u64,
) -> (u64, (Amount, Amount)) {
    let retail = &plan.retail;
    let price = |units| price_of(charging, draft, group, plan, payer, offset, units);
    if retail.rate.is_monotonic()
        && let Some(price) = price(wanted)
        && price.0 <= money.max(Amount::ZERO)
    {
        return (wanted, price);
    }
    let units = affordable(charging, draft, group, retail, payer, offset, money, wanted);
    (units, price(units).unwrap_or_default())
}

/// What `units` more would cost this payer at the dearest time they may be used, with tax and without. None when an
/// amount overflows.
fn price_of(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    plan: &Plan<'_>,
    payer: &Payer<'_>,
    offset: u64,
    units: u64,
) -> Option<(Amount, Amount)> {
    if units == 0 {
        return Some((Amount::ZERO, Amount::ZERO));
    }
    let so_far = leg_so_far(charging, draft, group, &plan.retail, payer, offset);
    let net_before = group
        .payers
        .iter()
        .find(|leg| leg.account == payer.id)
        .map_or(Amount::ZERO, |leg| leg.meter.net)
        .saturating_add(Beside::of(&group.payers, payer.id, plan.retail.currency()).net());
    let mut dearest = (Amount::ZERO, Amount::ZERO);
    for used_at in use_times(charging, &plan.retail, group) {
        let position = group.billable.saturating_add(offset);
        let pieces = pieces(&plan.retail, group.started_at, position, units, used_at);
        let charge = price_pieces(&plan.retail, &so_far, &pieces)?;
        let gross = charge.gross.saturating_sub(so_far.charged);
        if gross > dearest.0 {
            dearest = (gross, charge.net.saturating_sub(net_before));
        }
    }
    Some(dearest)
}

/// The charge with these units added; None when an amount overflows.
pub(super) fn price_pieces(
    priced: &Priced<'_>,
    so_far: &LegSoFar,
    pieces: &[(BandIndex, u64)],
) -> Option<Charge> {
    let mut exact = so_far.exact;
    let mut position = so_far.position;
    for (band, units) in pieces {
        let end = position.checked_add(*units)?;
        exact = exact.checked_add(priced.rate.cost(*band, position, end).ok()?).ok()?;
        position = end;
    }
    priced.prices.settle(priced.rate, exact, true, &so_far.cap).ok()
}
