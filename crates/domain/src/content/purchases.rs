//! Purchases from the catalogue: by the VNO for its subscriber, by subscription, by a switch's event.

use smallvec::SmallVec;

use super::api::ContentRefusal;
use super::pay::{charging_for, purchase};
use super::payment::{Notification, NotificationId, Payment, PaymentOrigin, Price, Topic};
use super::sale::{Wanted, begin, quote, sold, take};
use super::terms::{
    ContentItem, ContentSubscription, ContentSubscriptionState, ItemKind, LineContent,
};
use crate::charging::{Charging, Declined, Draft};
use crate::event::{Event, Movements};
use crate::identifier::{ContentItemId, ContentProviderId, LineId, SubscriberId};
use crate::money::Money;
use crate::state::State;
use crate::time::Timestamp;

type Events = SmallVec<[Event; 1]>;

const RETRY_SECONDS: u64 = 24 * 3600;
const RETRIES_MAX: u8 = 7;
const DAY_SECONDS: u64 = 24 * 3600;

/// An item that is on sale, with its price as a payment names it.
fn on_sale(state: &State, id: ContentItemId) -> Result<&ContentItem, ContentRefusal> {
    let item = state.registry.content_item(id).filter(|item| !item.withdrawn);
    item.ok_or(ContentRefusal::NotOffered)
}

fn wanted(item: &ContentItem, origin: PaymentOrigin, reference: String) -> Wanted<'_> {
    Wanted {
        provider: item.provider,
        category: Some(&item.category),
        price: Price {
            currency: item.price.currency,
            amount: item.price.amount,
            is_tax_included: item.is_tax_included,
            merchant_tax: None,
        },
        item: Some(item.id),
        age_min: item.age_min,
        service_identifier: item.service_identifier,
        origin,
        correlator: None,
        reference: reference.into(),
    }
}

/// One purchase, paid at once; `earlier` payments and transfers were made in this decision already.
fn sell(
    charging: &Charging<'_>,
    wanted: Wanted<'_>,
    earlier: u64,
) -> Result<(Payment, Events), ContentRefusal> {
    let mut draft = Draft::default();
    let quote = quote(charging, &mut draft, &wanted)?;
    let mut payment = begin(charging, wanted, quote.sale.clone(), earlier);
    take(charging, draft, &quote, &mut payment);
    let transfers = charging.state.tally(payment.vno).map_or(0, |tally| tally.transfers);
    let mut events = Events::new();
    events.push(Event::PaymentSet(Box::new(payment.clone()), Movements::default()));
    events.push(sold(&payment, transfers + 1 + earlier));
    Ok((payment, events))
}

/// A single purchase for a line. Items that renew are subscribed to instead.
pub(crate) fn buy(
    state: &State,
    line: LineId,
    item: ContentItemId,
    now: Timestamp,
) -> Result<(Payment, Events), ContentRefusal> {
    let item = on_sale(state, item)?;
    if matches!(item.kind, ItemKind::Subscription { .. }) {
        return Err(ContentRefusal::NotOffered);
    }
    let context = purchase();
    let charging = charging_for(state, line, &context, now)?;
    sell(&charging, wanted(item, PaymentOrigin::Catalogue, item.slug.to_string()), 0)
}

/// What a switch names by its Service-Identifier: an item, or a provider that sells to this VNO's subscribers.
pub(crate) enum Offered<'a> {
    Item(&'a ContentItem),
    Provider(ContentProviderId),
}

pub(crate) fn offered<'a>(charging: &Charging<'a>, service_identifier: u32) -> Option<Offered<'a>> {
    let registry = &charging.state.registry;
    if let Some(item) = registry.content_item_by_service(service_identifier) {
        return Some(Offered::Item(item));
    }
    let mut providers = registry.content_providers.iter();
    let provider = providers.find(|one| one.service_identifiers.contains(&service_identifier))?;
    let agreed = registry.agreement_between(provider.id, charging.vno.id);
    agreed.map(|_| Offered::Provider(provider.id))
}

