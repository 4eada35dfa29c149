//! What must hold for every rate: more use never costs less, slicing changes nothing, and money covers exactly
//! what it pays for.

use proptest::prelude::*;
use tandem_domain::money::{Amount, Currency, Rounding};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{
    BandIndex, BandSteps, CapSoFar, Charge, Exact, Increments, LegSoFar, Price, PriceList,
    PriceListHeader, Progression, Rate, RateQuery, RateSpec, RoundingRule, Schedule, Step, Steps,
    Tax, TaxKind, TimeBand,
};
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;

fn any_header() -> impl Strategy<Value = PriceListHeader> {
    let mode = prop_oneof![
        Just(Rounding::HalfUp),
        Just(Rounding::HalfEven),
        Just(Rounding::Up),
        Just(Rounding::Down)
    ];
    let kind = prop_oneof![Just(TaxKind::Exclusive), Just(TaxKind::Inclusive)];
    let window = (1u8..128, 0u16..1440, 1u16..=1440)
        .prop_map(|(days, from_minute, to_minute)| WeeklyWindow { days, from_minute, to_minute });
    let zone = prop_oneof![
        Just("UTC"),
        Just("Europe/Berlin"),
        Just("Asia/Kathmandu"),
        Just("America/New_York")
    ];
    let discount = prop_oneof![3 => Just(0u16), 1 => 0u16..=10_000];
    let tax = prop_oneof![1 => Just(0u16), 3 => 0u16..=10_000];
    let amount = prop_oneof![2 => Just(0i64), 1 => 0i64..3_000_000].prop_map(Amount::from_micros);
    let discount = (discount, amount, any::<bool>());
    (mode, 0u8..=6, kind, tax, discount, proptest::collection::vec(window, 1..4), zone).prop_map(
        |(mode, digits, kind, basis_points, (discount, amount, amount_first), windows, zone)| {
            PriceListHeader {
                rounding: RoundingRule { mode, digits },
                tax: Tax { basis_points, kind },
                discount_basis_points: discount,
                discount_amount: amount,
                discount_amount_first: amount_first,
                time_zone: zone.into(),
                bands: vec![TimeBand { name: "other".into(), windows }],
                switch_at_band_edge: true,
                ..PriceListHeader::plain("any", Currency::EUR)
            }
        },
    )
}

fn any_steps() -> impl Strategy<Value = Steps> {
    let price = || prop_oneof![1 => Just(0i64), 6 => 0i64..3_000_000].prop_map(Amount::from_micros);
    (price(), proptest::collection::btree_map(1u64..5_000, price(), 0..3)).prop_map(
        |(first, later)| {
            let later = later.into_iter().map(|(from, price)| Step { from, price });
            std::iter::once(Step { from: 0, price: first }).chain(later).collect()
        },
    )
}

fn any_price() -> impl Strategy<Value = Price> {
    let fee = || prop_oneof![1 => Just(0i64), 1 => 0i64..2_000_000].prop_map(Amount::from_micros);
    let progression =
        prop_oneof![2 => Just(Progression::Session), 1 => Just(Progression::Graduated(1))];
    let cap = prop_oneof![2 => Just(None), 1 => (0i64..50_000_000).prop_map(|micros| Some(Amount::from_micros(micros)))];
    let numbers = (1u64..120, 1u64..120, 1u64..70, 0u64..200, 0u64..10);
    let own = proptest::option::of(any_steps());
    (numbers, progression, any_steps(), own, fee(), fee(), cap).prop_map(
        |(
            (per, first, next, minimum_units, grace_units),
            progression,
            steps,
            own,
            setup_fee,
            minimum_charge,
            cap,
        )| Price {
            per,
            progression,
            steps,
            bands: own.map(|steps| BandSteps { band: other_band(), steps }).into_iter().collect(),
            increments: Increments { first, next },
            setup_fee,
            minimum_charge,
            minimum_units,
            grace_units,
            cap,
            ..Price::flat(Unit::Seconds, 1, Amount::ZERO)
        },
    )
}

