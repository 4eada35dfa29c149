//! A line with several phones: they ring together, and one of them is talked at.

use sip_protocol::digest::{Algorithm, Challenge};
use sip_protocol::{Message, Name};
use tandem_domain::calls::{Forwarding, LineCalls, Trunk};
use tandem_domain::command::{Administer, LineChange};
use tandem_domain::identifier::{CarrierId, Identity, IdentityKind, LineId, SubscriberId};
use tandem_domain::party::Standing;

use super::house::{BOB, CALLED, CALLING, House, VNO, answer, value, within};

const DESK: u16 = 6001;
const MOBILE: u16 = 6002;
const USER: (&str, &str) = ("bob", "secret");

fn bobs_line() -> LineId {
    LineId::new(SubscriberId::new(VNO, 2), 1)
}

fn calls() -> LineCalls {
    LineCalls { user: Some(USER.0.into()), ..LineCalls::default() }
}

impl House {
    /// Bob has registered two phones, the mobile last.
    fn with_phones() -> House {
        let mut house = House::new("100.00");
        house.administer(Administer::SetPeer {
            carrier: CarrierId::new(1),
            host: "phones".into(),
            realms: Vec::new(),
            standing: Standing::Active,
            is_agent: false,
            requires_tls: false,
            trunk: Some(Box::new(Trunk {
                is_access: true,
                is_probed: false,
                carries_calls: false,
                ..Trunk::to("", "49")
            })),
        });
        let number = Identity::parse(IdentityKind::Msisdn, BOB).expect("a number");
        let address = Identity::parse(IdentityKind::SipAddress, "sip:bob@sip.example");
        let identities = Some(vec![number, address.expect("an address")]);
        let change = LineChange { standing: None, barred: None, identities, payer_rules: None };
        house.administer(Administer::ChangeLine(bobs_line(), Box::new(change)));
        house.administer(Administer::SetLineCalls(bobs_line(), Box::new(calls())));
        house.engine.use_registry(&house.state.registry.clone());
        house.register(DESK);
        house.register(MOBILE);
        house
    }

    fn register(&mut self, port: u16) {
        let text = |cseq: u32, more: &str| {
            format!(
                "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{port};branch=z9hG4bKr{port}{cseq}\r\n\
                 From: <sip:bob@sip.example>;tag=r\r\nTo: <sip:bob@sip.example>\r\nCall-ID: r-{port}\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:bob@192.0.2.1:{port}>\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
            )
        };
        self.hear(port, &text(1, ""));
        let asked = self.expect(port, "SIP/2.0 401");
        let asked = Message::decode(asked.as_bytes()).expect("a message");
        let challenge = Challenge::strongest(asked.all(Name::WwwAuthenticate)).expect("one");
        let met = challenge.meet(USER, b"REGISTER", b"sip:sip.example", b"cnonce");
        let met = String::from_utf8(met).expect("text");
        self.hear(port, &text(2, &format!("Authorization: {met}\r\n")));
        let secret =
            |one: &Algorithm| (one.name().into(), one.ha1(USER.0, "sip.example", USER.1).into());
        let secrets = Algorithm::ALL.iter().map(secret).collect();
        let lookup = self.engine.lookups.pop().expect("it is looked up");
        self.engine.looked_up(self.now, lookup, Ok(secrets));
        self.settle();
        self.expect(port, "SIP/2.0 200");
    }

    /// Ann calls Bob: what his desk phone and his mobile get.
    fn ringing(&mut self) -> (String, String) {
        self.invite(BOB, "");
        (self.expect(DESK, "INVITE"), self.expect(MOBILE, "INVITE"))
    }

    fn nothing_is_left(&mut self) {
        self.wait(110_000);
        assert!(self.state.sessions.is_empty());
        assert_eq!((self.engine.calls.len(), self.engine.transactions.len()), (0, 0));
    }
}

