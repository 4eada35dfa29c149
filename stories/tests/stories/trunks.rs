//! Carriers' switches that want more than an INVITE.

use serde_json::json;

use crate::calls::{ABROAD, ANN, Telephony};
use crate::sipp::{Scenario, sipp};

#[test]
fn a_carrier_that_asks_who_calls_is_told_and_the_call_is_charged_as_any_other() {
    if sipp().is_none() {
        return;
    }
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    let trunk = json!({
        "address": world.carriers[0].to_string(),
        "country_code": "49",
        "probed": false,
        "user": "tandem",
        "password": "secret",
    });
    let shown = world.broker.ask("PUT", "/v1/carriers/alpha/trunks/alpha-1", trunk);
    assert_eq!((&shown["user"], shown.get("password")), (&json!("tandem"), None), "{shown}");
    let challenge =
        "WWW-Authenticate: Digest realm=\"alpha\", nonce=\"12ab\", algorithm=MD5, qop=\"auth\"\n";
    let called = Scenario::called()
        .receive("INVITE")
        .answer(401, challenge)
        .receive("ACK")
        .receive_proven("tandem", "secret")
        .answer(180, "")
        .answer_with_body(200, "")
        .receive_with("ACK", "2 ACK", "CSeq")
        .receive_with("BYE", "3 BYE", "CSeq")
        .answer(200, "");
    let calling = Scenario::calling(ANN)
        .invite("")
        .may_hear(100)
        .may_hear(180)
        .expect(200)
        .ack(1)
        .pause(1200)
        .request("BYE", 2, "")
        .expect(200);
    world.play("credentials", ABROAD, calling, &[(0, called)]);
    let record = &world.records(1)[0];
    let trail = record["trail"].as_str().unwrap_or_default();
    assert!(trail.contains("; alpha-1 (margin 0.03); 401; answered"), "{trail}");
    // Two begun seconds.
    assert_eq!(world.broker.balance("aria", &ann), "9.998");
    world.audited();
}
