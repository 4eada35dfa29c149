//! Writing messages: appended to a buffer that is reused, lengths and padding filled in. Cannot fail.

use std::net::IpAddr;

use crate::ResultCode;
use crate::avp::{Avp, FLAG_MANDATORY, FLAG_VENDOR, MalformedAvp};
use crate::code::{self, AvpCode};
use crate::dictionary;
use crate::message::{FLAG_ERROR, FLAG_PROXIABLE, FLAG_REQUEST, Header, Message};

/// One message at the end of a buffer.
///
/// Every begun message is to be [finished](MessageWriter::finish), every group is closed by its closure.
pub struct MessageWriter<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> MessageWriter<'a> {
    pub fn request(
        buffer: &'a mut Vec<u8>,
        command: u32,
        application: u32,
        hop_by_hop: u32,
        end_to_end: u32,
    ) -> MessageWriter<'a> {
        let proxiable = if application == code::APPLICATION_BASE { 0 } else { FLAG_PROXIABLE };
        let header = Header {
            version: 1,
            length: 0,
            flags: FLAG_REQUEST | proxiable,
            command,
            application,
            hop_by_hop,
            end_to_end,
        };
        MessageWriter::begin(buffer, &header)
    }

    /// An answer to `request`, with its command, application and identifiers; the P flag is kept.
    pub fn answer(
        buffer: &'a mut Vec<u8>,
        request: &Header,
        result: ResultCode,
    ) -> MessageWriter<'a> {
        let error = if result.is_protocol_error() { FLAG_ERROR } else { 0 };
        let flags = request.flags & FLAG_PROXIABLE | error;
        MessageWriter::begin(buffer, &Header { version: 1, length: 0, flags, ..*request })
    }

    fn begin(buffer: &'a mut Vec<u8>, header: &Header) -> MessageWriter<'a> {
        let start = buffer.len();
        buffer.extend_from_slice(&[header.version, 0, 0, 0]);
        buffer.extend_from_slice(&(u32::from(header.flags) << 24 | header.command).to_be_bytes());
        buffer.extend_from_slice(&header.application.to_be_bytes());
        buffer.extend_from_slice(&header.hop_by_hop.to_be_bytes());
        buffer.extend_from_slice(&header.end_to_end.to_be_bytes());
        MessageWriter { buffer, start }
    }

    /// Marks a request as possibly sent before (T flag).
    pub fn set_retransmitted(&mut self) {
        self.buffer[self.start + 4] |= crate::message::FLAG_RETRANSMITTED;
    }

    /// Fills in the length; the message is what was appended since it was begun.
    pub fn finish(self) -> usize {
        let length = self.buffer.len() - self.start;
        put_length(self.buffer, self.start + 1, length);
        length
    }

    fn head(&mut self, code: AvpCode) -> usize {
        let at = self.buffer.len();
        let mandatory = if dictionary::is_sent_mandatory(code) { FLAG_MANDATORY } else { 0 };
        let vendor = if code.vendor == 0 { 0 } else { FLAG_VENDOR };
        self.buffer.extend_from_slice(&code.code.to_be_bytes());
        self.buffer.extend_from_slice(&[mandatory | vendor, 0, 0, 0]);
        if code.vendor != 0 {
            self.buffer.extend_from_slice(&code.vendor.to_be_bytes());
        }
        at
    }

    fn close(&mut self, at: usize) {
        let length = self.buffer.len() - at;
        put_length(self.buffer, at + 5, length);
        let padded = at + length.next_multiple_of(4);
        self.buffer.resize(padded, 0);
    }

    pub fn octets(&mut self, code: AvpCode, data: &[u8]) {
        let at = self.head(code);
        self.buffer.extend_from_slice(data);
        self.close(at);
    }

    pub fn text(&mut self, code: AvpCode, text: &str) {
        self.octets(code, text.as_bytes());
    }

    pub fn u32(&mut self, code: AvpCode, value: u32) {
        self.octets(code, &value.to_be_bytes());
    }

    pub fn u64(&mut self, code: AvpCode, value: u64) {
        self.octets(code, &value.to_be_bytes());
    }

    pub fn i32(&mut self, code: AvpCode, value: i32) {
        self.octets(code, &value.to_be_bytes());
    }

    pub fn i64(&mut self, code: AvpCode, value: i64) {
        self.octets(code, &value.to_be_bytes());
    }

    /// Seconds since the Unix epoch, 1968 to 2104.
    pub fn time(&mut self, code: AvpCode, unix_seconds: i64) {
        let seconds = unix_seconds.wrapping_add_unsigned(crate::EPOCH_OFFSET_SECONDS);
        self.u32(code, seconds as u32);
    }

    pub fn ip(&mut self, code: AvpCode, address: IpAddr) {
        let at = self.head(code);
        match address {
            IpAddr::V4(address) => {
                self.buffer.extend_from_slice(&[0, 1]);
                self.buffer.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.buffer.extend_from_slice(&[0, 2]);
                self.buffer.extend_from_slice(&address.octets());
            }
        }
        self.close(at);
    }

    pub fn group(&mut self, code: AvpCode, members: impl FnOnce(&mut Self)) {
        let at = self.head(code);
        members(self);
        self.close(at);
    }

    /// An AVP exactly as it came.
    pub fn copy(&mut self, avp: &Avp<'_>) {
        self.buffer.extend_from_slice(avp.raw);
        let padded = self.start + (self.buffer.len() - self.start).next_multiple_of(4);
        self.buffer.resize(padded, 0);
    }

    /// Appends whole, padded AVPs.
    pub fn append(&mut self, avps: &[u8]) {
        self.buffer.extend_from_slice(avps);
    }

    /// Copies Proxy-Info AVPs of the request, unchanged and in order (RFC 6733 section 6.2).
    pub fn copy_proxy_info(&mut self, request: &Message<'_>) {
        let all = request.avps().map_while(Result::ok);
        all.filter(|avp| avp.code == code::PROXY_INFO).for_each(|avp| self.copy(&avp));
    }

    pub fn failed_avp(&mut self, failed: &FailedAvp<'_>) {
        self.group(code::FAILED_AVP, |group| match failed {
            FailedAvp::Whole(avp) => group.copy(avp),
            FailedAvp::Missing(code) => group.octets(*code, dictionary::smallest_value(*code)),
            FailedAvp::Malformed(malformed) => {
                // The header with zeros of the smallest valid length behind it (RFC 6733 section 7.1.5).
                let code = malformed.code.unwrap_or(AvpCode { vendor: 0, code: 0 });
                group.octets(code, dictionary::smallest_value(code));
            }
        });
    }
}

