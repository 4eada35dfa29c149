//! Calls in virtual time: the engine, the charging core and two scripted switches in one loop.

mod again;
mod borders;
mod house;
mod numbers;
mod ordered;
mod phones;
mod verification;

use house::{ANN, BOB, CALLED, CALLING, House, VNO, answer, flow, value, within};
use proptest::prelude::*;
use sip_protocol::Name;
use tandem_domain::calls::{Forwarding, LineCalls, VnoCalls, Webhook};
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::identifier::{LineId, SubscriberId};

use super::call::Consent;

#[test]
fn a_call_costs_its_seconds_and_its_reservation_is_renewed_unheard() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking("+4930901820", "");
    house.sent.clear();
    // Far longer than one slice of 300 seconds.
    house.wait(800_400);
    assert!(house.sent.is_empty(), "no signalling is needed to pay: {:?}", house.sent);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    house.expect(CALLING, "SIP/2.0 200");
    house.expect(CALLED, "BYE");
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (801, "91.99"));
    assert!(house.state.sessions.is_empty());
}

#[test]
fn the_last_paid_second_is_the_last_one() {
    let mut house = House::new("0.25");
    house.talking("+4930901820", "");
    house.sent.clear();
    house.wait(24_990);
    assert!(house.sent.is_empty(), "{:?}", house.sent);
    house.wait(24);
    for port in [CALLING, CALLED] {
        assert!(house.expect(port, "BYE").contains("credit exhausted"));
    }
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (25, "0.00"));
}

#[test]
fn a_call_lasts_as_long_as_line_and_vno_allow_and_running_ones_follow_their_change() {
    let mut house = House::new("100.00");
    let line = LineId::new(SubscriberId::new(VNO, 1), 1);
    let limit = |house: &mut House, seconds_max| {
        let calls = LineCalls { seconds_max, ..LineCalls::default() };
        house.administer(Administer::SetLineCalls(line, Box::new(calls)));
        house.settle();
    };
    limit(&mut house, 60);
    house.talking("+4930901820", "");
    house.wait(30_000);
    limit(&mut house, 100);
    house.wait(50_000);
    assert!(!house.has(CALLED, "BYE"), "the longer limit holds for it");
    let rules = VnoCalls { seconds_max: 90, ..VnoCalls::default() };
    let change = VnoChange { calls: Some(Box::new(rules)), ..VnoChange::default() };
    house.administer(Administer::ChangeVno(VNO, Box::new(change)));
    house.settle();
    house.wait(9_900);
    assert!(!house.has(CALLED, "BYE"));
    house.wait(200);
    for port in [CALLING, CALLED] {
        assert!(house.expect(port, "BYE").contains("maximum duration"));
    }
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (90, "99.10"));

    let mut house = House::new("100.00");
    house.talking("+4930901820", "");
    house.wait(30_000);
    limit(&mut house, 20);
    assert!(
        house.expect(CALLED, "BYE").contains("maximum duration"),
        "it has lasted longer already"
    );
    assert_eq!(house.seconds_used, 30);
}

#[test]
fn a_caller_who_promised_to_refresh_and_does_not_is_taken_for_dead() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking("+4930901820", "Session-Expires: 90;refresher=uac\r\n");
    assert!(ok.contains("Session-Expires: 90;refresher=uac"));
    house.sent.clear();
    house.wait(59_900);
    assert!(!house.has(CALLED, "BYE"));
    house.wait(200);
    assert!(house.expect(CALLED, "BYE").contains("lost"));
    assert_eq!(house.seconds_used, 61);
}

#[test]
fn a_leg_that_does_not_know_the_call_any_more_ends_it_on_the_other_too() {
    let mut house = House::new("100.00");
    house.talking("+4930901820", "Session-Expires: 90\r\n");
    house.sent.clear();
    house.wait(45_100);
    let refresh = house.expect(CALLING, "UPDATE");
    assert!(refresh.contains("Session-Expires: 90;refresher=uac"));
    let gone = answer(&refresh, "481 Call/Transaction Does Not Exist", "", "");
    house.hear(CALLING, &gone);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 46);
}

