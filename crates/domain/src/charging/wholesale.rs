//! The wholesale leg: what the VNO owes the broker for a use, by its terms and the clauses beside them.

use super::draft::{CounterOwner, Draft};
use super::funds::Charging;
use super::grant::is_costless;
use super::group::{BurstFee, Group, Leg, PoolUse, Wholesale};
use super::hold::price_pieces;
use super::rates::{self, Priced, find, priced};
use super::request::Declined;
use super::settle::{Beside, advance, derived, pieces, schedule, so_far, split_front, unused};
use crate::identifier::PriceListId;
use crate::money::Amount;
use crate::party::{Standing, WholesaleTerms};
use crate::period::calendar_month;
use crate::quantity::Unit;
use crate::rating::RateQuery;
use crate::subscriber::{Counted, CounterKey, counted};
use crate::time::Timestamp;

/// How the VNO will pay for a group that begins, and the unit of the rate where one prices it.
pub(super) fn choose(
    charging: &Charging<'_>,
    query: &RateQuery,
    at: Timestamp,
) -> Result<(Option<Wholesale>, Option<Unit>), Declined> {
    let Some(WholesaleTerms::PriceList(list)) = charging.vno.wholesale else {
        return Ok((derived_terms(charging), None));
    };
    let rate = listed(charging, list, query, at)?;
    Ok((Some(Wholesale::Rated(rates::leg(rate))), Some(rate.rate.unit())))
}

/// Terms that follow another leg.
pub(super) fn derived_terms(charging: &Charging<'_>) -> Option<Wholesale> {
    let (currency, net) = (charging.vno.wholesale_currency, Amount::ZERO);
    match charging.vno.wholesale? {
        WholesaleTerms::PriceList(_) => None,
        WholesaleTerms::RetailMinus(basis_points) => {
            Some(Wholesale::RetailMinus { basis_points, currency, net })
        }
        WholesaleTerms::CostPlus(basis_points) => {
            Some(Wholesale::CostPlus { basis_points, currency, net })
        }
    }
}

/// The rate of the VNO's own list, or that of another VNO's which is cheaper, where it is promised the best terms.
pub(super) fn listed<'a>(
    charging: &Charging<'a>,
    list: PriceListId,
    query: &RateQuery,
    at: Timestamp,
) -> Result<Priced<'a>, Declined> {
    let currency = charging.vno.wholesale_currency;
    // The gate watches one currency: a list in another one cannot be covered by it.
    let usable = |priced: &Priced<'_>| !priced.rate.is_blocked() && priced.currency() == currency;
    let own = find(charging, list, query, at).filter(usable).ok_or(Declined::NoWholesaleRate)?;
    let promised = charging.vno.clauses.as_ref().is_some_and(|clauses| clauses.is_most_favoured);
    if !promised {
        return Ok(own);
    }
    let others = charging.state.registry.vnos.iter().filter(|vno| vno.standing != Standing::Closed);
    let lists = others.filter_map(|vno| match vno.wholesale {
        Some(WholesaleTerms::PriceList(other)) if other != list => Some(other),
        _ => None,
    });
    let rates = lists.filter_map(|other| find(charging, other, query, at)).filter(usable);
    let same_unit = rates.filter(|rate| rate.rate.unit() == own.rate.unit());
    let sampled = same_unit.filter_map(|rate| Some((sample(charging, &rate, at)?, rate)));
    let best = sampled.min_by_key(|(net, _)| *net);
    let own_sample = sample(charging, &own, at);
    let cheaper = best.filter(|(net, _)| own_sample.is_none_or(|own| *net < own));
    Ok(cheaper.map_or(own, |(_, rate)| rate))
}

/// What rates are compared by, where the VNO stands on their scales: a further minute, mebibyte, message or event.
fn sample(charging: &Charging<'_>, priced: &Priced<'_>, at: Timestamp) -> Option<Amount> {
    let owner = CounterOwner::Vno(charging.vno.id);
    rates::sample(priced, &unused(charging, priced, owner), at)
}

/// The part of a pool in a group that begins; only uses with a rate of their own have one.
pub(super) fn pool(
    charging: &Charging<'_>,
    wholesale: &Option<Wholesale>,
    unit: Unit,
) -> Option<PoolUse> {
    let clauses = charging.vno.clauses.as_ref()?;
    let is_rated = matches!(wholesale, Some(Wholesale::Rated(_)));
    clauses.pool(unit).filter(|_| is_rated).map(|_| PoolUse::default())
}

fn pool_key(charging: &Charging<'_>, unit: Unit) -> (CounterKey, u32) {
    let key = CounterKey { list: PriceListId::POOLS, counter: unit as u16, of: Counted::Month };
    (key, calendar_month(charging.now, &charging.vno.time_zone))
}

