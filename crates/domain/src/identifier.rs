//! Who and what is named: parties, subscribers, lines, accounts, sessions.
//!
//! Numbers count up within one VNO, so an identifier says nothing about another tenant's size.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::digits::Digits;

macro_rules! index_identifier {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] $inner);

        impl $name {
            pub const fn new(index: $inner) -> $name {
                $name(index)
            }

            pub const fn index(self) -> usize {
                self.0 as usize
            }

            pub const fn number(self) -> $inner {
                self.0
            }
        }
    };
}

index_identifier!(
    /// A virtual network operator: a tenant.
    VnoId, u16);
index_identifier!(
    /// A network company.
    CarrierId, u16);
index_identifier!(
    /// A company that sells content through the broker.
    ContentProviderId, u16);
index_identifier!(
    /// A carrier's switch that talks to us, for example one Diameter peer.
    PeerId, u16);
index_identifier!(
    /// A named price list; its versions are [`PriceListVersion`]s.
    PriceListId, u32);
index_identifier!(
    /// One immutable version of a price list.
    PriceListVersion, u32);
index_identifier!(
    /// What a VNO sells.
    OfferId, u32);
index_identifier!(
    /// A stored filter on service, destination and time.
    ScopeId, u16);
index_identifier!(
    /// A bucket within one account.
    BucketId, u16);
index_identifier!(
    /// A credential of the HTTP APIs.
    ApiKeyId, u32);
index_identifier!(
    /// Something that a content provider sells.
    ContentItemId, u32);
index_identifier!(
    /// What a content provider, the broker and a VNO agreed on.
    AgreementId, u32);
index_identifier!(
    /// Traffic that a content provider pays for.
    SponsorshipId, u32);
index_identifier!(
    /// A content provider's OAuth client.
    ApiClientId, u32);

impl PriceListId {
    /// Of counters that count what lines spend on calls, each under its line's number.
    pub const SPENT_ON_CALLS: PriceListId = PriceListId::new(u32::MAX);
    /// Of the counter that counts the seconds of calls a carrier carried, where a number was promised to it.
    pub const CARRIED: PriceListId = PriceListId::new(u32::MAX - 1);
    /// Of counters that count what a VNO took of its pools, each under its unit's number.
    pub const POOLS: PriceListId = PriceListId::new(u32::MAX - 2);
}

impl CarrierId {
    /// Of what comes over nobody's network, such as a purchase through the content provider interface.
    pub const NOBODY: CarrierId = CarrierId::new(u16::MAX);
}

/// A customer of one VNO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SubscriberId(#[n(0)] u64);

impl SubscriberId {
    pub const fn new(vno: VnoId, number: u32) -> SubscriberId {
        SubscriberId((vno.0 as u64) << 32 | number as u64)
    }

    pub const fn vno(self) -> VnoId {
        VnoId((self.0 >> 32) as u16)
    }

    /// Counts from 1 within the VNO.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }

    pub const fn from_bits(bits: u64) -> SubscriberId {
        SubscriberId(bits & 0xffff_ffff_ffff)
    }
}

macro_rules! part_of_subscriber {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] u64);

        impl $name {
            pub const fn new(subscriber: SubscriberId, number: u8) -> $name {
                $name(subscriber.0 << 8 | number as u64)
            }

            pub const fn subscriber(self) -> SubscriberId {
                SubscriberId(self.0 >> 8)
            }

            pub const fn vno(self) -> VnoId {
                self.subscriber().vno()
            }

            /// Counts from 1 within the subscriber.
            pub const fn number(self) -> u8 {
                self.0 as u8
            }

            pub const fn to_bits(self) -> u64 {
                self.0
            }
        }
    };
}

part_of_subscriber!(
    /// A line: what a call, message or data session is for.
    LineId);
part_of_subscriber!(
    /// An account of a subscriber: money and allowances in buckets.
    AccountId);
part_of_subscriber!(
    /// An offer held by a subscriber.
    SubscriptionId);

/// A charging session, counted within its VNO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionId(#[n(0)] u64);

impl SessionId {
    const NUMBER_BITS: u32 = 44;

    pub const fn new(vno: VnoId, number: u64) -> SessionId {
        SessionId((vno.0 as u64) << Self::NUMBER_BITS | number)
    }

