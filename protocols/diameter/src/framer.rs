//! Messages out of a byte stream (RFC 6733 section 2.1): the length in the header says where the next begins.

use std::fmt;

use crate::message::HEADER_LEN;

/// After a bad length a stream cannot be brought back into step: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError {
    pub length: usize,
    pub length_max: usize,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message length {} is not a multiple of 4 between {HEADER_LEN} and {}",
            self.length, self.length_max
        )
    }
}

impl std::error::Error for FramingError {}

/// Cuts a growing buffer into messages. The buffer stays the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Framer {
    length_max: usize,
}

impl Default for Framer {
    fn default() -> Framer {
        Framer { length_max: 64 << 10 }
    }
}

impl Framer {
    pub fn new(length_max: usize) -> Framer {
        Framer { length_max }
    }

    /// The length of the message at the front, if all of it is there.
    pub fn front(&self, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        let Some(head) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        if length < HEADER_LEN || !length.is_multiple_of(4) || length > self.length_max {
            return Err(FramingError { length, length_max: self.length_max });
        }
        Ok((bytes.len() >= length).then_some(length))
    }
}
