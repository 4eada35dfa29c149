//! Switches that want the INVITE once more: with credentials, or with a longer session.

use sip_protocol::Name;
use sip_protocol::digest::{Algorithm, Credentials};

use super::house::{CALLED, CALLING, House, answer, value, within};

const ELSEWHERE: &str = "+4930901820";
const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"called\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";

fn house() -> House {
    let mut house = House::new("100.00");
    house.change_trunk(CALLED, |trunk| {
        (trunk.user, trunk.password) = (Some("tandem".into()), Some("secret".into()));
    });
    house
}

fn proven(request: &str, name: Name, method: &str) -> bool {
    let value = value(request, name);
    let credentials = Credentials::parse(value.as_bytes()).expect("credentials");
    credentials.prove(&Algorithm::Sha256.ha1("tandem", "called", "secret"), method.as_bytes())
}

#[test]
fn a_switch_that_asks_who_calls_is_told_and_the_call_goes_on() {
    let mut house = house();
    house.invite(ELSEWHERE, "");
    let first = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&first, "407 Proxy Authentication Required", CHALLENGE, ""));
    house.expect(CALLED, "ACK");
    let second = house.expect(CALLED, "INVITE");
    assert!(proven(&second, Name::ProxyAuthorization, "INVITE"), "{second}");
    assert_eq!(value(&second, Name::CSeq), "2 INVITE");
    for same in [Name::CallId, Name::From, Name::To] {
        assert_eq!(value(&first, same), value(&second, same));
    }
    house.hear(CALLED, &answer(&second, "200 OK", "", "v=0"));
    let ack = house.expect(CALLED, "ACK");
    assert_eq!(value(&ack, Name::CSeq), "2 ACK");
    assert_eq!(
        value(&ack, Name::ProxyAuthorization),
        value(&second, Name::ProxyAuthorization),
        "an ACK cannot be asked again"
    );
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.wait(10_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    let bye = house.expect(CALLED, "BYE");
    assert_eq!(value(&bye, Name::CSeq), "3 BYE");
    // It may ask again, and hears it once.
    house.hear(CALLED, &answer(&bye, "407 Proxy Authentication Required", CHALLENGE, ""));
    let again = house.expect(CALLED, "BYE");
    assert_eq!(value(&again, Name::CSeq), "4 BYE");
    assert!(proven(&again, Name::ProxyAuthorization, "BYE"), "{again}");
    house.hear(CALLED, &answer(&again, "407 Proxy Authentication Required", CHALLENGE, ""));
    assert!(!house.has(CALLED, "BYE"));
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (10, "99.90"));
}

#[test]
fn who_refuses_the_credentials_or_has_none_from_us_is_passed_over() {
    let mut house = house();
    house.invite(ELSEWHERE, "");
    for _ in 0..2 {
        let invite = house.expect(CALLED, "INVITE");
        house.hear(CALLED, &answer(&invite, "407 Proxy Authentication Required", CHALLENGE, ""));
    }
    house.expect(CALLING, "SIP/2.0 503");
    assert!(!house.has(CALLED, "INVITE"), "once");
    assert_eq!(house.balance(1), "100.00");
    let mut unknown = House::new("100.00");
    unknown.invite(ELSEWHERE, "");
    let invite = unknown.expect(CALLED, "INVITE");
    unknown.hear(CALLED, &answer(&invite, "407 Proxy Authentication Required", CHALLENGE, ""));
    unknown.expect(CALLING, "SIP/2.0 503");
}

#[test]
fn a_session_too_short_for_a_switch_is_offered_once_more_as_long_as_it_wants() {
    let mut house = house();
    house.invite(ELSEWHERE, "");
    let first = house.expect(CALLED, "INVITE");
    assert!(first.contains("Session-Expires: 1800"), "{first}");
    house.hear(CALLED, &answer(&first, "422 Session Interval Too Small", "Min-SE: 3600\r\n", ""));
    let second = house.expect(CALLED, "INVITE");
    assert!(
        second.contains("Session-Expires: 3600") && second.contains("Min-SE: 3600"),
        "{second}"
    );
    house.hear(CALLED, &answer(&second, "422 Session Interval Too Small", "Min-SE: 7200\r\n", ""));
    house.expect(CALLING, "SIP/2.0 503");
    assert_eq!(house.balance(1), "100.00");
}

#[test]
fn a_second_phone_that_answers_behind_a_fork_is_acknowledged_and_hung_up() {
    let mut house = house();
    let (invite, ok) = house.talking(ELSEWHERE, "");
    house.sent.clear();
    let second = answer(&invite, "200 OK", "", "v=0").replace(";tag=bt", ";tag=other");
    house.hear(CALLED, &second);
    let ack = house.expect(CALLED, "ACK");
    let bye = house.expect(CALLED, "BYE");
    for request in [ack, bye] {
        assert!(value(&request, Name::To).contains("tag=other"), "{request}");
    }
    // The first one talks on.
    house.wait(5_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    assert!(house.expect(CALLED, "BYE").contains("tag=bt"));
    assert_eq!(house.seconds_used, 5);
}

#[test]
fn a_switch_that_asks_who_speaks_within_the_call_is_told_once() {
    let mut house = house();
    let (_, ok) = house.talking(ELSEWHERE, "");
    // A re-INVITE of the caller reaches the switch, and is sent once more with credentials.
    let hold = within(&ok, "INVITE", 2).replace(
        "Content-Length: 0\r\n\r\n",
        "Contact: <sip:a@192.0.2.1:5080>\r\nContent-Length: 3\r\n\r\nv=1",
    );
    house.hear(CALLING, &hold);
    let first = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&first, "407 Proxy Authentication Required", CHALLENGE, ""));
    house.expect(CALLED, "ACK");
    let second = house.expect(CALLED, "INVITE");
    assert!(proven(&second, Name::ProxyAuthorization, "INVITE") && second.ends_with("v=1"));
    house.hear(CALLED, &answer(&second, "200 OK", "", "v=2"));
    let held = house.expect(CALLING, "SIP/2.0 200");
    assert!(held.ends_with("v=2"), "{held}");
    house.hear(CALLING, &within(&ok, "ACK", 2));
    let ack = house.expect(CALLED, "ACK");
    assert_eq!(value(&ack, Name::ProxyAuthorization), value(&second, Name::ProxyAuthorization));
    // So is our own refresh.
    house.sent.clear();
    house.wait(910_000);
    let refresh = house.expect(CALLED, "UPDATE");
    let to_caller = house.expect(CALLING, "UPDATE");
    house.hear(CALLING, &answer(&to_caller, "200 OK", "", ""));
    house.hear(CALLED, &answer(&refresh, "407 Proxy Authentication Required", CHALLENGE, ""));
    let again = house.expect(CALLED, "UPDATE");
    assert!(proven(&again, Name::ProxyAuthorization, "UPDATE"), "{again}");
    house.hear(CALLED, &answer(&again, "200 OK", "", ""));
    house.wait(10_000);
    assert_eq!(house.state.sessions.len(), 1, "the call goes on");
}
