//! What a VNO may have at once, by agreement with the broker: sessions, and what they carry together.

mod world;

use tandem_domain::access::Role;
use tandem_domain::charging::{Declined, GroupKey, TariffChange, UnitCounts, UsedUnits};
use tandem_domain::command::*;
use tandem_domain::event::Event;
use tandem_domain::identifier::VnoId;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::service::Service;
use tandem_domain::wholesale::{Capacity, WholesaleClauses};
use world::*;

const ARIA: VnoId = VnoId::new(0);

fn capacity(service: Service, sessions: u32, burst_fee: Option<&str>) -> WholesaleClauses {
    let burst_fee = burst_fee.map(amount);
    WholesaleClauses {
        capacities: vec![Capacity {
            service,
            sessions: Some(sessions),
            burst_fee,
            kilobits_per_second: None,
        }],
        ..WholesaleClauses::default()
    }
}

fn throughput(kilobits_per_second: u32, burst_fee: Option<&str>) -> WholesaleClauses {
    let mut clauses = capacity(Service::Data, 0, burst_fee);
    clauses.capacities[0].sessions = None;
    clauses.capacities[0].kilobits_per_second = Some(kilobits_per_second);
    clauses
}

/// Is a further data session refused?
fn is_reached(world: &mut World) -> bool {
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()) == Err(Declined::CapacityReached)
}

