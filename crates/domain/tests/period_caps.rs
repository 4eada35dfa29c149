//! What a zone costs at most in a day or a month: retail, wholesale and cost.

mod world;

use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::charging::{
    Context, Declined, EventAction, EventAnswer, EventRequest, GroupKey, UnitCounts,
};
use tandem_domain::command::*;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::party::{GrantPolicy, WholesaleTerms};
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{PeriodCap, PriceList, PriceListHeader, RateSpec, TaxKind};
use tandem_domain::service::{Direction, Service};
use tandem_domain::subscriber::Pays;
use tandem_domain::time::Timestamp;
use tandem_domain::wholesale::WholesaleClauses;
use world::*;

const ARIA: VnoId = VnoId::new(0);

fn capped(mut rate: RateSpec, counter: u16, day: Option<&str>, month: Option<&str>) -> RateSpec {
    let (per_day, per_month) = (day.map(amount), month.map(amount));
    rate.price.period_cap = Some(Box::new(PeriodCap { counter, per_day, per_month }));
    rate
}

fn in_berlin(header: PriceListHeader) -> PriceListHeader {
    PriceListHeader { time_zone: "Europe/Berlin".into(), ..header }
}

/// Alice, with this money, at 0.10 a MiB and these most.
fn world(money: &str, day: Option<&str>, month: Option<&str>) -> (World, SubscriberId) {
    let mut world = World::new();
    let rows = vec![capped(data_rate("0.10"), 1, day, month)];
    world.retail(in_berlin(untaxed("roaming")), rows);
    let alice = world.subscriber(0, "+491511", money);
    (world, alice)
}

fn go_to(world: &mut World, text: &str) {
    world.now = text.parse::<Timestamp>().expect("a time");
    world.settle();
}

/// Uses so much in one session.
fn use_data(world: &mut World, mebibytes: u64) {
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.close(mebibytes * MIB)).expect("closed");
    world.assert_balanced();
}

#[test]
fn a_day_costs_no_more_than_its_cap_and_the_next_one_begins_at_nothing() {
    let (mut world, alice) = world("20.00", Some("2.00"), None);
    use_data(&mut world, 15);
    assert_eq!(world.balance(alice), amount("18.50"));
    use_data(&mut world, 15);
    assert_eq!(world.balance(alice), amount("18.00"), "0.50 of 1.50");
    use_data(&mut world, 1000);
    assert_eq!(world.balance(alice), amount("18.00"));
    // Until midnight in Berlin.
    go_to(&mut world, "2026-03-10T22:59:59Z");
    use_data(&mut world, 1);
    assert_eq!(world.balance(alice), amount("18.00"));
    go_to(&mut world, "2026-03-10T23:00:00Z");
    use_data(&mut world, 1);
    assert_eq!(world.balance(alice), amount("17.90"));
}

#[test]
fn who_paid_the_day_needs_no_money_for_the_rest_of_it() {
    let (mut world, alice) = world("2.00", Some("2.00"), None);
    let mut phone = world.request("+491511", Service::Data);
    let slice = granted(&world.session(phone.open()));
    assert_eq!(world.held(alice), amount("2.00"), "a slice of 5.00, of which the day takes 2.00");
    for _ in 0..50 {
        assert_eq!(granted(&world.session(phone.report(slice))), slice);
    }
    assert_eq!(world.balance(alice), Amount::ZERO);
    world.session(phone.close(slice)).expect("closed");
    let mut again = world.request("+491511", Service::Data);
    assert_eq!(granted(&world.session(again.open())), slice);
    assert_eq!(world.held(alice), Amount::ZERO);
    world.session(again.close(slice)).expect("closed");
    go_to(&mut world, "2026-03-11T12:00:00Z");
    let mut tomorrow = world.request("+491511", Service::Data);
    assert_eq!(world.session(tomorrow.open()), Err(Declined::InsufficientBalance));
    assert_eq!(world.balance(alice), Amount::ZERO);
    world.assert_balanced();
}

