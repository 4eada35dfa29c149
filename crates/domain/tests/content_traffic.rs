//! Content that comes by way of a switch: sold by event, sponsored, paid by an allowance, given back.

mod shop;
mod world;

use shop::{PHONE, PROVIDER, Shop, VNO, rules};
use tandem_domain::catalogue::{PriceListOwner, Scope};
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::content::*;
use tandem_domain::event::Event;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::service::{Direction, Service};
use tandem_domain::usage_record::UsageRecord;
use world::{MIB, amount, data_rate, eur, granted, message_rate, taxed};

/// What a switch says of a service of this identifier.
fn by_switch(key: &str, service_identifier: u32, action: EventAction) -> EventRequest {
    EventRequest {
        key: key.as_bytes().into(),
        number: 0,
        peer: PeerId::new(0),
        identities: [Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number")]
            .into_iter()
            .collect(),
        context: Context::new(Service::Content, Direction::Originating),
        group: GroupKey { rating_group: None, service_identifier: Some(service_identifier) },
        units: UnitCounts::default(),
        action,
        debit: None,
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

/// The provider has half of what switches sell as service 900.
fn shop_that_shares() -> Shop {
    let mut shop = Shop::new("2.00");
    shop.world.administer(Administer::ChangeContentProvider {
        id: PROVIDER,
        standing: None,
        share_basis_points: Some(5_000),
        service_identifiers: Some(vec![900]),
    });
    shop
}

#[test]
fn what_a_switch_gives_back_stands_on_the_provider_s_account_and_comes_back_once() {
    let mut shop = shop_that_shares();
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

#[test]
fn a_named_debit_takes_the_provider_s_share_back_too() {
    let mut shop = shop_that_shares();
    shop.world.retail(taxed("premium"), vec![message_rate("1.00")]);
    let by_message = |key, action| EventRequest {
        context: Context::new(Service::Message, Direction::Originating),
        ..by_switch(key, 900, action)
    };
    let mut send = |event: EventRequest| match shop.world.command(Command::Event(Box::new(event))) {
        Response::Event(Ok(answer)) => answer,
        other => panic!("{other:?}"),
    };
    let charged = send(by_message("smsc;1", EventAction::Debit));
    assert_eq!(charged.cost, Some(eur("1.19")));
    let session = charged.debit.expect("it is named");
    assert_eq!(shop.owed(), amount("0.50"));
    let last = shop.world.journal.last().and_then(|record| record.events.first());
    let Some(Event::OneTimeCharged(debit, _)) = last else { panic!("{last:?}") };
    let now = shop.world.now;
    let record = UsageRecord::of(debit.as_ref().clone(), now, EndCause::Event, None);
    let debit = NamedDebit { session, record: Some(Box::new(record)), read_at: now };
    let refund = EventRequest { debit: Some(debit), ..by_message("smsc;2", EventAction::Refund) };
    let answer = shop.world.command(Command::Event(Box::new(refund)));
    assert!(matches!(answer, Response::Event(Ok(_))), "{answer:?}");
    assert_eq!(shop.world.balance(shop.alice), amount("2.00"));
    assert_eq!(shop.owed(), Amount::ZERO);
    let last = shop.world.journal.last().and_then(|record| record.events.first());
    let Some(Event::Transferred(transfer)) = last else { panic!("{last:?}") };
    let told = transfer.content.as_deref().expect("on the remittance");
    assert_eq!(
        (told.net, told.tax, told.share, told.wholesale),
        (amount("-1.00"), amount("-0.19"), amount("-0.50"), amount("-0.02"))
    );
    shop.world.assert_balanced();
}