    pub const fn vno(self) -> VnoId {
        VnoId((self.0 >> Self::NUMBER_BITS) as u16)
    }

    /// Counts from 1 within the VNO.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }

    pub const fn from_bits(bits: u64) -> SessionId {
        SessionId(bits)
    }
}

/// What a service identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum IdentityKind {
    /// E.164 number (3GPP TS 23.003 section 3.3).
    #[n(0)]
    Msisdn,
    /// E.212 subscriber identity (TS 23.003 section 2.2).
    #[n(1)]
    Imsi,
    /// SIM serial number (ITU-T E.118).
    #[n(2)]
    Iccid,
    /// SIP or tel URI (RFC 3261 section 19).
    #[n(3)]
    SipAddress,
    /// Network access identifier or user name (RFC 7542).
    #[n(4)]
    Nai,
    /// Hardware address of a modem or terminal.
    #[n(5)]
    Mac,
    /// A fixed address of the line.
    #[n(6)]
    Ip,
    /// Any other identifier private to the carrier (RFC 8506 END_USER_PRIVATE).
    #[n(7)]
    Private,
}

impl IdentityKind {
    pub const ALL: [IdentityKind; 8] = [
        IdentityKind::Msisdn,
        IdentityKind::Imsi,
        IdentityKind::Iccid,
        IdentityKind::SipAddress,
        IdentityKind::Nai,
        IdentityKind::Mac,
        IdentityKind::Ip,
        IdentityKind::Private,
    ];

    pub fn name(self) -> &'static str {
        match self {
            IdentityKind::Msisdn => "msisdn",
            IdentityKind::Imsi => "imsi",
            IdentityKind::Iccid => "iccid",
            IdentityKind::SipAddress => "sip",
            IdentityKind::Nai => "nai",
            IdentityKind::Mac => "mac",
            IdentityKind::Ip => "ip",
            IdentityKind::Private => "private",
        }
    }
}

/// A service identity of a line, parsed and in its one normal form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum Identity {
    /// MSISDN or IMSI: digits as one number with a leading 1.
    #[n(0)]
    Number(#[n(0)] IdentityKind, #[n(1)] u64),
    #[n(1)]
    Text(#[n(0)] IdentityKind, #[n(1)] Box<str>),
}

/// The text is not a valid identity of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidIdentity(pub IdentityKind);

impl fmt::Display for InvalidIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.0 {
            IdentityKind::Msisdn => "3 to 15 digits in E.164 form, such as +4915112345678",
            IdentityKind::Imsi => "6 to 15 digits",
            IdentityKind::Iccid => "18 to 20 digits",
            IdentityKind::SipAddress => "a SIP or tel URI such as sip:alice@example.com",
            IdentityKind::Nai | IdentityKind::Private => "1 to 253 printable characters",
            IdentityKind::Mac => "six octets in hexadecimal",
            IdentityKind::Ip => "an IPv4 or IPv6 address",
        };
        write!(f, "invalid {}: expected {expected}", self.0.name())
    }
}

impl std::error::Error for InvalidIdentity {}

impl Identity {
    /// An MSISDN or IMSI from its digits; of more than 15 there is none, and nobody's is returned.
    pub fn number(kind: IdentityKind, digits: Digits) -> Identity {
        Identity::Number(kind, digits.to_key().unwrap_or(0))
    }

    /// The digits of an MSISDN.
    pub fn digits(&self) -> Option<Digits> {
        match self {
            Identity::Number(IdentityKind::Msisdn, key) => {
                // The key has a leading 1.
                key.to_string().get(1..)?.parse().ok()
            }
            _ => None,
        }
    }