#[test]
fn a_session_over_midnight_pays_for_each_day_by_itself_and_never_for_what_was_free() {
    let (mut world, alice) = world("20.00", Some("2.00"), None);
    go_to(&mut world, "2026-03-10T22:00:00Z");
    let mut phone = world.request("+491511", Service::Data);
    let slice = granted(&world.session(phone.open()));
    let mebibytes = slice / MIB;
    let paid = |world: &World| amount("20.00").saturating_sub(world.balance(alice));
    let by_day = 2_000_000 / 100_000;
    assert!(mebibytes * 8 > by_day, "the cap is reached before midnight");
    for _ in 0..8 {
        world.session(phone.report(slice)).expect("reported");
    }
    assert_eq!(paid(&world), amount("2.00"));
    // Granted on the old day, and so free, whenever it is reported.
    go_to(&mut world, "2026-03-10T23:30:00Z");
    world.session(phone.report(slice)).expect("reported");
    assert_eq!(paid(&world), amount("2.00"));
    // The new day: a MiB is a MiB, what was free before is not owed now.
    world.session(phone.report(MIB)).expect("reported");
    assert_eq!(paid(&world), amount("2.10"));
    for _ in 0..8 {
        world.session(phone.report(slice)).expect("reported");
    }
    assert_eq!(paid(&world), amount("4.00"));
    world.session(phone.close(0)).expect("closed");
    assert_eq!(world.held(alice), Amount::ZERO);
    world.assert_balanced();
}

#[test]
fn a_late_report_of_yesterday_counts_there_and_leaves_today_alone() {
    let (mut world, alice) = world("20.00", Some("2.00"), None);
    go_to(&mut world, "2026-03-10T22:50:00Z");
    use_data(&mut world, 15);
    let mut old = world.request("+491511", Service::Data);
    world.session(old.open()).expect("opened");
    go_to(&mut world, "2026-03-10T23:10:00Z");
    use_data(&mut world, 15);
    assert_eq!(world.balance(alice), amount("17.00"));
    world.session(old.close(10 * MIB)).expect("closed");
    assert_eq!(world.balance(alice), amount("16.50"), "0.50 were left of yesterday");
    use_data(&mut world, 15);
    assert_eq!(world.balance(alice), amount("16.00"), "and are of today");
}

#[test]
fn zones_with_one_counter_share_their_caps_and_the_month_ends_what_days_add_up_to() {
    let mut world = World::new();
    let zone = |prefix: &str, counter| {
        let mut rate = capped(voice_rate("1.00", 60, 60), counter, Some("5.00"), Some("12.00"));
        rate.prefix = prefix.parse().ok();
        rate
    };
    let rows = vec![zone("33", 1), zone("39", 1), zone("1", 2)];
    world.retail(in_berlin(untaxed("zones")), rows);
    let alice = world.subscriber(0, "+491511", "50.00");
    let call = |world: &mut World, number: &str, minutes: u64| {
        let mut phone = world.request("+491511", Service::Voice);
        phone.destination = Some(number.into());
        world.session(phone.open()).expect("opened");
        world.session(phone.close(minutes * 60)).expect("closed");
        amount("50.00").saturating_sub(world.balance(alice))
    };
    assert_eq!(call(&mut world, "331", 3), amount("3.00"));
    assert_eq!(call(&mut world, "391", 3), amount("5.00"), "both are Europe");
    assert_eq!(call(&mut world, "1212", 3), amount("8.00"), "and this is not");
    go_to(&mut world, "2026-03-11T12:00:00Z");
    assert_eq!(call(&mut world, "331", 30), amount("13.00"));
    go_to(&mut world, "2026-03-12T12:00:00Z");
    assert_eq!(call(&mut world, "331", 30), amount("15.00"), "2.00 are left of the month");
    go_to(&mut world, "2026-03-13T12:00:00Z");
    assert_eq!(call(&mut world, "391", 30), amount("15.00"));
    go_to(&mut world, "2026-04-01T12:00:00Z");
    assert_eq!(call(&mut world, "391", 30), amount("20.00"));
    world.assert_balanced();
}

