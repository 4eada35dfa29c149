//! Prices by the hour: bands over midnight, weekends, holidays, and the two nights when clocks change.

use tandem_domain::money::{Amount, Currency};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::rating::{
    BandIndex, LegSoFar, PriceList, PriceListHeader, RateQuery, Schedule, TimeBand, Weekday, deck,
};
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;

const WEEKEND: u8 = 0b110_0000;
const EVERY_DAY: u8 = 0b111_1111;

fn band(name: &str, days: u8, from_hour: u16, to_hour: u16) -> TimeBand {
    let window = WeeklyWindow { days, from_minute: from_hour * 60, to_minute: to_hour * 60 };
    TimeBand { name: name.into(), windows: vec![window] }
}

/// Weekends all day, else nights from 20 to 6; 2026-12-25 (a Friday) is a holiday.
fn header() -> PriceListHeader {
    let mut header = PriceListHeader::plain("bands", Currency::EUR);
    header.time_zone = "Europe/Berlin".into();
    header.bands = vec![band("weekend", WEEKEND, 0, 24), band("night", EVERY_DAY, 20, 6)];
    header.holidays = vec!["2026-12-25".parse().expect("a date")];
    header.holidays_count_as = Weekday::Sunday;
    header.switch_at_band_edge = true;
    header
}

const DECK: &str = "price,per,band\n0.60,60,\n0.30,60,night\n0.06,60,weekend\n";

