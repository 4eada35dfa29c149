//! What crosses a border and what does not: identities, emergency, early media, timers, a restart.

use sip_protocol::Name;
use tandem_domain::calls::{Forwarding, LineCalls};
use tandem_domain::command::Administer;
use tandem_domain::identifier::{LineId, SubscriberId};

use super::house::{ANN, BOB, CALLED, CALLING, House, VNO, answer, value, within};

const ELSEWHERE: &str = "+4930901820";

fn line_of(subscriber: u32) -> LineId {
    LineId::new(SubscriberId::new(VNO, subscriber), 1)
}

#[test]
fn what_an_untrusted_switch_says_of_the_caller_costs_nobody_of_ours_anything() {
    let mut house = House::new("100.00");
    house.trust(CALLING, false);
    house.invite(ELSEWHERE, "");
    house.expect(CALLING, "SIP/2.0 404");
    assert!(!house.has(CALLED, "INVITE"));
    assert_eq!(house.balance(1), "100.00");
}

#[test]
fn early_media_has_an_end_however_often_it_is_announced() {
    let mut house = House::new("100.00");
    house.invite(ELSEWHERE, "");
    let invite = house.expect(CALLED, "INVITE");
    for _ in 0..11 {
        house.hear(CALLED, &answer(&invite, "183 Session Progress", "", "v=0"));
        house.wait(10_000);
    }
    assert!(!house.has(CALLED, "CANCEL"));
    house.hear(CALLED, &answer(&invite, "183 Session Progress", "", "v=0"));
    house.wait(11_000);
    house.expect(CALLED, "CANCEL");
    house.expect(CALLING, "SIP/2.0 480");
    assert_eq!(house.balance(1), "100.00");
}

#[test]
fn a_withheld_number_is_told_to_trusted_switches_only_where_they_look_for_it() {
    let mut house = House::new("100.00");
    let calls = LineCalls { withholds_number: true, ..LineCalls::default() };
    house.administer(Administer::SetLineCalls(line_of(1), Box::new(calls)));
    house.invite(ELSEWHERE, "");
    let invite = house.expect(CALLED, "INVITE");
    assert!(invite.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{invite}");
    assert!(invite.contains(&format!("P-Asserted-Identity: <sip:{ANN}@")), "{invite}");
    assert!(invite.contains("Privacy: id"), "{invite}");
    house.trust(CALLED, false);
    house.invite_as("second", ELSEWHERE, "");
    let invite = house.expect(CALLED, "INVITE");
    assert!(!invite.contains(ANN.trim_start_matches('+')), "{invite}");
}

#[test]
fn who_forwards_is_named_to_the_next() {
    let mut house = House::new("100.00");
    let number = ELSEWHERE[1..].parse().expect("digits");
    let forwarding = Forwarding { always: Some(number), ..Forwarding::default() };
    let calls = LineCalls { forwarding, ..LineCalls::default() };
    house.administer(Administer::SetLineCalls(line_of(2), Box::new(calls)));
    house.invite(BOB, "");
    let invite = house.expect(CALLED, "INVITE");
    let expected = format!("Diversion: <sip:{BOB}@sip.example>;reason=unconditional");
    assert!(invite.contains(&expected), "{invite}");
}

#[test]
fn what_waits_for_an_answer_when_the_call_ends_gets_one() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking(ELSEWHERE, "");
    house.hear(CALLING, &within(&ok, "INFO", 2));
    house.expect(CALLED, "INFO");
    house.hear(CALLING, &within(&ok, "BYE", 3));
    house.sent.retain(|(_, text)| !text.contains("BYE"));
    assert!(house.expect(CALLING, "SIP/2.0 487").contains("INFO"));
    house.wait(70_000);
    assert!(house.engine.transactions.is_empty(), "nothing is left of it");
}

#[test]
fn a_re_invite_keeps_the_other_leg_s_timer_and_can_be_taken_back() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking(ELSEWHERE, "Session-Expires: 90\r\n");
    let again = within(&ok, "INVITE", 2)
        .replace("Content-Length", "Contact: <sip:a@192.0.2.1:5080>\r\nContent-Length");
    house.hear(CALLING, &again);
    let relayed = house.expect(CALLED, "INVITE");
    assert!(relayed.contains("Session-Expires: 1800;refresher=uac"), "{relayed}");
    house.hear(CALLED, &answer(&relayed, "180 Ringing", "", ""));
    house.hear(CALLING, &within(&ok, "CANCEL", 2).replace("z9hG4bKCANCEL2", "z9hG4bKINVITE2"));
    house.expect(CALLED, "CANCEL");
    house.hear(CALLED, &answer(&relayed, "487 Request Terminated", "", ""));
    house.expect(CALLING, "SIP/2.0 487");
    house.hear(CALLING, &within(&ok, "BYE", 3));
    assert!(house.state.sessions.is_empty());
}

