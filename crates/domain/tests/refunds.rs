//! A refund that names its debit gives every party back what the debit took from it.

mod world;

use proptest::prelude::*;
use tandem_domain::charging::*;
use tandem_domain::command::{Administer, Command, Response, VnoChange};
use tandem_domain::event::Event;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::party::WholesaleTerms;
use tandem_domain::quantity::Unit;
use tandem_domain::service::{Direction, Service};
use tandem_domain::usage_record::UsageRecord;
use world::{MIB, World, amount};

const ARIA: VnoId = VnoId::new(0);

fn event(action: EventAction, msisdn: &str, key: &str, units: Option<u64>) -> EventRequest {
    EventRequest {
        action,
        key: key.as_bytes().into(),
        number: 0,
        peer: PeerId::new(0),
        identities: [Identity::parse(IdentityKind::Msisdn, msisdn).expect("a number")]
            .into_iter()
            .collect(),
        context: Context::new(Service::Data, Direction::Originating),
        group: GroupKey::default(),
        units: UnitCounts { octets: units, ..UnitCounts::default() },
        debit: None,
    }
}

fn send(world: &mut World, request: EventRequest) -> Result<EventAnswer, Declined> {
    match world.command(Command::Event(Box::new(request))) {
        Response::Event(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn debit(world: &mut World, octets: u64) -> SessionId {
    let debit = send(world, event(EventAction::Debit, "+491511", "debit", Some(octets)));
    debit.expect("charged").debit.expect("it is named")
}

/// What the books have of a debit.
fn read(world: &World, session: SessionId) -> NamedDebit {
    let mut record = None;
    for written in &world.journal {
        for event in &written.events {
            match event {
                Event::OneTimeCharged(charged, _) if charged.id == session => {
                    let charged = charged.as_ref().clone();
                    record = Some(UsageRecord::of(charged, written.at, EndCause::Event, None));
                }
                Event::Transferred(transfer) => {
                    let refunded = transfer.refunds.filter(|refunded| refunded.session == session);
                    if let (Some(record), Some(refunded)) = (&mut record, refunded) {
                        record.refunded = refunded.units;
                    }
                }
                _ => {}
            }
        }
    }
    NamedDebit { session, record: record.map(Box::new), read_at: world.now }
}

fn refund(
    world: &mut World,
    named: NamedDebit,
    key: &str,
    units: Option<u64>,
) -> Result<EventAnswer, Declined> {
    let request = event(EventAction::Refund, "+491511", key, units);
    send(world, EventRequest { debit: Some(named), ..request })
}

fn everybody(world: &World, alice: SubscriberId) -> Vec<Amount> {
    let accounts = [
        LedgerAccount::VnoRevenue(ARIA),
        LedgerAccount::VnoDeferred(ARIA),
        LedgerAccount::Tax(ARIA),
        LedgerAccount::VnoCredit(ARIA),
        LedgerAccount::BrokerRevenue(ARIA),
        LedgerAccount::CostOfService(ARIA),
        LedgerAccount::CarrierPayable(CarrierId::new(0)),
    ];
    let mut all: Vec<Amount> = accounts.into_iter().map(|one| world.ledger(one)).collect();
    all.push(world.balance(alice));
    let buckets = &world.state.account(AccountId::new(alice, 1)).expect("an account").buckets;
    all.extend(buckets.iter().map(|bucket| Amount::from_micros(bucket.balance)));
    all
}

#[test]
fn all_that_a_debit_took_from_anybody_comes_back_once() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let before = everybody(&world, alice);
    let session = debit(&mut world, 7 * MIB);
    assert_eq!(world.balance(alice), amount("9.167"), "0.70 and 19 % tax");
    let named = read(&world, session);
    let answer = refund(&mut world, named.clone(), "refund", None).expect("given back");
    assert_eq!(answer.cost.expect("told").amount, amount("0.833"));
    assert_eq!(everybody(&world, alice), before);
    world.assert_balanced();

    // The same request again is answered the same; another one finds nothing left, even if the books lagged.
    let repeated = refund(&mut world, named.clone(), "refund", None);
    assert_eq!(repeated, Ok(answer));
    assert_eq!(refund(&mut world, named, "second", None), Err(Declined::AmountOutOfRange));
    let named = read(&world, session);
    assert_eq!(refund(&mut world, named, "third", Some(1)), Err(Declined::AmountOutOfRange));
    assert_eq!(everybody(&world, alice), before);
}

#[test]
fn it_goes_by_what_the_debit_cost_and_not_by_todays_price() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let session = debit(&mut world, 10 * MIB);
    world.retail(world::taxed("dearer"), vec![world::data_rate("5.00")]);
    let named = read(&world, session);
    let answer = refund(&mut world, named, "refund", Some(5 * MIB)).expect("half of it");
    assert_eq!(answer.cost.expect("told").amount, amount("0.595"));
    assert_eq!(world.balance(alice), amount("9.405"));
}

#[test]
fn units_of_an_allowance_go_back_into_it_and_are_deferred_again() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "20.00");
    let offer = world.offer(0, "10.00", Unit::Octets, 20 * MIB, "10.00");
    world.administer(Administer::Subscribe { subscriber: alice, offer, account: None });
    let before = everybody(&world, alice);
    let session = debit(&mut world, 6 * MIB);
    assert_ne!(everybody(&world, alice), before);
    let named = read(&world, session);
    refund(&mut world, named, "refund", None).expect("given back");
    assert_eq!(everybody(&world, alice), before);
    world.assert_balanced();
}

#[test]
fn only_who_debited_gives_back_and_only_what_the_books_have_just_told() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    world.subscriber(0, "+491512", "10.00");
    let session = debit(&mut world, 7 * MIB);
    let after = everybody(&world, alice);
    let named = read(&world, session);
    let request = event(EventAction::Refund, "+491512", "theirs", None);
    let of_another = EventRequest { debit: Some(named.clone()), ..request };
    assert_eq!(send(&mut world, of_another), Err(Declined::UnknownDebit));
    let mut of_another = named.clone();
    of_another.record.as_mut().expect("found").session.carrier = CarrierId::new(1);
    assert_eq!(refund(&mut world, of_another, "carrier", None), Err(Declined::UnknownDebit));
    let missing = NamedDebit { record: None, ..named.clone() };
    assert_eq!(refund(&mut world, missing, "missing", None), Err(Declined::UnknownDebit));
    assert_eq!(
        refund(&mut world, named.clone(), "much", Some(8 * MIB)),
        Err(Declined::AmountOutOfRange)
    );
    world.wait(61);
    assert_eq!(refund(&mut world, named, "old", None), Err(Declined::UnknownDebit));
    assert_eq!(everybody(&world, alice), after);
}

proptest! {
    #[test]
    fn giving_back_in_parts_gives_back_what_giving_back_at_once_does(
        used in 3u64..50 * MIB,
        permille in 0u64..1000,
        derived in any::<bool>(),
    ) {
        let mut world = World::new();
        if derived {
            let wholesale = Some(WholesaleTerms::RetailMinus(3_333));
            let change = VnoChange { wholesale, ..VnoChange::default() };
            world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
        }
        let alice = world.subscriber(0, "+491511", "100.00");
        let before = everybody(&world, alice);
        let session = debit(&mut world, used);
        let first = (used * permille / 1000).clamp(1, used - 1);
        for (key, units) in [("first", Some(first)), ("rest", None)] {
            let named = read(&world, session);
            prop_assert!(refund(&mut world, named, key, units).is_ok());
            world.assert_balanced();
        }
        prop_assert_eq!(everybody(&world, alice), before);
    }
}
