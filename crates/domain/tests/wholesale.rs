//! What is agreed between a VNO and the broker beside the price of each use: pools, the best terms, a minimum that
//! rolls over, a maximum, fees that are charged once.

mod world;

use tandem_domain::access::Role;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::charging::{Declined, SessionRequest, UnitCounts};
use tandem_domain::command::*;
use tandem_domain::event::{Event, TransferKind};
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::monthly_fees::MonthlyFees;
use tandem_domain::party::WholesaleTerms;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{Price, Progression, Step};
use tandem_domain::service::Service;
use tandem_domain::time::Timestamp;
use tandem_domain::wholesale::{Pool, WholesaleClauses};
use world::*;

const ARIA: VnoId = VnoId::new(0);
const BRAVA: VnoId = VnoId::new(1);

fn pool_of(per_line: u64) -> WholesaleClauses {
    WholesaleClauses {
        pools: vec![Pool { unit: Unit::Octets, per_line }],
        ..WholesaleClauses::default()
    }
}

/// Opens and asks for so much.
fn asking(phone: &mut Phone, octets: u64) -> SessionRequest {
    let mut request = phone.open();
    request.groups[0].requested =
        Some(UnitCounts { octets: Some(octets), ..UnitCounts::default() });
    request
}

fn go_to(world: &mut World, text: &str) {
    world.now = text.parse::<Timestamp>().expect("a time");
    world.settle();
}

