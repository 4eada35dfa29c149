//! What networks measure: seconds, octets, messages, events, and money itself (3GPP TS 32.299, RFC 8506 Unit-Type).

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// The kind of thing a quantity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Unit {
    /// CC-Time.
    #[n(0)]
    Seconds,
    /// CC-Total-Octets.
    #[n(1)]
    Octets,
    /// Short messages (CC-Service-Specific-Units in an SMS context).
    #[n(2)]
    Messages,
    /// Any other event or service-specific unit.
    #[n(3)]
    Events,
    /// Money: a bucket of money, or a direct debit that names its price.
    #[n(4)]
    Money,
}

impl Unit {
    pub const ALL: [Unit; 5] =
        [Unit::Seconds, Unit::Octets, Unit::Messages, Unit::Events, Unit::Money];

    pub fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Octets => "octets",
            Unit::Messages => "messages",
            Unit::Events => "events",
            Unit::Money => "money",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Not one of `seconds`, `octets`, `messages`, `events`, `money`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownUnit;

impl fmt::Display for UnknownUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown unit: expected seconds, octets, messages, events or money")
    }
}

impl std::error::Error for UnknownUnit {}

impl FromStr for Unit {
    type Err = UnknownUnit;

    fn from_str(text: &str) -> Result<Unit, UnknownUnit> {
        Unit::ALL.into_iter().find(|unit| unit.name() == text).ok_or(UnknownUnit)
    }
}
