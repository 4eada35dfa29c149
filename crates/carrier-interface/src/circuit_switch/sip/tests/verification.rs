//! Who vouches for a caller's number: calls that leave are signed, calls that come are judged.

use std::sync::Arc;

use sip_protocol::Name;
use stir_protocol::{
    Attestation, Call, CertificateUrl, Claims, OriginationId, Party, Signer, Statement,
    TrustAnchors, Verifier,
};
use tandem_domain::calls::{Forwarding, LineCalls, Verification};
use tandem_domain::command::Administer;
use tandem_domain::identifier::{LineId, SubscriberId};
use tandem_simulators::authority::{Authority, Key, Kind, VALID};

use super::house::{ANN, BOB, CALLED, CALLING, House, VNO, answer, value};
use crate::circuit_switch::sip::stir::Vouchers;

const ELSEWHERE: &str = "+4930901820";
const STRANGER: &str = "+33123456789";
const OURS: &str = "https://sti.tandem.example/ours.pem";
const THEIRS: &str = "https://sti.other.example/theirs.pem";

/// We and another provider, certified by one authority.
struct World {
    house: House,
    verifier: Verifier,
    our_certificate: String,
    other: Signer,
    their_certificate: String,
}

fn url(text: &str) -> CertificateUrl {
    CertificateUrl::parse(text).expect("a URL")
}

fn world() -> World {
    let root = Authority::root("Root");
    let anchors = TrustAnchors::from_pem(root.pem.as_bytes()).expect("anchors");
    let (ours, theirs) = (Key::generate(), Key::generate());
    let signer = |key: &Key, at| Signer::from_pem(key.pem().as_bytes(), url(at)).expect("a key");
    let verifier = Verifier::new(anchors);
    let mut house = House::new("100.00");
    house.engine.stir.vouchers = Vouchers {
        signer: Some(Arc::new(signer(&ours, OURS))),
        verifier: Some(Arc::new(verifier.clone())),
    };
    house.change_trunk(CALLED, |trunk| trunk.is_signed_for = true);
    World {
        house,
        verifier,
        our_certificate: root.certify("Tandem", ours.point(), Kind::Provider, VALID),
        other: signer(&theirs, THEIRS),
        their_certificate: root.certify("Other", theirs.point(), Kind::Provider, VALID),
    }
}

impl World {
    fn verified(&self, invite: &str, orig: &str, dest: &str) -> Claims {
        let party = |number: &str| Party::number(number).expect("a number");
        let call = Call { orig: party(orig), dest: party(dest) };
        let (value, now) = (value(invite, Name::Identity), self.house.now.0 / 1000);
        let pem = self.our_certificate.as_bytes();
        self.verifier.verify(value.as_bytes(), &call, now, pem).expect("it is good")
    }

    /// A call of a stranger to Bob, whose calls go on to a number outside.
    fn stranger_calls(&mut self, branch: &str, identity: Option<&str>) {
        let more = identity.map(|one| format!("Identity: {one}\r\n")).unwrap_or_default();
        let text = self.house.invite_text(branch, BOB, &more).replace(ANN, STRANGER);
        self.house.hear(CALLING, &text);
    }

    fn signed_by_other(&self, orig: &str) -> String {
        let statement = Statement::Shaken {
            attestation: Attestation::Full,
            origination_id: OriginationId::of(1, 2),
        };
        self.stated_by_other(orig, BOB, statement)
    }

    fn stated_by_other(&self, orig: &str, dest: &str, statement: Statement) -> String {
        let claims = Claims {
            orig: Party::number(orig).expect("a number"),
            dest: vec![Party::number(dest).expect("a number")],
            issued_at_seconds: self.house.now.0 / 1000,
            statement,
        };
        self.other.sign(&claims).expect("it can be signed")
    }

    fn forwards(&mut self) {
        let line = LineId::new(SubscriberId::new(VNO, 2), 1);
        let always = Some("4930901820".parse().expect("digits"));
        let forwarding = Forwarding { always, ..Forwarding::default() };
        let calls = LineCalls { forwarding, ..LineCalls::default() };
        self.house.administer(Administer::SetLineCalls(line, Box::new(calls)));
    }

    fn verification(&mut self, verification: Verification) {
        self.house.change_trunk(CALLING, |trunk| trunk.verification = verification);
    }

    fn certificate_arrives(&mut self) {
        let fetched = Some((self.their_certificate.clone().into_bytes(), 3600));
        assert_eq!(self.house.engine.fetches, [url(THEIRS)], "fetched once for all who wait");
        self.house.engine.fetches.clear();
        self.house.engine.fetched(self.house.now, &url(THEIRS), fetched);
        self.house.settle();
    }
}