/// Units of the VNO's pool that nobody used this month and no session holds.
fn pool_left(charging: &Charging<'_>, draft: &Draft, unit: Unit) -> u64 {
    let pool = charging.vno.clauses.as_ref().and_then(|clauses| clauses.pool(unit));
    let (Some(pool), Some(tally)) = (pool, charging.state.tally(charging.vno.id)) else { return 0 };
    let (key, month) = pool_key(charging, unit);
    let owner = CounterOwner::Vno(charging.vno.id);
    let used =
        counted(&tally.counters, key, month).saturating_add(draft.counted(owner, key, month));
    let held = tally.pool_held(unit).saturating_add(draft.pool_held(unit));
    let size = pool.per_line.saturating_mul(tally.lines);
    size.saturating_sub(used).saturating_sub(u64::try_from(held).unwrap_or(0))
}

/// Is there room for one more session of this service in what the VNO bought? Beyond it, a session costs a fee
/// or is refused.
pub(super) fn admit(charging: &Charging<'_>) -> Result<Option<BurstFee>, Declined> {
    let service = charging.context.service;
    let capacity = charging.vno.clauses.as_ref().and_then(|clauses| clauses.capacity(service));
    let Some(capacity) = capacity.filter(|_| !charging.context.is_emergency) else {
        return Ok(None);
    };
    let is_reached = charging.state.tally(charging.vno.id).is_some_and(|tally| {
        let carried = || tally.throughput.kilobits_per_second(charging.now);
        capacity.sessions.is_some_and(|most| tally.running(service) >= most)
            || capacity.kilobits_per_second.is_some_and(|most| carried() >= u64::from(most))
    });
    if !is_reached {
        return Ok(None);
    }
    let fee = capacity.burst_fee.ok_or(Declined::CapacityReached)?;
    Ok(Some(BurstFee { fee, currency: charging.vno.wholesale_currency, is_owed: false }))
}

/// Charges what the group's use owes by now: of the pool first, then by the terms.
pub(super) fn charge(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    used_at: Timestamp,
) -> Result<(), Declined> {
    let before = group.wholesale_net();
    if let Some(burst) = &mut group.burst {
        burst.is_owed |= group.used > 0;
    }
    let retail_net = group.retail_net();
    let retail_currency = group.payers.first().map(|payer| payer.currency);
    let cost = group.cost.as_ref().map(|cost| (cost.meter.net, cost.currency));
    let pooled = group.pooled();
    match &mut group.wholesale {
        None => {}
        Some(Wholesale::Rated(leg)) => {
            let priced = priced(charging, leg.rate).ok_or(Declined::NoWholesaleRate)?;
            let done = leg.meter.units.saturating_add(pooled);
            let further = priced.rate.billable(group.used).saturating_sub(done);
            let owner = CounterOwner::Vno(charging.vno.id);
            let mut left = pieces(&priced, group.started_at, done, further, used_at);
            if let Some(pool) = group.pool.as_mut().filter(|_| further > 0) {
                let part = further.min(pool_left(charging, draft, group.unit));
                let (key, month) = pool_key(charging, group.unit);
                draft.count(owner, key, month, part);
                pool.units = pool.units.saturating_add(part);
                split_front(&mut left, part);
            }
            if further > 0 && !left.is_empty() {
                let in_session = leg.meter.units;
                let meter = (&mut leg.meter, &Beside::default());
                advance(charging, draft, &priced, owner, meter, in_session, &left)?;
            }
        }
        Some(Wholesale::RetailMinus { basis_points, currency, net }) => {
            let part = 10_000 - i128::from(*basis_points).min(10_000);
            *net =
                derived(charging, retail_net, retail_currency, *currency, part, group.started_at)?;
        }
        Some(Wholesale::CostPlus { basis_points, currency, net }) => {
            let (amount, of) = cost.map_or((Amount::ZERO, None), |(net, of)| (net, Some(of)));
            let part = 10_000 + i128::from(*basis_points);
            *net = derived(charging, amount, of, *currency, part, group.started_at)?;
        }
    }
    draft.wholesale_charged(group.wholesale_net().saturating_sub(before));
    Ok(())
}