#[test]
fn the_cap_is_as_the_prices_are_without_tax_or_with_it() {
    for (kind, expected) in [(TaxKind::Exclusive, "2.38"), (TaxKind::Inclusive, "2.00")] {
        let mut world = World::new();
        let mut header = taxed("roaming");
        header.tax.kind = kind;
        world.retail(header, vec![capped(data_rate("0.10"), 1, Some("2.00"), None)]);
        let alice = world.subscriber(0, "+491511", "20.00");
        use_data(&mut world, 30);
        use_data(&mut world, 30);
        let paid = amount("20.00").saturating_sub(world.balance(alice));
        assert_eq!(paid, amount(expected), "{kind:?}");
    }
}

#[test]
fn any_number_of_reports_and_sessions_comes_to_the_same() {
    for reports in [1u64, 3, 30] {
        let (mut world, alice) = world("20.00", Some("2.00"), None);
        for _ in 0..2 {
            let mut phone = world.request("+491511", Service::Data);
            world.session(phone.open()).expect("opened");
            for _ in 0..reports {
                world.session(phone.report(15 * MIB / reports)).expect("reported");
            }
            world.session(phone.close(0)).expect("closed");
        }
        assert_eq!(world.balance(alice), amount("18.00"), "{reports}");
        world.assert_balanced();
    }
}

#[test]
fn sessions_side_by_side_pay_for_the_day_once() {
    let (mut world, alice) = world("3.00", Some("2.00"), None);
    let mut phones: Vec<Phone> = (0..3).map(|_| world.request("+491511", Service::Data)).collect();
    for phone in &mut phones {
        let _ = world.session(phone.open());
        assert!(world.held(alice) <= world.balance(alice), "each holds what it may cost");
    }
    for phone in &mut phones {
        world.session(phone.close(15 * MIB)).expect("closed");
    }
    assert_eq!(world.balance(alice), amount("1.00"));
    world.assert_balanced();
}

/// Alice's calls at 0.01 a second and at most 1.00 a day each, paid by her employer while it can, then by her.
fn shared(company_money: &str) -> (World, [SubscriberId; 2]) {
    let mut world = World::new();
    world.retail(untaxed("shared"), vec![capped(voice_rate("0.60", 1, 1), 1, Some("1.00"), None)]);
    let employer = world.subscriber(0, "+491500", company_money);
    let company = AccountId::new(employer, 1);
    let shared = Some(true);
    world.administer(Administer::ChangeAccount { id: company, credit_limit: None, shared });
    let alice = world.subscriber(0, "+491511", "10.00");
    let rules = [company, AccountId::new(alice, 1)].map(|account| NewPayerRule {
        account,
        scope: Default::default(),
        pays: Pays::Everything,
    });
    let change = LineChange { payer_rules: Some(rules.into()), ..LineChange::default() };
    world.administer(Administer::ChangeLine(LineId::new(alice, 1), Box::new(change)));
    (world, [employer, alice])
}

#[test]
fn each_subscriber_pays_its_own_day_of_a_session_that_two_pay_for() {
    let (mut world, [employer, alice]) = shared("0.50");
    for (seconds, by_alice) in [(100, "9.50"), (40, "9.10"), (1000, "9.00"), (1000, "9.00")] {
        let mut phone = world.request("+491511", Service::Voice);
        world.session(phone.open()).expect("opened");
        world.session(phone.close(seconds)).expect("closed");
        assert_eq!(world.balance(employer), Amount::ZERO);
        assert_eq!(world.balance(alice), amount(by_alice), "after {seconds} s");
        world.assert_balanced();
    }
}

