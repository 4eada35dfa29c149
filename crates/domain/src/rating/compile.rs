//! From a list as it is written down to one that is looked up; every problem is named, none is guessed away.

use std::fmt;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jiff::tz::TimeZone;

use super::bands::Bands;
use super::index::{Condition, Index, Path, Row};
use super::price_list::PriceList;
use super::rate::Rate;
use super::settle::Terms;
use super::spec::{PeriodCap, Price, Progression, RateSpec, Step, Treatment};
use super::terms::{BandIndex, PriceListHeader, RoundingRule};
use crate::money::Amount;

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which rate, counted from 0. None: the header.
    pub rate: Option<usize>,
    /// The field that is wrong.
    pub field: &'static str,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(f, "rate {rate}, {}: {}", self.field, self.message),
            None => write!(f, "price list, {}: {}", self.field, self.message),
        }
    }
}

impl std::error::Error for Problem {}

const PROBLEMS_MAX: usize = 100;
const RATES_MAX: usize = 10_000_000;
const BANDS_MAX: usize = 64;
const WINDOWS_MAX: usize = 256;
pub(super) const STEPS_MAX: usize = 64;
/// Seconds, octets or messages in one field: far above any use, far below overflow.
const QUANTITY_MAX: u64 = 1 << 56;
const BASIS_POINTS_MAX: u16 = 10_000;

/// A field and what is wrong with it.
pub(super) type Finding = (&'static str, String);

impl PriceList {
    /// Equal input gives equal [`super::RateIndex`]es, so a list may be compiled again after a restart.
    /// Reports at most 100 problems.
    pub fn compile(
        header: PriceListHeader,
        rates: impl IntoIterator<Item = RateSpec>,
    ) -> Result<PriceList, Vec<Problem>> {
        let (zone, findings) = check_header(&header);
        let in_header = |(field, message)| Problem { rate: None, field, message };
        let mut problems: Vec<Problem> = findings.into_iter().map(in_header).collect();
        let mut compiler = Compiler::default();
        for (position, spec) in rates.into_iter().enumerate() {
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            let findings = if position < RATES_MAX {
                compiler.add(&header, spec)
            } else {
                vec![("rates", format!("expected at most {RATES_MAX}"))]
            };
            problems.extend(findings.into_iter().map(|(field, message)| Problem {
                rate: Some(position),
                field,
                message,
            }));
        }
        if problems.is_empty() {
            compiler.sort(&mut problems);
        }
        if !problems.is_empty() {
            problems.truncate(PROBLEMS_MAX);
            return Err(problems);
        }
        Ok(compiler.finish(header, zone))
    }
}

#[derive(Default)]
struct Compiler {
    rows: Vec<Row>,
    /// Which rate of the input a row is, by the order of input.
    order: Vec<u32>,
    rates: HashMap<Price, u32>,
    /// Rates by number and name.
    named: HashMap<(u32, (u32, u32)), u32>,
    caps: HashMap<u16, PeriodCap>,
    places: HashMap<Box<str>, (u32, u32)>,
    names: String,
}

impl Compiler {
    fn add(&mut self, header: &PriceListHeader, spec: RateSpec) -> Vec<Finding> {
        let mut findings = check_rate(header, &spec);
        if let Some(cap) = spec.price.period_cap.as_deref() {
            let known = *self.caps.entry(cap.counter).or_insert(*cap);
            if known != *cap {
                let message = format!("expected the same caps for all of counter {}", cap.counter);
                findings.push(("cap_counter", message));
            }
        }
        let Some(path) = Path::of(spec.service, spec.prefix) else {
            findings.push(("prefix", "expected at most 24 decimal digits".into()));
            return findings;
        };
        if !findings.is_empty() {
            return findings;
        }
        let network =
            spec.serving_network.map_or(0, |code| Condition::network_key(code, code.len()));
        let condition = Condition {
            network,
            rating_group: spec.rating_group,
            service_identifier: spec.service_identifier,
            direction: spec.direction,
            origin: spec.origin,
        };
        let name = self.place(spec.destination);
        let rates = self.rates.len() as u32;
        let rate = *self.rates.entry(spec.price).or_insert(rates);
        let named = self.named.len() as u32;
        let rate = *self.named.entry((rate, name)).or_insert(named);
        self.rows.push(Row { path, condition, rate });
        findings
    }

    fn place(&mut self, name: Box<str>) -> (u32, u32) {
        match self.places.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let start = self.names.len() as u32;
                self.names.push_str(new.key());
                *new.insert((start, self.names.len() as u32))
            }
        }
    }

    /// Puts the rows in order and reports those that match the same.
    fn sort(&mut self, problems: &mut Vec<Problem>) {
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        let row = |position: &u32| self.rows.get(*position as usize);
        order.sort_by_cached_key(|position| row(position).map(Row::order));
        for pair in order.windows(2) {
            let [first, second] = pair else { continue };
            let same = row(first).map(Row::order) == row(second).map(Row::order);
            if same {
                problems.push(Problem {
                    rate: Some(*second as usize),
                    field: "match",
                    message: format!("matches the same as rate {first}"),
                });
            }
        }
        self.order = order;
    }

    fn finish(self, header: PriceListHeader, zone: TimeZone) -> PriceList {
        let ordered = self.order.iter().filter_map(|position| self.rows.get(*position as usize));
        let rows: Vec<Row> = ordered.copied().collect();
        let mut rates: Vec<(u32, Rate)> =
            self.rates.into_iter().map(|(price, number)| (number, Rate(price))).collect();
        rates.sort_unstable_by_key(|(number, _)| *number);
        let mut named: Vec<_> = self.named.into_iter().collect();
        named.sort_unstable_by_key(|(_, number)| *number);
        PriceList {
            terms: Terms::of(&header),
            bands: Bands::of(&header, zone),
            index: Index::build(&rows),
            rates: rates.into_iter().map(|(_, rate)| rate).collect(),
            rate_of: named.iter().map(|((rate, _), _)| *rate).collect(),
            name_of: named.iter().map(|((_, name), _)| *name).collect(),
            names: self.names,
            header,
        }
    }
}

