//! A sale, priced on every leg before anything moves.

use smallvec::SmallVec;

use super::api::ContentRefusal;
use super::payment::{Payment, PaymentOrigin, PaymentState, Price, Sale};
use super::share::percent;
use super::{Agreement, ContentEntry, ContentEntryKind, PaymentId};
use crate::charging::Declined;
use crate::charging::{Charging, Draft, GroupKey, Payer, PayerLeg, admit_line};
use crate::event::{Event, Movements, Transfer, TransferKind};
use crate::identifier::{ContentItemId, ContentProviderId};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Currency, Rounding};
use crate::party::{ContentProvider, Standing};
use crate::period::calendar_month;
use crate::quantity::Unit;
use crate::state::State;
use crate::subscriber::{Account, Pays};
use crate::time::Timestamp;

/// An amount in another currency, at the broker's rate of that day.
pub(crate) fn convert(
    state: &State,
    amount: Amount,
    from: Currency,
    to: Currency,
    at: Timestamp,
) -> Result<Amount, ContentRefusal> {
    if from == to || amount.is_zero() {
        return Ok(amount);
    }
    let rate = state.registry.exchange_rate(from, to, at).ok_or(ContentRefusal::UnknownCurrency)?;
    let exact = i128::from(amount.micros()) * i128::from(rate);
    Amount::from_wide(Rounding::HalfEven.divide(exact, 1_000_000))
        .map_err(|_| ContentRefusal::OutOfRange)
}

/// What is to be sold to whom.
pub(super) struct Wanted<'a> {
    pub provider: ContentProviderId,
    pub category: Option<&'a str>,
    pub price: Price,
    pub item: Option<ContentItemId>,
    pub age_min: u8,
    pub service_identifier: Option<u32>,
    pub origin: PaymentOrigin,
    pub correlator: Option<Box<str>>,
    pub reference: Box<str>,
}

/// A sale that may be made: what it takes, and from whom.
pub(super) struct Quote<'a> {
    pub sale: Sale,
    pub payer: Payer<'a>,
    pub key: GroupKey,
}

/// Net, tax of the VNO and tax of the merchant, in the price's currency.
fn split(price: &Price, vno_rate: u16) -> Result<(Amount, Amount, Amount), ContentRefusal> {
    if !price.amount.is_positive() {
        return Err(ContentRefusal::OutOfRange);
    }
    match (price.merchant_tax, price.is_tax_included) {
        (Some(tax), true) if tax >= price.amount => Err(ContentRefusal::OutOfRange),
        (Some(tax), true) => Ok((price.amount.saturating_sub(tax), Amount::ZERO, tax)),
        (Some(tax), false) => Ok((price.amount, Amount::ZERO, tax)),
        (None, true) => {
            let exact = i128::from(price.amount.micros()) * 10_000;
            let net = Rounding::HalfEven.divide(exact, 10_000 + i128::from(vno_rate));
            let net = Amount::from_wide(net).map_err(|_| ContentRefusal::OutOfRange)?;
            Ok((net, price.amount.saturating_sub(net), Amount::ZERO))
        }
        (None, false) => Ok((price.amount, percent(price.amount, vno_rate), Amount::ZERO)),
    }
}

