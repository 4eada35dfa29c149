//! Data sessions over Gy, on a world that was built through the API alone.

use crate::broker::{Broker, account, call};
use crate::phone::{DataSession, MIB, granted};
use diameter_protocol::credit_control::{
    RequestGroup, RequestType, SubscriptionId, SubscriptionIdType, Units,
};
use serde_json::{Value, json};
use tandem_simulators::gateway::{Gateway, Push};

async fn gateway(broker: &Broker) -> (Gateway, tokio::sync::mpsc::UnboundedReceiver<Push>) {
    Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
        .await
        .expect("connected")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_session_is_charged_to_every_party_and_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broker = Broker::start(&data, None);
    broker.build_world();
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let (switch, _pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;1", "491511");
    assert!(granted(&session.open(&switch).await) > 0);
    let reported = session.report(&switch, 10 * MIB).await;
    let key = broker.key.clone();
    broker.kill();

    let broker = Broker::start(&data, Some(&key));
    let (switch, _pushes) = gateway(&broker).await;
    // The gateway did not hear the answer and repeats: it hears the same, and is not charged twice.
    let mut repeated = session.clone();
    repeated.number -= 1;
    let again = repeated
        .repeat(&switch, RequestType::Update, Some(10 * MIB), true)
        .await
        .expect("answered");
    assert_eq!(again.groups, reported.groups);
    session.close(&switch, 5 * MIB).await;
    // 15 MiB at 0.10 with 19 % on top.
    assert_eq!(broker.balance("aria", &alice), "8.215");
    let audit = broker.ask("GET", "/v1/audit", Value::Null);
    assert_eq!(audit["clean"], true, "{audit}");
    broker.kill();
    let (clean, report) = Broker::audit(&data);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_told_when_the_price_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    // The cheap hours begin within the next hour, far enough away for this test.
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let edge = (now.as_secs() / 60 + 20) * 60;
    let clock = |seconds: u64| format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60);
    let band = format!("cheap=mon-sun@{}-{}", clock(edge), clock(edge + 3 * 3600));
    let rows = "service,band,price,per\ndata,standard,0.10,1MiB\ndata,cheap,0.01,1MiB\n";
    broker.upload(
        &format!(
            "/v1/vnos/aria/price-lists/retail?currency=EUR&digits=6&switch_at_band_edge=true&bands={band}"
        ),
        rows,
    );
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let (switch, _pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;1", "491511");
    let opened = session.open(&switch).await;
    assert_eq!(opened.groups[0].tariff_time_change, i64::try_from(edge).ok(), "{opened:?}");
    session.close(&switch, 10 * MIB).await;
    assert_eq!(broker.balance("aria", &alice), "9.00");
    for bad in ["cheap", "cheap=mon", "cheap=any@00:00-01:00", "cheap=mon@1-2"] {
        let path = format!("/v1/vnos/aria/price-lists/retail?currency=EUR&bands={bad}");
        let (status, answer) = broker.call("PUT", &path, "text/csv", rows);
        assert_eq!(status, 422, "{bad}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_paid_what_a_month_costs_at_most_goes_on_for_nothing_even_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broker = Broker::start(&data, None);
    broker.build_world();
    let path = "/v1/vnos/aria/price-lists/retail?currency=EUR&digits=6&time_zone=Europe/Berlin";
    let rows = "service,price,per,cap_per_month,cap_counter\ndata,0.10,1MiB,1.00,7\n";
    broker.upload(path, rows);
    let (status, answer) =
        broker.call("PUT", path, "text/csv", "service,price,cap_per_day\ndata,0.10,5\n");
    assert_eq!(status, 422, "{answer}");
    let alice = broker.subscriber("aria", "+491511", "1.00");
    let (switch, _pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;1", "491511");
    let mut left = 15 * MIB;
    let mut slice = granted(&session.open(&switch).await).min(left);
    while slice < left {
        left -= slice;
        slice = granted(&session.report(&switch, slice).await).min(left);
    }
    session.close(&switch, left).await;
    assert_eq!(broker.balance("aria", &alice), "0.00");
    let key = broker.key.clone();
    broker.kill();

    let broker = Broker::start(&data, Some(&key));
    let (switch, _pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;2", "491511");
    let slice = granted(&session.open(&switch).await);
    assert!(slice > 0, "without money");
    session.close(&switch, slice).await;
    assert_eq!(broker.balance("aria", &alice), "0.00");
    // On a busy machine the books may take longer than whoever asks them waits.
    let mut tries = 0;
    let records = loop {
        tries += 1;
        assert!(tries < 20, "both sessions are in the books");
        let records = broker.ask("GET", "/v1/vnos/aria/usage-records", Value::Null);
        if records["items"].as_array().is_some_and(|items| items.len() == 2) {
            break records;
        }
    };
    let of = |record: usize| {
        let group = &records["items"][record]["groups"][0];
        (group["charged"][0]["amount"].clone(), group["beyond_cap"]["amount"].clone())
    };
    assert_eq!(of(1), (json!("1.00"), json!("0.50")), "{records}");
    assert_eq!(of(0).0, json!("0.00"), "{records}");
    let audit = broker.ask("GET", "/v1/audit", Value::Null);
    assert_eq!(audit["clean"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_up_during_a_redirect_reaches_the_gateway_and_the_session_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    broker.ask(
        "PATCH",
        "/v1/vnos/aria",
        json!({"final_unit": {"action": "redirect", "address": "http://top-up.aria.example"}}),
    );
    let alice = broker.subscriber("aria", "+491511", "0.30");
    let (switch, mut pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;2", "491511");
    let mut answer = session.open(&switch).await;
    let mut rounds = 0;
    while granted(&answer) > 0 {
        rounds += 1;
        assert!(rounds < 100, "the money ends");
        answer = session.report(&switch, granted(&answer)).await;
    }
    let group = answer.groups[0];
    assert_eq!((group.result, group.final_action), (Some(2001), Some(1)), "redirected");
    broker.top_up("aria", &account(&alice), "5.00");
    assert_eq!(pushes.recv().await, Some(Push::ReAuth(session.id.clone())));
    let update = session.send(&switch, RequestType::Update, None, true).await.expect("an answer");
    assert!(granted(&update) > 0, "the session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vno_ends_a_session_and_the_gateway_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    broker.subscriber("aria", "+491511", "10.00");
    let (switch, mut pushes) = gateway(&broker).await;
    let mut session = DataSession::new("pgw.wavecom.example;1;3", "491511");
    session.open(&switch).await;
    let sessions = broker.ask("GET", "/v1/vnos/aria/sessions", Value::Null);
    let id = sessions["items"][0]["id"].as_str().expect("an open session").to_owned();
    broker.ask("DELETE", &format!("/v1/vnos/aria/sessions/{id}"), Value::Null);
    assert_eq!(pushes.recv().await, Some(Push::Abort(session.id.clone())));
    let late = session.report(&switch, MIB).await;
    assert_eq!(late.groups[0].result, Some(4010), "nothing more is granted");
    session.close(&switch, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_speaks_for_its_own_realm_and_an_agent_for_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    broker.subscriber("aria", "+491511", "10.00");
    let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: "491511" }];
    for (host, id, expected) in [("pgw.wavecom.example", "a", 5003), ("dra.ipx.example", "b", 2001)]
    {
        let switch = Gateway::connect(broker.diameter, host, "wavecom.example", 1).await;
        let (switch, _pushes) = switch.expect("connected");
        let mut head = DataSession::head(&switch, id, &ids);
        let group = RequestGroup { requested: Some(Units::default()), ..RequestGroup::default() };
        head.groups = std::slice::from_ref(&group);
        head.origin.realm = "elsewhere.example";
        let answer = switch.ask(&head).await.expect("an answer");
        assert_eq!(answer.result, expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_cannot_see_that_another_exists() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let issued = broker.ask(
        "POST",
        "/v1/api-keys",
        json!({"role": "vno", "party": "brava", "name": "brava's own"}),
    );
    let key = issued["key"].as_str().expect("a key");
    let ask = |method: &str, path: &str, body: &str| {
        call(broker.http, key, method, path, "application/json", body)
    };
    for path in [
        "/v1/vnos/aria".to_owned(),
        format!("/v1/vnos/aria/subscribers/{alice}"),
        "/v1/vnos/nobody".into(),
    ] {
        let (status, problem) = ask("GET", &path, "");
        assert_eq!(
            (status, problem["type"].as_str()),
            (404, Some("/problems/not-found")),
            "{path}"
        );
    }
    assert_eq!(ask("GET", "/v1/vnos", "").1.as_array().map(Vec::len), Some(1));
    assert_eq!(ask("GET", "/v1/audit", "").0, 403);
    assert_eq!(ask("POST", "/v1/vnos", r#"{"id":"x","name":"x","currency":"EUR"}"#).0, 403);
    // An identity of another tenant is taken, but not found.
    let found = ask("GET", "/v1/vnos/brava/subscribers?identity=msisdn:491511", "").1;
    assert_eq!(found["items"], json!([]));
    assert_eq!(call(broker.http, "tk_wrong", "GET", "/v1/vnos", "application/json", "").0, 401);
}

#[test]
fn a_deck_with_bad_rows_changes_nothing_and_says_where_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let csv = "service,prefix,price\nvoice,49,0.01\nvoice,4x,0.01\nvoice,44,cheap\n";
    let (status, problem) =
        broker.call("PUT", "/v1/carriers/wavecom/decks/deck?currency=EUR", "text/csv", csv);
    assert_eq!(status, 422, "{problem}");
    let errors = problem["errors"].as_array().expect("errors");
    let places: Vec<_> =
        errors.iter().map(|error| (error["line"].as_u64(), error["column"].as_str())).collect();
    assert_eq!(places, [(Some(3), Some("prefix")), (Some(4), Some("price"))]);
    let lists = broker.ask("GET", "/v1/price-lists", Value::Null);
    let deck = lists
        .as_array()
        .and_then(|lists| lists.iter().find(|list| list["kind"] == "deck"))
        .expect("the deck");
    assert_eq!(deck["versions"].as_array().map(Vec::len), Some(1), "nothing was imported");
}

#[test]
fn a_write_that_is_sent_again_with_its_key_happens_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let alice = broker.subscriber("aria", "+491511", "0.00");
    let path = format!("/v1/vnos/aria/accounts/{}/top-ups", account(&alice));
    let key = format!("{}\r\nIdempotency-Key: order-1", broker.key);
    let send = |money: &str| {
        let body = json!({"money": {"amount": money, "currency": "EUR"}}).to_string();
        call(broker.http, &key, "POST", &path, "application/json", &body)
    };
    let first = send("5.00");
    assert_eq!(first.0, 201);
    assert_eq!(send("5.00"), first);
    assert_eq!(send("6.00").1["type"], "/problems/idempotency-key-reused");
    assert_eq!(broker.balance("aria", &alice), "5.00");
}
