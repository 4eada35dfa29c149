//! What is agreed between a VNO and the broker beside the price of each use: pools, capacity, the best terms, a
//! minimum that rolls over, a maximum, fees that are charged once.

mod world;

use tandem_domain::access::Role;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::charging::{
    Declined, GroupKey, SessionRequest, TariffChange, UnitCounts, UsedUnits,
};
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
use tandem_domain::wholesale::{Capacity, Pool, WholesaleClauses};
use world::*;

const ARIA: VnoId = VnoId::new(0);
const BRAVA: VnoId = VnoId::new(1);

fn agree(world: &mut World, vno: VnoId, clauses: WholesaleClauses) {
    let change = VnoChange { clauses: Some(Box::new(clauses)), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(vno, Box::new(change)));
}

fn pool_of(per_line: u64) -> WholesaleClauses {
    WholesaleClauses {
        pools: vec![Pool { unit: Unit::Octets, per_line }],
        ..WholesaleClauses::default()
    }
}

fn capacity(service: Service, sessions: u32, burst_fee: Option<&str>) -> WholesaleClauses {
    let burst_fee = burst_fee.map(amount);
    WholesaleClauses {
        capacities: vec![Capacity { service, sessions, burst_fee }],
        ..WholesaleClauses::default()
    }
}

/// What the VNO has paid the broker so far.
fn paid(world: &World, vno: VnoId) -> Amount {
    world.ledger(LedgerAccount::BrokerRevenue(vno))
}

