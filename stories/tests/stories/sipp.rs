//! sipp as the switches on both sides: scenarios written from a few words each, run as programs.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::peers::{needs, on_path};

pub fn sipp() -> Option<PathBuf> {
    needs(on_path("sipp"), "sipp")
}

const SDP: &str =
    "v=0\no=x 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0";

/// A scenario in the making.
#[derive(Default)]
pub struct Scenario {
    steps: String,
    /// The number in From of the calling side.
    caller: String,
}

impl Scenario {
    /// The side that calls.
    pub fn calling(caller: &str) -> Scenario {
        Scenario { steps: String::new(), caller: caller.into() }
    }

    /// The side that is called.
    pub fn called() -> Scenario {
        Scenario::default()
    }

    fn raw(mut self, step: &str) -> Scenario {
        self.steps.push_str(step);
        self.steps.push('\n');
        self
    }

    fn head(&self, method: &str, uri: &str, cseq: u32, to_tag: &str, branch: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n\
             From: <sip:{}@[local_ip]:[local_port]>;tag=[pid]a[call_number]\n\
             To: <sip:[service]@[remote_ip]:[remote_port]>{to_tag}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n\
             Contact: <sip:a@[local_ip]:[local_port]>\nMax-Forwards: 70\n",
            self.caller
        )
    }

    fn send(self, message: &str, retrans: bool) -> Scenario {
        let retrans = if retrans { " retrans=\"500\"" } else { "" };
        self.raw(&format!("<send{retrans}><![CDATA[\n\n{message}\n]]></send>"))
    }

    fn with_body(head: &str, more: &str) -> String {
        format!("{head}{more}Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}\n")
    }

    pub fn invite(self, more: &str) -> Scenario {
        let head =
            self.head("INVITE", "sip:[service]@[remote_ip]:[remote_port]", 1, "", "[branch]");
        let more = format!(
            "Supported: 100rel, timer\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\n{more}"
        );
        self.send(&Scenario::with_body(&head, &more), true)
    }

    /// The same INVITE again with the credentials that the last challenge asks for.
    pub fn invite_with_credentials(self, user: &str, password: &str) -> Scenario {
        let head =
            self.head("INVITE", "sip:[service]@[remote_ip]:[remote_port]", 2, "", "[branch]");
        let more = format!("[authentication username={user} password={password}]\n");
        self.send(&Scenario::with_body(&head, &more), true)
    }

    pub fn register(self, user: &str, credentials: Option<&str>) -> Scenario {
        let (cseq, more) = match credentials {
            None => (1, String::new()),
            Some(password) => {
                (2, format!("[authentication username={user} password={password}]\n"))
            }
        };
        let message = format!(
            "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
             From: <sip:{user}@sip.tandem.example>;tag=[pid]r[call_number]\nTo: <sip:{user}@sip.tandem.example>\n\
             Call-ID: [call_id]\nCSeq: {cseq} REGISTER\nContact: <sip:{user}@[local_ip]:[local_port]>\n\
             Expires: 300\nMax-Forwards: 70\n{more}Content-Length: 0\n"
        );
        self.send(&message, true)
    }

    pub fn ack(self, cseq: u32) -> Scenario {
        let head = self.head("ACK", "[next_url]", cseq, "[peer_tag_param]", "[branch]");
        self.send(&format!("{head}Content-Length: 0\n"), false)
    }

    /// The ACK of a refusal has the branch of the INVITE so many steps back.
    pub fn ack_refusal(self, cseq: u32, steps: u32) -> Scenario {
        let uri = "sip:[service]@[remote_ip]:[remote_port]";
        let head = self.head("ACK", uri, cseq, "[peer_tag_param]", &format!("[branch-{steps}]"));
        self.send(&format!("{head}Content-Length: 0\n"), false)
    }

    /// `steps`: how many steps back the INVITE was, whose branch it has.
    pub fn cancel(self, steps: u32) -> Scenario {
        let uri = "sip:[service]@[remote_ip]:[remote_port]";
        let head = self.head("CANCEL", uri, 1, "", &format!("[branch-{steps}]"));
        self.send(&format!("{head}Content-Length: 0\n"), true)
    }

    pub fn request(self, method: &str, cseq: u32, more: &str) -> Scenario {
        let head = self.head(method, "[next_url]", cseq, "[peer_tag_param]", "[branch]");
        self.send(&format!("{head}{more}Content-Length: 0\n"), true)
    }

    pub fn reinvite(self, cseq: u32) -> Scenario {
        let head = self.head("INVITE", "[next_url]", cseq, "[peer_tag_param]", "[branch]");
        self.send(&Scenario::with_body(&head, ""), true)
    }

    pub fn expect(self, status: u16) -> Scenario {
        self.raw(&format!("<recv response=\"{status}\" rrs=\"true\"/>"))
    }

    pub fn expect_challenge(self, status: u16) -> Scenario {
        self.raw(&format!("<recv response=\"{status}\" auth=\"true\"/>"))
    }

    pub fn may_hear(self, status: u16) -> Scenario {
        self.raw(&format!("<recv response=\"{status}\" optional=\"true\" rrs=\"true\"/>"))
    }

    /// A response that has to contain something.
    pub fn expect_with(self, status: u16, pattern: &str, header: &str) -> Scenario {
        self.raw(&format!(
            "<recv response=\"{status}\" rrs=\"true\"><action><ereg regexp=\"{pattern}\" search_in=\"hdr\" header=\"{header}:\" check_it=\"true\" assign_to=\"1\"/></action></recv><Reference variables=\"1\"/>"
        ))
    }

    pub fn pause(self, millis: u64) -> Scenario {
        self.raw(&format!("<pause milliseconds=\"{millis}\"/>"))
    }

    pub fn receive(self, method: &str) -> Scenario {
        if method == "INVITE" {
            return self.raw("<recv request=\"INVITE\" rrs=\"true\"><action><ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"2\"/><ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"3\"/></action></recv><Reference variables=\"2,3\"/>");
        }
        self.raw(&format!("<recv request=\"{method}\" rrs=\"true\"/>"))
    }

    /// A request whose header has to match.
    pub fn receive_with(self, method: &str, pattern: &str, header: &str) -> Scenario {
        self.raw(&format!(
            "<recv request=\"{method}\" rrs=\"true\"><action><ereg regexp=\"{pattern}\" search_in=\"hdr\" header=\"{header}:\" check_it=\"true\" assign_to=\"1\"/></action></recv><Reference variables=\"1\"/>"
        ))
    }

    /// An INVITE that says this somewhere.
    pub fn receive_invite_with(self, pattern: &str) -> Scenario {
        self.raw(&format!(
            "<recv request=\"INVITE\" rrs=\"true\"><action><ereg regexp=\"{pattern}\" search_in=\"msg\" check_it=\"true\" assign_to=\"1\"/></action></recv><Reference variables=\"1\"/>"
        ))
    }

    /// An INVITE with the right credentials; one with others is refused, and the caller hears it.
    pub fn receive_proven(self, user: &str, password: &str) -> Scenario {
        let checked = self.raw(&format!(
            "<recv request=\"INVITE\" rrs=\"true\"><action><verifyauth assign_to=\"4\" username=\"{user}\" password=\"{password}\"/></action></recv><nop hide=\"true\" next=\"1\" test=\"4\"/>"
        ));
        checked.answer(403, "").receive("ACK").raw("<label id=\"1\"/>")
    }

    pub fn answer(self, status: u16, more: &str) -> Scenario {
        self.send(&Scenario::response(status, more, false), false)
    }

    pub fn answer_with_body(self, status: u16, more: &str) -> Scenario {
        self.send(&Scenario::response(status, more, true), status >= 200)
    }

    fn response(status: u16, more: &str, body: bool) -> String {
        let mut text = format!(
            "SIP/2.0 {status} Said\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]b[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n\
             Contact: <sip:b@[local_ip]:[local_port]>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\n{more}"
        );
        if body {
            let _ = write!(text, "Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}\n");
        } else {
            text.push_str("Content-Length: 0\n");
        }
        text
    }

    /// An answer to a request within the call: the tags are there already.
    pub fn reply(self, status: u16, more: &str, body: bool) -> Scenario {
        let text = Scenario::response(status, more, body)
            .replace("[last_To:];tag=[pid]b[call_number]", "[last_To:]");
        self.send(&text, false)
    }

    /// The INVITE's own answer after its CANCEL was answered: 487, then its ACK.
    pub fn answer_cancelled(self) -> Scenario {
        self.answer_kept(487, "").receive("ACK")
    }

    /// The final answer to the INVITE when other requests came in between.
    pub fn answer_to_invite(self, status: u16) -> Scenario {
        let body = format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}\n");
        let text = format!("{}{body}", Scenario::kept(status, ""));
        self.send(&text, true)
    }

    fn kept(status: u16, more: &str) -> String {
        format!(
            "SIP/2.0 {status} Said\n[$via]\n[last_From:]\n[last_To:];tag=[pid]b[call_number]\n[last_Call-ID:]\nCSeq: 1 INVITE\n\
             Contact: <sip:b@[local_ip]:[local_port]>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\n{more}"
        )
        .replace("[$via]", "Via:[$2]")
        .replace("[last_To:];tag=[pid]b[call_number]", "To:[$3];tag=[pid]b[call_number]")
    }

    fn answer_kept(self, status: u16, more: &str) -> Scenario {
        let text = format!("{}Content-Length: 0\n", Scenario::kept(status, more));
        self.send(&text, false)
    }

    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(format!("{name}.xml"));
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<scenario name=\"{name}\">\n{}</scenario>\n",
            self.steps
        );
        std::fs::write(&path, text).expect("the scenario is written");
        path
    }
}

