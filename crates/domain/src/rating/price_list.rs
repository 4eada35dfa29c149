//! One compiled version of a price list.

use std::fmt;

use super::affordable::{LegSoFar, Schedule, units_below};
use super::bands::{BandPieces, Bands};
use super::exact::{Charge, Exact};
use super::index::{Index, RateIndex, RateQuery};
use super::rate::Rate;
use super::settle::{CapSoFar, Limit, Terms};
use super::spec::PeriodCap;
use super::terms::{BandIndex, PriceListHeader};
use crate::money::{Amount, Currency, Overflow};
use crate::quantity::Unit;
use crate::time::Timestamp;

/// Immutable; made by [`PriceList::compile`], shared by reference. A few large allocations whatever the number
/// of rates, so that a superseded version is dropped at once.
pub struct PriceList {
    pub(super) header: PriceListHeader,
    pub(super) terms: Terms,
    pub(super) bands: Bands,
    pub(super) index: Index,
    pub(super) rates: Vec<Rate>,
    /// By [`RateIndex`]: apart from the names, which pricing does not look at.
    pub(super) rate_of: Vec<u32>,
    /// By [`RateIndex`]: where its name begins and ends.
    pub(super) name_of: Vec<(u32, u32)>,
    /// The names of the destinations, one after the other.
    pub(super) names: String,
}

/// What something would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub rate: RateIndex,
    pub billable: u64,
    pub charge: Charge,
}

impl fmt::Debug for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PriceList");
        shown.field("name", &self.header.name).field("version", &self.header.version);
        shown.field("rates", &self.rate_of.len()).finish_non_exhaustive()
    }
}

impl PriceList {
    pub fn header(&self) -> &PriceListHeader {
        &self.header
    }

    pub fn currency(&self) -> Currency {
        self.header.currency
    }

    pub fn time_zone(&self) -> &str {
        &self.header.time_zone
    }

    /// Do charges contain tax, or does tax come on top of them?
    pub fn has_tax(&self) -> bool {
        self.header.tax.basis_points > 0
    }

    /// How many different rates there are.
    pub fn len(&self) -> usize {
        self.rate_of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rate_of.is_empty()
    }

    /// The most specific rate that matches: the longest prefix of the destination decides, then the longest code
    /// of the serving network, then service identifier and rating group, then the direction; a part that is
    /// given comes before one that is left open. None: no such service is sold, there is no default.
    pub fn find(&self, query: &RateQuery) -> Option<RateIndex> {
        self.index.find(query)
    }

    /// None for an index of another version.
    pub fn rate(&self, index: RateIndex) -> Option<&Rate> {
        let rate = self.rate_of.get(index.position())?;
        self.rates.get(*rate as usize)
    }

    /// The name of the destination or zone that a rate is sold for.
    pub fn destination(&self, index: RateIndex) -> &str {
        let name = self.name_of.get(index.position());
        let name = name.and_then(|(start, end)| self.names.get(*start as usize..*end as usize));
        name.unwrap_or("")
    }

    pub fn band_at(&self, at: Timestamp) -> BandIndex {
        self.bands.at(at)
    }

    pub fn band_name(&self, band: BandIndex) -> &str {
        self.header.band_name(band)
    }

