//! Wall time as a value that is handed in: UTC milliseconds, RFC 3339 at the edges.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] i64);

impl Timestamp {
    pub const ZERO: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1000))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub const fn plus_seconds(self, seconds: u64) -> Timestamp {
        let millis =
            if seconds > i64::MAX as u64 / 1000 { i64::MAX } else { seconds as i64 * 1000 };
        Timestamp(self.0.saturating_add(millis))
    }

    pub const fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }

    /// Whole seconds from `earlier` to `self`, zero when `earlier` is not earlier.
    pub const fn seconds_since(self, earlier: Timestamp) -> u64 {
        let millis = self.0.saturating_sub(earlier.0);
        if millis <= 0 { 0 } else { millis as u64 / 1000 }
    }

    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    pub(crate) fn from_jiff(timestamp: jiff::Timestamp) -> Timestamp {
        Timestamp(timestamp.as_millisecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not an RFC 3339 date and time with a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid time: expected RFC 3339 with a zone, such as 2026-01-31T12:00:00Z")
    }
}

impl std::error::Error for InvalidTimestamp {}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>().map(Timestamp::from_jiff).map_err(|_| InvalidTimestamp)
    }
}
