//! sip, sips and tel URIs (RFC 3261 section 19.1, RFC 3966).

use crate::fields::{host_port, param};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub scheme: Scheme,
    /// The number of a tel URI.
    pub user: &'a [u8],
    /// Empty for tel.
    pub host: &'a [u8],
    pub port: Option<u16>,
    pub params: &'a [u8],
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// None: another scheme (416), or no URI (400).
    pub fn parse(text: &'a [u8]) -> Option<Uri<'a>> {
        let text = text.trim_ascii();
        let colon = text.iter().position(|octet| *octet == b':')?;
        let rest = &text[colon + 1..];
        let scheme = match &text[..colon] {
            scheme if scheme.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            scheme if scheme.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            scheme if scheme.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
            _ => return None,
        };
        if rest.iter().any(|octet| octet.is_ascii_control() || *octet == b' ') {
            return None;
        }
        if scheme == Scheme::Tel {
            let (user, params) = split_once(rest, b';').unwrap_or((rest, &[]));
            let uri = Uri { scheme, user, host: &[], port: None, params, headers: &[] };
            return (!user.is_empty()).then_some(uri);
        }
        // User parts may hold `;` and `?`; what follows the host may not hold `@`.
        let (user, rest) = match rest.iter().rposition(|octet| *octet == b'@') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (&[][..], rest),
        };
        let user = split_once(user, b':').map_or(user, |(user, _password)| user);
        let (rest, headers) = split_once(rest, b'?').unwrap_or((rest, &[]));
        let (host, params) = split_once(rest, b';').unwrap_or((rest, &[]));
        let (host, port) = host_port(host)?;
        let uri = Uri { scheme, user, host, port, params, headers };
        (!host.is_empty()).then_some(uri)
    }

    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }

    /// The user part without parameters of its own, such as `;phone-context=`.
    pub fn user_name(&self) -> &'a [u8] {
        split_once(self.user, b';').map_or(self.user, |(name, _)| name)
    }

    /// What is said of the number: the parameters of the user part, or those of a tel URI (RFC 3966).
    pub fn telephone_params(&self) -> &'a [u8] {
        match self.scheme {
            Scheme::Tel => self.params,
            Scheme::Sip | Scheme::Sips => {
                split_once(self.user, b';').map_or(&[], |(_, params)| params)
            }
        }
    }

    /// The host as an address, when it is one.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        let host = std::str::from_utf8(self.host).ok()?;
        host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|octet| *octet == at)?;
    Some((&text[..index], &text[index + 1..]))
}
