//! A price list as a deck: what [`super::read`] reads back to the same rates.

use std::fmt::Write;

use super::Column;
use crate::rating::spec::{Progression, RateSpec, Step, Treatment};
use crate::rating::terms::{BandIndex, PriceListHeader};

/// The deck of these rates, lines ended by CR LF. `increment` stands for its two halves.
pub fn write<'a>(
    header: &PriceListHeader,
    rates: impl IntoIterator<Item = &'a RateSpec>,
) -> String {
    let mut deck = String::new();
    let halves = [Column::IncrementFirst, Column::IncrementNext];
    let columns: Vec<Column> = Column::ALL.into_iter().filter(|c| !halves.contains(c)).collect();
    push_record(&mut deck, columns.iter().map(|column| column.name().to_string()));
    for rate in rates {
        let standard = rate.price.steps.iter().map(|step| (BandIndex::STANDARD, Some(step)));
        let own = rate.price.bands.iter();
        let own = own.flat_map(|own| own.steps.iter().map(|step| (own.band, Some(step))));
        let priceless = rate.price.steps.is_empty().then_some((BandIndex::STANDARD, None));
        for (band, step) in priceless.into_iter().chain(standard).chain(own) {
            let band = header.band_name(band);
            push_record(&mut deck, columns.iter().map(|column| cell(*column, rate, band, step)));
        }
    }
    deck
}

fn push_record(deck: &mut String, cells: impl Iterator<Item = String>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            deck.push(',');
        }
        let trimmed = cell.trim().len() == cell.len();
        if trimmed && !cell.contains([',', '"', '\n', '\r', ';']) {
            deck.push_str(&cell);
        } else {
            // Writing into a string cannot fail.
            let _ = write!(deck, "\"{}\"", cell.replace('"', "\"\""));
        }
    }
    deck.push_str("\r\n");
}

fn cell(column: Column, rate: &RateSpec, band: &str, step: Option<&Step>) -> String {
    let price = &rate.price;
    match column {
        Column::Service => rate.service.name().into(),
        Column::Direction => rate.direction.map(|d| d.name().into()).unwrap_or_default(),
        Column::Prefix => text(rate.prefix),
        Column::Destination => rate.destination.to_string(),
        Column::RatingGroup => text(rate.rating_group),
        Column::ServiceIdentifier => text(rate.service_identifier),
        Column::ServingNetwork => text(rate.serving_network),
        Column::Origin => text(rate.origin),
        Column::Band => band.into(),
        Column::From => text(step.map(|step| step.from)),
        Column::Price => text(step.map(|step| step.price)),
        Column::Per => price.per.to_string(),
        Column::Unit => price.unit.name().into(),
        Column::Increment => format!("{}/{}", price.increments.first, price.increments.next),
        Column::IncrementFirst => price.increments.first.to_string(),
        Column::IncrementNext => price.increments.next.to_string(),
        Column::SetupFee => price.setup_fee.to_string(),
        Column::MinimumCharge => price.minimum_charge.to_string(),
        Column::MinimumUnits => price.minimum_units.to_string(),
        Column::Grace => price.grace_units.to_string(),
        Column::Cap => text(price.cap),
        Column::CapPerDay => text(price.period_cap.as_ref().and_then(|cap| cap.per_day)),
        Column::CapPerMonth => text(price.period_cap.as_ref().and_then(|cap| cap.per_month)),
        Column::CapCounter => text(price.period_cap.as_ref().map(|cap| cap.counter)),
        Column::Treatment => match price.treatment {
            Treatment::Charged => "charged".into(),
            Treatment::Free => "free".into(),
            Treatment::Blocked => "blocked".into(),
        },
        Column::Progression => match price.progression {
            Progression::Session => "session".into(),
            Progression::Graduated(_) => "graduated".into(),
            Progression::AllUnits(_) => "all-units".into(),
        },
        Column::Counter => match price.progression {
            Progression::Session => String::new(),
            Progression::Graduated(counter) | Progression::AllUnits(counter) => counter.to_string(),
        },
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