fn check_header(header: &PriceListHeader) -> (TimeZone, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut refuse = |field, message: String| findings.push((field, message));
    let zone = TimeZone::get(&header.time_zone).unwrap_or_else(|_| {
        refuse(
            "time_zone",
            format!("expected a name such as Europe/Berlin, found {:?}", header.time_zone),
        );
        TimeZone::UTC
    });
    if header.rounding.digits > RoundingRule::DIGITS_MAX {
        refuse("rounding", format!("expected 0 to 6 digits, found {}", header.rounding.digits));
    }
    for (field, value) in
        [("tax", header.tax.basis_points), ("discount", header.discount_basis_points)]
    {
        if value > BASIS_POINTS_MAX {
            refuse(field, format!("expected 0 to 10000 basis points, found {value}"));
        }
    }
    if header.discount_amount.is_negative() {
        let found = header.discount_amount;
        refuse("discount_amount", format!("expected no negative amount, found {found}"));
    }
    if header.valid_to.is_some_and(|end| end <= header.valid_from) {
        refuse("valid_to", "expected a time after valid_from".into());
    }
    if header.bands.len() > BANDS_MAX {
        refuse("bands", format!("expected at most {BANDS_MAX}, found {}", header.bands.len()));
    }
    let windows = header.bands.iter().flat_map(|band| &band.windows);
    if windows.clone().count() > WINDOWS_MAX {
        refuse("bands", format!("expected at most {WINDOWS_MAX} windows"));
    }
    for window in windows {
        if !(1..0x80).contains(&window.days)
            || window.from_minute >= 1440
            || !(1..=1440).contains(&window.to_minute)
        {
            refuse("bands", "expected days, and minutes from 0..1440 to 1..=1440".into());
        }
    }
    for (position, band) in header.bands.iter().enumerate() {
        let known = header.bands.iter().take(position).any(|earlier| earlier.name == band.name);
        if known || band.name.is_empty() || &*band.name == BandIndex::STANDARD_NAME {
            refuse("bands", format!("expected a name of its own, found {:?}", band.name));
        }
    }
    (zone, findings)
}

