//! Records that an earlier version wrote still mean what they meant.

mod world;

use std::path::PathBuf;

use tandem_domain::apply::apply;
use tandem_domain::calls::{Forwarding, LineCalls, VnoCalls};
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::event::Record;
use tandem_domain::identifier::{LineId, VnoId};
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::party::Standing;
use tandem_domain::service::Service;
use tandem_domain::state::State;
use world::{MIB, World, amount};

/// Of every released version, and of the one in the making.
const VERSIONS: [&str; 1] = ["0.1"];

fn file(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{version}.records"))
}

/// Parties, prices, money, a plan, sessions that ended, one that runs, rules for calls.
fn life() -> World {
    let mut world = World::new();
    let alice = world.subscriber(0, "+491511", "20.00");
    let bob = world.subscriber(1, "+491512", "0.10");
    let mut phone = world.request("+491511", Service::Data);
    world.session(phone.open()).expect("opened");
    world.session(phone.report(7 * MIB)).expect("reported");
    world.session(phone.close(MIB)).expect("closed");
    let mut call = world.request("+491511", Service::Voice);
    world.session(call.open()).expect("opened");
    world.session(call.report(61)).expect("reported");
    let mut poor = world.request("+491512", Service::Data);
    let _ = world.session(poor.open());
    world.top_up(bob, "5.00");
    world.administer(Administer::SetLineCalls(
        LineId::new(alice, 1),
        Box::new(LineCalls {
            forwarding: Forwarding { busy: "4930".parse().ok(), ..Forwarding::default() },
            ..LineCalls::default()
        }),
    ));
    let calls = VnoCalls { margin_floor: amount("0.01"), ..VnoCalls::default() };
    let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(VnoId::new(0), Box::new(change)));
    world.administer(Administer::ChangeSubscriber {
        id: bob,
        standing: Some(Standing::Suspended),
        profile: None,
    });
    world
}

fn replayed(bytes: &[u8]) -> State {
    let mut state = State::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (record, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        let record: Record = minicbor::decode(record).expect("the record is readable");
        apply(&mut state, record).expect("the record fits");
        rest = after;
    }
    state
}

/// With WRITE_GOLDEN set: the file of the version in the making is written anew, as is allowed before its release only.
fn write_when_told() {
    if std::env::var_os("WRITE_GOLDEN").is_none() {
        return;
    }
    let mut bytes = Vec::new();
    for record in &life().journal {
        let encoded = minicbor::to_vec(record).expect("encodes");
        bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
    std::fs::write(file("0.1"), bytes).expect("written");
}

#[test]
fn records_of_every_version_replay_to_what_they_meant() {
    write_when_told();
    for version in VERSIONS {
        let bytes = std::fs::read(file(version)).expect("the golden file is there");
        let state = replayed(&bytes);
        let told = |account| {
            let currency = tandem_domain::money::Currency::EUR;
            state.ledger.balance(account, currency).to_string()
        };
        // 8 MiB at 0.10 and two begun minutes at 0.12, 19 % on top; 8 MiB at 0.04 and 61 seconds at 0.04 a minute.
        assert_eq!(told(LedgerAccount::VnoRevenue(VnoId::new(0))), "1.04", "{version}");
        assert_eq!(told(LedgerAccount::VnoCredit(VnoId::new(0))), "999.639333", "{version}");
        assert_eq!(state.sessions.len(), 2, "{version}");
        assert_eq!(state.subscribers.len(), 2, "{version}");
        let line = state.identities.line(
            &tandem_domain::identifier::Identity::parse(
                tandem_domain::identifier::IdentityKind::Msisdn,
                "+491511",
            )
            .expect("a number"),
        );
        let calls = state.line(line.expect("a line")).and_then(|line| line.calls.clone());
        assert_eq!(calls.and_then(|calls| calls.forwarding.busy), "4930".parse().ok());
    }
}