#[test]
fn all_phones_ring_and_the_first_that_is_picked_up_has_the_call() {
    let mut house = House::with_phones();
    let (desk, mobile) = house.ringing();
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    house.expect(CALLING, "SIP/2.0 180");
    house.hear(DESK, &answer(&desk, "180 Ringing", "", ""));
    house.hear(DESK, &answer(&desk, "200 OK", "", "v=desk"));
    assert!(house.expect(CALLING, "SIP/2.0 200").ends_with("v=desk"));
    house.expect(DESK, "ACK");
    let cancel = house.expect(MOBILE, "CANCEL");
    assert!(cancel.contains("Reason: SIP;cause=200"), "no call was missed: {cancel}");
    house.hear(MOBILE, &answer(&cancel, "200 OK", "", ""));
    house.hear(MOBILE, &answer(&mobile, "487 Request Terminated", "", ""));
    house.expect(MOBILE, "ACK");
    house.wait(9_000);
    assert_eq!(house.state.sessions.len(), 1, "the call goes on");
    let bye = format!(
        "BYE sip:192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{DESK};branch=z9hG4bKbye\r\nFrom: {};tag=bt\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        value(&desk, Name::To),
        value(&desk, Name::From),
        value(&desk, Name::CallId)
    );
    house.hear(DESK, &bye);
    house.expect(DESK, "SIP/2.0 200");
    house.expect(CALLING, "BYE");
    assert!(!house.has(MOBILE, "BYE"));
    assert_eq!(house.balance(1), "99.91");
    house.nothing_is_left();
}

