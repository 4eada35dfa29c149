//! What a subscriber uses, and in which direction.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// A kind of service, whatever network carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Service {
    #[n(0)]
    Voice,
    #[n(1)]
    Data,
    /// Short and multimedia messages.
    #[n(2)]
    Message,
    /// Purchases from content providers and any other one-off event.
    #[n(3)]
    Content,
}

impl Service {
    pub const ALL: [Service; 4] =
        [Service::Voice, Service::Data, Service::Message, Service::Content];

    pub fn name(self) -> &'static str {
        match self {
            Service::Voice => "voice",
            Service::Data => "data",
            Service::Message => "message",
            Service::Content => "content",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Not one of `voice`, `data`, `message`, `content`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownService;

impl fmt::Display for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown service: expected voice, data, message or content")
    }
}

impl std::error::Error for UnknownService {}

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Service, UnknownService> {
        Service::ALL.into_iter().find(|service| service.name() == text).ok_or(UnknownService)
    }
}

/// Seen from the line that is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Direction {
    /// The line calls, sends, or uses data.
    #[n(0)]
    Originating,
    /// The line is called or receives.
    #[n(1)]
    Terminating,
    /// The line forwards what it received.
    #[n(2)]
    Forwarded,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Originating => "originating",
            Direction::Terminating => "terminating",
            Direction::Forwarded => "forwarded",
        }
    }
}

impl FromStr for Direction {
    type Err = UnknownDirection;

    fn from_str(text: &str) -> Result<Direction, UnknownDirection> {
        [Direction::Originating, Direction::Terminating, Direction::Forwarded]
            .into_iter()
            .find(|direction| direction.name() == text)
            .ok_or(UnknownDirection)
    }
}

/// Not one of `originating`, `terminating`, `forwarded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDirection;

impl fmt::Display for UnknownDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown direction: expected originating, terminating or forwarded")
    }
}

impl std::error::Error for UnknownDirection {}
