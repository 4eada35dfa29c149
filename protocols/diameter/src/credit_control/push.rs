//! What the server asks of the client: Re-Auth (RFC 8506 section 5.5) and Abort-Session (RFC 6733 section 8.5).

use crate::ResultCode;
use crate::code;
use crate::message::Message;
use crate::writer::{Identity, MessageWriter};

/// Whom a push is for.
#[derive(Clone, Copy, Debug)]
pub struct PushHead<'a> {
    pub session_id: &'a [u8],
    pub origin: Identity<'a>,
    pub destination_host: &'a str,
    pub destination_realm: &'a str,
    pub hop_by_hop: u32,
    pub end_to_end: u32,
}

impl PushHead<'_> {
    fn begin<'b>(&self, out: &'b mut Vec<u8>, command: u32) -> MessageWriter<'b> {
        let application = code::APPLICATION_CREDIT_CONTROL;
        let mut message =
            MessageWriter::request(out, command, application, self.hop_by_hop, self.end_to_end);
        message.octets(code::SESSION_ID, self.session_id);
        message.text(code::ORIGIN_HOST, self.origin.host);
        message.text(code::ORIGIN_REALM, self.origin.realm);
        message.text(code::DESTINATION_REALM, self.destination_realm);
        message.text(code::DESTINATION_HOST, self.destination_host);
        message.u32(code::AUTH_APPLICATION_ID, application);
        message
    }
}

/// Re-Auth-Request, AUTHORIZE_ONLY, for one rating group or the whole session.
pub fn write_re_auth(
    out: &mut Vec<u8>,
    head: &PushHead<'_>,
    rating_group: Option<u32>,
    service_identifier: Option<u32>,
) {
    let mut message = head.begin(out, code::COMMAND_RE_AUTH);
    message.u32(code::RE_AUTH_REQUEST_TYPE, 0);
    if let Some(identifier) = service_identifier {
        message.u32(code::SERVICE_IDENTIFIER, identifier);
    }
    if let Some(rating_group) = rating_group {
        message.u32(code::RATING_GROUP, rating_group);
    }
    message.finish();
}

pub fn write_abort_session(out: &mut Vec<u8>, head: &PushHead<'_>) {
    head.begin(out, code::COMMAND_ABORT_SESSION).finish();
}

/// The client's answer to either.
pub fn write_push_answer(
    out: &mut Vec<u8>,
    request: &Message<'_>,
    origin: Identity<'_>,
    result: ResultCode,
) {
    let mut message = MessageWriter::answer(out, &request.header, result);
    if let Some(session) = request.avp(code::SESSION_ID) {
        message.copy(&session);
    }
    message.u32(code::RESULT_CODE, result.0);
    message.text(code::ORIGIN_HOST, origin.host);
    message.text(code::ORIGIN_REALM, origin.realm);
    message.copy_proxy_info(request);
    message.finish();
}
