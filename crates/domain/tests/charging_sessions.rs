//! The charging machine, told as what happens to a subscriber's money.

mod world;

use tandem_domain::apply::apply;
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::directive::{DirectiveOutcome, Order};
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::party::{FinalUnitAction, Standing};
use tandem_domain::quantity::Unit;
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::subscriber::Pays;
use world::*;

const ARIA: VnoId = VnoId::new(0);

#[test]
fn a_data_session_moves_the_money_of_every_party() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    let opened = world.session(phone.open());
    assert!(granted(&opened) > 0);
    assert!(world.held(alice).is_positive(), "what is granted is reserved");
    world.session(phone.report(10 * MIB)).expect("reported");
    world.session(phone.close(5 * MIB)).expect("closed");
    assert_eq!(world.held(alice), Amount::ZERO);
    // 15 MiB at 0.10 with 19 % on top; wholesale 0.04; cost 0.02.
    assert_eq!(world.balance(alice), amount("8.215"));
    assert_eq!(world.ledger(LedgerAccount::VnoRevenue(ARIA)), amount("1.50"));
    assert_eq!(world.ledger(LedgerAccount::Tax(ARIA)), amount("0.285"));
    assert_eq!(world.ledger(LedgerAccount::VnoCredit(ARIA)), amount("999.40"));
    assert_eq!(world.ledger(LedgerAccount::BrokerRevenue(ARIA)), amount("0.60"));
    assert_eq!(world.ledger(LedgerAccount::CostOfService(ARIA)), amount("-0.30"));
    assert_eq!(world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0))), amount("0.30"));
    world.assert_balanced();
}

#[test]
fn the_same_usage_in_any_number_of_reports_costs_the_same_on_every_leg() {
    let total = 33 * MIB + 12_345;
    let mut seen = Vec::new();
    for slices in [1u64, 7, 100] {
        let mut world = World::new();
        let alice = world.subscriber(0, "+491511", "50.00");
        let mut phone = world.request("+491511", Service::Data);
        world.session(phone.open()).expect("opened");
        for _ in 1..slices {
            world.session(phone.report(total / slices)).expect("reported");
        }
        world.session(phone.close(total - (slices - 1) * (total / slices))).expect("closed");
        world.assert_balanced();
        let ledger: Vec<_> = world.state.ledger.iter().collect();
        seen.push((world.balance(alice), ledger));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[test]
fn two_hundred_parallel_sessions_never_spend_more_than_the_account_holds() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut running = Vec::new();
    for _ in 0..200 {
        let mut phone = world.request("+491511", Service::Data);
        let answer = world.session(phone.open());
        if answer.is_ok() {
            let units = granted(&answer);
            running.push((phone, units));
        }
        world.assert_balanced();
        assert!(world.held(alice) <= amount("10.00"), "no more is reserved than there is");
    }
    assert!(running.len() > 20, "many sessions share the money: {}", running.len());
    // Everybody uses all of every grant until nobody gets any more.
    let mut rounds = 0;
    while !running.is_empty() {
        rounds += 1;
        assert!(rounds < 1000, "the money ends");
        running.retain_mut(|(phone, units)| {
            let answer = world.session(phone.report(*units));
            match outcome(&answer) {
                GroupOutcome::Granted(granted) if granted.amount > 0 => {
                    *units = granted.amount;
                    true
                }
                _ => {
                    world.session(phone.close(0)).expect("closed");
                    false
                }
            }
        });
    }
    world.assert_balanced();
    assert!(!world.balance(alice).is_negative(), "spent {}", world.balance(alice));
    assert!(
        world.balance(alice) < amount("0.02"),
        "all but the last octets was sold: {}",
        world.balance(alice)
    );
    assert_eq!(world.held(alice), Amount::ZERO);
}

#[test]
fn a_session_crosses_from_the_employers_allowance_to_the_subscribers_own_money() {
    let mut world = World::new();
    let employer = world.subscriber(0, "+491500", "0.00");
    let company = AccountId::new(employer, 1);
    world.administer(Administer::ChangeAccount {
        id: company,
        credit_limit: Some(amount("100.00")),
        shared: Some(true),
    });
    let offer = world.offer(0, "10.00", Unit::Octets, 20 * MIB, "10.00");
    world.administer(Administer::Subscribe { subscriber: employer, offer, account: None });
    assert_eq!(world.balance(employer), amount("-11.90"), "post-paid: the fee is owed");
    let alice = world.subscriber(0, "+491511", "10.00");
    let rules = vec![
        NewPayerRule { account: company, scope: Default::default(), pays: Pays::AllowancesOnly },
        NewPayerRule {
            account: AccountId::new(alice, 1),
            scope: Default::default(),
            pays: Pays::Everything,
        },
    ];
    let change = LineChange { payer_rules: Some(rules), ..LineChange::default() };
    world.administer(Administer::ChangeLine(LineId::new(alice, 1), Box::new(change)));
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(15 * MIB)).expect("reported");
    world.session(phone.close(15 * MIB)).expect("closed");
    world.assert_balanced();
    let left = &world.state.account(company).expect("account").buckets[1];
    assert_eq!((left.balance, left.held), (0, 0), "the allowance is used up");
    assert_eq!(world.balance(alice), amount("8.81"), "10 MiB at 0.10 and tax on top");
    assert_eq!(world.balance(employer), amount("-11.90"), "the employer owes no more than its fee");
    assert_eq!(
        world.ledger(LedgerAccount::VnoDeferred(ARIA)),
        Amount::ZERO,
        "used allowance is earned"
    );
    assert_eq!(world.ledger(LedgerAccount::VnoRevenue(ARIA)), amount("11.00"));
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_is_charged_once() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    let open = phone.open();
    let first = world.session(open.clone());
    let report = phone.report(3 * MIB);
    let reported = world.session(report.clone());
    let close = phone.close(MIB);
    let records = world.journal.len();
    assert_eq!(world.session(open), first);
    assert_eq!(world.session(report.clone()), reported);
    assert_eq!(world.journal.len(), records, "a repeat changes nothing");
    let closed = world.session(close.clone());
    let balance = world.balance(alice);
    assert_eq!(world.session(close), closed, "also after the session is over");
    assert_eq!(world.session(report), Err(Declined::UnknownSession));
    assert_eq!(world.balance(alice), balance);
}

