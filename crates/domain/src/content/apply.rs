//! Brings decisions about content into the state.

use super::payment::{Notification, Payment};
use super::{ContentEntry, ContentEntryKind};
use crate::apply::charging::move_buckets;
use crate::event::Movements;
use crate::money::Amount;
use crate::period::calendar_month;
use crate::state::State;
use crate::time::Timestamp;
use crate::timer::TimerKey;

pub(crate) fn apply_payment(
    state: &mut State,
    payment: Box<Payment>,
    movements: &Movements,
    at: Timestamp,
) -> Result<(), &'static str> {
    move_buckets(state, &movements.buckets)?;
    let tally = state.vnos.get_mut(payment.vno.index()).ok_or("unknown VNO")?;
    let held = tally.held.micros().checked_add(movements.wholesale_held);
    tally.held = Amount::from_micros(held.ok_or("the VNO's holds overflow")?);
    let made = state.content.payments_made.entry(payment.id.provider()).or_default();
    *made = (*made).max(payment.id.number());
    if let Some(due) = payment.expires_at.filter(|_| payment.state.is_open()) {
        state.timers.arm(due, TimerKey::Payment(payment.id));
    }
    state.content.payments.put(payment, at);
    Ok(())
}

/// The months' totals that tiers, guarantees and spend limits look at.
pub(crate) fn apply_entry(
    state: &mut State,
    entry: &ContentEntry,
    at: Timestamp,
) -> Result<(), &'static str> {
    let vno = state.registry.vno(entry.vno).ok_or("unknown VNO")?;
    let month = calendar_month(at, &vno.time_zone);
    let (base, share) = match entry.kind {
        ContentEntryKind::Sale => (entry.share_base, entry.share),
        ContentEntryKind::Refund => (Amount::ZERO, entry.share),
        ContentEntryKind::Guarantee | ContentEntryKind::Sponsored => return Ok(()),
    };
    state.content.tallies.entry((entry.provider, entry.vno)).or_default().add(month, base, share);
    let Some(line) = entry.line else { return Ok(()) };
    let subscriber = state.subscribers.at_mut(line.subscriber()).ok_or("unknown subscriber")?;
    let own = subscriber.line_mut(line).ok_or("unknown line")?.content.get_or_insert_default();
    let gross = entry.net.saturating_add(entry.tax).saturating_add(entry.merchant_tax);
    let (mut spent, mut refunded) = own.so_far(month);
    match entry.kind {
        ContentEntryKind::Refund => refunded = refunded.saturating_sub(gross),
        _ => spent = spent.saturating_add(gross),
    }
    (own.month, own.spent, own.refunded) = (month, spent, refunded);
    Ok(())
}

pub(crate) fn apply_notification(state: &mut State, notification: Notification) {
    let content = &mut state.content;
    content.notifications_issued = content.notifications_issued.max(notification.id.0);
    content.notifications.insert(notification.id, notification);
}

pub(crate) fn apply_secret(state: &mut State, secret: [u8; 32]) {
    state.content.secret = Some(secret);
}
