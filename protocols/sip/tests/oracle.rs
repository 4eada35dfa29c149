//! Another reader of SIP (ezk-sip-types) and ours, on the same messages: what both understand they understand alike.

use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
use ezk_sip_types::host::HostPort;
use ezk_sip_types::msg::{MessageLine, PullParser};
use ezk_sip_types::print::AppendCtx;
use ezk_sip_types::uri::NameAddr;
use ezk_sip_types::{Headers, Name as Theirs};
use proptest::prelude::*;
use sip_protocol::{Message, Name, Uri};

/// Their reading: the first line and the headers, in their order.
fn theirs(text: &str) -> Option<(MessageLine, Headers, usize)> {
    let mut lines = PullParser::new(text.as_bytes(), 0);
    let first = std::str::from_utf8(lines.next()?.ok()?).ok()?;
    let first: MessageLine = first.parse().ok()?;
    let mut headers = Headers::new();
    let mut count = 0;
    for line in lines {
        let line = std::str::from_utf8(line.ok()?).ok()?;
        let (name, value) = line.split_once(':')?;
        headers.insert(Theirs::from(name.trim().to_owned()), value.trim().to_owned());
        count += 1;
    }
    Some((first, headers, count))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn host(host_port: &HostPort) -> (String, Option<u16>) {
    (host_port.host.to_string().to_ascii_lowercase(), host_port.port)
}

fn address(named: &NameAddr) -> (String, (String, Option<u16>), bool) {
    // Its type for users cannot be named: what it prints is read instead.
    let printed = named.uri.default_print_ctx().to_string();
    let rest = printed.split_once(':').map_or("", |(_, rest)| rest);
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    let user = user.split(':').next().unwrap_or_default().to_owned();
    (user, host(&named.uri.host_port), named.uri.sips)
}

fn own_address(uri: &[u8]) -> (String, (String, Option<u16>), bool) {
    let uri = Uri::parse(uri).expect("a URI");
    let user = text(uri.user_name());
    let secure = uri.scheme == sip_protocol::Scheme::Sips;
    (user, (text(uri.host).to_ascii_lowercase(), uri.port), secure)
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9.]{0,11}"
}

fn host_text() -> impl Strategy<Value = String> {
    let name = "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,6}){0,2}";
    let address = (1u8..224, any::<u8>(), any::<u8>(), 1u8..)
        .prop_map(|(a, b, c, d)| format!("{a}.{b}.{c}.{d}"));
    let port = proptest::option::of(1u16..);
    (prop_oneof![name, address], port).prop_map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn uri() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![Just("sip"), Just("sips")];
    let user = proptest::option::of("[+]?[a-zA-Z0-9._~!-]{1,12}(:[a-z0-9]{1,5})?");
    let params =
        prop_oneof![Just(""), Just(";transport=tcp"), Just(";lr"), Just(";user=phone;x=1")];
    (scheme, user, host_text(), params).prop_map(|(scheme, user, host, params)| match user {
        Some(user) => format!("{scheme}:{user}@{host}{params}"),
        None => format!("{scheme}:{host}{params}"),
    })
}

fn named() -> impl Strategy<Value = String> {
    let display =
        prop_oneof![Just(String::new()), "[A-Z][a-z]{1,8} ", "\"[A-Za-z ,;<>@:]{0,12}\" ",];
    (display, uri()).prop_map(|(display, uri)| format!("{display}<{uri}>"))
}

fn via() -> impl Strategy<Value = String> {
    let transport = prop_oneof![Just("UDP"), Just("TCP"), Just("TLS")];
    let more = prop_oneof![Just(""), Just(";rport"), Just(";received=192.0.2.7"), Just(";x=y;z")];
    (transport, host_text(), word(), more).prop_map(|(transport, host, branch, more)| {
        format!("SIP/2.0/{transport} {host};branch=z9hG4bK{branch}{more}")
    })
}

