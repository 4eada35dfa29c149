//! Phones that others made, and switches, over UDP and TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_simulators::switch::{CalledSwitch, CallingSwitch, Manner, Pace};
use tandem_simulators::tls_switch::TlsSwitch;

use crate::content::{TLS, server_config};
use crate::peers::{needs, on_path};
use crate::ports::free_ports;
use crate::telephony::{ABROAD, ANN, BOB, Telephony};

/// A phone of baresip's makers.
struct Phone {
    process: Child,
    /// What it printed.
    log: PathBuf,
}

impl Phone {
    /// One that answers; it has registered.
    fn answers(script: &Path, world: &Telephony, user: &str, transport: &str) -> Phone {
        let phone = Phone::start(script, world, user, transport, ";answermode=auto", "-t 60");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !phone.printed().contains("registered successfully") {
            assert!(Instant::now() < deadline, "{user} has not registered:\n{}", phone.printed());
            std::thread::sleep(Duration::from_millis(50));
        }
        phone
    }

    /// One that calls a number and hangs up after some seconds; returns what it printed.
    fn calls(
        script: &Path,
        world: &Telephony,
        user: &str,
        transport: &str,
        number: &str,
    ) -> String {
        let command = format!("-e '/dial {number}' -t 6");
        let mut phone = Phone::start(script, world, user, transport, "", &command);
        phone.process.wait().expect("it hangs up");
        phone.printed()
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn start(
        script: &Path,
        world: &Telephony,
        user: &str,
        transport: &str,
        account: &str,
        command: &str,
    ) -> Phone {
        let server = match transport {
            "tls" => world.broker.sip_tls.expect("TLS"),
            _ => world.broker.sip,
        };
        let port = free_ports(2);
        let home = world.directory.path().join(format!("phone-{user}-{port}"));
        std::fs::create_dir(&home).expect("a directory");
        let config = format!(
            "sip_listen 127.0.0.1:{port}\nsip_cafile {TLS}/certificate.pem\nmodule_path /usr/lib/baresip/modules\nmodule stdio.so\nmodule g711.so\nmodule account.so\nmodule menu.so\n"
        );
        let account = format!(
            "<sip:{user}@sip.tandem.example;transport={transport}>;auth_user={user};auth_pass=secret;outbound=\"sip:{server};transport={transport}\";regint=60{account}\n"
        );
        for (name, text) in [("config", config), ("accounts", account), ("contacts", String::new())]
        {
            std::fs::write(home.join(name), text).expect("written");
        }
        // It wants a terminal.
        let log = home.join("log");
        let process = Command::new(script)
            .arg("-qfc")
            .arg(format!("baresip -f {} {command}", home.display()))
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the phone starts");
        Phone { process, log }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The terminal that baresip wants, where both are there.
fn phones_of_others() -> Option<PathBuf> {
    needs(on_path("baresip"), "baresip")?;
    needs(on_path("script"), "script")
}

/// The record of the one call, which took at least so many seconds.
fn talked(world: &Telephony, seconds: u64, printed: &str) -> Value {
    println!("{printed}");
    let record = world.records(1).remove(0);
    assert!(record["groups"][0]["used"].as_u64().is_some_and(|used| used >= seconds), "{record}");
    record
}

#[test]
fn two_phones_that_are_not_ours_register_and_call_each_other() {
    let Some(script) = phones_of_others() else { return };
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    world.subscriber(BOB, "bob", "10.00");
    let _bob = Phone::answers(&script, &world, "bob", "udp");
    let printed = Phone::calls(&script, &world, "ann", "udp", BOB);
    talked(&world, 4, &printed);
    world.audited();
}

#[test]
fn a_line_has_two_phones_that_answer_at_once_and_one_of_them_talks() {
    let Some(script) = phones_of_others() else { return };
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    world.subscriber(BOB, "bob", "10.00");
    let _desk = Phone::answers(&script, &world, "bob", "udp");
    let _mobile = Phone::answers(&script, &world, "bob", "udp");
    let printed = Phone::calls(&script, &world, "ann", "udp", BOB);
    let record = talked(&world, 4, &printed);
    let trail = record["trail"].as_str().unwrap_or_default();
    assert_eq!(trail.matches("answered").count(), 1, "{trail}");
    world.audited();
}

#[test]
fn the_vno_orders_a_call_between_two_phones_watches_it_and_ends_it() {
    let Some(script) = phones_of_others() else { return };
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    world.subscriber(BOB, "bob", "10.00");
    let line = format!("{}-1", ann.replace("sub-", "line-"));
    let order = json!({"line": line, "called": BOB}).to_string();
    let place = || world.broker.call("POST", "/v1/vnos/aria/calls", "application/json", &order);
    assert_eq!(place().0, 409, "no phone is registered yet");
    let _bob = Phone::answers(&script, &world, "bob", "udp");
    let _ann = Phone::answers(&script, &world, "ann", "udp");
    let (status, answer) = place();
    assert_eq!(status, 202, "{answer}");
    let deadline = Instant::now() + Duration::from_secs(8);
    let call = loop {
        let calls = world.broker.ask("GET", "/v1/vnos/aria/calls", Value::Null);
        let answered = calls
            .as_array()
            .into_iter()
            .flatten()
            .find(|call| call["line"] == json!(line) && call["answered"] == true);
        if let Some(call) = answered {
            break call.clone();
        }
        assert!(Instant::now() < deadline, "not connected: {calls}");
        std::thread::sleep(Duration::from_millis(100));
    };
    std::thread::sleep(Duration::from_secs(2));
    let path = format!("/v1/vnos/aria/calls/{}", call["id"].as_str().expect("an id"));
    world.broker.ask("DELETE", &path, Value::Null);
    let record = &world.records(1)[0];
    assert!(record["groups"][0]["used"].as_u64().is_some_and(|used| used >= 2), "{record}");
    let trail = record["trail"].as_str().unwrap_or_default();
    assert!(trail.starts_with("ordered by the VNO") && trail.ends_with("cut by order"), "{trail}");
    assert_eq!(world.broker.ask("GET", "/v1/vnos/aria/calls", Value::Null), json!([]));
    world.audited();
}

fn with_tls() -> Telephony {
    let mut world = Telephony::build_with(&format!(
        "[sip.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{TLS}/certificate.pem\"\nkey = \"{TLS}/key.pem\"\n"
    ));
    world.capture = None;
    world
}

#[test]
fn phones_register_and_call_each_other_over_tls() {
    let Some(script) = phones_of_others() else { return };
    let world = with_tls();
    world.subscriber(ANN, "ann", "10.00");
    world.subscriber(BOB, "bob", "10.00");
    let _bob = Phone::answers(&script, &world, "bob", "tls");
    let printed = Phone::calls(&script, &world, "ann", "tls", BOB);
    talked(&world, 3, &printed);
    world.audited();
}

#[test]
fn a_switch_is_reached_over_tls_when_its_certificate_is_right_and_passed_over_when_not() {
    let world = Telephony::build_with(&format!("sip.authorities = \"{TLS}/certificate.pem\"\n"));
    world.subscriber(ANN, "ann", "10.00");
    let switch = TlsSwitch::start(server_config(), Manner::Answers).expect("listens");
    let trunk = |name: &str| {
        let trunk = json!({
            "address": switch.address.to_string(), "transport": "tls", "tls_name": name,
            "country_code": "49", "probed": false,
        });
        world.broker.ask("PUT", "/v1/carriers/alpha/trunks/alpha-1", trunk);
        std::thread::sleep(Duration::from_millis(100));
    };
    let call = || {
        let parties = |_| (ANN.into(), ABROAD.into());
        let mut calling =
            CallingSwitch::bind(world.home, world.broker.sip, parties).expect("bound");
        calling.run(Pace {
            rate: Some(1),
            calls_max: 1,
            duration: Duration::from_millis(1500),
            talk: Duration::from_millis(100),
        })
    };
    let gamma = CalledSwitch::start(world.carriers[2], Manner::Answers).expect("listens");
    trunk("somebody.else.example");
    assert_eq!(call().completed, 1);
    assert_eq!((switch.answered(), gamma.answered()), (0, 1));
    trunk("localhost");
    assert_eq!(call().completed, 1);
    assert_eq!((switch.answered(), gamma.answered()), (1, 1));
    let records = world.records(2);
    let mut trails: Vec<_> = records.iter().filter_map(|one| one["trail"].as_str()).collect();
    trails.sort_by_key(|trail| trail.len());
    let [right, wrong] = trails.as_slice() else { panic!("{records:?}") };
    assert!(right.contains("; alpha-1") && right.contains("; answered"), "{right}");
    assert!(wrong.contains("; alpha-1") && wrong.contains("503; gamma-1"), "{wrong}");
    world.audited();
}
