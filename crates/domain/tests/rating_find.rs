//! Which rate is chosen: the most specific one, and never one by default.

use proptest::prelude::*;
use tandem_domain::digits::Digits;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{Price, PriceList, PriceListHeader, RateQuery, RateSpec, deck};
use tandem_domain::service::{Direction, Service};

fn header() -> PriceListHeader {
    PriceListHeader::plain("find", Currency::EUR)
}

fn digits(text: &str) -> Option<Digits> {
    (!text.is_empty()).then(|| text.parse().expect("digits"))
}

fn query(service: Service, destination: &str) -> RateQuery {
    RateQuery {
        origin: None,
        service,
        direction: Direction::Originating,
        destination: digits(destination),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
    }
}

fn list(deck: &str) -> PriceList {
    let rates =
        deck::read(deck.as_bytes(), &header()).unwrap_or_else(|problems| panic!("{problems}"));
    PriceList::compile(header(), rates).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn found<'a>(list: &'a PriceList, query: &RateQuery) -> &'a str {
    list.find(query).map_or("none", |index| list.destination(index))
}

#[test]
fn the_longest_prefix_of_the_destination_wins() {
    let list = list(
        "service,prefix,destination,price\n\
         voice,49,Germany,0.02\nvoice,4915,Germany mobile,0.05\nvoice,491511,Germany special,0.09\n\
         voice,1,North America,0.01\nvoice,112,Emergency,0\nmessage,49,Germany text,0.07\n",
    );
    for (service, number, expected) in [
        (Service::Voice, "4930901820", "Germany"),
        (Service::Voice, "491520000000", "Germany mobile"),
        (Service::Voice, "4915112345678", "Germany special"),
        (Service::Voice, "49", "Germany"),
        (Service::Voice, "4", "none"),
        (Service::Voice, "4815", "none"),
        (Service::Voice, "", "none"),
        (Service::Voice, "112", "Emergency"),
        (Service::Voice, "11", "North America"),
        (Service::Message, "4915112345678", "Germany text"),
        (Service::Data, "49", "none"),
    ] {
        assert_eq!(found(&list, &query(service, number)), expected, "{service} {number}");
    }
}

#[test]
fn after_the_prefix_come_network_identifier_group_and_direction() {
    let list = list(
        "service,prefix,serving_network,rating_group,service_identifier,direction,destination,price\n\
         data,,,,,,home,1\n\
         data,,,20,,,home group 20,1\n\
         data,,,,7,,identifier 7,1\n\
         data,,,20,7,,group 20 identifier 7,1\n\
         data,,262,,,,Germany,1\n\
         data,,26201,,,,Germany 01,1\n\
         data,,262,20,,,Germany group 20,1\n\
         voice,44,,,,,United Kingdom,1\n\
         voice,44,,,,terminating,from United Kingdom,1\n\
         voice,44,310,,,,United Kingdom from America,1\n\
         voice,4420,,,,terminating,from London,1\n",
    );
    let data = |network: &str, rating_group, service_identifier| RateQuery {
        rating_group,
        service_identifier,
        serving_network: digits(network),
        ..query(Service::Data, "")
    };
    for (query, expected) in [
        (data("", None, None), "home"),
        (data("", Some(20), None), "home group 20"),
        (data("", Some(21), Some(7)), "identifier 7"),
        (data("", Some(20), Some(7)), "group 20 identifier 7"),
        (data("26202", None, None), "Germany"),
        (data("26202", Some(20), Some(7)), "Germany group 20"),
        (data("26201", Some(20), None), "Germany 01"),
        (data("310410", Some(20), None), "home group 20"),
        (data("26", None, None), "home"),
    ] {
        assert_eq!(found(&list, &query), expected, "{query:?}");
    }
    let voice = |number, direction, network| RateQuery {
        direction,
        serving_network: digits(network),
        ..query(Service::Voice, number)
    };
    for (query, expected) in [
        (voice("441", Direction::Originating, ""), "United Kingdom"),
        (voice("441", Direction::Terminating, ""), "from United Kingdom"),
        (voice("441", Direction::Terminating, "310410"), "United Kingdom from America"),
        (voice("4420", Direction::Terminating, "310410"), "from London"),
        // The rows of the longer prefix do not hold, so the shorter one is asked.
        (voice("4420", Direction::Originating, ""), "United Kingdom"),
    ] {
        assert_eq!(found(&list, &query), expected, "{query:?}");
    }
}

