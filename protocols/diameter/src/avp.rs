//! AVPs (RFC 6733 section 4): header, value, padding; read in place.

use std::fmt;
use std::net::IpAddr;

use crate::code::AvpCode;

pub const FLAG_VENDOR: u8 = 0x80;
pub const FLAG_MANDATORY: u8 = 0x40;
pub const FLAG_PROTECTED: u8 = 0x20;

/// Grouped AVPs inside grouped AVPs, at most.
pub const DEPTH_MAX: usize = 16;

/// One AVP, borrowed from the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Avp<'a> {
    pub code: AvpCode,
    pub flags: u8,
    pub data: &'a [u8],
    /// Header and data, without padding.
    pub raw: &'a [u8],
}

/// The value is not one of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvpError {
    /// Wrong length for the type (5014).
    Length,
    /// Right length, wrong content (5004).
    Value,
}

impl fmt::Display for AvpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AvpError::Length => "the AVP's length does not fit its type",
            AvpError::Value => "the AVP's value is not valid for its type",
        })
    }
}

impl std::error::Error for AvpError {}

impl<'a> Avp<'a> {
    pub fn is_mandatory(&self) -> bool {
        self.flags & FLAG_MANDATORY != 0
    }

    pub fn u32(&self) -> Result<u32, AvpError> {
        self.data.try_into().map(u32::from_be_bytes).map_err(|_| AvpError::Length)
    }

    pub fn u64(&self) -> Result<u64, AvpError> {
        self.data.try_into().map(u64::from_be_bytes).map_err(|_| AvpError::Length)
    }

    /// Integer32 and Enumerated.
    pub fn i32(&self) -> Result<i32, AvpError> {
        self.data.try_into().map(i32::from_be_bytes).map_err(|_| AvpError::Length)
    }

    pub fn i64(&self) -> Result<i64, AvpError> {
        self.data.try_into().map(i64::from_be_bytes).map_err(|_| AvpError::Length)
    }

    pub fn text(&self) -> Result<&'a str, AvpError> {
        std::str::from_utf8(self.data).map_err(|_| AvpError::Value)
    }

    /// Seconds since the Unix epoch. Values with the top bit clear belong to the era that begins in 2036.
    pub fn unix_seconds(&self) -> Result<i64, AvpError> {
        let seconds = u64::from(self.u32()?);
        let era = if seconds & 0x8000_0000 == 0 { 1u64 << 32 } else { 0 };
        let unix = (seconds + era).checked_sub(crate::EPOCH_OFFSET_SECONDS);
        unix.and_then(|unix| i64::try_from(unix).ok()).ok_or(AvpError::Value)
    }

    /// Address of family 1 or 2.
    pub fn ip(&self) -> Result<IpAddr, AvpError> {
        match self.data.split_first_chunk::<2>() {
            Some(([0, 1], rest)) => {
                <[u8; 4]>::try_from(rest).map(IpAddr::from).map_err(|_| AvpError::Length)
            }
            Some(([0, 2], rest)) => {
                <[u8; 16]>::try_from(rest).map(IpAddr::from).map_err(|_| AvpError::Length)
            }
            Some(_) => Err(AvpError::Value),
            None => Err(AvpError::Length),
        }
    }

    /// The members of a grouped AVP.
    pub fn members(&self) -> Avps<'a> {
        Avps::new(self.data)
    }

    /// The first member with this code. A malformed group has none.
    pub fn member(&self, code: AvpCode) -> Option<Avp<'a>> {
        self.members().map_while(Result::ok).find(|avp| avp.code == code)
    }
}

impl fmt::Debug for Avp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Avp {}/{} ({} octets)", self.code.vendor, self.code.code, self.data.len())
    }
}

/// The lengths do not add up. Carries what can still be read of the AVP, to be shown in Failed-AVP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedAvp<'a> {
    pub code: Option<AvpCode>,
    pub flags: u8,
    /// From the AVP's first octet to the end of its surroundings.
    pub rest: &'a [u8],
}

/// AVPs side by side. Ends after the first that is malformed.
#[derive(Clone, Debug)]
pub struct Avps<'a> {
    rest: &'a [u8],
}

impl<'a> Avps<'a> {
    pub fn new(bytes: &'a [u8]) -> Avps<'a> {
        Avps { rest: bytes }
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, MalformedAvp<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        Some(match split(bytes) {
            Ok((avp, rest)) => {
                self.rest = rest;
                Ok(avp)
            }
            Err(malformed) => Err(malformed),
        })
    }
}

#[inline]
fn split(bytes: &[u8]) -> Result<(Avp<'_>, &[u8]), MalformedAvp<'_>> {
    let Some((head, _)) = bytes.split_first_chunk::<8>() else {
        return Err(MalformedAvp { code: None, flags: 0, rest: bytes });
    };
    let code = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let flags = head[4];
    let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
    let has_vendor = flags & FLAG_VENDOR != 0;
    let header = if has_vendor { 12 } else { 8 };
    let vendor = match (has_vendor, bytes.get(8..12)) {
        (true, Some(vendor)) => vendor.try_into().map_or(0, u32::from_be_bytes),
        _ => 0,
    };
    let code = AvpCode { vendor, code };
    let malformed = MalformedAvp { code: Some(code), flags, rest: bytes };
    let raw = bytes.get(..length).ok_or(malformed)?;
    let data = raw.get(header..).ok_or(malformed)?;
    // Some peers leave the padding of the very last AVP away; nothing follows that it could shift.
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Ok((Avp { code, flags, data, raw }, rest))
}
