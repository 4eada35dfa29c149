//! Calls: who pays, may they, where to, over whom; decided at once, before anything rings.

use smallvec::SmallVec;

use super::funds::Charging;
use super::grant::price_alone;
use super::group::GroupKey;
use super::rates::{self, Priced};
use super::request::{
    CallPart, Declined, GroupRequest, SessionAnswer, SessionRequest, SessionVerb, UnitCounts,
};
use super::session::{Context, Session};
use super::sessions::{admit, charging, decide_session, identify};
use super::settle::derived;
use crate::calls::{Forwarding, LineCalls, TimedRules, VnoCalls, Webhook};
use crate::decide::Decision;
use crate::digits::Digits;
use crate::identifier::{CarrierId, Identity, IdentityKind, LineId, PeerId};
use crate::money::{Amount, Currency};
use crate::party::{Standing, WholesaleTerms};
use crate::quantity::Unit;
use crate::rating::RateQuery;
use crate::routing::{self, Candidate, Ranking, Route};
use crate::service::{Direction, Service};
use crate::state::State;
use crate::time::Timestamp;

/// A call that somebody wants to make.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Names the charging session: unique for the peer.
    pub key: Box<[u8]>,
    pub peer: PeerId,
    pub origin_host: Box<str>,
    pub party: CallParty,
    pub called: Digits,
    /// Trunks that could carry it now.
    pub candidates: SmallVec<[Candidate; 8]>,
    /// From 0 to 99, for routing by share.
    pub draw: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallParty {
    /// Who calls, as the switch or the phone says; nobody of ours for calls from outside.
    Caller(SmallVec<[Identity; 2]>),
    /// A called line that forwards and pays for that.
    Forwarder(LineId),
}

/// How a call may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPlan {
    /// The line that is charged, if any.
    pub payer: Option<LineId>,
    /// The grant, when a line is charged.
    pub charge: Option<SessionAnswer>,
    pub target: CallTarget,
    pub called: Digits,
    pub withholds_number: bool,
    /// The paying line's number, to be asserted.
    pub number: Option<Digits>,
    /// The VNO wants to be asked before the call is connected.
    pub webhook: Option<Webhook>,
    /// Connected at once, as it was dialled.
    pub is_emergency: bool,
    /// Carriers that would have lost money.
    pub below_floor: SmallVec<[Route; routing::ROUTES_MAX]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallTarget {
    Carriers(SmallVec<[Route; routing::ROUTES_MAX]>),
    /// A line of ours; with the user name its phones register under.
    Line {
        line: LineId,
        user: Option<Box<str>>,
        forwarding: Forwarding,
    },
}

/// Another carrier is to take the call, before anything was used.
#[derive(Clone, Debug)]
pub struct Reroute {
    pub key: Box<[u8]>,
    pub peer: PeerId,
    pub candidate: Candidate,
}

type CallDecision = Decision<Result<CallPlan, Declined>>;

/// Decides a call (one commit: rules, routes, prices of all legs, reservation).
pub(crate) fn decide_call(state: &State, request: &CallRequest, now: Timestamp) -> CallDecision {
    let Some(peer) = state.registry.peer(request.peer) else {
        return Decision::refused(Declined::CarrierNotAllowed);
    };
    let caller = match &request.party {
        CallParty::Caller(identities) => identify(state, identities),
        CallParty::Forwarder(line) => Ok(*line),
    };
    let forwarded = matches!(request.party, CallParty::Forwarder(_));
    let caller = match caller {
        Ok(line) => Some(line),
        Err(Declined::UnknownUser) => None,
        Err(declined) => return Decision::refused(declined),
    };
    let called = resolve(state, caller, request.called);
    let callee = state.identities.line(&Identity::number(IdentityKind::Msisdn, called));
    match (caller, callee) {
        // A call from outside to nobody of ours is not ours to carry.
        (None, None) => Decision::refused(Declined::UnknownUser),
        (None, Some(line)) => inbound(state, request, peer.carrier, line, called, now),
        (Some(line), callee) => {
            let direction = if forwarded { Direction::Forwarded } else { Direction::Originating };
            outbound(state, request, peer.carrier, (line, direction), callee, called, now)
        }
    }
}

fn vno_calls(state: &State, line: LineId) -> Option<&VnoCalls> {
    state.registry.vno(line.vno())?.calls.as_deref()
}

fn line_calls(state: &State, line: LineId) -> Option<&LineCalls> {
    state.subscriber(line.subscriber())?.line(line)?.calls.as_deref()
}