    pub fn parse(kind: IdentityKind, text: &str) -> Result<Identity, InvalidIdentity> {
        let invalid = || InvalidIdentity(kind);
        let number = |min: usize, max: usize| {
            let digits: Digits = text.parse().map_err(|_| invalid())?;
            if !(min..=max).contains(&digits.len()) {
                return Err(invalid());
            }
            digits.to_key().ok_or_else(invalid)
        };
        let printable = !text.is_empty()
            && text.len() <= 253
            && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if !printable {
            return Err(invalid());
        }
        let text: Box<str> = match kind {
            IdentityKind::Msisdn => return Ok(Identity::Number(kind, number(3, 15)?)),
            IdentityKind::Imsi => return Ok(Identity::Number(kind, number(6, 15)?)),
            IdentityKind::Iccid => {
                let plain = text.bytes().all(|b| b.is_ascii_digit());
                if !plain || !(18..=20).contains(&text.len()) {
                    return Err(invalid());
                }
                text.into()
            }
            IdentityKind::SipAddress => sip_address(text).ok_or_else(invalid)?,
            IdentityKind::Nai | IdentityKind::Private => text.into(),
            IdentityKind::Mac => {
                let hex: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
                if hex.len() != 12 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(invalid());
                }
                hex.to_ascii_lowercase().into()
            }
            IdentityKind::Ip => {
                let address: std::net::IpAddr = text.parse().map_err(|_| invalid())?;
                address.to_string().into()
            }
        };
        Ok(Identity::Text(kind, text))
    }

    pub fn kind(&self) -> IdentityKind {
        match self {
            Identity::Number(kind, _) | Identity::Text(kind, _) => *kind,
        }
    }

    /// The identity as people write it: MSISDN with `+`.
    pub fn value(&self) -> String {
        match self {
            Identity::Number(kind, key) => {
                let digits = key.to_string();
                let plus = if *kind == IdentityKind::Msisdn { "+" } else { "" };
                format!("{plus}{}", digits.get(1..).unwrap_or_default())
            }
            Identity::Text(_, text) => text.to_string(),
        }
    }
}

/// Scheme and host compare without case, parameters do not identify (RFC 3261 section 19.1.4).
fn sip_address(text: &str) -> Option<Box<str>> {
    let (scheme, rest) = text.split_once(':')?;
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split([';', '?']).next()?;
    if rest.is_empty() {
        return None;
    }
    match scheme.as_str() {
        "tel" => Some(format!("tel:{rest}").into()),
        "sip" | "sips" => {
            let (user, host) = rest.rsplit_once('@')?;
            (!user.is_empty() && !host.is_empty())
                .then(|| format!("{scheme}:{user}@{}", host.to_ascii_lowercase()).into())
        }
        _ => None,
    }
}

impl fmt::Debug for Identity {
    /// Personal numbers never reach a log in clear: only the last two characters show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        let tail: String = value.chars().rev().take(2).collect::<Vec<_>>().iter().rev().collect();
        write!(f, "{}:…{tail}", self.kind().name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_brought_to_one_form() {
        for (kind, given, normal) in [
            (IdentityKind::Msisdn, "4915112345678", "+4915112345678"),
            (IdentityKind::Imsi, "001011234567890", "001011234567890"),
            (
                IdentityKind::SipAddress,
                "SIP:Alice@Example.COM;transport=tcp",
                "sip:Alice@example.com",
            ),
            (IdentityKind::Mac, "AA-BB-CC-00-11-22", "aabbcc001122"),
            (IdentityKind::Ip, "2001:DB8::1", "2001:db8::1"),
        ] {
            let identity = Identity::parse(kind, given).expect("valid");
            assert_eq!(identity.value(), normal);
            assert_eq!(Identity::parse(kind, normal), Ok(identity));
        }
        for (kind, bad) in [
            (IdentityKind::Msisdn, "12"),
            (IdentityKind::Imsi, "1234567890123456"),
            (IdentityKind::SipAddress, "mailto:a@b"),
            (IdentityKind::Nai, ""),
            (IdentityKind::Nai, "a b"),
        ] {
            assert_eq!(Identity::parse(kind, bad), Err(InvalidIdentity(kind)), "{bad}");
        }
    }

    #[test]
    fn parts_of_a_subscriber_know_their_subscriber_and_vno() {
        let subscriber = SubscriberId::new(VnoId::new(7), 1042);
        let account = AccountId::new(subscriber, 3);
        assert_eq!(
            (account.subscriber(), account.vno(), account.number()),
            (subscriber, VnoId::new(7), 3)
        );
        let session = SessionId::new(VnoId::new(7), 99);
        assert_eq!((session.vno(), session.number()), (VnoId::new(7), 99));
    }
}
