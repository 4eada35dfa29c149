//! Identity values as peers write them, kind ones and others; numbers, URLs and the certificates kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use stir_protocol::{
    Cached, CertificateCache, CertificateUrl, Extension, Identity, Refusal, Statement,
    TelephoneNumber, read,
};

const HEADER: &str =
    r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://c.example/1"}"#;
const PAYLOAD: &str = r#"{"attest":"B","dest":{"tn":["4930"]},"iat":1750000000,"orig":{"tn":"4940"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#;
const PARAMS: &str = ";info=<https://c.example/1>;alg=ES256;ppt=shaken";

fn token(header: &str, payload: &str) -> String {
    [header.as_bytes(), payload.as_bytes(), &[1; 64]]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

fn refusal(value: &str) -> Option<Refusal> {
    read(value.as_bytes()).err()
}

#[test]
fn parameters_come_in_any_order_and_dress() {
    let token = token(HEADER, PAYLOAD);
    for params in [
        PARAMS,
        ";ppt=\"shaken\";alg=ES256;info=<https://c.example/1>",
        " ; alg = \"ES256\" ;\r\n\tinfo = <https://c.example/1> ; ppt = shaken ",
        ";info=<https://c.example/1>",
        ";PPT=shaken;INFO=<https://c.example/1>;flag;other=\"a;b\"",
    ] {
        let value = format!(" {token}{params}");
        let (identity, _) = read(value.as_bytes()).expect(params);
        assert_eq!(
            (identity.info, identity.x5u.as_str()),
            ("https://c.example/1", "https://c.example/1")
        );
        assert_eq!(identity.extension, Extension::Shaken);
        assert_eq!(identity.to_string(), format!("{token}{PARAMS}"));
    }
}

#[test]
fn what_is_no_value_is_malformed() {
    let good = token(HEADER, PAYLOAD);
    let values = [
        String::new(),
        PARAMS.to_owned(),
        good.clone(),
        format!("{good};info"),
        format!("{good};info=<https://c.example/1"),
        format!("{good}{PARAMS};info=<https://c.example/1>"),
        format!("{good}{PARAMS} x"),
        format!("{good};ppt=div;info=<https://c.example/1>"),
        format!("a.{good}{PARAMS}"),
        format!("{good}={PARAMS}"),
        format!("{good}{PARAMS};x=\"{}\"", "y".repeat(Identity::LENGTH_MAX)),
        format!("{good};info=<https://c.example/1\r\n\tX>"),
        format!("{good};info=\"https://c.example/1>;x\""),
        format!("{};info=<i>", token(&HEADER.replace("shaken", "x\\r\\nVia: y"), PAYLOAD)),
        format!("{};info=<i>", token(&HEADER.replace("shaken", ""), PAYLOAD)),
        format!("{}{PARAMS}", token(&HEADER.replace("passport", "JWT"), PAYLOAD)),
        format!("{}{PARAMS}", token(&HEADER.replace("{", "{\"crit\":[\"x\"],"), PAYLOAD)),
        format!("{}{PARAMS}", token(&HEADER.replace("{", "{\"ppt\":\"div\","), PAYLOAD)),
    ];
    for value in values {
        assert_eq!(refusal(&value), Some(Refusal::Malformed), "{value}");
    }
}

#[test]
fn what_is_readable_but_not_ours_says_so() {
    let compact = format!("..{}{PARAMS}", URL_SAFE_NO_PAD.encode([1; 64]));
    assert_eq!(refusal(&compact), Some(Refusal::CompactForm));
    let algorithm =
        format!("{};info=<https://c.example/1>", token(&HEADER.replace("ES256", "none"), PAYLOAD));
    assert_eq!(refusal(&algorithm), Some(Refusal::UnknownAlgorithm));
    let outer = format!("{}{PARAMS}", token(HEADER, PAYLOAD)).replace("alg=ES256", "alg=RS256");
    assert_eq!(refusal(&outer), Some(Refusal::UnknownAlgorithm));
    let rich = format!(
        "{};info=<https://c.example/1>;ppt=rcd",
        token(&HEADER.replace("shaken", "rcd"), PAYLOAD)
    );
    assert_eq!(Extension::of(rich.as_bytes()), Some(Extension::Other("rcd".to_owned())));
    assert_eq!(refusal(&rich), Some(Refusal::UnknownExtension));
}

#[test]
fn claims_that_are_missing_or_doubled_are_malformed() {
    let changes = [
        (r#""attest":"B","#, ""),
        (r#""attest":"B""#, r#""attest":"D""#),
        (r#""attest":"B""#, r#""attest":"B","attest":"A""#),
        (r#"["4930"]"#, "[]"),
        (r#"["4930"]"#, r#"["anybody"]"#),
        (r#""tn":"4940""#, r#""tn":"4940","uri":"sip:a@b""#),
        (r#"{"tn":"4940"}"#, "{}"),
        (r#""iat":1750000000,"#, ""),
        ("1750000000", "\"1750000000\""),
        ("1750000000", "-1"),
        ("1750000000", "1750000000.5"),
        ("123e4567-", "123e4567"),
        (r#""origid""#, r#""id""#),
    ];
    for (from, to) in changes {
        let changed = PAYLOAD.replace(from, to);
        assert_ne!(changed, PAYLOAD);
        let value = format!("{}{PARAMS}", token(HEADER, &changed));
        assert_eq!(refusal(&value), Some(Refusal::Malformed), "{changed}");
    }
    let more = PAYLOAD.replace("{\"attest\"", "{\"rcd\":{\"nam\":[[]]},\"attest\"");
    let value = format!("{}{PARAMS}", token(HEADER, &more));
    let (_, claims) = read(value.as_bytes()).expect("claims");
    assert!(matches!(claims.statement, Statement::Shaken { .. }));
}

#[test]
fn numbers_lose_what_is_written_for_the_eye() {
    let canonical =
        |text| TelephoneNumber::canonical(text).map(|number| number.as_str().to_owned());
    assert_eq!(canonical("+49 (30) 9018-20"), Some("4930901820".to_owned()));
    assert_eq!(canonical("*21#"), Some("*21#".to_owned()));
    for text in ["", "+", "()", "alice", "49+30", "4930;ext=1", "٤٩", &"1".repeat(25)] {
        assert_eq!(canonical(text), None, "{text}");
    }
}

#[test]
fn certificates_are_fetched_from_public_names_only() {
    for (text, host, port) in [
        ("https://c.example.org/1.pem", "c.example.org", 443),
        ("HTTPS://C.Example.org:8443/a?b=c", "C.Example.org", 8443),
        ("https://xn--bcher-kva.example:443", "xn--bcher-kva.example", 443),
    ] {
        let url = CertificateUrl::parse(text).expect(text);
        assert_eq!((url.as_str(), url.host(), url.port()), (text, host, port));
    }
    for text in [
        "",
        "http://c.example/1",
        "ftp://c.example/1",
        "c.example/1",
        "https:///1",
        "https://localhost/1",
        "https://a.localhost/1",
        "https://printer.local/1",
        "https://db.internal/1",
        "https://192.0.2.1/1",
        "https://127.1/1",
        "https://0x7f.0.0.0x1/1",
        "https://2130706433/1",
        "https://[2001:db8::1]/1",
        "https://c.example:80/1",
        "https://c.example:/1",
        "https://c.example:443:443/1",
        "https://user@c.example/1",
        "https://c.example#@192.0.2.1/",
        "https://c.example\\@192.0.2.1/",
        "https://c.example./1",
        "https://c..example/1",
        "https://-c.example/1",
        "https://c.example/a b",
        "https://bücher.example/1",
        &format!("https://c.example/{}", "x".repeat(2048)),
    ] {
        assert_eq!(CertificateUrl::parse(text), None, "{text}");
    }
}

fn url(number: usize) -> CertificateUrl {
    CertificateUrl::parse(&format!("https://c.example/{number}")).expect("a URL")
}

#[test]
fn a_certificate_is_kept_as_long_as_its_server_allows() {
    let mut cache = CertificateCache::default();
    assert_eq!(cache.get(&url(1), 100), Cached::Unknown);
    cache.put(&url(1), b"pem", 100, 30);
    assert_eq!(cache.get(&url(1), 129), Cached::Pem(b"pem"[..].into()));
    assert_eq!(cache.get(&url(1), 130), Cached::Unknown);
    cache.put(&url(2), b"pem", 100, u64::MAX);
    assert_eq!(cache.get(&url(2), 100 + CertificateCache::AGE_SECONDS_MAX), Cached::Unknown);
}

#[test]
fn a_failed_fetch_is_not_repeated_for_a_minute_and_spoils_no_certificate() {
    let mut cache = CertificateCache::default();
    cache.put_failure(&url(1), 100);
    assert_eq!(cache.get(&url(1), 159), Cached::Failed);
    assert_eq!(cache.get(&url(1), 160), Cached::Unknown);
    cache.put(&url(1), b"pem", 160, 100);
    cache.put_failure(&url(1), 170);
    assert_eq!(cache.get(&url(1), 170), Cached::Pem(b"pem"[..].into()));
    cache.put(&url(2), &[b'x'; 65 * 1024], 100, 100);
    assert_eq!(cache.get(&url(2), 100), Cached::Failed);
}

#[test]
fn a_full_cache_forgets_the_oldest_and_invented_urls_push_out_no_certificate() {
    let mut cache = CertificateCache::default();
    for number in 0..300 {
        cache.put(&url(number), b"pem", 100, 1000);
    }
    assert_eq!(cache.len(), CertificateCache::ENTRIES_MAX);
    assert_eq!(cache.get(&url(43), 100), Cached::Unknown);
    assert_eq!(cache.get(&url(44), 100), Cached::Pem(b"pem"[..].into()));
    for number in 1000..2000 {
        cache.put_failure(&url(number), 100);
    }
    assert_eq!(cache.len(), CertificateCache::ENTRIES_MAX);
    assert_eq!(cache.get(&url(44), 100), Cached::Unknown);
    assert_eq!(cache.get(&url(45), 100), Cached::Pem(b"pem"[..].into()));
    assert_eq!(cache.get(&url(1999), 100), Cached::Failed);
}

fn json() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"alg\"",
        "\"ES256\"",
        "\"tn\"",
        "\"dest\"",
        "1",
        "null",
        "\"x5u\"",
        "\"orig\"",
        "\"passport\"",
        "\"typ\"",
        "\"",
        "\\u0000",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_octets_panic(value in any::<Vec<u8>>()) {
        let _ = read(&value);
        let _ = Extension::of(&value);
        let text = String::from_utf8_lossy(&value);
        let _ = CertificateUrl::parse(&text);
        let _ = TelephoneNumber::canonical(&text);
    }

    #[test]
    fn no_params_and_no_claims_panic(header in json(), payload in json(), params in "[;=<>\" a-z.é]{0,40}") {
        let _ = read(format!("{}{params}", token(&header, &payload)).as_bytes());
        let _ = read(format!("{}{params}", token(HEADER, &payload)).as_bytes());
        let _ = read(format!("{}{PARAMS}", token(HEADER, &payload)).as_bytes());
    }

    #[test]
    fn the_cache_is_bounded(steps in prop::collection::vec((0usize..20, any::<bool>(), 0u64..200), 0..200), entries_max in 0usize..8) {
        let mut cache = CertificateCache::new(entries_max);
        for (number, is_good, now) in steps {
            if is_good {
                cache.put(&url(number), b"pem", now, 50);
                prop_assert!(entries_max == 0 || cache.get(&url(number), now) != Cached::Unknown);
            } else {
                cache.put_failure(&url(number), now);
            }
            prop_assert!(cache.len() <= entries_max);
        }
    }
}
