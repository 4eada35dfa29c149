//! What a VNO's agreement with the broker says beside the price of each use: pools, capacity, most-favoured terms.

use minicbor::{Decode, Encode};

use crate::money::Amount;
use crate::quantity::Unit;
use crate::service::Service;
use crate::time::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WholesaleClauses {
    /// It pays no more for a use than any other VNO by its wholesale list.
    #[n(0)]
    pub is_most_favoured: bool,
    /// At most one for each unit.
    #[n(1)]
    pub pools: Vec<Pool>,
    /// At most one for each service.
    #[n(2)]
    pub capacities: Vec<Capacity>,
}

/// Units that every open line brings into a pool which all lines of the VNO use, each calendar month anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pool {
    #[n(0)]
    pub unit: Unit,
    #[n(1)]
    pub per_line: u64,
}

/// How much of a service may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Capacity {
    #[n(0)]
    pub service: Service,
    #[n(1)]
    pub sessions: Option<u32>,
    /// What a session beyond it costs the VNO once it is used. None: it is refused.
    #[n(2)]
    pub burst_fee: Option<Amount>,
    /// Of data that is priced by volume: what all sessions together may carry, as [`Throughput`] measures it.
    #[n(3)]
    #[cbor(default)]
    pub kilobits_per_second: Option<u32>,
}

/// Octets that were reported in the last five minutes, from those of the present and the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Throughput {
    /// Five minutes of the clock, counted from 1970.
    #[n(0)]
    window: i64,
    #[n(1)]
    octets: u64,
    /// In the window before.
    #[n(2)]
    before: u64,
}

impl Throughput {
    const WINDOW_MILLIS: i64 = 5 * 60 * 1000;

    pub(crate) fn note(&mut self, octets: u64, at: Timestamp) {
        *self = self.turned(at);
        self.octets = self.octets.saturating_add(octets);
    }

    /// As it stands in the window of `at`. Time that ran a little backwards stays in the window that was reached; after
    /// a clock was set back, the measure begins anew.
    fn turned(self, at: Timestamp) -> Throughput {
        let window = at.millis().div_euclid(Self::WINDOW_MILLIS);
        match window.saturating_sub(self.window) {
            -1 | 0 => self,
            1 => Throughput { window, octets: 0, before: self.octets },
            _ => Throughput { window, octets: 0, before: 0 },
        }
    }

    /// What was carried over the five minutes up to `now`, the window before as if it had come evenly.
    pub fn kilobits_per_second(self, now: Timestamp) -> u64 {
        let turned = self.turned(now);
        let gone = now.millis() - turned.window * Self::WINDOW_MILLIS;
        let left = (Self::WINDOW_MILLIS - gone.max(0)).unsigned_abs();
        let whole = Self::WINDOW_MILLIS.unsigned_abs();
        let before = u128::from(turned.before) * u128::from(left) / u128::from(whole);
        // Bits in a millisecond are kilobits in a second.
        let bits = (before + u128::from(turned.octets)) * 8;
        u64::try_from(bits / u128::from(whole)).unwrap_or(u64::MAX)
    }
}

impl WholesaleClauses {
    pub fn pool(&self, unit: Unit) -> Option<Pool> {
        self.pools.iter().find(|pool| pool.unit == unit).copied()
    }

    pub fn capacity(&self, service: Service) -> Option<Capacity> {
        self.capacities.iter().find(|capacity| capacity.service == service).copied()
    }
}
