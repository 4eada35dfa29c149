//! Calls: who pays, may they, where to, over whom; decided at once, before anything rings.

use smallvec::SmallVec;

use super::carriers::routes;
use super::funds::Charging;
use super::group::GroupKey;
use super::rates;
use super::request::{
    CallPart, Declined, GroupRequest, SessionAnswer, SessionRequest, SessionVerb, UnitCounts,
};
use super::session::{Context, Session};
use super::sessions::{admit, charging, decide_session, identify};
use crate::calls::{Forwarding, LineCalls, TimedRules, VnoCalls, Webhook};
use crate::decide::Decision;
use crate::digits::Digits;
use crate::event::Event;
use crate::identifier::{CarrierId, Identity, IdentityKind, LineId, PeerId, SessionId};
use crate::money::Amount;
use crate::party::Standing;
use crate::routing::{self, Candidate, Route};
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
    /// The caller's number, as far as it is known.
    pub caller: Option<Digits>,
    /// What was dialled, where that is something else.
    pub dialled: Option<Digits>,
    /// The network that serves the number, where the switch has looked that up.
    pub routing: Option<Digits>,
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
    /// Of a ported number: by which one the network that serves it is found.
    pub routing: Option<Digits>,
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

/// Calls of one line to one number that may be unanswered at once: more are one call that comes back through
/// networks which hide that they had it before.
const LOOPED_MAX: usize = 50;

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
    let is_emergency = |line| emergency(state, line, request.called);
    let called = if caller.is_some_and(is_emergency) {
        request.called
    } else {
        resolve(state, caller, request.called)
    };
    let callee = state.identities.line(&Identity::number(IdentityKind::Msisdn, called));
    let (line, context, mut decision) = match (caller, callee) {
        // A call from outside to nobody of ours is not ours to carry.
        (None, None) => return Decision::refused(Declined::UnknownUser),
        (None, Some(line)) => {
            let context = Context {
                origin: request.caller,
                ..Context::new(Service::Voice, Direction::Terminating)
            };
            let decision = inbound(state, request, peer.carrier, (line, &context), called, now);
            (line, context, decision)
        }
        (Some(line), callee) => {
            let direction = if forwarded { Direction::Forwarded } else { Direction::Originating };
            let given = request.called == called;
            let context = Context {
                dialled: request.dialled.or_else(|| (!given).then_some(request.called)),
                routing: request.routing.filter(|_| given),
                origin: request.caller,
                destination: Some(called),
                ..Context::new(Service::Voice, direction)
            };
            let own = peer.carrier;
            let decision = outbound(state, request, own, (line, &context), callee, called, now);
            (line, context, decision)
        }
    };
    if let Err(declined) = decision.response {
        let attempt = Box::new(refused(state, request, line, context, now));
        decision.events.push(Event::CallRefused(attempt, declined));
    }
    decision
}

/// What is recorded of a call that was not to be.
fn refused(
    state: &State,
    request: &CallRequest,
    line: LineId,
    context: Context,
    now: Timestamp,
) -> Session {
    let opened = state.tally(line.vno()).map_or(0, |tally| tally.sessions_opened);
    Session {
        id: SessionId::new(line.vno(), opened + 1),
        key: request.key.clone(),
        line,
        peer: request.peer,
        carrier: CarrierId::NOBODY,
        origin_host: request.origin_host.clone(),
        origin_realm: Box::default(),
        origin_state: None,
        context,
        opened_at: now,
        heard_at: now,
        supervised_until: now,
        groups: SmallVec::new(),
        answers: SmallVec::new(),
        ending: false,
        note: None,
        overtaken: 0,
        burst: None,
    }
}

fn vno_calls(state: &State, line: LineId) -> Option<&VnoCalls> {
    state.registry.vno(line.vno())?.calls.as_deref()
}

fn line_calls(state: &State, line: LineId) -> Option<&LineCalls> {
    state.subscriber(line.subscriber())?.line(line)?.calls.as_deref()
}

fn emergency(state: &State, line: LineId, called: Digits) -> bool {
    vno_calls(state, line).is_some_and(|rules| rules.emergency.contains(&called))
}

