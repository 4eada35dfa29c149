//! Work over many sessions, done a few at a time so that nobody waits for it.

use minicbor::{Decode, Encode};

use crate::identifier::{PeerId, PriceListVersion, SessionId, VnoId};

/// One pass over the open sessions, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sweep {
    #[n(0)]
    pub id: u64,
    #[n(1)]
    pub purpose: SweepPurpose,
    /// Sessions of this part of the table (see [`crate::parts`]) up to this one are done, and all parts before it.
    #[n(2)]
    pub after: Option<SessionId>,
    #[n(3)]
    pub part: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SweepPurpose {
    /// The VNO is out of credit or suspended: ask the switches to end its sessions.
    #[n(0)]
    AbortVno(#[n(0)] VnoId),
    /// The switch forgot its sessions from before this Origin-State-Id: settle them.
    #[n(1)]
    SettlePeer(#[n(0)] PeerId, #[n(1)] Box<str>, #[n(2)] u32),
    /// Let go of a version that is no longer in force, unless a session still uses it.
    #[n(2)]
    RetireVersion(#[n(0)] PriceListVersion),
    /// The VNO's limits for calls changed: ask for those that run to come again.
    #[n(3)]
    LimitCalls(#[n(0)] VnoId),
}