#[test]
fn a_line_s_own_number_is_vouched_for_in_full() {
    let mut world = world();
    world.house.invite(ELSEWHERE, "");
    let invite = world.house.expect(CALLED, "INVITE");
    let claims = world.verified(&invite, ANN, ELSEWHERE);
    let is_full = |statement: &Statement| {
        matches!(statement, Statement::Shaken { attestation: Attestation::Full, .. })
    };
    assert!(is_full(&claims.statement), "{claims:?}");
    // What the switch said itself of the same call stands; what was said of another does not.
    let theirs = world.signed_by_other(ANN);
    world.house.invite_as("second", ELSEWHERE, &format!("Identity: {theirs}\r\n"));
    let invite = world.house.expect(CALLED, "INVITE");
    assert_eq!(value(&invite, Name::Identity), theirs);
    world.house.change_trunk(CALLED, |trunk| trunk.is_signed_for = false);
    world.house.invite_as("third", ELSEWHERE, "");
    let invite = world.house.expect(CALLED, "INVITE");
    assert_eq!(value(&invite, Name::Identity), "");
}

#[test]
fn a_forwarded_call_keeps_its_signature_and_says_whom_it_was_for() {
    let mut world = world();
    world.forwards();
    let theirs = world.signed_by_other(STRANGER);
    world.stranger_calls("one", Some(&theirs));
    let invite = world.house.expect(CALLED, "INVITE");
    let values: Vec<&str> =
        invite.lines().filter_map(|line| line.strip_prefix("Identity: ")).collect();
    assert_eq!(values.len(), 2, "{invite}");
    assert_eq!(values[0], theirs);
    let ours = invite.replace(&format!("Identity: {theirs}\r\n"), "");
    let claims = world.verified(&ours, STRANGER, ELSEWHERE);
    let bob = Party::number(BOB).expect("a number");
    assert_eq!(claims.statement, Statement::Diverted { from: bob });
    // Where nobody vouched before, we say where it came in and no more.
    world.stranger_calls("two", None);
    let invite = world.house.expect(CALLED, "INVITE");
    let claims = world.verified(&invite, STRANGER, ELSEWHERE);
    let is_gateway = |statement: &Statement| {
        matches!(statement, Statement::Shaken { attestation: Attestation::Gateway, .. })
    };
    assert!(is_gateway(&claims.statement), "{claims:?}");
}

#[test]
fn the_called_side_learns_whether_somebody_vouches_for_the_caller() {
    let mut world = world();
    world.forwards();
    world.verification(Verification::Told);
    let theirs = world.signed_by_other(STRANGER);
    for branch in ["one", "two"] {
        world.stranger_calls(branch, Some(&theirs));
        world.house.expect(CALLING, "SIP/2.0 100");
    }
    assert!(!world.house.has(CALLED, "INVITE"), "not before it is known");
    world.certificate_arrives();
    let invite = world.house.expect(CALLED, "INVITE");
    let told = |invite: &str, verstat: &str| {
        let from = format!("<sip:{STRANGER};verstat={verstat}@");
        assert!(value(invite, Name::From).starts_with(&from), "{invite}");
        assert!(value(invite, Name::PAssertedIdentity).starts_with(&from), "{invite}");
    };
    told(&invite, "TN-Validation-Passed");
    let lie = world.signed_by_other("+33999999999");
    world.stranger_calls("three", Some(&lie));
    told(&world.house.expect(CALLED, "INVITE"), "TN-Validation-Failed");
    world.stranger_calls("four", None);
    told(&world.house.expect(CALLED, "INVITE"), "No-TN-Validation");
    // Who is not believed is told nothing, so that nothing false is believed.
    world.house.change_trunk(CALLED, |trunk| trunk.is_trusted = false);
    world.stranger_calls("five", None);
    assert!(!world.house.expect(CALLED, "INVITE").contains("verstat"));
}

