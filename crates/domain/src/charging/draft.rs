//! A decision in the making: changes not yet applied, and balances as they would be with them.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::event::Movements;
use crate::identifier::{AccountId, BucketId};
use crate::money::Amount;
use crate::quantity::Unit;
use crate::subscriber::{Bucket, CounterKey};

/// What a decision does to one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BucketChange {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub bucket: BucketId,
    #[n(2)]
    pub balance: i64,
    #[n(3)]
    pub held: i64,
}

/// Whose cumulative use a tiered price looks at, or whose money a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CounterOwner {
    #[n(0)]
    Subscriber(#[n(0)] crate::identifier::SubscriberId),
    #[n(1)]
    Vno(#[n(0)] crate::identifier::VnoId),
    #[n(2)]
    Carrier(#[n(0)] crate::identifier::CarrierId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CounterChange {
    #[n(0)]
    pub owner: CounterOwner,
    #[n(1)]
    pub key: CounterKey,
    #[n(2)]
    pub period: u32,
    #[n(3)]
    pub units: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub buckets: SmallVec<[BucketChange; 4]>,
    pub counters: SmallVec<[CounterChange; 2]>,
    /// Change of what is reserved on the VNO's account with the broker.
    pub wholesale_held: i64,
    /// Change of the VNO's balance with the broker.
    pub wholesale_balance: i64,
    /// Change of what is reserved of the VNO's pools.
    pub pools_held: SmallVec<[(Unit, i64); 1]>,
}

impl Draft {
    fn entry(&mut self, account: AccountId, bucket: BucketId) -> &mut BucketChange {
        let found = self.buckets.iter().position(|c| c.account == account && c.bucket == bucket);
        let index = found.unwrap_or_else(|| {
            self.buckets.push(BucketChange { account, bucket, balance: 0, held: 0 });
            self.buckets.len() - 1
        });
        &mut self.buckets[index]
    }

    pub fn take(&mut self, account: AccountId, bucket: BucketId, amount: i64) {
        let change = self.entry(account, bucket);
        change.balance = change.balance.saturating_sub(amount);
    }

    pub fn hold(&mut self, account: AccountId, bucket: BucketId, amount: i64) {
        let change = self.entry(account, bucket);
        change.held = change.held.saturating_add(amount);
    }

    fn change(&self, account: AccountId, bucket: BucketId) -> (i64, i64) {
        let found = self.buckets.iter().find(|c| c.account == account && c.bucket == bucket);
        found.map_or((0, 0), |change| (change.balance, change.held))
    }

    /// The bucket's balance as it would be.
    pub fn balance(&self, account: AccountId, bucket: &Bucket) -> i64 {
        bucket.balance.saturating_add(self.change(account, bucket.id).0)
    }

    /// Balance less what sessions hold, as it would be. May be negative.
    pub fn free(&self, account: AccountId, bucket: &Bucket) -> i64 {
        let (balance, held) = self.change(account, bucket.id);
        bucket.balance.saturating_add(balance).saturating_sub(bucket.held.saturating_add(held))
    }

    pub fn counted(&self, owner: CounterOwner, key: CounterKey, period: u32) -> u64 {
        let found =
            self.counters.iter().find(|c| (c.owner, c.key, c.period) == (owner, key, period));
        found.map_or(0, |change| change.units)
    }

    pub fn count(&mut self, owner: CounterOwner, key: CounterKey, period: u32, units: u64) {
        let same = |c: &&mut CounterChange| (c.owner, c.key, c.period) == (owner, key, period);
        match self.counters.iter_mut().find(same) {
            Some(change) => change.units = change.units.saturating_add(units),
            None => self.counters.push(CounterChange { owner, key, period, units }),
        }
    }

    pub fn wholesale_charged(&mut self, amount: Amount) {
        self.wholesale_balance = self.wholesale_balance.saturating_sub(amount.micros());
    }

    pub fn hold_pool(&mut self, unit: Unit, units: i64) {
        match self.pools_held.iter_mut().find(|(of, _)| *of == unit) {
            Some((_, held)) => *held = held.saturating_add(units),
            None => self.pools_held.push((unit, units)),
        }
    }

    pub fn pool_held(&self, unit: Unit) -> i64 {
        let found = self.pools_held.iter().find(|(of, _)| *of == unit);
        found.map_or(0, |(_, held)| *held)
    }

    /// What the journal keeps of it: without changes that cancelled out.
    pub fn movements(mut self) -> Movements {
        self.buckets.retain(|change| change.balance != 0 || change.held != 0);
        self.pools_held.retain(|(_, held)| *held != 0);
        let pools = self.pools_held;
        Movements {
            buckets: self.buckets,
            counters: self.counters,
            wholesale_held: self.wholesale_held,
            pools_held: (!pools.is_empty()).then(|| pools.to_vec()),
        }
    }
}