#[test]
fn what_one_payer_was_forgiven_the_other_does_not_owe() {
    let (mut world, [employer, alice]) = shared("1.50");
    go_to(&mut world, "2026-03-10T23:50:00Z");
    let mut phone = world.request("+491511", Service::Voice);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(300)).expect("reported");
    assert_eq!(world.balance(employer), amount("0.50"), "1.00 of 3.00");
    go_to(&mut world, "2026-03-11T00:10:00Z");
    world.session(phone.report(0)).expect("reported");
    world.session(phone.close(100)).expect("closed");
    assert_eq!(world.balance(employer), Amount::ZERO);
    assert_eq!(world.balance(alice), amount("9.50"));
    world.assert_balanced();
}

#[test]
fn what_a_vno_and_the_broker_pay_is_capped_by_their_own_lists() {
    let mut world = World::new();
    let wholesale = vec![capped(data_rate("0.04"), 1, None, Some("1.00"))];
    let wholesale = world.install(PriceListOwner::Broker, "capped", untaxed("capped"), wholesale);
    let terms = Some(WholesaleTerms::PriceList(wholesale));
    let change = VnoChange { wholesale: terms, ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
    let nord = CarrierId::new(0);
    let deck = vec![capped(data_rate("0.02"), 1, Some("0.30"), None)];
    let deck = world.install(PriceListOwner::Carrier(nord), "daily", untaxed("daily"), deck);
    world.administer(Administer::ChangeCarrier {
        id: nord,
        standing: None,
        deck: Some(deck),
        name: None,
        committed_seconds: None,
    });
    let both = |world: &World| {
        let broker = world.ledger(LedgerAccount::BrokerRevenue(ARIA));
        (broker, world.ledger(LedgerAccount::CarrierPayable(nord)))
    };
    world.subscriber(0, "+491511", "50.00");
    world.subscriber(0, "+491512", "50.00");
    use_data(&mut world, 20);
    assert_eq!(both(&world), (amount("0.80"), amount("0.30")));
    // The VNO's money at the broker is all gone but for what its month may still cost.
    world.administer(Administer::Deposit { vno: ARIA, money: eur("-999.00"), note: None });
    use_data(&mut world, 20);
    assert_eq!(both(&world), (amount("1.00"), amount("0.30")));
    use_data(&mut world, 50);
    go_to(&mut world, "2026-03-11T12:00:00Z");
    use_data(&mut world, 50);
    assert_eq!(
        both(&world),
        (amount("1.00"), amount("0.60")),
        "the month is paid, this day is new"
    );
}

fn event(world: &mut World, action: EventAction, mebibytes: u64) -> EventAnswer {
    let phone = world.request("+491511", Service::Data);
    let identity = Identity::parse(IdentityKind::Msisdn, &phone.msisdn).expect("msisdn");
    let request = EventRequest {
        action,
        key: phone.key.as_bytes().into(),
        number: 0,
        peer: PeerId::new(0),
        identities: [identity].into_iter().collect(),
        context: Context::new(Service::Data, Direction::Originating),
        group: GroupKey::default(),
        units: UnitCounts { octets: Some(mebibytes * MIB), ..UnitCounts::default() },
        debit: None,
    };
    match world.command(Command::Event(Box::new(request))) {
        Response::Event(answer) => answer.expect("answered"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_enquiry_tells_what_the_day_leaves() {
    let (mut world, _) = world("20.00", Some("2.00"), None);
    for expected in ["1.50", "0.50", "0.00"] {
        let told = event(&mut world, EventAction::PriceEnquiry, 15).cost.expect("a price");
        assert_eq!(told.amount, amount(expected));
        use_data(&mut world, 15);
    }
}

#[test]
fn a_refund_gives_back_what_the_first_use_of_a_day_would_cost() {
    for (mebibytes, price) in [(15, "1.50"), (50, "2.00")] {
        let (mut world, alice) = world("20.00", Some("2.00"), None);
        event(&mut world, EventAction::Debit, mebibytes);
        assert_eq!(world.balance(alice), amount("20.00").saturating_sub(amount(price)));
        event(&mut world, EventAction::Refund, mebibytes);
        assert_eq!(world.balance(alice), amount("20.00"));
        world.assert_balanced();
    }
}

#[test]
fn what_is_reported_after_silence_counts_where_it_was_granted() {
    let (mut world, alice) = world("2.00", Some("2.00"), None);
    go_to(&mut world, "2026-03-10T20:00:00Z");
    use_data(&mut world, 20);
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    go_to(&mut world, "2026-03-11T02:00:00Z");
    assert_eq!(world.state.sessions.len(), 0, "settled for its silence");
    world.session(phone.close(15 * MIB)).expect("closed");
    assert_eq!(world.balance(alice), Amount::ZERO);
}

#[test]
fn a_grant_of_longer_than_a_day_never_counts_in_a_day_that_nobody_knows_any_more() {
    let (mut world, alice) = world("6.00", Some("2.00"), None);
    let policy =
        GrantPolicy { validity_seconds: 3 * 86_400, ..GrantPolicy::default_for(Unit::Octets) };
    let grants = Some(vec![(Unit::Octets, policy)]);
    let change = VnoChange { grants, ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
    use_data(&mut world, 20);
    let mut long = world.request("+491511", Service::Data);
    world.session(long.open()).expect("opened");
    for day in ["11", "12"] {
        go_to(&mut world, &format!("2026-03-{day}T09:00:00Z"));
        use_data(&mut world, 20);
    }
    assert_eq!(world.balance(alice), Amount::ZERO);
    world.session(long.close(15 * MIB)).expect("closed");
    assert_eq!(world.balance(alice), Amount::ZERO, "the eleventh is paid for");
}

#[test]
fn the_most_favoured_vno_is_not_moved_off_a_list_whose_month_it_has_paid() {
    let mut world = World::new();
    let mut set = |vno, name: &str, row| {
        let list = world.install(PriceListOwner::Broker, name, untaxed(name), vec![row]);
        let clauses = WholesaleClauses { is_most_favoured: true, ..WholesaleClauses::default() };
        let change = VnoChange {
            wholesale: Some(WholesaleTerms::PriceList(list)),
            clauses: Some(Box::new(clauses)),
            ..VnoChange::default()
        };
        world.administer(Administer::ChangeVno(vno, Box::new(change)));
    };
    set(VnoId::new(1), "cheaper", data_rate("0.03"));
    set(ARIA, "capped", capped(data_rate("0.04"), 1, None, Some("0.01")));
    world.subscriber(0, "+491511", "50.00");
    use_data(&mut world, 100);
    use_data(&mut world, 100);
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(ARIA)), amount("0.01"));
}

#[test]
fn a_cap_finer_than_the_rounding_is_reached_at_the_last_whole_step() {
    let mut world = World::new();
    let mut header = untaxed("rounded");
    header.rounding.digits = 2;
    world.retail(header, vec![capped(data_rate("0.10"), 1, Some("2.005"), None)]);
    let alice = world.subscriber(0, "+491511", "2.00");
    use_data(&mut world, 30);
    use_data(&mut world, 30);
    assert_eq!(world.balance(alice), Amount::ZERO);
}

#[test]
fn rates_of_one_counter_have_the_same_caps() {
    let mut dear = capped(data_rate("0.10"), 1, Some("2.00"), None);
    dear.rating_group = Some(7);
    let rows = [capped(data_rate("0.10"), 1, Some("3.00"), None), dear];
    let problems = PriceList::compile(untaxed("torn"), rows).expect_err("which of them holds?");
    let told = problems[0].to_string();
    assert_eq!(told, "rate 1, cap_counter: expected the same caps for all of counter 1");
}