#[test]
fn a_lost_bye_is_noticed_by_the_silence_and_charged_to_it() {
    let mut house = House::new("100.00");
    house.talking("+4930901820", "Session-Expires: 90\r\n");
    house.sent.clear();
    // Nobody answers the refresh: 45 seconds, and 32 of repeats.
    house.wait(80_000);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 78);
}

#[test]
fn a_caller_that_has_heard_nothing_after_a_while_is_told_that_its_call_is_worked_on() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "Timestamp: 54.21 0.5\r\n");
    house.wait(190);
    assert!(!house.has(CALLING, "SIP/2.0 100"));
    house.wait(30);
    let trying = house.expect(CALLING, "SIP/2.0 100");
    assert_eq!(
        value(&trying, Name::Timestamp),
        "54.21 0.208",
        "when it sent, and how long we took"
    );

    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    house.wait(220);
    assert!(!house.expect(CALLING, "SIP/2.0 100").contains("Timestamp"));

    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    let invite = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&invite, "180 Ringing", "", ""));
    house.expect(CALLING, "SIP/2.0 180");
    house.wait(1_000);
    assert!(!house.has(CALLING, "SIP/2.0 100"), "it knows more already");
}

#[test]
fn an_answer_that_is_never_acknowledged_ends_the_call() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    let invite = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    house.sent.clear();
    house.wait(3_000);
    assert!(house.has(CALLING, "SIP/2.0 200"), "the 200 is sent again");
    house.wait(30_000);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 33);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up_at_once() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    let invite = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&invite, "180 Ringing", "", ""));
    let ringing = house.expect(CALLING, "SIP/2.0 180");
    let cancel = within(&ringing, "CANCEL", 1)
        .replace("z9hG4bKCANCEL1", "z9hG4bKi")
        .replace(&value(&ringing, Name::To), "<sip:+4930901820@x>");
    house.hear(CALLING, &cancel);
    house.expect(CALLING, "SIP/2.0 487");
    house.expect(CALLED, "CANCEL");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    house.expect(CALLED, "ACK");
    house.expect(CALLED, "BYE");
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (0, "100.00"));
}

#[test]
fn a_platform_that_takes_nothing_is_said_at_once_and_nothing_rings() {
    let mut house = House::new("100.00");
    house.is_deaf = true;
    house.invite("+4930901820", "");
    assert!(house.expect(CALLING, "SIP/2.0 503").contains("Retry-After"));
    assert!(!house.has(CALLED, "INVITE"));
}

