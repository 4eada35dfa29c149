//! Finding and applying the price of a call.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::bail;
use tandem_domain::digits::Digits;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{CapSoFar, Price, PriceList, PriceListHeader, RateQuery, RateSpec};
use tandem_domain::service::{Direction, Service};
use tandem_simulators::random::Random;

use super::Figures;

const PREFIXES: usize = 200_000;

/// A deck of different prefixes of 2 to 9 digits.
pub fn rows(count: usize) -> Vec<RateSpec> {
    let mut random = Random::new(11);
    let mut seen = std::collections::HashSet::new();
    let mut rows = Vec::with_capacity(count);
    while rows.len() < count {
        let length = random.between(2, 9) as u32;
        let low = 10u64.pow(length - 1);
        let prefix = random.between(low, low * 10 - 1).to_string();
        if !seen.insert(prefix.clone()) {
            continue;
        }
        let price = Price::flat(
            Unit::Seconds,
            60,
            Amount::from_micros(random.between(1_000, 900_000) as i64),
        );
        rows.push(RateSpec {
            origin: None,
            service: Service::Voice,
            direction: None,
            prefix: prefix.parse().ok(),
            destination: "destination".into(),
            rating_group: None,
            service_identifier: None,
            serving_network: None,
            price,
        });
    }
    rows
}

pub fn run(seconds: u64) -> anyhow::Result<Figures> {
    let rows = rows(PREFIXES);
    let started = Instant::now();
    let Ok(list) =
        PriceList::compile(PriceListHeader::plain("bench", Currency::EUR), rows.iter().cloned())
    else {
        bail!("the deck does not compile");
    };
    println!("{PREFIXES} prefixes compiled in {:?}", started.elapsed());
    let mut random = Random::new(13);
    let numbers: Vec<Digits> = (0..65_536)
        .filter_map(|_| {
            let row = rows.get(random.below(PREFIXES as u64) as usize)?;
            format!("{}{:05}", row.prefix?, random.below(100_000)).parse().ok()
        })
        .collect();
    let started = Instant::now();
    let mut rated = 0u64;
    let mut total = 0i64;
    while started.elapsed() < Duration::from_secs(seconds) {
        for number in &numbers {
            let query = RateQuery {
                origin: None,
                service: Service::Voice,
                direction: Direction::Originating,
                destination: Some(*number),
                rating_group: None,
                service_identifier: None,
                serving_network: None,
            };
            let Some(rate) = list.find(black_box(&query)).and_then(|index| list.rate(index)) else {
                bail!("no rate")
            };
            let billable = rate.billable(black_box(183));
            let exact = rate.cost(Default::default(), 0, billable)?;
            total = total
                .wrapping_add(list.settle(rate, exact, true, &CapSoFar::default())?.gross.micros());
            rated += 1;
        }
    }
    black_box(total);
    let nanos = started.elapsed().as_nanos() as f64 / rated as f64;
    println!("  {nanos:.0} ns to rate one call");
    let mut figures = Figures::new();
    figures.insert("rating_ns".into(), nanos.into());
    Ok(figures)
}
