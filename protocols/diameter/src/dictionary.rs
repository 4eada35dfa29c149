//! What is known of an AVP: its name, its type, whether it is sent with the M flag.

use crate::code::{AvpCode, VENDOR_3GPP};
use crate::dictionary_table::AVPS;

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
    pub vendor: u32,
    pub code: u32,
    pub name: &'static str,
    pub avp_type: AvpType,
    pub mandatory: bool,
}

/// The definition, if the AVP is known.
pub fn find(code: AvpCode) -> Option<&'static AvpDefinition> {
    // Every AVP of every message is looked up: those of the two vendors that matter without a search.
    let place = match code.vendor {
        0 => *IETF_PLACES.get(code.code as usize)?,
        VENDOR_3GPP => *TGPP_PLACES.get(code.code as usize)?,
        _ => {
            let key = (code.vendor, code.code);
            let index = AVPS.binary_search_by_key(&key, |avp| (avp.vendor, avp.code)).ok()?;
            return AVPS.get(index);
        }
    };
    AVPS.get(usize::from(place).checked_sub(1)?)
}

static IETF_PLACES: [u16; 1024] = places(0);
static TGPP_PLACES: [u16; 5120] = places(VENDOR_3GPP);

/// One more than where each code of a vendor stands in the table; 0 = not there.
const fn places<const CODES: usize>(vendor: u32) -> [u16; CODES] {
    let mut places = [0; CODES];
    let mut index = 0;
    while index < AVPS.len() {
        if AVPS[index].vendor == vendor {
            // A code beyond the array does not compile.
            places[AVPS[index].code as usize] = index as u16 + 1;
        }
        index += 1;
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
    fn the_table_is_sorted_and_has_every_code_once() {
        let keys: Vec<_> = AVPS.iter().map(|avp| (avp.vendor, avp.code)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(
            find(crate::code::SERVICE_INFORMATION).map(|avp| avp.name),
            Some("Service-Information")
        );
        assert_eq!(
            find(crate::code::SUBSCRIPTION_ID_E164).map(|avp| avp.name),
            Some("Subscription-Id-E164")
        );
    }
}
