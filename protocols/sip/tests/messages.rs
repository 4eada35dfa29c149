//! Messages that real peers and unkind ones send; the cases of RFC 4475 in our own words.

use proptest::prelude::*;
use sip_protocol::framer::{Front, front};
use sip_protocol::message::{Fault, HEADERS_MAX};
use sip_protocol::{CSeq, Message, MessageWriter, Method, Name, NameAddr, Scheme, Uri, Via};

fn request(start: &str, more: &str) -> String {
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 {}\r\n{more}\r\n",
        start.split(' ').next().unwrap_or_default()
    )
}

fn fault(text: &str) -> (Fault, bool) {
    match Message::decode(text.as_bytes()) {
        Ok(_) => panic!("read without complaint:\n{text}"),
        Err(unreadable) => (unreadable.fault, unreadable.message.is_some()),
    }
}

#[test]
fn folded_lines_odd_spacing_compact_names_and_any_case_are_understood() {
    let text = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n\
        TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
        from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
        MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nContent-Length   : 150\r\ncseq: 0009\r\n  INVITE\r\n\
        Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
        v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8\r\n\
        m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\n";
    let text = format!("{text}{}", "x".repeat(150));
    let message = Message::decode(text.as_bytes()).expect("a valid message");
    assert_eq!(message.number(Name::MaxForwards), Some(68));
    assert_eq!(message.cseq(), Some(CSeq { number: 9, method: b"INVITE" }));
    assert_eq!(message.from().and_then(|from| from.tag()), Some(&b"98asjd8"[..]));
    assert_eq!(message.to().and_then(|to| to.tag()), Some(&b"1918181833n"[..]));
    let via = message.top_via().expect("a Via");
    assert_eq!((via.transport, via.host), (&b"UDP"[..], &b"192.0.2.2"[..]));
    assert_eq!(message.elements(Name::Via).count(), 2);
    assert_eq!(message.contact().expect("a Contact").uri, b"sip:jdrosen@example.com");
    assert_eq!(message.body.len(), 150);
}

#[test]
fn any_token_is_a_method_and_case_matters() {
    let odd = "!interesting-Method0123456789_*+`.%indeed'~";
    let text = request(&format!("{odd} sip:x@y SIP/2.0"), "");
    let message = Message::decode(text.as_bytes()).expect("a message");
    assert_eq!(message.method(), Some(Method::Other(odd.as_bytes())));
    assert_eq!(Method::parse(b"invite"), Method::Other(b"invite"));
}

#[test]
fn a_latin_1_name_hides_nothing_behind_it() {
    let mut bytes = request("INVITE sip:x@y SIP/2.0", "Contact: <sip:z@y>\r\n").into_bytes();
    let at = bytes.windows(5).position(|five| five == b"<sip:").expect("From");
    bytes.splice(at..at, b"J\xfcrgen ".iter().copied());
    let message = Message::decode(&bytes).expect("a message");
    assert_eq!(message.from().expect("From").display, b"J\xfcrgen");
    assert_eq!(message.contact().expect("Contact").uri, b"sip:z@y");
}

#[test]
fn uris_keep_parameters_of_user_and_host_apart() {
    let uri =
        Uri::parse(b"sip:user;par=u%40example.net@example.com:5070;lr?Subject=x").expect("a URI");
    assert_eq!(uri.user, b"user;par=u%40example.net");
    assert_eq!(
        (uri.user_name(), uri.host, uri.port),
        (&b"user"[..], &b"example.com"[..], Some(5070))
    );
    assert!(uri.param("lr").is_some());
    let uri = Uri::parse(b"sips:[2001:db8::10]:5061").expect("a URI");
    assert_eq!(uri.address(), Some("2001:db8::10".parse().expect("an address")));
    let uri = Uri::parse(b"tel:+49-30-901820;phone-context=x").expect("a URI");
    assert_eq!((uri.scheme, uri.user), (Scheme::Tel, &b"+49-30-901820"[..]));
    for other in
        [&b"nobodyKnowsThisScheme:totallyopaque"[..], b"http://x", b"sip:", b"x", b"sip:a b@c"]
    {
        assert_eq!(Uri::parse(other), None);
    }
}

