//! What switches do seldom and are charged right for all the same: money as the unit, requests overtaken by many,
//! groups reported at different hours, emergency calls over Ro.

mod world;

use tandem_domain::calls::VnoCalls;
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{TimeBand, deck};
use tandem_domain::service::Service;
use world::*;

const ARIA: VnoId = VnoId::new(0);

fn in_money(text: &str, currency: Option<Currency>) -> UnitCounts {
    let money = NamedMoney { amount: amount(text), currency };
    UnitCounts { money: Some(money), ..UnitCounts::default() }
}

fn used(counts: UnitCounts) -> UsedUnits {
    UsedUnits { counts, tariff_change: TariffChange::Indeterminate }
}

#[test]
fn a_switch_that_prices_by_itself_reserves_and_reports_money() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Content);
    let ask = |phone: &mut Phone, verb, spent: Option<&str>, wanted: Option<UnitCounts>| {
        let mut request = phone.ask(verb, None, false);
        request.groups[0].used = spent.map(|text| used(in_money(text, None))).into_iter().collect();
        request.groups[0].requested = wanted;
        request
    };
    // Without a currency it is the account's.
    let opened =
        world.session(ask(&mut phone, SessionVerb::Open, None, Some(in_money("4.00", None))));
    let GroupOutcome::Granted(first) = outcome(&opened).clone() else { panic!("{opened:?}") };
    assert_eq!(
        (first.unit, first.amount, first.currency),
        (Unit::Money, 4_000_000, Some(Currency::EUR))
    );
    assert_eq!(world.held(alice), amount("4.00"));
    let more = Some(in_money("8.00", Some(Currency::EUR)));
    let answer = world.session(ask(&mut phone, SessionVerb::Report, Some("3.50"), more));
    let GroupOutcome::Granted(last) = outcome(&answer).clone() else { panic!("{answer:?}") };
    assert_eq!(last.amount, 6_500_000, "what is left");
    assert!(last.final_unit.is_some(), "and it is the last");
    world
        .session(ask(&mut phone, SessionVerb::Close(EndCause::Normal), Some("1.25"), None))
        .expect("closed");
    assert_eq!((world.balance(alice), world.held(alice)), (amount("5.25"), Amount::ZERO));
    assert_eq!(world.ledger(LedgerAccount::VnoRevenue(ARIA)), amount("4.75"));
    world.assert_balanced();
}

#[test]
fn money_in_a_session_is_of_the_accounts_currency_and_not_beside_units() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut open = |counts: UnitCounts| {
        let mut phone = world.request("+491511", Service::Content);
        let mut request = phone.open();
        request.groups[0].requested = Some(counts);
        world.session(request)
    };
    let dollars = in_money("1.00", Currency::from_number(840));
    assert_eq!(open(dollars), Err(Declined::CurrencyMismatch));
    let both = UnitCounts { seconds: Some(60), ..in_money("1.00", None) };
    assert!(open(both).is_err(), "money and seconds at once are priced by nobody");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let mut request = phone.report(0);
    request.groups[0].used = [used(in_money("1.00", None))].into_iter().collect();
    let answer = world.session(request);
    assert_eq!(outcome(&answer), &GroupOutcome::Declined(Declined::UnitMismatch));
    assert_eq!(world.balance(alice), amount("10.00"));
}

#[test]
fn a_report_overtaken_by_many_is_still_charged_and_its_repeat_is_not() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let late = phone.report(MIB);
    for _ in 0..10 {
        world.session(phone.report(0)).expect("reported");
    }
    assert_eq!(world.balance(alice), amount("10.00"));
    world.session(late.clone()).expect("its first time");
    assert_eq!(world.balance(alice), amount("9.881"));
    // Its answer may be forgotten by then; its use is not charged again.
    for _ in 0..10 {
        world.session(phone.report(0)).expect("reported");
    }
    assert_eq!(world.session(late), Err(Declined::StaleRequest));
    assert_eq!(world.balance(alice), amount("9.881"));
}

#[test]
fn each_group_remembers_when_it_was_last_reported() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut header = untaxed("hours");
    header.time_zone = "UTC".into();
    let window = WeeklyWindow { days: 0b111_1111, from_minute: 10 * 60, to_minute: 12 * 60 };
    header.bands = vec![TimeBand { name: "dear".into(), windows: vec![window] }];
    header.switch_at_band_edge = true;
    let rows = "service,price,per,band\ndata,0.10,1MiB,\ndata,1.00,1MiB,dear\n";
    let rates = deck::read(rows.as_bytes(), &header).expect("a deck");
    let owner = tandem_domain::catalogue::PriceListOwner::Vno(ARIA);
    world.install(owner, "retail", header, rates);
    let mut phone = world.request("+491511", Service::Data);
    let of =
        |rating_group: u32| GroupKey { rating_group: Some(rating_group), service_identifier: None };
    // 09:00: two groups; 10:30: the second reports; 11:00: the first, for the first time since 09:00.
    let mut open = phone.open();
    open.groups[0].key = of(1);
    open.groups.push(GroupRequest { key: of(2), ..open.groups[0].clone() });
    world.session(open).expect("opened");
    world.wait(5400);
    let mut second = phone.report(0);
    second.groups[0].key = of(2);
    world.session(second).expect("reported");
    world.wait(1800);
    let mut first = phone.report(MIB);
    first.groups[0].key = of(1);
    world.session(first).expect("reported");
    assert_eq!(world.balance(alice), amount("9.90"), "used since 09:00, at that hour's price");
}

