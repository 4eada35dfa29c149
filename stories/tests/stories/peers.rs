//! Peers that we did not write: python-diameter as the gateway, freeDiameter as a strict relay, tshark as the judge.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::broker::{Broker, account};
use crate::phone::{DataSession, MIB, granted};
use crate::ports::free_ports;
use diameter_protocol::credit_control::{
    DecimalMoney, RequestHead, RequestType, RequestedAction, SubscriptionId, SubscriptionIdType,
    Units,
};
use serde_json::{Value, json};
use tandem_simulators::gateway::{Gateway, Push};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/gy_client.py");

/// A program of the environment, or a loud word that the story is not told. Under CI that is a failure.
pub fn needs(found: Option<PathBuf>, what: &str) -> Option<PathBuf> {
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{what} is missing, and under CI nothing is skipped"
        );
        eprintln!("SKIPPED: {what} is not here");
    }
    found
}

pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.exists())
}

/// A Python that has python-diameter: of `.venv` in the checkout, or of the system.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let candidates = [Some(own), on_path("python3")];
    let has_diameter = |python: &PathBuf| {
        let output =
            Command::new(python).args(["-c", "import diameter"]).stderr(Stdio::null()).status();
        output.is_ok_and(|status| status.success())
    };
    needs(candidates.into_iter().flatten().find(has_diameter), "python-diameter")
}

fn session(python: &Path, port: u16, server: (&str, &str), own: (&str, &str)) -> Output {
    Command::new(python)
        .arg(CLIENT)
        .arg(port.to_string())
        .args([server.0, server.1, own.0, own.1, "tandem.example", "491511"])
        .output()
        .expect("the client runs")
}

fn assert_good(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let result: Value =
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("a result");
    assert_eq!(result["good"], true, "{text}");
}

/// A running tshark that writes down what passes on the loopback.
pub struct Capture {
    tshark: Running,
    drain: Option<std::thread::JoinHandle<usize>>,
}

impl Capture {
    pub fn start(tshark: &Path, filter: &str, file: &Path) -> Capture {
        let mut child = Command::new(tshark)
            .args(["-i", "lo", "-f", filter, "-w"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tshark starts");
        // It says so when it captures.
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let capturing =
            said.find(|line| line.as_ref().is_ok_and(|line| line.contains("Capturing on")));
        assert!(capturing.is_some(), "tshark captures");
        // It says so a moment too early: the file's head is written when the device is open.
        let started = Instant::now();
        while std::fs::metadata(file).map_or(0, |file| file.len()) == 0 {
            assert!(started.elapsed() < Duration::from_secs(20), "tshark captures");
            std::thread::yield_now();
        }
        let drain = std::thread::spawn(move || said.count());
        Capture { tshark: Running(child), drain: Some(drain) }
    }

    /// All that was captured is in the file.
    pub fn stop(self) {}
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Asked, not killed: it ends the program that captures for it.
        let _ = Command::new("kill").arg(self.tshark.0.id().to_string()).status();
        let _ = self.tshark.0.wait();
        if let Some(drain) = self.drain.take() {
            let _ = drain.join();
        }
    }
}

/// A child that does not outlive its story.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_gateway_that_is_not_ours_runs_a_session_and_tshark_finds_nothing_wrong_with_our_answers() {
    let (Some(python), Some(tshark)) = (python(), needs(on_path("tshark"), "tshark")) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let port = broker.diameter.port();
    let capture = directory.path().join("capture.pcap");
    let listening = Capture::start(&tshark, &format!("tcp port {port}"), &capture);
    let output = session(
        &python,
        port,
        ("ocs.tandem.example", "tandem.example"),
        ("pgw.wavecom.example", "wavecom.example"),
    );
    assert_good(&output);
    // 6 MiB at 0.10 with 19 % on top.
    assert_eq!(broker.balance("aria", &alice), "9.286");
    // CCR-I, CCR-U, CCR-U, CCR-T with their answers.
    let messages = wait_for_messages(&tshark, &capture, port, 8);
    listening.stop();
    assert_ours_are_good(&messages, port);
}

