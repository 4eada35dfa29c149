//! Offers over time: fees in part, what rolls over, what becomes breakage, what renews beside what ends.

mod world;

use tandem_domain::catalogue::{Proration, Rollover, Scope};
use tandem_domain::command::*;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::period::{Period, WeeklyWindow};
use tandem_domain::quantity::Unit;
use tandem_domain::service::Service;
use tandem_domain::subscriber::Pays;
use world::{World, amount, eur, slug};

const VNO: VnoId = VnoId::new(0);
const MIB: u64 = 1 << 20;

struct Plan {
    period: Period,
    proration: Proration,
    rollover: Rollover,
}

const MONTHLY: Plan = Plan {
    period: Period::CalendarMonth,
    proration: Proration::Full,
    rollover: Rollover::OnePeriod(u64::MAX),
};

/// 1 GiB for 10.00, all of which is earned by its use.
fn publish(world: &mut World, name: &str, plan: &Plan) -> OfferId {
    let allowance = NewAllowance {
        name: "data".into(),
        unit: Unit::Octets,
        quantity: 1024 * MIB,
        scope: Scope::default(),
        priority: 0,
        rollover: plan.rollover,
        value: amount("10.00"),
    };
    let receipt = world.administer(Administer::PublishOffer(Box::new(NewOffer {
        vno: VNO,
        slug: slug(name),
        name: name.into(),
        one_time_fee: Amount::ZERO,
        recurring_fee: amount("10.00"),
        tax_basis_points: 0,
        period: Some(plan.period),
        validity_days: None,
        proration: plan.proration,
        allowances: vec![allowance],
        prices: None,
    })));
    match receipt {
        Receipt::Offer(id) => id,
        other => panic!("{other:?}"),
    }
}

fn subscribe(world: &mut World, id: SubscriberId, offer: OfferId) -> SubscriptionId {
    let order = Administer::Subscribe { subscriber: id, offer, account: None };
    match world.administer(order) {
        Receipt::Subscription(id) => id,
        other => panic!("{other:?}"),
    }
}

fn mib_left(world: &World, id: SubscriberId) -> u64 {
    let account = world.state.account(AccountId::new(id, 1)).expect("an account");
    let data = account.buckets.iter().filter(|bucket| bucket.unit == Unit::Octets);
    data.map(|bucket| u64::try_from(bucket.balance).expect("not below zero") / MIB).sum()
}

fn use_mib(world: &mut World, msisdn: &str, mib: u64) {
    let mut phone = world.request(msisdn, Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.close(mib * MIB)).expect("closed");
}

const DAY: u64 = 24 * 3600;

#[test]
fn what_is_left_stands_one_period_more_and_then_is_breakage() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "100.00");
    let offer = publish(&mut world, "monthly", &MONTHLY);
    subscribe(&mut world, alice, offer);
    use_mib(&mut world, "+491511", 24);
    world.wait(31 * DAY);
    // 1000 from the month before, 1024 of this one; the older ones go first.
    assert_eq!((mib_left(&world, alice), world.balance(alice)), (2024, amount("80.00")));
    use_mib(&mut world, "+491511", 500);
    world.wait(30 * DAY);
    assert_eq!(mib_left(&world, alice), 2048);
    let breakage = world.ledger(LedgerAccount::VnoBreakage(VNO));
    assert_eq!(breakage, amount("4.882812"), "500 of 1024 MiB for 10.00 were never used");
    world.assert_balanced();
}

#[test]
fn a_plan_that_ends_takes_nothing_of_one_that_renews_at_the_same_moment() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "100.00");
    let (first, second) =
        (publish(&mut world, "first", &MONTHLY), publish(&mut world, "second", &MONTHLY));
    let first = subscribe(&mut world, alice, first);
    subscribe(&mut world, alice, second);
    world.administer(Administer::CancelSubscription { id: first, at_once: false });
    use_mib(&mut world, "+491511", 24);
    world.wait(31 * DAY);
    // What was left of the first is gone; the second has its own of two months.
    let left = mib_left(&world, alice);
    assert!(left == 2048 || left == 2024, "{left}");
    assert_eq!(world.balance(alice), amount("70.00"));
    world.assert_balanced();
}

#[test]
fn a_period_of_days_from_a_broken_second_on_rolls_over_too() {
    let mut world = World::new();
    world.now = world.now.plus_millis(357);
    let alice = world.subscriber(0, "+491511", "100.00");
    let plan = Plan { period: Period::Days(7), ..MONTHLY };
    let offer = publish(&mut world, "weekly", &plan);
    subscribe(&mut world, alice, offer);
    use_mib(&mut world, "+491511", 24);
    // Timers fire when they are due, not only at whole days.
    for _ in 0..8 {
        world.wait(DAY);
    }
    world.wait(2);
    assert_eq!((mib_left(&world, alice), world.balance(alice)), (2024, amount("80.00")));
    world.assert_balanced();
}

#[test]
fn a_month_begun_late_is_paid_for_and_given_in_part() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "100.00");
    let plan = Plan { proration: Proration::Daily, rollover: Rollover::None, ..MONTHLY };
    let offer = publish(&mut world, "monthly", &plan);
    // 10 March: 22 of 31 days.
    subscribe(&mut world, alice, offer);
    assert_eq!(world.balance(alice), amount("100.00").saturating_sub(amount("7.096774")));
    assert_eq!(mib_left(&world, alice), 1024 * 22 / 31);
    world.wait(31 * DAY);
    assert_eq!(mib_left(&world, alice), 1024);
    world.assert_balanced();
}

#[test]
fn what_was_granted_is_charged_when_no_rule_names_a_payer_any_more() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let line = LineId::new(alice, 1);
    // The phone's clock in Berlin: 10:00.
    let by_day = WeeklyWindow { days: 0b111_1111, from_minute: 9 * 60, to_minute: 17 * 60 };
    let rule = NewPayerRule {
        account: AccountId::new(alice, 1),
        scope: Scope { window: Some(by_day), ..Scope::default() },
        pays: Pays::Everything,
    };
    let change = LineChange { payer_rules: Some(vec![rule]), ..LineChange::default() };
    world.administer(Administer::ChangeLine(line, Box::new(change)));
    world.wait(6 * 3600 + 3000);
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.wait(900);
    world.session(phone.close(100 * MIB)).expect("it is charged all the same");
    assert!(world.balance(alice) < amount("10.00"));
    assert_eq!(world.held(alice), Amount::ZERO);
    world.assert_balanced();
}

#[test]
fn amounts_that_could_burst_a_balance_are_refused() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let account = AccountId::new(alice, 1);
    let top_up =
        |money: &str| Administer::TopUp { account, money: eur(money), expires: None, note: None };
    let role = tandem_domain::access::Role::Broker;
    assert!(world.try_administer(role, top_up("1000000000.01")).is_err());
    assert!(world.try_administer(role, top_up("9000000000000.00")).is_err());
    let mut taken = 0;
    while world.try_administer(role, top_up("1000000000.00")).is_ok() {
        taken += 1;
        assert!(taken <= 4_000, "all of it together is bounded too");
    }
    // A report of more than anything could cost is not charged, and harms nothing.
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let _ = world.session(phone.close(5_000_000_000_000_000_000));
    world.assert_balanced();
}
