//! From the text of a deck to rates, or to everything that is wrong with it.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::Column;
use super::problem::DeckProblems;
use super::record::{Record, Records};
use crate::digits::Digits;
use crate::money::Amount;
use crate::quantity::Unit;
use crate::rating::compile::check_rate;
use crate::rating::spec::{
    BandSteps, Increments, PeriodCap, Price, Progression, RateSpec, Step, Steps, Treatment,
};
use crate::rating::terms::{BandIndex, PriceListHeader};
use crate::service::{Direction, Service};

/// Reads a deck whose bands are those of `header`. All of it or nothing.
pub fn read(bytes: &[u8], header: &PriceListHeader) -> Result<Vec<RateSpec>, DeckProblems> {
    let mut reader = Reader::new(header);
    match std::str::from_utf8(bytes) {
        Ok(text) => reader.read(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            reader.problems.add(line as u32, None, "expected UTF-8 text".into());
        }
    }
    reader.finish()
}

/// What makes two rows rows of one rate.
type Match = (
    Service,
    Option<Direction>,
    Option<Digits>,
    Option<u32>,
    Option<u32>,
    Option<Digits>,
    Option<Digits>,
);

struct Reader<'h> {
    header: &'h PriceListHeader,
    columns: Vec<Column>,
    rates: Vec<(u32, RateSpec)>,
    by_match: HashMap<Match, usize>,
    /// The lines that give a rate its prices beyond its first.
    further: HashMap<(usize, BandIndex, u64), u32>,
    problems: DeckProblems,
}

impl<'h> Reader<'h> {
    fn new(header: &'h PriceListHeader) -> Reader<'h> {
        Reader {
            header,
            columns: Vec::new(),
            rates: Vec::new(),
            by_match: HashMap::new(),
            further: HashMap::new(),
            problems: DeckProblems::default(),
        }
    }

    fn read(&mut self, text: &str) {
        let heading = text.trim_start().lines().next().unwrap_or("");
        let separator = if heading.contains(';') && !heading.contains(',') { ';' } else { ',' };
        let mut named = false;
        for record in Records::new(text, separator) {
            match record {
                Err((line, malformed)) => self.problems.add(line, None, malformed.message()),
                Ok(record) if !named => {
                    self.name_columns(&record);
                    if self.problems.total > 0 {
                        return;
                    }
                    named = true;
                }
                Ok(record) => self.row(&record),
            }
        }
        if !named && self.problems.total == 0 {
            self.problems.add(
                1,
                None,
                "expected a line that names the columns, found nothing".into(),
            );
        }
    }

    fn name_columns(&mut self, record: &Record<'_>) {
        for field in &record.fields {
            let name = field.trim().to_ascii_lowercase().replace([' ', '-'], "_");
            let Some(column) = Column::ALL.into_iter().find(|column| column.name() == name) else {
                let known = Column::ALL.map(Column::name).join(", ");
                let message = format!("expected columns out of {known}; found {field:?}");
                self.problems.add(record.line, None, message);
                continue;
            };
            if self.columns.contains(&column) {
                let message = "expected each column once, found it again".into();
                self.problems.add(record.line, Some(column.name()), message);
            }
            self.columns.push(column);
        }
        if !self.columns.contains(&Column::Price) {
            let message = "expected this column, found none of that name".into();
            self.problems.add(record.line, Some(Column::Price.name()), message);
        }
    }

    fn row(&mut self, record: &Record<'_>) {
        if record.fields.len() != self.columns.len() {
            let (expected, found) = (self.columns.len(), record.fields.len());
            let message = format!("expected {expected} fields as in the header, found {found}");
            self.problems.add(record.line, None, message);
            return;
        }
        let before = self.problems.total;
        let mut row = Row { record, columns: &self.columns, problems: &mut self.problems };
        let (rate, band, step) = row.rate(self.header);
        if self.problems.total == before {
            self.add(record.line, rate, band, step);
        }
    }

    fn add(&mut self, line: u32, rate: RateSpec, band: BandIndex, step: Option<Step>) {
        let from = step.map_or(0, |step| step.from);
        let key = (
            rate.service,
            rate.direction,
            rate.prefix,
            rate.rating_group,
            rate.service_identifier,
            rate.serving_network,
            rate.origin,
        );
        let position = match self.by_match.entry(key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.rates.push((line, rate.clone()));
                *new.insert(self.rates.len() - 1)
            }
        };
        let Some((first_line, known)) = self.rates.get_mut(position) else { return };
        if let Some(earlier) = self.further.insert((position, band, from), line) {
            let message = format!(
                "expected one price for each match, band and from, found the same on line {earlier}"
            );
            self.problems.add(line, None, message);
            return;
        }
        if !same_terms(known, &rate) {
            let message = format!(
                "expected the same terms as on line {first_line}, found others for the same rate"
            );
            self.problems.add(line, None, message);
        }
        let Some(step) = step else { return };
        if band == BandIndex::STANDARD {
            known.price.steps.push(step);
            return;
        }
        match known.price.bands.iter_mut().find(|own| own.band == band) {
            Some(own) => own.steps.push(step),
            None => known.price.bands.push(BandSteps { band, steps: Steps::from_buf([step]) }),
        }
    }