#[test]
fn a_switch_that_knows_no_update_has_its_timer_renewed_by_a_re_invite_that_changes_nothing() {
    let mut house = House::new("100.00");
    house.invite(ELSEWHERE, "");
    let invite = house.expect(CALLED, "INVITE");
    let timer = "Session-Expires: 90;refresher=uac\r\n";
    house.hear(CALLED, &answer(&invite, "200 OK", timer, "v=1"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.sent.clear();
    house.wait(45_100);
    let again = house.expect(CALLED, "INVITE");
    assert!(
        again.contains("Session-Expires: 90;refresher=uac") && again.ends_with("v=0"),
        "{again}"
    );
    house.hear(CALLED, &answer(&again, "200 OK", timer, "v=1"));
    house.expect(CALLED, "ACK");
    assert!(!house.has(CALLING, "INVITE"), "the caller hears nothing of it");
    house.wait(45_100);
    house.expect(CALLED, "INVITE");
    house.hear(CALLING, &within(&ok, "BYE", 2));
    assert_eq!(house.seconds_used, 91);
}

#[test]
fn a_call_that_ended_unheard_is_charged_to_the_last_that_is_known_of_it() {
    let mut house = House::new("100.00");
    house.talking(ELSEWHERE, "Allow: INVITE, UPDATE\r\n");
    // Renewed at 290 seconds; the process dies at 300 and is back at 400.
    house.wait(300_000);
    house.restart(100_000);
    house.wait(600);
    let refresh = house.expect(CALLING, "UPDATE");
    house.hear(CALLING, &answer(&refresh, "481 Call/Transaction Does Not Exist", "", ""));
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 291);
    assert!(house.state.sessions.is_empty());
}

#[test]
fn a_forwarded_call_lives_through_a_restart_with_both_who_pay() {
    let mut house = House::new("100.00");
    let number = ELSEWHERE[1..].parse().expect("digits");
    let forwarding = Forwarding { always: Some(number), ..Forwarding::default() };
    let calls = LineCalls { forwarding, ..LineCalls::default() };
    house.administer(Administer::SetLineCalls(line_of(2), Box::new(calls)));
    house.talking(BOB, "Allow: INVITE, UPDATE\r\n");
    house.wait(10_000);
    house.restart(5_000);
    house.wait(600);
    for port in [CALLING, CALLED] {
        let refresh = house.expect(port, "UPDATE");
        house.hear(port, &answer(&refresh, "200 OK", "", ""));
    }
    house.wait(4_400);
    let bye = house.engine.calls.iter().count();
    assert_eq!(bye, 1, "one call with two charging sessions");
    house.order_end();
    house.expect(CALLING, "BYE");
    house.expect(CALLED, "BYE");
    assert!(house.state.sessions.is_empty());
    assert_eq!((house.balance(1), house.balance(2)), ("99.80".into(), "99.80".into()));
}

#[test]
fn a_call_that_comes_back_to_us_through_another_network_is_a_loop() {
    let mut house = House::new("100.00");
    house.invite(ELSEWHERE, "");
    let out = house.expect(CALLED, "INVITE");
    let via = format!("Via: {}\r\n", value(&out, Name::Via));
    house.invite_as("back", ELSEWHERE, &via);
    house.expect(CALLING, "SIP/2.0 482");
    assert!(!house.has(CALLED, "INVITE"));
    // Forwarded by whoever was called, to somebody else: that is another call.
    house.invite_as("forwarded", "+4930901821", &via);
    house.expect(CALLED, "INVITE sip:+4930901821@");
    let forged = via.replace("branch=z9hG4bK", "branch=z9hG4bK0");
    house.invite_as("forged", ELSEWHERE, &forged);
    house.expect(CALLED, "INVITE");
}

#[test]
fn the_door_for_phones_has_its_limits_like_any_trunk_and_shows_what_goes_through() {
    let mut house = House::new("100.00");
    house.change_trunk(CALLING, |trunk| {
        trunk.is_access = true;
        trunk.address = Box::default();
        trunk.calls_max = 2;
        trunk.calls_per_second_max = 1;
    });
    let access = house.state.registry.peer_by_host("calling").expect("a peer").id;
    let (now, trunks) = (house.now, &mut house.engine.trunks);
    let called = "4930901820".parse().expect("digits");
    assert!(trunks.admit(access, now, called));
    assert!(!trunks.admit(access, now, called), "one in a second");
    assert!(trunks.admit(access, now.plus(1000), called));
    assert!(!trunks.admit(access, now.plus(2000), called), "two at once");
    trunks.release(access, false);
    assert!(trunks.admit(access, now.plus(2000), called));
    let shown = house.engine.metrics(now.plus(3000));
    assert!(shown.contains("tandem_sip_trunk_calls{trunk=\"calling\"} 2\n"), "{shown}");
    assert!(shown.contains("tandem_sip_trunk_open{trunk=\"calling\"} 0\n"), "{shown}");
    assert!(shown.contains("tandem_sip_trunk_open{trunk=\"called\"} 1\n"), "{shown}");
}
