//! Answers kept so that a repeated request gets the first answer again and is never charged twice.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use crate::access::Role;
use crate::charging::{EventAnswer, LostSession, SessionAnswer};
use crate::command::Receipt;
use crate::identifier::CarrierId;
use crate::parts::Parts;
use crate::time::Timestamp;

/// Names a request: interface, party and the party's own key for it, so tenants cannot meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct RequestKey(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Box<[u8]>,
);

impl RequestKey {
    /// Of a charging request: the carrier's switches choose the rest.
    pub fn of_carrier(carrier: CarrierId, key: &[u8]) -> RequestKey {
        let mut bytes = Vec::with_capacity(3 + key.len());
        bytes.push(b'c');
        bytes.extend_from_slice(&carrier.number().to_be_bytes());
        bytes.extend_from_slice(key);
        RequestKey(bytes.into_boxed_slice())
    }

    /// Of a one-time event, which has a number beside its key.
    pub fn of_event(carrier: CarrierId, key: &[u8], number: u32) -> RequestKey {
        let mut bytes = Vec::with_capacity(7 + key.len());
        bytes.push(b'e');
        bytes.extend_from_slice(&carrier.number().to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(key);
        RequestKey(bytes.into_boxed_slice())
    }

    /// Of a write through the APIs: `key` is the caller's Idempotency-Key.
    pub fn of_role(role: Role, key: &str) -> RequestKey {
        let (kind, index) = match role {
            Role::Broker => (b'B', 0),
            Role::Vno(id) => (b'V', id.number()),
            Role::Carrier(id) => (b'C', id.number()),
            Role::ContentProvider(id) => (b'P', id.number()),
        };
        let mut bytes = Vec::with_capacity(3 + key.len());
        bytes.push(kind);
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.extend_from_slice(key.as_bytes());
        RequestKey(bytes.into_boxed_slice())
    }
}

/// An answer worth repeating.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    #[n(0)]
    SessionClosed(#[n(0)] u32, #[n(1)] Box<SessionAnswer>),
    #[n(1)]
    Event(#[n(0)] EventAnswer),
    /// Of an administrative write, with a fingerprint of what was asked: the same key must not name two requests.
    #[n(2)]
    Receipt(#[n(0)] Receipt, #[n(1)] u64),
    /// Not an answer: the session was settled for its silence.
    #[n(3)]
    SessionLost(#[n(0)] Box<LostSession>),
}

/// The answers, oldest first out: after [`Answered::LIFE_SECONDS`], or earlier when [`Answered::ENTRIES_MAX`] are kept.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    replies: Parts<RequestKey, (Timestamp, Reply)>,
    /// In chunks, for the same reason.
    order: VecDeque<VecDeque<(Timestamp, RequestKey)>>,
}

/// Keys in one chunk of the order.
const CHUNK: usize = 1024;

impl Answered {
    pub const LIFE_SECONDS: u64 = 24 * 3600;
    pub const ENTRIES_MAX: usize = 1_000_000;

    pub fn reply(&self, key: &RequestKey) -> Option<&Reply> {
        self.replies.get(key).map(|(_, reply)| reply)
    }

    pub fn len(&self) -> usize {
        self.replies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Keeps a reply; at most two old ones leave for each that comes, so no single decision pays for many.
    pub fn keep(&mut self, at: Timestamp, key: RequestKey, reply: Reply) {
        self.replies.insert(key.clone(), (at, reply));
        match self.order.back_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push_back((at, key)),
            None => {
                let mut chunk = VecDeque::with_capacity(CHUNK);
                chunk.push_back((at, key));
                self.order.push_back(chunk);
            }
        }
        for _ in 0..2 {
            let Some(chunk) = self.order.front_mut() else { return };
            let Some((kept_at, _)) = chunk.front() else { return };
            let too_old = kept_at.plus_seconds(Self::LIFE_SECONDS) <= at;
            if !too_old && self.replies.len() <= Self::ENTRIES_MAX {
                return;
            }
            if let Some((at, key)) = chunk.pop_front()
                && self.replies.get(&key).is_some_and(|(kept_at, _)| *kept_at == at)
            {
                // Not one that took the place of an older one since.
                self.replies.remove(&key);
            }
            if chunk.is_empty() {
                self.order.pop_front();
            }
        }
    }

    /// In the order in which they were kept.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &RequestKey, &Reply)> {
        self.order.iter().flatten().filter_map(|(at, key)| {
            let (kept_at, reply) = self.replies.get(key)?;
            (kept_at == at).then_some((*at, key, reply))
        })
    }
}
