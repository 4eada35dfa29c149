//! The transaction machines against a network that loses and repeats (RFC 3261 section 17, RFC 6026).

use std::net::SocketAddr;

use sip_protocol::digest::{Algorithm, Challenge, Credentials, Nonce, Nonces};
use sip_protocol::transaction::{Expired, LIFE, T1};
use sip_protocol::{
    Event, Flow, Message, MessageWriter, Method, Millis, Name, ServerId, Tokens, Transactions,
    Transport,
};

fn flow(transport: Transport) -> Flow {
    Flow { transport, remote: SocketAddr::from(([192, 0, 2, 1], 5060)), channel: 0 }
}

struct Side {
    layer: Transactions,
    now: Millis,
    expired: Vec<Expired>,
}

impl Side {
    fn new() -> Side {
        Side { layer: Transactions::new(Tokens::new([7, 8])), now: Millis(0), expired: Vec::new() }
    }

    fn sent(&mut self) -> Vec<String> {
        let texts =
            self.layer.outgoing().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        let all = texts.collect();
        self.layer.sent();
        all
    }

    fn wait(&mut self, millis: u64) -> Vec<String> {
        let end = self.now.plus(millis);
        let mut all = Vec::new();
        while self.now < end {
            self.now = self.now.plus(8);
            let expired = &mut self.expired;
            self.layer.on_time(self.now, |what| expired.push(what));
            all.extend(self.sent());
        }
        all
    }

    fn hear(&mut self, transport: Transport, text: &str) -> Event {
        let message = Message::decode(text.as_bytes()).expect("a message");
        self.layer.receive(self.now, flow(transport), &message)
    }

    fn ask(
        &mut self,
        transport: Transport,
        method: Method<'_>,
    ) -> (sip_protocol::ClientId, String) {
        let id =
            self.layer.request(self.now, flow(transport), b"192.0.2.9", method, 5, |via, out| {
                let mut request = MessageWriter::request(out, method, b"sip:b@y");
                request.header(Name::Via, via).header(Name::From, b"<sip:a@x>;tag=1");
                request.header(Name::To, b"<sip:b@y>").header(Name::CallId, b"c").cseq(1, method);
                request.finish(&[]);
            });
        let text = self.sent().pop().expect("it is sent");
        (id, text)
    }

