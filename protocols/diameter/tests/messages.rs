//! Messages on the wire: what is written reads back, and every fault gets the answer it deserves.

use diameter_protocol::avp::{Avps, FLAG_MANDATORY, FLAG_VENDOR};
use diameter_protocol::check::{Strictness, check};
use diameter_protocol::code::{self, AvpCode};
use diameter_protocol::credit_control::{
    AnswerGroup, CreditControlAnswer, CreditControlRequest, CreditControlResult, FinalUnit,
    GroupResult, RequestGroup, RequestHead, RequestType, SubscriptionId, SubscriptionIdType, Units,
    write_answer, write_request,
};
use diameter_protocol::message::{DecodeError, Message};
use diameter_protocol::writer::{FailedAvp, Identity, error_answer, proxy_info};
use diameter_protocol::{Framer, MessageWriter, ResultCode};
use proptest::prelude::*;

const GATEWAY: Identity<'static> = Identity { host: "pgw.example", realm: "example" };
const SERVER: Identity<'static> = Identity { host: "ocs.example", realm: "example" };

fn octets(total: u64) -> Units {
    Units { total_octets: Some(total), ..Units::default() }
}

fn update() -> Vec<u8> {
    let group = RequestGroup {
        rating_group: Some(10),
        requested: Some(Units::default()),
        used: Some(Units { input_octets: Some(20), output_octets: Some(80), ..octets(100) }),
        reporting_reason: Some(0),
        ..RequestGroup::default()
    };
    let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: "491511" }];
    let mut bytes = Vec::new();
    write_request(
        &mut bytes,
        &RequestHead {
            session_id: "pgw.example;1;2",
            origin: GATEWAY,
            destination_realm: "example",
            destination_host: Some("ocs.example"),
            service_context: "001.001.12.32251@3gpp.org",
            request_type: RequestType::Update,
            number: 3,
            hop_by_hop: 7,
            end_to_end: 8,
            is_retransmission: true,
            origin_state_id: Some(5),
            subscription_ids: &ids,
            requested_action: None,
            event_timestamp: Some(1_773_000_000),
            requested: None,
            service_identifier: None,
            groups: &[group, group],
            access_point: Some("internet"),
            serving_network: Some("26201"),
            called_party: Some("tel:+4930"),
            calling_party: Some("tel:+491511"),
            recipient: Some("4930"),
        },
    );
    bytes
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    let bytes = update();
    let message = Message::decode(&bytes).expect("a message");
    assert_eq!(
        (message.header.command, message.header.hop_by_hop, message.header.end_to_end),
        (272, 7, 8)
    );
    assert!(message.header.is_request() && message.header.is_retransmitted());
    assert!(check(&message, Strictness::Strict).is_ok());
    let request = CreditControlRequest::read(&message).expect("a request");
    assert_eq!((request.session_id, request.number), (&b"pgw.example;1;2"[..], 3));
    assert_eq!((request.request_type, request.context_label()), (RequestType::Update, "32251"));
    assert_eq!(request.event_timestamp, Some(1_773_000_000));
    let information = request.service_information;
    assert_eq!(
        (information.access_point, information.serving_network),
        (Some("internet"), Some("26201"))
    );
    assert_eq!(
        (information.called_party, information.recipient),
        (Some("tel:+4930"), Some("4930"))
    );
    let groups: Vec<_> = request.groups().map(|group| group.expect("sound")).collect();
    assert_eq!(groups.len(), 2);
    let used: Vec<_> = groups[0].used().map(|used| used.expect("sound").units.octets()).collect();
    assert_eq!(
        (groups[0].rating_group, groups[0].reporting_reason, used),
        (Some(10), Some(0), vec![Some(100)])
    );
}

#[test]
fn an_answer_says_everything_a_client_needs() {
    let bytes = update();
    let message = Message::decode(&bytes).expect("a message");
    let group = AnswerGroup {
        rating_group: Some(10),
        service_identifier: None,
        result: GroupResult(ResultCode::SUCCESS),
        granted: Some(octets(5000)),
        tariff_time_change: Some(1_773_000_000),
        validity_seconds: Some(600),
        time_threshold: None,
        volume_threshold: Some(500),
        unit_threshold: None,
        holding_seconds: Some(60),
        final_unit: Some(FinalUnit::Redirect("http://top-up.example")),
        refund_information: None,
    };
    let answer = CreditControlAnswer {
        request_type: 2,
        number: 3,
        groups: vec![group],
        ..CreditControlAnswer::default()
    };
    let mut out = Vec::new();
    write_answer(
        &mut out,
        &message.header,
        &proxy_info(&message),
        b"pgw.example;1;2",
        SERVER,
        ResultCode::SUCCESS,
        &answer,
    );
    let read = Message::decode(&out).expect("a message");
    assert!(!read.header.is_request());
    assert!(check(&read, Strictness::Strict).is_ok(), "nothing that a strict peer refuses");
    let result = CreditControlResult::read(&read).expect("an answer");
    assert_eq!((result.result, result.number), (2001, 3));
    assert_eq!(
        (result.groups[0].granted, result.groups[0].final_action),
        (Some(octets(5000)), Some(1))
    );
    assert_eq!(
        (result.groups[0].result, result.groups[0].validity_seconds),
        (Some(2001), Some(600))
    );
}

