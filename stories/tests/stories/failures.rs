//! What the broker does when the network is hostile, the queue is full or the disk is.

use std::sync::Arc;

use diameter_protocol::ResultCode;
use diameter_protocol::credit_control::RequestType;
use serde_json::{Value, json};
use tandem_simulators::gateway::Gateway;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::broker::{Broker, call};
use crate::phone::{DataSession, MIB, granted};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/tls");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_talks_over_tls_and_one_that_has_to_is_refused_in_clear() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let more = format!(
        "[diameter.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{TLS}/certificate.pem\"\nkey = \"{TLS}/key.pem\"\n"
    );
    let broker = Broker::start_with(&data, None, None, &more, &[]);
    broker.build_world();
    broker.ask(
        "PUT",
        "/v1/carriers/wavecom/peers/pgw.wavecom.example",
        json!({"requires_tls": true}),
    );
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let (host, realm) = ("pgw.wavecom.example", "wavecom.example");
    let refused = Gateway::connect(broker.diameter, host, realm, 1).await.err().expect("refused");
    assert!(refused.to_string().contains("5017"), "{refused}");

    let mut roots = RootCertStore::empty();
    let certificate =
        CertificateDer::from_pem_file(format!("{TLS}/certificate.pem")).expect("a certificate");
    roots.add(certificate).expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let address = broker.diameter_tls.expect("a TLS address");
    let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    let local = stream.local_addr().expect("an address");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let (switch, _pushes) = Gateway::over(stream, local, host, realm, 1).await.expect("introduced");
    let mut session = DataSession::new("pgw.wavecom.example;1;1", "491511");
    assert!(granted(&session.open(&switch).await) > 0);
    session.report(&switch, 3 * MIB).await;
    session.close(&switch, 2 * MIB).await;
    // 5 MiB at 0.10 with 19 % on top.
    assert_eq!(broker.balance("aria", &alice), "9.405");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_work_says_so_everywhere_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let key = {
        let broker = Broker::start(&data, None);
        broker.build_world();
        let key = broker.key.clone();
        for number in 0..20 {
            broker.subscriber("aria", &format!("+4915{number:02}"), "100.00");
        }
        broker.kill();
        key
    };
    // No file may grow beyond the first segment: the journal's next one cannot be made.
    let limit = ["sh", "-c", "ulimit -f 66000; trap '' XFSZ; exec \"$0\" \"$@\""];
    let broker = Broker::start_with(&data, Some(&key), None, "", &limit);
    let (switch, _pushes) =
        Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
            .await
            .expect("connected");
    let mut session = DataSession::new("pgw.wavecom.example;9;9", "491500");
    assert!(granted(&session.open(&switch).await) > 0);
    let mut answered = 0u64;
    // A long note makes each write large: some hundred fill the segment.
    let note = "x".repeat(60_000);
    let body = json!({"money": {"amount": "0.01", "currency": "EUR"}, "note": note}).to_string();
    let mut status = 201;
    for _ in 0..4_000 {
        let path = "/v1/vnos/aria/accounts/acct-1-1/top-ups";
        (status, _) = call(broker.http, &key, "POST", path, "application/json", &body);
        if status >= 300 {
            break;
        }
        answered += 1;
    }
    assert_eq!(status, 503, "after {answered} answers");
    let (ready, why) = call(broker.http, &key, "GET", "/readyz", "", "");
    assert_eq!(ready, 503, "{why}");
    assert!(why.to_string().contains("journal"), "{why}");
    let refused = session.report(&switch, MIB).await;
    assert_eq!(refused.result, ResultCode::TOO_BUSY.0);
    broker.kill();

    let broker = Broker::start(&data, Some(&key));
    let account = broker.ask("GET", "/v1/vnos/aria/accounts/acct-1-1", Value::Null);
    let cents = 10_000 + answered;
    let expected = format!("{}.{:02}", cents / 100, cents % 100);
    assert_eq!(account["balance"]["amount"], expected.as_str(), "every answered top-up is there");
    broker.kill();
    let (clean, report) = Broker::audit(&data);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_can_be_served_is_told_so_early_and_the_rest_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let broker = Broker::start_with(&data, None, None, "diameter.requests_max = 100\n", &[]);
    broker.build_world();
    for number in 0..40 {
        broker.subscriber("aria", &format!("+4915{number:02}"), "100.00");
    }
    let (switch, _pushes) =
        Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
            .await
            .expect("connected");
    let mut all = tokio::task::JoinSet::new();
    for number in 0..5_000u32 {
        let switch = switch.clone();
        all.spawn(async move {
            let id = format!("pgw.wavecom.example;{number};1");
            let mut session = DataSession::new(&id, &format!("4915{:02}", number % 40));
            session.send(&switch, RequestType::Initial, None, true).await.map(|one| one.result)
        });
    }
    let (mut served, mut busy, mut other) = (0, 0, 0);
    while let Some(result) = all.join_next().await {
        match result.expect("the task ends") {
            Some(2001 | 4012) => served += 1,
            Some(3004) => busy += 1,
            _ => other += 1,
        }
    }
    assert_eq!(other, 0, "every request is answered, with one or the other");
    assert!(served >= 100 && busy > 0, "{served} served, {busy} told to come back");
    broker.kill();
    let (clean, report) = Broker::audit(&data);
    assert!(clean, "{report}");
}