    fn answer(&mut self, id: ServerId, status: u16) {
        self.layer.respond(self.now, id, status, |out| {
            let mut response = MessageWriter::response(out, status);
            response.header(Name::Via, b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKs");
            response.header(Name::From, b"<sip:a@x>;tag=1").header(Name::To, b"<sip:b@y>;tag=2");
            response.header(Name::CallId, b"c").cseq(1, Method::Invite);
            response.finish(&[]);
        });
    }
}

fn reply(request: &str, status: u16) -> String {
    let via = request.lines().find(|line| line.starts_with("Via")).expect("a Via");
    let cseq = request.lines().find(|line| line.starts_with("CSeq")).expect("a CSeq");
    format!(
        "SIP/2.0 {status} X\r\n{via}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: c\r\n{cseq}\r\n\r\n"
    )
}

fn incoming(method: &str) -> String {
    format!(
        "{method} sip:b@y SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKs\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
    )
}

#[test]
fn an_invite_is_repeated_at_doubling_intervals_and_given_up_after_32_seconds() {
    let mut side = Side::new();
    let (id, _) = side.ask(Transport::Udp, Method::Invite);
    // 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    assert_eq!(side.wait(LIFE - 100).len(), 6);
    assert!(side.expired.is_empty());
    side.wait(200);
    assert_eq!(side.expired, [Expired::NoAnswer(id, 5)]);
    assert!(side.layer.is_empty());
}

#[test]
fn on_a_reliable_transport_nothing_is_repeated() {
    let mut side = Side::new();
    side.ask(Transport::Tcp, Method::Bye);
    assert!(side.wait(LIFE - 100).is_empty());
    side.wait(200);
    assert_eq!(side.expired.len(), 1);
}

#[test]
fn a_refusal_is_acknowledged_every_time_it_comes_and_told_once() {
    let mut side = Side::new();
    let (id, invite) = side.ask(Transport::Udp, Method::Invite);
    let busy = reply(&invite, 486);
    assert_eq!(side.hear(Transport::Udp, &busy), Event::Response(id, 5));
    let ack = side.sent().pop().expect("an ACK");
    assert!(ack.starts_with("ACK sip:b@y"));
    let via = |text: &str| text.lines().find(|line| line.starts_with("Via")).map(str::to_owned);
    assert_eq!(via(&ack), via(&invite), "the ACK belongs to the INVITE's transaction");
    assert_eq!(side.hear(Transport::Udp, &busy), Event::Absorbed);
    assert_eq!(side.sent(), [ack]);
}

#[test]
fn a_cancel_waits_for_the_first_provisional_answer() {
    let mut side = Side::new();
    let (id, invite) = side.ask(Transport::Udp, Method::Invite);
    side.layer.cancel(side.now, id, Some(b"SIP;cause=200"));
    assert!(side.sent().is_empty());
    assert_eq!(side.hear(Transport::Udp, &reply(&invite, 180)), Event::Response(id, 5));
    let cancel = side.sent().pop().expect("a CANCEL");
    assert!(
        cancel.starts_with("CANCEL")
            && cancel.contains("CSeq: 1 CANCEL")
            && cancel.contains("Reason")
    );
    assert_eq!(side.hear(Transport::Udp, &reply(&cancel, 200)), Event::Absorbed);
    assert_eq!(side.hear(Transport::Udp, &reply(&invite, 487)), Event::Response(id, 5));
}

#[test]
fn an_answer_with_a_forged_branch_reaches_nobody() {
    let mut side = Side::new();
    let (_, invite) = side.ask(Transport::Udp, Method::Invite);
    let branch = invite.split("branch=").nth(1).and_then(|rest| rest.lines().next()).expect("one");
    let last = if branch.ends_with('0') { "1" } else { "0" };
    let forged = invite.replace(branch, &format!("{}{last}", &branch[..branch.len() - 1]));
    assert_eq!(side.hear(Transport::Udp, &reply(&forged, 200)), Event::Absorbed);
}

#[test]
fn a_repeated_request_gets_the_same_answer_and_is_told_once() {
    let mut side = Side::new();
    let Event::Request(id) = side.hear(Transport::Udp, &incoming("INVITE")) else { panic!("new") };
    side.answer(id, 180);
    let ringing = side.sent();
    assert_eq!(side.hear(Transport::Udp, &incoming("INVITE")), Event::Absorbed);
    assert_eq!(side.sent(), ringing);
    side.answer(id, 486);
    let busy = side.sent();
    assert_eq!(side.wait(T1 + 100), busy, "sent again until it is acknowledged");
    assert_eq!(side.hear(Transport::Udp, &incoming("ACK")), Event::Absorbed);
    assert!(side.wait(20_000).is_empty());
    assert!(side.layer.is_empty());
}

#[test]
fn a_2xx_is_repeated_until_its_ack_and_missed_after_32_seconds() {
    let mut side = Side::new();
    let Event::Request(id) = side.hear(Transport::Tcp, &incoming("INVITE")) else { panic!("new") };
    side.layer.own(id, 9);
    side.answer(id, 200);
    side.sent();
    assert!(!side.wait(2_000).is_empty(), "on any transport");
    let mut other = Side::new();
    let Event::Request(acked) = other.hear(Transport::Udp, &incoming("INVITE")) else {
        panic!("new")
    };
    other.answer(acked, 200);
    other.sent();
    other.layer.acknowledge(acked);
    assert!(other.wait(LIFE + 100).is_empty());
    assert!(other.expired.is_empty() && other.layer.is_empty());
    side.wait(LIFE);
    assert_eq!(side.expired, [Expired::NoAck(id, 9)]);
}

#[test]
fn a_cancel_names_the_invite_it_is_for_and_one_for_nothing_hears_481() {
    let mut side = Side::new();
    assert_eq!(side.hear(Transport::Udp, &incoming("CANCEL")), Event::Absorbed);
    assert!(side.sent()[0].starts_with("SIP/2.0 481"));
    let mut side = Side::new();
    let Event::Request(id) = side.hear(Transport::Udp, &incoming("INVITE")) else { panic!("new") };
    side.layer.own(id, 3);
    assert_eq!(side.hear(Transport::Udp, &incoming("CANCEL")), Event::Cancel(id, 3));
    assert!(side.sent()[0].starts_with("SIP/2.0 200"));
}

#[test]
fn digests_are_those_of_rfc_7616() {
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let md5 = "8ca523f5e9506fed4657c9700eebdbec";
    let sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
    for (algorithm, expected) in [(Algorithm::Md5, md5), (Algorithm::Sha256, sha)] {
        let header = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={}, nonce=\"{nonce}\", nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{expected}\"",
            algorithm.name()
        );
        let credentials = Credentials::parse(header.as_bytes()).expect("credentials");
        let ha1 = algorithm.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        assert!(credentials.prove(&ha1, b"GET"));
        assert!(!credentials.prove(&ha1, b"POST"));
        assert_eq!(credentials.nonce_count(), Some(1));
        let asked = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={}, nonce=\"{nonce}\", opaque=\"o\"",
            algorithm.name()
        );
        let challenge = Challenge::parse(asked.as_bytes()).expect("a challenge");
        let login = ("Mufasa", "Circle of Life");
        let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let met = challenge.meet(login, b"GET", b"/dir/index.html", cnonce);
        let met = String::from_utf8(met).expect("text");
        assert!(met.contains(expected) && met.ends_with("opaque=\"o\""), "{met}");
        assert!(Credentials::parse(met.as_bytes()).expect("credentials").prove(&ha1, b"GET"));
    }
}

