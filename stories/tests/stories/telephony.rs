//! The world of the calls' stories: carriers at different prices, subscribers, and what outside programs say of us.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{Broker, account};
use crate::peers::{Capture, needs, on_path};
use crate::ports::free_address;
use crate::sipp::{Run, Scenario, sipp};

pub const ANN: &str = "+4915112345678";
pub const BOB: &str = "+4915187654321";
pub const ABROAD: &str = "+4989123456";

/// The broker with three carriers that differ in price, a switch that brings subscribers' calls, and phones' access.
pub struct Telephony {
    pub broker: Broker,
    pub data: PathBuf,
    pub directory: tempfile::TempDir,
    pub home: SocketAddr,
    pub carriers: [SocketAddr; 3],
    /// None where what is sent cannot be read from outside.
    pub capture: Option<Capture>,
}

const CARRIERS: [(&str, &str); 3] = [("alpha", "0.0200"), ("beta", "0.9000"), ("gamma", "0.0300")];

/// From here on tshark's expert means that something is wrong.
const WARNING: u32 = 0x0060_0000;

impl Telephony {
    pub fn build() -> Telephony {
        Telephony::build_with("")
    }

    /// With something more in the configuration.
    pub fn build_with(more: &str) -> Telephony {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let broker = Broker::start_with(&data, None, None, more, &[]);
        let home = free_address();
        let carriers = [free_address(), free_address(), free_address()];
        let header = "service,prefix,price,per,increment\n";
        for ((carrier, price), address) in CARRIERS.iter().zip(carriers) {
            broker.ask(
                "POST",
                "/v1/carriers",
                json!({"id": carrier, "name": carrier, "network": "telephone", "currency": "EUR"}),
            );
            broker.upload(
                &format!("/v1/carriers/{carrier}/decks/deck?currency=EUR&digits=6"),
                &format!("{header}voice,,{price},60s,1/1\n"),
            );
            broker.ask("PATCH", &format!("/v1/carriers/{carrier}"), json!({"deck": "deck"}));
            broker.ask(
                "PUT",
                &format!("/v1/carriers/{carrier}/trunks/{carrier}-1"),
                json!({"address": address.to_string(), "country_code": "49", "probed": false}),
            );
        }
        broker.ask(
            "POST",
            "/v1/carriers",
            json!({"id": "home", "name": "Home", "network": "wireless", "currency": "EUR"}),
        );
        broker.ask(
            "PUT",
            "/v1/carriers/home/trunks/home-1",
            json!({"address": home.to_string(), "country_code": "49", "carries_calls": false, "probed": false}),
        );
        broker.ask(
            "PUT",
            "/v1/carriers/home/trunks/phones",
            json!({"access": true, "country_code": "49", "md5_only": true}),
        );
        broker.upload(
            "/v1/wholesale-lists/wholesale?currency=EUR&digits=6",
            &format!("{header}voice,,0.0500,60s,1/1\n"),
        );
        broker.ask("POST", "/v1/vnos", json!({"id": "aria", "name": "Aria", "currency": "EUR"}));
        broker.upload(
            "/v1/vnos/aria/price-lists/retail?currency=EUR&digits=6",
            &format!("{header}voice,,0.0600,60s,1/1\nvoice,4970,1.0000,60s,60/60\nvoice,4971,60.0000,60s,1/1\n"),
        );
        broker.ask(
            "PATCH",
            "/v1/vnos/aria",
            json!({"retail_price_list": "retail", "wholesale": {"price_list": "wholesale"}}),
        );
        broker.ask(
            "POST",
            "/v1/vnos/aria/deposits",
            json!({"money": {"amount": "1000.00", "currency": "EUR"}}),
        );
        let capture = needs(on_path("tshark"), "tshark").map(|tshark| {
            let filter = format!("port {}", broker.sip.port());
            Capture::start(&tshark, &filter, &directory.path().join("capture.pcap"))
        });
        Telephony { broker, data, directory, home, carriers, capture }
    }