#[test]
fn what_is_cut_short_or_contradicts_itself_is_answered_400() {
    let cases = [
        // More body announced than there is.
        (request("INVITE sip:x@y SIP/2.0", "Content-Length: 9999\r\n"), Fault::ContentLength),
        (request("INVITE sip:x@y SIP/2.0", "Content-Length: -999\r\n"), Fault::ContentLength),
        (
            request("INVITE sip:x@y SIP/2.0", "Content-Length: 0\r\nContent-Length: 1\r\n"),
            Fault::ContentLength,
        ),
        (request("INVITE sip:x@y SIP/2.0", "no colon here\r\n"), Fault::HeaderSyntax),
        (request("INVITE sip:x@y; lr SIP/2.0", ""), Fault::RequestUri),
        (
            request("INVITE sip:x@y SIP/2.0", "")
                .replace("CSeq: 1 INVITE", "CSeq: 36893488147419103232 INVITE"),
            Fault::Invalid(Name::CSeq),
        ),
        (
            request("INVITE sip:x@y SIP/2.0", "").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
            Fault::Invalid(Name::CSeq),
        ),
        (
            request("INVITE sip:x@y SIP/2.0", "")
                .replace("To: <sip:b@x>", "To: \"Mr. J. User <sip:b@x>"),
            Fault::Invalid(Name::To),
        ),
        (
            request("INVITE sip:x@y SIP/2.0", "")
                .replace("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", "Via: SIP/2.0/UDP"),
            Fault::Invalid(Name::Via),
        ),
        (
            request("INVITE sip:x@y SIP/2.0", "").replace("Call-ID: c\r\n", ""),
            Fault::Missing(Name::CallId),
        ),
    ];
    for (text, expected) in cases {
        let (found, readable) = fault(&text);
        assert_eq!((found, found.status(), readable), (expected, 400, true), "{text}");
    }
    assert_eq!(fault(&request("INVITE sip:x@y SIP/7.0", "")).0.status(), 505);
}

#[test]
fn what_is_no_message_is_met_with_silence() {
    let nothing = [
        "",
        "\r\n",
        "hello",
        "SIP/2.0 4294967301 better not break the receiver\r\n\r\n",
        "INVITE\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    for text in nothing {
        assert_eq!(fault(text), (Fault::NotSip, false), "{text:?}");
    }
    assert_eq!(fault(&"x".repeat(70_000)), (Fault::TooLarge, false));
    let many = request("INVITE sip:x@y SIP/2.0", &"X: y\r\n".repeat(HEADERS_MAX));
    assert_eq!(fault(&many).0, Fault::TooManyHeaders);
}

#[test]
fn a_second_message_in_a_datagram_is_no_part_of_the_first() {
    let first = request("REGISTER sip:x@y SIP/2.0", "Content-Length: 0\r\n");
    let both = format!("{first}{}", request("INVITE sip:x@y SIP/2.0", ""));
    let message = Message::decode(both.as_bytes()).expect("a message");
    assert_eq!((message.method(), message.body), (Some(Method::Register), &b""[..]));
}

#[test]
fn responses_may_have_no_reason_or_one_in_any_script() {
    let head = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    for start in
        ["SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять", "SIP/2.0 100 ", "SIP/2.0 100"]
    {
        let text = format!("{start}\r\n{head}");
        let message = Message::decode(text.as_bytes()).expect("a response");
        assert!(matches!(message.status(), 100 | 200));
    }
}