#[test]
fn reports_on_their_way_at_once_may_overtake_each_other() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let (first, second) = (phone.report(MIB), phone.report(2 * MIB));
    world.session(second.clone()).expect("reported");
    world.session(first).expect("reported");
    world.session(second).expect("repeated");
    assert_eq!(world.balance(alice), amount("10.00").saturating_sub(amount("0.357")));
}

#[test]
fn a_vno_without_credit_is_refused_and_its_sessions_are_ended_while_the_other_goes_on() {
    let mut world = World::new();
    world.administer(Administer::Deposit { vno: ARIA, money: eur("-995.00"), note: None });
    let (_alice, _bob) =
        (world.subscriber(0, "+491511", "1000.00"), world.subscriber(1, "+491522", "1000.00"));
    let mut brava = world.request("+491522", Service::Data);
    world.session(brava.open()).expect("opened");
    let mut running: Vec<Phone> = Vec::new();
    let refused = (0..200).find_map(|_| {
        let mut phone = world.request("+491511", Service::Data);
        let answer = world.session(phone.open());
        match answer {
            Ok(_) => running.push(phone),
            Err(declined) => return Some(declined),
        }
        None
    });
    assert_eq!(refused, Some(Declined::VnoCreditExhausted), "5.00 do not cover 200 grants of 2.00");
    assert!(!running.is_empty());
    world.settle();
    let aborted =
        world.state.outbox.values().filter(|directive| directive.order == Order::Abort).count();
    assert_eq!(aborted, running.len(), "all of the VNO's sessions are to be ended, no other");
    let late = world.session(running[0].report(MIB));
    assert_eq!(outcome(&late), &GroupOutcome::Declined(Declined::SessionEnding));
    assert!(granted(&world.session(brava.report(MIB))) > 0, "the other VNO's session goes on");
    world.assert_balanced();
    world.administer(Administer::Deposit { vno: ARIA, money: eur("500.00"), note: None });
    let mut again = world.request("+491511", Service::Data);
    assert!(granted(&world.session(again.open())) > 0, "money opens the gate");
}

