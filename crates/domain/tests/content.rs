//! Content: payments, refunds, subscriptions, sponsored traffic, and how their money is shared.

mod shop;
mod world;

use proptest::prelude::*;
use shop::{PROVIDER, Shop, VNO, rules};
use tandem_domain::access::Role;
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::content::*;
use tandem_domain::event::Event;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};
use world::{amount, eur, slug};

#[test]
fn a_sale_pays_every_party_in_one_step() {
    let mut shop = Shop::new("20.00");
    let payment = shop.pay("11.90").expect("sold");
    assert_eq!(payment.state, PaymentState::Succeeded);
    assert_eq!(shop.world.balance(shop.alice), amount("8.10"));
    assert_eq!(shop.world.ledger(LedgerAccount::VnoRevenue(VNO)), amount("10.00"));
    assert_eq!(shop.world.ledger(LedgerAccount::Tax(VNO)), amount("1.90"));
    assert_eq!(shop.owed(), amount("7.00"));
    // The VNO pays the broker what the provider gets and the broker's own part.
    assert_eq!(shop.world.ledger(LedgerAccount::VnoCredit(VNO)), amount("992.50"));
    assert_eq!(shop.world.ledger(LedgerAccount::BrokerRevenue(VNO)), amount("7.50"));
    assert_eq!(shop.world.ledger(LedgerAccount::ContentShare(VNO)), amount("-7.00"));
    shop.world.assert_balanced();
}

#[test]
fn tax_that_the_merchant_applied_is_passed_on_whole() {
    let mut shop = Shop::new("20.00");
    let mut request = shop.request("10.00");
    request.price.is_tax_included = false;
    request.price.merchant_tax = Some(amount("0.70"));
    shop.send(request).expect("sold");
    assert_eq!(shop.world.balance(shop.alice), amount("9.30"));
    assert_eq!(shop.world.ledger(LedgerAccount::Tax(VNO)), Amount::ZERO);
    assert_eq!(shop.owed(), amount("7.70"));
    shop.world.assert_balanced();
}

#[test]
fn a_price_in_another_currency_is_converted_at_the_day_s_rate() {
    let mut shop = Shop::new("20.00");
    let mut request = shop.request("11.90");
    request.price.currency = Currency::USD;
    assert_eq!(shop.send(request.clone()), Err(ContentRefusal::UnknownCurrency));
    shop.world.administer(Administer::SetExchangeRate(tandem_domain::catalogue::ExchangeRate {
        from: Currency::USD,
        to: Currency::EUR,
        valid_from: shop.world.now,
        rate: 500_000,
    }));
    shop.send(request).expect("sold");
    assert_eq!(shop.world.balance(shop.alice), amount("14.05"));
    assert_eq!(shop.owed(), amount("3.50"));
    shop.world.assert_balanced();
}

#[test]
fn a_reservation_holds_and_a_confirmation_takes() {
    let mut shop = Shop::new("20.00");
    let payment = shop.prepare("11.90").expect("reserved");
    assert_eq!(payment.state, PaymentState::Reserved);
    assert_eq!(shop.world.held(shop.alice), amount("11.90"));
    assert_eq!(shop.world.balance(shop.alice), amount("20.00"));
    shop.world.assert_balanced();
    // The rest is free, what is held is not.
    assert_eq!(shop.pay("8.11"), Err(ContentRefusal::Denied(Declined::InsufficientBalance)));
    shop.pay("8.10").expect("sold");
    shop.confirm(payment.id).expect("confirmed");
    assert_eq!(
        (shop.world.balance(shop.alice), shop.world.held(shop.alice)),
        (Amount::ZERO, Amount::ZERO)
    );
    assert_eq!(shop.confirm(payment.id), Err(ContentRefusal::AlreadyConfirmed));
    assert_eq!(shop.cancel(payment.id), Err(ContentRefusal::AlreadyConfirmed));
    shop.world.assert_balanced();
}

