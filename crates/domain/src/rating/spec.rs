//! A rate as it is written down: what it matches and what it costs.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use super::terms::BandIndex;
use crate::digits::Digits;
use crate::encoding;
use crate::money::Amount;
use crate::quantity::Unit;
use crate::service::{Direction, Service};

/// One row of a price list. Every part of the match that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RateSpec {
    #[n(0)]
    pub service: Service,
    #[n(1)]
    pub direction: Option<Direction>,
    /// How the other party's number begins (E.164 without `+`, or a short code).
    #[n(2)]
    pub prefix: Option<Digits>,
    /// The name of the destination or zone, for people.
    #[n(3)]
    pub destination: Box<str>,
    /// Rating-Group, AVP 432.
    #[n(4)]
    pub rating_group: Option<u32>,
    /// Service-Identifier, AVP 439.
    #[n(5)]
    pub service_identifier: Option<u32>,
    /// How the serving network's code begins: MCC (3 digits) or MCC and MNC (5 or 6 digits).
    #[n(6)]
    pub serving_network: Option<Digits>,
    #[n(7)]
    pub price: Price,
    /// How the caller's number begins: surcharges by where a call comes from.
    #[n(8)]
    pub origin: Option<Digits>,
}

/// Price steps, lowest `from` first. Nearly every rate has one.
pub type Steps = SmallVec<[Step; 1]>;

/// What a rate costs. Equal prices of a list are kept once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Price {
    #[n(0)]
    pub unit: Unit,
    /// Step prices are per this many units, at least 1: 60 (seconds), 1048576 (octets), 1 (message).
    #[n(1)]
    pub per: u64,
    #[n(2)]
    pub treatment: Treatment,
    #[n(3)]
    pub progression: Progression,
    /// Of the standard band, and of every band that has none of its own.
    #[n(4)]
    #[cbor(with = "encoding")]
    pub steps: Steps,
    #[n(5)]
    pub bands: Vec<BandSteps>,
    #[n(6)]
    pub increments: Increments,
    /// Once per leg in which anything is billable.
    #[n(7)]
    pub setup_fee: Amount,
    /// The least that a leg costs in which anything is billable, set-up fee included.
    #[n(8)]
    pub minimum_charge: Amount,
    /// The least that is billed when anything is.
    #[n(9)]
    pub minimum_units: u64,
    /// Use of no more than this is free.
    #[n(10)]
    pub grace_units: u64,
    /// The most that a leg costs, before tax when the list's prices are without tax.
    #[n(11)]
    pub cap: Option<Amount>,
    /// The most that who pays it pays in a day or a month. Few rates have it.
    #[n(12)]
    pub period_cap: Option<Box<PeriodCap>>,
}

/// The most that everything with this counter costs a subscriber, a VNO or the broker in a calendar day or month of
/// the list's time zone: a zone's, where all its rates have the same counter. Before tax as [`Price::cap`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct PeriodCap {
    /// Counts money: the counters of tiers are others, whatever their numbers.
    #[n(0)]
    pub counter: u16,
    #[n(1)]
    pub per_day: Option<Amount>,
    #[n(2)]
    pub per_month: Option<Amount>,
}

impl PeriodCap {
    /// What the first use of a day and month costs at most: the lower of the two.
    pub fn lower(&self) -> Option<Amount> {
        [self.per_day, self.per_month].into_iter().flatten().min()
    }
}

impl Price {
    /// `price` per `per` units, billed by the unit, nothing else.
    pub fn flat(unit: Unit, per: u64, price: Amount) -> Price {
        Price {
            unit,
            per,
            treatment: Treatment::Charged,
            progression: Progression::Session,
            steps: SmallVec::from_buf([Step { from: 0, price }]),
            bands: Vec::new(),
            increments: Increments { first: 1, next: 1 },
            setup_fee: Amount::ZERO,
            minimum_charge: Amount::ZERO,
            minimum_units: 0,
            grace_units: 0,
            cap: None,
            period_cap: None,
        }
    }
}

/// From the unit after `from` on, the price per `per` units is `price`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Step {
    #[n(0)]
    pub from: u64,
    #[n(1)]
    pub price: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct BandSteps {
    #[n(0)]
    pub band: BandIndex,
    #[n(1)]
    #[cbor(with = "encoding")]
    pub steps: Steps,
}

/// `first` units, then steps of `next`: 60/60, 60/1, 30/6, 1/1. Both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Increments {
    #[n(0)]
    pub first: u64,
    #[n(1)]
    pub next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Treatment {
    #[n(0)]
    Charged,
    /// Needs no credit control (Result-Code 4011).
    #[n(1)]
    Free,
    /// Not sold at all.
    #[n(2)]
    Blocked,
}

/// Along which scale the steps stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Progression {
    /// Units of this session: minutes 1 to 5 at one price, then another.
    #[n(0)]
    Session,
    /// Units on a monthly counter, each at the price of its own tier.
    #[n(1)]
    Graduated(#[n(0)] u16),
    /// Units on a monthly counter, all at the price of the tier that the last one reached. Units counted
    /// earlier are priced anew when a tier is reached, so a charge can be negative.
    #[n(2)]
    AllUnits(#[n(0)] u16),
}
