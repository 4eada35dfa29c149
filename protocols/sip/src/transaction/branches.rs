//! Branches of ours: each leads back to its transaction, and nobody else can make one.

use super::{Entry, Transactions};
use crate::fields::Via;
use crate::header::Name;
use crate::message::Message;
use crate::tokens::from_hex;

impl Transactions {
    /// Did a request of ours that is still under way come back for the same number, through whomever? For another one
    /// it was forwarded, which is no loop (RFC 3261 sections 16.3 and 6, "spiral").
    pub fn has_come_back(&self, message: &Message<'_>) -> bool {
        let branches = message.elements(Name::Via).filter_map(Via::parse);
        let mut named = branches.filter_map(|via| ours(via.branch()?));
        named.any(|(id, nonce)| {
            let Some(Entry::Client(client)) = self.entries.get(id) else { return false };
            client.nonce == nonce && client.is_for_the_same(message)
        })
    }
}

/// The entry and nonce in a branch of ours.
pub(super) fn ours(branch: &[u8]) -> Option<(u64, u64)> {
    let rest = branch.strip_prefix(b"z9hG4bK")?;
    let (id, nonce) = rest.split_at_checked(16)?;
    Some((from_hex(id)?, from_hex(nonce)?))
}