#[test]
fn beyond_the_capacity_a_session_is_refused_until_another_ends() {
    let mut world = World::new();
    world.agree(ARIA, capacity(Service::Data, 2, None));
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
fn beyond_what_all_sessions_may_carry_together_a_further_one_is_refused_until_they_carry_less() {
    let mut world = World::new();
    world.wait(300 - world.now.seconds().unsigned_abs() % 300);
    // A megabit a second is 37.5 megabytes in five minutes.
    world.agree(ARIA, throughput(1000, None));
    world.subscriber(0, "+491511", "50.00");
    let mut phones = [(); 3].map(|()| world.request("+491511", Service::Data));
    for phone in &mut phones {
        world.session(phone.open()).expect("opened");
    }
    let [mut first, mut second, mut third] = phones;
    world.session(first.report(20_000_000)).expect("reported");
    world.wait(100);
    world.session(second.report(17_000_000)).expect("reported");
    assert!(!is_reached(&mut world), "0.99 megabits a second");
    world.session(third.close(500_000)).expect("closed");
    assert!(is_reached(&mut world));
    // Who is connected goes on; calls are not data, other VNOs have their own.
    world.session(first.report(1_000_000)).expect("reported");
    let mut call = world.request("+491511", Service::Voice);
    world.session(call.open()).expect("opened");
    world.subscriber(1, "+491521", "50.00");
    let mut other = world.request("+491521", Service::Data);
    world.session(other.open()).expect("opened");
    // 38.5 megabytes of the five minutes before: after an eighth of the next they are 33.7.
    world.wait(200);
    assert!(is_reached(&mut world));
    world.wait(38);
    assert!(!is_reached(&mut world));
    world.session(first.report(4_000_000)).expect("reported");
    assert!(is_reached(&mut world));
    world.wait(400);
    assert!(!is_reached(&mut world));
}

#[test]
fn what_was_used_in_silence_is_carried_when_it_is_reported_and_a_clock_that_is_set_back_begins_anew()
 {
    let mut world = World::new();
    world.agree(ARIA, throughput(1000, None));
    world.subscriber(0, "+491511", "50.00");
    let mut silent = [(); 2].map(|()| world.request("+491511", Service::Data));
    for phone in &mut silent {
        world.session(phone.open()).expect("opened");
    }
    world.wait(100_000);
    let [mut goes_on, mut ends] = silent;
    world.session(goes_on.report(20_000_000)).expect("charged");
    assert!(!is_reached(&mut world));
    world.session(ends.close(20_000_000)).expect("charged");
    assert!(is_reached(&mut world));
    world.session(goes_on.report(40_000_000)).expect("charged");
    world.now = world.now.plus_millis(-3_600_000);
    assert!(!is_reached(&mut world));
    world.session(goes_on.report(40_000_000)).expect("charged");
    assert!(is_reached(&mut world));
}

#[test]
fn with_a_fee_what_goes_beyond_the_throughput_is_carried_and_paid_for() {
    let mut world = World::new();
    world.agree(ARIA, throughput(100, Some("0.50")));
    world.subscriber(0, "+491511", "50.00");
    world.use_data("+491511", &[4 * MIB]);
    assert_eq!(world.paid(ARIA), amount("0.16"));
    world.use_data("+491511", &[MIB]);
    assert_eq!(world.paid(ARIA), amount("0.70"), "0.04 and the fee");
    world.wait(600);
    world.use_data("+491511", &[MIB]);
    assert_eq!(world.paid(ARIA), amount("0.74"));
    world.assert_balanced();
}

#[test]
fn beyond_the_capacity_a_session_costs_its_fee_once_it_is_used() {
    let mut world = World::new();
    world.agree(ARIA, capacity(Service::Data, 1, Some("0.50")));
    world.subscriber(0, "+491511", "50.00");
    let mut first = world.request("+491511", Service::Data);
    world.session(first.open()).expect("opened");
    let mut second = world.request("+491511", Service::Data);
    world.session(second.open()).expect("opened");
    let mut unused = world.request("+491511", Service::Data);
    world.session(unused.open()).expect("opened");
    assert_eq!(world.paid(ARIA), Amount::ZERO);
    world.session(unused.close(0)).expect("closed");
    world.session(second.report(MIB)).expect("reported");
    assert_eq!(world.paid(ARIA), amount("0.54"));
    world.session(second.close(MIB)).expect("closed");
    world.session(first.close(MIB)).expect("closed");
    assert_eq!(world.paid(ARIA), amount("0.62"), "once, and not for the first");
    let records = world.journal.iter().flat_map(|record| &record.events);
    let closed = records.filter(|event| matches!(event, Event::SessionClosed(..))).count();
    assert_eq!(closed, 3);
    world.assert_balanced();
}

#[test]
fn whichever_part_of_the_session_is_used_first_owes_the_fee() {
    let mut world = World::new();
    world.agree(ARIA, capacity(Service::Data, 0, Some("0.50")));
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
    assert_eq!(world.paid(ARIA), Amount::ZERO);
    for (number, expected) in [(20, "0.54"), (10, "0.58"), (20, "0.62")] {
        let mut report = phone.report(MIB);
        report.groups[0].key = group(number);
        world.session(report).expect("reported");
        assert_eq!(world.paid(ARIA), amount(expected));
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
    assert_eq!(world.paid(ARIA), amount("1.16"));
    world.assert_balanced();
}

#[test]
fn a_fee_beyond_the_capacity_needs_the_vnos_cover() {
    let mut world = World::new();
    world.agree(ARIA, capacity(Service::Data, 0, Some("5.00")));
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
fn a_capacity_that_contradicts_itself_is_refused() {
    let mut world = World::new();
    let voice = capacity(Service::Voice, 1, None).capacities[0];
    let of = |capacities| WholesaleClauses { capacities, ..WholesaleClauses::default() };
    let wrong = [
        of(vec![voice, voice]),
        of(vec![Capacity { sessions: None, ..voice }]),
        of(vec![Capacity { kilobits_per_second: Some(1), ..voice }]),
        capacity(Service::Message, 1, None),
        capacity(Service::Data, 1, Some("-0.01")),
    ];
    for clauses in wrong {
        let change = VnoChange { clauses: Some(Box::new(clauses.clone())), ..VnoChange::default() };
        let order = Administer::ChangeVno(ARIA, Box::new(change));
        let refused = world.try_administer(Role::Broker, order);
        assert!(matches!(refused, Err(Refused::Invalid { .. })), "{clauses:?}");
    }
}
