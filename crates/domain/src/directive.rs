//! What must leave the house: orders to switches. Pending in state until done, sent at least once.

use minicbor::{Decode, Encode};

use crate::charging::GroupKey;
use crate::identifier::{PeerId, SessionId};
use crate::time::Timestamp;

/// Names a directive; a repeat after a crash carries the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct DirectiveId(#[n(0)] pub u64);

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Directive {
    #[n(0)]
    pub id: DirectiveId,
    #[n(1)]
    pub session: SessionId,
    /// The session's name on the wire.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub key: Box<[u8]>,
    #[n(3)]
    pub peer: PeerId,
    #[n(4)]
    pub host: Box<str>,
    #[n(5)]
    pub realm: Box<str>,
    #[n(6)]
    pub order: Order,
    #[n(7)]
    pub issued_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Order {
    /// Ask again now: something changed (RAR, RFC 8506 section 5.5). None = the whole session.
    #[n(0)]
    Reauthorise(#[n(0)] Option<GroupKey>),
    /// End the session (ASR, RFC 6733 section 8.5).
    #[n(1)]
    Abort,
}

/// What the switch said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectiveOutcome {
    Accepted,
    /// The switch does not know the session.
    UnknownSession,
    /// It could not be delivered or was refused; supervision settles the session in time.
    Failed,
}
