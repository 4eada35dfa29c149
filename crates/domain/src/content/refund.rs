//! Refunds: every leg of the sale goes back in the same proportion, to the last digit.
//!
//! What a leg has given back so far is `f(refunded so far)`, so refunding in parts gives back exactly what
//! refunding at once would, and refunding everything leaves nothing.

use smallvec::SmallVec;

use super::api::{ContentRefusal, RefundRequest};
use super::pay::{own, refused, to_sink};
use super::payment::{Payment, PaymentItem, PaymentState, Price, Refund, Sale, Topic};
use super::{ContentEntry, ContentEntryKind};
use crate::charging::{BucketChange, Declined};
use crate::decide::Decision;
use crate::event::{Event, Movements, Transfer, TransferKind};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Rounding};
use crate::party::Standing;
use crate::period::calendar_month;
use crate::state::State;
use crate::subscriber::Account;
use crate::time::Timestamp;

pub(super) fn decide_refund(
    state: &State,
    request: &RefundRequest,
    now: Timestamp,
) -> Decision<Result<Box<Payment>, ContentRefusal>> {
    match refund(state, request, now) {
        Ok(decision) => decision,
        Err(refusal) => refused(refusal),
    }
}

fn refund(
    state: &State,
    request: &RefundRequest,
    now: Timestamp,
) -> Result<Decision<Result<Box<Payment>, ContentRefusal>>, ContentRefusal> {
    let payment = own(state, request.client, request.line, request.payment)?;
    for earlier in &payment.refunds {
        if request.correlator.is_some() && request.correlator == earlier.correlator {
            return Err(ContentRefusal::CorrelatorUsed);
        }
        if request.correlator.is_none() && request.reference == earlier.reference {
            return Err(ContentRefusal::ReferenceUsed);
        }
    }
    if payment.state != PaymentState::Succeeded {
        return Err(ContentRefusal::NotPaid);
    }
    let amount = amount_of(payment, request)?;
    let vno = state.registry.vno(payment.vno).ok_or(ContentRefusal::UnknownPayment)?;
    let rules = vno.content.as_deref();
    let days = rules.map_or(0, |rules| rules.refund_days);
    let paid_at = payment.paid_at.unwrap_or(payment.created_at);
    let is_late = days > 0 && now > paid_at.plus_seconds(u64::from(days) * 24 * 3600);
    let is_full = payment.refunds.len() >= Payment::REFUNDS_MAX;
    if is_late || is_full || payment.sale.gross().is_zero() {
        return Err(ContentRefusal::NotRefundable);
    }
    let subscriber = state.subscriber(payment.sale.payer.subscriber());
    let is_closed = subscriber.is_none_or(|subscriber| subscriber.standing == Standing::Closed);
    if is_closed || state.account(payment.sale.payer).is_none() {
        return Err(ContentRefusal::RefundDenied(Declined::SubscriberSuspended));
    }
    let before = Given::of(payment, payment.refunded());
    let after = Given::of(payment, payment.refunded().saturating_add(amount));
    let back = after.less(&before);
    let month = calendar_month(now, &vno.time_zone);
    let line = state.line(payment.line).and_then(|line| line.content.as_deref());
    let refunded = line.map_or(Amount::ZERO, |line| line.so_far(month).1);
    let most = rules.and_then(|rules| rules.refund_monthly_max);
    if most.is_some_and(|most| refunded.saturating_add(back.gross()) > most) {
        return Err(ContentRefusal::RefundLimit);
    }
    let number = u32::try_from(payment.refunds.len()).unwrap_or(u32::MAX) + 1;
    let mut next = Payment { changed_at: now, ..payment.clone() };
    next.refunds.push(Refund {
        number,
        at: now,
        amount,
        is_total: request.price.is_none(),
        correlator: request.correlator.clone(),
        reference: request.reference.clone(),
        reason: request.reason.clone(),
        merchant: request.merchant.clone(),
        body: request.body.clone(),
        items: request.items.clone(),
        sink: request.sink.clone(),
    });
    let transfer = state.tally(payment.vno).map_or(0, |tally| tally.transfers) + 1;
    let given_back = given_back(payment, &back, transfer);
    let mut decision = Decision::new(Ok(Box::new(next.clone())));
    decision.events.push(Event::PaymentSet(Box::new(next), Movements::default()));
    decision.events.push(given_back);
    let topic = Topic::Refund { payment: payment.id, number };
    decision.events.extend(to_sink(state, request.sink.as_deref(), topic, 0, now));
    Ok(decision)
}

/// What is to go back, in the price's currency and style.
fn amount_of(payment: &Payment, request: &RefundRequest) -> Result<Amount, ContentRefusal> {
    let Some(price) = &request.price else {
        let untouched = payment.refunds.is_empty();
        return if untouched {
            Ok(payment.price.amount)
        } else {
            Err(ContentRefusal::RefundTooLarge)
        };
    };
    if price.currency != payment.price.currency {
        return Err(ContentRefusal::UnknownCurrency);
    }
    if price.is_tax_included != payment.price.is_tax_included {
        return Err(ContentRefusal::TaxMismatch);
    }
    if !price.amount.is_positive() {
        return Err(ContentRefusal::OutOfRange);
    }
    if price.amount > payment.remaining() {
        return Err(ContentRefusal::RefundTooLarge);
    }
    check_items(payment, &request.items, price)?;
    Ok(price.amount)
}

