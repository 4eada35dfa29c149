//! A provider signs for its subscriber, another verifies: what passes, and why the rest is refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use stir_protocol::{
    Attestation, Call, CertificateUrl, Claims, Extension, Identity, OriginationId, Party, Refusal,
    Signer, Statement, TrustAnchors, Verdict, Verifier,
};
use tandem_simulators::authority::{Authority, Key, Kind, VALID, pem};

const NOW: u64 = 1_750_000_000;
const URL: &str = "https://certificates.provider.example/sp/1234.pem";

fn number(text: &str) -> Party {
    Party::number(text).expect("a number")
}

fn call() -> Call {
    Call { orig: number("+49 30 901820"), dest: number("+1 (215) 555-1213") }
}

fn vouched(attestation: Attestation) -> Statement {
    let origination_id = OriginationId::parse("123e4567-e89b-12d3-a456-426655440000");
    Statement::Shaken { attestation, origination_id: origination_id.expect("a UUID") }
}

fn shaken() -> Claims {
    Claims {
        orig: number("4930901820"),
        dest: vec![number("12155551213")],
        issued_at_seconds: NOW,
        statement: vouched(Attestation::Full),
    }
}

/// A provider with its certificate, below an authority that the verifier trusts.
struct World {
    root: Authority,
    issuing: Authority,
    key: Key,
    chain: String,
    signer: Signer,
    verifier: Verifier,
}

impl World {
    fn new() -> World {
        let root = Authority::root("Root");
        let issuing = root.below("Issuing", VALID);
        let key = Key::generate();
        let own = issuing.certify("SHAKEN 1234", key.point(), Kind::Provider, VALID);
        let url = CertificateUrl::parse(URL).expect("a URL");
        let signer = Signer::from_pem(key.pem().as_bytes(), url).expect("a signer");
        let anchors = TrustAnchors::from_pem(root.pem.as_bytes()).expect("anchors");
        let chain = own + &issuing.pem;
        World { root, issuing, key, chain, signer, verifier: Verifier::new(anchors) }
    }

    fn sign(&self, claims: &Claims) -> String {
        self.signer.sign(claims).expect("a signature")
    }

    fn verify(&self, value: &str) -> Result<Claims, Refusal> {
        self.verifier.verify(value.as_bytes(), &call(), NOW, self.chain.as_bytes())
    }

    /// A sound value, against another chain of certificates.
    fn verify_with(&self, chain: &str) -> Result<Claims, Refusal> {
        let value = self.sign(&shaken());
        self.verifier.verify(value.as_bytes(), &call(), NOW, chain.as_bytes())
    }
}

/// The value with another header, payload or signature.
fn altered(value: &str, part: usize, change: impl FnOnce(String) -> String) -> String {
    let (token, params) = value.split_once(';').expect("parameters");
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let text = URL_SAFE_NO_PAD.decode(&parts[part]).expect("base64");
    let text = change(String::from_utf8(text).expect("JSON"));
    parts[part] = URL_SAFE_NO_PAD.encode(text);
    format!("{};{params}", parts.join("."))
}

#[test]
fn a_signed_call_is_verified_in_two_steps() {
    let world = World::new();
    let value = world.sign(&shaken());
    assert!(value.ends_with(&format!(";info=<{URL}>;alg=ES256;ppt=shaken")));

    let unproven = world.verifier.examine(value.as_bytes(), &call(), NOW).expect("sound");
    assert_eq!(unproven.certificate_url().as_str(), URL);
    let result = unproven.prove(&world.verifier.anchors, NOW, world.chain.as_bytes());
    assert_eq!(Verdict::of(&result).verstat(), "TN-Validation-Passed");
    assert_eq!(result, Ok(shaken()));
}