fn use_data(world: &mut World, msisdn: &str, reports: &[u64]) {
    let mut phone = world.request(msisdn, Service::Data);
    world.session(phone.open()).expect("opened");
    let (last, first) = reports.split_last().expect("a report");
    for octets in first {
        world.session(phone.report(*octets)).expect("reported");
    }
    world.session(phone.close(*last)).expect("closed");
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
    agree(&mut world, ARIA, pool_of(10 * MIB));
    world.subscriber(0, "+491511", "50.00");
    world.subscriber(0, "+491512", "50.00");
    // One line takes more than it brought, the pool has it: 20 MiB for two lines.
    use_data(&mut world, "+491511", &[15 * MIB]);
    assert_eq!(paid(&world, ARIA), Amount::ZERO);
    // Carrier and subscriber are charged as ever.
    assert_eq!(world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0))), amount("0.30"));
    // The session that crosses the edge pays what is beyond: 8 - 5 MiB at 0.04.
    use_data(&mut world, "+491512", &[8 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.12"));
    // A third line makes room for ten more.
    world.subscriber(0, "+491513", "50.00");
    use_data(&mut world, "+491513", &[11 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.16"));
    // The next month, in Berlin, everything is there again.
    go_to(&mut world, "2026-03-31T22:00:00Z");
    use_data(&mut world, "+491511", &[30 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.16"));
    use_data(&mut world, "+491511", &[MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.20"));
    world.assert_balanced();
}

#[test]
fn the_same_use_in_any_number_of_reports_takes_the_same_of_pool_and_money() {
    for reports in [1u64, 7, 100] {
        let mut world = World::new();
        agree(&mut world, ARIA, pool_of(10 * MIB));
        world.subscriber(0, "+491511", "50.00");
        let mut parts = vec![14 * MIB / reports; reports as usize];
        parts[0] += 14 * MIB % reports;
        use_data(&mut world, "+491511", &parts);
        assert_eq!(paid(&world, ARIA), amount("0.16"), "in {reports}");
    }
}

#[test]
fn what_is_granted_of_a_pool_is_reserved_and_needs_no_money() {
    let mut world = World::new();
    agree(&mut world, ARIA, pool_of(10 * MIB));
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
    assert_eq!(paid(&world, ARIA), Amount::ZERO);
}

#[test]
fn beyond_the_capacity_a_session_is_refused_until_another_ends() {
    let mut world = World::new();
    agree(&mut world, ARIA, capacity(Service::Data, 2, None));
    world.subscriber(0, "+491511", "50.00");
    let mut first = world.request("+491511", Service::Data);
    world.session(first.open()).expect("opened");
    let mut second = world.request("+491511", Service::Data);
    world.session(second.open()).expect("opened");
    let mut third = world.request("+491511", Service::Data);
    assert_eq!(world.session(third.open()), Err(Declined::CapacityReached));
    // Calls are another service, other VNOs have their own.
    let mut call = world.request("+491511", Service::Voice);
    world.session(call.open()).expect("opened");
    world.subscriber(1, "+491521", "50.00");
    let mut other = world.request("+491521", Service::Data);
    world.session(other.open()).expect("opened");
    world.session(first.close(MIB)).expect("closed");
    let mut third = world.request("+491511", Service::Data);
    world.session(third.open()).expect("opened");
    // A session that falls silent leaves its place, too.
    world.wait(100_000);
    let mut later = world.request("+491511", Service::Data);
    world.session(later.open()).expect("opened");
}

#[test]
fn beyond_the_capacity_a_session_costs_its_fee_once_it_is_used() {
    let mut world = World::new();
    agree(&mut world, ARIA, capacity(Service::Data, 1, Some("0.50")));
    world.subscriber(0, "+491511", "50.00");
    let mut first = world.request("+491511", Service::Data);
    world.session(first.open()).expect("opened");
    let mut second = world.request("+491511", Service::Data);
    world.session(second.open()).expect("opened");
    let mut unused = world.request("+491511", Service::Data);
    world.session(unused.open()).expect("opened");
    assert_eq!(paid(&world, ARIA), Amount::ZERO);
    world.session(unused.close(0)).expect("closed");
    world.session(second.report(MIB)).expect("reported");
    assert_eq!(paid(&world, ARIA), amount("0.54"));
    world.session(second.close(MIB)).expect("closed");
    world.session(first.close(MIB)).expect("closed");
    assert_eq!(paid(&world, ARIA), amount("0.62"), "once, and not for the first");
    let records = world.journal.iter().flat_map(|record| &record.events);
    let closed = records.filter(|event| matches!(event, Event::SessionClosed(..))).count();
    assert_eq!(closed, 3);
    world.assert_balanced();
}

#[test]
fn whichever_part_of_the_session_is_used_first_owes_the_fee() {
    let mut world = World::new();
    agree(&mut world, ARIA, capacity(Service::Data, 0, Some("0.50")));
    world.subscriber(0, "+491511", "50.00");
    let group = |number| GroupKey { rating_group: Some(number), service_identifier: None };
    // The gateway opens without naming a group, then asks for two and uses the second, then both.
    let mut phone = world.request("+491511", Service::Data);
    let mut opening = phone.open();
    opening.groups.clear();
    world.session(opening).expect("opened");
    for number in [10, 20] {
        let mut asking = phone.report(0);
        asking.groups[0].key = group(number);
        world.session(asking).expect("granted");
    }
    assert_eq!(paid(&world, ARIA), Amount::ZERO);
    for (number, expected) in [(20, "0.54"), (10, "0.58"), (20, "0.62")] {
        let mut report = phone.report(MIB);
        report.groups[0].key = group(number);
        world.session(report).expect("reported");
        assert_eq!(paid(&world, ARIA), amount(expected));
        world.assert_balanced();
    }
    // What cannot be charged in full is not charged in part, and the fee is not forgotten.
    let mut phone = world.request("+491511", Service::Data);
    let mut wrong = phone.open();
    wrong.groups[0].used.push(UsedUnits {
        counts: UnitCounts { seconds: Some(1), ..UnitCounts::default() },
        tariff_change: TariffChange::Indeterminate,
    });
    let mut good = wrong.groups[0].clone();
    (good.key, good.used) = (group(30), Default::default());
    wrong.groups.push(good);
    world.session(wrong).expect("one of the two is granted");
    let mut report = phone.report(MIB);
    report.groups[0].key = group(30);
    world.session(report).expect("reported");
    assert_eq!(paid(&world, ARIA), amount("1.16"));
    world.assert_balanced();
}

#[test]
fn a_fee_beyond_the_capacity_needs_the_vnos_cover() {
    let mut world = World::new();
    agree(&mut world, ARIA, capacity(Service::Data, 0, Some("5.00")));
    world.subscriber(0, "+491511", "50.00");
    world.administer(Administer::Deposit { vno: ARIA, money: eur("-995.10"), note: None });
    let mut phone = world.request("+491511", Service::Data);
    assert_eq!(world.session(phone.open()), Err(Declined::CapacityReached), "4.90 of 5.00");
    let is_shut = |world: &World| world.state.tally(ARIA).expect("a VNO").credit_exhausted;
    assert!(!is_shut(&world), "that says nothing about sessions within the capacity");
    world.administer(Administer::Deposit { vno: ARIA, money: eur("0.20"), note: None });
    let mut phone = world.request("+491511", Service::Data);
    let octets = granted(&world.session(phone.open()));
    assert_eq!(octets / (MIB / 2), 5, "0.10 are left for use at 0.04");
    world.session(phone.close(octets)).expect("closed");
    assert!(!world.ledger(LedgerAccount::VnoCredit(ARIA)).is_negative());
    world.assert_balanced();
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
    use_data(&mut world, "+491511", &[10 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.40"), "nobody promised it more");
    agree(
        &mut world,
        ARIA,
        WholesaleClauses { is_most_favoured: true, ..WholesaleClauses::default() },
    );
    use_data(&mut world, "+491511", &[10 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.70"));
    // A minute is dearer there, a message is not on that list: its own price holds.
    let mut call = world.request("+491511", Service::Voice);
    world.session(call.open()).expect("opened");
    world.session(call.close(60)).expect("closed");
    assert_eq!(paid(&world, ARIA), amount("0.74"));
    let mut message = world.request("+491511", Service::Message);
    world.session(message.open()).expect("opened");
    world.session(message.close(1)).expect("closed");
    assert_eq!(paid(&world, ARIA), amount("0.76"));
    // What brava pays is not lessened by it.
    world.subscriber(1, "+491521", "50.00");
    use_data(&mut world, "+491521", &[10 * MIB]);
    assert_eq!(paid(&world, BRAVA), amount("0.30"));
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
    agree(&mut world, ARIA, clauses);
    world.subscriber(0, "+491511", "50.00");
    // Ten free like the other's, and after them not the other's dearer step, but its own price.
    use_data(&mut world, "+491511", &[10 * MIB]);
    assert_eq!(paid(&world, ARIA), Amount::ZERO);
    use_data(&mut world, "+491511", &[10 * MIB]);
    assert_eq!(paid(&world, ARIA), amount("0.40"));
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
            use_data(world, "+491511", &[mebibytes * MIB]);
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
    assert_eq!(paid(&world, ARIA), amount("23.00"));
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
    use_data(&mut world, "+491511", &[500 * MIB]);
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
    assert_eq!(paid(&world, ARIA), amount("62.50"));
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
    let voice = Capacity { service: Service::Voice, sessions: 1, burst_fee: None };
    let none = WholesaleClauses::default;
    let wrong = [
        WholesaleClauses { pools: vec![twice, twice], ..none() },
        WholesaleClauses { pools: vec![Pool { unit: Unit::Money, per_line: 1 }], ..none() },
        pool_of(u64::MAX),
        WholesaleClauses { capacities: vec![voice, voice], ..none() },
        capacity(Service::Message, 1, None),
        capacity(Service::Data, 1, Some("-0.01")),
    ];
    for clauses in wrong {
        let change = VnoChange { clauses: Some(Box::new(clauses.clone())), ..VnoChange::default() };
        let order = Administer::ChangeVno(ARIA, Box::new(change));
        let refused = world.try_administer(Role::Broker, order);
        assert!(matches!(refused, Err(Refused::Invalid { .. })), "{clauses:?}");
    }
    // A pool has no price to stand in for where use is priced by the retail charge.
    agree(&mut world, ARIA, pool_of(MIB));
    let change =
        VnoChange { wholesale: Some(WholesaleTerms::RetailMinus(4_000)), ..VnoChange::default() };
    let order = Administer::ChangeVno(ARIA, Box::new(change));
    let refused = world.try_administer(Role::Broker, order);
    assert!(matches!(refused, Err(Refused::Invalid { .. })));
}