#[test]
fn a_gateway_that_is_not_ours_finds_slices_shared_money_payers_and_credit_as_they_should_be() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/gy_stories.py"))
        .args([broker.diameter.port().to_string(), broker.http.to_string(), broker.key.clone()])
        .output()
        .expect("the client runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Nothing that we sent is malformed or unknown to tshark.
fn assert_ours_are_good(messages: &[String], port: u16) {
    for message in messages {
        let fields: Vec<&str> = message.split('\t').collect();
        let ours = fields.first() == Some(&port.to_string().as_str());
        let (malformed, unknown) =
            (fields.get(2).copied().unwrap_or(""), fields.get(3).copied().unwrap_or(""));
        assert!(!ours || (malformed.is_empty() && unknown.is_empty()), "{message}");
    }
}

/// What tshark makes of the capture, once so many messages of credit control are in it:
/// source port, commands, malformed, unknown AVPs.
fn wait_for_messages(tshark: &Path, capture: &Path, port: u16, wanted: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let output = Command::new(tshark)
            .arg("-r")
            .arg(capture)
            .args(["-d", &format!("tcp.port=={port},diameter"), "-Y", "diameter", "-T", "fields"])
            .args([
                "-e",
                "tcp.srcport",
                "-e",
                "diameter.cmd.code",
                "-e",
                "_ws.malformed",
                "-e",
                "diameter.avp.unknown",
            ])
            .output()
            .expect("tshark reads");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages: Vec<String> = text.lines().map(str::to_owned).collect();
        // Several may share a segment.
        let codes = messages.iter().filter_map(|line| line.split('\t').nth(1));
        let credit_control: usize = codes.map(|codes| codes.matches("272").count()).sum();
        if credit_control >= wanted {
            return messages;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "of {wanted}: {messages:?}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_answer_and_push_is_read_by_tshark() {
    let Some(tshark) = needs(on_path("tshark"), "tshark") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let portal =
        json!({"final_unit": {"action": "redirect", "address": "http://top-up.aria.example"}});
    broker.ask("PATCH", "/v1/vnos/aria", portal);
    let alice = broker.subscriber("aria", "+491511", "0.30");
    let port = broker.diameter.port();
    let capture = directory.path().join("capture.pcap");
    let listening = Capture::start(&tshark, &format!("tcp port {port}"), &capture);
    let (gateway, mut pushes) =
        Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1)
            .await
            .expect("connected");
    let asked = Cell::new(0);
    let ask = async |change: &dyn Fn(&mut RequestHead<'_>)| {
        asked.set(asked.get() + 1);
        let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: "491511" }];
        let id = format!("pgw.wavecom.example;7;{}", asked.get());
        let mut head = DataSession::head(&gateway, &id, &ids);
        change(&mut head);
        gateway.ask(&head).await.expect("an answer")
    };

    // Redirected at the end of the money, brought back by a top-up (RAR), ended by the VNO (ASR).
    let mut session = DataSession::new("pgw.wavecom.example;1;2", "491511");
    let mut answer = session.open(&gateway).await;
    while granted(&answer) > 0 {
        answer = session.report(&gateway, granted(&answer)).await;
    }
    assert_eq!(answer.groups[0].final_action, Some(1));
    broker.top_up("aria", &account(&alice), "20.00");
    assert_eq!(pushes.recv().await, Some(Push::ReAuth(session.id.clone())));
    session.report(&gateway, MIB).await;
    let sessions = broker.ask("GET", "/v1/vnos/aria/sessions", Value::Null);
    let open = sessions["items"][0]["id"].as_str().expect("an open session");
    broker.ask("DELETE", &format!("/v1/vnos/aria/sessions/{open}"), Value::Null);
    assert_eq!(pushes.recv().await, Some(Push::Abort(session.id.clone())));
    session.close(&gateway, 0).await;

    // One-time events of each kind, by units and by money.
    let euros = |cents: i64, currency| Units {
        money: Some(DecimalMoney { digits: cents, exponent: -2, currency }),
        ..Units::default()
    };
    for action in [
        RequestedAction::DirectDebiting,
        RequestedAction::CheckBalance,
        RequestedAction::PriceEnquiry,
        RequestedAction::RefundAccount,
    ] {
        for units in [Units { service_specific: Some(1), ..Units::default() }, euros(50, None)] {
            let answer = ask(&|head| {
                head.service_context = "32274@3gpp.org";
                head.request_type = RequestType::Event;
                head.requested_action = Some(action);
                head.requested = Some(units);
                head.recipient = Some("491522");
            })
            .await;
            assert_eq!(answer.result, 2001, "{action:?} {units:?}");
        }
    }
    // A session whose units are money, one on the command level, and one that is refused with what was wrong.
    let in_money = |head: &mut RequestHead<'_>, units| {
        head.service_context = "content@shop.example";
        head.requested = Some(units);
    };
    let granted = ask(&|head| in_money(head, euros(250, Some(978)))).await;
    assert_eq!(granted.granted.and_then(|units| units.money?.micros()), Some(2_500_000));
    let refused = ask(&|head| in_money(head, euros(250, Some(7)))).await;
    assert_eq!(refused.result, 5004);
    let call = ask(&|head| {
        head.service_context = "32260@3gpp.org";
        head.called_party = Some("tel:+4930901820");
        head.requested = Some(Units { seconds: Some(60), ..Units::default() });
    })
    .await;
    assert!(call.granted.is_some_and(|units| units.seconds.is_some()), "{call:?}");

    // Each with its answer, the redirected session's at least seven beside them.
    let messages = wait_for_messages(&tshark, &capture, port, 2 * (asked.get() + 7));
    listening.stop();
    assert_ours_are_good(&messages, port);
    for command in ["257", "258", "274"] {
        let named =
            |line: &String| line.split('\t').nth(1).is_some_and(|all| all.contains(command));
        assert!(messages.iter().any(named), "{command} is in the capture");
    }
}