#[test]
fn what_is_not_confirmed_is_released_in_time() {
    let mut shop = Shop::new("20.00");
    let first = shop.prepare("5.00").expect("reserved");
    let second = shop.prepare("5.00").expect("reserved");
    shop.cancel(first.id).expect("cancelled");
    assert_eq!(shop.world.held(shop.alice), amount("5.00"));
    shop.world.wait(899);
    assert_eq!(shop.world.held(shop.alice), amount("5.00"));
    shop.world.wait(2);
    assert_eq!(shop.world.held(shop.alice), Amount::ZERO);
    assert_eq!(shop.confirm(second.id), Err(ContentRefusal::AlreadyCancelled));
    assert_eq!(shop.cancel(first.id), Err(ContentRefusal::AlreadyCancelled));
    assert_eq!(shop.world.balance(shop.alice), amount("20.00"));
    shop.world.assert_balanced();
}

#[test]
fn a_code_must_be_right_within_three_tries() {
    let mut shop = Shop::new("20.00");
    shop.rule(VnoContent { validation_from: Some(amount("5.00")), ..rules() });
    let small = shop.prepare("4.99").expect("reserved");
    assert_eq!(small.state, PaymentState::Reserved);
    assert_eq!(shop.pay("5.00"), Err(ContentRefusal::NotValidated), "in one step nobody is asked");
    let right = shop.prepare("5.00").expect("reserved");
    assert_eq!(right.state, PaymentState::PendingValidation);
    assert_eq!(shop.confirm(right.id), Err(ContentRefusal::NotValidated));
    assert_eq!(shop.validate(right.id, 9), Err(ContentRefusal::WrongCode));
    shop.validate(right.id, 1).expect("validated");
    assert_eq!(shop.validate(right.id, 1), Err(ContentRefusal::AlreadyValidated));
    shop.confirm(right.id).expect("confirmed");
    let wrong = shop.prepare("5.00").expect("reserved");
    assert_eq!(shop.validate(wrong.id, 9), Err(ContentRefusal::WrongCode));
    assert_eq!(shop.validate(wrong.id, 9), Err(ContentRefusal::WrongCode));
    assert_eq!(shop.validate(wrong.id, 9), Err(ContentRefusal::TriesUsedUp));
    assert_eq!(shop.validate(wrong.id, 1), Err(ContentRefusal::TriesUsedUp));
    assert_eq!(shop.confirm(wrong.id), Err(ContentRefusal::WasDenied));
    assert_eq!(shop.world.held(shop.alice), amount("4.99"));
    shop.world.assert_balanced();
}

#[test]
fn a_request_that_comes_again_is_never_charged_again() {
    let mut shop = Shop::new("20.00");
    let request = shop.request("1.00");
    shop.send(request.clone()).expect("sold");
    assert_eq!(shop.send(request.clone()), Err(ContentRefusal::CorrelatorUsed));
    let bare = PaymentRequest { correlator: None, ..request.clone() };
    shop.send(bare.clone()).expect("another request: the first had a correlator of its own");
    assert_eq!(shop.send(bare), Err(ContentRefusal::ReferenceUsed));
    assert_eq!(shop.world.balance(shop.alice), amount("18.00"));
}