#[test]
fn where_it_is_required_a_call_that_nobody_vouches_for_is_refused_in_the_standard_s_words() {
    let mut world = world();
    world.forwards();
    world.verification(Verification::Required);
    world.stranger_calls("none", None);
    world.house.expect(CALLING, "SIP/2.0 428 Use Identity");
    world.stranger_calls("broken", Some("no.passport.here;info=<https://sti.other.example/x>"));
    world.house.expect(CALLING, "SIP/2.0 438 Invalid Identity Header");
    let theirs = world.signed_by_other(STRANGER);
    world.stranger_calls("gone", Some(&theirs));
    world.house.engine.fetches.clear();
    world.house.engine.fetched(world.house.now, &url(THEIRS), None);
    world.house.settle();
    world.house.expect(CALLING, "SIP/2.0 436 Bad Identity Info");
    world.house.wait(61_000);
    let old = theirs;
    world.stranger_calls("old", Some(&old));
    world.house.expect(CALLING, "SIP/2.0 403");
    // Taken back while the certificate is on its way.
    let theirs = world.signed_by_other(STRANGER);
    world.stranger_calls("cancelled", Some(&theirs));
    let cancel = world.house.invite_text("cancelled", BOB, "").replace(ANN, STRANGER);
    let cancel = cancel
        .replace("INVITE", "CANCEL")
        .replace("Content-Length: 3\r\n\r\nv=0", "Content-Length: 0\r\n\r\n");
    world.house.hear(CALLING, &cancel.replace("Allow: CANCEL, UPDATE\r\n", ""));
    world.house.expect(CALLING, "SIP/2.0 487");
    world.certificate_arrives();
    assert!(!world.house.has(CALLED, "INVITE"));
    let theirs = world.signed_by_other(STRANGER);
    world.stranger_calls("good", Some(&theirs));
    let invite = world.house.expect(CALLED, "INVITE");
    world.house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    world.house.expect(CALLING, "SIP/2.0 200");
}

#[test]
fn a_call_that_was_sent_on_is_followed_back_to_whom_it_was_for() {
    let mut world = world();
    world.forwards();
    world.verification(Verification::Required);
    let (first, second) = ("+33111111111", "+33222222222");
    let shaken = Statement::Shaken {
        attestation: Attestation::Full,
        origination_id: OriginationId::of(1, 2),
    };
    let from =
        |number: &str| Statement::Diverted { from: Party::number(number).expect("a number") };
    let shaken = world.stated_by_other(STRANGER, first, shaken);
    let to_second = world.stated_by_other(STRANGER, second, from(first));
    let to_bob = world.stated_by_other(STRANGER, BOB, from(second));
    let all = format!("{shaken}\r\nIdentity: {to_second}\r\nIdentity: {to_bob}");
    world.stranger_calls("whole", Some(&all));
    world.certificate_arrives();
    let invite = world.house.expect(CALLED, "INVITE");
    assert!(invite.contains("verstat=TN-Validation-Passed"), "{invite}");
    // With a step missing it was said of another call.
    let broken = format!("{shaken}\r\nIdentity: {to_bob}");
    world.stranger_calls("broken", Some(&broken));
    world.house.expect(CALLING, "SIP/2.0 438");
    // Played again towards somebody else, under the To of the call that it was made for.
    let theirs = world.signed_by_other(STRANGER);
    let text = world.house.invite_text("replayed", ANN, &format!("Identity: {theirs}\r\n"));
    let from_ann = format!("From: <sip:{ANN}@x>");
    let text = text.replace(&from_ann, &format!("From: <sip:{STRANGER}@x>"));
    let text = text.replace(&format!("To: <sip:{ANN}@x>"), &format!("To: <sip:{BOB}@x>"));
    world.house.hear(CALLING, &text);
    world.house.expect(CALLING, "SIP/2.0 428");
}

#[test]
fn what_is_signed_tells_no_more_than_what_is_shown() {
    let mut world = world();
    world.house.trust(CALLED, false);
    let theirs = world.signed_by_other(ANN);
    let hidden = format!("Privacy: id\r\nIdentity: {theirs}\r\n");
    world.house.invite(ELSEWHERE, &hidden);
    let invite = world.house.expect(CALLED, "INVITE");
    assert_eq!(value(&invite, Name::Identity), "", "{invite}");
    // An assertion that From does not show stays between those who trust each other.
    world.forwards();
    world.verification(Verification::Told);
    let text = world.house.invite_text(
        "shown",
        BOB,
        &format!("P-Asserted-Identity: <sip:{STRANGER}@x>\r\n"),
    );
    let text = text.replace(&format!("From: <sip:{ANN}@x>"), "From: <sip:+498001234@x>");
    world.house.hear(CALLING, &text);
    let invite = world.house.expect(CALLED, "INVITE");
    assert!(invite.contains("From: <sip:+498001234@") && !invite.contains(STRANGER), "{invite}");
    // What was found false goes no further, and we say only where the call came in.
    world.house.trust(CALLED, true);
    let lie = world.signed_by_other("+33999999999");
    world.stranger_calls("lie", Some(&lie));
    let invite = world.house.expect(CALLED, "INVITE");
    assert!(!invite.contains(&lie), "{invite}");
    let claims = world.verified(&invite, STRANGER, ELSEWHERE);
    assert!(matches!(
        claims.statement,
        Statement::Shaken { attestation: Attestation::Gateway, .. }
    ));
}
