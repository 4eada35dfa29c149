//! Calls that the VNO orders: the phone first, then the other party.

use sip_protocol::Name;
use smallvec::SmallVec;
use tandem_domain::identifier::{Identity, IdentityKind, PeerId};

use super::super::call::{Order, originate};
use super::super::engine::io;
use super::house::{ANN, CALLED, CALLING, House, answer, flow, value};

/// A known source must do for the phone.
const PHONE: u16 = CALLING;
const SDP: &str = "Content-Type: application/sdp\r\n";

impl House {
    /// Has Ann's phone called, to be connected to a number outside; the INVITE that it gets.
    fn order(&mut self) -> String {
        let id = self.engine.calls.reserve();
        let ann = Identity::parse(IdentityKind::Msisdn, ANN).expect("a number");
        let order = Order {
            uri: b"sip:ann@192.0.2.1:5080".as_slice().into(),
            flow: flow(PHONE),
            access: PeerId::new(1),
            identities: SmallVec::from_iter([ann.clone()]),
            number: ann.digits(),
            called: "4930901820".parse().expect("digits"),
        };
        let call = originate(io!(self.engine, self.now), id, order).expect("there is room");
        self.engine.calls.fill(id, call);
        self.settle();
        self.expect(PHONE, "INVITE")
    }

    fn picked_up(&mut self) -> (String, String) {
        let first = self.order();
        assert!(first.ends_with("\r\n\r\n"), "the phone makes the offer: {first}");
        self.hear(PHONE, &from_phone(&first, "180 Ringing", "", ""));
        self.hear(PHONE, &from_phone(&first, "200 OK", SDP, "v=offer"));
        let second = self.expect(CALLED, "INVITE");
        assert!(second.ends_with("v=offer") && second.contains("application/sdp"), "{second}");
        assert!(second.contains(&format!("<sip:{ANN}@")), "the line calls: {second}");
        (first, second)
    }

    fn is_over(&mut self) {
        self.wait(70_000);
        assert!(self.state.sessions.is_empty());
        assert_eq!(self.engine.calls.len(), 0);
    }
}

/// An answer of the phone.
fn from_phone(request: &str, status: &str, more: &str, body: &str) -> String {
    answer(request, status, more, body).replace(&format!(":{CALLED}>"), &format!(":{PHONE}>"))
}

/// A request of the phone within the call that `invite` began.
fn of_phone(invite: &str, method: &str) -> String {
    format!(
        "{method} sip:192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{PHONE};branch=z9hG4bKp{method}\r\nFrom: {};tag=bt\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        value(invite, Name::To),
        value(invite, Name::From),
        value(invite, Name::CallId)
    )
}

#[test]
fn both_parties_get_each_other_s_descriptions_and_the_line_pays() {
    let mut house = House::new("10.00");
    let (first, second) = house.picked_up();
    house.hear(CALLED, &answer(&second, "180 Ringing", "", ""));
    house.hear(CALLED, &answer(&second, "200 OK", SDP, "v=answer"));
    house.expect(CALLED, "ACK");
    let ack = house.expect(PHONE, "ACK");
    assert!(ack.ends_with("v=answer") && ack.contains("application/sdp"), "{ack}");
    house.wait(9_500);
    house.hear(PHONE, &of_phone(&first, "BYE"));
    house.expect(PHONE, "SIP/2.0 200");
    let bye = house.expect(CALLED, "BYE");
    house.hear(CALLED, &answer(&bye, "200 OK", "", ""));
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (10, "9.90"));
    assert!(house.trail.starts_with("ordered by the VNO"), "{}", house.trail);
    house.is_over();
}

#[test]
fn a_phone_that_nobody_picks_up_is_left_in_peace() {
    let mut house = House::new("10.00");
    let invite = house.order();
    house.hear(PHONE, &from_phone(&invite, "180 Ringing", "", ""));
    house.wait(59_000);
    assert!(!house.has(PHONE, "CANCEL"));
    house.wait(1_500);
    let cancel = house.expect(PHONE, "CANCEL");
    house.hear(PHONE, &from_phone(&cancel, "200 OK", "", ""));
    house.hear(PHONE, &from_phone(&invite, "487 Request Terminated", "", ""));
    assert!(!house.has(CALLED, "INVITE"));
    house.is_over();
    assert_eq!(house.balance(1), "10.00");
}

#[test]
fn without_money_the_phone_is_hung_up_and_nobody_else_rings() {
    let mut house = House::new("0.001");
    let invite = house.order();
    house.hear(PHONE, &from_phone(&invite, "200 OK", SDP, "v=offer"));
    house.expect(PHONE, "ACK");
    house.expect(PHONE, "BYE");
    assert!(!house.has(CALLED, "INVITE"));
    house.is_over();
}

#[test]
fn who_is_busy_or_silent_ends_it_for_the_phone_too() {
    let mut house = House::new("10.00");
    let (_, second) = house.picked_up();
    house.hear(CALLED, &answer(&second, "486 Busy Here", "", ""));
    house.expect(PHONE, "ACK");
    house.expect(PHONE, "BYE");
    let (_, second) = house.picked_up();
    house.hear(CALLED, &answer(&second, "180 Ringing", "", ""));
    house.wait(31_000);
    house.expect(CALLED, "CANCEL");
    house.expect(PHONE, "BYE");
    house.is_over();
    assert_eq!(house.balance(1), "10.00");
}

#[test]
fn a_phone_that_is_put_down_early_calls_nobody() {
    let mut house = House::new("10.00");
    let (first, second) = house.picked_up();
    house.hear(CALLED, &answer(&second, "180 Ringing", "", ""));
    house.hear(PHONE, &of_phone(&first, "BYE"));
    house.expect(PHONE, "SIP/2.0 200");
    house.expect(CALLED, "CANCEL");
    assert!(!house.has(PHONE, "BYE"));
    let refused = house.order();
    house.hear(PHONE, &from_phone(&refused, "603 Decline", "", ""));
    house.is_over();
    assert_eq!(house.balance(1), "10.00");
}

#[test]
fn what_a_phone_behind_an_address_translator_says_of_itself_misleads_nobody() {
    let mut house = House::new("100.00");
    let first = house.order();
    let hidden =
        |text: String| text.replace(&format!("sip:b@192.0.2.1:{PHONE}"), "sip:b@10.0.0.7:5060");
    house.hear(PHONE, &hidden(from_phone(&first, "200 OK", SDP, "v=offer")));
    let second = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&second, "200 OK", SDP, "v=answer"));
    let ack = house.expect(PHONE, "ACK sip:b@10.0.0.7:5060");
    assert!(ack.ends_with("v=answer"), "{ack}");
    // Its way may become another one; who only knows the dialog's names is not it.
    let update = of_phone(&first, "UPDATE");
    house.hear(CALLED, &update.replace(";tag=bt", ";tag=guess"));
    house.expect(PHONE, "SIP/2.0 481");
    house.hear(CALLED, &update.replace("z9hG4bKp", "z9hG4bKq"));
    house.order_end();
    house.expect(CALLED, "BYE sip:b@10.0.0.7:5060");
    assert!(!house.has(5060, ""), "nothing goes where nobody is");
}
