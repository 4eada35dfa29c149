//! Writing messages: appended to a buffer that is reused. Cannot fail.

use crate::header::Name;
use crate::method::Method;
use crate::status::reason;

/// One message at the end of a buffer; [`MessageWriter::finish`] ends it.
pub struct MessageWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> MessageWriter<'a> {
    pub fn request(out: &'a mut Vec<u8>, method: Method<'_>, uri: &[u8]) -> MessageWriter<'a> {
        let start = out.len();
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        MessageWriter { out, start }
    }

    pub fn response(out: &'a mut Vec<u8>, status: u16) -> MessageWriter<'a> {
        let start = out.len();
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        MessageWriter { out, start }
    }

    /// Header lines alone, for [`MessageWriter::lines`] of messages to come.
    pub fn headers(out: &'a mut Vec<u8>) -> MessageWriter<'a> {
        let start = out.len();
        MessageWriter { out, start }
    }

    /// Header lines that were written before.
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        self.out.extend_from_slice(lines);
        self
    }

    pub fn header(&mut self, name: Name, value: &[u8]) -> &mut Self {
        self.raw(name.as_str().as_bytes(), value)
    }

    pub fn raw(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        self.parts(name, &[value])
    }

    /// A value in pieces.
    pub fn parts(&mut self, name: &[u8], pieces: &[&[u8]]) -> &mut Self {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
        self.out.extend_from_slice(b"\r\n");
        self
    }

    pub fn number(&mut self, name: Name, value: u64) -> &mut Self {
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
        push_number(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    pub fn cseq(&mut self, number: u32, method: Method<'_>) -> &mut Self {
        self.out.extend_from_slice(b"CSeq: ");
        push_number(self.out, u64::from(number));
        self.out.push(b' ');
        self.out.extend_from_slice(method.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Content-Length and the body; returns where the message stands in the buffer.
    pub fn finish(self, body: &[u8]) -> std::ops::Range<usize> {
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(self.out, body.len() as u64);
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
        self.start..self.out.len()
    }
}

/// Decimal digits without allocating.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