    fn finish(mut self) -> Result<Vec<RateSpec>, DeckProblems> {
        for (line, rate) in &mut self.rates {
            rate.price.steps.sort_unstable_by_key(|step| step.from);
            for own in &mut rate.price.bands {
                own.steps.sort_unstable_by_key(|step| step.from);
            }
            if rate.price.steps.is_empty() && !rate.price.bands.is_empty() {
                let message = "expected a row for the standard band too, found none".into();
                self.problems.add(*line, Some(Column::Band.name()), message);
                continue;
            }
            for (field, message) in check_rate(self.header, rate) {
                self.problems.add(*line, Some(field), message);
            }
        }
        if self.problems.total > 0 {
            return Err(self.problems);
        }
        Ok(self.rates.into_iter().map(|(_, rate)| rate).collect())
    }
}

/// All but the steps.
fn same_terms(a: &RateSpec, b: &RateSpec) -> bool {
    let Price {
        unit,
        per,
        treatment,
        progression,
        increments,
        setup_fee,
        minimum_charge,
        minimum_units,
        grace_units,
        cap,
        period_cap,
        ..
    } = &a.price;
    a.destination == b.destination
        && *unit == b.price.unit
        && *per == b.price.per
        && *treatment == b.price.treatment
        && *progression == b.price.progression
        && *increments == b.price.increments
        && *setup_fee == b.price.setup_fee
        && *minimum_charge == b.price.minimum_charge
        && *minimum_units == b.price.minimum_units
        && *grace_units == b.price.grace_units
        && *cap == b.price.cap
        && *period_cap == b.price.period_cap
}

struct Row<'a, 'p> {
    record: &'a Record<'a>,
    columns: &'a [Column],
    problems: &'p mut DeckProblems,
}

impl Row<'_, '_> {
    /// The rate without its steps, and the step that this row gives it.
    fn rate(&mut self, header: &PriceListHeader) -> (RateSpec, BandIndex, Option<Step>) {
        let service = self
            .parsed(Column::Service, "voice, data, message or content")
            .unwrap_or(Service::Voice);
        let (own_unit, own_per) = match service {
            Service::Voice => (Unit::Seconds, 60),
            Service::Data => (Unit::Octets, 1 << 20),
            Service::Message => (Unit::Messages, 1),
            Service::Content => (Unit::Events, 1),
        };
        let unit =
            self.parsed(Column::Unit, "seconds, octets, messages or events").unwrap_or(own_unit);
        let own_per = if unit == own_unit { own_per } else { 1 };
        let treatment = self.treatment();
        let price = Price {
            unit,
            per: self.quantity(Column::Per).unwrap_or(own_per),
            treatment,
            progression: self.progression(),
            steps: Steps::new(),
            bands: Vec::new(),
            increments: self.increments(),
            setup_fee: self.amount(Column::SetupFee).unwrap_or_default(),
            minimum_charge: self.amount(Column::MinimumCharge).unwrap_or_default(),
            minimum_units: self.quantity(Column::MinimumUnits).unwrap_or(0),
            grace_units: self.quantity(Column::Grace).unwrap_or(0),
            cap: self.amount(Column::Cap),
            period_cap: self.period_cap(),
        };
        let rate = RateSpec {
            service,
            direction: self.parsed(Column::Direction, "originating, terminating or forwarded"),
            prefix: self.parsed(Column::Prefix, "1 to 24 decimal digits"),
            destination: self.cell(Column::Destination).unwrap_or("").into(),
            rating_group: self.parsed(Column::RatingGroup, "a number up to 4294967295"),
            service_identifier: self.parsed(Column::ServiceIdentifier, "a number up to 4294967295"),
            serving_network: self.parsed(Column::ServingNetwork, "3 to 6 decimal digits"),
            price,
            origin: self.parsed(Column::Origin, "decimal digits"),
        };
        let band = self.band(header);
        let from = self.quantity(Column::From).unwrap_or(0);
        let step = self.amount(Column::Price).map(|price| Step { from, price });
        if treatment == Treatment::Charged && self.cell(Column::Price).is_none() {
            self.refuse(Column::Price, "a decimal amount", "");
        }
        (rate, band, step)
    }

