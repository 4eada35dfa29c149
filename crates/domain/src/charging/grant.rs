//! Grants: how many units may go through next, with every party's cover reserved for them.
//!
//! Large far from the limit; as cover shrinks and as sessions run beside each other, each gets its share;
//! never below one increment; the last grant says what to do at its end.
//! What is granted is always reserved, so parallel sessions cannot spend the same money.

use smallvec::SmallVec;

use super::draft::{CounterOwner, Draft};
use super::funds::{Charging, Payer};
use super::group::{Group, PayerLeg, Phase};
use super::hold::hold_retail;
use super::rates::{Priced, retail_of};
use super::request::{Declined, FinalUnit, Granted, GroupOutcome, UnitCounts};
use super::settle::{Beside, schedule, so_far};
use super::wholesale;
use crate::catalogue::Use;
use crate::money::Amount;
use crate::party::{FinalUnitAction, GrantPolicy};
use crate::quantity::Unit;
use crate::rating::{LegSoFar, Rate};
use crate::subscriber::Pays;
use crate::time::Timestamp;

/// Gives back everything that is reserved for a group.
pub(super) fn release(draft: &mut Draft, group: &mut Group) {
    for payer in &mut group.payers {
        for held in payer.holds.drain(..) {
            draft.hold(payer.account, held.bucket, -held.amount);
        }
    }
    draft.wholesale_held = draft.wholesale_held.saturating_sub(group.wholesale_hold.micros());
    group.wholesale_hold = Amount::ZERO;
    if let Some(pool) = &mut group.pool {
        draft.hold_pool(group.unit, -i64::try_from(pool.held).unwrap_or(i64::MAX));
        pool.held = 0;
    }
}

/// Reserves a slice and grants it. The group holds nothing when this is called.
pub(super) fn reserve(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    requested: UnitCounts,
    is_opening: bool,
) -> GroupOutcome {
    match plan(charging, draft, group, requested) {
        Ok(plan) => place(charging, draft, group, &plan, is_opening),
        Err(declined) => GroupOutcome::Declined(declined),
    }
}

/// Of what costs nothing, as much as the time that a call may last.
pub(super) fn for_free(charging: &Charging<'_>, group: &mut Group) -> GroupOutcome {
    let most = charging.call_seconds_max().filter(|_| !charging.context.is_emergency);
    let Some(most) = most else { return GroupOutcome::Free };
    let left = most.saturating_sub(group.used);
    if left == 0 {
        return GroupOutcome::Declined(Declined::TimeLimit);
    }
    let policy = charging.vno.grant_policy(group.unit);
    let units = left.min(policy.slice_max);
    let is_time_limit = units == left;
    group.granted = units;
    group.phase = if is_time_limit { Phase::FinalGrant } else { Phase::Granted };
    GroupOutcome::Granted(Granted {
        unit: group.unit,
        amount: units,
        validity_seconds: policy.validity_seconds,
        threshold: 0,
        holding_seconds: 0,
        final_unit: is_time_limit.then_some(FinalUnit(FinalUnitAction::Terminate)),
        tariff_change: None,
        currency: None,
        is_time_limit,
    })
}

/// Reserves all of `units` or nothing: for one-time events, which are not sliced.
pub(super) fn cover_whole(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    units: u64,
) -> GroupOutcome {
    let whole = plan_whole(charging, draft, group, units);
    match whole {
        Ok(plan) => place(charging, draft, group, &plan, true),
        Err(declined) => GroupOutcome::Declined(declined),
    }
}

fn plan_whole<'a>(
    charging: &Charging<'a>,
    draft: &Draft,
    group: &Group,
    units: u64,
) -> Result<Plan<'a>, Declined> {
    let retail = retail_of(charging, group)?;
    let usage = charging.usage(group.key);
    let payers = charging.payers_of(group, &usage);
    if payers.is_empty() {
        return Err(Declined::NoPayer);
    }
    let further = billable_for(&retail, group, units);
    if retail_cover(charging, draft, group, &retail, &payers, &usage, further) < further {
        return Err(Declined::InsufficientBalance);
    }
    if wholesale::cover(charging, draft, group, units)? < units {
        return Err(wholesale::short(group));
    }
    let policy = charging.vno.grant_policy(group.unit);
    Ok(Plan {
        retail,
        policy,
        usage,
        payers,
        further,
        units,
        is_last: false,
        is_time_limit: false,
        tariff_change: None,
    })
}

/// What may be granted, before anything is reserved.
pub(super) struct Plan<'a> {
    pub retail: Priced<'a>,
    pub policy: GrantPolicy,
    pub usage: Use<'a>,
    pub payers: SmallVec<[Payer<'a>; 2]>,
    /// Billable units beyond those already billed.
    pub further: u64,
    /// Units of use that they allow.
    pub units: u64,
    /// Nothing more could be granted after these.
    pub is_last: bool,
    /// Because the call may last no longer, money or not.
    pub is_time_limit: bool,
    pub tariff_change: Option<Timestamp>,
}