/// A switch sells: a premium message, a short code, a per-event service. A price that it names holds, tax included.
pub(crate) fn buy_by_event(
    charging: &Charging<'_>,
    offered: &Offered<'_>,
    service_identifier: u32,
    named: Option<Money>,
) -> Result<(Payment, Events), Declined> {
    let origin = PaymentOrigin::Switch;
    let price = named.map(|money| Price {
        currency: money.currency,
        amount: money.amount,
        is_tax_included: true,
        merchant_tax: None,
    });
    let wanted = match (offered, price) {
        // What renews is subscribed to, not sold once.
        (Offered::Item(item), _) if matches!(item.kind, ItemKind::Subscription { .. }) => {
            return Err(Declined::Barred);
        }
        (Offered::Item(item), price) => {
            let wanted = wanted(item, origin, item.slug.to_string());
            Wanted { price: price.unwrap_or(wanted.price), ..wanted }
        }
        (Offered::Provider(provider), Some(price)) => Wanted {
            provider: *provider,
            category: None,
            price,
            item: None,
            age_min: 0,
            service_identifier: Some(service_identifier),
            origin,
            correlator: None,
            reference: service_identifier.to_string().into(),
        },
        (Offered::Provider(_), None) => return Err(Declined::NoRetailRate),
    };
    let sold = sell(charging, wanted, 0);
    sold.map_err(|refusal| match refusal {
        ContentRefusal::Denied(declined) => declined,
        ContentRefusal::UnknownNumber => Declined::UnknownUser,
        ContentRefusal::UnknownCurrency => Declined::CurrencyMismatch,
        ContentRefusal::OutOfRange => Declined::AmountOutOfRange,
        _ => Declined::Barred,
    })
}

fn own(state: &State, line: LineId) -> Result<LineContent, ContentRefusal> {
    let line = state.line(line).ok_or(ContentRefusal::UnknownNumber)?;
    Ok(line.content.as_deref().cloned().unwrap_or_default())
}

/// Opts a line in. The first period is paid at once, or free while the trial runs.
pub(crate) fn subscribe(
    state: &State,
    line: LineId,
    item: ContentItemId,
    proof: &str,
    now: Timestamp,
) -> Result<(ContentSubscription, Events), ContentRefusal> {
    let item = on_sale(state, item)?;
    let ItemKind::Subscription { period, trial_days } = item.kind else {
        return Err(ContentRefusal::NotOffered);
    };
    let own = own(state, line)?;
    let same = own.subscriptions.iter().filter(|one| one.item == item.id);
    if same.clone().any(|one| one.state.is_live()) {
        return Err(ContentRefusal::ReferenceUsed);
    }
    let had_trial = same.count() > 0;
    let number = own.subscriptions_begun + 1;
    let context = purchase();
    let charging = charging_for(state, line, &context, now)?;
    let origin = PaymentOrigin::Subscription(number);
    let is_trial = trial_days > 0 && !had_trial;
    let (state_now, renews_at, mut events) = if is_trial {
        // Who could not buy it does not get it free either; the money is looked at when it is due.
        let mut draft = Draft::default();
        match quote(&charging, &mut draft, &wanted(item, origin, reference(item, number))) {
            Ok(_) | Err(ContentRefusal::Denied(Declined::InsufficientBalance)) => {}
            Err(refusal) => return Err(refusal),
        }
        let ends = now.plus_seconds(u64::from(trial_days) * DAY_SECONDS);
        (ContentSubscriptionState::Trial, ends, Events::new())
    } else {
        let (_, events) = sell(&charging, wanted(item, origin, reference(item, number)), 0)?;
        let ends = period.end_after(now, now, &charging.vno.time_zone);
        (ContentSubscriptionState::Active, ends, events)
    };
    let live = own.subscriptions.iter().filter(|one| one.state.is_live());
    if live.count() >= LineContent::SUBSCRIPTIONS_MAX {
        return Err(ContentRefusal::OutOfRange);
    }
    let subscription = ContentSubscription {
        number,
        item: item.id,
        state: state_now,
        started_at: now,
        renews_at: Some(renews_at),
        proof: proof.into(),
        failures: 0,
        cancel_proof: None,
    };
    events.push(Event::ContentSubscriptionSet(line, Box::new(subscription.clone())));
    events.extend(told(state, line, &subscription, now));
    Ok((subscription, events))
}

fn reference(item: &ContentItem, number: u32) -> String {
    format!("{}-{number}", item.slug)
}

