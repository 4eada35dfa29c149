//! What is dialled: emergency, ported numbers, service codes, calls that may not be, and what is recorded of them.

use std::sync::Arc;

use sip_protocol::Name;
use stir_protocol::{TrustAnchors, Verifier};
use tandem_domain::calls::{Forwarding, LineCalls, Verification, VnoCalls};
use tandem_domain::charging::Declined;
use tandem_domain::command::{Administer, LineChange, VnoChange};
use tandem_domain::identifier::{LineId, SubscriberId};
use tandem_domain::party::Standing;
use tandem_simulators::authority::Authority;

use super::house::{BOB, CALLED, CALLING, House, VNO, answer, value, within};

const ELSEWHERE: &str = "+4930901820";

impl House {
    fn rules(&mut self, calls: VnoCalls) {
        let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
        self.administer(Administer::ChangeVno(VNO, Box::new(change)));
        self.engine.use_registry(&self.state.registry.clone());
    }

    fn knows_emergency(&mut self) {
        let emergency = vec!["112".parse().expect("digits"), "000".parse().expect("digits")];
        self.rules(VnoCalls { emergency, ..VnoCalls::default() });
    }
}

#[test]
fn an_emergency_call_goes_out_as_it_was_dialled_and_costs_nothing_however_long() {
    let mut house = House::new("0.01");
    house.knows_emergency();
    house.change_trunk(CALLING, |trunk| trunk.calls_max = 1);
    let mut seconds = 0;
    for (index, dialled) in ["112", "000", "urn:service:sos.police"].into_iter().enumerate() {
        let uri = dialled.contains(':').then_some(dialled);
        let text = house.invite_text(&format!("e{index}"), dialled, "");
        let text = match uri {
            Some(uri) => {
                text.replace(&format!("INVITE sip:{uri}@192.0.2.9"), &format!("INVITE {uri}"))
            }
            None => text,
        };
        house.hear(CALLING, &text);
        let number = if uri.is_some() { "112" } else { dialled };
        let invite = house.expect(CALLED, &format!("INVITE sip:{number}@"));
        assert!(invite.contains(&format!("To: <sip:{number}@")), "{invite}");
        house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
        let ok = house.expect(CALLING, "SIP/2.0 200");
        house.hear(CALLING, &within(&ok, "ACK", 1));
        // The line is blocked meanwhile: that is no reason to end it.
        let line = LineId::new(SubscriberId::new(VNO, 1), 1);
        let standing = Some(Standing::Suspended);
        let change = LineChange { standing, ..LineChange::default() };
        house.administer(Administer::ChangeLine(line, Box::new(change)));
        house.settle();
        let talked = if index == 0 { 3 * 3_600 } else { 60 };
        house.talk_on(talked);
        house.hear(CALLING, &within(&ok, "BYE", 90));
        house.expect(CALLED, "BYE");
        seconds += talked;
        assert_eq!(house.seconds_used, seconds, "its record says how long it was");
    }
    assert_eq!(house.balance(1), "0.01");
}

#[test]
fn an_emergency_call_waits_for_no_platform_and_no_room() {
    let mut house = House::new("0.01");
    house.knows_emergency();
    house.change_trunk(CALLING, |trunk| trunk.calls_max = 1);
    house.talking("112", "");
    house.is_deaf = true;
    house.invite_as("second", "112", "");
    house.expect(CALLED, "INVITE sip:112@");
    house.invite_as("third", ELSEWHERE, "");
    house.expect(CALLING, "SIP/2.0 503");
}

#[test]
fn nothing_stands_in_the_way_of_an_emergency_call() {
    let mut house = House::new("0.01");
    house.knows_emergency();
    house.change_trunk(CALLED, |trunk| trunk.calls_max = 1);
    house.change_trunk(CALLING, |trunk| trunk.verification = Verification::Required);
    house.engine.stir.vouchers.verifier = Some(nobodys_verifier());
    house.invite("112", "");
    house.expect(CALLED, "INVITE sip:112@");
    // The switch is full, and takes it all the same.
    house.invite_as("second", "112", "");
    let invite = house.expect(CALLED, "INVITE sip:112@");
    house.invite_as("other", ELSEWHERE, "");
    house.expect(CALLING, "SIP/2.0 428");
    // The VNO cannot end it.
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    for session in house.state.sessions.keys().copied().collect::<Vec<_>>() {
        house.refuses(Administer::EndSession(session));
    }
    assert!(!house.has(CALLED, "BYE"));
    // A platform that says nothing at all is not waited for.
    house.is_silent = true;
    house.invite_as("third", "112", "");
    assert!(!house.has(CALLED, "INVITE"));
    house.wait(5_100);
    house.expect(CALLED, "INVITE sip:112@");
}

fn nobodys_verifier() -> Arc<Verifier> {
    let root = Authority::root("Nobody");
    Arc::new(Verifier::new(TrustAnchors::from_pem(root.pem.as_bytes()).expect("anchors")))
}

#[test]
fn a_call_that_may_not_be_leaves_a_record_of_no_duration() {
    let mut house = House::new("0.001");
    house.invite(ELSEWHERE, "");
    house.expect(CALLING, "SIP/2.0 402");
    assert_eq!(house.declined, [Declined::InsufficientBalance]);
    let before = house.state.sequence;
    // A stranger is nobody's record.
    house.trust(CALLING, false);
    house.invite_as("second", ELSEWHERE, "");
    house.expect(CALLING, "SIP/2.0 404");
    assert_eq!(house.declined.len(), 1);
    assert_eq!(house.state.sequence, before + 1, "the trunk's change and nothing else");
}