fn plan<'a>(
    charging: &Charging<'a>,
    draft: &Draft,
    group: &Group,
    requested: UnitCounts,
) -> Result<Plan<'a>, Declined> {
    let retail = retail_of(charging, group)?;
    let unit = group.unit;
    if !requested.is_empty() && requested.of(unit).is_none() {
        return Err(Declined::UnitMismatch);
    }
    let policy = charging.vno.grant_policy(unit);
    let usage = charging.usage(group.key);
    let payers = charging.payers_of(group, &usage);
    if payers.is_empty() {
        return Err(Declined::NoPayer);
    }
    let wanted =
        requested.of(unit).filter(|n| *n > 0).unwrap_or(policy.slice_max).min(policy.slice_max);
    let seconds_left = match charging.call_seconds_max().filter(|_| unit == Unit::Seconds) {
        Some(most) if most <= group.used => return Err(Declined::TimeLimit),
        Some(most) => most - group.used,
        None => u64::MAX,
    };
    let wanted = wanted.min(seconds_left);
    let sessions = sessions_beside(charging, &payers);
    // Enough to know whether every session beside this one could have as much, twice over.
    let probe_used = wanted.saturating_mul(2 * sessions);
    let probe = billable_for(&retail, group, probe_used);
    let cover = retail_cover(charging, draft, group, &retail, &payers, &usage, probe);
    let by_vno = wholesale::cover(charging, draft, group, probe_used)?;
    let fits = |further: u64| units_for(&retail, group, further);
    let covered = fits(cover);
    let share = share_of(covered, wanted, sessions, policy.slice_min);
    // Scraps of the VNO's credit are not worth a session: it is exhausted before the last octet.
    if by_vno < share.min(policy.slice_min) {
        return Err(wholesale::short(group));
    }
    let units = share.min(by_vno);
    // Whole increments only: a part of one would cost as much as all of it.
    let further = billable_for(&retail, group, units);
    let further =
        if further > cover { retail.rate.whole_increments(group.billable, cover) } else { further };
    let units = units.min(fits(further));
    let is_time_limit = units == seconds_left;
    let is_last = is_time_limit || (units >= covered && covered < probe_used);
    let tariff_change = (unit != Unit::Seconds && retail.prices.switches_at_band_edge())
        .then(|| retail.prices.next_band_edge(charging.now))
        .flatten()
        .filter(|edge| *edge <= charging.now.plus_seconds(u64::from(policy.validity_seconds)));
    Ok(Plan {
        retail,
        policy,
        usage,
        payers,
        further,
        units,
        is_last,
        is_time_limit,
        tariff_change,
    })
}

/// Sessions that share the payers' money, this one included.
fn sessions_beside(charging: &Charging<'_>, payers: &[Payer<'_>]) -> u64 {
    let sessions =
        payers.iter().map(|payer| charging.state.sessions_of(payer.id.subscriber()).len());
    sessions.max().unwrap_or(0).max(1) as u64
}

/// All of what is wanted while there is plenty; then a fair part of the rest; at the end the rest itself.
fn share_of(covered: u64, wanted: u64, sessions: u64, slice_min: u64) -> u64 {
    if covered >= wanted.saturating_mul(2 * sessions) {
        return wanted;
    }
    let part = (covered / (2 * sessions)).max(slice_min);
    // What would be left is not worth another round.
    let part = if covered.saturating_sub(part) < slice_min { covered } else { part };
    part.min(wanted).min(covered)
}

/// Billable units that `units` more of use would add.
fn billable_for(retail: &Priced<'_>, group: &Group, units: u64) -> u64 {
    retail.rate.billable(group.used.saturating_add(units)).saturating_sub(group.billable)
}

/// Units of use that fit into what is billed already and `further` billable units.
fn units_for(retail: &Priced<'_>, group: &Group, further: u64) -> u64 {
    let whole = retail.rate.whole_increments(group.billable, further);
    retail.rate.usable(group.billable.saturating_add(whole)).saturating_sub(group.used)
}