#[test]
fn a_session_passes_through_a_strict_relay_that_is_not_ours() {
    let python = python();
    let relay = needs(on_path("freeDiameterd"), "freeDiameter");
    let openssl = needs(on_path("openssl"), "openssl");
    let (Some(python), Some(relay), Some(openssl)) = (python, relay, openssl) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(&directory.path().join("data"), None);
    broker.build_world();
    let alice = broker.subscriber("aria", "+491511", "10.00");
    let port = free_ports(1);
    let place = directory.path().display().to_string();
    let template = include_str!("../../interop/fd.conf");
    let config = template
        .replace("@DIR@", &place)
        .replace("@PORT@", &port.to_string())
        .replace("@SERVER@", &broker.diameter.port().to_string());
    std::fs::write(directory.path().join("fd.conf"), config).expect("written");
    std::fs::write(directory.path().join("acl.conf"), "ALLOW_IPSEC *.wavecom.example\n")
        .expect("written");
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=dra.ipx.example",
        ])
        .args(["-keyout", &format!("{place}/fd.key"), "-out", &format!("{place}/fd.crt")])
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(made.success());
    let mut child = Command::new(relay)
        .args(["-c", &format!("{place}/fd.conf")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("freeDiameter starts");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
    let running = Running(child);
    let open = said.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line.contains("STATE_OPEN") && line.contains("ocs.tandem.example"))
    });
    assert!(open.is_some(), "the relay connects to us");
    let drain = std::thread::spawn(move || said.count());
    assert_good(&session(
        &python,
        port,
        ("dra.ipx.example", "ipx.example"),
        ("pgw.wavecom.example", "wavecom.example"),
    ));
    assert_eq!(broker.balance("aria", &alice), "9.286");
    drop(running);
    let _ = drain.join();
}
