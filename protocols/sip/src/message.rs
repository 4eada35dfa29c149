//! Reading a message: one pass over the octets, headers as views, in order, unknown ones kept.
//!
//! Works on octets, never on text: a Latin-1 display name hides nothing that follows it. Folded lines, bare LF,
//! compact names and surrounding white space are understood. Every limit is stated.

use std::fmt;

use memchr::memchr;
use smallvec::SmallVec;

use crate::fields::{self, CSeq, NameAddr, Via};
use crate::header::Name;
use crate::method::Method;

/// Header lines of one message.
pub const HEADERS_MAX: usize = 200;
/// Octets of one message.
pub const MESSAGE_LENGTH_MAX: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: Name,
    pub raw_name: &'a [u8],
    /// Without surrounding white space; a folded value contains its line ends.
    pub value: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    Request { method: Method<'a>, uri: &'a [u8] },
    Response { status: u16, reason: &'a [u8] },
}

#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub start: StartLine<'a>,
    headers: SmallVec<[Header<'a>; 24]>,
    pub body: &'a [u8],
    /// What every message has and everybody asks for.
    via: Option<Via<'a>>,
    from: Option<NameAddr<'a>>,
    to: Option<NameAddr<'a>>,
    cseq: Option<CSeq<'a>>,
}

/// Why octets are no message, or one that cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing that could be answered.
    NotSip,
    /// SIP of another version: 505.
    Version,
    TooLarge,
    TooManyHeaders,
    HeaderSyntax,
    /// White space in the Request-URI.
    RequestUri,
    ContentLength,
    /// A header that every message has.
    Missing(Name),
    Invalid(Name),
}

impl Fault {
    pub fn status(self) -> u16 {
        match self {
            Fault::Version => 505,
            Fault::TooLarge => 513,
            _ => 400,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotSip => f.write_str("no SIP message"),
            Fault::Version => f.write_str("not SIP/2.0"),
            Fault::TooLarge => f.write_str("longer than is accepted"),
            Fault::TooManyHeaders => f.write_str("more headers than are accepted"),
            Fault::HeaderSyntax => f.write_str("a header line without a name"),
            Fault::RequestUri => f.write_str("white space in the Request-URI"),
            Fault::ContentLength => f.write_str("Content-Length does not fit"),
            Fault::Missing(name) => write!(f, "{} is missing", name.as_str()),
            Fault::Invalid(name) => write!(f, "{} cannot be read", name.as_str()),
        }
    }
}

impl std::error::Error for Fault {}

/// A fault, and what could be read in spite of it, so that it can be answered.
#[derive(Debug)]
pub struct Unreadable<'a> {
    pub fault: Fault,
    pub message: Option<Box<Message<'a>>>,
}