/// May it be sold, and what does every party pay and get? Looks at everything, changes nothing.
pub(super) fn quote<'a>(
    charging: &Charging<'a>,
    draft: &mut Draft,
    wanted: &Wanted<'_>,
) -> Result<Quote<'a>, ContentRefusal> {
    let state = charging.state;
    let provider = state.registry.content_provider(wanted.provider);
    let provider = provider.filter(|provider| provider.standing == Standing::Active);
    let provider = provider.ok_or(ContentRefusal::NotOffered)?;
    let agreement = state.registry.agreement_between(provider.id, charging.vno.id);
    let agreement = agreement.ok_or(ContentRefusal::NotOffered)?;
    let rules = charging.vno.content.as_deref().ok_or(ContentRefusal::NotOffered)?;
    let allowed = rules.providers.iter().find(|one| one.provider == provider.id);
    let allowed = allowed.ok_or(ContentRefusal::NotOffered)?;
    let listed = |category: &str| allowed.categories.iter().any(|one| one.as_ref() == category);
    if !allowed.categories.is_empty() && !wanted.category.is_some_and(listed) {
        return Err(ContentRefusal::NotOffered);
    }
    admit_line(charging).map_err(ContentRefusal::Denied)?;
    let by_category = rules.ages.iter().filter(|(of, _)| wanted.category == Some(of.as_ref()));
    let age_min = by_category.map(|(_, age)| *age).fold(wanted.age_min, u8::max);
    let own = charging.line.content.as_deref();
    if age_min > 0 && own.and_then(|own| own.age).is_none_or(|age| age < age_min) {
        return Err(ContentRefusal::AgeNotKnown);
    }
    let (net, tax, merchant_tax) = split(&wanted.price, rules.tax_basis_points)?;
    let key = GroupKey { rating_group: None, service_identifier: wanted.service_identifier };
    let (payer, mut sale) = payer(charging, draft, wanted, key, (net, tax, merchant_tax))?;
    let gross = sale.gross();
    if !rules.price_points.is_empty() && !gross.is_zero() && !rules.price_points.contains(&gross) {
        return Err(ContentRefusal::AmountNotAllowed);
    }
    let price_max = [rules.price_max, allowed.price_max].into_iter().flatten().min();
    if price_max.is_some_and(|most| gross > most) {
        return Err(ContentRefusal::AmountNotAllowed);
    }
    let month = calendar_month(charging.now, &charging.vno.time_zone);
    let spent = own.map_or(Amount::ZERO, |own| own.so_far(month).0);
    let open = open_payments_of(charging);
    let monthly = [rules.monthly_max, own.and_then(|own| own.monthly_max)].into_iter().flatten();
    if monthly.min().is_some_and(|most| spent.saturating_add(open).saturating_add(gross) > most) {
        return Err(ContentRefusal::MonthlyLimit);
    }
    let shared = Shared { net, merchant_tax, currency: wanted.price.currency };
    share_out(charging, provider, agreement, &shared, &mut sale)?;
    let free = charging.wholesale_free(draft);
    if sale.wholesale.is_positive() && free < sale.wholesale {
        return Err(ContentRefusal::Denied(crate::charging::Declined::VnoCreditExhausted));
    }
    Ok(Quote { sale, payer, key })
}

/// Reserved for this line by payments that wait for their confirmation. They are few: looked up through the account.
fn open_payments_of(charging: &Charging<'_>) -> Amount {
    let open = charging.state.content.payments.open_of(charging.line_id);
    open.fold(Amount::ZERO, |sum, payment| sum.saturating_add(payment.sale.gross()))
}

struct Shared {
    net: Amount,
    merchant_tax: Amount,
    currency: Currency,
}

/// Provider's, broker's and VNO's parts, at this moment's sales of the month.
fn share_out(
    charging: &Charging<'_>,
    provider: &ContentProvider,
    agreement: &Agreement,
    shared: &Shared,
    sale: &mut Sale,
) -> Result<(), ContentRefusal> {
    let (state, now) = (charging.state, charging.now);
    let to_provider = |amount| convert(state, amount, shared.currency, provider.currency, now);
    let base = to_provider(shared.net)?;
    let month = calendar_month(now, &charging.vno.time_zone);
    let before = state.content.tally(provider.id, charging.vno.id).base_of(month);
    let share = agreement.share.of(before, base).saturating_add(to_provider(shared.merchant_tax)?);
    let wholesale_currency = charging.vno.wholesale_currency;
    let broker = convert(state, shared.net, shared.currency, wholesale_currency, now)?;
    let broker = percent(broker, agreement.broker_basis_points);
    let passed_on = convert(state, share, provider.currency, wholesale_currency, now)?;
    sale.share_currency = provider.currency;
    sale.share = share;
    sale.share_base = base;
    sale.wholesale_currency = wholesale_currency;
    sale.wholesale = passed_on.saturating_add(broker);
    Ok(())
}