#[test]
fn every_line_brings_its_part_into_a_pool_that_all_lines_use() {
    let mut world = World::new();
    world.agree(ARIA, pool_of(10 * MIB));
    world.subscriber(0, "+491511", "50.00");
    world.subscriber(0, "+491512", "50.00");
    // One line takes more than it brought, the pool has it: 20 MiB for two lines.
    world.use_data("+491511", &[15 * MIB]);
    assert_eq!(world.paid(ARIA), Amount::ZERO);
    // Carrier and subscriber are charged as ever.
    assert_eq!(world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0))), amount("0.30"));
    // The session that crosses the edge pays what is beyond: 8 - 5 MiB at 0.04.
    world.use_data("+491512", &[8 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.12"));
    // A third line makes room for ten more.
    world.subscriber(0, "+491513", "50.00");
    world.use_data("+491513", &[11 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.16"));
    // The next month, in Berlin, everything is there again.
    go_to(&mut world, "2026-03-31T22:00:00Z");
    world.use_data("+491511", &[30 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.16"));
    world.use_data("+491511", &[MIB]);
    assert_eq!(world.paid(ARIA), amount("0.20"));
    world.assert_balanced();
}

#[test]
fn the_same_use_in_any_number_of_reports_takes_the_same_of_pool_and_money() {
    for reports in [1u64, 7, 100] {
        let mut world = World::new();
        world.agree(ARIA, pool_of(10 * MIB));
        world.subscriber(0, "+491511", "50.00");
        let mut parts = vec![14 * MIB / reports; reports as usize];
        parts[0] += 14 * MIB % reports;
        world.use_data("+491511", &parts);
        assert_eq!(world.paid(ARIA), amount("0.16"), "in {reports}");
    }
}

#[test]
fn what_is_granted_of_a_pool_is_reserved_and_needs_no_money() {
    let mut world = World::new();
    world.agree(ARIA, pool_of(10 * MIB));
    world.subscriber(0, "+491511", "50.00");
    // The VNO's own money is gone; what the pool holds is paid for.
    world.administer(Administer::Deposit { vno: ARIA, money: eur("-1000.00"), note: None });
    let mut first = world.request("+491511", Service::Data);
    assert_eq!(granted(&world.session(asking(&mut first, 6 * MIB))), 6 * MIB);
    let mut second = world.request("+491511", Service::Data);
    let answer = world.session(asking(&mut second, 6 * MIB));
    assert_eq!(granted(&answer), 4 * MIB, "what the first does not hold");
    let mut third = world.request("+491511", Service::Data);
    assert_eq!(world.session(asking(&mut third, MIB)), Err(Declined::VnoCreditExhausted));
    let is_shut = world.state.tally(ARIA).expect("a VNO").credit_exhausted;
    assert!(!is_shut && world.state.sweeps.is_empty(), "what is in the pool is paid for");
    world.assert_balanced();
    world.session(first.close(6 * MIB)).expect("closed");
    world.session(second.close(MIB)).expect("closed");
    world.assert_balanced();
    assert_eq!(world.paid(ARIA), Amount::ZERO);
}

#[test]
fn the_most_favoured_vno_pays_what_the_best_served_one_pays() {
    let mut world = World::new();
    let better = world.install(
        PriceListOwner::Broker,
        "better",
        untaxed("better"),
        vec![data_rate("0.03"), voice_rate("0.05", 1, 1)],
    );
    let terms = |list| VnoChange {
        wholesale: Some(WholesaleTerms::PriceList(list)),
        ..VnoChange::default()
    };
    world.administer(Administer::ChangeVno(BRAVA, Box::new(terms(better))));
    world.subscriber(0, "+491511", "50.00");
    world.use_data("+491511", &[10 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.40"), "nobody promised it more");
    world.agree(ARIA, WholesaleClauses { is_most_favoured: true, ..WholesaleClauses::default() });
    world.use_data("+491511", &[10 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.70"));
    // A minute is dearer there, a message is not on that list: its own price holds.
    let mut call = world.request("+491511", Service::Voice);
    world.session(call.open()).expect("opened");
    world.session(call.close(60)).expect("closed");
    assert_eq!(world.paid(ARIA), amount("0.74"));
    let mut message = world.request("+491511", Service::Message);
    world.session(message.open()).expect("opened");
    world.session(message.close(1)).expect("closed");
    assert_eq!(world.paid(ARIA), amount("0.76"));
    // What brava pays is not lessened by it.
    world.subscriber(1, "+491521", "50.00");
    world.use_data("+491521", &[10 * MIB]);
    assert_eq!(world.paid(BRAVA), amount("0.30"));
    world.assert_balanced();
}

#[test]
fn the_most_favoured_vno_compares_where_it_stands_on_each_list() {
    let mut world = World::new();
    let mut tiers = Price::flat(Unit::Octets, MIB, Amount::ZERO);
    tiers.steps.push(Step { from: 10 * MIB, price: amount("0.09") });
    tiers.progression = Progression::Graduated(1);
    let pool = rate(Service::Data, tiers);
    let first_free = world.install(PriceListOwner::Broker, "free", untaxed("free"), vec![pool]);
    let terms = VnoChange {
        wholesale: Some(WholesaleTerms::PriceList(first_free)),
        ..VnoChange::default()
    };
    world.administer(Administer::ChangeVno(BRAVA, Box::new(terms)));
    let clauses = WholesaleClauses { is_most_favoured: true, ..WholesaleClauses::default() };
    world.agree(ARIA, clauses);
    world.subscriber(0, "+491511", "50.00");
    // Ten free like the other's, and after them not the other's dearer step, but its own price.
    world.use_data("+491511", &[10 * MIB]);
    assert_eq!(world.paid(ARIA), Amount::ZERO);
    world.use_data("+491511", &[10 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.40"));
}

fn transfers(world: &World, kinds: &[TransferKind]) -> Vec<String> {
    let events = world.journal.iter().flat_map(|record| &record.events);
    let chosen = events.filter_map(|event| match event {
        Event::Transferred(transfer) if kinds.contains(&transfer.kind) => Some(transfer),
        _ => None,
    });
    chosen
        .map(|one| {
            let credit = LedgerAccount::VnoCredit(ARIA);
            let posting = one.postings.iter().find(|one| one.account == credit).expect("the VNO's");
            let note = one.note.as_deref().unwrap_or_default();
            format!("{} {} {note}", one.kind.name(), posting.amount)
        })
        .collect()
}

#[test]
fn a_shortfall_that_rolls_over_comes_back_out_of_the_next_months_use() {
    let mut world = World::new();
    let fees = MonthlyFees {
        minimum: amount("5.00"),
        maximum: Some(amount("8.00")),
        rolls_over: true,
        ..MonthlyFees::default()
    };
    let change = VnoChange { fees: Some(fees), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
    world.subscriber(0, "+491511", "200.00");
    let month = |world: &mut World, from: &str, mebibytes: u64| {
        go_to(world, from);
        if mebibytes > 0 {
            world.use_data("+491511", &[mebibytes * MIB]);
        }
    };
    // April: 2.00 of use. May: 6.00, one above the minimum. June: none. July: 20.00, far above.
    month(&mut world, "2026-04-02T00:00:00Z", 50);
    month(&mut world, "2026-05-02T00:00:00Z", 150);
    month(&mut world, "2026-06-02T00:00:00Z", 0);
    month(&mut world, "2026-07-02T00:00:00Z", 500);
    month(&mut world, "2026-08-02T00:00:00Z", 0);
    let kinds = [
        TransferKind::MinimumShortfall,
        TransferKind::ShortfallCredit,
        TransferKind::MaximumCredit,
    ];
    let expected = [
        "minimum_shortfall -3.00 2026-04",
        "shortfall_credit 1.00 2026-05",
        "minimum_shortfall -5.00 2026-06",
        "shortfall_credit 5.00 2026-07",
        "maximum_credit 7.00 2026-07",
    ];
    assert_eq!(transfers(&world, &kinds), expected);
    // April to July: 5, 5, 5 and 8, and what June paid ahead for July comes off.
    assert_eq!(world.paid(ARIA), amount("23.00"));
    world.assert_balanced();
}

#[test]
fn what_is_charged_once_is_no_use_and_what_comes_back_opens_the_gate() {
    let mut world = World::new();
    let fees = MonthlyFees {
        minimum: amount("5.00"),
        maximum: Some(amount("6.00")),
        ..MonthlyFees::default()
    };
    let change = VnoChange { fees: Some(fees), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
    world.subscriber(0, "+491511", "200.00");
    let charge = |money| Administer::ChargeVno { vno: ARIA, money: eur(money), note: None };
    go_to(&mut world, "2026-04-02T00:00:00Z");
    world.administer(charge("100.00"));
    go_to(&mut world, "2026-05-02T00:00:00Z");
    let kinds = [TransferKind::MinimumShortfall, TransferKind::MaximumCredit];
    assert_eq!(transfers(&world, &kinds), ["minimum_shortfall -5.00 2026-04"]);
    // May: all its money but some is used up, and the rest is charged away.
    world.use_data("+491511", &[500 * MIB]);
    world.administer(charge("875.00"));
    let mut phone = world.request("+491511", Service::Data);
    assert_eq!(world.session(phone.open()), Err(Declined::VnoCreditExhausted));
    go_to(&mut world, "2026-06-02T00:00:00Z");
    assert_eq!(transfers(&world, &kinds)[1], "maximum_credit 14.00 2026-05");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("there is money again");
    world.assert_balanced();
}

#[test]
fn a_fee_is_charged_once_and_by_the_broker_only() {
    let mut world = World::new();
    let charge = |money| Administer::ChargeVno { vno: ARIA, money, note: Some("50 SIMs".into()) };
    world.administer(charge(eur("62.50")));
    assert_eq!(transfers(&world, &[TransferKind::VnoCharge]), ["vno_charge -62.50 50 SIMs"]);
    assert_eq!(world.paid(ARIA), amount("62.50"));
    let by_itself = world.try_administer(Role::Vno(ARIA), charge(eur("1.00")));
    assert_eq!(by_itself, Err(Refused::Forbidden));
    for wrong in ["0", "-1.00"] {
        let refused = world.try_administer(Role::Broker, charge(eur(wrong)));
        assert!(matches!(refused, Err(Refused::Invalid { .. })), "{wrong}");
    }
    world.assert_balanced();
}

#[test]
fn clauses_that_contradict_themselves_are_refused() {
    let mut world = World::new();
    let twice = Pool { unit: Unit::Octets, per_line: 1 };
    let none = WholesaleClauses::default;
    let wrong = [
        WholesaleClauses { pools: vec![twice, twice], ..none() },
        WholesaleClauses { pools: vec![Pool { unit: Unit::Money, per_line: 1 }], ..none() },
        pool_of(u64::MAX),
    ];
    for clauses in wrong {
        let change = VnoChange { clauses: Some(Box::new(clauses.clone())), ..VnoChange::default() };
        let order = Administer::ChangeVno(ARIA, Box::new(change));
        let refused = world.try_administer(Role::Broker, order);
        assert!(matches!(refused, Err(Refused::Invalid { .. })), "{clauses:?}");
    }
    // A pool has no price to stand in for where use is priced by the retail charge.
    world.agree(ARIA, pool_of(MIB));
    let change =
        VnoChange { wholesale: Some(WholesaleTerms::RetailMinus(4_000)), ..VnoChange::default() };
    let order = Administer::ChangeVno(ARIA, Box::new(change));
    let refused = world.try_administer(Role::Broker, order);
    assert!(matches!(refused, Err(Refused::Invalid { .. })));
}