/// Short codes of the caller's VNO.
fn resolve(state: &State, caller: Option<LineId>, dialled: Digits) -> Digits {
    let rules = caller.and_then(|line| vno_calls(state, line));
    let mut codes = rules.into_iter().flat_map(|rules| rules.short_codes.iter());
    codes.find(|(code, _)| *code == dialled).map_or(dialled, |(_, number)| *number)
}

fn context(direction: Direction, other: Option<Digits>) -> Context {
    Context {
        service: Service::Voice,
        direction,
        destination: other,
        serving_network: None,
        access_point: None,
        is_emergency: false,
    }
}

/// A call from a carrier to a line of ours. Where the VNO has no price for being called, it is free.
fn inbound(
    state: &State,
    request: &CallRequest,
    carrier: CarrierId,
    line: LineId,
    called: Digits,
    now: Timestamp,
) -> CallDecision {
    let context = context(Direction::Terminating, None);
    let admitted = charging(state, line, carrier, &context, now).and_then(|c| admit(&c));
    if let Err(declined) = admitted {
        return Decision::refused(declined);
    }
    let target = target_line(state, line);
    let open = session(request, line, context, None, state);
    let plan = |charge| CallPlan {
        payer: Some(line),
        charge,
        target,
        called,
        withholds_number: false,
        number: None,
        webhook: None,
        is_emergency: false,
        below_floor: SmallVec::new(),
    };
    opened(decide_session(state, &open, now), plan, true)
}

fn target_line(state: &State, line: LineId) -> CallTarget {
    let calls = line_calls(state, line);
    CallTarget::Line {
        line,
        user: calls.and_then(|calls| calls.user.clone()),
        forwarding: calls.map(|calls| calls.forwarding.clone()).unwrap_or_default(),
    }
}

fn outbound(
    state: &State,
    request: &CallRequest,
    own_carrier: CarrierId,
    (line, direction): (LineId, Direction),
    callee: Option<LineId>,
    called: Digits,
    now: Timestamp,
) -> CallDecision {
    let emergency = vno_calls(state, line).is_some_and(|rules| rules.emergency.contains(&called));
    if emergency {
        return Decision::repeated(Ok(emergency_plan(state, request, line, called)));
    }
    let context = context(direction, Some(called));
    let prepared = charging(state, line, own_carrier, &context, now)
        .and_then(|charging| admit(&charging).map(|()| charging))
        .and_then(|charging| may_call(&charging, called).map(|()| charging));
    let charging = match prepared {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let settings = line_calls(state, line);
    let mut below_floor = SmallVec::new();
    let (target, carrier) = match callee {
        Some(callee) if !is_served(state, callee) => {
            return Decision::refused(Declined::LineSuspended);
        }
        // It stays in the house: no carrier brings it to anybody.
        Some(callee) => (target_line(state, callee), CarrierId::NOBODY),
        None => match routes(&charging, request) {
            Ok(ranking) => {
                let first = ranking.routes.first().map_or(own_carrier, |route| route.carrier);
                below_floor = ranking.below_floor;
                (CallTarget::Carriers(ranking.routes), first)
            }
            Err(declined) => return Decision::refused(declined),
        },
    };
    let open = session(request, line, context.clone(), Some(carrier), state);
    let number = charging.line.identities.iter().find_map(|identity| identity.digits());
    let plan = |charge| CallPlan {
        payer: Some(line),
        charge,
        target,
        called,
        withholds_number: settings.is_some_and(|calls| calls.withholds_number),
        number,
        webhook: charging.vno.calls.as_deref().and_then(|calls| calls.webhook.clone()),
        is_emergency: false,
        below_floor,
    };
    opened(decide_session(state, &open, now), plan, false)
}

/// Do its VNO, its subscriber and the line itself take calls?
fn is_served(state: &State, line: LineId) -> bool {
    let vno = state.registry.vno(line.vno()).map(|vno| vno.standing);
    let subscriber = state.subscriber(line.subscriber());
    let known = subscriber.and_then(|one| Some([one.standing, one.line(line)?.standing]));
    let all = known.into_iter().flatten().chain(vno);
    subscriber.is_some() && all.into_iter().all(|standing| standing == Standing::Active)
}

/// Emergency calls are never charged, blocked or delayed: any trunk that is up will do.
fn emergency_plan(state: &State, request: &CallRequest, line: LineId, called: Digits) -> CallPlan {
    let known = state.subscriber(line.subscriber()).and_then(|one| one.line(line));
    let number = known.and_then(|line| line.identities.iter().find_map(Identity::digits));
    let routes = request.candidates.iter().take(routing::ROUTES_MAX).map(|one| Route {
        trunk: one.trunk,
        carrier: one.carrier,
        margin: Amount::ZERO,
        is_waived: false,
    });
    CallPlan {
        payer: Some(line),
        charge: None,
        target: CallTarget::Carriers(routes.collect()),
        called,
        withholds_number: false,
        number,
        webhook: None,
        is_emergency: true,
        below_floor: SmallVec::new(),
    }
}

/// Barring, allow lists and concurrent calls of the line and its VNO.
fn may_call(charging: &Charging<'_>, called: Digits) -> Result<(), Declined> {
    let rules = charging.vno.calls.as_deref().map(|calls| &calls.destinations);
    let own = charging.line.calls.as_deref();
    let lists = rules.into_iter().chain(own.map(|calls| &calls.destinations));
    if !lists.into_iter().all(|list| list.allow(called)) {
        return Err(Declined::DestinationBarred);
    }
    let of_vno = charging.vno.calls.as_deref();
    let timed = of_vno.into_iter().map(|calls| &calls.timed);
    let mut timed = timed.chain(own.map(|calls| &calls.timed));
    let zone = &charging.vno.time_zone;
    if !timed.all(|rules| TimedRules::allow(rules, called, charging.now, zone)) {
        return Err(Declined::DestinationBarred);
    }
    let full = |most: usize, running: usize| most > 0 && running >= most;
    let of_line = own.map_or(0, |calls| usize::from(calls.calls_max));
    let of_subscriber = of_vno.map_or(0, |calls| usize::from(calls.subscriber_calls_max));
    let of_all = of_vno.map_or(0, |calls| calls.calls_max as usize);
    let all = charging.state.tally(charging.vno.id).map_or(0, |tally| tally.calls as usize);
    let line_only = |one: &&Session| one.line == charging.line_id;
    if full(of_all, all)
        || full(of_subscriber, running_calls(charging).count())
        || full(of_line, running_calls(charging).filter(line_only).count())
    {
        return Err(Declined::TooManyCalls);
    }
    Ok(())
}

/// Calls of the subscriber's own lines.
fn running_calls<'a>(charging: &Charging<'a>) -> impl Iterator<Item = &'a Session> {
    let (state, own) = (charging.state, charging.subscriber.id);
    let sessions = state.sessions_of(own).iter().filter_map(|id| state.sessions.get(id));
    sessions
        .map(Box::as_ref)
        .filter(move |one| one.line.subscriber() == own && one.context.service == Service::Voice)
}

