//! How fast a 200,000-prefix deck is compiled, searched, priced and dropped.
//! Run with `cargo run --release --example rating_speed`.

use std::hint::black_box;
use std::time::Instant;

use tandem_domain::digits::Digits;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{
    BandSteps, Exact, Increments, LegSoFar, Price, PriceList, PriceListHeader, RateQuery, RateSpec,
    Schedule, Step, Steps, TimeBand, deck,
};
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;

const PREFIXES: usize = 200_000;
const CALLS: usize = 1 << 20;

/// A small generator, so that every run sees the same deck.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn main() {
    let mut sequence = Sequence(1);
    let specs = specs(&mut sequence);
    for (name, banded) in [("one band", false), ("three bands", true)] {
        let header = header(banded);
        let input = specs.iter().cloned().map(|spec| with_bands(spec, banded)).collect::<Vec<_>>();
        let begun = Instant::now();
        let list = PriceList::compile(header, input).expect("a sound deck");
        println!(
            "{name}: compile {PREFIXES} prefixes: {:.1} ms, {} rates",
            millis(begun),
            list.len()
        );
        measure(&list, &numbers(&specs, &mut sequence));
        let begun = Instant::now();
        drop(list);
        println!("  drop {:.2} ms", millis(begun));
    }
    let header = header(false);
    let begun = Instant::now();
    let text = deck::write(&header, &specs);
    println!("deck of {} octets: write {:.1} ms", text.len(), millis(begun));
    let begun = Instant::now();
    let read = deck::read(text.as_bytes(), &header).expect("own deck");
    println!("  read {:.1} ms, {} rates", millis(begun), read.len());
}

fn measure(list: &PriceList, numbers: &[Digits]) {
    let at = Timestamp::from_seconds(1_780_000_000);
    let query = |number: &Digits| RateQuery {
        service: Service::Voice,
        direction: Direction::Originating,
        destination: Some(*number),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
    };
    let price = |number: &Digits| {
        let rate = list.rate(list.find(&query(number))?)?;
        let units = rate.billable(187);
        let schedule = list.schedule(rate, at, at);
        let exact = list.cost(rate, schedule, 0, units).ok()?;
        list.settle(rate, exact, units > 0).ok()
    };
    let each = |name: &str, work: &mut dyn FnMut(&Digits)| {
        let begun = Instant::now();
        numbers.iter().for_each(work);
        println!("  {name}: {:.0} ns", millis(begun) * 1e6 / numbers.len() as f64);
    };
    each("find", &mut |number| {
        black_box(list.find(black_box(&query(number))));
    });
    each("find, cost and charge of one call", &mut |number| {
        black_box(price(number));
    });
    let found = numbers.iter().find_map(|number| list.rate(list.find(&query(number))?));
    let rate = found.expect("numbers of the deck");
    let leg = LegSoFar { exact: Exact::ZERO, position: 0, any_units: false, charged: Amount::ZERO };
    let fixed = Schedule::Fixed(list.band_at(at));
    each("affordable, fixed band", &mut |_| {
        black_box(list.affordable(
            rate,
            &leg,
            black_box(Amount::from_micros(5_000_000)),
            36_000,
            fixed,
        ));
    });
    let clock = Schedule::Clock { at };
    each("affordable, by the clock", &mut |_| {
        black_box(list.affordable(
            rate,
            &leg,
            black_box(Amount::from_micros(5_000_000)),
            36_000,
            clock,
        ));
    });
    each("settle", &mut |_| {
        black_box(list.settle(rate, black_box(Exact::ZERO), true).ok());
    });
    each("band now", &mut |_| {
        black_box(list.band_at(black_box(at)));
    });
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Prefixes of 3 to 10 digits, in about 2,000 destinations.
fn specs(sequence: &mut Sequence) -> Vec<RateSpec> {
    let mut seen = std::collections::HashSet::new();
    let mut specs = Vec::with_capacity(PREFIXES);
    while specs.len() < PREFIXES {
        let country = 10 + sequence.below(900);
        let length = sequence.below(8) as usize;
        let rest = format!("{:07}", sequence.below(10_000_000));
        let prefix = format!("{country}{}", &rest[..length]);
        if !seen.insert(prefix.clone()) {
            continue;
        }
        let destination = format!("Destination {country} {}", sequence.below(3));
        let mut price = Price::flat(
            Unit::Seconds,
            60,
            Amount::from_micros(1_000 * (1 + sequence.below(500) as i64)),
        );
        price.increments = Increments { first: 60, next: 1 };
        specs.push(RateSpec {
            service: Service::Voice,
            direction: None,
            prefix: Some(prefix.parse().expect("digits")),
            destination: destination.into(),
            rating_group: None,
            service_identifier: None,
            serving_network: None,
            price,
        });
    }
    specs
}

fn numbers(specs: &[RateSpec], sequence: &mut Sequence) -> Vec<Digits> {
    let mut numbers = Vec::with_capacity(CALLS);
    while numbers.len() < CALLS {
        let spec = &specs[sequence.below(specs.len() as u64) as usize];
        let prefix = spec.prefix.expect("every rate has one");
        let number = format!("{prefix}{:08}", sequence.below(100_000_000));
        numbers.push(number.parse().expect("digits"));
    }
    numbers
}

fn header(banded: bool) -> PriceListHeader {
    let mut header = PriceListHeader::plain("speed", Currency::EUR);
    if banded {
        header.time_zone = "Europe/Berlin".into();
        header.switch_at_band_edge = true;
        let band = |name: &str, days, from_minute, to_minute| TimeBand {
            name: name.into(),
            windows: vec![WeeklyWindow { days, from_minute, to_minute }],
        };
        header.bands =
            vec![band("weekend", 0b110_0000, 0, 1440), band("night", 0b1111111, 20 * 60, 6 * 60)];
    }
    header
}

fn with_bands(mut spec: RateSpec, banded: bool) -> RateSpec {
    if banded {
        let price = spec.price.steps[0].price;
        let cheaper = Step { from: 0, price: Amount::from_micros(price.micros() / 2) };
        let header = header(true);
        let band = header.band_by_name("night").expect("in the header");
        spec.price.bands = vec![BandSteps { band, steps: Steps::from_slice(&[cheaper]) }];
    }
    spec
}
