//! Rating: prices as data, charges as a function of the total used.
//!
//! A [`PriceList`] is one immutable version of a tariff, compiled for lookup: retail prices of a VNO, wholesale
//! prices of the broker, or the rate deck of a carrier. [`PriceList::find`] chooses the most specific [`Rate`];
//! the rate turns use into billable units (increments), units into an [`Exact`] price (steps, tiers, time bands),
//! and the list turns that into a [`Charge`] (fee, minimum, discount, cap, rounding once, tax). What a leg owes
//! now is the charge of its total less what was already charged, so slicing a session never changes its price.
//!
//! It does not choose who pays, draw on allowances, convert currencies or keep counters: positions come in
//! as numbers. Nothing here reads a clock; time zone rules are the ones compiled in (IANA tzdb).

mod affordable;
mod bands;
mod compile;
pub mod deck;
mod exact;
mod index;
mod packed;
mod price_list;
mod rate;
mod settle;
mod spec;
mod terms;

pub use affordable::{LegSoFar, Schedule};
pub use bands::BandPieces;
pub use compile::Problem;
pub use exact::{Charge, Exact};
pub use index::{RateIndex, RateQuery};
pub use packed::pack;
pub(crate) use packed::unpack;
pub use price_list::{PriceList, Quote};
pub use rate::Rate;
pub use settle::CapSoFar;
pub use spec::{
    BandSteps, Increments, PeriodCap, Price, Progression, RateSpec, Step, Steps, Treatment,
};
pub use terms::{
    BandIndex, CalendarDate, InvalidDate, PriceListHeader, RoundingRule, Tax, TaxKind, TimeBand,
    Weekday,
};
