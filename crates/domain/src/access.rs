//! Who may call the HTTP APIs: keys are known by their hash only, and each has one role.

use minicbor::{Decode, Encode};

use crate::identifier::{ApiKeyId, CarrierId, ContentProviderId, VnoId};
use crate::time::Timestamp;

/// On whose behalf a request is made; everything it can reach follows from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    #[n(0)]
    Broker,
    #[n(1)]
    Vno(#[n(0)] VnoId),
    #[n(2)]
    Carrier(#[n(0)] CarrierId),
    #[n(3)]
    ContentProvider(#[n(0)] ContentProviderId),
}

/// An API key. The key itself is shown once, when it is issued.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ApiKey {
    #[n(0)]
    pub id: ApiKeyId,
    /// SHA-256 of the key.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub hash: [u8; 32],
    #[n(2)]
    pub role: Role,
    #[n(3)]
    pub name: Box<str>,
    #[n(4)]
    pub issued_at: Timestamp,
    #[n(5)]
    pub read_only: bool,
}
