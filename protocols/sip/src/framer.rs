//! Whole messages from a stream (RFC 3261 section 18.3): there Content-Length is required.

use crate::fields;
use crate::header::Name;
use crate::message::{Fault, MESSAGE_LENGTH_MAX};

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A message of so many octets.
    Message(usize),
    /// Octets that mean nothing: line ends between messages.
    Skip(usize),
    /// A keep-alive that wants `CRLF` back (RFC 5626 section 3.5.1).
    Ping(usize),
    /// More has to come.
    Incomplete,
}

/// Looks at the front. After an error the stream cannot be followed any further.
pub fn front(bytes: &[u8]) -> Result<Front, Fault> {
    if bytes.starts_with(b"\r\n\r\n") {
        return Ok(Front::Ping(4));
    }
    if bytes == b"\r\n" || bytes == b"\r" || bytes == b"\r\n\r" || bytes.is_empty() {
        return Ok(Front::Incomplete);
    }
    if bytes.starts_with(b"\r\n") {
        return Ok(Front::Skip(2));
    }
    if bytes.starts_with(b"\n") {
        return Ok(Front::Skip(1));
    }
    let Some(head) = head_length(bytes) else {
        return if bytes.len() > MESSAGE_LENGTH_MAX {
            Err(Fault::TooLarge)
        } else {
            Ok(Front::Incomplete)
        };
    };
    let mut length = None;
    for line in bytes[..head].split(|octet| *octet == b'\n') {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        if Name::parse(line[..colon].trim_ascii()) != Name::ContentLength {
            continue;
        }
        let found = fields::number(&line[colon + 1..]).ok_or(Fault::ContentLength)?;
        if length.is_some_and(|known| known != found) {
            return Err(Fault::ContentLength);
        }
        length = Some(found);
    }
    let length = length.ok_or(Fault::ContentLength)?;
    let body = usize::try_from(length).ok().filter(|body| *body <= MESSAGE_LENGTH_MAX);
    let whole = head + body.ok_or(Fault::TooLarge)?;
    if whole > MESSAGE_LENGTH_MAX {
        return Err(Fault::TooLarge);
    }
    Ok(if bytes.len() >= whole { Front::Message(whole) } else { Front::Incomplete })
}

/// Octets up to and with the empty line.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(end) = bytes[at..].iter().position(|octet| *octet == b'\n') {
        let after = at + end + 1;
        match &bytes[after..] {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            _ => at = after,
        }
    }
    None
}
