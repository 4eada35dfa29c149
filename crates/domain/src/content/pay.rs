//! Payments by providers' clients: in one step, or reserved and then confirmed or cancelled.

use super::api::{ContentCommand, ContentRefusal, NewCode, PaymentRequest, Subject};
use super::payment::{
    Notification, NotificationId, Payment, PaymentId, PaymentOrigin, PaymentState, Sink, Topic,
    Validation,
};
use super::refund::decide_refund;
use super::sale::{
    self, Wanted, begin, quote, release, reserve, share_again, sold, still_covered, take, take_held,
};
use crate::charging::{Charging, Context, Draft, admit_line, charging};
use crate::command::Response;
use crate::decide::Decision;
use crate::event::{Event, Movements};
use crate::identifier::{ApiClientId, CarrierId, IdentityKind, LineId};
use crate::service::{Direction, Service};
use crate::state::State;
use crate::time::Timestamp;

type Answer = Result<Box<Payment>, ContentRefusal>;

/// Notifications that may wait at once; what is beyond, clients see when they ask.
const NOTIFICATIONS_MAX: usize = 100_000;
/// Notifications are tried for this long.
const NOTIFIED_SECONDS: u64 = 24 * 3600;

/// What a purchase looks like to prices, payers and scopes.
pub(super) fn purchase() -> Context {
    Context::new(Service::Content, Direction::Originating)
}

pub(crate) fn decide_content(
    state: &State,
    command: &ContentCommand,
    now: Timestamp,
) -> Decision<Response> {
    let decision = match command {
        ContentCommand::Pay(request) => decide_payment(state, request, now),
        ContentCommand::Validate { client, line, payment, authorization, code_hash } => {
            own(state, *client, *line, *payment)
                .map(|payment| validate(state, payment, authorization, code_hash, now))
                .unwrap_or_else(refused)
        }
        ContentCommand::Confirm { client, subject, payment } => {
            of_subject(state, *client, subject, *payment)
                .map(|payment| confirm(state, payment, now))
                .unwrap_or_else(refused)
        }
        ContentCommand::Cancel { client, subject, payment } => {
            of_subject(state, *client, subject, *payment)
                .map(|payment| cancel(state, payment, now))
                .unwrap_or_else(refused)
        }
        ContentCommand::Refund(request) => decide_refund(state, request, now),
        ContentCommand::Recall { payment, read_at } => recall(state, payment, *read_at, now),
        ContentCommand::Notified(id) => {
            let mut decision = Decision::new(Response::Done);
            if state.content.notifications.contains_key(id) {
                decision.events.push(Event::NotificationDone(*id));
            }
            return decision;
        }
        ContentCommand::SetSecret(secret) => {
            let mut decision = Decision::new(Response::Done);
            if state.content.secret.is_none() {
                decision.events.push(Event::TokenSecretSet(*secret));
            }
            return decision;
        }
    };
    let mut wrapped = Decision::new(Response::Content(decision.response));
    wrapped.events = decision.events;
    wrapped
}

pub(super) fn refused(refusal: ContentRefusal) -> Decision<Answer> {
    Decision::new(Err(refusal))
}

/// What memory let go of comes back before it is changed. Only closed payments leave memory, and they stay a day
/// at least, so what was read a moment ago is still what it is.
fn recall(
    state: &State,
    payment: &Payment,
    read_at: Timestamp,
    now: Timestamp,
) -> Decision<Answer> {
    const FRESH_SECONDS: u64 = 60;
    if let Some(known) = state.content.payments.get(payment.id) {
        return Decision::new(Ok(Box::new(known.clone())));
    }
    if read_at.plus_seconds(FRESH_SECONDS) < now || payment.state.is_open() {
        return refused(ContentRefusal::Outdated);
    }
    changed(payment.clone(), Movements::default())
}

fn changed(payment: Payment, movements: Movements) -> Decision<Answer> {
    let mut decision = Decision::new(Ok(Box::new(payment.clone())));
    decision.events.push(Event::PaymentSet(Box::new(payment), movements));
    decision
}

