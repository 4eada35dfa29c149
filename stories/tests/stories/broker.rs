//! The program under test, as its users meet it: started, asked over HTTP and Diameter, stopped or killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The program, built once.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "tandem"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the program builds");
        let test = std::env::current_exe().expect("this test is a file");
        let directory = test.ancestors().nth(2).expect("target/debug/deps/test");
        directory.join("tandem")
    })
}

pub struct Broker {
    child: Child,
    pub http: SocketAddr,
    pub diameter: SocketAddr,
    pub sip: SocketAddr,
    pub diameter_tls: Option<SocketAddr>,
    pub sip_tls: Option<SocketAddr>,
    pub https: Option<SocketAddr>,
    pub key: String,
}

impl Broker {
    /// Starts the program on a data directory; `key` is known from an earlier start.
    pub fn start(data: &Path, key: Option<&str>) -> Broker {
        Broker::start_at(data, key, None)
    }

    /// With the SIP address of an earlier start.
    pub fn start_at(data: &Path, key: Option<&str>, sip: Option<SocketAddr>) -> Broker {
        Broker::start_with(data, key, sip, "", &[])
    }

    /// With more lines of configuration, and started through another program when one is named.
    pub fn start_with(
        data: &Path,
        key: Option<&str>,
        sip: Option<SocketAddr>,
        more: &str,
        through: &[&str],
    ) -> Broker {
        let sip_listen = sip.map_or("127.0.0.1:0".to_owned(), |sip| sip.to_string());
        let config = data.with_extension("toml");
        let text = format!(
            "data = {data:?}\nlog_level = \"warn\"\nmemory.reserve_mib = 0\nhttp.listen = \"127.0.0.1:0\"\n\
             diameter.listen = \"127.0.0.1:0\"\nsip.listen = \"{sip_listen}\"\n{more}"
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut command = match through.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program());
                command
            }
            None => Command::new(program()),
        };
        let mut child = command
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut http, mut diameter, mut sip, mut tls, mut https) = (None, None, None, None, None);
        let mut sip_tls = None;
        let mut first_key = key.map(str::to_owned);
        loop {
            let line = lines.next().expect("the program says it is ready").expect("readable");
            let last = line.split_whitespace().last().unwrap_or_default();
            if line.starts_with("first admin key") {
                first_key = Some(last.to_owned());
            } else if line.starts_with("https") {
                https = line.split("https://").nth(1).and_then(|address| address.parse().ok());
            } else if line.starts_with("http") {
                let address =
                    line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
                http = address.and_then(|address| address.parse().ok());
            } else if line.starts_with("diameter") && line.ends_with("(TLS)") {
                tls = line.split_whitespace().nth(1).and_then(|address| address.parse().ok());
            } else if line.starts_with("diameter") && diameter.is_none() {
                diameter = last.parse().ok();
            } else if line.starts_with("sip") && line.ends_with("(TLS)") {
                sip_tls = line.split_whitespace().nth(1).and_then(|address| address.parse().ok());
            } else if line.starts_with("sip") && sip.is_none() {
                sip = line.split_whitespace().nth(1).and_then(|address| address.parse().ok());
            } else if line == "ready" {
                break;
            }
        }
        Broker {
            child,
            http: http.expect("an HTTP address"),
            diameter: diameter.expect("a Diameter address"),
            sip: sip.expect("a SIP address"),
            diameter_tls: tls,
            sip_tls,
            https,
            key: first_key.expect("a key"),
        }
    }

    /// SIGKILL: nothing is said, nothing is finished.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// `tandem audit` on the stopped program's data; its report, and whether it is clean.
    pub fn audit(data: &Path) -> (bool, String) {
        let output = Command::new(program())
            .args(["audit", "--data"])
            .arg(data)
            .output()
            .expect("the audit runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    pub fn call(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
        call(self.http, &self.key, method, path, content_type, body)
    }

    /// A JSON request that must succeed.
    pub fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.call(method, path, "application/json", &text);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub fn upload(&self, path: &str, csv: &str) -> Value {
        let (status, answer) = self.call("PUT", path, "text/csv", csv);
        assert_eq!(status, 201, "PUT {path}: {answer}");
        answer
    }

    /// Carrier `wavecom` with its gateway, VNOs `aria` and `brava` with prices and 1000.00 each: all through the API.
    pub fn build_world(&self) {
        self.ask(
            "POST",
            "/v1/carriers",
            json!({"id": "wavecom", "name": "WaveCom", "network": "wireless", "currency": "EUR"}),
        );
        for host in ["pgw.wavecom.example", "pgw2.wavecom.example"] {
            self.ask("PUT", &format!("/v1/carriers/wavecom/peers/{host}"), json!({}));
        }
        self.ask("PUT", "/v1/carriers/wavecom/peers/dra.ipx.example", json!({"agent": true}));
        self.upload(
            "/v1/carriers/wavecom/decks/deck?currency=EUR&digits=6",
            "service,price\ndata,0.02\nvoice,0.02\nmessage,0.01\n",
        );
        self.ask("PATCH", "/v1/carriers/wavecom", json!({"deck": "deck"}));
        self.upload(
            "/v1/wholesale-lists/wholesale?currency=EUR&digits=6",
            "service,price\ndata,0.04\nvoice,0.04\nmessage,0.02\n",
        );
        for vno in ["aria", "brava"] {
            self.ask(
                "POST",
                "/v1/vnos",
                json!({"id": vno, "name": vno, "currency": "EUR", "time_zone": "Europe/Berlin"}),
            );
            let csv = "service,price,increment\ndata,0.10,\nvoice,0.12,60/60\nmessage,0.09,\n";
            self.upload(
                &format!(
                    "/v1/vnos/{vno}/price-lists/retail?currency=EUR&digits=6&tax_basis_points=1900"
                ),
                csv,
            );
            self.ask(
                "PATCH",
                &format!("/v1/vnos/{vno}"),
                json!({"retail_price_list": "retail", "wholesale": {"price_list": "wholesale"}}),
            );
            self.ask(
                "POST",
                &format!("/v1/vnos/{vno}/deposits"),
                json!({"money": {"amount": "1000.00", "currency": "EUR"}}),
            );
        }
    }

    /// A subscriber with one line and money; returns the id.
    pub fn subscriber(&self, vno: &str, msisdn: &str, money: &str) -> String {
        let body = json!({"name": "Alice", "lines": [{"identities": [{"type": "msisdn", "value": msisdn}]}]});
        let subscriber = self.ask("POST", &format!("/v1/vnos/{vno}/subscribers"), body);
        let id = subscriber["id"].as_str().expect("an id").to_owned();
        if money != "0.00" {
            self.top_up(vno, &account(&id), money);
        }
        id
    }

    pub fn top_up(&self, vno: &str, account: &str, money: &str) {
        let body = json!({"money": {"amount": money, "currency": "EUR"}});
        self.ask("POST", &format!("/v1/vnos/{vno}/accounts/{account}/top-ups"), body);
    }

    pub fn balance(&self, vno: &str, subscriber: &str) -> String {
        let account = self.ask(
            "GET",
            &format!("/v1/vnos/{vno}/accounts/{}", account(subscriber)),
            Value::Null,
        );
        account["balance"]["amount"].as_str().expect("an amount").to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A test that failed must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first account of `sub-7` is `acct-7-1`.
pub fn account(subscriber: &str) -> String {
    format!("{}-1", subscriber.replace("sub-", "acct-"))
}

/// One HTTP request on a connection of its own.
pub fn call(
    server: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(server).expect("the API listens");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}