    /// tshark finds nothing wrong with what we sent.
    fn judged(&mut self) {
        let Some(capture) = self.capture.take() else { return };
        // What was sent last is written a moment later.
        std::thread::sleep(Duration::from_millis(300));
        capture.stop();
        let port = self.broker.sip.port();
        let output = Command::new("tshark")
            .arg("-r")
            .arg(self.directory.path().join("capture.pcap"))
            .args(["-d", &format!("udp.port=={port},sip"), "-T", "fields"])
            .args(["-e", "udp.srcport", "-e", "sip.CSeq.method", "-e", "_ws.malformed"])
            .args(["-e", "_ws.expert.severity", "-e", "_ws.expert.message"])
            .output()
            .expect("tshark reads");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours: Vec<&str> =
            text.lines().filter(|line| line.starts_with(&format!("{port}\t"))).collect();
        assert!(!ours.is_empty(), "nothing of ours was captured:\n{text}");
        for line in ours {
            let fields: Vec<&str> = line.split('\t').collect();
            let method = fields.get(1).copied().unwrap_or_default();
            let malformed = fields.get(2).copied().unwrap_or_default();
            assert!(!method.is_empty() && malformed.is_empty(), "{line}");
            let severities = fields.get(3).copied().unwrap_or_default().split(',');
            let worst = severities.filter_map(|one| one.parse::<u32>().ok()).max().unwrap_or(0);
            assert!(worst < WARNING, "{line}");
        }
    }

    /// A subscriber with a number, a SIP address of the same name, a password and money.
    pub fn subscriber(&self, msisdn: &str, user: &str, money: &str) -> String {
        let identities = json!([{"type": "msisdn", "value": msisdn}, {"type": "sip", "value": format!("sip:{user}@sip.tandem.example")}]);
        let made = self.broker.ask(
            "POST",
            "/v1/vnos/aria/subscribers",
            json!({"name": user, "lines": [{"identities": identities}]}),
        );
        let id = made["id"].as_str().expect("an id").to_owned();
        self.broker.top_up("aria", &account(&id), money);
        self.line(&id, json!({"password": "secret"}));
        id
    }

    pub fn line(&self, subscriber: &str, calls: Value) -> Value {
        let line = format!("{}-1", subscriber.replace("sub-", "line-"));
        self.broker.ask("PUT", &format!("/v1/vnos/aria/lines/{line}/calls"), calls)
    }

    /// Waits until the books show so many usage records.
    pub fn records(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let page =
                self.broker.ask("GET", "/v1/vnos/aria/usage-records?limit=1000", Value::Null);
            let items = page["items"].as_array().cloned().unwrap_or_default();
            if items.len() >= count {
                return items;
            }
            assert!(Instant::now() < deadline, "{} of {count} records: {items:?}", items.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One call between two sipp scenarios; both must go as written.
    pub fn play(&self, name: &str, service: &str, calling: Scenario, called: &[(usize, Scenario)]) {
        let Some(sipp) = sipp() else { return };
        let mut listening = Vec::new();
        for (carrier, scenario) in called {
            let path = scenario.write(self.directory.path(), &format!("{name}-called-{carrier}"));
            listening.push((Run::start(&sipp, &path, self.carriers[*carrier], None, 1), path));
        }
        std::thread::sleep(Duration::from_millis(200));
        let path = calling.write(self.directory.path(), &format!("{name}-calling"));
        let target = Some((self.broker.sip, service));
        Run::start(&sipp, &path, self.home, target, 1).finish(&path);
        for (run, path) in listening {
            run.finish(&path);
        }
    }

    pub fn audited(mut self) {
        self.judged();
        let Telephony { broker, data, directory, .. } = self;
        broker.kill();
        let (clean, report) = Broker::audit(&data);
        assert!(clean, "{report}");
        drop(directory);
    }
}

pub fn talks() -> Scenario {
    Scenario::called().receive("INVITE").answer(180, "").answer_with_body(200, "").receive("ACK")
}

/// Hears ringing and the answer, talks a moment and hangs up. `more`: header lines of its INVITE.
pub fn calls_and_hangs_up(more: &str) -> Scenario {
    Scenario::calling(ANN)
        .invite(more)
        .may_hear(100)
        .may_hear(180)
        .expect(200)
        .ack(1)
        .pause(1200)
        .request("BYE", 2, "")
        .expect(200)
}
