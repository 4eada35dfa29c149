//! Which rate prices each leg, chosen when a rating group begins and kept while it lasts.

use smallvec::SmallVec;

use super::counters::room;
use super::draft::{CounterOwner, Draft};
use super::funds::{Charging, Payer};
use super::group::{ContentLeg, Group, GroupKey, Leg, Meter, Phase, RateReference, Wholesale};
use super::hold::price_pieces;
use super::request::Declined;
use super::wholesale;
use crate::digits::Digits;
use crate::identifier::{AccountId, PriceListId};
use crate::money::{Amount, Currency};
use crate::party::Standing;
use crate::quantity::Unit;
use crate::rating::{LegSoFar, PriceList, Rate, RateQuery};
use crate::subscriber::{Pays, SubscriptionState};
use crate::time::Timestamp;

/// A rate with the list it stands in.
#[derive(Clone, Copy)]
pub(super) struct Priced<'a> {
    pub reference: RateReference,
    pub prices: &'a PriceList,
    pub rate: &'a Rate,
}

impl Priced<'_> {
    pub fn currency(&self) -> Currency {
        self.prices.currency()
    }
}

/// A new group of this session, nothing used, every leg's rate chosen.
pub(super) fn begin(
    charging: &Charging<'_>,
    key: GroupKey,
    at: Timestamp,
) -> Result<Group, Declined> {
    let query = RateQuery {
        service: charging.context.service,
        direction: charging.context.direction,
        destination: charging.context.destination,
        rating_group: key.rating_group,
        service_identifier: key.service_identifier,
        serving_network: charging.context.serving_network,
        origin: charging.origin(),
    };
    if charging.context.is_emergency || charging.context.is_unpriced {
        return Ok(unpriced(key, at));
    }
    let sponsored = sponsored(charging, key, &query, at);
    let chosen = sponsored.map(|(_, priced)| priced).or_else(|| retail(charging, &query, at));
    let retail = chosen.ok_or(Declined::NoRetailRate)?;
    if retail.rate.is_blocked() {
        return Err(Declined::DestinationBlocked);
    }
    let query = RateQuery { destination: carried_to(charging), ..query };
    let cost = cost(charging, &query, at)?;
    let (wholesale, wholesale_unit) = wholesale::choose(charging, &query, at)?;
    let units = [Some(retail.rate.unit()), cost.map(|cost| cost.rate.unit()), wholesale_unit];
    if units.iter().flatten().any(|unit| *unit != retail.rate.unit()) {
        return Err(Declined::UnitMismatch);
    }
    let pool = wholesale::pool(charging, &wholesale, retail.rate.unit());
    Ok(Group {
        key,
        unit: retail.rate.unit(),
        started_at: at,
        retail: Some(retail.reference),
        used: 0,
        billable: 0,
        payers: SmallVec::new(),
        wholesale,
        cost: cost.map(leg),
        granted: 0,
        wholesale_hold: Amount::ZERO,
        phase: Phase::Idle,
        overrun: 0,
        content: content(charging, key, retail.currency()),
        sponsor: sponsored.map(|(account, _)| account),
        reported_at: None,
        pool,
        burst: None,
    })
}

/// A group that is counted and costs nobody anything.
fn unpriced(key: GroupKey, at: Timestamp) -> Group {
    Group {
        key,
        unit: Unit::Seconds,
        started_at: at,
        retail: None,
        used: 0,
        billable: 0,
        payers: SmallVec::new(),
        wholesale: None,
        cost: None,
        granted: 0,
        wholesale_hold: Amount::ZERO,
        phase: Phase::Idle,
        overrun: 0,
        content: None,
        sponsor: None,
        reported_at: None,
        pool: None,
        burst: None,
    }
}

/// Does any leg's price change with the hour while the session runs, or end at what a day or month costs at most?
pub(super) fn depends_on_time(charging: &Charging<'_>, group: &Group) -> bool {
    let wholesale = match &group.wholesale {
        Some(Wholesale::Rated(leg)) => Some(leg.rate),
        _ => None,
    };
    let cost = group.cost.as_ref().map(|leg| leg.rate);
    let legs = [group.retail, wholesale, cost].into_iter().flatten();
    legs.filter_map(|rate| priced(charging, rate))
        .any(|priced| priced.prices.switches_at_band_edge() || priced.rate.period_cap().is_some())
}

/// By what carriers and the broker price a call: a ported number by the network that serves it.
pub(super) fn carried_to(charging: &Charging<'_>) -> Option<Digits> {
    let context = charging.context;
    let called = context.destination?;
    Some(context.routing.unwrap_or_else(|| charging.state.carried_to(called)))
}

