//! One rate: from use to billable units, from units to an exact price.

use super::exact::Exact;
use super::spec::{BandSteps, PeriodCap, Price, Progression, Step, Treatment};
use super::terms::BandIndex;
use crate::money::Overflow;
use crate::quantity::Unit;

/// A price that was checked when its list was compiled. Charges come from the list: [`super::PriceList::settle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rate(pub(super) Price);

impl Rate {
    pub fn price(&self) -> &Price {
        &self.0
    }

    pub fn unit(&self) -> Unit {
        self.0.unit
    }

    /// Steps are priced per this many units.
    pub fn per(&self) -> u64 {
        self.0.per
    }

    /// Use needs no credit control and costs nothing.
    pub fn is_free(&self) -> bool {
        self.0.treatment == Treatment::Free
    }

    /// Not sold: the request is to be refused.
    pub fn is_blocked(&self) -> bool {
        self.0.treatment == Treatment::Blocked
    }

    /// The monthly counter whose value is the position, if the position is not that in the session.
    pub fn counter(&self) -> Option<u16> {
        match self.0.progression {
            Progression::Session => None,
            Progression::Graduated(counter) | Progression::AllUnits(counter) => Some(counter),
        }
    }

    /// Does the charge never fall as units are added? Only reaching a tier that prices all units anew makes it.
    pub fn is_monotonic(&self) -> bool {
        !matches!(self.0.progression, Progression::AllUnits(_))
    }

    /// The most that it costs in a day or a month, together with others.
    pub fn period_cap(&self) -> Option<&PeriodCap> {
        self.0.period_cap.as_deref()
    }

    /// Does the price depend on the time band?
    pub fn has_band_prices(&self) -> bool {
        !self.0.bands.is_empty()
    }

    /// The units to bill for `used` units: none within the grace, else at least the minimum, on the
    /// increment grid. Never falls as `used` grows.
    pub fn billable(&self, used: u64) -> u64 {
        if used <= self.0.grace_units {
            return 0;
        }
        let units = used.max(self.0.minimum_units);
        let (first, next) = (self.0.increments.first, self.0.increments.next.max(1));
        match units.checked_sub(first) {
            None => first,
            Some(further) => first.saturating_add(further.div_ceil(next).saturating_mul(next)),
        }
    }

    /// The most that may be used while no more than `billable` units are billed.
    pub fn usable(&self, billable: u64) -> u64 {
        match self.grid_floor(billable) {
            0 => self.0.grace_units,
            whole => whole,
        }
    }

    /// The greatest part of `further` with which a leg of `billable_already` units ends on the increment grid.
    pub fn whole_increments(&self, billable_already: u64, further: u64) -> u64 {
        let end = self.grid_floor(billable_already.saturating_add(further));
        end.saturating_sub(billable_already)
    }

    /// The greatest number of units not above `units` that can be the result of [`Rate::billable`].
    fn grid_floor(&self, units: u64) -> u64 {
        if units < self.billable(self.0.grace_units.saturating_add(1)) {
            return 0;
        }
        let (first, next) = (self.0.increments.first, self.0.increments.next.max(1));
        let further = units.saturating_sub(first);
        first.saturating_add(further - further % next)
    }

    /// The price of the units after position `from` up to and including position `to`, all in one band.
    /// Positions count billable units of the session or of the counter. Additive: a to b and b to c is a to c.
    /// Errors when `to` lies before `from`.
    pub fn cost(&self, band: BandIndex, from: u64, to: u64) -> Result<Exact, Overflow> {
        let units = to.checked_sub(from).ok_or(Overflow)?;
        let steps = self.steps(band);
        if let [only] = steps {
            return Ok(Exact(i128::from(only.price.micros()) * i128::from(units)));
        }
        let cumulative = match self.0.progression {
            Progression::AllUnits(_) => all_units,
            Progression::Session | Progression::Graduated(_) => each_at_its_own,
        };
        Ok(Exact(cumulative(steps, to) - cumulative(steps, from)))
    }

    pub(super) fn steps(&self, band: BandIndex) -> &[Step] {
        let own = self.0.bands.iter().find(|own: &&BandSteps| own.band == band);
        own.map_or(&self.0.steps, |own| &own.steps)
    }
}

/// Prices are not negative, so a sum is at most the highest price times `position`: 127 bits hold it.
fn each_at_its_own(steps: &[Step], position: u64) -> i128 {
    let reached = steps.iter().take_while(|step| step.from < position);
    let ends = steps.iter().skip(1).map(|next| next.from).chain([u64::MAX]);
    reached
        .zip(ends)
        .map(|(step, end)| {
            let units = end.min(position).saturating_sub(step.from);
            i128::from(step.price.micros()) * i128::from(units)
        })
        .sum()
}

fn all_units(steps: &[Step], position: u64) -> i128 {
    let reached = steps.iter().take_while(|step| step.from < position).last();
    reached.map_or(0, |step| i128::from(step.price.micros()) * i128::from(position))
}
