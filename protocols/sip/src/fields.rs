//! Header values, parsed on demand.

use crate::uri::Uri;

/// Digits only, surrounding white space aside.
pub fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Where a character stands outside of quotes and angle brackets.
fn position_outside(value: &[u8], wanted: u8) -> Option<usize> {
    // Most values have neither.
    let first = value.iter().position(|octet| *octet == wanted || matches!(octet, b'"' | b'<'))?;
    if value[first] == wanted {
        return Some(first);
    }
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for (index, octet) in value.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            _ if quoted => {}
            octet if *octet == wanted && !angle => return Some(index),
            b'<' => angle = true,
            b'>' => angle = false,
            _ => {}
        }
    }
    None
}

/// The elements of a comma-separated list.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        match position_outside(value, b',') {
            Some(comma) => {
                rest = Some(&value[comma + 1..]);
                Some(value[..comma].trim_ascii())
            }
            None => {
                rest = None;
                Some(value.trim_ascii())
            }
        }
    })
    .filter(|element| !element.is_empty())
}

/// The parameters of `;name=value;flag`.
pub fn params(params: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = params;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = position_outside(rest, b';');
            let one = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            let one = one.trim_ascii();
            if !one.is_empty() {
                return Some(match one.iter().position(|octet| *octet == b'=') {
                    Some(equals) => {
                        (one[..equals].trim_ascii(), Some(one[equals + 1..].trim_ascii()))
                    }
                    None => (one, None),
                });
            }
        }
    })
}

/// The value of a parameter; empty when it stands alone.
pub fn param<'a>(all: &'a [u8], name: &str) -> Option<&'a [u8]> {
    params(all)
        .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.unwrap_or_default())
}

/// Without the quotes around it.
pub fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// From, To, Contact, Route and the like (RFC 3261 section 20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes included.
    pub display: &'a [u8],
    pub uri: &'a [u8],
    /// Of the header, not of the URI.
    pub params: &'a [u8],
    /// All of it.
    pub raw: &'a [u8],
}

impl<'a> NameAddr<'a> {
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let raw = value.trim_ascii();
        if let Some(open) = position_outside(raw, b'<') {
            let close = open + raw[open..].iter().position(|octet| *octet == b'>')?;
            let after = raw[close + 1..].trim_ascii_start();
            let params = match after {
                [] => after,
                [b';', params @ ..] => params,
                _ => return None,
            };
            let uri = raw[open + 1..close].trim_ascii();
            let display = raw[..open].trim_ascii();
            return (!uri.is_empty()).then_some(NameAddr { display, uri, params, raw });
        }
        // Without brackets the parameters are the header's (section 20).
        let (uri, params) = match raw.iter().position(|octet| *octet == b';') {
            Some(end) => (raw[..end].trim_ascii(), &raw[end + 1..]),
            None => (raw, &[][..]),
        };
        let sound = uri.contains(&b':') && !uri.contains(&b'"');
        sound.then_some(NameAddr { display: &[], uri, params, raw })
    }

    pub fn tag(&self) -> Option<&'a [u8]> {
        param(self.params, "tag").filter(|tag| !tag.is_empty())
    }

    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// Display name and URI in brackets, without parameters.
    pub fn without_params(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.raw.len() + 2);
        if !self.display.is_empty() {
            text.extend_from_slice(self.display);
            text.push(b' ');
        }
        text.push(b'<');
        text.extend_from_slice(self.uri);
        text.push(b'>');
        text
    }
}

/// RFC 3261 section 20.42.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    pub transport: &'a [u8],
    /// Brackets of IPv6 included.
    pub host: &'a [u8],
    pub port: Option<u16>,
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        let (head, params) = match value.iter().position(|octet| *octet == b';') {
            Some(end) => (&value[..end], &value[end + 1..]),
            None => (value, &[][..]),
        };
        let mut slashes = head.splitn(3, |octet| *octet == b'/');
        let (name, version, rest) = (slashes.next()?, slashes.next()?, slashes.next()?);
        let sound =
            name.trim_ascii().eq_ignore_ascii_case(b"SIP") && version.trim_ascii() == b"2.0";
        let rest = rest.trim_ascii();
        let gap = rest.iter().position(|octet| octet.is_ascii_whitespace())?;
        let sent_by = rest[gap..].trim_ascii();
        let (host, port) = host_port(sent_by)?;
        let via = Via { transport: &rest[..gap], host, port, params };
        (sound && !host.is_empty()).then_some(via)
    }

    pub fn branch(&self) -> Option<&'a [u8]> {
        param(self.params, "branch").filter(|branch| !branch.is_empty())
    }
}

/// `host`, `host:port`, `[v6]:port`; the brackets stay.
pub fn host_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let text = text.trim_ascii();
    let end = if text.first() == Some(&b'[') {
        text.iter().position(|octet| *octet == b']')? + 1
    } else {
        text.iter().position(|octet| *octet == b':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    let host = host.trim_ascii();
    match rest.trim_ascii() {
        [] => Some((host, None)),
        [b':', port @ ..] => {
            let port = number(port).and_then(|port| u16::try_from(port).ok())?;
            Some((host, Some(port)))
        }
        _ => None,
    }
}

/// RFC 3261 section 20.16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    pub number: u32,
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    pub fn parse(value: &'a [u8]) -> Option<CSeq<'a>> {
        let value = value.trim_ascii();
        let gap = value.iter().position(|octet| octet.is_ascii_whitespace())?;
        // Below 2**31 (section 8.1.1.5).
        let number = number(&value[..gap]).and_then(|number| i32::try_from(number).ok())?;
        let method = value[gap..].trim_ascii();
        let token =
            !method.is_empty() && method.iter().all(|octet| crate::message::is_token(*octet));
        token.then_some(CSeq { number: number.unsigned_abs(), method })
    }
}

/// RAck: which provisional response a PRACK acknowledges (RFC 3262 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    pub rseq: u32,
    pub cseq: u32,
    pub method: &'a [u8],
}

impl<'a> RAck<'a> {
    pub fn parse(value: &'a [u8]) -> Option<RAck<'a>> {
        let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let rseq = u32::try_from(number(words.next()?)?).ok()?;
        let cseq = u32::try_from(number(words.next()?)?).ok()?;
        Some(RAck { rseq, cseq, method: words.next()? })
    }
}

/// The cause of a Reason header of protocol Q.850 (RFC 3326).
pub fn q850_cause(value: &[u8]) -> Option<u8> {
    list(value).find_map(|reason| {
        let (protocol, rest) = match reason.iter().position(|octet| *octet == b';') {
            Some(end) => (&reason[..end], &reason[end + 1..]),
            None => (reason, &[][..]),
        };
        let is_q850 = protocol.trim_ascii().eq_ignore_ascii_case(b"Q.850");
        let cause = is_q850.then(|| param(rest, "cause")).flatten()?;
        number(cause).and_then(|cause| u8::try_from(cause).ok())
    })
}