/// Short codes of the caller's VNO.
fn resolve(state: &State, caller: Option<LineId>, dialled: Digits) -> Digits {
    let rules = caller.and_then(|line| vno_calls(state, line));
    let mut codes = rules.into_iter().flat_map(|rules| rules.short_codes.iter());
    codes.find(|(code, _)| *code == dialled).map_or(dialled, |(_, number)| *number)
}

/// A call from a carrier to a line of ours. Where the VNO has no price for being called, it costs nothing.
fn inbound(
    state: &State,
    request: &CallRequest,
    carrier: CarrierId,
    (line, context): (LineId, &Context),
    called: Digits,
    now: Timestamp,
) -> CallDecision {
    let admitted = charging(state, line, carrier, context, now).and_then(|c| admit(&c));
    if let Err(declined) = admitted {
        return Decision::refused(declined);
    }
    let target = target_line(state, line);
    let open = session(request, line, context.clone(), None, state);
    let plan = |charge| CallPlan {
        payer: Some(line),
        charge,
        target,
        called,
        routing: None,
        withholds_number: false,
        number: None,
        webhook: None,
        is_emergency: false,
        below_floor: SmallVec::new(),
    };
    let mut decision = decide_session(state, &open, now);
    if decision.response == Err(Declined::NoRetailRate) {
        let context = Context { is_unpriced: true, ..open.context };
        decision = decide_session(state, &SessionRequest { context, ..open }, now);
    }
    opened(decision, plan)
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
    (line, context): (LineId, &Context),
    callee: Option<LineId>,
    called: Digits,
    now: Timestamp,
) -> CallDecision {
    if emergency(state, line, called) {
        let context = Context { is_emergency: true, ..context.clone() };
        let first = request.candidates.first().map_or(own_carrier, |one| one.carrier);
        let open = session(request, line, context, Some(first), state);
        let decision = decide_session(state, &open, now);
        // Whatever the books say: it is connected.
        return decision
            .map(|answer| Ok(emergency_plan(state, request, line, called, answer.ok())));
    }
    if !called.is_number() {
        // A service code that means nothing to this VNO.
        return Decision::refused(Declined::NoRetailRate);
    }
    let prepared = charging(state, line, own_carrier, context, now)
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
        None => match routes(&charging, &request.candidates, request.draw) {
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
        routing: rates::carried_to(&charging).filter(|network| *network != called),
        withholds_number: settings.is_some_and(|calls| calls.withholds_number),
        number,
        webhook: charging.vno.calls.as_deref().and_then(|calls| calls.webhook.clone()),
        is_emergency: false,
        below_floor,
    };
    opened(decide_session(state, &open, now), plan)
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
fn emergency_plan(
    state: &State,
    request: &CallRequest,
    line: LineId,
    called: Digits,
    charge: Option<SessionAnswer>,
) -> CallPlan {
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
        charge,
        target: CallTarget::Carriers(routes.collect()),
        called,
        routing: None,
        withholds_number: false,
        number,
        webhook: None,
        is_emergency: true,
        below_floor: SmallVec::new(),
    }
}

/// Barring, allow lists, loops, and concurrent calls of the line and its VNO.
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
    let is_coming_back = |one: &&Session| {
        one.line == charging.line_id
            && one.context.destination == Some(called)
            && one.note.is_none()
    };
    if running_calls(charging).filter(is_coming_back).nth(LOOPED_MAX - 1).is_some() {
        return Err(Declined::Loop);
    }
    let full = |most: usize, running: usize| most > 0 && running >= most;
    let of_line = own.map_or(0, |calls| usize::from(calls.calls_max));
    let of_subscriber = of_vno.map_or(0, |calls| usize::from(calls.subscriber_calls_max));
    let of_all = of_vno.map_or(0, |calls| calls.calls_max as usize);
    let tally = charging.state.tally(charging.vno.id);
    let all = tally.map_or(0, |tally| tally.running(Service::Voice) as usize);
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
) -> CallDecision {
    decision.map(|answer| answer.map(|answer| plan(Some(answer))))
}
