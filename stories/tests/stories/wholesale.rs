//! What a VNO owes the broker, agreed over the API and kept at the gateway.

use crate::broker::{Broker, call};
use crate::phone::{DataSession, MIB, granted};
use diameter_protocol::credit_control::RequestType;
use serde_json::{Value, json};
use tandem_simulators::gateway::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_capacity_and_a_charge_are_agreed_and_hold_at_the_gateway() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broker = Broker::start(&data, None);
    broker.build_world();
    let agreed = json!({
        "price_list": "wholesale",
        "most_favoured": true,
        "pools": [{"unit": "octets", "per_line": 10 * MIB}],
        "capacity": [{"service": "data", "sessions": 1, "burst_fee": "0.50"},
                     {"service": "voice", "sessions": 0}],
    });
    let aria = broker.ask("PATCH", "/v1/vnos/aria", json!({"wholesale": agreed}));
    assert_eq!(aria["wholesale"]["pools"][0]["per_line"], 10 * MIB, "{aria}");
    broker.subscriber("aria", "+491511", "20.00");
    let owed = || {
        let postings = broker.ask("GET", "/v1/vnos/aria/balance", Value::Null);
        postings["balance"]["amount"].as_str().expect("an amount").to_owned()
    };
    let (switch, _pushes) =
        Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
            .await
            .expect("connected");
    let mut first = DataSession::new("pgw.wavecom.example;1;1", "491511");
    assert!(granted(&first.open(&switch).await) > 0);
    first.report(&switch, 8 * MIB).await;
    let mut second = DataSession::new("pgw.wavecom.example;1;2", "491511");
    assert!(granted(&second.open(&switch).await) > 0, "beyond the capacity, for a fee");
    second.close(&switch, 4 * MIB).await;
    first.close(&switch, MIB).await;
    // What is left of the pool is the first session's while it holds it: the second pays 4 MiB at 0.04, and 0.50.
    assert_eq!(owed(), "999.34");
    let body = json!({"money": {"amount": "9.34", "currency": "EUR"}, "note": "10 SIMs"});
    let charged = broker.ask("POST", "/v1/vnos/aria/charges", body);
    assert_eq!(charged["balance"]["amount"], "990.00", "{charged}");
    // Without a fee it is refused: DIAMETER_RESOURCES_EXCEEDED.
    let refusing =
        json!({"price_list": "wholesale", "capacity": [{"service": "data", "sessions": 0}]});
    broker.ask("PATCH", "/v1/vnos/aria", json!({"wholesale": refusing}));
    let mut third = DataSession::new("pgw.wavecom.example;1;3", "491511");
    let refused = third.send(&switch, RequestType::Initial, None, true).await.expect("answered");
    assert_eq!(refused.result, 5006);
    // And what all sessions carry together: 8 MiB in five minutes are more than 200 kilobits a second.
    let narrow = json!({"price_list": "wholesale",
        "capacity": [{"service": "data", "kilobits_per_second": 200}]});
    broker.ask("PATCH", "/v1/vnos/aria", json!({"wholesale": narrow}));
    let mut fourth = DataSession::new("pgw.wavecom.example;1;4", "491511");
    assert!(granted(&fourth.open(&switch).await) > 0);
    fourth.close(&switch, 8 * MIB).await;
    let mut fifth = DataSession::new("pgw.wavecom.example;1;5", "491511");
    let refused = fifth.send(&switch, RequestType::Initial, None, true).await.expect("answered");
    assert_eq!(refused.result, 5006);
    let key = broker.key.clone();
    broker.kill();
    let broker = Broker::start(&data, Some(&key));
    let aria = broker.ask("GET", "/v1/vnos/aria", Value::Null);
    let kept = &aria["wholesale"]["capacity"][0];
    assert_eq!(kept["kilobits_per_second"], 200, "kept over a crash: {aria}");
    assert_eq!(broker.ask("GET", "/v1/audit", Value::Null)["clean"], true);
}

