//! A hash map in many small tables. One large table that doubles would stop everything for as long as it takes
//! to move a million entries; small ones double one at a time.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::answered::RequestKey;
use crate::content::PaymentId;
use crate::identifier::{LineId, SessionId, SubscriberId};

/// Which table a key belongs to. A borrowed key and its owner say the same.
pub trait Placed {
    fn place(&self) -> usize;
}

const COUNT_BITS: u32 = 8;

fn spread(bits: u64) -> usize {
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - COUNT_BITS)) as usize
}

impl Placed for SessionId {
    fn place(&self) -> usize {
        spread(self.to_bits())
    }
}

impl Placed for u64 {
    fn place(&self) -> usize {
        spread(*self)
    }
}

impl Placed for PaymentId {
    fn place(&self) -> usize {
        spread(self.to_bits())
    }
}

impl Placed for LineId {
    fn place(&self) -> usize {
        spread(self.to_bits())
    }
}

impl Placed for SubscriberId {
    fn place(&self) -> usize {
        spread(self.to_bits())
    }
}

/// Keys that switches choose differ most at their end.
impl Placed for [u8] {
    fn place(&self) -> usize {
        let (rest, last) = match self.split_last_chunk::<8>() {
            Some((rest, last)) => (rest.len(), u64::from_le_bytes(*last)),
            None => (0, self.iter().fold(0, |bits, octet| bits << 8 | u64::from(*octet))),
        };
        spread(last ^ rest as u64)
    }
}

impl Placed for Box<[u8]> {
    fn place(&self) -> usize {
        self.as_ref().place()
    }
}

impl Placed for RequestKey {
    fn place(&self) -> usize {
        self.0.place()
    }
}

#[derive(Clone, Debug)]
pub struct Parts<K, V> {
    tables: Box<[HashMap<K, V>]>,
    len: usize,
}

impl<K, V> Default for Parts<K, V> {
    fn default() -> Parts<K, V> {
        Parts { tables: (0..1 << COUNT_BITS).map(|_| HashMap::new()).collect(), len: 0 }
    }
}

impl<K: Placed + Hash + Eq, V> Parts<K, V> {
    pub const COUNT: usize = 1 << COUNT_BITS;

    pub fn get<Q: Placed + Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.tables[key.place()].get(key)
    }

    pub fn get_mut<Q: Placed + Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.tables[key.place()].get_mut(key)
    }

    pub fn contains_key<Q: Placed + Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.tables[key.place()].insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub fn remove<Q: Placed + Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let removed = self.tables[key.place()].remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub fn get_or_insert_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        match self.tables[key.place()].entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                self.len += 1;
                vacant.insert(V::default())
            }
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn clear(&mut self) {
        self.tables.iter_mut().for_each(HashMap::clear);
        self.len = 0;
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.tables.iter().flat_map(HashMap::keys)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.tables.iter().flat_map(HashMap::values)
    }

    /// The keys of one table, in no order.
    pub fn keys_of_part(&self, part: usize) -> impl Iterator<Item = &K> {
        self.tables.get(part).into_iter().flat_map(HashMap::keys)
    }
}

impl<K: Placed + Hash + Eq, V: PartialEq> PartialEq for Parts<K, V> {
    fn eq(&self, other: &Parts<K, V>) -> bool {
        self.tables == other.tables
    }
}