/// The result of a request whose AVPs are these.
fn result_of(
    write: impl FnOnce(&mut MessageWriter<'_>),
) -> Result<(), (ResultCode, Option<AvpCode>)> {
    let mut bytes = Vec::new();
    let mut message = MessageWriter::request(&mut bytes, code::COMMAND_CREDIT_CONTROL, 4, 1, 1);
    write(&mut message);
    message.finish();
    let message = match Message::decode(&bytes) {
        Ok(message) => message,
        Err(DecodeError::Invalid { result, avp, .. }) => {
            return Err((result, avp.and_then(|avp| avp.code)));
        }
        Err(DecodeError::Truncated) => panic!("whole"),
    };
    let shown = |failed: FailedAvp<'_>| match failed {
        FailedAvp::Whole(avp) => Some(avp.code),
        FailedAvp::Missing(code) => Some(code),
        FailedAvp::Malformed(avp) => avp.code,
    };
    check(&message, Strictness::Strict).map_err(|(result, failed)| (result, shown(failed)))?;
    CreditControlRequest::read(&message)
        .map(|_| ())
        .map_err(|fault| (fault.result, shown(fault.avp)))
}

fn base(message: &mut MessageWriter<'_>) {
    message.text(code::SESSION_ID, "s");
    message.text(code::ORIGIN_HOST, "pgw.example");
    message.text(code::ORIGIN_REALM, "example");
    message.text(code::SERVICE_CONTEXT_ID, "32251@3gpp.org");
    message.u32(code::CC_REQUEST_NUMBER, 0);
}

/// An AVP with chosen flags and data.
fn raw(code: u32, flags: u8, vendor: Option<u32>, data: &[u8]) -> Vec<u8> {
    let header = if vendor.is_some() { 12 } else { 8 };
    let mut bytes = code.to_be_bytes().to_vec();
    bytes.extend_from_slice(
        &((u32::from(flags)) << 24 | (header + data.len()) as u32).to_be_bytes(),
    );
    bytes.extend(vendor.into_iter().flat_map(u32::to_be_bytes));
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn every_fault_has_its_result_and_shows_the_avp() {
    let initial = |message: &mut MessageWriter<'_>| {
        base(message);
        message.u32(code::CC_REQUEST_TYPE, 1);
    };
    assert_eq!(result_of(initial), Ok(()));
    let missing_type = result_of(base);
    assert_eq!(missing_type, Err((ResultCode::MISSING_AVP, Some(code::CC_REQUEST_TYPE))));
    let wrong_type = result_of(|message| {
        base(message);
        message.u32(code::CC_REQUEST_TYPE, 9);
    });
    assert_eq!(wrong_type, Err((ResultCode::INVALID_AVP_VALUE, Some(code::CC_REQUEST_TYPE))));
    let event_without_action = result_of(|message| {
        base(message);
        message.u32(code::CC_REQUEST_TYPE, 4);
    });
    assert_eq!(event_without_action, Err((ResultCode::MISSING_AVP, Some(code::REQUESTED_ACTION))));
    let unknown = AvpCode { vendor: 999, code: 4242 };
    let with = |bytes: Vec<u8>| {
        result_of(|message| {
            initial(message);
            message.append(&bytes);
        })
    };
    let mandatory = raw(4242, FLAG_VENDOR | FLAG_MANDATORY, Some(999), b"x");
    assert_eq!(with(mandatory), Err((ResultCode::AVP_UNSUPPORTED, Some(unknown))));
    assert_eq!(
        with(raw(4242, FLAG_VENDOR, Some(999), b"x")),
        Ok(()),
        "without M it is passed over"
    );
    assert_eq!(
        with(raw(432, FLAG_MANDATORY, None, b"12345678")),
        Err((ResultCode::INVALID_AVP_LENGTH, Some(code::RATING_GROUP)))
    );
    assert_eq!(
        with(raw(432, FLAG_MANDATORY | 0x01, None, b"1234")),
        Err((ResultCode::INVALID_AVP_BITS, Some(code::RATING_GROUP)))
    );
    let mut too_long = raw(432, FLAG_MANDATORY, None, b"1234");
    too_long[7] = 200;
    assert_eq!(with(too_long), Err((ResultCode::INVALID_AVP_LENGTH, Some(code::RATING_GROUP))));
    let mut too_short = raw(432, FLAG_MANDATORY, None, b"1234");
    too_short[7] = 3;
    assert_eq!(with(too_short), Err((ResultCode::INVALID_AVP_LENGTH, Some(code::RATING_GROUP))));
}