#[test]
fn rules_of_vno_and_line_stand_before_every_sale() {
    let mut shop = Shop::new("100.00");
    shop.rule(VnoContent::default());
    assert_eq!(shop.pay("1.00"), Err(ContentRefusal::NotOffered));
    let only_games = AllowedProvider {
        provider: PROVIDER,
        categories: vec!["games".into()],
        price_max: Some(amount("10.00")),
    };
    shop.rule(VnoContent {
        providers: vec![only_games],
        price_points: vec![amount("1.00"), amount("9.99"), amount("12.00")],
        monthly_max: Some(amount("20.00")),
        ages: vec![("games".into(), 16)],
        ..rules()
    });
    assert_eq!(shop.pay("1.00"), Err(ContentRefusal::NotOffered), "no category");
    let mut game = |price: &str| {
        let mut request = shop.request(price);
        request.category = Some("games".into());
        shop.send(request)
    };
    assert_eq!(game("1.00"), Err(ContentRefusal::AgeNotKnown));
    let line = shop.line();
    shop.world.administer(Administer::SetLineContent { line, monthly_max: None, age: Some(17) });
    let mut game = |price: &str| {
        let mut request = shop.request(price);
        request.category = Some("games".into());
        shop.send(request)
    };
    assert_eq!(game("2.00"), Err(ContentRefusal::AmountNotAllowed), "no price point");
    assert_eq!(game("12.00"), Err(ContentRefusal::AmountNotAllowed), "too dear for this provider");
    game("9.99").expect("sold");
    game("9.99").expect("sold");
    assert_eq!(game("1.00"), Err(ContentRefusal::MonthlyLimit));
    // A month later there is room again, but for a line that wants less.
    shop.world.administer(Administer::SetLineContent {
        line,
        monthly_max: Some(amount("5.00")),
        age: Some(17),
    });
    shop.world.wait(31 * 24 * 3600);
    let mut request = shop.request("9.99");
    request.category = Some("games".into());
    assert_eq!(shop.send(request), Err(ContentRefusal::MonthlyLimit));
    let mut request = shop.request("1.00");
    request.category = Some("games".into());
    shop.send(request).expect("sold");
}

#[test]
fn reservations_count_towards_the_monthly_limit() {
    let mut shop = Shop::new("100.00");
    shop.rule(VnoContent { monthly_max: Some(amount("10.00")), ..rules() });
    let held = shop.prepare("6.00").expect("reserved");
    assert_eq!(shop.pay("5.00"), Err(ContentRefusal::MonthlyLimit));
    shop.cancel(held.id).expect("cancelled");
    shop.pay("5.00").expect("sold");
}

#[test]
fn a_vno_without_credit_sells_nothing() {
    let mut shop = Shop::new("2000.00");
    shop.world.administer(Administer::Deposit { vno: VNO, money: eur("-995.00"), note: None });
    assert_eq!(shop.pay("11.90"), Err(ContentRefusal::Denied(Declined::VnoCreditExhausted)));
    shop.pay("5.95").expect("3.75 of 5.00");
    assert_eq!(shop.prepare("5.95"), Err(ContentRefusal::Denied(Declined::VnoCreditExhausted)));
    shop.world.assert_balanced();
}

#[test]
fn a_refund_in_parts_gives_back_what_the_whole_would() {
    let mut shop = Shop::new("20.00");
    let payment = shop.pay("9.999").expect("sold");
    assert_eq!(shop.refund(payment.id, Some("10.00")), Err(ContentRefusal::RefundTooLarge));
    for part in ["3.333", "0.001", "6.665"] {
        shop.refund(payment.id, Some(part)).expect("refunded");
    }
    assert_eq!(shop.refund(payment.id, Some("0.001")), Err(ContentRefusal::RefundTooLarge));
    assert_eq!(shop.refund(payment.id, None), Err(ContentRefusal::RefundTooLarge));
    assert_eq!(shop.world.balance(shop.alice), amount("20.00"));
    let accounts = [
        LedgerAccount::VnoRevenue(VNO),
        LedgerAccount::Tax(VNO),
        LedgerAccount::ContentShare(VNO),
        LedgerAccount::BrokerRevenue(VNO),
        LedgerAccount::ContentProviderPayable(PROVIDER),
    ];
    assert!(accounts.into_iter().all(|account| shop.world.ledger(account).is_zero()));
    shop.world.assert_balanced();
}

