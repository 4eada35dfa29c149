//! One-time events: direct debit, refund, balance check, price enquiry (RFC 8506 section 6).

use smallvec::SmallVec;

use super::draft::{CounterOwner, Draft};
use super::emergency::is_emergency;
use super::funds::Charging;
use super::grant;
use super::group::Group;
use super::hold::price_pieces;
use super::named;
use super::rates::{self, retail_of};
use super::refund;
use super::request::{Declined, EventAction, EventAnswer, EventRequest, GroupOutcome, UnitCounts};
use super::session::Session;
use super::sessions::{admit, charging, identify, may_carry};
use super::settle;
use crate::answered::{Reply, RequestKey};
use crate::content::{self, Offered, Payment};
use crate::decide::Decision;
use crate::event::{Event, Remembered};
use crate::identifier::SessionId;
use crate::money::Money;
use crate::quantity::Unit;
use crate::rating::PeriodCap;
use crate::state::State;
use crate::time::Timestamp;

type Answered = Result<EventAnswer, Declined>;

pub(crate) fn decide_event(
    state: &State,
    request: &EventRequest,
    now: Timestamp,
) -> Decision<Answered> {
    let Some(carrier) = state.registry.peer(request.peer).map(|peer| peer.carrier) else {
        return Decision::refused(Declined::CarrierNotAllowed);
    };
    let key = RequestKey::of_event(carrier, &request.key, request.number);
    if let Some(Reply::Event(answer)) = state.answered.reply(&key) {
        return Decision::repeated(Ok(answer.clone()));
    }
    if is_emergency(state, &request.identities, &request.context) {
        return Decision::repeated(Ok(free_of_charge(Unit::Events)));
    }
    let prepared = identify(state, &request.identities)
        .and_then(|line| charging(state, line, carrier, &request.context, now));
    let charging = match prepared {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let identifier =
        request.group.service_identifier.filter(|_| request.action == EventAction::Debit);
    let named = named_of(&charging, request);
    let offered = identifier
        .and_then(|identifier| Some((identifier, content::offered(&charging, identifier)?)))
        // Without a named price, what a provider's identifier stands for is priced by the VNO's own list.
        .filter(|(_, offered)| named.is_some() || matches!(offered, Offered::Item(_)));
    if let Some((identifier, offered)) = offered {
        // An item is sold once: how many there are to be is not the switch's to say.
        if request.units.service_specific.is_some_and(|count| count != 1) {
            return Decision::refused(Declined::UnitMismatch);
        }
        let bought = admit(&charging)
            .and_then(|()| content::buy_by_event(&charging, &offered, identifier, named));
        return sold(bought, key);
    }
    let decided = match request.action {
        EventAction::Debit => admit(&charging).and_then(|()| debit(&charging, request)),
        EventAction::Refund => {
            may_carry(&charging).and_then(|()| refund::refund(&charging, request))
        }
        EventAction::CheckBalance => {
            admit(&charging).and_then(|()| check_balance(&charging, request))
        }
        EventAction::PriceEnquiry => {
            may_carry(&charging).and_then(|()| enquire(&charging, request))
        }
    };
    match decided {
        Ok((answer, event)) => {
            let mut decision = Decision::new(Ok(answer.clone()));
            if let Some(event) = event {
                decision.events.push(event);
                decision.remember = Some(Remembered { key, reply: Reply::Event(answer) });
            }
            decision
        }
        Err(declined) => Decision::refused(declined),
    }
}

fn free_of_charge(unit: Unit) -> EventAnswer {
    EventAnswer {
        unit,
        granted: 0,
        cost: None,
        has_credit: None,
        is_free: true,
        failure_handling: None,
        debit: None,
    }
}

/// A switch sells: a purchase like any other.
fn sold(
    bought: Result<(Payment, SmallVec<[Event; 1]>), Declined>,
    key: RequestKey,
) -> Decision<Answered> {
    let (payment, events) = match bought {
        Ok(bought) => bought,
        Err(declined) => return Decision::refused(declined),
    };
    let answer = EventAnswer {
        granted: 1,
        cost: Some(Money::new(payment.sale.gross(), payment.sale.currency)),
        ..EventAnswer::of(Unit::Events)
    };
    let mut decision = Decision::new(Ok(answer.clone()));
    decision.events = events;
    decision.remember = Some(Remembered { key, reply: Reply::Event(answer) });
    decision
}

pub(super) fn named_of(charging: &Charging<'_>, request: &EventRequest) -> Option<Money> {
    request.units.money.map(|money| named::money(charging, money))
}

/// What an event is measured in when it says nothing: one of the price's units.
fn units_of(group: &Group, counts: UnitCounts) -> Result<u64, Declined> {
    if counts.is_empty() { Ok(1) } else { counts.of(group.unit).ok_or(Declined::UnitMismatch) }
}

fn cost_of(group: &Group) -> Option<Money> {
    let currency = group.payers.first()?.currency;
    Some(Money::new(group.retail_gross(), currency))
}

fn debit(
    charging: &Charging<'_>,
    request: &EventRequest,
) -> Result<(EventAnswer, Option<Event>), Declined> {
    let mut draft = Draft::default();
    let (group, granted) = match named_of(charging, request) {
        Some(money) => {
            if !money.amount.is_positive() {
                return Err(Declined::AmountOutOfRange);
            }
            let mut group = named::begin(charging, request.group, money.currency);
            named::take(charging, &mut draft, &mut group, money)?;
            let granted = group.used;
            (group, granted)
        }
        None => {
            let mut group = rates::begin(charging, request.group, charging.now)?;
            if rates::is_free(charging, &group) {
                return Ok((free_of_charge(group.unit), None));
            }
            let units = units_of(&group, request.units)?;
            cover(charging, &mut draft, &mut group, units)?;
            settle::use_units(charging, &mut draft, &mut group, units, charging.now)?;
            (group, units)
        }
    };
    if draft.wholesale_balance < 0 && charging.wholesale_free(&draft).is_negative() {
        return Err(Declined::VnoCreditExhausted);
    }
    let mut answer = EventAnswer {
        granted,
        cost: cost_of(&group),
        failure_handling: Some(charging.vno.failure_handling),
        ..EventAnswer::of(group.unit)
    };
    let session = over_at_once(charging, request, group);
    answer.debit = Some(session.id);
    Ok((answer, Some(Event::OneTimeCharged(Box::new(session), draft.movements()))))
}

/// Is there cover for all of it? Reserved and given back, so that the same rules hold as for sessions.
fn cover(
    charging: &Charging<'_>,
    draft: &mut Draft,
    group: &mut Group,
    units: u64,
) -> Result<(), Declined> {
    match grant::cover_whole(charging, draft, group, units) {
        GroupOutcome::Declined(declined) => Err(declined),
        _ => {
            grant::release(draft, group);
            Ok(())
        }
    }
}

fn over_at_once(charging: &Charging<'_>, request: &EventRequest, mut group: Group) -> Session {
    group.granted = 0;
    let opened = charging.state.tally(charging.vno.id).map_or(0, |tally| tally.sessions_opened);
    Session {
        id: SessionId::new(charging.vno.id, opened + 1),
        key: request.key.clone(),
        line: charging.line_id,
        peer: request.peer,
        carrier: charging.carrier,
        origin_host: Box::default(),
        origin_realm: Box::default(),
        origin_state: None,
        context: request.context.clone(),
        opened_at: charging.now,
        heard_at: charging.now,
        supervised_until: charging.now,
        groups: SmallVec::from_iter([group]),
        answers: SmallVec::new(),
        ending: false,
        note: None,
        overtaken: 0,
        burst: None,
    }
}

/// The group as if it were used and all paid in money: for prices without a look at balances. Under the cap of a day or
/// month by what is left of it; what is given back as the first in it.
pub(super) fn priced_alone(
    charging: &Charging<'_>,
    request: &EventRequest,
) -> Result<(Group, crate::money::Currency), Declined> {
    let mut group = rates::begin(charging, request.group, charging.now)?;
    let retail = retail_of(charging, &group)?;
    let units = units_of(&group, request.units)?;
    let billable = retail.rate.billable(units);
    let owner = CounterOwner::Subscriber(charging.subscriber.id);
    let mut so_far = settle::unused(charging, &retail, owner);
    if request.action == EventAction::Refund {
        so_far.cap.room = retail.rate.period_cap().and_then(PeriodCap::lower);
    }
    let pieces = settle::pieces(&retail, charging.now, 0, billable, charging.now);
    let charge = price_pieces(&retail, &so_far, &pieces).ok_or(Declined::AmountOutOfRange)?;
    let own = crate::identifier::AccountId::new(charging.subscriber.id, 1);
    let mut leg = super::group::PayerLeg::new(own, retail.currency());
    (leg.meter.net, leg.meter.tax) = (charge.net, charge.tax);
    group.payers.push(leg);
    (group.used, group.billable) = (units, billable);
    let currency = retail.currency();
    Ok((group, currency))
}

fn check_balance(
    charging: &Charging<'_>,
    request: &EventRequest,
) -> Result<(EventAnswer, Option<Event>), Declined> {
    let mut draft = Draft::default();
    let covered = match named_of(charging, request) {
        Some(money) => {
            let mut group = named::begin(charging, request.group, money.currency);
            named::take(charging, &mut draft, &mut group, money)
        }
        None => {
            let mut group = rates::begin(charging, request.group, charging.now)?;
            let units = units_of(&group, request.units)?;
            cover(charging, &mut draft, &mut group, units)
        }
    };
    let has_credit = match covered {
        Ok(()) => true,
        Err(Declined::InsufficientBalance) => false,
        Err(other) => return Err(other),
    };
    let answer = EventAnswer { has_credit: Some(has_credit), ..EventAnswer::of(Unit::Money) };
    Ok((answer, None))
}

fn enquire(
    charging: &Charging<'_>,
    request: &EventRequest,
) -> Result<(EventAnswer, Option<Event>), Declined> {
    let (cost, unit, units) = match named_of(charging, request) {
        Some(money) => (money, Unit::Money, 0),
        None => {
            let (group, currency) = priced_alone(charging, request)?;
            (Money::new(group.retail_gross(), currency), group.unit, group.used)
        }
    };
    let answer = EventAnswer { granted: units, cost: Some(cost), ..EventAnswer::of(unit) };
    Ok((answer, None))
}
