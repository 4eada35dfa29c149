//! Where clients want to be told. Addresses inside the house are not for them to reach.

use std::net::IpAddr;

use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tandem_domain::content::Sink;
use tandem_domain::time::Timestamp;

use crate::error::Error;

const URL_MAX: usize = 2048;
const TOKEN_MAX: usize = 8192;

/// Addresses that belong to no public network.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || first == 0
                || first >= 240
                || (first == 100 && (64..128).contains(&second))
                || (first == 192 && second == 0 && v4.octets()[2] == 0)
                || (first == 198 && (18..20).contains(&second))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| nat64(v6)) {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => {
                let first = v6.segments()[0];
                // Global unicast is 2000::/3; what lies outside is not for the public.
                !(0x2000..0x4000).contains(&first) || (first == 0x2001 && v6.segments()[1] == 0xdb8)
            }
        },
    }
}

/// An IPv4 address behind the well-known prefix 64:ff9b::/96 (RFC 6052).
fn nat64(v6: std::net::Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let octets = v6.octets();
    let prefix = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let last: [u8; 4] = octets[12..].try_into().ok()?;
    (octets[..12] == prefix).then(|| last.into())
}

/// `sink` and `sinkCredential` of a request body.
pub(crate) fn read(
    sink: Option<&Value>,
    credential: Option<&Value>,
    allow_private: bool,
) -> Result<Option<Box<Sink>>, Error> {
    let credential = credential.filter(|value| !value.is_null()).map(token).transpose()?;
    let Some(sink) = sink.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let url = sink.as_str().ok_or_else(|| Error::invalid("sink: expected a URI"))?;
    let invalid =
        |why: &str| Error::new(StatusCode::BAD_REQUEST, "INVALID_SINK", format!("sink: {why}"));
    let uri: Uri = url.parse().map_err(|_| invalid("not a URI"))?;
    if uri.scheme_str() != Some("https") || url.len() > URL_MAX {
        return Err(invalid("expected an https URI of at most 2048 octets"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| invalid("no host"))?;
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let inside = literal.is_some_and(is_private)
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost");
    if inside && !allow_private {
        return Err(invalid("the address is not public"));
    }
    let (token, token_expires) =
        credential.map_or((None, None), |(token, expires)| (Some(token), Some(expires)));
    Ok(Some(Box::new(Sink { url: url.into(), token, token_expires })))
}

fn token(credential: &Value) -> Result<(Box<str>, Timestamp), Error> {
    let text = |name: &str| credential.get(name).and_then(Value::as_str);
    let missing = |name: &str| Error::invalid(format!("sinkCredential.{name}: missing"));
    match text("credentialType").ok_or_else(|| missing("credentialType"))? {
        "ACCESSTOKEN" => {}
        "PLAIN" | "REFRESHTOKEN" => {
            let message = "only ACCESSTOKEN is supported";
            return Err(Error::new(StatusCode::BAD_REQUEST, "INVALID_CREDENTIAL", message));
        }
        _ => return Err(Error::invalid("sinkCredential.credentialType: unknown")),
    }
    if text("accessTokenType").ok_or_else(|| missing("accessTokenType"))? != "bearer" {
        let message = "only bearer tokens are supported";
        return Err(Error::new(StatusCode::BAD_REQUEST, "INVALID_TOKEN", message));
    }
    let token = text("accessToken").ok_or_else(|| missing("accessToken"))?;
    let plain = token.bytes().all(|octet| octet.is_ascii_graphic());
    if token.is_empty() || token.len() > TOKEN_MAX || !plain {
        return Err(Error::invalid("sinkCredential.accessToken: expected printable characters"));
    }
    let expires = text("accessTokenExpiresUtc").ok_or_else(|| missing("accessTokenExpiresUtc"))?;
    let expires = expires
        .parse()
        .map_err(|_| Error::invalid("sinkCredential.accessTokenExpiresUtc: expected RFC 3339"))?;
    Ok((token.into(), expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_the_house_are_told_from_public_ones() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
        ];
        for address in inside {
            assert!(is_private(address.parse().expect("an address")), "{address}");
        }
        for address in ["8.8.8.8", "2a00:1450::1", "64:ff9b::808:808"] {
            assert!(!is_private(address.parse().expect("an address")), "{address}");
        }
    }
}