/// A payment of this client, and of this line if the token was issued for one.
pub(super) fn own(
    state: &State,
    client: ApiClientId,
    line: Option<LineId>,
    id: PaymentId,
) -> Result<&Payment, ContentRefusal> {
    let found = state.content.payments.get(id).filter(|payment| {
        payment.client() == Some(client) && line.is_none_or(|line| line == payment.line)
    });
    found.ok_or(ContentRefusal::UnknownPayment)
}

fn line_of(state: &State, subject: &Subject) -> Result<LineId, ContentRefusal> {
    let line = match subject {
        Subject::Number(number) => state.identities.line(number),
        Subject::Line(line) => state.line(*line).map(|_| *line),
    };
    line.ok_or(ContentRefusal::UnknownNumber)
}

fn of_subject<'a>(
    state: &'a State,
    client: ApiClientId,
    subject: &Subject,
    id: PaymentId,
) -> Result<&'a Payment, ContentRefusal> {
    own(state, client, None, id)?;
    own(state, client, Some(line_of(state, subject)?), id)
}

pub(super) fn charging_for<'a>(
    state: &'a State,
    line: LineId,
    context: &'a Context,
    now: Timestamp,
) -> Result<Charging<'a>, ContentRefusal> {
    charging(state, line, CarrierId::NOBODY, context, now)
        .map_err(|_| ContentRefusal::UnknownNumber)
}

fn decide_payment(state: &State, request: &PaymentRequest, now: Timestamp) -> Decision<Answer> {
    match pay(state, request, now) {
        Ok(decision) => decision,
        Err(refusal) => refused(refusal),
    }
}

fn pay(
    state: &State,
    request: &PaymentRequest,
    now: Timestamp,
) -> Result<Decision<Answer>, ContentRefusal> {
    let payments = &state.content.payments;
    let client = state.registry.api_client(request.client);
    let client = client.filter(|client| !client.withdrawn).ok_or(ContentRefusal::NotOffered)?;
    match &request.correlator {
        Some(correlator) if payments.by_correlator(client.id, correlator).is_some() => {
            return Err(ContentRefusal::CorrelatorUsed);
        }
        None if payments.by_reference(client.id, &request.reference).is_some() => {
            return Err(ContentRefusal::ReferenceUsed);
        }
        _ => {}
    }
    let context = purchase();
    let line = line_of(state, &request.subject)?;
    let charging = charging_for(state, line, &context, now)?;
    let wanted = Wanted {
        provider: client.provider,
        category: request.category.as_deref(),
        price: request.price,
        item: None,
        age_min: 0,
        service_identifier: None,
        origin: PaymentOrigin::Client(client.id),
        correlator: request.correlator.clone(),
        reference: request.reference.clone(),
    };
    let mut draft = Draft::default();
    let quote = quote(&charging, &mut draft, &wanted)?;
    let mut payment = begin(&charging, wanted, quote.sale.clone(), 0);
    payment.items.clone_from(&request.items);
    payment.body.clone_from(&request.body);
    payment.merchant.clone_from(&request.merchant);
    payment.sink.clone_from(&request.sink);
    // Answers name the number that pays, whoever was asked for it.
    let own = charging.line.identities.iter().find(|one| one.kind() == IdentityKind::Msisdn);
    payment.phone = match &request.subject {
        Subject::Number(number) => Some(number.value().into()),
        Subject::Line(_) => own.map(|number| number.value().into()),
    };
    if payment.phone.is_none() {
        return Err(ContentRefusal::NotOffered);
    }
    let rules = charging.vno.content.as_deref().cloned().unwrap_or_default();
    let gross = payment.sale.gross();
    let needs_code = rules.validation_from.is_some_and(|from| gross >= from);
    let Some(code) = &request.reserve else {
        if needs_code && matches!(request.subject, Subject::Number(_)) {
            // From this amount on the subscriber confirms by a code: in one step nobody could.
            return Err(ContentRefusal::NotValidated);
        }
        take(&charging, draft, &quote, &mut payment);
        let number = next_transfer(state, &payment);
        let sold = sold(&payment, number);
        let mut decision = changed(payment.clone(), Movements::default());
        decision.events.push(sold);
        notify(state, &payment, 0, None, now, &mut decision.events);
        return Ok(decision);
    };
    payment.paid_at = None;
    payment.expires_at = Some(now.plus_seconds(u64::from(rules.reservation_seconds.max(1))));
    payment.state =
        if needs_code { PaymentState::PendingValidation } else { PaymentState::Reserved };
    payment.validation = needs_code.then(|| {
        Box::new(Validation {
            authorization: code.authorization.clone(),
            code_hash: code.code_hash,
            tries_left: Validation::TRIES,
        })
    });
    let movements = reserve(&charging, draft, &quote, &mut payment);
    let mut decision = changed(payment.clone(), movements);
    let mut issued = 0;
    if needs_code && let Some(webhook) = &rules.webhook {
        issued += 1;
        decision.events.push(Event::NotificationIssued(Box::new(Notification {
            id: NotificationId(state.content.notifications_issued + issued),
            at: now,
            topic: code_topic(&payment, code, &request.description),
            url: webhook.url.clone(),
            token: None,
            secret: Some(webhook.secret.clone()),
            until: payment.expires_at.unwrap_or(now),
        })));
    }
    notify(state, &payment, issued, None, now, &mut decision.events);
    Ok(decision)
}