/// Items are the payment's own, none gives back more than was paid for it, and together they are the amount.
fn check_items(
    payment: &Payment,
    items: &[PaymentItem],
    price: &Price,
) -> Result<(), ContentRefusal> {
    if items.is_empty() {
        return Ok(());
    }
    let mut sum = Amount::ZERO;
    for item in items {
        let paid = payment.items.iter().find(|known| known.id == item.id);
        let paid = paid.ok_or(ContentRefusal::ItemsMismatch)?;
        let earlier = payment.refunds.iter().flat_map(|refund| &refund.items);
        let same = earlier.chain(items).filter(|known| known.id == item.id);
        let back = same.fold(Amount::ZERO, |sum, known| sum.saturating_add(known.amount));
        if back > paid.amount {
            return Err(ContentRefusal::ItemsMismatch);
        }
        sum = sum.saturating_add(item.amount);
    }
    if sum == price.amount { Ok(()) } else { Err(ContentRefusal::ItemsMismatch) }
}

/// What has gone back on every leg when `refunded` of the price has.
struct Given {
    net: Amount,
    tax: Amount,
    merchant_tax: Amount,
    share: Amount,
    share_base: Amount,
    wholesale: Amount,
}

impl Given {
    fn of(payment: &Payment, refunded: Amount) -> Given {
        let sale: &Sale = &payment.sale;
        let part = |amount: Amount| {
            let whole = i128::from(payment.price.amount.micros()).max(1);
            let exact = i128::from(amount.micros()) * i128::from(refunded.micros());
            Amount::from_wide(Rounding::HalfEven.divide(exact, whole)).unwrap_or(Amount::ZERO)
        };
        let (tax, merchant_tax) = (part(sale.tax), part(sale.merchant_tax));
        Given {
            // The subscriber gets back to the digit what was asked for; the rounding is between net and tax.
            net: part(sale.gross()).saturating_sub(tax).saturating_sub(merchant_tax),
            tax,
            merchant_tax,
            share: part(sale.share),
            share_base: part(sale.share_base),
            wholesale: part(sale.wholesale),
        }
    }

    fn less(&self, earlier: &Given) -> Given {
        Given {
            net: self.net.saturating_sub(earlier.net),
            tax: self.tax.saturating_sub(earlier.tax),
            merchant_tax: self.merchant_tax.saturating_sub(earlier.merchant_tax),
            share: self.share.saturating_sub(earlier.share),
            share_base: self.share_base.saturating_sub(earlier.share_base),
            wholesale: self.wholesale.saturating_sub(earlier.wholesale),
        }
    }

    fn gross(&self) -> Amount {
        self.net.saturating_add(self.tax).saturating_add(self.merchant_tax)
    }
}

fn given_back(payment: &Payment, back: &Given, number: u64) -> Event {
    let (vno, sale, provider) = (payment.vno, payment.sale.as_ref(), payment.id.provider());
    let account = LedgerAccount::Subscriber(sale.payer);
    let revenue = back.net.saturating_add(back.merchant_tax);
    let mut entry = Entry::new();
    entry.transfer(LedgerAccount::VnoRevenue(vno), account, sale.currency, revenue);
    entry.transfer(LedgerAccount::Tax(vno), account, sale.currency, back.tax);
    let (from, to) = (LedgerAccount::BrokerRevenue(vno), LedgerAccount::VnoCredit(vno));
    entry.transfer(from, to, sale.wholesale_currency, back.wholesale);
    let (from, to) =
        (LedgerAccount::ContentProviderPayable(provider), LedgerAccount::ContentShare(vno));
    entry.transfer(from, to, sale.share_currency, back.share);
    Event::Transferred(Box::new(Transfer {
        vno,
        number,
        kind: TransferKind::ContentRefund,
        postings: entry.into_postings(),
        buckets: SmallVec::from_iter([BucketChange {
            account: sale.payer,
            bucket: Account::MAIN,
            balance: back.gross().micros(),
            held: 0,
        }]),
        subscription: None,
        note: None,
        content: Some(Box::new(ContentEntry {
            kind: ContentEntryKind::Refund,
            provider,
            vno,
            line: Some(payment.line),
            payment: Some(payment.id),
            currency: sale.currency,
            net: back.net.negated(),
            tax: back.tax.negated(),
            merchant_tax: back.merchant_tax.negated(),
            share_currency: sale.share_currency,
            share: back.share.negated(),
            share_base: back.share_base.negated(),
            wholesale_currency: sale.wholesale_currency,
            wholesale: back.wholesale.negated(),
            month: None,
        })),
        refunds: None,
    }))
}
