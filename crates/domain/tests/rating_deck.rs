//! Decks as text: what is read, what is refused and how the author is told, and the way back.

use proptest::prelude::*;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{
    BandSteps, Increments, PeriodCap, Price, PriceListHeader, Progression, RateSpec, Step, Steps,
    TimeBand, Treatment, deck,
};
use tandem_domain::service::{Direction, Service};

fn header() -> PriceListHeader {
    let mut header = PriceListHeader::plain("deck", Currency::EUR);
    let window = WeeklyWindow { days: 0b111_1111, from_minute: 1200, to_minute: 360 };
    let band = |name: &str| TimeBand { name: name.into(), windows: vec![window] };
    header.bands = vec![band("night"), band("week, end")];
    header
}

fn read(text: &str) -> Vec<RateSpec> {
    deck::read(text.as_bytes(), &header()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn complaints(text: &str) -> Vec<String> {
    let problems = deck::read(text.as_bytes(), &header()).expect_err("a faulty deck");
    assert_eq!(problems.total, problems.first.len());
    problems.first.iter().map(ToString::to_string).collect()
}

#[test]
fn columns_come_in_any_order_and_empty_cells_mean_the_default() {
    let rates = read(
        "\u{feff}Destination;Price;Prefix;Increment\r\n\"Germany; mobile\";0.05;+4915;60/1\r\nRest;0.10;;\r\n",
    );
    let mut mobile = Price::flat(Unit::Seconds, 60, Amount::from_micros(50_000));
    mobile.increments = Increments { first: 60, next: 1 };
    assert_eq!((&*rates[0].destination, &rates[0].price), ("Germany; mobile", &mobile));
    assert_eq!(rates[0].prefix, "4915".parse().ok());
    assert_eq!(rates[1].prefix, None);
    assert_eq!(rates[1].price, Price::flat(Unit::Seconds, 60, Amount::from_micros(100_000)));
    assert_eq!(rates.len(), 2);
}

#[test]
fn each_service_has_its_own_unit() {
    let rates = read("service,price,per,unit\nvoice,1,,\ndata,1,,\nmessage,1,,\ncontent,1,,\n");
    let seen: Vec<_> = rates.iter().map(|rate| (rate.price.unit, rate.price.per)).collect();
    let expected =
        [(Unit::Seconds, 60), (Unit::Octets, 1 << 20), (Unit::Messages, 1), (Unit::Events, 1)];
    assert_eq!(seen, expected);
}

#[test]
fn quantities_may_name_a_larger_unit() {
    for (cell, expected) in [
        ("60", 60),
        ("1min", 60),
        ("1 h", 3_600),
        ("30s", 30),
        ("1kB", 1_000),
        ("1MB", 1_000_000),
        ("2GB", 2_000_000_000),
        ("1KiB", 1_024),
        ("1MiB", 1 << 20),
        ("1GiB", 1 << 30),
    ] {
        assert_eq!(read(&format!("price,per\n1,{cell}\n"))[0].price.per, expected, "{cell}");
    }
}

#[test]
fn rows_of_one_match_become_steps_and_bands_of_one_rate() {
    let rates = read(
        "prefix,price,from,band\n49,0.02,5min,\n49,0.10,0,\n49,0.05,,night\n49,0.01,60,night\n33,0.03,,\n",
    );
    let step = |from, micros| Step { from, price: Amount::from_micros(micros) };
    assert_eq!(rates.len(), 2);
    assert_eq!(rates[0].price.steps.as_slice(), [step(0, 100_000), step(300, 20_000)]);
    assert_eq!(rates[0].price.bands.len(), 1);
    assert_eq!(rates[0].price.bands[0].steps.as_slice(), [step(0, 50_000), step(60, 10_000)]);
    assert_eq!(header().band_name(rates[0].price.bands[0].band), "night");
}

#[test]
fn free_and_blocked_destinations_need_no_price() {
    let rates = read("prefix,price,treatment\n112,,free\n900,,blocked\n");
    let seen: Vec<_> = rates.iter().map(|rate| rate.price.treatment).collect();
    assert_eq!(seen, [Treatment::Free, Treatment::Blocked]);
}

#[test]
fn a_faulty_deck_says_where_what_was_expected_and_what_was_found() {
    let table: &[(&str, &[&str])] = &[
        ("", &["line 1: expected a line that names the columns, found nothing"]),
        ("prefix\n49\n", &["line 1, price: expected this column, found none of that name"]),
        ("price,price\n", &["line 1, price: expected each column once, found it again"]),
        ("price\n\n1,2\n", &["line 3: expected 1 fields as in the header, found 2"]),
        ("price,prefix\n,49\n", &["line 2, price: expected a decimal amount, found nothing"]),
        (
            "price,prefix,service\n\"1,5\",4x,fax\n0.01,49,voice\n",
            &[
                "line 2, service: expected voice, data, message or content, found \"fax\"",
                "line 2, prefix: expected 1 to 24 decimal digits, found \"4x\"",
                "line 2, price: expected a decimal amount with at most 6 digits after the point, such as 0.05, found \"1,5\"",
            ],
        ),
        (
            "price,per,increment\n1,x,60\n",
            &[
                "line 2, per: expected a whole number, or one with s, min, h, kB, MB, GB, KiB, MiB or GiB, found \"x\"",
                "line 2, increment: expected first and next such as 60/1, found \"60\"",
            ],
        ),
        ("price,per\n1,0\n", &["line 2, per: expected 1 to 72057594037927936, found 0"]),
        (
            "price,increment,increment_next\n1,60/1,6\n",
            &["line 2, increment: expected either increment or its two halves, found \"both\""],
        ),
        (
            "price,band\n1,day\n",
            &["line 2, band: expected one of the bands standard, night, week, end, found \"day\""],
        ),
        (
            "price,band\n1,night\n",
            &["line 2, band: expected a row for the standard band too, found none"],
        ),
        ("price,from\n1,5\n", &["line 2, from: expected the first step from 0, found 5"]),
        (
            "price,progression,counter\n1,graduated,\n1,session,4\n1,tiered,\n",
            &[
                "line 2, counter: expected the number of a counter, found nothing",
                "line 3, counter: expected no counter for a rate by session, found \"4\"",
                "line 4, progression: expected session, graduated or all-units, found \"tiered\"",
            ],
        ),
        (
            "price,cap_per_day,cap_per_month,cap_counter\n1,5,,\n1,,,1\n",
            &[
                "line 2, cap_counter: expected the number of a counter, found nothing",
                "line 3, cap_counter: expected a cap per day or per month beside it",
            ],
        ),
        (
            "price,cap_per_month,cap_counter,progression,counter\n1,-5,1,all-units,1\n",
            &[
                "line 2, cap_per_month: expected no negative amount, found -5.00",
                "line 2, cap_counter: expected no cap of a period with all-units prices",
            ],
        ),
        ("price\n-1\n", &["line 2, price: expected no negative amount, found -1.00"]),
        (
            "price,serving_network\n1,2620100\n",
            &["line 2, serving_network: expected 3 to 6 digits, found 2620100"],
        ),
        (
            "price,prefix\n1,49\n1,33\n2,49\n",
            &["line 4: expected one price for each match, band and from, found the same on line 2"],
        ),
        (
            "price,prefix,from,setup_fee\n1,49,0,0.10\n2,49,60,0.20\n",
            &["line 3: expected the same terms as on line 2, found others for the same rate"],
        ),
        (
            "price,prefix\n\"1\n\"2,3\n1,49\n",
            &["line 2: expected a quoted field to end with a quote and a separator"],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(complaints(text), *expected, "{text}");
    }
    let unknown = complaints("price,colour\n1,red\n");
    assert!(
        unknown[0].starts_with("line 1: expected columns out of service, ")
            && unknown[0].ends_with("found \"colour\"")
    );
    let problems = deck::read(b"price\n1\n\xff\n", &header()).expect_err("not UTF-8");
    assert_eq!(problems.first[0].to_string(), "line 3: expected UTF-8 text");
}

#[test]
fn of_very_many_problems_the_first_hundred_are_told_and_all_are_counted() {
    let text = format!("price\n{}", "x\n".repeat(5_000));
    let problems = deck::read(text.as_bytes(), &header()).expect_err("a faulty deck");
    assert_eq!((problems.first.len(), problems.total), (100, 5_000));
    assert!(problems.to_string().ends_with("5000 problems in all"));
}

fn any_steps() -> impl Strategy<Value = Steps> {
    let price = (0i64..10_000_000).prop_map(Amount::from_micros);
    proptest::collection::btree_map(1u64..100_000, price.clone(), 0..3).prop_flat_map(
        move |later| {
            price.clone().prop_map(move |first| {
                let later = later.iter().map(|(from, price)| Step { from: *from, price: *price });
                std::iter::once(Step { from: 0, price: first }).chain(later).collect()
            })
        },
    )
}

fn any_price() -> impl Strategy<Value = Price> {
    let progression = prop_oneof![
        Just(Progression::Session),
        any::<u16>().prop_map(Progression::Graduated),
        any::<u16>().prop_map(Progression::AllUnits),
    ];
    let amount = || (0i64..10_000_000).prop_map(Amount::from_micros);
    let band = header().band_by_name("week, end").expect("a band of the list");
    let bands = proptest::option::of(any_steps())
        .prop_map(move |steps| steps.map(|steps| BandSteps { band, steps }).into_iter().collect());
    let numbers = (1u64..1_000_000, 1u64..1_000, 1u64..1_000, 0u64..1_000, 0u64..10);
    let period_cap = (0u16..9, amount(), proptest::option::of(amount())).prop_map(
        |(counter, per_day, per_month)| PeriodCap { counter, per_day: Some(per_day), per_month },
    );
    let caps = (proptest::option::of(amount()), proptest::option::of(period_cap));
    let amounts = (amount(), amount(), caps);
    (numbers, amounts, progression, any_steps(), bands).prop_map(
        |(
            (per, first, next, minimum_units, grace_units),
            (setup_fee, minimum_charge, (cap, period_cap)),
            progression,
            steps,
            bands,
        )| Price {
            per,
            progression,
            steps,
            bands,
            increments: Increments { first, next },
            setup_fee,
            minimum_charge,
            minimum_units,
            grace_units,
            cap,
            period_cap: period_cap
                .filter(|_| !matches!(progression, Progression::AllUnits(_)))
                .map(Box::new),
            ..Price::flat(Unit::Events, 1, Amount::ZERO)
        },
    )
}

proptest! {
    #[test]
    fn a_written_deck_reads_back_to_the_same_rates(
        rows in proptest::collection::vec(("[ -~äß\n]{0,12}", any_price(), proptest::option::of(0u32..9)), 0..12)
    ) {
        let rates: Vec<RateSpec> = rows.into_iter().enumerate().map(|(position, (destination, price, rating_group))| RateSpec { origin: None,
            service: Service::Content,
            direction: Some(Direction::Terminating),
            prefix: format!("0{position}").parse().ok(),
            destination: destination.into(),
            rating_group,
            service_identifier: None,
            serving_network: "26201".parse().ok(),
            price,
        }).collect();
        let text = deck::write(&header(), &rates);
        prop_assert_eq!(deck::read(text.as_bytes(), &header()).expect("own deck"), rates.clone());
        let bytes = minicbor::to_vec(&rates).expect("in memory");
        prop_assert_eq!(minicbor::decode::<Vec<RateSpec>>(&bytes).expect("own bytes"), rates);
    }

    #[test]
    fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(price|per|prefix|from|[,;\"\n0-9./ ]){0,60}") {
        let _ = deck::read(&bytes, &header());
        let _ = deck::read(text.as_bytes(), &header());
        let _ = deck::read(format!("price,prefix,increment,band\n{text}").as_bytes(), &header());
    }
}

#[test]
fn a_header_survives_storage() {
    let mut header = header();
    header.holidays = vec!["2026-12-25".parse().expect("a date")];
    assert_eq!(header.holidays[0].to_string(), "2026-12-25");
    let bytes = minicbor::to_vec(&header).expect("in memory");
    assert_eq!(minicbor::decode::<PriceListHeader>(&bytes).expect("own bytes"), header);
    for bad in ["", "2026-13-01", "2026-02-30", "20261225", "2026-12-25T00:00"] {
        assert!(bad.parse::<tandem_domain::rating::CalendarDate>().is_err(), "{bad}");
    }
}