#[test]
fn the_strongest_challenge_that_can_be_met_is_met() {
    let challenges: [&[u8]; 5] = [
        b"Basic realm=\"a\"",
        b"Digest realm=\"a\", nonce=\"1\"",
        b"Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth-int\"",
        b"Digest realm=\"a\", nonce=\"3\", algorithm=SHA-256, qop=\"auth\", stale=TRUE",
        b"Digest realm=\"a\", nonce=\"4\", algorithm=MOON",
    ];
    let strongest = Challenge::strongest(challenges.into_iter()).expect("one");
    assert_eq!((strongest.nonce, strongest.is_stale), (&b"3"[..], true));
    let old = Challenge::parse(challenges[1]).expect("RFC 2069");
    assert!(!old.counts && old.algorithm == Algorithm::Md5);
    let met = old.meet(("u", "p"), b"INVITE", b"sip:a", b"c");
    let ha1 = Algorithm::Md5.ha1("u", "a", "p");
    assert!(Credentials::parse(&met).expect("credentials").prove(&ha1, b"INVITE"));
    assert_eq!(Challenge::strongest([&b"Digest"[..]].into_iter()), None);
}

#[test]
fn a_nonce_is_ours_for_a_while_and_never_the_same_twice() {
    let nonces = Nonces::new(Tokens::new([1, 2]), 300);
    let nonce = nonces.issue(1_000, 77);
    assert_ne!(nonce, nonces.issue(1_000, 78));
    assert_eq!(nonces.check(nonce.as_bytes(), 1_300), Nonce::Fresh);
    assert_eq!(nonces.check(nonce.as_bytes(), 1_301), Nonce::Stale);
    let other = Nonces::new(Tokens::new([1, 3]), 300);
    assert_eq!(other.check(nonce.as_bytes(), 1_000), Nonce::Foreign);
    assert_eq!(nonces.check(b"short", 1_000), Nonce::Foreign);
}

/// An INVITE with a body of this many octets, and how it went out.
fn long_invite(side: &mut Side, length: usize) -> (sip_protocol::ClientId, Transport, String) {
    let body = vec![b'x'; length];
    let id = side.layer.request(
        side.now,
        flow(Transport::Udp),
        b"192.0.2.9",
        Method::Invite,
        5,
        |via, out| {
            let mut request = MessageWriter::request(out, Method::Invite, b"sip:b@y");
            request.header(Name::Via, via).header(Name::From, b"<sip:a@x>;tag=1");
            request.header(Name::To, b"<sip:b@y>").header(Name::CallId, b"c");
            request.cseq(1, Method::Invite);
            request.finish(&body);
        },
    );
    let sent: Vec<_> = side
        .layer
        .outgoing()
        .map(|(flow, bytes)| (flow.transport, String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    side.layer.sent();
    let [(transport, text)] = sent.as_slice() else { panic!("sent once: {sent:?}") };
    (id, *transport, text.clone())
}

#[test]
fn what_is_too_long_for_a_datagram_goes_over_a_connection_and_back_if_there_is_none() {
    let mut side = Side::new();
    let (_, transport, _) = long_invite(&mut side, 900);
    assert_eq!(transport, Transport::Udp);
    let (_, transport, text) = long_invite(&mut side, 1200);
    assert_eq!(transport, Transport::Tcp);
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.9;"), "{text}");
    let mut expired = Vec::new();
    side.layer.broken(side.now, flow(Transport::Tcp), |what| expired.push(what));
    assert!(expired.is_empty(), "another way is open");
    let again = side.sent().pop().expect("as a datagram after all");
    assert_eq!(again, text.replace("SIP/2.0/TCP", "SIP/2.0/UDP"));
    // Nobody tries that connection again for a while.
    assert_eq!(long_invite(&mut side, 1200).1, Transport::Udp);
    side.wait(600_100);
    assert_eq!(long_invite(&mut side, 1200).1, Transport::Tcp);
}

#[test]
fn a_request_whose_connection_breaks_fails_at_once() {
    let mut side = Side::new();
    let (id, _) = side.ask(Transport::Tcp, Method::Invite);
    let mut expired = Vec::new();
    side.layer.broken(side.now, flow(Transport::Tcp), |what| expired.push(what));
    assert_eq!(expired, [Expired::NoWay(id, 5)]);
    assert!(side.layer.is_empty());
}