    /// The seconds from `from` on, split where the band changes; adjacent pieces have different bands. A second
    /// belongs to the band in which it begins.
    pub fn band_pieces(&self, from: Timestamp, seconds: u64) -> BandPieces<'_> {
        self.bands.pieces(from, seconds)
    }

    /// When the band changes next, if that is within 35 days.
    pub fn next_band_edge(&self, at: Timestamp) -> Option<Timestamp> {
        self.bands.next_edge(at)
    }

    pub fn switches_at_band_edge(&self) -> bool {
        self.header.switch_at_band_edge
    }

    /// How the next units of a session are spread over bands: `at` is when they are used, or for seconds when
    /// the first of them begins.
    pub fn schedule(&self, rate: &Rate, session_start: Timestamp, at: Timestamp) -> Schedule {
        if !self.switches_at_band_edge() {
            return Schedule::Fixed(self.band_at(session_start));
        }
        if rate.unit() == Unit::Seconds {
            return Schedule::Clock { at };
        }
        Schedule::Fixed(self.band_at(at))
    }

    /// The exact price of the `units` after `position`, over band edges.
    pub fn cost(
        &self,
        rate: &Rate,
        schedule: Schedule,
        position: u64,
        units: u64,
    ) -> Result<Exact, Overflow> {
        let end = position.checked_add(units).ok_or(Overflow)?;
        match schedule {
            Schedule::Fixed(band) => rate.cost(band, position, end),
            Schedule::Clock { .. } if !rate.has_band_prices() => {
                rate.cost(BandIndex::STANDARD, position, end)
            }
            Schedule::Clock { at } => {
                let (mut from, mut total) = (position, Exact::ZERO);
                for (band, seconds) in self.band_pieces(at, units) {
                    let to = from.checked_add(seconds).ok_or(Overflow)?;
                    total = total.checked_add(rate.cost(band, from, to)?)?;
                    from = to;
                }
                Ok(total)
            }
        }
    }

    /// What a leg costs in all, given the exact price of its billable units and whether it has any: set-up fee,
    /// minimum, discount, cap, rounding, cap of the period, tax, in this order. Unless the rate prices all units of a
    /// counter anew at each tier, the charge never falls as units are added.
    pub fn settle(
        &self,
        rate: &Rate,
        exact: Exact,
        any_units: bool,
        cap: &CapSoFar,
    ) -> Result<Charge, Overflow> {
        self.terms.settle(rate, exact, any_units, cap)
    }

    /// The part of an amount that charges, which are rounded to the list's digits, can reach.
    pub fn whole_steps(&self, amount: Amount) -> Amount {
        self.terms.whole_steps(amount)
    }

    /// Of what was charged: the figure that [`CapSoFar`] is about.
    pub fn listed(&self, net: Amount, tax: Amount) -> Amount {
        self.terms.listed(net, tax)
    }

    /// The greatest number of further billable units, at most `units_max`, by which the gross charge of the leg
    /// grows by no more than `budget` at any point on the way. A negative budget counts as zero, so that
    /// what costs nothing stays available to an account in debt. Not rounded to increments:
    /// [`Rate::whole_increments`].
    pub fn affordable(
        &self,
        rate: &Rate,
        leg: &LegSoFar,
        budget: Amount,
        units_max: u64,
        schedule: Schedule,
    ) -> u64 {
        let budget = i128::from(budget.micros().max(0));
        let limit = Limit::Gross(i128::from(leg.charged.micros()) + budget);
        self.within(rate, leg, limit, units_max, schedule)
    }

    /// [`PriceList::affordable`] with the budget for the charge without tax, of which `charged_net` was charged
    /// already; `leg.charged` does not count.
    pub fn affordable_net(
        &self,
        rate: &Rate,
        leg: &LegSoFar,
        charged_net: Amount,
        budget: Amount,
        units_max: u64,
        schedule: Schedule,
    ) -> u64 {
        let budget = i128::from(budget.micros().max(0));
        let limit = Limit::Net(i128::from(charged_net.micros()) + budget);
        self.within(rate, leg, limit, units_max, schedule)
    }

    fn within(
        &self,
        rate: &Rate,
        leg: &LegSoFar,
        limit: Limit,
        units_max: u64,
        schedule: Schedule,
    ) -> u64 {
        if rate.is_blocked() {
            return 0;
        }
        if rate.is_free() || self.keeps_within(rate, leg, limit, units_max, schedule) {
            return units_max;
        }
        let ceiling = self.terms.ceiling(rate, limit, &leg.cap);
        units_below(rate, &self.bands, ceiling, leg, units_max, schedule)
    }

    /// Are all units surely within the limit? Money for what is asked is the rule, and a price forward takes less time
    /// than one backwards.
    fn keeps_within(
        &self,
        rate: &Rate,
        leg: &LegSoFar,
        limit: Limit,
        units: u64,
        schedule: Schedule,
    ) -> bool {
        let charge = || {
            let cost = self.cost(rate, schedule, leg.position, units)?;
            self.settle(rate, leg.exact.checked_add(cost)?, true, &leg.cap)
        };
        rate.is_monotonic() && charge().is_ok_and(|charge| limit.allows(&charge))
    }

    /// What `used` units would cost from `at` on, as a leg of its own and with counters at zero.
    /// None: not sold.
    pub fn quote(
        &self,
        query: &RateQuery,
        used: u64,
        at: Timestamp,
    ) -> Option<Result<Quote, Overflow>> {
        let index = self.find(query)?;
        let rate = self.rate(index).filter(|rate| !rate.is_blocked())?;
        let billable = rate.billable(used);
        let exact = self.cost(rate, self.schedule(rate, at, at), 0, billable);
        let room = rate.period_cap().and_then(PeriodCap::lower);
        let cap = CapSoFar { room, ..CapSoFar::default() };
        let charge = exact.and_then(|exact| self.settle(rate, exact, billable > 0, &cap));
        Some(charge.map(|charge| Quote { rate: index, billable, charge }))
    }
}