fn other_band() -> BandIndex {
    let mut header = PriceListHeader::plain("any", Currency::EUR);
    header.bands = vec![TimeBand { name: "other".into(), windows: Vec::new() }];
    header.band_by_name("other").expect("in the header")
}

fn compiled(header: PriceListHeader, price: Price) -> PriceList {
    let rate = RateSpec {
        origin: None,
        service: Service::Voice,
        direction: None,
        prefix: None,
        destination: "".into(),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
        price,
    };
    PriceList::compile(header, [rate]).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn only_rate(list: &PriceList) -> &Rate {
    let query = RateQuery {
        origin: None,
        service: Service::Voice,
        direction: Direction::Originating,
        destination: None,
        rating_group: None,
        service_identifier: None,
        serving_network: None,
    };
    list.find(&query).and_then(|index| list.rate(index)).expect("the only rate")
}

/// A moment in the years that have known clock changes.
fn any_time() -> impl Strategy<Value = Timestamp> {
    (1_700_000_000_000i64..1_900_000_000_000).prop_map(Timestamp::from_millis)
}

fn charge(list: &PriceList, rate: &Rate, at: Timestamp, units: u64, cap: &CapSoFar) -> Charge {
    let exact = list.cost(rate, Schedule::Clock { at }, 0, units).expect("in range");
    list.settle(rate, exact, units > 0, cap).expect("in range")
}

fn gross(list: &PriceList, rate: &Rate, at: Timestamp, units: u64) -> Amount {
    charge(list, rate, at, units, &CapSoFar::default()).gross
}

/// What the cap of a day or month leaves.
fn any_room() -> impl Strategy<Value = Option<Amount>> {
    let micros = prop_oneof![1 => Just(0i64), 2 => 0i64..5_000_000, 2 => 0i64..300_000_000];
    proptest::option::of(micros.prop_map(Amount::from_micros))
}

fn whole(list: &PriceList, room: Option<Amount>) -> Option<Amount> {
    room.map(|room| list.whole_steps(room))
}

/// A leg with this charge, and what is left from then on.
fn after(list: &PriceList, charge: &Charge, room: Option<Amount>) -> CapSoFar {
    let charged = list.listed(charge.net, charge.tax);
    CapSoFar { charged, forgiven: charge.forgiven, room: whole(list, room) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn billable_units_never_fall_and_lie_on_a_grid_of_their_own(price in any_price(), used in 0u64..2_000, more in 0u64..500) {
        let list = compiled(one_band_header(), price);
        let rate = only_rate(&list);
        let billable = rate.billable(used);
        prop_assert!(billable <= rate.billable(used + more));
        prop_assert!(billable == 0 || billable >= used);
        prop_assert_eq!(rate.whole_increments(0, billable), billable);
        prop_assert_eq!(rate.billable(rate.usable(billable)), billable);
        prop_assert!(rate.usable(billable) >= used);
        prop_assert!(rate.billable(rate.usable(billable) + 1) > billable);
        let whole = rate.whole_increments(billable, more);
        prop_assert!(whole <= more);
        prop_assert_eq!(rate.billable(rate.usable(billable + whole)), billable + whole);
    }

    #[test]
    fn a_charge_never_falls_as_units_are_added(
        header in any_header(), price in any_price(), at in any_time(), units in 0u64..100_000, more in 0u64..10_000,
    ) {
        let list = compiled(header, price);
        let rate = only_rate(&list);
        prop_assert!(gross(&list, rate, at, units) <= gross(&list, rate, at, units + more));
    }

    #[test]
    fn slices_cost_together_what_the_whole_costs(
        header in any_header(), price in any_price(), at in any_time(), slices in proptest::collection::vec(0u64..5_000, 0..20),
        all_units in any::<bool>(),
    ) {
        let progression = if all_units { Progression::AllUnits(1) } else { price.progression };
        let list = compiled(header, Price { progression, ..price });
        let rate = only_rate(&list);
        let mut exact = Exact::ZERO;
        let mut position = 0;
        for slice in &slices {
            let schedule = Schedule::Clock { at: at.plus_seconds(position) };
            exact = exact.checked_add(list.cost(rate, schedule, position, *slice).expect("in range")).expect("in range");
            position += slice;
        }
        // All-units prices of two bands do not add up over an edge: there the order of the bands counts.
        if !all_units || !rate.has_band_prices() {
            prop_assert_eq!(exact, list.cost(rate, Schedule::Clock { at }, 0, position).expect("in range"));
        }
    }

    #[test]
    fn slices_under_the_cap_of_a_day_cost_together_what_the_whole_costs_and_no_more_than_it_leaves(
        header in any_header(), price in any_price(), at in any_time(), slices in proptest::collection::vec(0u64..2_000, 1..12),
        room in any_room(),
    ) {
        let list = compiled(header, price);
        let rate = only_rate(&list);
        let room = whole(&list, room);
        let begun = CapSoFar { room, ..CapSoFar::default() };
        let (mut used, mut cap, mut sliced) = (0, begun, None);
        for slice in slices {
            used += slice;
            let now = charge(&list, rate, at, used, &cap);
            let listed = list.listed(now.net, now.tax);
            prop_assert!(listed >= cap.charged, "nothing is given back");
            let spent = listed.saturating_sub(cap.charged);
            cap = after(&list, &now, cap.room.map(|room| room.saturating_sub(spent)));
            sliced = Some(now);
        }
        let whole = charge(&list, rate, at, used, &begun);
        prop_assert_eq!(sliced, Some(whole));
        prop_assert!(room.is_none_or(|room| cap.charged <= room));
        let uncapped = charge(&list, rate, at, used, &CapSoFar::default());
        prop_assert_eq!(cap.charged.saturating_add(cap.forgiven), list.listed(uncapped.net, uncapped.tax));
    }

    #[test]
    fn pieces_of_a_call_follow_the_band_of_each_second(
        header in any_header(), at in any_time(), seconds in 0u64..400_000, probes in proptest::collection::vec(0u64..400_000, 8),
    ) {
        let list = compiled(header, Price::flat(Unit::Seconds, 1, Amount::ZERO));
        let pieces: Vec<_> = list.band_pieces(at, seconds).collect();
        prop_assert_eq!(pieces.iter().map(|(_, seconds)| seconds).sum::<u64>(), seconds);
        prop_assert!(pieces.windows(2).all(|pair| pair[0].0 != pair[1].0));
        let mut ends = 0;
        let ends: Vec<_> = pieces.iter().map(|(band, seconds)| { ends += seconds; (*band, ends) }).collect();
        for (_, end) in &ends {
            for probe in probes.iter().copied().chain([end.saturating_sub(1), *end]).filter(|probe| *probe < seconds) {
                let expected = ends.iter().find(|(_, end)| probe < *end).map(|(band, _)| *band);
                prop_assert_eq!(Some(list.band_at(at.plus_seconds(probe))), expected);
            }
        }
        if let [_, _, ..] = pieces.as_slice() {
            let edge = list.next_band_edge(at).expect("the call passed one");
            prop_assert_eq!(edge.millis(), at.plus_seconds(pieces[0].1).millis() - at.plus_seconds(pieces[0].1).millis().rem_euclid(1_000));
        }
    }

    #[test]
    fn money_covers_exactly_what_it_pays_for(
        header in any_header(), price in any_price(), at in any_time(),
        used in 0u64..4_000, budget in 0i64..200_000_000, units_max in 0u64..50_000,
        // The second is that of another day, when the first is not what was left.
        rooms in prop_oneof![Just((None, None)), (any_room(), any_room()).prop_filter("both have a cap", |(a, b)| a.is_some() == b.is_some())],
    ) {
        let list = compiled(header, price);
        let rate = only_rate(&list);
        let before = charge(&list, rate, at, used, &CapSoFar { room: whole(&list, rooms.0), ..CapSoFar::default() });
        let cap = after(&list, &before, rooms.1);
        let charged = before.gross;
        let leg = LegSoFar {
            exact: list.cost(rate, Schedule::Clock { at }, 0, used).expect("in range"),
            position: used,
            any_units: used > 0,
            charged,
            cap,
        };
        let schedule = Schedule::Clock { at: at.plus_seconds(used) };
        let budget = Amount::from_micros(budget);
        let units = list.affordable(rate, &leg, budget, units_max, schedule);
        let further = |units| charge(&list, rate, at, used + units, &cap).gross.micros() - charged.micros();
        prop_assert!(units <= units_max);
        if units > 0 {
            prop_assert!(further(units) <= budget.micros(), "{units} cost {}", further(units));
        }
        if units < units_max {
            prop_assert!(further(units + 1) > budget.micros(), "one more than {units} costs {}", further(units + 1));
        }
    }

    #[test]
    fn a_net_budget_covers_exactly_what_it_pays_for(
        header in any_header(), price in any_price(), band in prop_oneof![Just(BandIndex::STANDARD), Just(other_band())],
        budget in 0i64..200_000_000, units_max in 0u64..50_000,
    ) {
        let list = compiled(header, price);
        let rate = only_rate(&list);
        let fixed = Schedule::Fixed(band);
        let budget = Amount::from_micros(budget);
        let units = list.affordable_net(rate, &LegSoFar::default(), Amount::ZERO, budget, units_max, fixed);
        let net = |units| {
            let exact = list.cost(rate, fixed, 0, units).expect("in range");
            list.settle(rate, exact, units > 0, &CapSoFar::default()).expect("in range").net
        };
        prop_assert!(net(units) <= budget);
        if units < units_max {
            prop_assert!(net(units + 1) > budget);
        }
    }

    #[test]
    fn all_units_prices_are_affordable_at_every_point_up_to_the_answer(
        price in any_price(), position in 0u64..3_000, budget in 0i64..50_000_000, units_max in 0u64..3_000,
    ) {
        let price = Price { progression: Progression::AllUnits(1), bands: Vec::new(), ..price };
        let list = compiled(one_band_header(), price);
        let rate = only_rate(&list);
        let fixed = Schedule::Fixed(BandIndex::STANDARD);
        let budget = Amount::from_micros(budget);
        let leg = LegSoFar { position, ..LegSoFar::default() };
        let units = list.affordable(rate, &leg, budget, units_max, fixed);
        let gross = |units| {
            let exact = list.cost(rate, fixed, position, units).expect("in range");
            list.settle(rate, exact, true, &CapSoFar::default()).expect("in range").gross
        };
        for point in 1..=units {
            prop_assert!(gross(point) <= budget, "{point} of {units}");
        }
        if units < units_max {
            prop_assert!(gross(units + 1) > budget);
        }
    }

    #[test]
    fn net_and_tax_are_the_gross(
        header in any_header(), price in any_price(), at in any_time(), units in 0u64..100_000, room in any_room(),
    ) {
        let list = compiled(header, price);
        let rate = only_rate(&list);
        let charge = charge(&list, rate, at, units, &CapSoFar { room: whole(&list, room), ..CapSoFar::default() });
        prop_assert_eq!(charge.net.checked_add(charge.tax), Ok(charge.gross));
        prop_assert!(!charge.net.is_negative() && !charge.tax.is_negative());
    }
}

fn one_band_header() -> PriceListHeader {
    let mut header = PriceListHeader::plain("fixed", Currency::EUR);
    let window = WeeklyWindow { days: 1, from_minute: 0, to_minute: 1440 };
    header.bands = vec![TimeBand { name: "other".into(), windows: vec![window] }];
    header
}
