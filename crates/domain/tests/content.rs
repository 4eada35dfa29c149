//! Content: payments, refunds, subscriptions, sponsored traffic, and how their money is shared.

mod world;

use proptest::prelude::*;
use tandem_domain::access::Role;
use tandem_domain::catalogue::{PriceListOwner, Scope};
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::content::*;
use tandem_domain::event::Event;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::service::{Direction, Service};
use world::{MIB, World, amount, data_rate, eur, granted, slug, taxed};

const VNO: VnoId = VnoId::new(0);
const PROVIDER: ContentProviderId = ContentProviderId::new(0);
const CLIENT: ApiClientId = ApiClientId::new(0);
const PHONE: &str = "+491511";

/// Provider `kino` sells to aria's subscribers: 70 % to it, 5 % to the broker; 19 % tax.
struct Shop {
    world: World,
    alice: SubscriberId,
    requests: u32,
}

fn rules() -> VnoContent {
    VnoContent {
        providers: vec![AllowedProvider {
            provider: PROVIDER,
            categories: vec![],
            price_max: None,
        }],
        tax_basis_points: 1900,
        ..VnoContent::default()
    }
}

impl Shop {
    fn new(money: &str) -> Shop {
        let mut world = World::new();
        world.administer(Administer::CreateContentProvider {
            slug: slug("kino"),
            name: "Kino".into(),
            currency: Currency::EUR,
            share_basis_points: 0,
            service_identifiers: vec![],
        });
        world.administer(Administer::SetApiClient {
            provider: PROVIDER,
            slug: slug("kino-web"),
            keys: "{}".into(),
            scopes: vec![],
            requests_per_second_max: 0,
            withdrawn: false,
        });
        let alice = world.subscriber(0, PHONE, money);
        let mut shop = Shop { world, alice, requests: 0 };
        shop.agree(ProviderShare::Percent(7000), None);
        shop.rule(rules());
        shop
    }

    fn agree(&mut self, share: ProviderShare, guarantee: Option<&str>) {
        self.world.administer(Administer::SetAgreement {
            provider: PROVIDER,
            vno: VNO,
            share: Some(share),
            broker_basis_points: 500,
            guarantee: guarantee.map(amount),
        });
    }

    fn rule(&mut self, rules: VnoContent) {
        let change = VnoChange { content: Some(Box::new(rules)), ..VnoChange::default() };
        self.world.administer(Administer::ChangeVno(VNO, Box::new(change)));
    }

    fn request(&mut self, price: &str) -> PaymentRequest {
        self.requests += 1;
        PaymentRequest {
            client: CLIENT,
            subject: Subject::Number(
                Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number"),
            ),
            correlator: Some(format!("c-{}", self.requests).into()),
            reference: format!("r-{}", self.requests).into(),
            price: Price {
                currency: Currency::EUR,
                amount: amount(price),
                is_tax_included: true,
                merchant_tax: None,
            },
            items: vec![],
            body: "{}".into(),
            description: "a film".into(),
            merchant: None,
            category: None,
            sink: None,
            reserve: None,
        }
    }

    fn ask(&mut self, command: ContentCommand) -> Result<Box<Payment>, ContentRefusal> {
        match self.world.command(Command::Content(Box::new(command))) {
            Response::Content(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, request: PaymentRequest) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Pay(Box::new(request)))
    }

    fn pay(&mut self, price: &str) -> Result<Box<Payment>, ContentRefusal> {
        let request = self.request(price);
        self.send(request)
    }

    fn prepare(&mut self, price: &str) -> Result<Box<Payment>, ContentRefusal> {
        let mut request = self.request(price);
        request.reserve = Some(NewCode {
            authorization: "auth".into(),
            code: "123456".into(),
            code_hash: [1; 32],
        });
        self.send(request)
    }