/// The sponsor of this traffic, while it has money, and what it pays.
fn sponsored<'a>(
    charging: &Charging<'a>,
    key: GroupKey,
    query: &RateQuery,
    at: Timestamp,
) -> Option<(AccountId, Priced<'a>)> {
    let registry = &charging.state.registry;
    if registry.sponsorships.is_empty() {
        return None;
    }
    let usage = charging.usage(key);
    let mut own = registry.sponsorships.iter().filter(|one| {
        !one.ended && one.vno == charging.vno.id && registry.covers(one.scope, &usage)
    });
    own.find_map(|one| {
        let account = charging.state.account(one.account)?;
        let payer = Payer { id: one.account, account, pays: Pays::Everything };
        let money = charging.money_free(&Draft::default(), &payer, &usage);
        let priced = find(charging, one.prices, query, at)?;
        let owner = CounterOwner::Subscriber(one.account.subscriber());
        let room = room(charging, &Draft::default(), &priced, owner);
        let can_pay = money.is_positive() || room.is_some_and(|room| !room.is_positive());
        let usable = can_pay && account.currency == priced.currency();
        usable.then_some((one.account, priced))
    })
}

/// The leg of the provider to whom the service identifier belongs.
pub(super) fn content(
    charging: &Charging<'_>,
    key: GroupKey,
    currency: Currency,
) -> Option<ContentLeg> {
    let identifier = key.service_identifier?;
    let mut providers = charging.state.registry.content_providers.iter();
    let provider = providers.find(|provider| {
        provider.standing == Standing::Active && provider.service_identifiers.contains(&identifier)
    })?;
    Some(ContentLeg::begun(provider, currency))
}

pub(super) fn leg(priced: Priced<'_>) -> Leg {
    Leg { rate: priced.reference, currency: priced.currency(), meter: Meter::default() }
}

/// Does the retail price say that this use needs no control, or is there none that it needs?
pub(super) fn is_free(charging: &Charging<'_>, group: &Group) -> bool {
    match group.retail {
        None => group.unit != Unit::Money,
        Some(_) => retail_of(charging, group).is_ok_and(|retail| retail.rate.is_free()),
    }
}

pub(super) fn retail_of<'a>(
    charging: &Charging<'a>,
    group: &Group,
) -> Result<Priced<'a>, Declined> {
    group.retail.and_then(|reference| priced(charging, reference)).ok_or(Declined::NoRetailRate)
}

/// The rate behind a reference. Versions are kept while a session uses them.
pub(super) fn priced<'a>(charging: &Charging<'a>, reference: RateReference) -> Option<Priced<'a>> {
    let prices = charging.state.registry.prices(reference.version)?;
    Some(Priced { reference, prices, rate: prices.rate(reference.rate)? })
}

pub(super) fn find<'a>(
    charging: &Charging<'a>,
    list: PriceListId,
    query: &RateQuery,
    at: Timestamp,
) -> Option<Priced<'a>> {
    let installed = charging.state.registry.price_list(list)?.at(at)?;
    let prices = installed.prices.as_ref();
    let index = prices.find(query)?;
    let reference = RateReference { list, version: installed.version, rate: index };
    Some(Priced { reference, prices, rate: prices.rate(index)? })
}

/// The net price of a further minute, mebibyte, message or event of a leg that stands so.
pub(super) fn sample(priced: &Priced<'_>, so_far: &LegSoFar, at: Timestamp) -> Option<Amount> {
    let units = match priced.rate.unit() {
        Unit::Seconds => 60,
        Unit::Octets => 1 << 20,
        Unit::Messages | Unit::Events | Unit::Money => 1,
    };
    let pieces = [(priced.prices.band_at(at), priced.rate.billable(units))];
    price_pieces(priced, so_far, &pieces).map(|charge| charge.net)
}

/// The prices of the subscriber's own offers come before the VNO's general ones.
fn retail<'a>(charging: &Charging<'a>, query: &RateQuery, at: Timestamp) -> Option<Priced<'a>> {
    let live = |state| matches!(state, SubscriptionState::Active | SubscriptionState::Cancelled);
    let subscriptions = charging.subscriber.subscriptions.iter();
    let offers = subscriptions
        .filter(|subscription| live(subscription.state))
        .filter_map(|subscription| charging.state.registry.offer(subscription.offer)?.prices);
    offers.chain(charging.vno.retail).find_map(|list| find(charging, list, query, at))
}

fn cost<'a>(
    charging: &Charging<'a>,
    query: &RateQuery,
    at: Timestamp,
) -> Result<Option<Priced<'a>>, Declined> {
    let carrier = charging.state.registry.carrier(charging.carrier);
    let Some(deck) = carrier.and_then(|carrier| carrier.deck) else {
        return Ok(None);
    };
    let priced = find(charging, deck, query, at).ok_or(Declined::NoCostRate)?;
    if priced.rate.is_blocked() { Err(Declined::DestinationBlocked) } else { Ok(Some(priced)) }
}
