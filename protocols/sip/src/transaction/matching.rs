//! To which transaction a request belongs (section 17.2.3).

use std::hash::BuildHasher;

use super::{Entry, Transactions};
use crate::message::Message;
use crate::method::Method;
use crate::writer::push_number;

impl Transactions {
    /// branch, sent-by and method; for peers of RFC 2543, which send no such branch, what section 17.2.3 names.
    pub(super) fn make_key(&mut self, message: &Message<'_>, method: Method<'_>) {
        self.key.clear();
        let Some(via) = message.top_via() else { return };
        let branch = via.branch().unwrap_or_default();
        self.key.extend_from_slice(method.as_bytes());
        self.key.push(b' ');
        self.key.extend(via.host.iter().map(u8::to_ascii_lowercase));
        self.key.push(b':');
        push_number(&mut self.key, u64::from(via.port.unwrap_or(5060)));
        self.key.push(b' ');
        self.key.extend_from_slice(branch);
        if !branch.starts_with(b"z9hG4bK") {
            let cseq = message.cseq().map_or(0, |cseq| cseq.number);
            let tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
            self.key.push(b' ');
            push_number(&mut self.key, u64::from(cseq));
            for part in [b" ", message.call_id(), b" ", tag] {
                self.key.extend_from_slice(part);
            }
        }
    }

    /// The transaction of the key that was made last.
    pub(super) fn known(&self) -> Option<u64> {
        let hash = self.hashing.hash_one(&*self.key);
        let is_it = |(known, id): &(u64, u64)| {
            *known == hash
                && matches!(self.entries.get(*id), Some(Entry::Server(one)) if *one.key == *self.key)
        };
        self.by_key.find(hash, is_it).map(|(_, id)| *id)
    }

    /// The transaction of that key is this one.
    pub(super) fn remember(&mut self, id: u64) {
        let hash = self.hashing.hash_one(&*self.key);
        self.by_key.insert_unique(hash, (hash, id), |(hash, _)| *hash);
    }

    pub(super) fn forget(&mut self, id: u64) {
        if let Some(Entry::Server(server)) = self.entries.remove(id) {
            let hash = self.hashing.hash_one(&*server.key);
            if let Ok(found) = self.by_key.find_entry(hash, |(_, known)| *known == id) {
                found.remove();
            }
        }
    }
}