#[test]
fn to_be_called_from_outside_costs_nothing_and_is_recorded_all_the_same() {
    let mut house = House::new("100.00");
    house.trust(CALLING, false);
    house.without_price_for_being_called();
    let line = LineId::new(SubscriberId::new(VNO, 2), 1);
    let unreachable = Some("4930555".parse().expect("digits"));
    let forwarding = Forwarding { unreachable, ..Forwarding::default() };
    let calls = LineCalls { forwarding, ..LineCalls::default() };
    house.administer(Administer::SetLineCalls(line, Box::new(calls)));
    let (_, ok) = house.talking(BOB, "");
    assert_eq!(house.state.sessions.len(), 2, "Bob is called, and Bob calls on");
    house.wait(60_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    assert_eq!(house.seconds_used, 120);
    assert_eq!((house.balance(1).as_str(), house.balance(2).as_str()), ("100.00", "99.40"));
}

#[test]
fn a_ported_number_goes_to_a_switch_that_wants_it_with_its_routing_number() {
    let mut house = House::new("100.00");
    house.change_trunk(CALLED, |trunk| trunk.takes_routing_numbers = true);
    let with_rn = format!("{ELSEWHERE};npdi;rn=+49-4-100");
    house.invite(&with_rn, "");
    let invite = house.expect(CALLED, "INVITE");
    let expected = format!("INVITE sip:{ELSEWHERE};npdi;rn=+494100@192.0.2.1:{CALLED};user=phone");
    assert!(invite.starts_with(&expected), "{invite}");
    house.change_trunk(CALLED, |trunk| trunk.takes_routing_numbers = false);
    house.invite_as("second", &with_rn, "");
    let invite = house.expect(CALLED, "INVITE");
    assert!(invite.starts_with(&format!("INVITE sip:{ELSEWHERE}@")), "{invite}");
    // A call that goes on elsewhere has another number, and another network.
    let change = LineId::new(SubscriberId::new(VNO, 2), 1);
    let always = Some("4930555".parse().expect("digits"));
    let forwarding = Forwarding { always, ..Forwarding::default() };
    let calls = LineCalls { forwarding, ..LineCalls::default() };
    house.administer(Administer::SetLineCalls(change, Box::new(calls)));
    house.change_trunk(CALLED, |trunk| trunk.takes_routing_numbers = true);
    house.invite_as("third", &format!("{BOB};npdi;rn=+494100"), "");
    let invite = house.expect(CALLED, "INVITE");
    assert!(invite.starts_with("INVITE sip:+4930555@"), "{invite}");
    let forwarded = house.state.sessions.values().find(|one| one.line == change);
    assert_eq!(forwarded.expect("a session").context.routing, None);
}

#[test]
fn service_codes_mean_what_the_vno_says() {
    let mut house = House::new("100.00");
    let code = tandem_domain::digits::Digits::dialled("*100#").expect("a code");
    house.rules(VnoCalls {
        short_codes: vec![(code, "4930901820".parse().expect("digits"))],
        ..VnoCalls::default()
    });
    house.invite("*100%23", "");
    let invite = house.expect(CALLED, "INVITE");
    assert!(invite.starts_with(&format!("INVITE sip:{ELSEWHERE}@")), "{invite}");
    let session = house.state.sessions.values().next().expect("a session");
    assert_eq!(session.context.dialled, Some(code), "the record keeps both");
    house.invite_as("second", "*101%23", "");
    house.expect(CALLING, "SIP/2.0 404");
    assert_eq!(house.declined, [Declined::NoRetailRate]);
}

#[test]
fn a_call_that_comes_back_through_networks_that_hide_it_ends_as_a_loop() {
    let mut house = House::new("100000.00");
    for round in 0..60 {
        house.invite_as(&format!("r{round}"), ELSEWHERE, "");
    }
    house.expect(CALLING, "SIP/2.0 482");
    assert_eq!(house.state.sessions.len(), 50);
    assert_eq!(house.declined, [Declined::Loop; 10]);
}

#[test]
fn a_switch_gets_the_headers_of_its_profile_and_no_others() {
    let mut house = House::new("100.00");
    house.change_trunk(CALLED, |trunk| trunk.passes = vec!["x-call-class".into()]);
    house.change_trunk(CALLING, |trunk| trunk.passes = vec!["X-Answer".into()]);
    let more = "X-Call-Class: gold\r\nX-Secret: mine\r\n";
    house.invite(ELSEWHERE, more);
    let invite = house.expect(CALLED, "INVITE");
    assert!(invite.contains("X-Call-Class: gold") && !invite.contains("X-Secret"), "{invite}");
    let more = "X-Answer: yes\r\nX-Call-Class: lead\r\n";
    house.hear(CALLED, &answer(&invite, "200 OK", more, "v=0"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    assert!(ok.contains("X-Answer: yes") && !ok.contains("lead"), "{ok}");
}

#[test]
fn a_caller_s_shortest_session_is_kept() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking(ELSEWHERE, "Session-Expires: 7200\r\nMin-SE: 3600\r\n");
    assert!(value(&ok, Name::SessionExpires).starts_with("3600;"), "{ok}");
}