#[test]
fn a_forwarded_call_is_paid_by_who_forwards_it() {
    let mut house = House::new("100.00");
    let bob = LineId::new(SubscriberId::new(VNO, 2), 1);
    let number = "4930901820".parse().expect("digits");
    let calls = LineCalls {
        forwarding: Forwarding { always: Some(number), ..Forwarding::default() },
        ..LineCalls::default()
    };
    house.administer(Administer::SetLineCalls(bob, Box::new(calls)));
    let (invite, ok) = house.talking(BOB, "");
    assert!(invite.starts_with("INVITE sip:+4930901820@"));
    house.wait(10_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    // Ann pays for calling Bob, Bob for the call to the number.
    assert_eq!((house.balance(1), house.balance(2)), ("99.90".into(), "99.90".into()));
}

impl House {
    /// A VNO that is asked about every call.
    fn asking(money: &str) -> House {
        let mut house = House::new(money);
        let webhook = Webhook {
            url: "https://aria.example/calls".into(),
            secret: "s".into(),
            timeout_millis: 500,
            allows_by_default: false,
        };
        let calls = VnoCalls { webhook: Some(webhook), ..VnoCalls::default() };
        let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
        house.administer(Administer::ChangeVno(VNO, Box::new(change)));
        house.invite("+4930901820", "");
        assert!(!house.has(CALLED, "INVITE"), "nothing rings before the VNO has spoken");
        house
    }

    fn consent(&mut self, consent: Consent) {
        let (id, _, question) = self.engine.consents.pop().expect("the VNO is asked");
        assert!(question.contains(ANN), "{question}");
        self.engine.consented(self.now, id, consent);
        self.settle();
    }
}

#[test]
fn the_vno_may_allow_a_call_show_another_number_and_limit_it() {
    let mut house = House::asking("100.00");
    let caller = "493000".parse().ok();
    house.consent(Consent::Allow { caller, seconds_max: Some(20) });
    let invite = house.expect(CALLED, "INVITE sip:+4930901820@");
    assert!(invite.contains("From: <sip:+493000@"));
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.wait(20_100);
    assert!(house.expect(CALLED, "BYE").contains("maximum duration"));
    assert_eq!(house.balance(1), "99.80");
}

#[test]
fn the_vno_may_refuse_a_call_with_a_cause_and_nothing_stays_reserved() {
    let mut house = House::asking("100.00");
    house.consent(Consent::Refuse { cause: Some(17) });
    assert!(house.expect(CALLING, "SIP/2.0 486").contains("cause=17"));
    assert_eq!(house.balance(1), "100.00");
    assert!(house.state.sessions.is_empty());
}

#[test]
fn the_vno_may_send_a_call_elsewhere_and_that_is_what_is_paid_for() {
    let mut house = House::asking("100.00");
    house.consent(Consent::Redirect("44207".parse().expect("digits")));
    let invite = house.expect(CALLED, "INVITE sip:+44207@");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.wait(3_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    assert_eq!(house.balance(1), "99.97");
    assert!(house.trail.contains("redirected by the VNO to 44207"), "{}", house.trail);
}

#[test]
fn too_short_a_session_timer_an_unknown_extension_and_too_many_hops_are_refused() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "Session-Expires: 60\r\n");
    assert!(house.expect(CALLING, "SIP/2.0 422").contains("Min-SE: 90"));
    let mut house = House::new("100.00");
    house.invite("+4930901820", "Require: teleport\r\n");
    assert!(house.expect(CALLING, "SIP/2.0 420").contains("Unsupported: teleport"));
    let mut house = House::new("100.00");
    house.invite(
        "+4930901820",
        "Diversion: <sip:a@x>, <sip:b@x>, <sip:c@x>, <sip:d@x>, <sip:e@x>, <sip:f@x>\r\n",
    );
    house.expect(CALLING, "SIP/2.0 482");
    assert!(house.state.sessions.is_empty());
}

#[test]
fn strangers_hear_nothing() {
    let mut house = House::new("100.00");
    let text = "OPTIONS sip:192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKo\r\nFrom: <sip:x@x>;tag=1\r\nTo: <sip:x@x>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    house.hear(5999, text);
    assert!(house.sent.is_empty());
    assert_eq!(house.engine.counts.unknown_sources, 1);
    house.hear(CALLED, text);
    house.expect(5060, "SIP/2.0 200");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A running call goes on whatever a switch sends beside it.
    #[test]
    fn damaged_messages_disturb_no_call(
        damage in prop::collection::vec((0usize..700, any::<u8>()), 1..12),
        cut in 0usize..700,
    ) {
        let mut house = House::new("100.00");
        let (_, ok) = house.talking("+4930901820", "");
        let template = within(&ok, "UPDATE", 2).replace("f\r\nTo", "other\r\nTo");
        let mut bytes = template.into_bytes();
        for (at, octet) in damage {
            let length = bytes.len();
            bytes[at % length] = octet;
        }
        bytes.truncate(cut.max(20));
        house.engine.message(house.now, flow(CALLED), &bytes);
        house.settle();
        house.wait(1_000);
        house.hear(CALLING, &within(&ok, "BYE", 9));
        prop_assert!(house.state.sessions.is_empty());
        prop_assert!(house.seconds_used <= 2);
    }
}