#[test]
fn lists_split_at_commas_outside_of_quotes_and_brackets_only() {
    let text = request(
        "INVITE sip:x@y SIP/2.0",
        "Contact: \"a, b\" <sip:a@x;p=1,2>;q=1, <sip:c@x>\r\nContact: sip:d@x;q=0.1\r\n",
    );
    let message = Message::decode(text.as_bytes()).expect("a message");
    let uris: Vec<_> = message
        .elements(Name::Contact)
        .map(|element| NameAddr::parse(element).expect("an address").uri.to_vec())
        .collect();
    assert_eq!(uris, [&b"sip:a@x;p=1,2"[..], b"sip:c@x", b"sip:d@x"]);
}

#[test]
fn a_stream_is_cut_into_messages_by_content_length_alone() {
    let message = request("OPTIONS sip:x@y SIP/2.0", "l: 4\r\n") + "body";
    let stream = format!("\r\n{message}{message}");
    assert_eq!(front(stream.as_bytes()), Ok(Front::Skip(2)));
    assert_eq!(front(message.as_bytes()), Ok(Front::Message(message.len())));
    assert_eq!(front(&message.as_bytes()[..message.len() - 1]), Ok(Front::Incomplete));
    assert_eq!(front(b"\r\n\r\n"), Ok(Front::Ping(4)));
    let lies = request("OPTIONS sip:x@y SIP/2.0", "Content-Length: 4\r\nContent-Length: 5\r\n");
    assert_eq!(front(lies.as_bytes()), Err(Fault::ContentLength));
    assert_eq!(front(request("OPTIONS sip:x@y SIP/2.0", "").as_bytes()), Err(Fault::ContentLength));
}

#[test]
fn what_is_written_is_read_back() {
    let mut out = b"before".to_vec();
    let mut writer = MessageWriter::request(&mut out, Method::Invite, b"sip:b@y");
    writer.header(Name::Via, b"SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bKq;rport");
    writer.header(Name::From, b"<sip:a@x>;tag=1").header(Name::To, b"<sip:b@y>");
    writer.header(Name::CallId, b"id").cseq(7, Method::Invite);
    let range = writer.finish(b"v=0");
    let message = Message::decode(&out[range]).expect("a message");
    let via = message.top_via().expect("a Via");
    assert_eq!(
        via,
        Via {
            transport: b"TCP",
            host: b"[2001:db8::1]",
            port: Some(5060),
            params: b"branch=z9hG4bKq;rport"
        }
    );
    assert_eq!((message.uri(), message.body), (&b"sip:b@y"[..], &b"v=0"[..]));
}

proptest! {
    /// Any octets give a message or a fault, and everything in them can be asked for.
    #[test]
    fn any_octets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        survive(&bytes);
    }

    #[test]
    fn damaged_messages_are_survived(
        damage in prop::collection::vec((0usize..400, any::<u8>()), 1..20),
        cut in 0usize..400,
    ) {
        let mut bytes = request("INVITE sip:x@y:5060;lr SIP/2.0", "Contact: \"x\" <sip:a@b>;expires=3\r\nReason: Q.850;cause=16\r\n").into_bytes();
        for (at, octet) in damage {
            let length = bytes.len();
            bytes[at % length] = octet;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        survive(&bytes);
    }
}

fn survive(bytes: &[u8]) {
    let _ = front(bytes);
    let message = match Message::decode(bytes) {
        Ok(message) => Some(message),
        Err(unreadable) => unreadable.message.map(|message| *message),
    };
    let Some(message) = message else { return };
    for header in message.headers() {
        let _ = NameAddr::parse(header.value).map(|address| (address.tag(), address.parsed_uri()));
        let _ = (Via::parse(header.value), CSeq::parse(header.value));
        let _ = sip_protocol::digest::Credentials::parse(header.value);
        let _ = sip_protocol::fields::list(header.value).count();
        let _ = sip_protocol::fields::q850_cause(header.value);
    }
    let _ = (message.top_via(), Uri::parse(message.uri()));
}