/// Opts a line out: what was paid for runs to its end, a trial or an unpaid subscription ends at once.
pub(crate) fn cancel_subscription(
    state: &State,
    line: LineId,
    number: u32,
    proof: &str,
    now: Timestamp,
) -> Result<(ContentSubscription, Events), ContentRefusal> {
    let own = own(state, line)?;
    let found = own.subscriptions.into_iter().find(|one| one.number == number);
    let found = found.ok_or(ContentRefusal::UnknownPayment)?;
    let next = match found.state {
        ContentSubscriptionState::Active => {
            ContentSubscription { state: ContentSubscriptionState::Cancelled, ..found }
        }
        ContentSubscriptionState::Trial | ContentSubscriptionState::Unpaid => {
            ContentSubscription { state: ContentSubscriptionState::Ended, renews_at: None, ..found }
        }
        ContentSubscriptionState::Cancelled | ContentSubscriptionState::Ended => {
            return Err(ContentRefusal::AlreadyCancelled);
        }
    };
    let next = ContentSubscription { cancel_proof: Some(proof.into()), ..next };
    let mut events = Events::new();
    events.push(Event::ContentSubscriptionSet(line, Box::new(next.clone())));
    events.extend(told(state, line, &next, now));
    Ok((next, events))
}

/// The first content subscription of this subscriber that is due; others follow by their own timer.
pub(crate) fn decide_renewals(state: &State, id: SubscriberId, now: Timestamp) -> Option<Events> {
    let subscriber = state.subscriber(id)?;
    let (line, due) = subscriber.lines.iter().find_map(|line| {
        let own = line.content.as_deref()?;
        let due = own.subscriptions.iter().find(|one| {
            one.state.is_live() && one.renews_at.is_some_and(|renews_at| renews_at <= now)
        })?;
        Some((LineId::new(id, line.number), due))
    })?;
    let (next, mut events) = renew(state, line, due, now);
    events.push(Event::ContentSubscriptionSet(line, Box::new(next.clone())));
    if next.state != due.state {
        events.extend(told(state, line, &next, now));
    }
    Some(events)
}

fn renew(
    state: &State,
    line: LineId,
    due: &ContentSubscription,
    now: Timestamp,
) -> (ContentSubscription, Events) {
    let ended = ContentSubscription {
        state: ContentSubscriptionState::Ended,
        renews_at: None,
        ..due.clone()
    };
    let Some(item) = state.registry.content_item(due.item) else {
        return (ended, Events::new());
    };
    let ItemKind::Subscription { period, .. } = item.kind else {
        return (ended, Events::new());
    };
    if due.state == ContentSubscriptionState::Cancelled || item.withdrawn {
        return (ended, Events::new());
    }
    let context = purchase();
    let origin = PaymentOrigin::Subscription(due.number);
    let reference = format!("{}-{}", reference(item, due.number), now.seconds());
    let charging = charging_for(state, line, &context, now);
    // After a trial the first paid period begins now, and with it the days on which it renews.
    let is_first = due.state == ContentSubscriptionState::Trial;
    let started_at = if is_first { now } else { due.started_at };
    let paid = charging.and_then(|charging| {
        let ends = period.end_after(started_at, now, &charging.vno.time_zone);
        sell(&charging, wanted(item, origin, reference), 0).map(|(_, events)| (ends, events))
    });
    match paid {
        Ok((ends, events)) => (
            ContentSubscription {
                state: ContentSubscriptionState::Active,
                started_at,
                renews_at: Some(ends),
                failures: 0,
                ..due.clone()
            },
            events,
        ),
        Err(_) if due.failures + 1 >= RETRIES_MAX => (ended, Events::new()),
        Err(_) => (
            ContentSubscription {
                state: ContentSubscriptionState::Unpaid,
                renews_at: Some(now.plus_seconds(RETRY_SECONDS)),
                failures: due.failures + 1,
                ..due.clone()
            },
            Events::new(),
        ),
    }
}

/// The VNO hears of its subscribers' subscriptions, if it has a webhook.
fn told(
    state: &State,
    line: LineId,
    subscription: &ContentSubscription,
    now: Timestamp,
) -> Option<Event> {
    let vno = state.registry.vno(line.vno())?;
    let webhook = vno.content.as_deref()?.webhook.as_ref()?;
    Some(Event::NotificationIssued(Box::new(Notification {
        id: NotificationId(state.content.notifications_issued + 1),
        at: now,
        topic: Topic::Subscription { line, number: subscription.number, state: subscription.state },
        url: webhook.url.clone(),
        token: None,
        secret: Some(webhook.secret.clone()),
        until: now.plus_seconds(DAY_SECONDS),
    })))
}
