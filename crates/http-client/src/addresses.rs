//! Which addresses belong to no public network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Does the host of a URL say so itself, before any name is looked up?
pub fn is_inside(host: &str) -> bool {
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    literal.is_some_and(is_private)
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}

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
fn nat64(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = v6.octets();
    let prefix = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let last: [u8; 4] = octets[12..].try_into().ok()?;
    (octets[..12] == prefix).then(|| last.into())
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