/// The first account, by the line's payer rules, that has an allowance for it or the money.
fn payer<'a>(
    charging: &Charging<'a>,
    draft: &mut Draft,
    wanted: &Wanted<'_>,
    key: GroupKey,
    (net, tax, merchant_tax): (Amount, Amount, Amount),
) -> Result<(Payer<'a>, Sale), ContentRefusal> {
    let usage = charging.usage(key);
    let payers = charging.payers(&usage);
    let nothing = |payer: &Payer<'_>| Sale {
        payer: payer.id,
        currency: payer.account.currency,
        net: Amount::ZERO,
        tax: Amount::ZERO,
        merchant_tax: Amount::ZERO,
        share_currency: payer.account.currency,
        share: Amount::ZERO,
        share_base: Amount::ZERO,
        wholesale_currency: payer.account.currency,
        wholesale: Amount::ZERO,
        earned: Amount::ZERO,
        taken: SmallVec::new(),
    };
    if wanted.item.is_some() {
        for payer in &payers {
            if let Some(bucket) = charging.allowances(draft, payer, Unit::Events, &usage).first() {
                let before = draft.balance(payer.id, bucket);
                draft.take(payer.id, bucket.id, 1);
                let after = draft.balance(payer.id, bucket);
                let earned = bucket.deferred_at(before).saturating_sub(bucket.deferred_at(after));
                return Ok((*payer, Sale { earned, ..nothing(payer) }));
            }
        }
    }
    let mut refusal = ContentRefusal::Denied(crate::charging::Declined::NoPayer);
    for payer in payers.iter().filter(|payer| payer.pays == Pays::Everything) {
        let here = |amount| {
            convert(
                charging.state,
                amount,
                wanted.price.currency,
                payer.account.currency,
                charging.now,
            )
        };
        let (Ok(net), Ok(tax), Ok(merchant_tax)) = (here(net), here(tax), here(merchant_tax))
        else {
            refusal = ContentRefusal::UnknownCurrency;
            continue;
        };
        let sale = Sale { net, tax, merchant_tax, ..nothing(payer) };
        if charging.money_free(draft, payer, &usage) >= sale.gross() {
            return Ok((*payer, sale));
        }
        refusal = ContentRefusal::Denied(crate::charging::Declined::InsufficientBalance);
    }
    Err(refusal)
}

/// The payment as it begins, before its state is known.
pub(super) fn begin(
    charging: &Charging<'_>,
    wanted: Wanted<'_>,
    sale: Sale,
    earlier: u64,
) -> Payment {
    let made = &charging.state.content.payments_made;
    let number = made.get(&wanted.provider).copied().unwrap_or(0) + 1 + earlier;
    Payment {
        id: PaymentId::new(wanted.provider, number),
        vno: charging.vno.id,
        line: charging.line_id,
        origin: wanted.origin,
        state: PaymentState::Succeeded,
        created_at: charging.now,
        changed_at: charging.now,
        paid_at: Some(charging.now),
        expires_at: None,
        correlator: wanted.correlator,
        reference: wanted.reference,
        price: wanted.price,
        items: Vec::new(),
        body: Box::default(),
        merchant: None,
        category: wanted.category.map(Into::into),
        sale: Box::new(sale),
        holds: SmallVec::new(),
        wholesale_hold: Amount::ZERO,
        validation: None,
        sink: None,
        refunds: Vec::new(),
        item: wanted.item,
        phone: None,
        validated: false,
    }
}

/// Takes the money at once.
pub(super) fn take(
    charging: &Charging<'_>,
    mut draft: Draft,
    quote: &Quote<'_>,
    payment: &mut Payment,
) {
    let usage = charging.usage(quote.key);
    charging.pay(&mut draft, &quote.payer, &usage, payment.sale.gross());
    payment.sale.taken = draft.movements().buckets.into_iter().collect();
}

/// Reserves the money, on the VNO's account with the broker too.
pub(super) fn reserve(
    charging: &Charging<'_>,
    mut draft: Draft,
    quote: &Quote<'_>,
    payment: &mut Payment,
) -> Movements {
    let usage = charging.usage(quote.key);
    let mut leg = PayerLeg::new(quote.payer.id, quote.payer.account.currency);
    charging.hold_money(&mut draft, &quote.payer, &usage, &mut leg, payment.sale.gross());
    payment.holds = leg.holds;
    payment.wholesale_hold = payment.sale.wholesale;
    let wholesale_held = payment.wholesale_hold.micros();
    Movements { counters: SmallVec::new(), wholesale_held, ..draft.movements() }
}

/// Gives back what a payment has reserved.
pub(super) fn release(payment: &mut Payment) -> Movements {
    let mut draft = Draft::default();
    for held in payment.holds.drain(..) {
        draft.hold(payment.sale.payer, held.bucket, -held.amount);
    }
    let wholesale_held = -payment.wholesale_hold.micros();
    payment.wholesale_hold = Amount::ZERO;
    Movements { wholesale_held, ..draft.movements() }
}