#[test]
fn where_a_call_comes_from_may_cost_more() {
    let list = list(
        "prefix,origin,direction,destination,price\n\
         49,,,Germany,1\n\
         49,1,,Germany from America,3\n\
         49,1876,,Germany from Jamaica,9\n\
         49,,forwarded,Germany forwarded,2\n\
         4915,,,Germany mobile,1\n",
    );
    let call = |number, origin, direction| RateQuery {
        origin: digits(origin),
        direction,
        ..query(Service::Voice, number)
    };
    for (query, expected) in [
        (call("4930", "4930", Direction::Originating), "Germany"),
        (call("4930", "", Direction::Originating), "Germany"),
        (call("4930", "1212", Direction::Originating), "Germany from America"),
        (call("4930", "1876", Direction::Originating), "Germany from Jamaica"),
        // The caller says more than the direction does, the called number more than both.
        (call("4930", "1212", Direction::Forwarded), "Germany from America"),
        (call("4930", "44", Direction::Forwarded), "Germany forwarded"),
        (call("4915", "1876", Direction::Originating), "Germany mobile"),
    ] {
        assert_eq!(found(&list, &query), expected, "{query:?}");
    }
    let bad = deck::read(b"prefix,origin,price\n49,x,1\n", &header());
    let said = bad.expect_err("no digits").to_string();
    assert!(said.contains("line 2") && said.contains("origin"), "{said}");
}

#[test]
fn equal_rates_are_kept_once_and_an_index_of_another_list_finds_nothing() {
    let list = list("prefix,destination,price\n1,A,0.01\n2,A,0.01\n3,B,0.01\n4,A,0.02\n");
    assert_eq!(list.len(), 3);
    let index = |number| list.find(&query(Service::Voice, number)).expect("a rate");
    assert_eq!(index("1"), index("2"));
    assert_eq!(list.rate(index("1")), list.rate(index("3")));
    let empty = PriceList::compile(header(), []).expect("an empty list");
    assert_eq!(empty.rate(index("1")), None);
    assert_eq!(empty.destination(index("1")), "");
    assert!(empty.is_empty() && empty.find(&query(Service::Voice, "1")).is_none());
}

#[test]
fn a_list_with_faults_is_refused_with_all_of_them() {
    let rate = |prefix: &str| RateSpec {
        origin: None,
        service: Service::Voice,
        direction: None,
        prefix: digits(prefix),
        destination: "somewhere".into(),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
        price: Price::flat(Unit::Seconds, 60, Amount::from_micros(1)),
    };
    let mut nothing = rate("3");
    nothing.price.per = 0;
    nothing.price.steps.clear();
    nothing.serving_network = digits("12");
    let header = PriceListHeader {
        time_zone: "Mars/Olympus".into(),
        discount_basis_points: 10_001,
        discount_amount: Amount::from_micros(-1),
        ..header()
    };
    let problems = PriceList::compile(header, [rate("1"), nothing]).expect_err("faults");
    let seen: Vec<_> = problems.iter().map(|problem| (problem.rate, problem.field)).collect();
    let expected = [
        (None, "time_zone"),
        (None, "discount"),
        (None, "discount_amount"),
        (Some(1), "per"),
        (Some(1), "serving_network"),
        (Some(1), "price"),
    ];
    assert_eq!(seen, expected);

    let problems =
        PriceList::compile(self::header(), [rate("1"), rate("2"), rate("1")]).expect_err("twice");
    assert_eq!(problems[0].to_string(), "rate 2, match: matches the same as rate 0");
    assert_eq!(problems.len(), 1);
    let many = std::iter::repeat_with(|| RateSpec { serving_network: digits("1"), ..rate("1") });
    assert_eq!(PriceList::compile(self::header(), many.take(500)).expect_err("faults").len(), 100);
}

