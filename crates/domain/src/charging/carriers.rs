//! Which carrier takes a call: each is priced for it, and has to leave the broker its margin.

use smallvec::SmallVec;

use super::funds::Charging;
use super::group::GroupKey;
use super::rates::{self, Priced};
use super::request::{Declined, SessionAnswer};
use super::sessions::charging;
use super::settle::derived;
use super::wholesale;
use crate::calls::VnoCalls;
use crate::decide::Decision;
use crate::identifier::PeerId;
use crate::money::{Amount, Currency};
use crate::party::WholesaleTerms;
use crate::quantity::Unit;
use crate::rating::{LegSoFar, RateQuery};
use crate::routing::{self, Candidate, Ranking};
use crate::state::State;
use crate::time::Timestamp;

/// Another carrier is to take the call, before anything was used.
#[derive(Clone, Debug)]
pub struct Reroute {
    pub key: Box<[u8]>,
    pub peer: PeerId,
    pub candidate: Candidate,
}

/// Every candidate with its price, ranked.
pub(super) fn routes(
    charging: &Charging<'_>,
    candidates: &[Candidate],
    draw: u8,
) -> Result<Ranking, Declined> {
    let defaults = VnoCalls::default();
    let rules = charging.vno.calls.as_deref().unwrap_or(&defaults);
    let usable = candidates.iter().filter(|one| charging.vno.may_use(one.carrier));
    let mut first_refusal = Declined::NoRoute;
    let mut priced = SmallVec::new();
    for candidate in usable {
        match price(charging, candidate) {
            Ok(one) => priced.push(one),
            Err(declined) => first_refusal = declined,
        }
    }
    if priced.is_empty() {
        return Err(first_refusal);
    }
    let ranking = routing::rank(
        rules.routing_at(charging.now, &charging.vno.time_zone),
        priced,
        rules.margin_floor,
        rules.waives_margin,
        draw,
    );
    if ranking.routes.is_empty() { Err(Declined::MarginTooLow) } else { Ok(ranking) }
}

/// What the first minute costs over this candidate, and what the broker keeps of it.
fn price(charging: &Charging<'_>, candidate: &Candidate) -> Result<routing::Priced, Declined> {
    let over = Charging { carrier: candidate.carrier, ..*charging };
    let group = rates::begin(&over, GroupKey::default(), charging.now)?;
    let currency = charging.vno.wholesale_currency;
    let cost = match &group.cost {
        Some(leg) => {
            let rate = rates::priced(&over, leg.rate).ok_or(Declined::NoCostRate)?;
            let net = first_minute(&over, &rate).ok_or(Declined::NoCostRate)?;
            convert(&over, net, leg.currency, currency)?
        }
        None => Amount::ZERO,
    };
    let income = match charging.vno.wholesale {
        None => cost,
        Some(WholesaleTerms::CostPlus(basis_points)) => {
            let part = 10_000 + i128::from(basis_points);
            derived(&over, cost, Some(currency), currency, part, charging.now)?
        }
        Some(WholesaleTerms::RetailMinus(basis_points)) => {
            let retail = rates::retail_of(&over, &group)?;
            let net = first_minute(&over, &retail).ok_or(Declined::NoRetailRate)?;
            let part = 10_000 - i128::from(basis_points).min(10_000);
            derived(&over, net, Some(retail.currency()), currency, part, charging.now)?
        }
        Some(WholesaleTerms::PriceList(list)) => {
            let query = RateQuery {
                service: over.context.service,
                direction: over.context.direction,
                destination: rates::carried_to(&over),
                rating_group: None,
                service_identifier: None,
                serving_network: None,
                origin: over.origin(),
            };
            // As listed: what is in a pool, the lines have paid for.
            let rate = wholesale::listed(&over, list, &query, charging.now)?;
            first_minute(&over, &rate).ok_or(Declined::NoWholesaleRate)?
        }
    };
    Ok(routing::Priced {
        candidate: *candidate,
        cost,
        margin: income.saturating_sub(cost),
        seconds_owed: over.seconds_owed(),
    })
}

/// The net price of sixty seconds from now, or of the first increment when that is longer.
fn first_minute(charging: &Charging<'_>, priced: &Priced<'_>) -> Option<Amount> {
    let is_timed = priced.rate.unit() == Unit::Seconds;
    is_timed.then(|| rates::sample(priced, &LegSoFar::default(), charging.now)).flatten()
}

fn convert(
    charging: &Charging<'_>,
    amount: Amount,
    from: Currency,
    to: Currency,
) -> Result<Amount, Declined> {
    derived(charging, amount, Some(from), to, 10_000, charging.now)
        .map_err(|_| Declined::NoExchangeRate)
}

/// May this carrier take the call now, at its price of today? Then all legs are priced and reserved anew.
pub(crate) fn decide_reroute(
    state: &State,
    request: &Reroute,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let session = state.session_by_key(&request.key).filter(|one| one.peer == request.peer);
    let Some(session) = session else {
        return Decision::refused(Declined::UnknownSession);
    };
    let charging =
        match charging(state, session.line, request.candidate.carrier, &session.context, now) {
            Ok(charging) => charging,
            Err(declined) => return Decision::refused(declined),
        };
    let defaults = VnoCalls::default();
    let rules = charging.vno.calls.as_deref().unwrap_or(&defaults);
    match price(&charging, &request.candidate) {
        Ok(priced) if priced.margin >= rules.margin_floor || rules.waives_margin => {}
        Ok(_) => return Decision::refused(Declined::MarginTooLow),
        Err(declined) => return Decision::refused(declined),
    }
    super::sessions::reroute(session, charging, now)
}
