//! How much a given amount of money covers: the price of a leg backwards, segment by segment.

use super::bands::Bands;
use super::exact::Exact;
use super::rate::Rate;
use super::settle::{CapSoFar, Ceiling};
use super::spec::Progression;
use super::terms::BandIndex;
use crate::money::Amount;
use crate::time::Timestamp;

/// Where a leg stands before the units that are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegSoFar {
    /// The price of its units.
    pub exact: Exact,
    /// Units before the next one, in the session or on the counter.
    pub position: u64,
    /// Is anything billable yet?
    pub any_units: bool,
    /// What it was charged, tax included.
    pub charged: Amount,
    pub cap: CapSoFar,
}

/// In which band the next units are priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Seconds that run with the clock: the first one begins at `at`.
    Clock { at: Timestamp },
    /// All of them in one band.
    Fixed(BandIndex),
}

/// The greatest number of next units, at most `units_max`, with which the leg stays below the ceiling
/// all the way.
pub(super) fn units_below(
    rate: &Rate,
    bands: &Bands,
    ceiling: Ceiling,
    leg: &LegSoFar,
    units_max: u64,
    schedule: Schedule,
) -> u64 {
    let ceiling = match ceiling {
        Ceiling::Nothing => return 0,
        Ceiling::Unlimited => return units_max,
        Ceiling::AtMost(ceiling) => ceiling,
    };
    let Some(mut room) = ceiling.checked_sub(leg.exact.0).filter(|room| *room >= 0) else {
        return 0;
    };
    let units_max = units_max.min(u64::MAX - leg.position);
    match schedule {
        Schedule::Fixed(band) => in_band(rate, band, leg.position, units_max, &mut room),
        Schedule::Clock { .. } if !rate.has_band_prices() => {
            in_band(rate, BandIndex::STANDARD, leg.position, units_max, &mut room)
        }
        Schedule::Clock { at } => {
            let mut units = 0;
            for (band, seconds) in bands.pieces(at, units_max) {
                let paid = in_band(rate, band, leg.position + units, seconds, &mut room);
                units += paid;
                if paid < seconds {
                    break;
                }
            }
            units
        }
    }
}

/// As many of the next `units` as `room` pays for, which is taken out of it.
fn in_band(rate: &Rate, band: BandIndex, position: u64, units: u64, room: &mut i128) -> u64 {
    let steps = rate.steps(band);
    let whole_tier = matches!(rate.price().progression, Progression::AllUnits(_));
    let mut done = 0;
    while done < units {
        let here = position + done;
        let index = steps.partition_point(|step| step.from <= here).saturating_sub(1);
        let Some(step) = steps.get(index) else { return units };
        let price = i128::from(step.price.micros());
        let end = steps.get(index + 1).map_or(u64::MAX, |next| next.from);
        let length = (units - done).min(end - here);
        if whole_tier && here == step.from && index > 0 {
            // Reaching a tier prices what was counted before anew, with the first unit in it.
            let before = steps.get(index - 1).map_or(0, |before| i128::from(before.price.micros()));
            let anew = (price - before) * i128::from(here);
            if *room < anew + price {
                return done;
            }
            *room -= anew;
        }
        let paid = affordable_units(*room, price).min(length);
        *room -= i128::from(paid) * price;
        done += paid;
        if paid < length {
            return done;
        }
    }
    done
}

/// `room` is not negative.
fn affordable_units(room: i128, price: i128) -> u64 {
    match (u64::try_from(room), u64::try_from(price)) {
        (_, Ok(0)) => u64::MAX,
        (Ok(room), Ok(price)) => room / price,
        _ => u64::try_from(room / price.max(1)).unwrap_or(u64::MAX),
    }
}