fn session(
    request: &CallRequest,
    line: LineId,
    context: Context,
    carrier: Option<CarrierId>,
    state: &State,
) -> SessionRequest {
    let subscriber = state.subscriber(line.subscriber());
    let identities = subscriber.and_then(|one| one.line(line)).map(|line| &line.identities);
    SessionRequest {
        verb: SessionVerb::Open,
        key: request.key.clone(),
        number: 0,
        peer: request.peer,
        origin_host: request.origin_host.clone(),
        origin_realm: Box::default(),
        origin_state: None,
        identities: identities.into_iter().flatten().take(1).cloned().collect(),
        context,
        groups: SmallVec::from_iter([GroupRequest {
            key: GroupKey::default(),
            requested: Some(UnitCounts::default()),
            used: SmallVec::new(),
            is_final: false,
        }]),
        call: Some(Box::new(CallPart { carrier, ..CallPart::default() })),
    }
}

/// Wraps the decision about the money into the one about the call.
fn opened(
    decision: Decision<Result<SessionAnswer, Declined>>,
    plan: impl FnOnce(Option<SessionAnswer>) -> CallPlan,
    free_without_price: bool,
) -> CallDecision {
    let response = match decision.response {
        Ok(answer) => Ok(plan(Some(answer))),
        Err(Declined::NoRetailRate) if free_without_price => Ok(plan(None)),
        Err(declined) => Err(declined),
    };
    Decision {
        response,
        events: decision.events,
        remember: decision.remember,
        rearm: decision.rearm,
    }
}

/// Every candidate with its price, ranked.
fn routes(charging: &Charging<'_>, request: &CallRequest) -> Result<Ranking, Declined> {
    let defaults = VnoCalls::default();
    let rules = charging.vno.calls.as_deref().unwrap_or(&defaults);
    let usable = request.candidates.iter().filter(|one| charging.vno.may_use(one.carrier));
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
        request.draw,
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
            };
            let rate =
                rates::find(&over, list, &query, charging.now).ok_or(Declined::NoWholesaleRate)?;
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
    if priced.rate.unit() != Unit::Seconds {
        return None;
    }
    let units = priced.rate.billable(60);
    let band = priced.prices.band_at(charging.now);
    price_alone(priced, 0, &[(band, units)]).map(|charge| charge.net)
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
