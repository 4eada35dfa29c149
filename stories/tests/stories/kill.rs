//! Killed fifty times under load: what was answered is in the books once, and the books balance every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::broker::Broker;
use crate::phone::DataSession;
use diameter_protocol::credit_control::RequestType;
use serde_json::Value;
use tandem_simulators::gateway::Gateway;

const KILLS: u64 = 50;
const USERS: u64 = 8;
/// Octets of every report.
const USED: u64 = 1000;

/// One subscriber who reports the same amount again and again, in one session for each life of the broker.
async fn use_data(
    gateway: Gateway,
    user: u64,
    life: u64,
    acknowledged: Arc<AtomicU64>,
    doubtful: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let mut session =
        DataSession::new(&format!("pgw.wavecom.example;{user};{life}"), &format!("4915110{user}"));
    if session.send(&gateway, RequestType::Initial, None, true).await.is_none() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        match session.send(&gateway, RequestType::Update, Some(USED), true).await {
            Some(answer) if answer.result == 2001 => {
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                // It may have become durable before its answer was lost: once or not at all.
                doubtful.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

fn used_in_all(broker: &Broker) -> u64 {
    let mut total = 0;
    for list in ["sessions", "usage-records"] {
        let mut cursor = String::new();
        loop {
            let page =
                broker.ask("GET", &format!("/v1/vnos/aria/{list}?limit=1000{cursor}"), Value::Null);
            let items = page["items"].as_array().expect("a list").clone();
            let groups = items.iter().filter_map(|item| item["groups"].as_array()).flatten();
            total += groups.filter_map(|group| group["used"].as_u64()).sum::<u64>();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_nothing_and_charge_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut broker = Broker::start(&data, None);
    broker.build_world();
    for user in 0..USERS {
        broker.subscriber("aria", &format!("+4915110{user}"), "100.00");
    }
    let key = broker.key.clone();
    let (acknowledged, doubtful) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for life in 0..KILLS {
        let (gateway, _pushes) =
            Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
                .await
                .expect("connected");
        let stop = Arc::new(AtomicBool::new(false));
        let users: Vec<_> = (0..USERS)
            .map(|user| {
                tokio::spawn(use_data(
                    gateway.clone(),
                    user,
                    life,
                    acknowledged.clone(),
                    doubtful.clone(),
                    stop.clone(),
                ))
            })
            .collect();
        // A different moment in every life.
        tokio::time::sleep(Duration::from_millis(20 + life * 7 % 90)).await;
        broker.kill();
        stop.store(true, Ordering::Relaxed);
        for user in users {
            user.await.expect("a user ends");
        }
        let (clean, report) = Broker::audit(&data);
        assert!(clean, "after kill {life}: {report}");
        broker = Broker::start(&data, Some(&key));
    }
    let (acknowledged, doubtful) =
        (acknowledged.load(Ordering::Relaxed), doubtful.load(Ordering::Relaxed));
    assert!(acknowledged > KILLS, "the load was real: {acknowledged} reports answered");
    let used = used_in_all(&broker) / USED;
    assert!(
        (acknowledged..=acknowledged + doubtful).contains(&used),
        "{acknowledged} reports were answered, {doubtful} were not; the books hold {used}"
    );
    println!(
        "{acknowledged} reports answered over {KILLS} kills, {doubtful} unanswered, {used} in the books"
    );
}