fn code_topic(payment: &Payment, code: &NewCode, description: &str) -> Topic {
    Topic::Code {
        payment: payment.id,
        line: payment.line,
        code: code.code.clone(),
        text: description.into(),
    }
}

fn next_transfer(state: &State, payment: &Payment) -> u64 {
    state.tally(payment.vno).map_or(0, |tally| tally.transfers) + 1
}

/// Tells the client's sink, if it named one, what became of its payment.
pub(super) fn notify(
    state: &State,
    payment: &Payment,
    earlier: u64,
    reason: Option<&str>,
    now: Timestamp,
    events: &mut smallvec::SmallVec<[Event; 1]>,
) {
    let topic = Topic::Payment {
        payment: payment.id,
        state: payment.state,
        paid_at: payment.paid_at,
        reason: reason.map(Into::into),
    };
    events.extend(to_sink(state, payment.sink.as_deref(), topic, earlier, now));
}

pub(super) fn to_sink(
    state: &State,
    sink: Option<&Sink>,
    topic: Topic,
    earlier: u64,
    now: Timestamp,
) -> Option<Event> {
    let sink = sink.filter(|_| state.content.notifications.len() < NOTIFICATIONS_MAX)?;
    let until = now.plus_seconds(NOTIFIED_SECONDS);
    Some(Event::NotificationIssued(Box::new(Notification {
        id: NotificationId(state.content.notifications_issued + 1 + earlier),
        at: now,
        topic,
        url: sink.url.clone(),
        token: sink.token.clone(),
        secret: None,
        until: sink.token_expires.map_or(until, |expires| until.min(expires)),
    })))
}

fn validate(
    state: &State,
    payment: &Payment,
    authorization: &str,
    code_hash: &[u8; 32],
    now: Timestamp,
) -> Decision<Answer> {
    if payment.validated {
        return refused(ContentRefusal::AlreadyValidated);
    }
    let Some(validation) = &payment.validation else {
        return refused(match payment.state {
            PaymentState::Denied => ContentRefusal::TriesUsedUp,
            _ => ContentRefusal::WrongAuthorization,
        });
    };
    if payment.state == PaymentState::Denied {
        return refused(ContentRefusal::TriesUsedUp);
    }
    if payment.state != PaymentState::PendingValidation
        || validation.authorization.as_ref() != authorization
    {
        return refused(ContentRefusal::WrongAuthorization);
    }
    let mut next = Payment { changed_at: now, ..payment.clone() };
    if validation.code_hash == *code_hash {
        next.state = PaymentState::Reserved;
        next.validated = true;
        let mut decision = changed(next.clone(), Movements::default());
        notify(state, &next, 0, None, now, &mut decision.events);
        return decision;
    }
    let left = validation.tries_left.saturating_sub(1);
    if let Some(validation) = &mut next.validation {
        validation.tries_left = left;
    }
    if left > 0 {
        let mut decision = changed(next, Movements::default());
        decision.response = Err(ContentRefusal::WrongCode);
        return decision;
    }
    next.state = PaymentState::Denied;
    let movements = release(&mut next);
    let mut decision = changed(next.clone(), movements);
    decision.response = Err(ContentRefusal::TriesUsedUp);
    notify(
        state,
        &next,
        0,
        Some("the one-time code was wrong three times"),
        now,
        &mut decision.events,
    );
    decision
}