fn list(header: PriceListHeader) -> PriceList {
    let rates =
        deck::read(DECK.as_bytes(), &header).unwrap_or_else(|problems| panic!("{problems}"));
    PriceList::compile(header, rates).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

fn query() -> RateQuery {
    RateQuery {
        origin: None,
        service: Service::Voice,
        direction: Direction::Originating,
        destination: None,
        rating_group: None,
        service_identifier: None,
        serving_network: None,
    }
}

fn pieces(list: &PriceList, from: &str, seconds: u64) -> String {
    let pieces = list.band_pieces(at(from), seconds);
    let shown = pieces.map(|(band, seconds)| format!("{} {seconds}", list.band_name(band)));
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn each_hour_has_its_band() {
    let list = list(header());
    for (time, expected) in [
        ("2026-06-17T12:00:00+02:00", "standard"),
        ("2026-06-17T19:59:59+02:00", "standard"),
        ("2026-06-17T20:00:00+02:00", "night"),
        ("2026-06-18T05:59:59+02:00", "night"),
        ("2026-06-18T06:00:00+02:00", "standard"),
        ("2026-06-19T23:59:59+02:00", "night"),
        ("2026-06-20T00:00:00+02:00", "weekend"),
        ("2026-06-21T23:59:59+02:00", "weekend"),
        // The night that began on Sunday goes on.
        ("2026-06-22T00:00:00+02:00", "night"),
        ("2026-06-22T06:00:00+02:00", "standard"),
        ("2026-12-24T12:00:00+01:00", "standard"),
        ("2026-12-25T12:00:00+01:00", "weekend"),
        ("2026-12-18T12:00:00+01:00", "standard"),
    ] {
        assert_eq!(list.band_name(list.band_at(at(time))), expected, "{time}");
    }
}

#[test]
fn a_call_is_split_at_the_edges_it_passes() {
    let list = list(header());
    for (from, seconds, expected) in [
        ("2026-06-17T12:00:00+02:00", 60, "standard 60"),
        ("2026-06-17T19:59:00+02:00", 60, "standard 60"),
        ("2026-06-17T19:59:00+02:00", 61, "standard 60, night 1"),
        ("2026-06-17T19:59:59.001+02:00", 2, "standard 1, night 1"),
        ("2026-06-17T19:59:58.999+02:00", 3, "standard 2, night 1"),
        ("2026-06-19T23:50:00+02:00", 1200, "night 600, weekend 600"),
        ("2026-06-21T23:50:00+02:00", 1200, "weekend 600, night 600"),
        ("2026-06-17T19:00:00+02:00", 43_200, "standard 3600, night 36000, standard 3600"),
        ("2026-12-24T23:00:00+01:00", 97_200, "night 3600, weekend 93600"),
        ("2026-06-17T12:00:00+02:00", 0, ""),
    ] {
        assert_eq!(pieces(&list, from, seconds), expected, "{from} + {seconds} s");
    }
}

#[test]
fn nights_are_shorter_and_longer_when_clocks_change() {
    let mut header = header();
    header.bands = vec![band("night", EVERY_DAY, 20, 6)];
    let deck = "price,band\n0.60,\n0.30,night\n";
    let rates = deck::read(deck.as_bytes(), &header).expect("a sound deck");
    let list = PriceList::compile(header, rates).expect("a sound list");
    // 2026-03-29 02:00 becomes 03:00; 2026-10-25 03:00 becomes 02:00.
    assert_eq!(
        pieces(&list, "2026-03-28T19:00:00+01:00", 43_200),
        "standard 3600, night 32400, standard 7200"
    );
    assert_eq!(pieces(&list, "2026-10-24T19:00:00+02:00", 43_200), "standard 3600, night 39600");
    assert_eq!(
        list.next_band_edge(at("2026-03-28T21:00:00+01:00")),
        Some(at("2026-03-29T06:00:00+02:00"))
    );
    assert_eq!(
        list.next_band_edge(at("2026-10-24T21:00:00+02:00")),
        Some(at("2026-10-25T06:00:00+01:00"))
    );
}

#[test]
fn an_hour_that_comes_twice_is_priced_twice_and_one_that_is_left_out_never() {
    let mut header = header();
    header.bands = vec![band("small hour", EVERY_DAY, 2, 3)];
    let deck = "price,band\n0.60,\n0.30,small hour\n";
    let rates = deck::read(deck.as_bytes(), &header).expect("a sound deck");
    let list = PriceList::compile(header, rates).expect("a sound list");
    assert_eq!(
        pieces(&list, "2026-10-25T01:00:00+02:00", 5 * 3600),
        "standard 3600, small hour 7200, standard 7200"
    );
    assert_eq!(pieces(&list, "2026-03-29T01:00:00+01:00", 3 * 3600), "standard 10800");
}

#[test]
fn the_price_follows_the_clock_only_when_the_list_says_so() {
    let switching = list(header());
    let staying = list(PriceListHeader { switch_at_band_edge: false, ..header() });
    let start = at("2026-06-17T19:59:00+02:00");
    for (list, expected) in [(&switching, "0.90"), (&staying, "1.20")] {
        let quote = list.quote(&query(), 120, start).expect("a rate").expect("in range");
        assert_eq!(quote.charge.gross, expected.parse().expect("an amount"));
    }
    let rate = staying.find(&query()).and_then(|index| staying.rate(index)).expect("a rate");
    let standard = Schedule::Fixed(BandIndex::STANDARD);
    assert_eq!(staying.schedule(rate, start, start.plus_seconds(90)), standard);
}

#[test]
fn money_lasts_longer_over_the_edge_of_a_cheaper_band() {
    let list = list(header());
    let rate = list.find(&query()).and_then(|index| list.rate(index)).expect("a rate");
    let start = Schedule::Clock { at: at("2026-06-17T19:59:00+02:00") };
    let leg = LegSoFar::default();
    // 60 s at 0.01, then 0.005: less than half a cent more is rounded away.
    for (budget, expected) in
        [("0.30", 30), ("0.60", 60), ("0.61", 62), ("0.90", 120), ("1.20", 180)]
    {
        let budget: Amount = budget.parse().expect("an amount");
        assert_eq!(list.affordable(rate, &leg, budget, 3_600, start), expected, "{budget}");
    }
}

#[test]
fn a_list_with_one_band_has_no_edges() {
    let header = PriceListHeader::plain("one band", Currency::EUR);
    let list = PriceList::compile(header, []).expect("an empty list");
    assert_eq!(list.next_band_edge(at("2026-06-17T12:00:00Z")), None);
    let whole: Vec<_> = list.band_pieces(Timestamp::MAX, u64::MAX).collect();
    assert_eq!(whole, [(BandIndex::STANDARD, u64::MAX)]);
}

#[test]
fn bands_hold_at_the_ends_of_time() {
    let list = list(header());
    for from in [Timestamp::from_millis(i64::MIN), Timestamp::MAX, Timestamp::ZERO] {
        let total: u128 =
            list.band_pieces(from, u64::MAX).map(|(_, seconds)| u128::from(seconds)).sum();
        assert_eq!(total, u128::from(u64::MAX));
        list.band_at(from);
        list.next_band_edge(from);
    }
}