#[test]
fn only_what_was_paid_can_be_refunded_and_in_its_own_style() {
    let mut shop = Shop::new("20.00");
    shop.rule(VnoContent { refund_days: 14, refund_monthly_max: Some(amount("5.00")), ..rules() });
    let held = shop.prepare("5.00").expect("reserved");
    assert_eq!(shop.refund(held.id, None), Err(ContentRefusal::NotPaid));
    let unknown = PaymentId::new(PROVIDER, 99);
    assert_eq!(shop.refund(unknown, None), Err(ContentRefusal::UnknownPayment));
    let payment = shop.pay("6.00").expect("sold");
    assert_eq!(shop.refund(payment.id, None), Err(ContentRefusal::RefundLimit));
    shop.refund(payment.id, Some("2.00")).expect("refunded");
    shop.world.wait(15 * 24 * 3600);
    assert_eq!(shop.refund(payment.id, Some("1.00")), Err(ContentRefusal::NotRefundable));
    shop.world.assert_balanced();
}

#[test]
fn a_subscription_is_tried_paid_left_unpaid_and_ended() {
    let mut shop = Shop::new("12.00");
    let kind = ItemKind::Subscription { period: ItemPeriod::Weekly, trial_days: 3 };
    let item = shop.item("weekly-hits", "5.00", kind, None);
    let line = shop.line();
    let subscribe =
        Administer::SubscribeToContent { line, item, proof: "app, 10:00, button".into() };
    shop.world.administer(subscribe.clone());
    assert_eq!(shop.subscription().state, ContentSubscriptionState::Trial);
    let twice = shop.world.try_administer(Role::Broker, subscribe.clone());
    assert_eq!(twice, Err(Refused::AlreadyExists(Noun::Subscription)));
    assert_eq!(shop.world.balance(shop.alice), amount("12.00"));
    shop.world.wait(3 * 24 * 3600);
    assert_eq!(shop.subscription().state, ContentSubscriptionState::Active);
    assert_eq!(shop.world.balance(shop.alice), amount("7.00"));
    shop.world.wait(6 * 24 * 3600);
    assert_eq!(shop.world.balance(shop.alice), amount("7.00"), "a paid week has seven days");
    shop.world.wait(24 * 3600);
    assert_eq!(shop.world.balance(shop.alice), amount("2.00"));
    shop.world.wait(7 * 24 * 3600);
    assert_eq!(shop.subscription().state, ContentSubscriptionState::Unpaid);
    for _ in 0..7 {
        shop.world.wait(24 * 3600);
    }
    assert_eq!(shop.subscription().state, ContentSubscriptionState::Ended);
    assert_eq!(shop.world.balance(shop.alice), amount("2.00"));
    // Who comes back has had the trial.
    shop.world.top_up(shop.alice, "10.00");
    shop.world.administer(subscribe);
    assert_eq!(shop.world.balance(shop.alice), amount("7.00"));
    shop.world.assert_balanced();
}

#[test]
fn a_provider_s_own_clients_sell_and_refund_and_ask_for_no_facts() {
    let mut shop = Shop::new("1.00");
    let role = Role::ContentProvider(PROVIDER);
    let client = |scopes: &[&str], withdrawn| Administer::SetApiClient {
        provider: PROVIDER,
        slug: slug("kino-app"),
        keys: "{}".into(),
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        requests_per_second_max: 0,
        withdrawn,
    };
    let refused = shop.world.try_administer(role, client(&["sim-swap:check"], false));
    assert_eq!(refused, Err(Refused::Forbidden));
    shop.world.try_administer(role, client(&[], false)).expect("registered");
    let may = |shop: &Shop, scope: &str| {
        let known = shop.world.state.registry.api_client_by_slug("kino-app").expect("registered");
        known.may_ask_for(scope)
    };
    assert!(may(&shop, "carrier-billing:payments:create") && !may(&shop, "sim-swap:check"));
    shop.world.administer(client(&["sim-swap:check"], false));
    assert!(may(&shop, "sim-swap:check"), "the broker gives it");
    shop.world.administer(client(&["sim-swap:check"], true));
    shop.world.try_administer(role, client(&[], false)).expect("written");
    let known = shop.world.state.registry.api_client_by_slug("kino-app").expect("known");
    assert!(known.withdrawn, "what the broker withdrew stays withdrawn");
}

