//! Messages (RFC 6733 section 3): header and AVPs, borrowed from the receive buffer.

use std::fmt;

use crate::ResultCode;
use crate::avp::{Avp, Avps, MalformedAvp};
use crate::code::AvpCode;

pub const HEADER_LEN: usize = 20;
pub const FLAG_REQUEST: u8 = 0x80;
pub const FLAG_PROXIABLE: u8 = 0x40;
pub const FLAG_ERROR: u8 = 0x20;
pub const FLAG_RETRANSMITTED: u8 = 0x10;

/// AVPs on the top level of one message, at most.
pub const AVPS_MAX: usize = 1024;

/// The fixed 20 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u8,
    pub length: usize,
    pub flags: u8,
    pub command: u32,
    pub application: u32,
    pub hop_by_hop: u32,
    pub end_to_end: u32,
}

impl Header {
    pub fn is_request(&self) -> bool {
        self.flags & FLAG_REQUEST != 0
    }

    pub fn is_retransmitted(&self) -> bool {
        self.flags & FLAG_RETRANSMITTED != 0
    }

    fn read(bytes: &[u8; HEADER_LEN]) -> Header {
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Header {
            version: bytes[0],
            length: (word(0) & 0x00ff_ffff) as usize,
            flags: bytes[4],
            command: word(4) & 0x00ff_ffff,
            application: word(8),
            hop_by_hop: word(12),
            end_to_end: word(16),
        }
    }
}

/// A message whose header is sound and whose top-level AVPs fit into it.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub header: Header,
    bytes: &'a [u8],
}

/// Why bytes are no message, and what to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError<'a> {
    /// Fewer octets than a header has, or than it says: nothing can be answered.
    Truncated,
    /// The header can be read, but the message is to be answered with this result.
    Invalid { header: Header, result: ResultCode, avp: Option<MalformedAvp<'a>> },
}

impl fmt::Display for DecodeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("the message is cut short"),
            DecodeError::Invalid { result, .. } => {
                write!(f, "the message is invalid: {}", result.name().unwrap_or("unknown"))
            }
        }
    }
}

impl std::error::Error for DecodeError<'_> {}

impl<'a> Message<'a> {
    /// Reads one whole message, as [`Framer`](crate::Framer) delimits it.
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, DecodeError<'a>> {
        let head = bytes.first_chunk::<HEADER_LEN>().ok_or(DecodeError::Truncated)?;
        let header = Header::read(head);
        let invalid = |result| DecodeError::Invalid { header, result, avp: None };
        if header.version != 1 {
            return Err(invalid(ResultCode::UNSUPPORTED_VERSION));
        }
        if header.length != bytes.len() || !header.length.is_multiple_of(4) {
            return Err(invalid(ResultCode::INVALID_MESSAGE_LENGTH));
        }
        if header.flags & 0x0f != 0 {
            return Err(invalid(ResultCode::INVALID_BIT_IN_HEADER));
        }
        if header.is_request() && header.flags & FLAG_ERROR != 0 {
            return Err(invalid(ResultCode::INVALID_HDR_BITS));
        }
        let message = Message { header, bytes };
        for (count, avp) in message.avps().enumerate() {
            if count >= AVPS_MAX {
                return Err(invalid(ResultCode::RESOURCES_EXCEEDED));
            }
            if let Err(malformed) = avp {
                let result = ResultCode::INVALID_AVP_LENGTH;
                return Err(DecodeError::Invalid { header, result, avp: Some(malformed) });
            }
        }
        Ok(message)
    }

    /// The octets as they came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn avps(&self) -> Avps<'a> {
        Avps::new(self.bytes.get(HEADER_LEN..).unwrap_or_default())
    }

    /// The first AVP with this code on the top level.
    pub fn avp(&self, code: AvpCode) -> Option<Avp<'a>> {
        self.avps().map_while(Result::ok).find(|avp| avp.code == code)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("header", &self.header).finish_non_exhaustive()
    }
}