    fn subject() -> Subject {
        Subject::Number(Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number"))
    }

    fn confirm(&mut self, payment: PaymentId) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Confirm { client: CLIENT, subject: Shop::subject(), payment })
    }

    fn cancel(&mut self, payment: PaymentId) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Cancel { client: CLIENT, subject: Shop::subject(), payment })
    }

    fn validate(&mut self, payment: PaymentId, code: u8) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Validate {
            client: CLIENT,
            line: None,
            payment,
            authorization: "auth".into(),
            code_hash: [code; 32],
        })
    }

    fn refund(
        &mut self,
        payment: PaymentId,
        price: Option<&str>,
    ) -> Result<Box<Payment>, ContentRefusal> {
        self.requests += 1;
        self.ask(ContentCommand::Refund(Box::new(RefundRequest {
            client: CLIENT,
            line: None,
            payment,
            price: price.map(|text| Price {
                currency: Currency::EUR,
                amount: amount(text),
                is_tax_included: true,
                merchant_tax: None,
            }),
            items: vec![],
            body: "{}".into(),
            correlator: Some(format!("back-{}", self.requests).into()),
            reference: "back".into(),
            reason: None,
            merchant: None,
            sink: None,
        })))
    }

    fn item(
        &mut self,
        name: &str,
        price: &str,
        kind: ItemKind,
        service: Option<u32>,
    ) -> ContentItemId {
        match self.world.administer(Administer::PublishContentItem(Box::new(NewContentItem {
            provider: PROVIDER,
            slug: slug(name),
            name: name.into(),
            category: "video".into(),
            price: eur(price),
            is_tax_included: true,
            age_min: 0,
            kind,
            service_identifier: service,
        }))) {
            Receipt::ContentItem(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn line(&self) -> LineId {
        LineId::new(self.alice, 1)
    }

    fn owed(&self) -> Amount {
        self.world.ledger(LedgerAccount::ContentProviderPayable(PROVIDER))
    }

    fn subscription(&self) -> ContentSubscription {
        let line = self.world.state.line(self.line()).expect("a line");
        line.content.as_ref().expect("content").subscriptions[0].clone()
    }
}

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

/// What a switch says of a service of this identifier.
fn by_switch(key: &str, service_identifier: u32, action: EventAction) -> EventRequest {
    EventRequest {
        key: key.as_bytes().into(),
        number: 0,
        peer: PeerId::new(0),
        identities: [Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number")]
            .into_iter()
            .collect(),
        context: Context {
            service: Service::Content,
            direction: Direction::Originating,
            destination: None,
            serving_network: None,
            access_point: None,
            is_emergency: false,
            routing: None,
            dialled: None,
            is_unpriced: false,
        },
        group: GroupKey { rating_group: None, service_identifier: Some(service_identifier) },
        units: UnitCounts::default(),
        action,
    }
}

#[test]
fn a_switch_sells_an_item_by_event_and_is_told_what_it_cost() {
    let mut shop = Shop::new("2.00");
    shop.item("horoscope", "1.19", ItemKind::OneOff, Some(4711));
    let mut event = by_switch("smsc;1", 4711, EventAction::Debit);
    event.units = UnitCounts { service_specific: Some(1), ..UnitCounts::default() };
    let mut send =
        |event: &EventRequest| match shop.world.command(Command::Event(Box::new(event.clone()))) {
            Response::Event(result) => result,
            other => panic!("{other:?}"),
        };
    let first = send(&event).expect("sold");
    assert_eq!(first.cost, Some(eur("1.19")));
    assert_eq!(send(&event).expect("repeated"), first);
    event.number = 1;
    assert_eq!(send(&event), Err(Declined::InsufficientBalance));
    // A price that the switch names is a purchase like any other: the VNO's rules and the agreement hold.
    event.units = UnitCounts { money: Some(eur("0.595").into()), ..UnitCounts::default() };
    event.number = 2;
    assert_eq!(send(&event).expect("sold").cost, Some(eur("0.595")));
    event.number = 3;
    event.units = UnitCounts { service_specific: Some(3), ..UnitCounts::default() };
    assert_eq!(send(&event), Err(Declined::UnitMismatch), "three are not sold as one");
    assert_eq!(shop.world.balance(shop.alice), amount("0.215"));
    assert_eq!(shop.owed(), amount("1.05"));
    shop.rule(VnoContent { price_max: Some(amount("0.10")), ..rules() });
    event.units = UnitCounts { money: Some(eur("0.20").into()), ..UnitCounts::default() };
    let refused = shop.world.command(Command::Event(Box::new(event.clone())));
    assert!(matches!(refused, Response::Event(Err(Declined::Barred))), "{refused:?}");
    shop.world.assert_balanced();
}

#[test]
fn sponsored_traffic_is_free_for_the_subscriber_and_set_off_against_the_share() {
    let mut shop = Shop::new("1.00");
    let owner = shop.world.subscriber(0, "+491599", "0.00");
    let account = match shop.world.administer(Administer::OpenAccount {
        subscriber: owner,
        currency: None,
        credit_limit: amount("0.60"),
        shared: false,
    }) {
        Receipt::Account(id) => id,
        other => panic!("{other:?}"),
    };
    let prices = shop.world.install(
        PriceListOwner::Vno(VNO),
        "sponsored",
        taxed("sponsored"),
        vec![data_rate("0.05")],
    );
    shop.world.administer(Administer::SetSponsorship {
        provider: PROVIDER,
        vno: VNO,
        scope: Scope { services: vec![Service::Data], ..Scope::default() },
        account,
        prices,
    });
    let mut phone = shop.world.request(PHONE, Service::Data);
    let answer = shop.world.session(phone.open());
    assert!(granted(&answer) > 0);
    shop.world.session(phone.close(4 * MIB)).expect("closed");
    assert_eq!(shop.world.balance(shop.alice), amount("1.00"));
    let debt = || amount("0.238");
    let sponsor = shop.world.state.account(account).expect("an account").money();
    assert_eq!(sponsor, debt().negated());
    // The sponsor's limit holds; then the subscriber pays again.
    let mut phone = shop.world.request(PHONE, Service::Data);
    shop.world.session(phone.open()).expect("opened");
    shop.world.session(phone.close(6 * MIB)).expect("closed");
    let mut phone = shop.world.request(PHONE, Service::Data);
    shop.world.session(phone.open()).expect("opened");
    shop.world.session(phone.close(MIB)).expect("closed");
    assert!(shop.world.balance(shop.alice) <= amount("1.00"));
    let owed_before = shop.owed();
    let sponsor = shop.world.state.account(account).expect("an account").money();
    shop.world.wait(25 * 24 * 3600);
    assert_eq!(shop.world.state.account(account).expect("an account").money(), Amount::ZERO);
    assert_eq!(shop.owed(), owed_before.saturating_add(sponsor));
    shop.world.assert_balanced();
}

#[test]
fn an_allowance_pays_before_money_and_the_provider_gets_its_part_all_the_same() {
    let mut shop = Shop::new("20.00");
    let film = shop.item("a-film", "11.90", ItemKind::OneOff, None);
    let offer = shop.world.offer(0, "4.00", tandem_domain::quantity::Unit::Events, 2, "4.00");
    let subscriber = shop.alice;
    shop.world.administer(Administer::Subscribe { subscriber, offer, account: None });
    let before = shop.world.balance(shop.alice);
    let line = shop.line();
    for _ in 0..2 {
        shop.world.administer(Administer::BuyContent { line, item: film });
    }
    assert_eq!(shop.world.balance(shop.alice), before);
    assert_eq!(shop.owed(), amount("14.00"));
    assert_eq!(shop.world.ledger(LedgerAccount::VnoDeferred(VNO)), Amount::ZERO);
    shop.world.administer(Administer::BuyContent { line, item: film });
    assert_eq!(shop.world.balance(shop.alice), before.saturating_sub(amount("11.90")));
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

#[test]
fn what_a_switch_gives_back_stands_on_the_provider_s_account_and_comes_back_once() {
    let mut shop = Shop::new("2.00");
    shop.world.administer(Administer::ChangeContentProvider {
        id: PROVIDER,
        standing: None,
        share_basis_points: Some(5_000),
        service_identifiers: Some(vec![900]),
    });
    let mut refund = by_switch("smsc;9", 900, EventAction::Refund);
    refund.units = UnitCounts { money: Some(eur("1.00").into()), ..UnitCounts::default() };
    for _ in 0..2 {
        let answer = shop.world.command(Command::Event(Box::new(refund.clone())));
        let Response::Event(Ok(answer)) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.cost, Some(eur("1.00")));
    }
    assert_eq!(shop.world.balance(shop.alice), amount("3.00"), "once, however often it comes");
    assert_eq!(shop.owed(), amount("-0.50"));
    let entries = shop.world.journal.iter().flat_map(|record| &record.events);
    let told: Vec<_> = entries
        .filter_map(|event| match event {
            Event::Transferred(transfer) => transfer.content.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!((told.len(), told[0].share), (1, amount("-0.50")));
    // More than any movement may be is refused, and harms nothing.
    let mut huge = refund;
    huge.key = b"smsc;10".as_slice().into();
    huge.units.money = Some(eur("9223372036854.775807").into());
    let answer = shop.world.command(Command::Event(Box::new(huge)));
    assert!(matches!(answer, Response::Event(Err(Declined::AmountOutOfRange))), "{answer:?}");
    shop.world.assert_balanced();
}