#[test]
fn a_top_up_during_a_redirect_brings_the_session_back() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "0.50");
    world.administer(Administer::ChangeVno(
        ARIA,
        Box::new(VnoChange {
            final_unit: Some(FinalUnitAction::Redirect("http://top-up.aria.example".into())),
            ..VnoChange::default()
        }),
    ));
    let mut phone = world.request("+491511", Service::Data);
    let mut units = granted(&world.session(phone.open()));
    for _ in 0..100 {
        if units == 0 {
            break;
        }
        units = granted(&world.session(phone.report(units)));
    }
    assert_eq!(units, 0);
    assert!(world.state.outbox.is_empty());
    world.top_up(alice, "5.00");
    let directive = world.state.outbox.values().next().expect("a directive").clone();
    assert!(matches!(directive.order, Order::Reauthorise(Some(_))));
    let update = world.session(phone.ask(SessionVerb::Report, None, true));
    assert!(granted(&update) > 0, "the session goes on");
    world.command(Command::DirectiveDone(directive.id, DirectiveOutcome::Accepted));
    assert!(world.state.outbox.is_empty());
}

#[test]
fn a_call_is_billed_by_whole_minutes_and_ends_with_the_money() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "0.40");
    let mut phone = world.request("+491511", Service::Voice);
    phone.destination = Some("4930901820".into());
    // 0.12 a minute and tax is 0.1428, so 0.40 buys two minutes.
    let mut answer = world.session(phone.open());
    let mut talked = 0;
    while let GroupOutcome::Granted(grant) = outcome(&answer).clone() {
        talked += grant.amount;
        answer = world.session(phone.report(grant.amount));
    }
    assert_eq!(outcome(&answer), &GroupOutcome::Declined(Declined::InsufficientBalance));
    assert_eq!(talked, 120);
    world.session(phone.close(0)).expect("closed");
    world.assert_balanced();
    assert_eq!(world.balance(alice), amount("0.1144"));
    let mut again = world.request("+491511", Service::Voice);
    again.destination = Some("4930901820".into());
    assert_eq!(
        world.session(again.open()),
        Err(Declined::InsufficientBalance),
        "refused before it rings"
    );
}

#[test]
fn silence_is_settled_by_the_supervision_timer() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(MIB)).expect("reported");
    world.wait(3600);
    assert_eq!(world.state.sessions.len(), 1, "within twice the validity it may still speak");
    world.wait(3700);
    assert_eq!(world.state.sessions.len(), 0);
    assert_eq!(world.held(alice), Amount::ZERO);
    assert_eq!(world.balance(alice), amount("9.881"));
    world.assert_balanced();
}

#[test]
fn a_restarted_gateway_has_its_old_sessions_settled() {
    let mut world = World::new();
    world.subscriber(0, "+491511", "10.00");
    let host: Box<str> = "pgw.nord.example".into();
    world.command(Command::PeerState(PeerId::new(0), host.clone(), 1));
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.command(Command::PeerState(PeerId::new(0), host.clone(), 1));
    world.settle();
    assert_eq!(world.state.sessions.len(), 1);
    world.command(Command::PeerState(PeerId::new(0), host, 2));
    world.settle();
    assert_eq!(world.state.sessions.len(), 0);
    world.assert_balanced();
}

#[test]
fn barring_a_line_ends_its_sessions_and_refuses_new_ones() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "10.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    let change = LineChange { barred: Some(vec![Service::Data]), ..LineChange::default() };
    world.administer(Administer::ChangeLine(LineId::new(alice, 1), Box::new(change)));
    assert_eq!(world.state.outbox.len(), 1);
    let mut again = world.request("+491511", Service::Data);
    assert_eq!(world.session(again.open()), Err(Declined::Barred));
    let suspend = Administer::ChangeSubscriber {
        id: alice,
        standing: Some(Standing::Suspended),
        profile: None,
    };
    world.administer(suspend);
    assert_eq!(world.session(again.open()), Err(Declined::SubscriberSuspended));
}

#[test]
fn replaying_the_journal_rebuilds_the_same_state() {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "20.00");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(7 * MIB)).expect("reported");
    let mut replayed = State::default();
    for record in &world.journal {
        apply(&mut replayed, record.clone()).expect("applies");
    }
    assert_eq!(replayed.sequence, world.state.sequence);
    assert_eq!(replayed.ledger, world.state.ledger);
    assert_eq!(replayed.subscriber(alice), world.state.subscriber(alice));
    assert_eq!(replayed.sessions, world.state.sessions);
    assert_eq!(replayed.vnos, world.state.vnos);
}