#[test]
fn two_phones_picked_up_at_once_are_one_call_and_one_that_is_hung_up() {
    let mut house = House::with_phones();
    let (desk, mobile) = house.ringing();
    house.hear(DESK, &answer(&desk, "200 OK", "", "v=desk"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    // Its CANCEL is still on the way.
    house.sent.clear();
    house.hear(MOBILE, &answer(&mobile, "200 OK", "", "v=mobile"));
    house.expect(MOBILE, "ACK");
    house.expect(MOBILE, "BYE");
    assert!(!house.has(DESK, "BYE") && !house.has(CALLING, "SIP/2.0"));
    house.wait(2_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    house.expect(DESK, "BYE");
    house.nothing_is_left();
}

#[test]
fn a_phone_that_is_busy_leaves_the_others_ringing_and_one_that_declines_does_not() {
    let mut house = House::with_phones();
    let (desk, mobile) = house.ringing();
    house.hear(DESK, &answer(&desk, "486 Busy Here", "", ""));
    house.expect(DESK, "ACK");
    assert!(!house.has(CALLING, "SIP/2.0 486"));
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    house.expect(CALLING, "SIP/2.0 180");
    house.hear(MOBILE, &answer(&mobile, "480 Gone", "", ""));
    assert!(house.expect(CALLING, "SIP/2.0 486").contains("cause=17"), "who is busy says more");
    house.nothing_is_left();
    house.invite_as("second", BOB, "");
    let desk = house.expect(DESK, "INVITE");
    house.hear(DESK, &answer(&desk, "603 Decline", "", ""));
    house.expect(CALLING, "SIP/2.0 603");
    house.nothing_is_left();
}

#[test]
fn a_phone_that_is_switched_off_does_not_keep_a_busy_line_ringing() {
    let mut house = House::with_phones();
    let (desk, _) = house.ringing();
    house.hear(DESK, &answer(&desk, "180 Ringing", "", ""));
    house.wait(7_000);
    house.hear(DESK, &answer(&desk, "486 Busy Here", "", ""));
    house.wait(4_900);
    assert!(!house.has(CALLING, "SIP/2.0 486"), "the other may still ring");
    house.wait(200);
    house.expect(CALLING, "SIP/2.0 486");
    house.nothing_is_left();
}

#[test]
fn media_of_one_phone_is_not_played_while_others_ring() {
    let mut house = House::with_phones();
    let (desk, mobile) = house.ringing();
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    let described = "Content-Type: application/sdp\r\n";
    house.hear(DESK, &answer(&desk, "183 Session Progress", described, "v=desk"));
    let ringing = house.expect(CALLING, "SIP/2.0 180");
    assert!(!ringing.contains("sdp"), "{ringing}");
    // Nothing can be said to one of many, but the caller's own session can be refreshed.
    house.hear(CALLING, &within(&ringing, "INFO", 2));
    house.expect(CALLING, "SIP/2.0 500");
    house.hear(CALLING, &within(&ringing, "UPDATE", 3));
    house.expect(CALLING, "SIP/2.0 200");
    house.wait(130_000);
    house.hear(DESK, &answer(&desk, "486 Busy Here", "", ""));
    // Now it is the only one.
    house.hear(MOBILE, &answer(&mobile, "183 Session Progress", described, "v=mobile"));
    assert!(house.expect(CALLING, "SIP/2.0 183").ends_with("v=mobile"));
    house.wait(51_000);
    house.expect(MOBILE, "CANCEL");
    // It is told to stop, rings once more, and is never heard of again.
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    house.nothing_is_left();
}

#[test]
fn nobody_at_home_is_forwarded_once_all_phones_rang_long_enough() {
    let mut house = House::with_phones();
    let number = "4930901820".parse().expect("digits");
    let forwarding =
        Forwarding { no_answer: Some(number), no_answer_seconds: 15, ..Forwarding::default() };
    let calls = LineCalls { forwarding, ..calls() };
    house.administer(Administer::SetLineCalls(bobs_line(), Box::new(calls)));
    let (desk, mobile) = house.ringing();
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    house.hear(DESK, &answer(&desk, "180 Ringing", "", ""));
    house.wait(15_100);
    house.expect(DESK, "CANCEL");
    house.expect(MOBILE, "CANCEL");
    house.expect(CALLED, "INVITE sip:+4930901820@");
    house.hear(DESK, &answer(&desk, "487 Request Terminated", "", ""));
    house.hear(MOBILE, &answer(&mobile, "487 Request Terminated", "", ""));
    assert!(!house.has(CALLING, "SIP/2.0 487"));
}

#[test]
fn silent_phones_are_given_up_together() {
    let mut house = House::with_phones();
    house.ringing();
    house.wait(5_100);
    house.expect(CALLING, "SIP/2.0 408");
    house.nothing_is_left();
}

#[test]
fn a_caller_that_gives_up_silences_all_phones() {
    let mut house = House::with_phones();
    let (desk, mobile) = house.ringing();
    house.hear(MOBILE, &answer(&mobile, "180 Ringing", "", ""));
    house.hear(DESK, &answer(&desk, "180 Ringing", "", ""));
    let cancel = house.invite_text("i", BOB, "").replace("INVITE", "CANCEL");
    house.hear(CALLING, &cancel);
    house.expect(CALLING, "SIP/2.0 487");
    house.expect(DESK, "CANCEL");
    house.expect(MOBILE, "CANCEL");
    house.nothing_is_left();
    assert_eq!(house.balance(1), "100.00");
}

#[test]
fn who_insists_on_reliable_answers_has_one_phone_rung_after_the_other() {
    let mut house = House::with_phones();
    house.invite(BOB, "Require: 100rel\r\n");
    let mobile = house.expect(MOBILE, "INVITE");
    assert!(!house.has(DESK, "INVITE"));
    assert!(value(&mobile, Name::Supported).contains("100rel"));
    house.hear(MOBILE, &answer(&mobile, "480 Gone", "", ""));
    house.expect(DESK, "INVITE");
    // Who only could take them has all rung, without.
    let mut house = House::with_phones();
    let text =
        house.invite_text("i", BOB, "").replace("Supported: timer", "Supported: timer, 100rel");
    house.hear(CALLING, &text);
    house.expect(DESK, "INVITE");
    assert!(!value(&house.expect(MOBILE, "INVITE"), Name::Supported).contains("100rel"));
}
