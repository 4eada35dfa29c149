//! What is known of an AVP: its name, its type, whether it is sent with the M flag.

mod access;
mod charging;
mod ietf;

use self::access::ACCESS;
use self::charging::CHARGING;
use self::ietf::IETF;
use crate::code::{AvpCode, VENDOR_3GPP};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvpType {
    OctetString,
    Utf8String,
    Integer32,
    Integer64,
    Unsigned32,
    Unsigned64,
    Enumerated,
    Grouped,
    Address,
    Time,
    DiameterIdentity,
    DiameterUri,
    IpFilterRule,
}

#[derive(Clone, Copy, Debug)]
pub struct AvpDefinition {
    pub code: u32,
    pub name: &'static str,
    pub avp_type: AvpType,
    pub mandatory: bool,
}

/// The definition, if the AVP is known.
pub fn find(code: AvpCode) -> Option<&'static AvpDefinition> {
    // Every AVP of every message is looked up: without a search.
    let of_vendor: &[Option<&AvpDefinition>] = match code.vendor {
        0 => &OF_IETF,
        VENDOR_3GPP => &OF_3GPP,
        _ => return None,
    };
    *of_vendor.get(code.code as usize)?
}

static OF_IETF: [Option<&AvpDefinition>; 1024] = by_code(&[IETF]);
static OF_3GPP: [Option<&AvpDefinition>; 5120] = by_code(&[ACCESS, CHARGING]);

/// A code that is there twice, or beyond the array, does not compile.
const fn by_code<const CODES: usize>(
    tables: &[&'static [AvpDefinition]],
) -> [Option<&'static AvpDefinition>; CODES] {
    let mut places = [None; CODES];
    let mut table = 0;
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            let definition = &tables[table][row];
            assert!(places[definition.code as usize].is_none());
            places[definition.code as usize] = Some(definition);
            row += 1;
        }
        table += 1;
    }
    places
}

/// 3GPP TS 29.061's own AVPs (codes 1 to 29) travel without the M flag; all others as defined.
pub fn is_sent_mandatory(code: AvpCode) -> bool {
    let old = code.vendor == VENDOR_3GPP && code.code < 30;
    !old && find(code).is_some_and(|avp| avp.mandatory)
}

/// Zeros of the smallest valid length.
pub(crate) fn smallest_value(code: AvpCode) -> &'static [u8] {
    match find(code).map(|avp| avp.avp_type) {
        Some(AvpType::Integer64 | AvpType::Unsigned64) => &[0; 8],
        Some(AvpType::Integer32 | AvpType::Unsigned32 | AvpType::Enumerated | AvpType::Time) => {
            &[0; 4]
        }
        Some(AvpType::Address) => &[0, 1, 0, 0, 0, 0],
        _ => &[],
    }
}

/// Is this a possible length of a value of this type?
pub(crate) fn fits(avp_type: AvpType, length: usize) -> bool {
    match avp_type {
        AvpType::Integer32 | AvpType::Unsigned32 | AvpType::Enumerated | AvpType::Time => {
            length == 4
        }
        AvpType::Integer64 | AvpType::Unsigned64 => length == 8,
        AvpType::Address => length >= 2,
        AvpType::OctetString
        | AvpType::Utf8String
        | AvpType::Grouped
        | AvpType::DiameterIdentity
        | AvpType::DiameterUri
        | AvpType::IpFilterRule => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avps_are_found_by_vendor_and_code_and_by_no_other() {
        let name = |vendor, code| find(AvpCode { vendor, code }).map(|avp| avp.name);
        assert_eq!(
            find(crate::code::SERVICE_INFORMATION).map(|avp| avp.name),
            Some("Service-Information")
        );
        assert_eq!(
            find(crate::code::SUBSCRIPTION_ID_E164).map(|avp| avp.name),
            Some("Subscription-Id-E164")
        );
        assert_eq!(name(0, 1), Some("User-Name"));
        assert_eq!(name(VENDOR_3GPP, 1), Some("3GPP-IMSI"));
        for (vendor, code) in [(0, 2), (9, 1), (VENDOR_3GPP, 5119), (0, u32::MAX), (u32::MAX, 0)] {
            assert_eq!(name(vendor, code), None);
        }
    }
}
