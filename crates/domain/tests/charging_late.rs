//! A switch that was silent too long and is heard of again: what it used meanwhile is charged, once.

mod world;

use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::event::Event;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::party::Standing;
use tandem_domain::service::Service;
use world::*;

/// Twice the validity and the grace.
const SILENCE: u64 = 2 * 3600 + 31;

/// Alice has 10.00 and a session with one MiB reported, 0.119; then nothing was heard of it.
fn silent() -> (World, SubscriberId, Phone) {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(MIB)).expect("reported");
    world.wait(SILENCE);
    assert!(world.state.sessions.is_empty(), "it is settled");
    assert_eq!((world.balance(alice), world.held(alice)), (amount("9.881"), Amount::ZERO));
    (world, alice, phone)
}

fn ended(world: &World) -> Vec<EndCause> {
    let events = world.journal.iter().flat_map(|record| &record.events);
    let causes = events.filter_map(|event| match event {
        Event::SessionClosed(closing, _) => Some(closing.cause),
        Event::OneTimeCharged(..) => Some(EndCause::Event),
        _ => None,
    });
    causes.collect()
}

#[test]
fn a_late_last_report_is_charged_on_every_leg_and_once() {
    let (mut world, alice, mut phone) = silent();
    let last = phone.close(2 * MIB);
    let answer = world.session(last.clone()).expect("charged");
    assert_eq!(world.balance(alice), amount("9.643"));
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(VnoId::new(0))), amount("0.12"));
    assert_eq!(world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0))), amount("0.06"));
    assert_eq!(ended(&world), [EndCause::Lost, EndCause::Event], "a record of its own");
    assert!(world.state.sessions.is_empty());
    let records = world.journal.len();
    assert_eq!(world.session(last), Ok(answer), "a repeat hears the same");
    assert_eq!(world.journal.len(), records);
    assert_eq!(world.session(phone.close(MIB)), Err(Declined::UnknownSession));
    world.assert_balanced();
}

#[test]
fn a_late_report_goes_on_as_a_session_of_its_own() {
    let (mut world, alice, mut phone) = silent();
    let answer = world.session(phone.report(2 * MIB));
    assert!(granted(&answer) > 0, "the subscriber is not cut off for it");
    assert_eq!(world.state.sessions.len(), 1);
    world.session(phone.report(MIB)).expect("reported");
    world.session(phone.close(0)).expect("closed");
    assert_eq!((world.balance(alice), world.held(alice)), (amount("9.524"), Amount::ZERO));
    world.assert_balanced();
}

#[test]
fn what_was_reported_before_the_silence_is_not_charged_again() {
    let (mut world, alice, mut phone) = silent();
    phone.number = 1;
    assert_eq!(world.session(phone.report(MIB)), Err(Declined::UnknownSession));
    phone.number = 0;
    assert_eq!(world.session(phone.open()), Err(Declined::UnknownSession), "nor begun again");
    assert_eq!(world.balance(alice), amount("9.881"));
    // Nor is anything of a session that nobody ever opened, or that ended as it should.
    let mut never = world.request("+491511", Service::Data);
    assert_eq!(world.session(never.report(MIB)), Err(Declined::UnknownSession));
    let mut proper = world.request("+491511", Service::Data);
    world.session(proper.open()).expect("opened");
    world.session(proper.close(0)).expect("closed");
    assert_eq!(world.session(proper.report(MIB)), Err(Declined::UnknownSession));
    assert_eq!(world.balance(alice), amount("9.881"));
}

#[test]
fn reports_that_overtook_each_other_around_the_silence_are_charged_each_once() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let (first, second) = (phone.report(MIB), phone.report(MIB));
    world.session(second.clone()).expect("reported");
    world.wait(SILENCE);
    assert_eq!(world.balance(alice), amount("9.881"));
    let noted = world.session(first.clone());
    assert_eq!(*outcome(&noted), GroupOutcome::Noted, "it asks for nothing any more");
    assert_eq!(world.balance(alice), amount("9.762"));
    assert_eq!(world.session(first), Err(Declined::UnknownSession));
    assert_eq!(world.session(second), Err(Declined::UnknownSession));
    let (third, fourth) = (phone.report(MIB), phone.report(MIB));
    world.session(fourth.clone()).expect("goes on");
    world.session(third.clone()).expect("still expected");
    assert_eq!(world.balance(alice), amount("9.524"));
    let records = world.journal.len();
    world.session(third).expect("the same answer");
    world.session(fourth.clone()).expect("the same answer");
    assert_eq!(world.journal.len(), records);
    // The gateway restarts and repeats what it still has.
    world.command(Command::PeerState(PeerId::new(0), "pgw.nord.example".into(), 1));
    world.command(Command::PeerState(PeerId::new(0), "pgw.nord.example".into(), 2));
    world.settle();
    assert!(world.state.sessions.is_empty());
    let repeated = world.session(fourth);
    assert!(world.state.sessions.is_empty(), "{repeated:?}");
    assert_eq!(world.balance(alice), amount("9.524"));
    world.assert_balanced();
}

#[test]
fn an_answer_is_kept_for_a_day_of_its_own() {
    let (mut world, alice, mut phone) = silent();
    world.wait(23 * 3600);
    let last = phone.close(MIB);
    let answer = world.session(last.clone()).expect("charged");
    // What was kept of the loss is a day old by now; others are answered meanwhile.
    world.wait(2 * 3600);
    let mut other = world.request("+491511", Service::Data);
    world.session(other.open()).expect("opened");
    world.session(other.close(0)).expect("closed");
    assert_eq!(world.session(last.clone()), Ok(answer));
    assert_eq!(world.balance(alice), amount("9.762"));
    world.wait(23 * 3600);
    let mut other = world.request("+491511", Service::Data);
    world.session(other.open()).expect("opened");
    world.session(other.close(0)).expect("closed");
    assert_eq!(world.session(last), Err(Declined::UnknownSession));
}

#[test]
fn a_late_report_is_the_lost_session_s_whatever_it_says_of_itself() {
    let (mut world, alice, phone) = silent();
    let bob = world.subscriber(1, "+491521", "10.00");
    let mut foreign = world.request("+491521", Service::Data);
    (foreign.key, foreign.number) = (phone.key, phone.number);
    world.session(foreign.close(MIB)).expect("charged");
    assert_eq!((world.balance(alice), world.balance(bob)), (amount("9.762"), amount("10.00")));
}

#[test]
fn a_line_that_may_use_nothing_more_pays_for_what_it_used() {
    let (mut world, alice, mut phone) = silent();
    world.administer(Administer::ChangeSubscriber {
        id: alice,
        standing: Some(Standing::Suspended),
        profile: None,
    });
    let answer = world.session(phone.report(2 * MIB));
    assert_eq!(*outcome(&answer), GroupOutcome::Declined(Declined::SubscriberSuspended));
    assert_eq!(world.balance(alice), amount("9.643"));
    world.session(phone.close(0)).expect("closed");
    // Without any use it is refused like any other.
    let (mut world, alice, mut phone) = silent();
    world.administer(Administer::ChangeSubscriber {
        id: alice,
        standing: Some(Standing::Suspended),
        profile: None,
    });
    assert_eq!(world.session(phone.report(0)), Err(Declined::SubscriberSuspended));
    assert!(world.state.sessions.is_empty());
    world.assert_balanced();
}
