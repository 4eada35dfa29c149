//! Time bands by the rules of a named time zone: which band holds when, and where the edges are.
//!
//! Between two changes of a zone's offset local time runs evenly, so edges are found by arithmetic on local
//! minutes and the zone's rules are asked once per stretch. A wall clock that is set back passes its
//! hours twice, and bands follow it.

use jiff::tz::TimeZone;

use super::terms::{BandIndex, CalendarDate, PriceListHeader};
use crate::time::Timestamp;

const DAY: i64 = 86_400;
/// How far ahead an edge is looked for.
const EDGE_HORIZON: i64 = 35 * DAY;
/// Boundaries that one walk passes at most, which is years of clock time: a longer use stays in its last band.
const BOUNDARIES_MAX: u32 = 20_000;

#[derive(Clone, Debug)]
pub(super) struct Bands {
    /// In order of priority; empty when there is only the standard band.
    windows: Vec<Window>,
    /// Seconds after local midnight at which any window opens or closes, ascending, midnight first.
    boundaries: Vec<i64>,
    /// Ascending, as days since 1970-01-01.
    holidays: Vec<i32>,
    holiday_bit: u8,
    zone: TimeZone,
}

/// One weekly window of a band; seconds after local midnight.
#[derive(Clone, Copy, Debug)]
struct Window {
    band: BandIndex,
    days: u8,
    from: i64,
    to: i64,
}

/// A stretch of time in which the zone's offset stays.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    offset: i64,
    /// Exclusive, in seconds since the epoch.
    until: i64,
}

impl Bands {
    /// The header's zone and windows were checked.
    pub fn of(header: &PriceListHeader, zone: TimeZone) -> Bands {
        let mut windows = Vec::new();
        for (index, band) in (1u8..).zip(&header.bands) {
            windows.extend(band.windows.iter().map(|window| Window {
                band: BandIndex(index),
                days: window.days,
                from: i64::from(window.from_minute) * 60,
                to: i64::from(window.to_minute) * 60,
            }));
        }
        let ends = windows.iter().flat_map(|window| [window.from, window.to]);
        let mut boundaries: Vec<i64> = ends.filter(|end| *end < DAY).chain([0]).collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let mut holidays: Vec<i32> =
            header.holidays.iter().copied().map(CalendarDate::days).collect();
        holidays.sort_unstable();
        Bands {
            windows,
            boundaries,
            holidays,
            holiday_bit: 1 << header.holidays_count_as as u8,
            zone,
        }
    }

    pub fn at(&self, at: Timestamp) -> BandIndex {
        if self.windows.is_empty() {
            return BandIndex::STANDARD;
        }
        let offset = i64::from(self.zone.to_offset(at.to_jiff()).seconds());
        self.at_local(at.seconds().saturating_add(offset))
    }

    /// When the band changes next, within 35 days.
    pub fn next_edge(&self, at: Timestamp) -> Option<Timestamp> {
        if self.windows.is_empty() {
            return None;
        }
        let horizon = at.seconds().saturating_add(EDGE_HORIZON);
        Walk::begin(self, at.seconds()).next_change(horizon).map(Timestamp::from_seconds)
    }

    /// Seconds from `from` on, split where the band changes. Each second counts in the band in which it begins.
    pub fn pieces(&self, from: Timestamp, seconds: u64) -> BandPieces<'_> {
        let walk = (!self.windows.is_empty()).then(|| Walk::begin(self, from.seconds()));
        BandPieces { walk, from, left: seconds }
    }

    fn at_local(&self, local: i64) -> BandIndex {
        let (day, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (today, yesterday) = (self.day_bit(day), self.day_bit(day - 1));
        let holds = |window: &&Window| {
            if window.from < window.to {
                window.days & today != 0 && (window.from..window.to).contains(&second)
            } else {
                (window.days & today != 0 && second >= window.from)
                    || (window.days & yesterday != 0 && second < window.to)
            }
        };
        self.windows.iter().find(holds).map_or(BandIndex::STANDARD, |window| window.band)
    }

    /// Bit 0 = Monday. 1970-01-01 was a Thursday.
    fn day_bit(&self, day: i64) -> u8 {
        let known = i32::try_from(day);
        if known.is_ok_and(|day| self.holidays.binary_search(&day).is_ok()) {
            return self.holiday_bit;
        }
        1 << (day + 3).rem_euclid(7)
    }

    fn stretch(&self, at: i64) -> Stretch {
        let at = Timestamp::from_seconds(at).to_jiff();
        let next = self.zone.following(at).next();
        Stretch {
            offset: i64::from(self.zone.to_offset(at).seconds()),
            until: next.map_or(i64::MAX, |next| next.timestamp().as_second()),
        }
    }

    /// The first boundary after this local second.
    fn boundary_after(&self, local: i64) -> i64 {
        let (day, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let next = self.boundaries.iter().find(|boundary| **boundary > second);
        day * DAY + next.copied().unwrap_or(DAY)
    }
}

/// Goes from edge to edge.
#[derive(Clone, Debug)]
struct Walk<'a> {
    bands: &'a Bands,
    at: i64,
    stretch: Stretch,
    band: BandIndex,
    boundaries_left: u32,
}

impl<'a> Walk<'a> {
    /// Years beyond what the calendar can hold are all in one stretch.
    const LATEST: i64 = 253_000_000_000;

    fn begin(bands: &'a Bands, at: i64) -> Walk<'a> {
        let at = at.clamp(-Self::LATEST, Self::LATEST);
        let stretch = bands.stretch(at);
        let band = bands.at_local(at + stretch.offset);
        Walk { bands, at, stretch, band, boundaries_left: BOUNDARIES_MAX }
    }

    /// The next second, not after `horizon`, at which another band begins. `band` is then that band.
    fn next_change(&mut self, horizon: i64) -> Option<i64> {
        let horizon = horizon.min(Self::LATEST);
        while self.boundaries_left > 0 {
            self.boundaries_left -= 1;
            let boundary = self.bands.boundary_after(self.at + self.stretch.offset);
            let next = (boundary - self.stretch.offset).min(self.stretch.until);
            if next > horizon {
                return None;
            }
            self.at = next;
            if next == self.stretch.until {
                self.stretch = self.bands.stretch(next);
            }
            let band = self.bands.at_local(next + self.stretch.offset);
            if band != self.band {
                self.band = band;
                return Some(next);
            }
        }
        None
    }
}

/// See [`super::PriceList::band_pieces`].
#[derive(Clone, Debug)]
pub struct BandPieces<'a> {
    walk: Option<Walk<'a>>,
    from: Timestamp,
    left: u64,
}

impl Iterator for BandPieces<'_> {
    type Item = (BandIndex, u64);

    fn next(&mut self) -> Option<(BandIndex, u64)> {
        if self.left == 0 {
            return None;
        }
        let Some(walk) = &mut self.walk else {
            return Some((BandIndex::STANDARD, std::mem::take(&mut self.left)));
        };
        let band = walk.band;
        let end = self.from.plus_seconds(self.left);
        let seconds = match walk.next_change(end.seconds()) {
            None => self.left,
            Some(edge) => {
                let start = self.from.millis();
                let millis = Timestamp::from_seconds(edge).millis().saturating_sub(start);
                millis.unsigned_abs().div_ceil(1000).min(self.left)
            }
        };
        self.left -= seconds;
        self.from = self.from.plus_seconds(seconds);
        Some((band, seconds))
    }
}