fn message() -> impl Strategy<Value = String> {
    let first = prop_oneof![
        (prop_oneof![Just("INVITE"), Just("BYE"), Just("OPTIONS"), Just("UPDATE")], uri())
            .prop_map(|(method, uri)| (method.to_owned(), format!("{method} {uri} SIP/2.0"))),
        (100u16..700, "[A-Za-z ]{1,16}").prop_map(|(status, reason)| {
            ("INVITE".to_owned(), format!("SIP/2.0 {status} {}", reason.trim()))
        }),
    ];
    let spacing = prop_oneof![Just(": "), Just(":"), Just(":  "), Just(":\r\n ")];
    let parts = (proptest::collection::vec(via(), 1..4), named(), named(), word(), word());
    let rest = (word(), any::<u32>(), named(), spacing, any::<bool>());
    (first, parts, rest).prop_map(|((method, first), parts, rest)| {
        let (vias, from, to, from_tag, to_tag) = parts;
        let (call_id, number, contact, colon, compact) = rest;
        let name = |long: &'static str, short: &'static str| if compact { short } else { long };
        let mut text = format!("{first}\r\n");
        for via in vias {
            text += &format!("{}{colon}{via}\r\n", name("Via", "v"));
        }
        text += &format!("{}{colon}{from};tag={from_tag}\r\n", name("From", "f"));
        text += &format!("{}{colon}{to};tag={to_tag}\r\n", name("To", "t"));
        text += &format!("{}{colon}{call_id}@h\r\n", name("Call-ID", "i"));
        text += &format!("CSeq{colon}{} {method}\r\n", number & 0x7fff_ffff);
        text += &format!("{}{colon}{contact}\r\n", name("Contact", "m"));
        text + "X-Other: value\r\n\r\n"
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn two_readers_agree_on_well_formed_messages(sent in message()) {
        let ours = Message::decode(sent.as_bytes()).map_err(|e| format!("{:?}", e.fault)).expect(&sent);
        let (first, headers, count) = theirs(&sent).expect("the oracle reads it");
        prop_assert_eq!(ours.headers().len(), count);
        match &first {
            MessageLine::Request(line) => {
                prop_assert_eq!(text(ours.method().expect("a method").as_bytes()), line.method.to_string());
                let uri = NameAddr { name: None, uri: line.uri.clone() };
                prop_assert_eq!(own_address(ours.uri()), address(&uri));
            }
            MessageLine::Response(line) => {
                prop_assert_eq!(ours.status(), line.code.into_u16());
            }
        }
        let cseq: CSeq = headers.get(Theirs::CSEQ).expect("CSeq");
        let own = ours.cseq().expect("CSeq");
        prop_assert_eq!((own.number, text(own.method)), (cseq.cseq, cseq.method.to_string()));
        let call_id: CallID = headers.get(Theirs::CALL_ID).expect("Call-ID");
        prop_assert_eq!(text(ours.call_id()), call_id.0.to_string());
        for (name, own) in [(Theirs::FROM, ours.from()), (Theirs::TO, ours.to())] {
            let other: FromTo = headers.get(name).expect("From and To");
            let own = own.expect("From and To");
            prop_assert_eq!(own.tag().map(text), other.tag.as_ref().map(ToString::to_string));
            prop_assert_eq!(own_address(own.uri), address(&other.uri));
        }
        let contact: Contact = headers.get(Theirs::CONTACT).expect("Contact");
        prop_assert_eq!(own_address(ours.contact().expect("Contact").uri), address(&contact.uri));
        let vias: Vec<Via> = headers.get(Theirs::VIA).expect("Via");
        prop_assert_eq!(ours.elements(Name::Via).count(), vias.len());
        for (own, other) in ours.elements(Name::Via).zip(&vias) {
            let own = sip_protocol::Via::parse(own).expect("a Via");
            prop_assert_eq!(text(own.transport), other.transport.to_string());
            prop_assert_eq!((text(own.host).to_ascii_lowercase(), own.port), host(&other.sent_by));
            let branch = other.params.get_val("branch").map(ToString::to_string);
            prop_assert_eq!(own.branch().map(text), branch);
        }
    }
}
