//! What falls due when. Derived from the aggregates, rebuilt when they are loaded, never stored.
//!
//! Ten million renewals a month wait here, so what is far off stands in plain lists by the hour
//! (eight octets each) and only the coming hour is in order.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::PaymentId;
use crate::identifier::{AgreementId, SessionId, SubscriberId, VnoId};
use crate::time::Timestamp;

/// Whose time has come: its aggregate says what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKey {
    Session(SessionId),
    Subscriber(SubscriberId),
    /// A reservation's time is up.
    Payment(PaymentId),
    /// An agreement's month is over.
    Agreement(AgreementId),
    /// The month of a VNO's fees is over.
    Fees(VnoId),
}

impl TimerKey {
    const KIND: u64 = 0b11 << 62;
    const SUBSCRIBER: u64 = 0b10 << 62;
    const PAYMENT: u64 = 0b01 << 62;
    const AGREEMENT: u64 = 0b11 << 62;
    /// Among the agreements, whose numbers have 32 bits.
    const FEES: u64 = 1 << 32;

    fn pack(self) -> u64 {
        match self {
            TimerKey::Session(id) => id.to_bits(),
            TimerKey::Subscriber(id) => id.to_bits() | Self::SUBSCRIBER,
            TimerKey::Payment(id) => id.to_bits() | Self::PAYMENT,
            TimerKey::Agreement(id) => u64::from(id.number()) | Self::AGREEMENT,
            TimerKey::Fees(id) => u64::from(id.number()) | Self::FEES | Self::AGREEMENT,
        }
    }

    fn unpack(bits: u64) -> TimerKey {
        let rest = bits & !Self::KIND;
        match bits & Self::KIND {
            Self::SUBSCRIBER => TimerKey::Subscriber(SubscriberId::from_bits(rest)),
            Self::PAYMENT => TimerKey::Payment(PaymentId::from_bits(rest)),
            Self::AGREEMENT if rest & Self::FEES != 0 => TimerKey::Fees(VnoId::new(rest as u16)),
            Self::AGREEMENT => TimerKey::Agreement(AgreementId::new(rest as u32)),
            _ => TimerKey::Session(SessionId::from_bits(rest)),
        }
    }
}

/// Timers fire at or after their time; one that came too early is armed again by its owner.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    near: BTreeSet<(Timestamp, u64)>,
    /// By hours since the epoch; all later than everything near.
    far: BTreeMap<i64, Vec<u64>>,
    near_until_hour: i64,
}

const HOUR_SECONDS: i64 = 3600;

impl Timers {
    pub fn arm(&mut self, at: Timestamp, key: TimerKey) {
        let hour = at.seconds().div_euclid(HOUR_SECONDS);
        if hour < self.near_until_hour {
            self.near.insert((at, key.pack()));
        } else {
            self.far.entry(hour).or_default().push(key.pack());
        }
    }

    /// The next key whose time has come. Keys from far lists come at the start of their hour:
    /// their owner looks whether they are due and arms them again.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        if let Some((at, bits)) = self.near.first().copied()
            && at <= now
        {
            self.near.remove(&(at, bits));
            return Some(TimerKey::unpack(bits));
        }
        let hour = now.seconds().div_euclid(HOUR_SECONDS);
        self.near_until_hour = self.near_until_hour.max(hour + 1);
        let mut entry = self.far.first_entry()?;
        if *entry.key() > hour {
            return None;
        }
        let popped = entry.get_mut().pop();
        if entry.get().is_empty() {
            entry.remove();
        }
        popped.map(TimerKey::unpack)
    }

    /// No key can fall due before this.
    pub fn next(&self) -> Option<Timestamp> {
        let near = self.near.first().map(|(at, _)| *at);
        let far = self.far.keys().next().map(|hour| Timestamp::from_seconds(hour * HOUR_SECONDS));
        match (near, far) {
            (Some(near), Some(far)) => Some(near.min(far)),
            (near, far) => near.or(far),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::VnoId;

    #[test]
    fn nothing_fires_before_its_hour_and_everything_fires_once() {
        let key = |n| TimerKey::Subscriber(SubscriberId::new(VnoId::new(3), n));
        let mut timers = Timers::default();
        let start = Timestamp::from_seconds(1_000 * HOUR_SECONDS);
        assert_eq!(timers.pop_due(start), None);
        timers.arm(start.plus_seconds(10), key(1));
        timers.arm(start.plus_seconds(5), key(2));
        timers.arm(start.plus_seconds(7200), key(3));
        assert_eq!(timers.next(), Some(start.plus_seconds(5)));
        assert_eq!(timers.pop_due(start.plus_seconds(4)), None);
        assert_eq!(timers.pop_due(start.plus_seconds(10)), Some(key(2)));
        assert_eq!(timers.pop_due(start.plus_seconds(10)), Some(key(1)));
        assert_eq!(timers.pop_due(start.plus_seconds(7199)), None);
        assert_eq!(timers.pop_due(start.plus_seconds(7200)), Some(key(3)));
        assert_eq!(timers.next(), None);
    }
}