/// The Proxy-Info AVPs of a request, padded, as its answer has to return them.
pub fn proxy_info(request: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.avps().map_while(Result::ok).filter(|avp| avp.code == code::PROXY_INFO).for_each(
        |avp| {
            append_padded(&mut bytes, &avp);
        },
    );
    bytes
}

/// The AVP as it came, at the end of a buffer of whole AVPs.
pub fn append_padded(buffer: &mut Vec<u8>, avp: &Avp<'_>) {
    buffer.extend_from_slice(avp.raw);
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

fn put_length(buffer: &mut [u8], at: usize, length: usize) {
    let octets = (length as u32).to_be_bytes();
    buffer[at..at + 3].copy_from_slice(&octets[1..]);
}

/// What to show of the AVP that is at fault.
#[derive(Clone, Copy, Debug)]
pub enum FailedAvp<'a> {
    Whole(Avp<'a>),
    Missing(AvpCode),
    Malformed(MalformedAvp<'a>),
}

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub host: &'a str,
    pub realm: &'a str,
}

/// Writes the answer to a request that cannot be served: Session-Id where known, origin, result, the AVP at fault.
pub fn error_answer(
    buffer: &mut Vec<u8>,
    header: &Header,
    request: Option<&Message<'_>>,
    origin: Identity<'_>,
    result: ResultCode,
    failed: Option<&FailedAvp<'_>>,
    text: Option<&str>,
) {
    let mut answer = MessageWriter::answer(buffer, header, result);
    if let Some(session) = request.and_then(|request| request.avp(code::SESSION_ID)) {
        answer.copy(&session);
    }
    answer.u32(code::RESULT_CODE, result.0);
    answer.text(code::ORIGIN_HOST, origin.host);
    answer.text(code::ORIGIN_REALM, origin.realm);
    if header.command == code::COMMAND_CREDIT_CONTROL && !result.is_protocol_error() {
        answer.u32(code::AUTH_APPLICATION_ID, code::APPLICATION_CREDIT_CONTROL);
        for code in [code::CC_REQUEST_TYPE, code::CC_REQUEST_NUMBER] {
            if let Some(avp) =
                request.and_then(|request| request.avp(code)).filter(|avp| avp.data.len() == 4)
            {
                answer.copy(&avp);
            }
        }
    }
    if let Some(text) = text {
        answer.text(code::ERROR_MESSAGE, text);
    }
    if let Some(failed) = failed {
        answer.failed_avp(failed);
    }
    if let Some(request) = request {
        answer.copy_proxy_info(request);
    }
    answer.finish();
}