    /// None when the deck has no such column or the cell is empty.
    fn cell(&self, column: Column) -> Option<&str> {
        let position = self.columns.iter().position(|known| *known == column)?;
        self.record.fields.get(position).map(Cow::as_ref).filter(|cell| !cell.is_empty())
    }

    fn refuse(&mut self, column: Column, expected: impl Display, found: &str) {
        let found = if found.is_empty() { "nothing".into() } else { format!("{found:?}") };
        let message = format!("expected {expected}, found {found}");
        self.problems.add(self.record.line, Some(column.name()), message);
    }

    fn understood<T>(
        &mut self,
        column: Column,
        expected: impl Display,
        understand: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let cell = self.cell(column)?;
        let value = understand(cell);
        if value.is_none() {
            let found = cell.to_string();
            self.refuse(column, expected, &found);
        }
        value
    }

    fn parsed<T: FromStr>(&mut self, column: Column, expected: &str) -> Option<T> {
        self.understood(column, expected, |cell| cell.parse().ok())
    }

    fn amount(&mut self, column: Column) -> Option<Amount> {
        self.parsed(column, "a decimal amount with at most 6 digits after the point, such as 0.05")
    }

    fn quantity(&mut self, column: Column) -> Option<u64> {
        self.understood(
            column,
            "a whole number, or one with s, min, h, kB, MB, GB, KiB, MiB or GiB",
            quantity,
        )
    }

    fn increments(&mut self) -> Increments {
        let both = self.understood(Column::Increment, "first and next such as 60/1", |cell| {
            let (first, next) = cell.split_once('/')?;
            Some(Increments { first: quantity(first.trim())?, next: quantity(next.trim())? })
        });
        let first = self.quantity(Column::IncrementFirst);
        let next = self.quantity(Column::IncrementNext);
        if both.is_some() && (first.is_some() || next.is_some()) {
            self.refuse(Column::Increment, "either increment or its two halves", "both");
        }
        let one = Increments { first: 1, next: 1 };
        let both = both.unwrap_or(one);
        Increments { first: first.unwrap_or(both.first), next: next.unwrap_or(both.next) }
    }

    fn treatment(&mut self) -> Treatment {
        let known =
            self.understood(Column::Treatment, "charged, free or blocked", |cell| match cell {
                "charged" => Some(Treatment::Charged),
                "free" => Some(Treatment::Free),
                "blocked" => Some(Treatment::Blocked),
                _ => None,
            });
        known.unwrap_or(Treatment::Charged)
    }

    fn progression(&mut self) -> Progression {
        let counter: Option<u16> = self.parsed(Column::Counter, "a number up to 65535");
        let kind = self.cell(Column::Progression).unwrap_or("session").to_string();
        match (kind.as_str(), counter) {
            ("session", None) => return Progression::Session,
            ("graduated", Some(counter)) => return Progression::Graduated(counter),
            ("all-units", Some(counter)) => return Progression::AllUnits(counter),
            ("session", Some(counter)) => {
                self.refuse(
                    Column::Counter,
                    "no counter for a rate by session",
                    &counter.to_string(),
                );
            }
            ("graduated" | "all-units", None) => {
                self.refuse(Column::Counter, "the number of a counter", "");
            }
            (other, _) => {
                self.refuse(Column::Progression, "session, graduated or all-units", other)
            }
        }
        Progression::Session
    }

    fn period_cap(&mut self) -> Option<Box<PeriodCap>> {
        let (per_day, per_month) =
            (self.amount(Column::CapPerDay), self.amount(Column::CapPerMonth));
        let counter = self.parsed(Column::CapCounter, "a number up to 65535");
        let has_cap =
            [Column::CapPerDay, Column::CapPerMonth].iter().any(|one| self.cell(*one).is_some());
        if has_cap && self.cell(Column::CapCounter).is_none() {
            self.refuse(Column::CapCounter, "the number of a counter", "");
        }
        counter.map(|counter| Box::new(PeriodCap { counter, per_day, per_month }))
    }

    fn band(&mut self, header: &PriceListHeader) -> BandIndex {
        let names = header.bands.iter().map(|band| &*band.name);
        let names: Vec<&str> = [BandIndex::STANDARD_NAME].into_iter().chain(names).collect();
        let expected = format!("one of the bands {}", names.join(", "));
        let band = self.understood(Column::Band, expected, |cell| header.band_by_name(cell));
        band.unwrap_or(BandIndex::STANDARD)
    }
}

const SUFFIXES: [(&str, u64); 9] = [
    ("min", 60),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("s", 1),
    ("h", 3_600),
];

fn quantity(cell: &str) -> Option<u64> {
    let suffix =
        SUFFIXES.iter().find_map(|(suffix, factor)| Some((cell.strip_suffix(suffix)?, *factor)));
    let (number, factor) = suffix.unwrap_or((cell, 1));
    let number = number.trim_end();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}