#[test]
fn opting_out_keeps_what_was_paid_and_its_proof() {
    let mut shop = Shop::new("12.00");
    let kind = ItemKind::Subscription { period: ItemPeriod::Monthly, trial_days: 0 };
    let item = shop.item("monthly-films", "5.00", kind, None);
    let line = shop.line();
    shop.world.administer(Administer::SubscribeToContent { line, item, proof: "call".into() });
    let cancel =
        Administer::CancelContentSubscription { line, number: 1, proof: "SMS STOP".into() };
    shop.world.administer(cancel.clone());
    let cancelled = shop.subscription();
    assert_eq!(cancelled.state, ContentSubscriptionState::Cancelled);
    assert_eq!(cancelled.cancel_proof.as_deref(), Some("SMS STOP"));
    assert!(shop.world.try_administer(Role::Broker, cancel).is_err());
    shop.world.wait(32 * 24 * 3600);
    assert_eq!(shop.subscription().state, ContentSubscriptionState::Ended);
    assert_eq!(shop.world.balance(shop.alice), amount("7.00"));
}

#[test]
fn a_month_that_sold_too_little_is_made_up_to_the_guarantee() {
    let mut shop = Shop::new("100.00");
    shop.agree(ProviderShare::Percent(7000), Some("20.00"));
    shop.pay("11.90").expect("sold");
    let refunded = shop.pay("11.90").expect("sold");
    shop.refund(refunded.id, None).expect("refunded");
    assert_eq!(shop.owed(), amount("7.00"));
    shop.world.wait(25 * 24 * 3600);
    assert_eq!(shop.owed(), amount("20.00"));
    // The next month has its own, and nothing is made up twice.
    shop.world.wait(2 * 24 * 3600);
    assert_eq!(shop.owed(), amount("20.00"));
    shop.world.wait(30 * 24 * 3600);
    assert_eq!(shop.owed(), amount("40.00"));
    shop.world.assert_balanced();
}