/// Reserves what the VNO will owe for `units` more: of its pool, then on its account with the broker.
pub(super) fn hold(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    units: u64,
    retail_net: Amount,
) -> Result<(), Declined> {
    let mut from_pool = 0;
    let price = match &group.wholesale {
        None => Amount::ZERO,
        Some(Wholesale::Rated(leg)) => {
            let rate = priced(charging, leg.rate).ok_or(Declined::NoWholesaleRate)?;
            let done = leg.meter.units.saturating_add(group.pooled());
            let further = further(&rate, group, units, done);
            from_pool = part_of_pool(charging, draft, group, further);
            let owner = CounterOwner::Vno(charging.vno.id);
            let (at, rest) = (done.saturating_add(from_pool), further - from_pool);
            grown(charging, draft, (leg, &rate), owner, group, (at, rest))
                .ok_or(Declined::NoWholesaleRate)?
        }
        Some(Wholesale::RetailMinus { basis_points, currency, .. }) => {
            let from = group.payers.first().map(|payer| payer.currency);
            let part = 10_000 - i128::from(*basis_points).min(10_000);
            derived(charging, retail_net, from, *currency, part, group.started_at)?
        }
        Some(Wholesale::CostPlus { basis_points, currency, .. }) => {
            let cost = match &group.cost {
                Some(leg) => cost_of(charging, draft, leg, group, units)?,
                None => Amount::ZERO,
            };
            let part = 10_000 + i128::from(*basis_points);
            let from = group.cost.as_ref().map(|leg| leg.currency);
            derived(charging, cost, from, *currency, part, group.started_at)?
        }
    };
    let hold = price.saturating_add(group.burst_due());
    let needed = group.wholesale.is_some() || group.burst.is_some();
    if needed && hold.is_positive() && hold > charging.wholesale_free(draft) {
        return Err(short(group));
    }
    group.wholesale_hold = hold;
    draft.wholesale_held = draft.wholesale_held.saturating_add(hold.micros());
    if let Some(pool) = &mut group.pool {
        pool.held = from_pool;
        draft.hold_pool(group.unit, i64::try_from(from_pool).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// Why the VNO's account does not cover a group. That there is nothing for a further session beyond the capacity
/// says nothing about those within it.
pub(super) fn short(group: &Group) -> Declined {
    if group.burst_due().is_positive() {
        Declined::CapacityReached
    } else {
        Declined::VnoCreditExhausted
    }
}

pub(super) fn has_pools(charging: &Charging<'_>) -> bool {
    charging.vno.clauses.as_ref().is_some_and(|clauses| !clauses.pools.is_empty())
}

/// Billable units beyond `done` that `units` more use makes.
fn further(rate: &Priced<'_>, group: &Group, units: u64, done: u64) -> u64 {
    rate.rate.billable(group.used.saturating_add(units)).saturating_sub(done)
}

fn part_of_pool(charging: &Charging<'_>, draft: &Draft, group: &Group, further: u64) -> u64 {
    group.pool.map_or(0, |_| pool_left(charging, draft, group.unit).min(further))
}

fn cost_of(
    charging: &Charging<'_>,
    draft: &Draft,
    leg: &Leg,
    group: &Group,
    units: u64,
) -> Result<Amount, Declined> {
    let rate = priced(charging, leg.rate).ok_or(Declined::NoCostRate)?;
    let done = leg.meter.units;
    let span = (done, further(&rate, group, units, done));
    let owner = CounterOwner::Carrier(charging.carrier);
    grown(charging, draft, (leg, &rate), owner, group, span).ok_or(Declined::NoCostRate)
}

/// What billable units from a place in the session on add to a leg without tax.
fn grown(
    charging: &Charging<'_>,
    draft: &Draft,
    (leg, rate): (&Leg, &Priced<'_>),
    owner: CounterOwner,
    group: &Group,
    (from, units): (u64, u64),
) -> Option<Amount> {
    if units == 0 {
        return Some(Amount::ZERO);
    }
    let meter = (&leg.meter, &Beside::default());
    let so_far = so_far(charging, draft, rate, owner, meter, leg.meter.units);
    let pieces = pieces(rate, group.started_at, from, units, charging.now);
    let charge = price_pieces(rate, &so_far, &pieces)?;
    Some(charge.net.saturating_sub(leg.meter.net))
}

/// Units of use, of `wanted`, that the VNO's pool and its own account with the broker cover.
pub(super) fn cover(
    charging: &Charging<'_>,
    draft: &Draft,
    group: &Group,
    wanted: u64,
) -> Result<u64, Declined> {
    let free = charging.wholesale_free(draft).saturating_sub(group.burst_due());
    if group.burst.is_some() && free.is_negative() {
        return Ok(0);
    }
    let Some(Wholesale::Rated(leg)) = &group.wholesale else {
        // Derived prices are checked when the hold is known.
        let open = group.wholesale.is_none() || free.is_positive();
        return Ok(if open { wanted } else { 0 });
    };
    let rate = priced(charging, leg.rate).ok_or(Declined::NoWholesaleRate)?;
    let done = leg.meter.units.saturating_add(group.pooled());
    let further = further(&rate, group, wanted, done);
    let from_pool = part_of_pool(charging, draft, group, further);
    let owner = CounterOwner::Vno(charging.vno.id);
    let meter = (&leg.meter, &Beside::default());
    let so_far = so_far(charging, draft, &rate, owner, meter, leg.meter.units);
    let plan = schedule(&rate, group.started_at, done.saturating_add(from_pool), charging.now);
    let rest = further - from_pool;
    // A few units may round to nothing; without money that is no reason to let them through.
    let has_money = free.is_positive() || is_costless(rate.rate, &so_far);
    let affordable = match rest {
        0 => 0,
        _ if !has_money => 0,
        _ => rate.prices.affordable(rate.rate, &so_far, free, rest, plan),
    };
    if affordable >= rest {
        return Ok(wanted);
    }
    let whole = rate.rate.whole_increments(done, from_pool.saturating_add(affordable));
    let usable = rate.rate.usable(done.saturating_add(whole));
    Ok(usable.saturating_sub(group.used).min(wanted))
}
