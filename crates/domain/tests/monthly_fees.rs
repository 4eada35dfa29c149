//! What a VNO owes the broker by the month: platform, lines, and what its use lacks to the minimum.

mod world;

use tandem_domain::access::Role;
use tandem_domain::command::*;
use tandem_domain::event::{Event, TransferKind};
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::monthly_fees::MonthlyFees;
use tandem_domain::party::Standing;
use tandem_domain::service::Service;
use tandem_domain::time::Timestamp;
use world::*;

const ARIA: VnoId = VnoId::new(0);

fn fees(platform: &str, line: &str, minimum: &str) -> VnoChange {
    let (platform, line, minimum) = (amount(platform), amount(line), amount(minimum));
    let fees = MonthlyFees { platform, line, minimum, ..MonthlyFees::default() };
    VnoChange { fees: Some(fees), ..VnoChange::default() }
}

/// On the 10th of March at ten in Berlin: 100.00 for the platform, 0.50 for a line, at least 5.00 of use.
fn begun() -> World {
    let mut world = World::new();
    world.administer(Administer::ChangeVno(ARIA, Box::new(fees("100.00", "0.50", "5.00"))));
    world
}

fn go_to(world: &mut World, text: &str) {
    world.now = text.parse::<Timestamp>().expect("a time");
    world.settle();
}

/// What was charged so far: kind, amount, note.
fn charged(world: &World) -> Vec<String> {
    let events = world.journal.iter().flat_map(|record| &record.events);
    let fees = events.filter_map(|event| match event {
        Event::Transferred(transfer) => match transfer.kind {
            TransferKind::PlatformFee | TransferKind::LineFees | TransferKind::MinimumShortfall => {
                Some(transfer)
            }
            _ => None,
        },
        _ => None,
    });
    fees.map(|fee| {
        let credit = LedgerAccount::VnoCredit(ARIA);
        let posting = fee.postings.iter().find(|one| one.account == credit).expect("the VNO's");
        let note = fee.note.as_deref().unwrap_or_default();
        format!("{} {} {note}", fee.kind.name(), posting.amount)
    })
    .collect()
}

#[test]
fn a_month_costs_the_platform_each_open_line_and_what_use_lacks_to_the_minimum() {
    let mut world = begun();
    world.subscriber(0, "+491511", "10.00");
    let gone = world.subscriber(0, "+491512", "0");
    // March is not a full month of it.
    go_to(&mut world, "2026-03-31T22:30:00Z");
    assert_eq!(charged(&world), [""; 0]);
    // Wholesale 0.04 for each of 15 MiB in April.
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.close(15 * MIB)).expect("closed");
    world.administer(Administer::ChangeSubscriber {
        id: gone,
        standing: Some(Standing::Closed),
        profile: None,
    });
    go_to(&mut world, "2026-04-30T21:59:59Z");
    assert_eq!(charged(&world), [""; 0], "April is not over in Berlin");
    go_to(&mut world, "2026-04-30T22:00:00Z");
    let april = [
        "platform_fee -100.00 2026-04",
        "line_fees -0.50 2026-04, 1 lines",
        "minimum_shortfall -4.40 2026-04",
    ];
    assert_eq!(charged(&world), april);
    assert_eq!(world.ledger(LedgerAccount::VnoCredit(ARIA)), amount("894.50"));
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(ARIA)), amount("105.50"));
    go_to(&mut world, "2026-05-15T00:00:00Z");
    assert_eq!(charged(&world).len(), 3, "once");
    world.assert_balanced();
}

#[test]
fn months_that_passed_in_a_standstill_are_charged_each_and_use_counts_once() {
    let mut world = begun();
    world.subscriber(0, "+491511", "20.00");
    go_to(&mut world, "2026-04-01T08:00:00Z");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    // 6.00 of wholesale: more than April's minimum.
    world.session(phone.close(150 * MIB)).expect("closed");
    go_to(&mut world, "2026-06-10T00:00:00Z");
    let both = [
        "platform_fee -100.00 2026-04",
        "line_fees -0.50 2026-04, 1 lines",
        "platform_fee -100.00 2026-05",
        "line_fees -0.50 2026-05, 1 lines",
        "minimum_shortfall -5.00 2026-05",
    ];
    assert_eq!(charged(&world), both);
    world.assert_balanced();
}

#[test]
fn fees_are_the_brokers_to_set_to_change_and_to_end() {
    let mut world = begun();
    let own = Administer::ChangeVno(ARIA, Box::new(fees("0", "0", "0")));
    assert_eq!(world.try_administer(Role::Vno(ARIA), own.clone()), Err(Refused::Forbidden));
    let negative = Administer::ChangeVno(ARIA, Box::new(fees("-1.00", "0", "0")));
    assert!(matches!(world.try_administer(Role::Broker, negative), Err(Refused::Invalid { .. })));
    // Dearer in the middle of a month: the month ends by the new ones.
    go_to(&mut world, "2026-04-20T00:00:00Z");
    world.administer(Administer::ChangeVno(ARIA, Box::new(fees("200.00", "0", "0"))));
    go_to(&mut world, "2026-05-02T00:00:00Z");
    assert_eq!(charged(&world), ["platform_fee -200.00 2026-04"]);
    world.administer(own);
    go_to(&mut world, "2026-08-02T00:00:00Z");
    assert_eq!(charged(&world).len(), 1);
    assert_eq!(world.state.registry.vno(ARIA).expect("a VNO").fees, None);
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(ARIA)), amount("200.00"));
}

#[test]
fn who_is_closed_when_a_month_ends_owes_nothing_for_it() {
    let mut world = begun();
    go_to(&mut world, "2026-05-01T00:00:00Z");
    let before = charged(&world).len();
    let closed = VnoChange { standing: Some(Standing::Closed), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(ARIA, Box::new(closed)));
    go_to(&mut world, "2026-08-01T00:00:00Z");
    assert_eq!(charged(&world).len(), before);
}
