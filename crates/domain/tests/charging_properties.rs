//! Money invariants under any sequence of requests, repeats, top-ups and passing time.

mod world;

use proptest::prelude::*;
use tandem_domain::apply::apply;
use tandem_domain::charging::SessionVerb;
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::identifier::VnoId;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::quantity::Unit;
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::wholesale::{Capacity, Pool, WholesaleClauses};
use world::*;

const ARIA: VnoId = VnoId::new(0);

#[derive(Clone, Debug)]
enum Step {
    Open,
    /// Of a session: percent of the last grant that was used; above 100 is more than was granted.
    Report(prop::sample::Index, u64),
    Repeat(prop::sample::Index),
    Close(prop::sample::Index, u64),
    TopUp(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        6 => (any::<prop::sample::Index>(), 0u64..=100).prop_map(|(which, percent)| Step::Report(which, percent)),
        2 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        2 => (any::<prop::sample::Index>(), 0u64..=100).prop_map(|(which, percent)| Step::Close(which, percent)),
        1 => (1u32..500).prop_map(Step::TopUp),
        1 => (1u64..9000).prop_map(Step::Wait),
    ]
}

fn granted_units(
    answer: &Result<tandem_domain::charging::SessionAnswer, tandem_domain::charging::Declined>,
) -> u64 {
    use tandem_domain::charging::GroupOutcome;
    match answer.as_ref().ok().and_then(|answer| answer.groups.first()).map(|group| &group.outcome)
    {
        Some(GroupOutcome::Granted(granted)) => granted.amount,
        _ => 0,
    }
}

/// A pool and a capacity of both services, with little money beside them.
fn clauses() -> impl Strategy<Value = WholesaleClauses> {
    let fee = prop::option::of((0i64..30_000).prop_map(Amount::from_micros));
    let kilobits = prop::option::of(0u32..1_000);
    let all = (0u64..20 * MIB, 0u64..600, 0u32..4, fee, kilobits);
    all.prop_map(|(octets, seconds, sessions, burst_fee, kilobits_per_second)| {
        let pool = |unit, per_line| Pool { unit, per_line };
        let sessions = Some(sessions);
        let capacity =
            |service| Capacity { service, sessions, burst_fee, kilobits_per_second: None };
        let data = Capacity { kilobits_per_second, ..capacity(Service::Data) };
        WholesaleClauses {
            is_most_favoured: false,
            pools: vec![pool(Unit::Octets, octets), pool(Unit::Seconds, seconds)],
            capacities: vec![data, capacity(Service::Voice)],
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn books_balance_holds_have_sessions_and_nobody_spends_what_is_not_there(
        steps in prop::collection::vec(step(), 1..80),
        voice in any::<bool>(),
        clauses in prop::option::of(clauses()),
        day_cap in prop::option::of(0i64..3_000_000),
    ) {
        let mut world = World::new();
        if let Some(micros) = day_cap {
            world.cap_days(Amount::from_micros(micros));
            // An hour before midnight.
            world.wait(14 * 3600);
        }
        let begun = world.now;
        if let Some(clauses) = clauses {
            let change = VnoChange { clauses: Some(Box::new(clauses)), ..VnoChange::default() };
            world.administer(Administer::ChangeVno(ARIA, Box::new(change)));
            world.administer(Administer::Deposit { vno: ARIA, money: eur("-999.50"), note: None });
        }
        let alice = world.subscriber(0, "+491511", "3.00");
        let service = if voice { Service::Voice } else { Service::Data };
        let mut running: Vec<(Phone, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Open => {
                    let mut phone = world.request("+491511", service);
                    let answer = world.session(phone.open());
                    if answer.is_ok() {
                        running.push((phone, granted_units(&answer)));
                    }
                }
                Step::Report(which, percent) if !running.is_empty() => {
                    let index = which.index(running.len());
                    let (phone, granted) = &mut running[index];
                    if world.state.session_by_key(phone.key.as_bytes()).is_none() {
                        // Settled for its silence: no grant stands.
                        *granted = 0;
                    }
                    let answer = world.session(phone.report(*granted * percent / 100));
                    *granted = granted_units(&answer);
                }
                Step::Repeat(which) if !running.is_empty() => {
                    let (phone, granted) = &running[which.index(running.len())];
                    if world.state.session_by_key(phone.key.as_bytes()).is_none() {
                        // Settled for its silence: a request would begin anew.
                        continue;
                    }
                    let mut again = phone.clone();
                    again.number = phone.number.saturating_sub(1);
                    let verb = if again.number == 0 { SessionVerb::Open } else { SessionVerb::Report };
                    let records = world.journal.len();
                    let _ = world.session(again.ask(verb, Some(*granted), true));
                    prop_assert_eq!(world.journal.len(), records, "a repeat changes nothing");
                }
                Step::Close(which, percent) if !running.is_empty() => {
                    let (mut phone, granted) = running.swap_remove(which.index(running.len()));
                    let stands = world.state.session_by_key(phone.key.as_bytes()).is_some();
                    let granted = if stands { granted } else { 0 };
                    let _ = world.session(phone.close(granted * percent / 100));
                }
                Step::TopUp(cents) => world.top_up(alice, &format!("{}.{:02}", cents / 100, cents % 100)),
                Step::Wait(seconds) => world.wait(seconds),
                Step::Report(..) | Step::Repeat(_) | Step::Close(..) => {}
            }
            world.assert_balanced();
            prop_assert!(!world.balance(alice).is_negative(), "prepaid money is never overspent within grants");
            prop_assert!(world.held(alice) <= world.balance(alice), "what is granted is reserved");
            let own = world.ledger(LedgerAccount::VnoCredit(ARIA));
            prop_assert!(!own.is_negative(), "nor is the VNO's with the broker: {}", own);
        }
        for (mut phone, _) in running {
            let _ = world.session(phone.close(0));
        }
        world.wait(100_000);
        prop_assert_eq!(world.held(alice).micros(), 0, "no hold outlives its session");
        world.assert_balanced();
        if let Some(micros) = day_cap {
            let days = (world.now.millis() - begun.millis()) / 86_400_000 + 2;
            let net = world.ledger(LedgerAccount::VnoRevenue(ARIA)).micros();
            prop_assert!(net <= micros * days, "{net} in {days} days");
        }
        let mut replayed = State::default();
        for record in &world.journal {
            prop_assert!(apply(&mut replayed, record.clone()).is_ok());
        }
        prop_assert_eq!(&replayed.ledger, &world.state.ledger);
        prop_assert_eq!(&replayed.vnos, &world.state.vnos);
        prop_assert_eq!(replayed.subscriber(alice), world.state.subscriber(alice));
    }
}