/// Billable units, of `wanted`, that allowances and money of all payers cover.
fn retail_cover(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    retail: &Priced<'_>,
    payers: &[Payer<'_>],
    usage: &Use<'_>,
    wanted: u64,
) -> u64 {
    let mut covered = 0u64;
    for payer in payers {
        for bucket in charging.allowances(draft, payer, group.unit, usage) {
            let free = u64::try_from(draft.free(payer.id, bucket)).unwrap_or(0);
            covered = covered.saturating_add(free);
            if covered >= wanted {
                return wanted;
            }
        }
        if payer.pays == Pays::Everything && payer.account.currency == retail.currency() {
            let money = charging.money_free(draft, payer, usage);
            // A few units may round to nothing; without money that is no reason to let them through.
            let leg = || leg_so_far(charging, draft, group, retail, payer, covered);
            if !money.is_positive() && !is_costless(retail.rate, &leg()) {
                continue;
            }
            let left = wanted - covered;
            covered += affordable(charging, draft, group, retail, payer, covered, money, left);
            if covered >= wanted {
                return wanted;
            }
        }
    }
    covered
}

/// Does nothing that may follow cost anything?
pub(super) fn is_costless(rate: &Rate, leg: &LegSoFar) -> bool {
    if leg.cap.is_reached() {
        return true;
    }
    let price = rate.price();
    let mut steps = price.steps.iter().chain(price.bands.iter().flat_map(|band| band.steps.iter()));
    steps.all(|step| step.price.is_zero())
        && price.setup_fee.is_zero()
        && price.minimum_charge.is_zero()
}

/// The leg of this payer so far, seen from `offset` billable units on.
pub(super) fn leg_so_far(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    retail: &Priced<'_>,
    payer: &Payer<'_>,
    offset: u64,
) -> LegSoFar {
    let nothing = PayerLeg::new(payer.id, payer.account.currency);
    let leg = group.payers.iter().find(|leg| leg.account == payer.id).unwrap_or(&nothing);
    let owner = CounterOwner::Subscriber(payer.id.subscriber());
    let beside = Beside::of(&group.payers, payer.id, retail.currency());
    let meter = (&leg.meter, &beside);
    so_far(charging, draft, retail, owner, meter, group.billable.saturating_add(offset))
}

/// Volume granted before a price change may be used after it: both sides count, the dearer one decides.
pub(super) fn use_times(
    charging: &Charging<'_>,
    retail: &Priced<'_>,
    group: &Group,
) -> SmallVec<[Timestamp; 2]> {
    let mut times = SmallVec::from_slice(&[charging.now]);
    if group.unit != Unit::Seconds && retail.prices.switches_at_band_edge() {
        times.extend(retail.prices.next_band_edge(charging.now));
    }
    times
}

#[allow(clippy::too_many_arguments)]
pub(super) fn affordable(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    retail: &Priced<'_>,
    payer: &Payer<'_>,
    offset: u64,
    budget: Amount,
    wanted: u64,
) -> u64 {
    let so_far = leg_so_far(charging, draft, group, retail, payer, offset);
    let position = group.billable.saturating_add(offset);
    let by_time = use_times(charging, retail, group).into_iter().map(|used_at| {
        let plan = schedule(retail, group.started_at, position, used_at);
        retail.prices.affordable(retail.rate, &so_far, budget, wanted, plan)
    });
    by_time.min().unwrap_or(0)
}

/// Places the holds of a plan and words the answer.
fn place(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    plan: &Plan<'_>,
    is_opening: bool,
) -> GroupOutcome {
    if plan.units == 0 {
        return nothing_left(charging, group, plan, is_opening);
    }
    let held = hold_retail(charging, draft, group, plan);
    if let Err(declined) = wholesale::hold(charging, draft, group, plan.units, held) {
        release(draft, group);
        return GroupOutcome::Declined(declined);
    }
    group.granted = plan.units;
    group.phase = if plan.is_last { Phase::FinalGrant } else { Phase::Granted };
    let threshold = plan.units.saturating_mul(u64::from(plan.policy.threshold_percent)) / 100;
    GroupOutcome::Granted(Granted {
        unit: group.unit,
        amount: plan.units,
        validity_seconds: plan.policy.validity_seconds,
        threshold: if plan.is_last { 0 } else { threshold },
        holding_seconds: plan.policy.holding_seconds,
        final_unit: plan.is_last.then(|| {
            // No portal makes a call last longer.
            let action = charging.vno.final_unit.clone();
            FinalUnit(if plan.is_time_limit { FinalUnitAction::Terminate } else { action })
        }),
        tariff_change: plan.tariff_change,
        currency: None,
        is_time_limit: plan.is_time_limit,
    })
}

/// No unit can be granted: sent to a portal where there is one, refused otherwise.
fn nothing_left(
    charging: &Charging<'_>,
    group: &mut Group,
    plan: &Plan<'_>,
    is_opening: bool,
) -> GroupOutcome {
    let action = charging.vno.final_unit.clone();
    if action == FinalUnitAction::Terminate || (is_opening && group.unit == Unit::Seconds) {
        return GroupOutcome::Declined(Declined::InsufficientBalance);
    }
    // Money onto any of these accounts is what it waits for.
    for payer in &plan.payers {
        if !group.payers.iter().any(|leg| leg.account == payer.id) {
            group.payers.push(PayerLeg::new(payer.id, payer.account.currency));
        }
    }
    group.phase = Phase::Waiting;
    GroupOutcome::Granted(Granted {
        unit: group.unit,
        amount: 0,
        validity_seconds: plan.policy.validity_seconds,
        threshold: 0,
        holding_seconds: 0,
        final_unit: Some(FinalUnit(action)),
        tariff_change: None,
        currency: None,
        is_time_limit: false,
    })
}