#[test]
fn what_is_signed_is_in_the_canonical_form() {
    let world = World::new();
    let mut claims = shaken();
    claims.dest.insert(0, Party::Uri("sip:b@provider.example".to_owned()));
    claims.dest.insert(0, number("+1 215 555 1214"));
    let value = world.sign(&claims);
    let mut parts = value.split(['.', ';']).map(|part| {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    });
    assert_eq!(
        parts.next().expect("a header"),
        format!(r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{URL}"}}"#)
    );
    assert_eq!(
        parts.next().expect("a payload"),
        concat!(
            r#"{"attest":"A","dest":{"tn":["12155551213","12155551214"],"#,
            r#""uri":["sip:b@provider.example"]},"iat":1750000000,"#,
            r#""orig":{"tn":"4930901820"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#
        )
    );
}

/// RFC 8225 appendix A. The signature printed there is not of the key printed there: only what is signed is compared.
#[test]
fn we_write_the_octets_that_the_example_of_rfc_8225_signs() {
    let key = Key::generate();
    let url = CertificateUrl::parse("https://cert.example.org/passport.cer").expect("a URL");
    let signer = Signer::from_pem(key.pem().as_bytes(), url).expect("a signer");
    let claims = Claims {
        orig: number("12155551212"),
        dest: vec![Party::Uri("sip:alice@example.com".to_owned())],
        issued_at_seconds: 1_471_375_418,
        statement: Statement::Plain,
    };
    let value = signer.sign(&claims).expect("a signature");
    let example = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j\
                   ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.\
                   eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI\
                   6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19";
    let (identity, read) = stir_protocol::read(value.as_bytes()).expect("a value");
    assert_eq!(identity.signed(), example.as_bytes());
    assert_eq!(read, claims);
    assert!(value.ends_with(";info=<https://cert.example.org/passport.cer>;alg=ES256"));
}

/// draft-ietf-stir-passport-05 appendix A, whose signature is of its key (its `iat` is still a text).
#[test]
fn the_signature_of_another_signer_is_found_in_its_value() {
    let public_key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8HNbQd/TmvCKwPKHkMF9fScavGeH\
                      78YTU8qLS8I5HLHSSmlATLcslQMhNC/OhlWBYC626nIlo7XeebYS7Sb37g==";
    let public_key = STANDARD.decode(public_key).expect("base64");
    let point = public_key.last_chunk::<65>().expect("a point");
    let value = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j\
                 ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.\
                 eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI\
                 6IjE0NDMyMDgzNDUiLCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0.\
                 rq3pjT1hoRwakEGjHCnWSwUnshd0-zJ6F1VOgFWSjHBr8Qjpjlk-cpFYpFYsojN\
                 CpTzO3QfPOlckGaS6hEck7w;info=<https://cert.example.org/passport.cer>";
    let identity = Identity::parse(value.as_bytes()).expect("a value");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    assert!(key.verify(identity.signed(), identity.signature()).is_ok());
    assert_eq!(identity.claims(), Err(Refusal::Malformed));
}

/// In X.509's form a number has no leading zeros; about one signature in 128 has some to lose.
#[test]
fn signatures_of_short_numbers_are_verified() {
    let world = World::new();
    let is_short = |value: &String| {
        let identity = Identity::parse(value.as_bytes()).expect("a value");
        identity.signature()[0] == 0 || identity.signature()[32] == 0
    };
    let mut values = (0..10_000).map(|_| world.sign(&shaken())).filter(is_short);
    let value = values.next().expect("one of ten thousand");
    assert_eq!(world.verify(&value), Ok(shaken()));
}

#[test]
fn what_was_tampered_with_is_refused() {
    let world = World::new();
    let value = world.sign(&shaken());
    let better = world.sign(&Claims { statement: vouched(Attestation::Gateway), ..shaken() });
    let better = altered(&better, 1, |json| json.replace("\"C\"", "\"A\""));
    assert_eq!(world.verify(&better), Err(Refusal::BadSignature));

    let later = altered(&value, 1, |json| json.replace("1750000000", "1750000001"));
    assert_eq!(world.verify(&later), Err(Refusal::BadSignature));
    // Reads the same, but other octets were signed.
    let spaced = altered(&value, 1, |json| json.replace("\"iat\":", "\"iat\": "));
    assert_eq!(world.verify(&spaced), Err(Refusal::BadSignature));

    let other = world.sign(&shaken());
    let signature = |value: &str| value.split(['.', ';']).nth(2).expect("a signature").to_owned();
    let moved = value.replace(&signature(&value), &URL_SAFE_NO_PAD.encode([0x80; 64]));
    assert_eq!(world.verify(&moved), Err(Refusal::BadSignature));
    let zero = value.replace(&signature(&value), &URL_SAFE_NO_PAD.encode([0; 64]));
    assert_eq!(world.verify(&zero), Err(Refusal::BadSignature));
    let short = value.replace(&signature(&value), &URL_SAFE_NO_PAD.encode([1; 63]));
    assert_eq!(world.verify(&short), Err(Refusal::Malformed));
    // A signature of the same words is as good.
    assert!(world.verify(&value.replace(&signature(&value), &signature(&other))).is_ok());
}

#[test]
fn another_call_or_another_time_is_refused() {
    let world = World::new();
    let value = world.sign(&shaken());
    let verify = |call: &Call, now| {
        world.verifier.verify(value.as_bytes(), call, now, world.chain.as_bytes())
    };
    let other_caller = Call { orig: number("4930901821"), ..call() };
    assert_eq!(verify(&other_caller, NOW), Err(Refusal::OtherOrigin));
    let other_called = Call { dest: number("12155551214"), ..call() };
    assert_eq!(verify(&other_called, NOW), Err(Refusal::OtherDestination));
    assert!(verify(&call(), NOW + 60).is_ok());
    assert!(verify(&call(), NOW - 60).is_ok());
    assert_eq!(verify(&call(), NOW + 61), Err(Refusal::Stale));
    assert_eq!(verify(&call(), NOW - 61), Err(Refusal::Stale));
    assert_eq!(verify(&call(), 0), Err(Refusal::Stale));
}

#[test]
fn the_certificate_is_the_one_that_is_signed_and_may_be_fetched() {
    let world = World::new();
    let value = world.sign(&shaken());
    let elsewhere = value.replace(&format!("<{URL}>"), "<https://evil.example/1.pem>");
    assert_eq!(world.verify(&elsewhere), Err(Refusal::OtherCertificateUrl));
    let inside = "https://192.0.2.1/1.pem";
    let inside = altered(&value, 0, |json| json.replace(URL, inside))
        .replace(URL, "https://192.0.2.1/1.pem");
    assert_eq!(world.verify(&inside), Err(Refusal::CertificateUrlRefused));
    assert_eq!(Refusal::CertificateUrlRefused.status().0, 436);
}

#[test]
fn a_certificate_that_is_not_trusted_proves_nothing() {
    let world = World::new();
    let point = world.key.point();
    assert_eq!(world.verify_with(""), Err(Refusal::CertificateUnreadable));
    assert_eq!(world.verify_with(&pem("CERTIFICATE", b"x")), Err(Refusal::CertificateUnreadable));

    let without_issuer = world.issuing.certify("SHAKEN 1234", point, Kind::Provider, VALID);
    assert_eq!(world.verify_with(&without_issuer), Err(Refusal::CertificateUntrusted));
    let stranger = Authority::root("Stranger").certify("x", point, Kind::Provider, VALID);
    assert_eq!(world.verify_with(&stranger), Err(Refusal::CertificateUntrusted));
    // It only calls itself what we trust.
    let namesake = Authority::root("Root").certify("x", point, Kind::Provider, VALID);
    assert_eq!(world.verify_with(&namesake), Err(Refusal::CertificateUntrusted));

    let expired = ("240101000000Z", "250101000000Z");
    let future = ("260101000000Z", "270101000000Z");
    for valid in [expired, future] {
        let own = world.root.certify("x", point, Kind::Provider, valid);
        assert_eq!(world.verify_with(&own), Err(Refusal::CertificateOutOfTime));
        let above = world.root.below("Former", valid);
        let own = above.certify("x", point, Kind::Provider, VALID) + &above.pem;
        assert_eq!(world.verify_with(&own), Err(Refusal::CertificateOutOfTime));
    }

    let server = world.root.certify("x", point, Kind::WebServer, VALID);
    assert_eq!(world.verify_with(&server), Err(Refusal::CertificateUnfit));
    let authority = world.root.certify("x", point, Kind::Authority, VALID);
    assert_eq!(world.verify_with(&authority), Err(Refusal::CertificateUnfit));
    let other_key = world.root.certify("x", Key::generate().point(), Kind::Provider, VALID);
    assert_eq!(world.verify_with(&other_key), Err(Refusal::BadSignature));
}

#[test]
fn a_diverted_call_carries_its_history() {
    let world = World::new();
    // Called was 1213, who forwarded to 1299.
    let diverted = Claims {
        dest: vec![number("12155551299")],
        statement: Statement::Diverted { from: number("12155551213") },
        ..shaken()
    };
    let values = [world.sign(&shaken()), world.sign(&diverted)];
    let kinds = values.iter().map(|value| Extension::of(value.as_bytes()));
    assert_eq!(kinds.collect::<Vec<_>>(), [Some(Extension::Shaken), Some(Extension::Div)]);
    assert!(values[1].ends_with(";ppt=div"));
    assert!(diverted.canonical_json().contains(r#"},"div":{"tn":"12155551213"},"iat":"#));

    let now = Call { dest: number("12155551299"), ..call() };
    let chain = world.chain.as_bytes();
    let claims = world.verifier.verify(values[1].as_bytes(), &now, NOW, chain).expect("proven");
    let Statement::Diverted { from } = claims.statement else { panic!("not diverted") };
    let before = Call { dest: from, ..call() };
    assert_eq!(
        world.verifier.verify(values[0].as_bytes(), &now, NOW, chain),
        Err(Refusal::OtherDestination)
    );
    assert_eq!(world.verifier.verify(values[0].as_bytes(), &before, NOW, chain), Ok(shaken()));
}

#[test]
fn every_refusal_has_its_status_and_its_verstat() {
    for (refusal, status, verstat) in [
        (Refusal::Stale, 403, "TN-Validation-Failed"),
        (Refusal::UnknownExtension, 428, "No-TN-Validation"),
        (Refusal::CertificateUnavailable, 436, "No-TN-Validation"),
        (Refusal::CertificateUntrusted, 437, "TN-Validation-Failed"),
        (Refusal::BadSignature, 438, "TN-Validation-Failed"),
    ] {
        assert_eq!(refusal.status().0, status, "{refusal}");
        assert_eq!(Verdict::of(&Err(refusal)).verstat(), verstat, "{refusal}");
    }
}

#[test]
fn keys_and_anchors_of_another_kind_are_refused_at_the_start() {
    let url = || CertificateUrl::parse(URL).expect("a URL");
    assert!(Signer::from_pem(b"", url()).is_err());
    assert!(Signer::from_pem(pem("PRIVATE KEY", b"x").as_bytes(), url()).is_err());
    assert!(TrustAnchors::from_pem(b"").is_err());
    assert!(TrustAnchors::from_pem(pem("CERTIFICATE", b"x").as_bytes()).is_err());
    let signer = Signer::from_pem(Key::generate().pem().as_bytes(), url()).expect("a signer");
    assert!(!format!("{signer:?}").contains("key"));
}

fn statement() -> impl Strategy<Value = Statement> {
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}";
    let letter = prop_oneof![
        Just(Attestation::Full),
        Just(Attestation::Partial),
        Just(Attestation::Gateway)
    ];
    prop_oneof![
        Just(Statement::Plain),
        (letter, uuid).prop_map(|(attestation, id)| Statement::Shaken {
            attestation,
            origination_id: OriginationId::parse(&id).expect("a UUID"),
        }),
        "[1-9][0-9]{2,14}".prop_map(|from| Statement::Diverted { from: number(&from) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_signed_is_verified(
        orig in "[1-9][0-9]{0,14}",
        dest in prop::collection::btree_set("[*#]?[0-9]{1,15}", 1..5),
        issued_at_seconds in NOW - 60..=NOW + 60,
        statement in statement(),
    ) {
        thread_local!(static WORLD: World = World::new());
        let dest: Vec<Party> = dest.iter().map(|text| number(text)).collect();
        let call = Call { orig: number(&orig), dest: dest[0].clone() };
        let claims = Claims { orig: call.orig.clone(), dest, issued_at_seconds, statement };
        WORLD.with(|world| {
            let value = world.sign(&claims);
            let read = world.verifier.verify(value.as_bytes(), &call, NOW, world.chain.as_bytes());
            prop_assert_eq!(read.as_ref(), Ok(&claims));
            let identity = Identity::parse(value.as_bytes()).expect("a value");
            prop_assert_eq!(identity.to_string(), value);
            Ok(())
        })?;
    }

    #[test]
    fn no_fetched_octets_panic(pem in any::<Vec<u8>>(), der in any::<Vec<u8>>()) {
        thread_local!(static SIGNED: (World, String) = {
            let world = World::new();
            let value = world.sign(&shaken());
            (world, value)
        });
        SIGNED.with(|(world, value)| {
            let wrapped = tandem_simulators::authority::pem("CERTIFICATE", &der);
            for chain in [&pem[..], wrapped.as_bytes()] {
                let result = world.verifier.verify(value.as_bytes(), &call(), NOW, chain);
                prop_assert!(result.is_err());
                prop_assert!(TrustAnchors::from_pem(chain).is_err());
            }
            Ok(())
        })?;
    }
}
