//! What holds for every rate of a price list: currency, rounding, tax, discount and time bands.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use minicbor::{Decode, Encode};

use crate::money::{Amount, Currency, Rounding};
use crate::period::WeeklyWindow;
use crate::time::Timestamp;

/// The head of one version of a price list; the rates are apart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PriceListHeader {
    #[n(0)]
    pub name: Box<str>,
    /// The publisher's own label of this version.
    #[n(1)]
    pub version: Box<str>,
    #[n(2)]
    pub valid_from: Timestamp,
    /// Exclusive. None: until a newer version supersedes it.
    #[n(3)]
    pub valid_to: Option<Timestamp>,
    #[n(4)]
    pub currency: Currency,
    #[n(5)]
    pub rounding: RoundingRule,
    #[n(6)]
    pub tax: Tax,
    /// IANA name of the zone in which bands and counters are local.
    #[n(7)]
    pub time_zone: Box<str>,
    /// Bands besides the standard one, which holds whenever none of these does. The first that matches wins.
    #[n(8)]
    pub bands: Vec<TimeBand>,
    #[n(9)]
    pub holidays: Vec<CalendarDate>,
    /// The day of the week whose bands hold on holidays.
    #[n(10)]
    pub holidays_count_as: Weekday,
    /// Taken off every charge before the cap, in hundredths of a percent, 0..=10000.
    #[n(11)]
    pub discount_basis_points: u16,
    /// Whether a running session changes its price at the edge of a band. If not, the band in which
    /// the session began prices all of it.
    #[n(12)]
    pub switch_at_band_edge: bool,
    /// Taken off every charge before the cap, never below nothing.
    #[n(13)]
    #[cbor(default)]
    pub discount_amount: Amount,
    /// The amount is taken off before the percentage; if not, after it.
    #[n(14)]
    #[cbor(default)]
    pub discount_amount_first: bool,
}

impl PriceListHeader {
    /// One band, no tax, no discount, half-up to the currency's minor unit, UTC.
    pub fn plain(name: &str, currency: Currency) -> PriceListHeader {
        PriceListHeader {
            name: name.into(),
            version: "1".into(),
            valid_from: Timestamp::ZERO,
            valid_to: None,
            currency,
            rounding: RoundingRule { mode: Rounding::HalfUp, digits: currency.minor_digits() },
            tax: Tax { basis_points: 0, kind: TaxKind::Exclusive },
            time_zone: "UTC".into(),
            bands: Vec::new(),
            holidays: Vec::new(),
            holidays_count_as: Weekday::Sunday,
            discount_basis_points: 0,
            switch_at_band_edge: false,
            discount_amount: Amount::ZERO,
            discount_amount_first: false,
        }
    }

    /// `standard`, or the name of a band.
    pub fn band_name(&self, band: BandIndex) -> &str {
        match band.number().checked_sub(1) {
            None => BandIndex::STANDARD_NAME,
            Some(index) => {
                self.bands.get(index).map_or(BandIndex::STANDARD_NAME, |band| &band.name)
            }
        }
    }

    pub fn band_by_name(&self, name: &str) -> Option<BandIndex> {
        if name == BandIndex::STANDARD_NAME {
            return Some(BandIndex::STANDARD);
        }
        let position = self.bands.iter().position(|band| &*band.name == name)?;
        u8::try_from(position + 1).ok().map(BandIndex)
    }
}

/// How a charge becomes a figure: once, at the end of the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoundingRule {
    #[n(0)]
    pub mode: Rounding,
    /// Decimal digits of the major unit that are kept, 0..=6.
    #[n(1)]
    pub digits: u8,
}

impl RoundingRule {
    pub(super) const DIGITS_MAX: u8 = 6;

    /// The smallest step of a figure, in millionths.
    pub(super) fn quantum(self) -> i128 {
        10i128.pow(u32::from(Self::DIGITS_MAX.saturating_sub(self.digits)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TaxKind {
    /// Comes on top of the prices.
    #[n(0)]
    Exclusive,
    /// Is contained in the prices.
    #[n(1)]
    Inclusive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tax {
    /// Hundredths of a percent, 0..=10000.
    #[n(0)]
    pub basis_points: u16,
    #[n(1)]
    pub kind: TaxKind,
}

/// A named set of hours of the week.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimeBand {
    #[n(0)]
    pub name: Box<str>,
    #[n(1)]
    pub windows: Vec<WeeklyWindow>,
}

/// The standard band, or one of the header's bands counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct BandIndex(#[n(0)] pub(super) u8);

impl BandIndex {
    pub const STANDARD: BandIndex = BandIndex(0);
    pub const STANDARD_NAME: &'static str = "standard";

    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Weekday {
    #[n(0)]
    Monday,
    #[n(1)]
    Tuesday,
    #[n(2)]
    Wednesday,
    #[n(3)]
    Thursday,
    #[n(4)]
    Friday,
    #[n(5)]
    Saturday,
    #[n(6)]
    Sunday,
}

/// A day of the Gregorian calendar, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct CalendarDate(#[n(0)] i32);

impl CalendarDate {
    pub(super) fn days(self) -> i32 {
        self.0
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Not a date as `2026-12-25`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDate;

impl fmt::Display for InvalidDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid date: expected year, month and day, such as 2026-12-25")
    }
}

impl std::error::Error for InvalidDate {}

impl FromStr for CalendarDate {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<CalendarDate, InvalidDate> {
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date: Date = text.parse().map_err(|_| InvalidDate)?;
        if !plain {
            return Err(InvalidDate);
        }
        let days = EPOCH.duration_until(date).as_hours() / 24;
        i32::try_from(days).map(CalendarDate).map_err(|_| InvalidDate)
    }
}

impl fmt::Display for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = jiff::Span::new().try_days(i64::from(self.0));
        match days.and_then(|days| EPOCH.checked_add(days)) {
            Ok(date) => fmt::Display::fmt(&date, f),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Debug for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