/// Is the payment open, and if not, how does one say so?
fn open(payment: &Payment) -> Result<(), ContentRefusal> {
    match payment.state {
        PaymentState::Reserved | PaymentState::PendingValidation => Ok(()),
        PaymentState::Succeeded => Err(ContentRefusal::AlreadyConfirmed),
        PaymentState::Cancelled => Err(ContentRefusal::AlreadyCancelled),
        PaymentState::Denied => Err(ContentRefusal::WasDenied),
    }
}

fn confirm(state: &State, payment: &Payment, now: Timestamp) -> Decision<Answer> {
    if let Err(refusal) = open(payment) {
        return refused(refusal);
    }
    if payment.state == PaymentState::PendingValidation {
        return refused(ContentRefusal::NotValidated);
    }
    let context = purchase();
    let charging = match charging_for(state, payment.line, &context, now) {
        Ok(charging) => charging,
        Err(refusal) => return refused(refusal),
    };
    let mut next = Payment { changed_at: now, expires_at: None, ..payment.clone() };
    let stopped = admit_line(&charging).and_then(|()| still_covered(&charging, payment)).err();
    if let Some(declined) = stopped {
        // Who was blocked since does not buy, nor whose money has expired: the reservation ends here.
        next.state = PaymentState::Denied;
        let movements = release(&mut next);
        let mut decision = changed(next.clone(), movements);
        decision.response = Err(ContentRefusal::Denied(declined));
        let reason = "the line may no longer buy";
        notify(state, &next, 0, Some(reason), now, &mut decision.events);
        return decision;
    }
    if let Err(refusal) = share_again(&charging, &mut next) {
        return refused(refusal);
    }
    next.state = PaymentState::Succeeded;
    next.paid_at = Some(now);
    let movements = take_held(&charging, &mut next);
    let number = next_transfer(state, &next);
    let mut decision = changed(next.clone(), movements);
    decision.events.push(sale::sold(&next, number));
    notify(state, &next, 0, None, now, &mut decision.events);
    decision
}

fn cancel(state: &State, payment: &Payment, now: Timestamp) -> Decision<Answer> {
    if let Err(refusal) = open(payment) {
        return refused(refusal);
    }
    end(state, payment, None, now)
}

fn end(state: &State, payment: &Payment, reason: Option<&str>, now: Timestamp) -> Decision<Answer> {
    let mut next = Payment {
        changed_at: now,
        expires_at: None,
        state: PaymentState::Cancelled,
        ..payment.clone()
    };
    let movements = release(&mut next);
    let mut decision = changed(next.clone(), movements);
    notify(state, &next, 0, reason, now, &mut decision.events);
    decision
}

/// The reservation's time is up.
pub(crate) fn decide_expiry(state: &State, id: PaymentId, now: Timestamp) -> Decision<Response> {
    let mut decision = Decision::new(Response::Done);
    let Some(payment) = state.content.payments.get(id).filter(|one| one.state.is_open()) else {
        return decision;
    };
    match payment.expires_at {
        Some(due) if due > now => {
            decision.rearm = Some((due, crate::timer::TimerKey::Payment(id)));
        }
        _ => decision.events = end(state, payment, Some("not confirmed in time"), now).events,
    }
    decision
}