impl<'a> Message<'a> {
    /// A whole datagram: without Content-Length the body is all that is left (RFC 3261 section 18.3).
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, Unreadable<'a>> {
        let silent = |fault| Unreadable { fault, message: None };
        if bytes.len() > MESSAGE_LENGTH_MAX {
            return Err(silent(Fault::TooLarge));
        }
        let bytes = bytes.trim_ascii_start();
        let (line, mut rest) = take_line(bytes).ok_or(silent(Fault::NotSip))?;
        let (start, version_known) = start_line(line).ok_or(silent(Fault::NotSip))?;
        let mut message = Message {
            start,
            headers: SmallVec::new(),
            body: &[],
            via: None,
            from: None,
            to: None,
            cseq: None,
        };
        let mut fault = None;
        while let Some((line, after)) = take_header(rest) {
            rest = after;
            if line.is_empty() {
                break;
            }
            let Some(colon) = memchr(b':', line) else {
                fault = fault.or(Some(Fault::HeaderSyntax));
                continue;
            };
            let raw_name = line[..colon].trim_ascii_end();
            if raw_name.is_empty() || !raw_name.iter().all(|octet| is_token(*octet)) {
                fault = fault.or(Some(Fault::HeaderSyntax));
                continue;
            }
            if message.headers.len() >= HEADERS_MAX {
                fault = Some(Fault::TooManyHeaders);
                break;
            }
            let name = Name::parse(raw_name);
            message.headers.push(Header { name, raw_name, value: line[colon + 1..].trim_ascii() });
        }
        if message.uri().contains(&b' ') {
            fault = fault.or(Some(Fault::RequestUri));
        }
        if !version_known {
            fault = Some(Fault::Version);
        }
        match message.content_length() {
            Err(wrong) => fault = fault.or(Some(wrong)),
            Ok(None) => message.body = rest,
            Ok(Some(length)) => match rest.get(..length) {
                Some(body) => message.body = body,
                None => fault = fault.or(Some(Fault::ContentLength)),
            },
        }
        let via = message.elements(Name::Via).next().and_then(Via::parse);
        message.via = via;
        message.from = message.header(Name::From).and_then(NameAddr::parse);
        message.to = message.header(Name::To).and_then(NameAddr::parse);
        message.cseq = message.header(Name::CSeq).and_then(CSeq::parse);
        match fault.or_else(|| message.essentials().err()) {
            None => Ok(message),
            Some(fault) => Err(Unreadable { fault, message: Some(Box::new(message)) }),
        }
    }

    /// All that every message needs (RFC 3261 section 8.1.1), readable.
    fn essentials(&self) -> Result<(), Fault> {
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            let value = self.header(name).ok_or(Fault::Missing(name))?;
            let readable = match name {
                Name::Via => self.via.is_some(),
                Name::From => self.from.is_some(),
                Name::To => self.to.is_some(),
                Name::CSeq => self.cseq.is_some(),
                _ => !value.is_empty(),
            };
            if !readable {
                return Err(Fault::Invalid(name));
            }
        }
        if let (StartLine::Request { method, .. }, Some(cseq)) = (self.start, self.cseq)
            && cseq.method != method.as_bytes()
        {
            return Err(Fault::Invalid(Name::CSeq));
        }
        Ok(())
    }

    fn content_length(&self) -> Result<Option<usize>, Fault> {
        let mut found = None;
        for header in self.headers.iter().filter(|header| header.name == Name::ContentLength) {
            let length = fields::number(header.value).ok_or(Fault::ContentLength)?;
            // Two that differ would let one message hide in another.
            if found.is_some_and(|known| known != length) {
                return Err(Fault::ContentLength);
            }
            found = Some(length);
        }
        found.map(|length| usize::try_from(length).map_err(|_| Fault::ContentLength)).transpose()
    }

    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The first value of this name.
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value)
    }

    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.headers.iter().filter(move |header| header.name == name).map(|header| header.value)
    }

    /// Every element of the comma-separated lists under this name.
    pub fn elements(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.all(name).flat_map(fields::list)
    }

    /// Does a list such as Supported contain this token?
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    pub fn uri(&self) -> &'a [u8] {
        match self.start {
            StartLine::Request { uri, .. } => uri,
            StartLine::Response { .. } => &[],
        }
    }

    /// Zero for requests.
    pub fn status(&self) -> u16 {
        match self.start {
            StartLine::Request { .. } => 0,
            StartLine::Response { status, .. } => status,
        }
    }

    pub fn top_via(&self) -> Option<Via<'a>> {
        self.via
    }

    pub fn cseq(&self) -> Option<CSeq<'a>> {
        self.cseq
    }

    pub fn call_id(&self) -> &'a [u8] {
        self.header(Name::CallId).unwrap_or_default()
    }

    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.from
    }

    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.to
    }

    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.elements(Name::Contact).next().and_then(NameAddr::parse)
    }

    pub fn number(&self, name: Name) -> Option<u64> {
        self.header(name).and_then(fields::number)
    }
}

/// RFC 3261 section 25.1.
pub(crate) fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}

/// One line without its end.
fn take_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    Some((line, &bytes[end + 1..]))
}

/// One header line with its continuations. What ends without a line end is a line too.
fn take_header(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let mut at = 0;
    loop {
        let Some(end) = memchr(b'\n', &bytes[at..]) else {
            return Some((bytes, &[]));
        };
        let end = at + end;
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let folded = matches!(bytes.get(end + 1), Some(b' ' | b'\t')) && !line.is_empty();
        if !folded {
            return Some((line, &bytes[end + 1..]));
        }
        at = end + 1;
    }
}

/// The start line, and whether its version is ours.
fn start_line(line: &[u8]) -> Option<(StartLine<'_>, bool)> {
    if let Some(rest) = strip_version(line) {
        let (code, reason) = rest.split_at_checked(3)?;
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] => reason,
            _ => return None,
        };
        let status = fields::number(code).filter(|code| (100..700).contains(code))?;
        return Some((StartLine::Response { status: status as u16, reason }, true));
    }
    let first = line.iter().position(|octet| *octet == b' ')?;
    let last = line.trim_ascii_end().iter().rposition(|octet| *octet == b' ')?;
    let (method, version) = (&line[..first], line[last..].trim_ascii());
    let uri = line.get(first..last)?.trim_ascii();
    let sound = !method.is_empty()
        && !uri.is_empty()
        && method.iter().all(|octet| is_token(*octet))
        && version.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"));
    let known = version.eq_ignore_ascii_case(b"SIP/2.0");
    let start = StartLine::Request { method: Method::parse(method), uri };
    sound.then_some((start, known))
}

fn strip_version(line: &[u8]) -> Option<&[u8]> {
    let (version, rest) = line.split_at_checked(8)?;
    version.eq_ignore_ascii_case(b"SIP/2.0 ").then_some(rest)
}