#[test]
fn a_call_over_ro_to_the_vnos_emergency_number_is_free_whatever_its_balance() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "0");
    let rules = VnoCalls { emergency: vec!["112".parse().expect("digits")], ..VnoCalls::default() };
    let change = VnoChange { calls: Some(Box::new(rules)), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
    let mut phone = world.request("+491511", Service::Voice);
    phone.destination = Some("112".into());
    for request in [phone.open(), phone.report(60), phone.close(30)] {
        let answer = world.session(request);
        assert_eq!(outcome(&answer), &GroupOutcome::Free);
    }
    assert_eq!(world.balance(alice), Amount::ZERO);
    let mut other = world.request("+491511", Service::Voice);
    other.destination = Some("4930901820".into());
    assert_eq!(world.session(other.open()), Err(Declined::InsufficientBalance));
}

#[test]
fn a_group_that_stands_twice_in_one_request_is_held_and_charged_as_one() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let mut twice = phone.report(MIB);
    twice.groups.push(twice.groups[0].clone());
    world.session(twice).expect("reported");
    // The second report of the next one cannot be charged; the first is.
    let mut half = phone.report(MIB);
    let wrong = UnitCounts { seconds: Some(1), ..UnitCounts::default() };
    half.groups
        .push(GroupRequest { used: [used(wrong)].into_iter().collect(), ..half.groups[0].clone() });
    world.session(half).expect("reported");
    world.session(phone.close(0)).expect("closed");
    assert_eq!((world.balance(alice), world.held(alice)), (amount("9.643"), Amount::ZERO));
    world.assert_balanced();
}

#[test]
fn a_report_far_behind_a_jump_of_numbers_is_still_taken() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    phone.number = 100;
    let late = phone.report(MIB);
    phone.number = 101;
    world.session(phone.report(0)).expect("reported");
    world.session(late).expect("its first time");
    assert_eq!(world.balance(alice), amount("9.881"));
}

#[test]
fn a_money_session_keeps_to_one_currency() {
    let mut world = World::new();
    world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Content);
    let mut open = phone.open();
    open.groups[0].requested = Some(in_money("1.00", None));
    world.session(open).expect("opened");
    let mut other = phone.report(0);
    other.groups[0].used =
        [used(in_money("1.00", Currency::from_number(840)))].into_iter().collect();
    let answer = world.session(other);
    assert_eq!(outcome(&answer), &GroupOutcome::Declined(Declined::CurrencyMismatch));
    world.assert_balanced();
}

#[test]
fn a_free_call_that_may_not_last_for_ever_costs_nobody_anything_and_ends() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "0");
    let owner = tandem_domain::catalogue::PriceListOwner::Vno(ARIA);
    let rows = "service,prefix,price,per,treatment\nvoice,800,0,60s,free\nvoice,,0.12,60s,\n";
    let header = untaxed("free");
    let rates = deck::read(rows.as_bytes(), &header).expect("a deck");
    world.install(owner, "retail", header, rates);
    let mut call = |limit: Option<u32>| {
        let rules = VnoCalls { seconds_max: limit.unwrap_or(0), ..VnoCalls::default() };
        let change = VnoChange { calls: Some(Box::new(rules)), ..VnoChange::default() };
        world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
        let mut phone = world.request("+491511", Service::Voice);
        phone.destination = Some("8001234".into());
        let opened = world.session(phone.open());
        let reported = world.session(phone.report(100));
        world.session(phone.close(0)).expect("closed");
        (outcome(&opened).clone(), outcome(&reported).clone())
    };
    assert_eq!(call(None), (GroupOutcome::Free, GroupOutcome::Free));
    let (opened, over) = call(Some(100));
    let GroupOutcome::Granted(all) = opened else { panic!("{opened:?}") };
    assert_eq!((all.amount, all.is_time_limit), (100, true));
    assert_eq!(over, GroupOutcome::Declined(Declined::TimeLimit));
    assert_eq!(world.balance(alice), Amount::ZERO);
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(ARIA)), Amount::ZERO);
    world.assert_balanced();
}