/// What is wrong with a rate by itself.
pub(super) fn check_rate(header: &PriceListHeader, spec: &RateSpec) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |field, message: String| findings.push((field, message));
    let price = &spec.price;
    for (field, value) in [
        ("per", price.per),
        ("increment_first", price.increments.first),
        ("increment_next", price.increments.next),
    ] {
        if !(1..=QUANTITY_MAX).contains(&value) {
            refuse(field, format!("expected 1 to {QUANTITY_MAX}, found {value}"));
        }
    }
    for (field, value) in [("minimum_units", price.minimum_units), ("grace", price.grace_units)] {
        if value > QUANTITY_MAX {
            refuse(field, format!("expected at most {QUANTITY_MAX}, found {value}"));
        }
    }
    let cap = price.cap.unwrap_or(Amount::ZERO);
    for (field, amount) in
        [("setup_fee", price.setup_fee), ("minimum_charge", price.minimum_charge), ("cap", cap)]
    {
        if amount.is_negative() {
            refuse(field, format!("expected no negative amount, found {amount}"));
        }
    }
    if let Some(period) = &price.period_cap {
        let both = [("cap_per_day", period.per_day), ("cap_per_month", period.per_month)];
        if both.iter().all(|(_, most)| most.is_none()) {
            refuse("cap_counter", "expected a cap per day or per month beside it".into());
        }
        for (field, most) in both {
            if let Some(most) = most.filter(|most| most.is_negative()) {
                refuse(field, format!("expected no negative amount, found {most}"));
            }
        }
        if matches!(price.progression, Progression::AllUnits(_)) {
            // Reaching a tier may give money back, and nobody could say of which day.
            refuse("cap_counter", "expected no cap of a period with all-units prices".into());
        }
    }
    if let Some(code) = spec.serving_network
        && !((3..=Condition::NETWORK_DIGITS_MAX).contains(&code.len())
            && code.iter().all(|d| d < 10))
    {
        refuse("serving_network", format!("expected 3 to 6 digits, found {code}"));
    }
    if let Some(origin) = spec.origin
        && (origin.is_empty() || !origin.iter().all(|d| d < 10))
    {
        refuse("origin", format!("expected decimal digits, found {origin}"));
    }
    if price.treatment == Treatment::Charged || !price.steps.is_empty() {
        check_steps(&price.steps, &mut refuse);
    }
    for (position, own) in price.bands.iter().enumerate() {
        let twice = price.bands.iter().take(position).any(|earlier| earlier.band == own.band);
        let known = (1..=header.bands.len()).contains(&own.band.number());
        if twice || !known {
            refuse(
                "band",
                format!("expected each band of the list once, found {}", own.band.number()),
            );
        }
        check_steps(&own.steps, &mut refuse);
    }
    findings
}

fn check_steps(steps: &[Step], refuse: &mut impl FnMut(&'static str, String)) {
    if steps.is_empty() || steps.len() > STEPS_MAX {
        refuse("price", format!("expected 1 to {STEPS_MAX} steps, found {}", steps.len()));
    }
    if let Some(first) = steps.first().filter(|first| first.from != 0) {
        refuse("from", format!("expected the first step from 0, found {}", first.from));
    }
    if !steps.is_sorted_by(|a, b| a.from < b.from) {
        refuse("from", "expected steps in ascending order".into());
    }
    for step in steps.iter().filter(|step| step.price.is_negative()) {
        refuse("price", format!("expected no negative amount, found {}", step.price));
    }
}
