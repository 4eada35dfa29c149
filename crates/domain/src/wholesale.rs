//! What a VNO's agreement with the broker says beside the price of each use: pools, capacity, most-favoured terms.

use minicbor::{Decode, Encode};

use crate::money::Amount;
use crate::quantity::Unit;
use crate::service::Service;

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

/// How many sessions of a service may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Capacity {
    #[n(0)]
    pub service: Service,
    #[n(1)]
    pub sessions: u32,
    /// What a session beyond them costs the VNO once it is used. None: it is refused.
    #[n(2)]
    pub burst_fee: Option<Amount>,
}

impl WholesaleClauses {
    pub fn pool(&self, unit: Unit) -> Option<Pool> {
        self.pools.iter().find(|pool| pool.unit == unit).copied()
    }

    pub fn capacity(&self, service: Service) -> Option<Capacity> {
        self.capacities.iter().find(|capacity| capacity.service == service).copied()
    }
}