#[test]
fn a_large_deck_enters_at_the_fourth_digit_and_finds_the_same() {
    let rates = (0..40_000u32).map(|number| {
        let prefix = format!("{:05}", (u64::from(number) * 7_919) % 100_000);
        (prefix, number)
    });
    let short =
        ["1", "12", "123", "1234", "9", "0000"].iter().map(|prefix| (prefix.to_string(), 50_000));
    let rows: Vec<(String, u32)> = rates.chain(short).collect();
    let mut text = String::from("prefix,destination,price\n");
    for (prefix, number) in &rows {
        text.push_str(&format!("{prefix},{prefix},0.{number:05}\n"));
    }
    let list = list(&text);
    let known: std::collections::HashSet<&str> =
        rows.iter().map(|(prefix, _)| prefix.as_str()).collect();
    for number in
        (0..1_000_000u32).step_by(37).map(|n| format!("{n:06}")).chain(["12".into(), "9".into()])
    {
        let longest =
            (1..=number.len()).rev().map(|length| &number[..length]).find(|p| known.contains(p));
        assert_eq!(
            found(&list, &query(Service::Voice, &number)),
            longest.unwrap_or("none"),
            "{number}"
        );
    }
}

/// Digits that look arbitrary and are the same each time.
fn scattered(seed: u64, length: usize, most: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + ((state >> 40) % most) as u8)
    };
    (0..length).map(digit).collect()
}

#[test]
fn prefixes_of_every_length_are_found_in_decks_of_every_size() {
    for (count, most) in [(1, 2), (5, 2), (8, 2), (9, 2), (300, 2), (300, 10), (40_000, 10)] {
        let lengths = |seed: u64| 1 + (seed % 7 + seed / 7 % 6) as usize;
        let mut known: std::collections::BTreeSet<String> =
            (0..count).map(|seed| scattered(seed, lengths(seed), most)).collect();
        // Nobody else begins like these, down to the last digit that a prefix may have.
        known.extend([20, 23, 24].map(|length| "98".repeat(12)[..length].to_owned()));
        known.insert("2000".into());
        let rows: String = known.iter().map(|prefix| format!("{prefix},{prefix},1\n")).collect();
        let list = list(&format!("prefix,destination,price\n{rows}"));
        let all = known.iter().zip(0..);
        let longer =
            all.map(|(prefix, n)| format!("{prefix}{}", scattered(n, n as usize % 4, most)));
        let cut = known.iter().map(|prefix| prefix[..prefix.len().div_ceil(2)].to_owned());
        let others = (0..5_000).map(|seed| scattered(seed + 1_000_000, 9, most));
        for number in longer.chain(cut).chain(others) {
            let number = &number[..number.len().min(24)];
            let mut prefixes = (1..=number.len()).rev().map(|length| &number[..length]);
            let expected = prefixes.find(|prefix| known.contains(*prefix));
            let asked = query(Service::Voice, number);
            assert_eq!(found(&list, &asked), expected.unwrap_or("none"), "{number} of {count}");
        }
        // A service code is no number, though its keys may add up to one.
        let code = RateQuery { destination: Digits::dialled("1*00"), ..query(Service::Voice, "") };
        assert_eq!(found(&list, &code), if known.contains("1") { "1" } else { "none" });
    }
}

fn any_match() -> impl Strategy<Value = RateSpec> {
    let prefix = prop_oneof![2 => Just(String::new()), 8 => "[1-3]{1,5}"];
    let network = prop_oneof![3 => Just(""), 1 => Just("262"), 1 => Just("26201"), 1 => Just("262012"), 1 => Just("310")];
    let direction = prop_oneof![2 => Just(None), 1 => Just(Some(Direction::Originating)), 1 => Just(Some(Direction::Terminating))];
    let service = prop_oneof![Just(Service::Voice), Just(Service::Data)];
    (
        service,
        prefix,
        network,
        direction,
        proptest::option::of(0u32..3),
        proptest::option::of(0u32..3),
        prop_oneof![4 => Just(String::new()), 2 => "[1-2]{1,3}"],
    )
        .prop_map(
            |(service, prefix, network, direction, rating_group, service_identifier, origin)| {
                RateSpec {
                    origin: digits(&origin),
                    service,
                    direction,
                    prefix: digits(&prefix),
                    destination: "".into(),
                    rating_group,
                    service_identifier,
                    serving_network: digits(network),
                    price: Price::flat(Unit::Seconds, 60, Amount::ZERO),
                }
            },
        )
}