#[test]
fn groups_within_groups_have_a_floor() {
    let mut nested = raw(432, FLAG_MANDATORY, None, b"1234");
    for _ in 0..40 {
        nested = raw(456, FLAG_MANDATORY, None, &nested);
    }
    let result = result_of(|message| {
        base(message);
        message.u32(code::CC_REQUEST_TYPE, 1);
        message.append(&nested);
    });
    assert_eq!(result.map_err(|(result, _)| result), Err(ResultCode::RESOURCES_EXCEEDED));
}

#[test]
fn headers_that_cannot_be_are_answered_or_refused() {
    let whole = update();
    let result = |change: fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        match Message::decode(&bytes) {
            Err(DecodeError::Invalid { result, .. }) => Some(result),
            _ => None,
        }
    };
    assert_eq!(result(|bytes| bytes[0] = 2), Some(ResultCode::UNSUPPORTED_VERSION));
    assert_eq!(result(|bytes| bytes[3] -= 4), Some(ResultCode::INVALID_MESSAGE_LENGTH));
    assert_eq!(result(|bytes| bytes[4] |= 0x01), Some(ResultCode::INVALID_BIT_IN_HEADER));
    assert_eq!(result(|bytes| bytes[4] |= 0x20), Some(ResultCode::INVALID_HDR_BITS));
    let framer = Framer::default();
    assert!(framer.front(&[1, 0, 0, 19]).is_err(), "shorter than a header");
    assert!(framer.front(&[1, 0, 0, 22]).is_err(), "not a multiple of four");
    assert!(framer.front(&[1, 0xff, 0xff, 0xfc]).is_err(), "too long");
    assert_eq!(framer.front(&whole[..30]), Ok(None));
    assert_eq!(framer.front(&whole), Ok(Some(whole.len())));
}

#[test]
fn an_error_answer_returns_what_belongs_to_the_asker() {
    let proxy = raw(284, FLAG_MANDATORY, None, &raw(280, FLAG_MANDATORY, None, b"dra.example"));
    let mut bytes = Vec::new();
    let mut message = MessageWriter::request(&mut bytes, code::COMMAND_CREDIT_CONTROL, 4, 77, 88);
    message.text(code::SESSION_ID, "s");
    message.append(&proxy);
    message.finish();
    let request = Message::decode(&bytes).expect("a message");
    let mut out = Vec::new();
    error_answer(
        &mut out,
        &request.header,
        Some(&request),
        SERVER,
        ResultCode::TOO_BUSY,
        None,
        None,
    );
    let answer = Message::decode(&out).expect("a message");
    assert_eq!((answer.header.hop_by_hop, answer.header.end_to_end), (77, 88));
    assert_eq!(answer.header.flags & 0x20, 0x20, "3xxx carries the E flag");
    assert_eq!(proxy_info(&answer), proxy);
    assert_eq!(answer.avp(code::SESSION_ID).map(|avp| avp.data), Some(&b"s"[..]));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_change_to_a_message_makes_a_decoder_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = update();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_everything(&bytes);
    }

    #[test]
    fn avps_side_by_side_are_the_octets_they_came_from(parts in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..20)), 0..10)) {
        let bytes: Vec<u8> = parts.iter().flat_map(|(code, data)| raw(*code, 0, None, data)).collect();
        let mut again = Vec::new();
        for avp in Avps::new(&bytes) {
            again.extend_from_slice(avp.expect("sound").raw);
            again.resize(again.len().next_multiple_of(4), 0);
        }
        prop_assert_eq!(again, bytes);
    }
}

fn read_everything(bytes: &[u8]) {
    let _ = Framer::default().front(bytes);
    let Ok(message) = Message::decode(bytes) else { return };
    let _ = check(&message, Strictness::Lenient);
    let _ = CreditControlResult::read(&message);
    if let Ok(request) = CreditControlRequest::read(&message) {
        let _ = request.requested();
        let _ = request.used().count();
        for group in request.groups().map_while(Result::ok) {
            let _ = group.used().count();
        }
    }
}