/// Shares are what they are at the moment of payment: a reservation may have waited while others sold.
pub(super) fn share_again(
    charging: &Charging<'_>,
    payment: &mut Payment,
) -> Result<(), ContentRefusal> {
    let registry = &charging.state.registry;
    let provider = registry.content_provider(payment.id.provider());
    let agreement = registry.agreement_between(payment.id.provider(), payment.vno);
    let (Some(provider), Some(agreement)) = (provider, agreement) else {
        return Ok(());
    };
    let rules = charging.vno.content.as_deref();
    let rate = rules.map_or(0, |rules| rules.tax_basis_points);
    let (net, _, merchant_tax) = split(&payment.price, rate)?;
    let shared = Shared { net, merchant_tax, currency: payment.price.currency };
    share_out(charging, provider, agreement, &shared, &mut payment.sale)
}

/// Is there money for what was held in buckets that have expired since?
pub(super) fn still_covered(charging: &Charging<'_>, payment: &Payment) -> Result<(), Declined> {
    let Some(account) = charging.state.account(payment.sale.payer) else {
        return Err(Declined::NoPayer);
    };
    let gone = payment.holds.iter().filter(|held| account.bucket(held.bucket).is_none());
    let missing = gone.fold(0i64, |sum, held| sum.saturating_add(held.amount));
    let free = account.money().saturating_add(account.credit_limit);
    let free = free.saturating_sub(account.held_money());
    if missing == 0 || free.micros() >= missing {
        Ok(())
    } else {
        Err(Declined::InsufficientBalance)
    }
}

/// Takes from the buckets that held it; what has expired since is taken from the main balance.
pub(super) fn take_held(charging: &Charging<'_>, payment: &mut Payment) -> Movements {
    let mut draft = Draft::default();
    let account = charging.state.account(payment.sale.payer);
    for held in &payment.holds {
        let is_there = account.is_some_and(|account| account.bucket(held.bucket).is_some());
        let from = if is_there { held.bucket } else { Account::MAIN };
        draft.take(payment.sale.payer, from, held.amount);
    }
    payment.sale.taken = draft.movements().buckets.into_iter().collect();
    release(payment)
}

/// The money of a paid payment, on every leg.
pub(super) fn sold(payment: &Payment, number: u64) -> Event {
    let (vno, sale) = (payment.vno, payment.sale.as_ref());
    let provider = payment.id.provider();
    let mut entry = Entry::new();
    let account = LedgerAccount::Subscriber(sale.payer);
    // Tax that the merchant owes itself is the VNO's to pass on, not its own.
    let revenue = sale.net.saturating_add(sale.merchant_tax);
    entry.transfer(account, LedgerAccount::VnoRevenue(vno), sale.currency, revenue);
    entry.transfer(account, LedgerAccount::Tax(vno), sale.currency, sale.tax);
    let deferred = LedgerAccount::VnoDeferred(vno);
    entry.transfer(deferred, LedgerAccount::VnoRevenue(vno), sale.currency, sale.earned);
    let (from, to) = (LedgerAccount::VnoCredit(vno), LedgerAccount::BrokerRevenue(vno));
    entry.transfer(from, to, sale.wholesale_currency, sale.wholesale);
    let (from, to) =
        (LedgerAccount::ContentShare(vno), LedgerAccount::ContentProviderPayable(provider));
    entry.transfer(from, to, sale.share_currency, sale.share);
    Event::Transferred(Box::new(Transfer {
        vno,
        number,
        kind: TransferKind::ContentSale,
        postings: entry.into_postings(),
        buckets: sale.taken.iter().copied().collect(),
        subscription: None,
        note: None,
        content: Some(Box::new(ContentEntry {
            kind: ContentEntryKind::Sale,
            provider,
            vno,
            line: Some(payment.line),
            payment: Some(payment.id),
            currency: sale.currency,
            net: sale.net,
            tax: sale.tax,
            merchant_tax: sale.merchant_tax,
            share_currency: sale.share_currency,
            share: sale.share,
            share_base: sale.share_base,
            wholesale_currency: sale.wholesale_currency,
            wholesale: sale.wholesale,
            month: None,
        })),
        refunds: None,
    }))
}