#[test]
fn a_payment_that_memory_let_go_comes_back_only_fresh_from_the_books() {
    let mut shop = Shop::new("20.00");
    let payment = shop.pay("5.00").expect("sold");
    shop.world.wait(3 * 24 * 3600);
    // Every new payment lets up to two old ones go.
    shop.pay("1.00").expect("sold");
    assert_eq!(shop.refund(payment.id, None), Err(ContentRefusal::UnknownPayment));
    let stale = ContentCommand::Recall { payment: payment.clone(), read_at: payment.created_at };
    assert_eq!(shop.ask(stale), Err(ContentRefusal::Outdated));
    let read_at = shop.world.now;
    shop.ask(ContentCommand::Recall { payment: payment.clone(), read_at }).expect("recalled");
    shop.refund(payment.id, None).expect("refunded");
    assert_eq!(shop.world.balance(shop.alice), amount("19.00"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A random month: whatever is sold, reserved, cancelled and refunded, the provider is owed exactly what the
    /// statements' lines add up to, money is nowhere made, and giving everything back leaves nothing.
    #[test]
    fn a_random_month_agrees_to_the_last_digit(
        steps in prop::collection::vec((0u8..6, 1u32..20_000, 0usize..8), 1..40),
        rate in 0u16..2500,
        tiers in any::<bool>(),
    ) {
        let mut shop = Shop::new("500.00");
        shop.rule(VnoContent { tax_basis_points: rate, ..rules() });
        if tiers {
            shop.agree(ProviderShare::Tiers(vec![
                ShareTier { up_to: Some(amount("25.00")), basis_points: 6500 },
                ShareTier { up_to: None, basis_points: 7150 },
            ]), None);
        }
        let mut open = Vec::new();
        let mut paid: Vec<PaymentId> = Vec::new();
        for (what, price, which) in steps {
            let price = format!("{}.{:03}", price / 1000, price % 1000);
            match what {
                0 | 1 => paid.extend(shop.pay(&price).map(|payment| payment.id)),
                2 => open.extend(shop.prepare(&price).map(|payment| payment.id)),
                3 if !open.is_empty() => {
                    let id = open.remove(which % open.len());
                    shop.confirm(id).expect("confirmed");
                    paid.push(id);
                }
                4 if !open.is_empty() => {
                    shop.cancel(open.remove(which % open.len())).expect("cancelled");
                }
                5 if !paid.is_empty() => {
                    let _ = shop.refund(paid[which % paid.len()], Some(&price));
                }
                _ => {}
            }
            shop.world.assert_balanced();
        }
        let stated = |shop: &Shop| {
            let events = shop.world.journal.iter().flat_map(|record| &record.events);
            let entries = events.filter_map(|event| match event {
                Event::Transferred(transfer) => transfer.content.as_deref(),
                _ => None,
            });
            entries.fold((Amount::ZERO, Amount::ZERO), |(share, gross), entry| {
                let of = entry.net.saturating_add(entry.tax).saturating_add(entry.merchant_tax);
                (share.saturating_add(entry.share), gross.saturating_add(of))
            })
        };
        let (share, gross) = stated(&shop);
        prop_assert_eq!(share, shop.owed());
        prop_assert_eq!(amount("500.00").saturating_sub(gross), shop.world.balance(shop.alice));
        for id in paid {
            let left = shop.world.state.content.payments.get(id).expect("kept").remaining();
            if left.is_positive() {
                shop.refund(id, Some(&left.to_string())).expect("refunded");
            }
        }
        for id in open {
            shop.cancel(id).expect("cancelled");
        }
        prop_assert_eq!(shop.world.balance(shop.alice), amount("500.00"));
        prop_assert_eq!(shop.owed(), Amount::ZERO);
        prop_assert_eq!(shop.world.ledger(LedgerAccount::Tax(VNO)), Amount::ZERO);
        prop_assert_eq!(shop.world.ledger(LedgerAccount::VnoCredit(VNO)), amount("1000.00"));
        shop.world.assert_balanced();
    }
}

#[test]
fn bonus_money_that_expires_before_the_confirmation_is_not_made_up_with_debt() {
    let mut shop = Shop::new("5.00");
    let bonus = NewAllowance {
        name: "bonus".into(),
        unit: tandem_domain::quantity::Unit::Money,
        quantity: 5_000_000,
        scope: tandem_domain::catalogue::Scope::default(),
        priority: 0,
        rollover: tandem_domain::catalogue::Rollover::None,
        value: Amount::ZERO,
    };
    let offer = NewOffer {
        vno: VnoId::new(0),
        slug: slug("bonus"),
        name: "Bonus".into(),
        one_time_fee: Amount::ZERO,
        recurring_fee: Amount::ZERO,
        tax_basis_points: 0,
        period: None,
        validity_days: Some(1),
        proration: tandem_domain::catalogue::Proration::Full,
        allowances: vec![bonus],
        prices: None,
    };
    let Receipt::Offer(offer) = shop.world.administer(Administer::PublishOffer(Box::new(offer)))
    else {
        panic!("an offer");
    };
    let order = Administer::Subscribe { subscriber: shop.alice, offer, account: None };
    shop.world.administer(order);
    // The bonus ends a minute after the reservation is made.
    shop.world.wait(24 * 3600 - 60);
    let reserved = shop.prepare("8.00").expect("reserved");
    shop.world.wait(120);
    let refused = shop.confirm(reserved.id);
    assert_eq!(refused, Err(ContentRefusal::Denied(Declined::InsufficientBalance)));
    assert_eq!(shop.world.held(shop.alice), Amount::ZERO);
    assert_eq!(shop.world.balance(shop.alice), amount("5.00"));
    shop.world.assert_balanced();
}
