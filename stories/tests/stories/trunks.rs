//! Carriers' switches that want more than an INVITE.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stir_protocol::{Attestation, CertificateUrl, Claims, OriginationId, Party, Signer, Statement};
use tandem_simulators::authority::{Authority, Key, Kind, VALID};

use crate::sipp::{Scenario, sipp};
use crate::telephony::{ABROAD, ANN, Telephony, calls_and_hangs_up, talks};

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
    world.play("credentials", ABROAD, calls_and_hangs_up(""), &[(0, called)]);
    let record = &world.records(1)[0];
    let trail = record["trail"].as_str().unwrap_or_default();
    assert!(trail.contains("; alpha-1 (margin 0.03); 401; answered"), "{trail}");
    // Two begun seconds.
    assert_eq!(world.broker.balance("aria", &ann), "9.998");
    world.audited();
}

#[test]
fn who_calls_decides_which_carrier_is_cheapest_and_what_the_call_costs() {
    if sipp().is_none() {
        return;
    }
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    let by_origin = |usual: &str, hers: &str| {
        format!(
            "service,origin,price,per,increment\nvoice,,{usual},60s,1/1\nvoice,4915112,{hers},60s,1/1\n"
        )
    };
    let deck = "/v1/carriers/alpha/decks/deck?currency=EUR&digits=6";
    world.broker.upload(deck, &by_origin("0.0200", "0.0400"));
    let retail = "/v1/vnos/aria/price-lists/retail?currency=EUR&digits=6&discount_amount=0.001";
    world.broker.upload(retail, &by_origin("0.0600", "0.1200"));
    let called = talks().receive("BYE").answer(200, "");
    world.play("origin", ABROAD, calls_and_hangs_up(""), &[(2, called)]);
    let record = &world.records(1)[0];
    let trail = record["trail"].as_str().unwrap_or_default();
    assert!(trail.contains("; gamma-1 (margin 0.02); answered"), "{trail}");
    // Two begun seconds at 0.12 a minute, 0.001 off.
    assert_eq!(world.broker.balance("aria", &ann), "9.997");
    world.audited();
}

const THEIRS: &str = "https://sti.other.example/theirs.pem";

/// A proxy that has one certificate.
fn proxy(certificate: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            let first = lines.next().expect("a request").expect("readable");
            assert!(first.starts_with(&format!("GET {THEIRS} ")), "{first}");
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let length = certificate.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all((head + &certificate).as_bytes()).expect("written");
        }
    });
    address
}

#[test]
fn a_call_is_taken_on_the_word_of_its_provider_and_ours_go_out_signed() {
    if sipp().is_none() {
        return;
    }
    let root = Authority::root("Root");
    let (ours, theirs) = (Key::generate(), Key::generate());
    let proxy = proxy(root.certify("Other", theirs.point(), Kind::Provider, VALID));
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (key, anchors) = (file("key.pem", &ours.pem()), file("anchors.pem", &root.pem));
    let world = Telephony::build_with(&format!(
        "[sip.stir]\nkey = \"{key}\"\ncertificate_url = \"https://sti.tandem.example/ours.pem\"\n\
         anchors = \"{anchors}\"\nproxy = \"{proxy}\"\n"
    ));
    world.subscriber(ANN, "ann", "10.00");
    let trunk = |address: SocketAddr, more: Value| {
        let mut trunk =
            json!({"address": address.to_string(), "country_code": "49", "probed": false});
        trunk.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        trunk
    };
    let home = |verification: &str| {
        let body = trunk(world.home, json!({"carries_calls": false, "verification": verification}));
        world.broker.ask("PUT", "/v1/carriers/home/trunks/home-1", body);
    };
    let alpha = trunk(world.carriers[0], json!({"signed": true}));
    world.broker.ask("PUT", "/v1/carriers/alpha/trunks/alpha-1", alpha);
    home("required");
    let calling = Scenario::calling(ANN).invite("").may_hear(100).expect(428).ack_refusal(1, 3);
    world.play("unverified", ABROAD, calling, &[]);

    let url = CertificateUrl::parse(THEIRS).expect("a URL");
    let other = Signer::from_pem(theirs.pem().as_bytes(), url).expect("a key");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let identity = other.sign(&Claims {
        orig: Party::number(ANN).expect("a number"),
        dest: vec![Party::number(ABROAD).expect("a number")],
        issued_at_seconds: now,
        statement: Statement::Shaken {
            attestation: Attestation::Full,
            origination_id: OriginationId::of(1, 2),
        },
    });
    let identity = identity.expect("it can be signed");
    let calling = calls_and_hangs_up(&format!("Identity: {identity}\n"));
    let hears = |voucher: &str| {
        let called = Scenario::called().receive_invite_with(&format!("info=.https://{voucher}"));
        called.answer_with_body(200, "").receive("ACK").receive("BYE").answer(200, "")
    };
    world.play("vouched", ABROAD, calling, &[(0, hears("sti.other.example"))]);
    home("ignored");
    world.play("signed", ABROAD, calls_and_hangs_up(""), &[(0, hears("sti.tandem.example"))]);
    assert_eq!(world.records(2).len(), 2, "who is refused at the border is nobody's caller");
    world.audited();
}