#[test]
fn a_bad_agreement_is_refused_in_its_own_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let list = |with: Value| {
        let mut body = json!({"price_list": "wholesale"});
        body.as_object_mut().expect("an object").extend(with.as_object().cloned().expect("one"));
        body
    };
    for (wrong, word) in [
        (json!({}), "expected one of"),
        (list(json!({"cost_plus_basis_points": 100})), "expected one of"),
        (json!({"cost_plus_basis_points": 100, "most_favoured": true}), "price list"),
        (list(json!({"pools": [{"unit": "money", "per_line": 1}]})), "octets"),
        (list(json!({"pools": [{"unit": "litres", "per_line": 1}]})), "unit"),
        (list(json!({"capacity": [{"service": "message", "sessions": 1}]})), "voice or data"),
        (list(json!({"capacity": [{"service": "data"}]})), "kilobits_per_second"),
        (list(json!({"capacity": [{"service": "voice", "kilobits_per_second": 1}]})), "data alone"),
        (
            list(json!({"capacity": [{"service": "data", "sessions": 1, "burst_fee": "-1"}]})),
            "negative",
        ),
        (
            list(json!({"capacity": [{"service": "data", "sessions": 1, "burst_fee": "x"}]})),
            "burst_fee",
        ),
    ] {
        let body = json!({"wholesale": wrong}).to_string();
        let (status, refused) = broker.call("PATCH", "/v1/vnos/aria", "application/json", &body);
        assert_eq!(status, 422, "{body}: {refused}");
        assert!(
            refused["detail"].as_str().is_some_and(|text| text.contains(word)),
            "{body}: {refused}"
        );
    }
    let fees = json!({"monthly_fees": {"minimum": "5.00", "maximum": "4.00"}}).to_string();
    let (status, refused) = broker.call("PATCH", "/v1/vnos/aria", "application/json", &fees);
    assert_eq!(status, 422, "{refused}");
    let charge = json!({"money": {"amount": "1.00", "currency": "USD"}}).to_string();
    let (status, refused) =
        broker.call("POST", "/v1/vnos/aria/charges", "application/json", &charge);
    assert_eq!(status, 422, "{refused}");
}

#[test]
fn a_vno_reads_its_monthly_fees_and_only_the_broker_sets_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broker = Broker::start(&data, None);
    broker.build_world();
    let fees = json!({"platform": "500.00", "line": "0.40"});
    broker.ask("PATCH", "/v1/vnos/aria", json!({"monthly_fees": fees}));
    let issued = broker.ask(
        "POST",
        "/v1/api-keys",
        json!({"role": "vno", "party": "aria", "name": "aria's own"}),
    );
    let own = issued["key"].as_str().expect("a key");
    let (status, aria) = call(broker.http, own, "GET", "/v1/vnos/aria", "application/json", "");
    assert_eq!((status, &aria["monthly_fees"]["line"]), (200, &json!("0.40")), "{aria}");
    let wish = json!({"monthly_fees": {"line": "0"}}).to_string();
    let (status, refused) =
        call(broker.http, own, "PATCH", "/v1/vnos/aria", "application/json", &wish);
    assert_eq!(status, 403, "{refused}");
    let bad = json!({"monthly_fees": {"minimum": "-5"}}).to_string();
    let (status, refused) = broker.call("PATCH", "/v1/vnos/aria", "application/json", &bad);
    assert_eq!(status, 422, "{refused}");
    let key = broker.key.clone();
    broker.kill();
    let broker = Broker::start(&data, Some(&key));
    let aria = broker.ask("GET", "/v1/vnos/aria", Value::Null);
    assert_eq!(aria["monthly_fees"]["platform"], "500.00", "kept over a crash");
    assert_eq!(broker.ask("GET", "/v1/audit", Value::Null)["clean"], true);
}