fn any_query() -> impl Strategy<Value = RateQuery> {
    let direction = prop_oneof![
        Just(Direction::Originating),
        Just(Direction::Terminating),
        Just(Direction::Forwarded)
    ];
    let network = prop_oneof![
        Just(""),
        Just("26201"),
        Just("262012"),
        Just("26202"),
        Just("310410"),
        Just("20801")
    ];
    let service = prop_oneof![4 => Just(Service::Voice), 4 => Just(Service::Data), 1 => Just(Service::Message)];
    let optional = || proptest::option::of(0u32..4);
    let origin = prop_oneof![1 => Just(String::new()), 4 => "[1-3]{2,4}"];
    (service, "[1-4]{0,7}", network, direction, optional(), optional(), origin).prop_map(
        |(service, destination, network, direction, rating_group, service_identifier, origin)| {
            RateQuery {
                origin: digits(&origin),
                service,
                direction,
                destination: digits(&destination),
                rating_group,
                service_identifier,
                serving_network: digits(network),
            }
        },
    )
}

/// The rule as it is written, row by row.
fn scan(rates: &[RateSpec], query: &RateQuery) -> Option<usize> {
    let begins = |prefix: Option<Digits>, value: Option<Digits>| {
        prefix.is_none_or(|prefix| value.is_some_and(|value| value.starts_with(prefix)))
    };
    let holds = |rate: &RateSpec| {
        rate.service == query.service
            && begins(rate.prefix, query.destination)
            && begins(rate.serving_network, query.serving_network)
            && begins(rate.origin, query.origin)
            && (rate.rating_group.is_none() || rate.rating_group == query.rating_group)
            && (rate.service_identifier.is_none()
                || rate.service_identifier == query.service_identifier)
            && rate.direction.is_none_or(|direction| direction == query.direction)
    };
    let length = |digits: Option<Digits>| digits.map_or(0, Digits::len);
    let found = rates.iter().enumerate().filter(|(_, rate)| holds(rate));
    let best = found.max_by_key(|(_, rate)| {
        let identified = (rate.service_identifier.is_some(), rate.rating_group.is_some());
        let places = (length(rate.prefix), length(rate.serving_network), length(rate.origin));
        (places, identified, rate.direction.is_some())
    });
    best.map(|(position, _)| position)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lookup_agrees_with_reading_the_list_row_by_row(
        rates in proptest::collection::vec(any_match(), 0..120),
        queries in proptest::collection::vec(any_query(), 1..40),
    ) {
        let mut kept: Vec<RateSpec> = Vec::new();
        for rate in rates {
            if !kept.contains(&rate) {
                kept.push(rate);
            }
        }
        for (position, rate) in kept.iter_mut().enumerate() {
            rate.destination = position.to_string().into();
        }
        let list = PriceList::compile(header(), kept.iter().cloned()).expect("no two alike");
        for query in &queries {
            let expected = scan(&kept, query).map_or("none".into(), |position| position.to_string());
            prop_assert_eq!(found(&list, query), expected, "{:?}", query);
        }
    }

    #[test]
    fn any_rows_compile_or_are_refused(
        rates in proptest::collection::vec((any_match(), any::<u64>(), any::<u64>(), any::<i64>(), any::<u64>()), 0..20),
        query in any_query(),
        used in any::<u64>(),
    ) {
        let rates: Vec<RateSpec> = rates.into_iter().map(|(mut rate, per, first, price, from)| {
            rate.price = Price::flat(Unit::Seconds, per, Amount::from_micros(price));
            rate.price.increments.first = first;
            rate.price.steps[0].from = from % 2;
            rate
        }).collect();
        let at = tandem_domain::time::Timestamp::ZERO;
        match PriceList::compile(header(), rates) {
            Ok(list) => { list.quote(&query, used, at); }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
