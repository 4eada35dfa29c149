//! Peers that we did not write: python-diameter as the gateway, freeDiameter as a strict relay, tshark as the judge.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use serde_json::Value;

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
    drain: std::thread::JoinHandle<usize>,
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
        Capture { tshark: Running(child), drain: std::thread::spawn(move || said.count()) }
    }

    pub fn stop(mut self) {
        let _ = Command::new("kill").arg(self.tshark.0.id().to_string()).status();
        self.tshark.0.wait().expect("tshark ends");
        let _ = self.drain.join();
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
    let messages = wait_for_messages(&tshark, &capture, port);
    listening.stop();
    // CER, CCR-I, CCR-U, CCR-U, CCR-T with their answers.
    assert!(messages.len() >= 10, "{messages:?}");
    for message in &messages {
        let fields: Vec<&str> = message.split('\t').collect();
        let ours = fields.first() == Some(&port.to_string().as_str());
        let (malformed, unknown) =
            (fields.get(2).copied().unwrap_or(""), fields.get(3).copied().unwrap_or(""));
        assert!(!ours || (malformed.is_empty() && unknown.is_empty()), "{message}");
    }
}

/// What tshark makes of the capture, once the last answer is in it: source port, command, malformed, unknown AVPs.
fn wait_for_messages(tshark: &Path, capture: &Path, port: u16) -> Vec<String> {
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
        let credit_control = messages
            .iter()
            .filter(|line| line.split('\t').nth(1).is_some_and(|code| code.contains("272")));
        if credit_control.count() >= 8 || started.elapsed() > Duration::from_secs(20) {
            return messages;
        }
        std::thread::yield_now();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
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
    let port = free_port();
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
