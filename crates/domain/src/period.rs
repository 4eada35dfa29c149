//! Billing periods and weekly windows, by the rules of a named time zone.

use jiff::civil::{Date, DateTime, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};
use minicbor::{Decode, Encode};

use crate::time::Timestamp;

/// How often an offer renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Period {
    /// Whole days from the moment of purchase.
    #[n(0)]
    Days(#[n(0)] u16),
    /// Months from the day of purchase (the 31st becomes the last day of a shorter month).
    #[n(1)]
    Months(#[n(0)] u8),
    /// Calendar months: turns over at midnight of the first.
    #[n(2)]
    CalendarMonth,
}

impl Period {
    /// When the period that holds `at` ends, for a subscription that began at `anchor`.
    /// Always after `at`.
    pub fn end_after(self, anchor: Timestamp, at: Timestamp, time_zone: &str) -> Timestamp {
        let zone = zone(time_zone);
        let now = at.to_jiff().to_zoned_datetime(zone.clone());
        match self {
            Period::CalendarMonth => first_of_next_month(&now),
            Period::Days(days) => {
                let length = i64::from(days.max(1));
                let start = anchor.to_jiff().to_zoned_datetime(zone);
                step_until(&start, at, |start, n| start.checked_add((n * length).days()).ok())
            }
            Period::Months(months) => {
                let length = i64::from(months.max(1));
                let start = anchor.to_jiff().to_zoned_datetime(zone);
                step_until(&start, at, |start, n| start.checked_add((n * length).months()).ok())
            }
        }
    }

    /// Days left counting today, and days in the whole period, for the calendar month that holds `at`.
    /// Other periods begin with their subscription, so their first is never broken.
    pub fn days_left(self, at: Timestamp, time_zone: &str) -> (u64, u64) {
        match self {
            Period::Days(_) | Period::Months(_) => (1, 1),
            Period::CalendarMonth => {
                let date = at.to_jiff().to_zoned_datetime(zone(time_zone)).date();
                let whole = i64::from(date.days_in_month());
                let left = whole - i64::from(date.day()) + 1;
                (left.unsigned_abs(), whole.unsigned_abs())
            }
        }
    }
}

/// The first of `start + 1 length, start + 2 lengths, …` that lies after `at`.
fn step_until(
    start: &ZonedDateTime,
    at: Timestamp,
    step: impl Fn(&ZonedDateTime, i64) -> Option<ZonedDateTime>,
) -> Timestamp {
    let after = |n: i64| step(start, n).map(|end| Timestamp::from_jiff(end.timestamp()));
    let mut low = 0i64;
    let mut high = 1i64;
    while after(high).is_some_and(|end| end <= at) {
        low = high;
        high = high.saturating_mul(2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if after(middle).is_some_and(|end| end <= at) { low = middle } else { high = middle }
    }
    after(high).unwrap_or(Timestamp::MAX)
}

fn first_of_next_month(now: &ZonedDateTime) -> Timestamp {
    let first = now.date().first_of_month();
    first
        .checked_add(1.month())
        .and_then(|next| next.to_zoned_datetime(now.time_zone().clone()))
        .map_or(Timestamp::MAX, |next| Timestamp::from_jiff(next.timestamp()))
}

/// The named zone, or UTC: names are checked when they are configured.
fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// Is this the name of a time zone?
pub fn is_time_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// The calendar month that holds `at`, as year × 12 + month: the period of monthly counters.
pub fn calendar_month(at: Timestamp, time_zone: &str) -> u32 {
    let date = local_date(at, time_zone);
    u32::try_from(i32::from(date.year()) * 12 + i32::from(date.month())).unwrap_or(0)
}

/// The calendar day that holds `at`, in days since 1970-01-01: the period of daily counters.
pub fn calendar_day(at: Timestamp, time_zone: &str) -> u32 {
    let hours = date(1970, 1, 1).duration_until(local_date(at, time_zone)).as_hours();
    u32::try_from(hours / 24).unwrap_or(0)
}

fn local_date(at: Timestamp, time_zone: &str) -> Date {
    let zone = if time_zone == "UTC" { TimeZone::UTC } else { zone(time_zone) };
    at.to_jiff().to_zoned_datetime(zone).date()
}

/// The calendar month written `YYYY-MM`, as [`calendar_month`] counts them.
pub fn parse_month(text: &str) -> Option<u32> {
    let (year, month) = text.split_once('-').filter(|(year, month)| {
        let digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
        year.len() == 4 && month.len() == 2 && digits(year) && digits(month)
    })?;
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    (1..=12).contains(&month).then_some(year * 12 + month)
}

/// Hours of the week in which something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WeeklyWindow {
    /// Bit 0 = Monday … bit 6 = Sunday: the day on which the window opens.
    #[n(0)]
    pub days: u8,
    /// Minutes after midnight, 0..1440.
    #[n(1)]
    pub from_minute: u16,
    /// Minutes after midnight, 1..=1440; not after `from_minute` means on the next day.
    #[n(2)]
    pub to_minute: u16,
}

impl WeeklyWindow {
    pub fn contains(&self, at: Timestamp, time_zone: &str) -> bool {
        let local: DateTime = at.to_jiff().to_zoned_datetime(zone(time_zone)).datetime();
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let opens_on = |day: Weekday| self.days & (1 << day.to_monday_zero_offset()) != 0;
        let today = local.weekday();
        if self.from_minute < self.to_minute {
            opens_on(today) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            (opens_on(today) && minute >= self.from_minute)
                || (opens_on(today.previous()) && minute < self.to_minute)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("RFC 3339")
    }

    #[test]
    fn periods_end_where_people_expect() {
        for (period, anchor, now, end) in [
            (
                Period::CalendarMonth,
                "2026-01-10T00:00:00Z",
                "2026-01-31T22:59:59Z",
                "2026-01-31T23:00:00Z",
            ),
            (
                Period::Months(1),
                "2026-01-31T10:00:00Z",
                "2026-02-10T00:00:00Z",
                "2026-02-28T10:00:00Z",
            ),
            (
                Period::Months(1),
                "2026-01-31T10:00:00Z",
                "2026-02-28T10:00:00Z",
                "2026-03-31T09:00:00Z",
            ),
            (
                Period::Days(30),
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
                "2026-01-31T00:00:00Z",
            ),
            (
                Period::Days(7),
                "2026-01-01T00:00:00Z",
                "2026-01-15T00:00:00Z",
                "2026-01-22T00:00:00Z",
            ),
        ] {
            let seen = period.end_after(at(anchor), at(now), "Europe/Berlin");
            assert_eq!(seen, at(end), "{period:?} from {anchor} at {now}");
        }
    }

    #[test]
    fn a_broken_calendar_month_counts_today_as_left() {
        assert_eq!(Period::CalendarMonth.days_left(at("2026-04-21T12:00:00Z"), "UTC"), (10, 30));
        assert_eq!(Period::Days(30).days_left(at("2026-04-21T12:00:00Z"), "UTC"), (1, 1));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_opens() {
        // Friday 22:00 to Saturday 06:00.
        let window = WeeklyWindow { days: 1 << 4, from_minute: 22 * 60, to_minute: 6 * 60 };
        for (time, expected) in [
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:00Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-28T22:30:00Z", false),
            ("2026-11-27T05:00:00Z", false),
        ] {
            assert_eq!(window.contains(at(time), "UTC"), expected, "{time}");
        }
    }
}