/// A running sipp.
pub struct Run(Option<Child>);

impl Run {
    /// Begins to listen, or to call `service` through the server.
    pub fn start(
        sipp: &Path,
        scenario: &Path,
        local: SocketAddr,
        target: Option<(SocketAddr, &str)>,
        calls: u32,
    ) -> Run {
        Run::start_over("u1", sipp, scenario, local, target, calls)
    }

    /// Over one socket of another transport: `t1` is TCP.
    pub fn start_over(
        transport: &str,
        sipp: &Path,
        scenario: &Path,
        local: SocketAddr,
        target: Option<(SocketAddr, &str)>,
        calls: u32,
    ) -> Run {
        let mut command = Command::new(sipp);
        command.arg("-sf").arg(scenario);
        command.args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()]);
        command.args(["-m", &calls.to_string(), "-nostdin", "-trace_err"]);
        command.args(["-t", transport]);
        command.args(["-timeout", "110s", "-timeout_error"]);
        command.args(["-error_file"]).arg(scenario.with_extension("err"));
        if let Some((server, service)) = target {
            command.arg(server.to_string()).args(["-s", service, "-l", "200", "-r", "100"]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir(scenario.parent().expect("a directory"))
            .spawn()
            .expect("sipp starts");
        Run(Some(child))
    }

    /// Waits for the end; the scenario has to have gone as it is written.
    pub fn finish(mut self, scenario: &Path) {
        let output: Output = self.0.take().expect("runs").wait_with_output().expect("sipp ends");
        let errors = std::fs::read_to_string(scenario.with_extension("err")).unwrap_or_default();
        assert!(output.status.success(), "{}: {errors}", scenario.display());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
