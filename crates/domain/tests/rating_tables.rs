//! Prices worked out by hand: increments, steps, tiers, fees, rounding, tax, and how much money covers.

use tandem_domain::money::{Amount, Currency, Rounding};
use tandem_domain::rating::{
    BandIndex, CapSoFar, Exact, LegSoFar, PriceList, PriceListHeader, Rate, RateQuery,
    RoundingRule, Schedule, Tax, TaxKind, deck,
};
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;

fn header() -> PriceListHeader {
    PriceListHeader::plain("table", Currency::EUR)
}

fn list(header: PriceListHeader, deck: &str) -> PriceList {
    let rates =
        deck::read(deck.as_bytes(), &header).unwrap_or_else(|problems| panic!("{problems}"));
    PriceList::compile(header, rates).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn voice(destination: Option<&str>) -> RateQuery {
    RateQuery {
        origin: None,
        service: Service::Voice,
        direction: Direction::Originating,
        destination: destination.map(|digits| digits.parse().expect("digits")),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
    }
}

fn only_rate(list: &PriceList) -> &Rate {
    list.find(&voice(None)).and_then(|index| list.rate(index)).expect("one rate for everything")
}

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

fn gross(list: &PriceList, used: u64) -> Amount {
    let quote = list.quote(&voice(None), used, Timestamp::ZERO);
    quote.expect("a rate").expect("in range").charge.gross
}

/// A rate, what it is about, and the cases with what they come to.
type Row<'a, Case> = (&'a str, &'a str, &'a [Case]);

#[test]
fn billable_units_follow_the_increment_grid() {
    // increment, minimum units, grace; then used -> billable
    let table: &[(&str, &[(u64, u64)])] = &[
        ("60/60,0,0", &[(0, 0), (1, 60), (60, 60), (61, 120), (120, 120), (121, 180)]),
        ("60/1,0,0", &[(0, 0), (1, 60), (60, 60), (61, 61), (3599, 3599)]),
        ("30/6,0,0", &[(1, 30), (30, 30), (31, 36), (36, 36), (37, 42), (60, 60)]),
        ("1/1,0,0", &[(0, 0), (1, 1), (59, 59)]),
        ("1/10,0,0", &[(1, 1), (2, 11), (11, 11), (12, 21)]),
        ("60/60,90,0", &[(0, 0), (1, 120), (120, 120), (121, 180)]),
        ("1/1,20,0", &[(0, 0), (1, 20), (20, 20), (21, 21)]),
        ("60/1,0,3", &[(0, 0), (3, 0), (4, 60), (61, 61)]),
        ("1/1,0,5", &[(5, 0), (6, 6)]),
    ];
    for (terms, cases) in table {
        let list = list(header(), &format!("price,increment,minimum_units,grace\n0.01,{terms}\n"));
        let rate = only_rate(&list);
        for (used, billable) in *cases {
            assert_eq!(rate.billable(*used), *billable, "{terms}: {used} used");
        }
    }
}

#[test]
fn what_may_be_used_is_the_billable_grid_backwards() {
    // terms; then billable -> usable, and (already, further) -> whole increments
    for (terms, billable, usable) in [
        ("60/60,0,0", 59, 0),
        ("60/60,0,0", 60, 60),
        ("60/60,0,0", 179, 120),
        ("30/6,0,0", 35, 30),
        ("30/6,0,0", 36, 36),
        ("60/60,90,0", 119, 0),
        ("60/60,90,0", 120, 120),
        ("60/1,0,3", 10, 3),
        ("1/1,0,5", 5, 5),
        ("1/1,0,5", 6, 6),
    ] {
        let list = list(header(), &format!("price,increment,minimum_units,grace\n0.01,{terms}\n"));
        assert_eq!(only_rate(&list).usable(billable), usable, "{terms}: {billable} paid");
    }
    let list = list(header(), "price,increment\n0.01,60/30\n");
    for (already, further, whole) in [
        (0, 59, 0),
        (0, 60, 60),
        (0, 100, 90),
        (60, 29, 0),
        (60, 30, 30),
        (90, 1000, 990),
        (60, 0, 0),
    ] {
        assert_eq!(
            only_rate(&list).whole_increments(already, further),
            whole,
            "{already} + {further}"
        );
    }
}

#[test]
fn a_call_costs_what_the_rate_says() {
    // columns and row; then seconds used -> charge
    let table: &[Row<(u64, &str)>] = &[
        (
            "price",
            "0.05",
            &[(0, "0"), (1, "0"), (6, "0.01"), (60, "0.05"), (61, "0.05"), (90, "0.08")],
        ),
        ("price,increment", "0.05,60/60", &[(1, "0.05"), (61, "0.10"), (600, "0.50")]),
        ("price,per,increment", "0.06,60s,30/6", &[(5, "0.03"), (31, "0.04"), (100, "0.10")]),
        ("price,per", "0.06,1min", &[(60, "0.06"), (3600, "3.60")]),
        ("price,setup_fee", "0.05,0.10", &[(0, "0"), (1, "0.10"), (60, "0.15")]),
        (
            "price,minimum_charge",
            "0.05,0.08",
            &[(0, "0"), (1, "0.08"), (96, "0.08"), (120, "0.10")],
        ),
        (
            "price,setup_fee,minimum_charge",
            "0.05,0.10,0.12",
            &[(1, "0.12"), (24, "0.12"), (60, "0.15")],
        ),
        ("price,cap", "0.10,0.50", &[(60, "0.10"), (300, "0.50"), (301, "0.50"), (86_400, "0.50")]),
        ("price,setup_fee,cap", "0.10,0.20,0.50", &[(60, "0.30"), (180, "0.50"), (181, "0.50")]),
        ("price,treatment,setup_fee", "0.10,free,0.20", &[(0, "0"), (3600, "0")]),
        ("price", "0", &[(3600, "0")]),
    ];
    for (columns, row, cases) in table {
        let list = list(header(), &format!("{columns}\n{row}\n"));
        for (used, expected) in *cases {
            assert_eq!(gross(&list, *used), amount(expected), "{columns} = {row}: {used} s");
        }
    }
}

#[test]
fn the_price_steps_down_during_a_call() {
    let list = list(header(), "price,from\n0.10,0\n0.05,5min\n0.01,10min\n");
    for (used, expected) in
        [(60, "0.10"), (300, "0.50"), (360, "0.55"), (600, "0.75"), (660, "0.76"), (1200, "0.85")]
    {
        assert_eq!(gross(&list, used), amount(expected), "{used} s");
    }
}

#[test]
fn tiers_of_a_counter_price_each_slice_or_the_whole() {
    // One unit costs 3, then 2 after 100, then 1 after 200.
    let deck = |kind| {
        format!(
            "price,from,per,progression,counter\n3,0,1,{kind},7\n2,100,1,{kind},7\n1,200,1,{kind},7\n"
        )
    };
    // from, to, graduated, all units
    let table: &[(u64, u64, i64, i64)] = &[
        (0, 100, 300, 300),
        (0, 101, 302, 202),
        (100, 101, 2, -98),
        (50, 150, 250, 150),
        (0, 250, 550, 250),
        (199, 201, 3, -197),
        (200, 300, 100, -100),
        (300, 400, 100, 100),
    ];
    let (graduated, all_units) =
        (list(header(), &deck("graduated")), list(header(), &deck("all-units")));
    assert_eq!(only_rate(&graduated).counter(), Some(7));
    for (from, to, each, whole) in table {
        for (list, expected) in [(&graduated, each), (&all_units, whole)] {
            let cost = only_rate(list).cost(BandIndex::STANDARD, *from, *to).expect("in range");
            assert_eq!(cost.numerator(), i128::from(*expected) * 1_000_000, "{from}..{to}");
        }
    }
    assert!(only_rate(&graduated).cost(BandIndex::STANDARD, 2, 1).is_err());
}

#[test]
fn a_charge_is_rounded_once_in_the_mode_of_its_list() {
    // One second costs a millionth times the figure; per 1, so the exact price is the figure itself.
    use Rounding::{Down, HalfEven, HalfUp, Up};
    for (price, digits, [half_up, half_even, up, down]) in [
        ("0.125", 2, ["0.13", "0.12", "0.13", "0.12"]),
        ("0.135", 2, ["0.14", "0.14", "0.14", "0.13"]),
        ("0.120001", 2, ["0.12", "0.12", "0.13", "0.12"]),
        ("0.5", 0, ["1", "0", "1", "0"]),
        ("1.5", 0, ["2", "2", "2", "1"]),
        ("0.123456", 6, ["0.123456"; 4]),
        ("0.123456", 4, ["0.1235", "0.1235", "0.1235", "0.1234"]),
    ] {
        for (mode, expected) in [(HalfUp, half_up), (HalfEven, half_even), (Up, up), (Down, down)] {
            let rounding = RoundingRule { mode, digits };
            let list =
                list(PriceListHeader { rounding, ..header() }, &format!("price,per\n{price},1\n"));
            assert_eq!(gross(&list, 1), amount(expected), "{price} {mode:?} to {digits}");
        }
    }
}

#[test]
fn tax_comes_on_top_or_is_contained() {
    // basis points, kind, price of the call; net, tax, gross
    use TaxKind::{Exclusive, Inclusive};
    for (basis_points, kind, price, [net, tax, gross]) in [
        (1900, Exclusive, "1.00", ["1.00", "0.19", "1.19"]),
        (1900, Exclusive, "0.05", ["0.05", "0.01", "0.06"]),
        (1900, Exclusive, "0.02", ["0.02", "0.00", "0.02"]),
        (1900, Inclusive, "1.19", ["1.00", "0.19", "1.19"]),
        (1900, Inclusive, "1.00", ["0.84", "0.16", "1.00"]),
        (700, Inclusive, "0.10", ["0.09", "0.01", "0.10"]),
        (0, Inclusive, "0.10", ["0.10", "0.00", "0.10"]),
        (500, Exclusive, "0.10", ["0.10", "0.01", "0.11"]),
    ] {
        let header = PriceListHeader { tax: Tax { basis_points, kind }, ..header() };
        let list = list(header, &format!("price\n{price}\n"));
        let charge = list
            .quote(&voice(None), 60, Timestamp::ZERO)
            .expect("a rate")
            .expect("in range")
            .charge;
        let seen = [charge.net, charge.tax, charge.gross];
        assert_eq!(seen, [net, tax, gross].map(amount), "{basis_points} {kind:?} on {price}");
    }
}

#[test]
fn a_discount_comes_after_the_minimum_and_before_the_cap() {
    let header = PriceListHeader { discount_basis_points: 2_500, ..header() };
    let list = list(header, "price,minimum_charge,cap\n1.00,0.40,2.00\n");
    for (used, expected) in [(6, "0.30"), (60, "0.75"), (120, "1.50"), (160, "2.00"), (600, "2.00")]
    {
        assert_eq!(gross(&list, used), amount(expected), "{used} s");
    }
}

#[test]
fn an_amount_comes_off_after_the_percentage_or_before_it_and_never_below_nothing() {
    // 1.00 a minute, 0.40 at least; 0.10 and 25 % off; 1.00 at most.
    let table: &[(bool, &[(u64, &str)])] = &[
        (false, &[(0, "0.00"), (6, "0.20"), (60, "0.65"), (90, "1.00"), (600, "1.00")]),
        (true, &[(0, "0.00"), (6, "0.23"), (60, "0.68"), (90, "1.00"), (600, "1.00")]),
    ];
    for (discount_amount_first, rows) in table {
        let header = PriceListHeader {
            discount_basis_points: 2_500,
            discount_amount: amount("0.10"),
            discount_amount_first: *discount_amount_first,
            ..header()
        };
        let list = list(header, "price,minimum_charge,cap\n1.00,0.40,1.00\n");
        for (used, expected) in *rows {
            assert_eq!(gross(&list, *used), amount(expected), "{used} s, {discount_amount_first}");
        }
    }
    let small = PriceListHeader { discount_amount: amount("0.10"), ..header() };
    let list = list(small, "price\n0.05\n");
    assert_eq!(gross(&list, 60), amount("0.00"), "no money back");
    assert_eq!(gross(&list, 180), amount("0.05"));
}

#[test]
fn the_exact_price_stays_beside_the_rounded_one() {
    let list = list(header(), "price\n0.05\n");
    let quote = list.quote(&voice(None), 7, Timestamp::ZERO).expect("a rate").expect("in range");
    assert_eq!(quote.charge.gross, amount("0.01"));
    assert_eq!(quote.charge.unrounded.numerator(), 7 * 50_000);
    assert_eq!(quote.charge.divisor, 60);
}

#[test]
fn money_covers_a_number_of_units() {
    // columns and row; then budget -> seconds of 36,000
    let table: &[Row<(&str, u64)>] = &[
        // The charge is rounded half-up to cents, so 0.054999 counts as 0.05.
        (
            "price",
            "0.05",
            &[("0", 5), ("0.05", 65), ("1.00", 1205), ("1000", 36_000), ("-1.00", 5)],
        ),
        (
            "price,setup_fee",
            "0.60,0.10",
            &[("0", 0), ("0.09", 0), ("0.10", 0), ("0.11", 1), ("0.70", 60)],
        ),
        ("price,minimum_charge", "0.60,0.30", &[("0.29", 0), ("0.30", 30), ("0.31", 31)]),
        ("price,cap", "0.60,3.00", &[("2.99", 299), ("3.00", 36_000)]),
        ("price", "0", &[("0", 36_000), ("-5", 36_000)]),
        ("price,treatment", "1.00,free", &[("-5", 36_000)]),
        ("price,treatment", "1.00,blocked", &[("5", 0)]),
    ];
    for (columns, row, cases) in table {
        let list = list(header(), &format!("{columns}\n{row}\n"));
        let index = list.find(&voice(None)).expect("a rate");
        let rate = list.rate(index).expect("its rate");
        for (budget, expected) in *cases {
            let fixed = Schedule::Fixed(BandIndex::STANDARD);
            let units = list.affordable(rate, &LegSoFar::default(), amount(budget), 36_000, fixed);
            assert_eq!(units, *expected, "{columns} = {row}: {budget}");
        }
    }
}

#[test]
fn money_covers_units_over_the_edge_of_a_step_and_of_a_tier() {
    let rounding = RoundingRule { mode: Rounding::Up, digits: 2 };
    let header = PriceListHeader { rounding, ..header() };
    let steps = list(header.clone(), "price,from,per\n0.10,0,1\n0.01,10,1\n0.20,20,1\n");
    let leg = |position| LegSoFar { position, ..LegSoFar::default() };
    let fixed = Schedule::Fixed(BandIndex::STANDARD);
    for (position, budget, expected) in [
        (0, "1.00", 10),
        (0, "1.05", 15),
        (0, "1.30", 21),
        (5, "0.50", 5),
        (15, "0.24", 5),
        (15, "0.25", 6),
    ] {
        let units = steps.affordable(only_rate(&steps), &leg(position), amount(budget), 100, fixed);
        assert_eq!(units, expected, "{budget} from {position}");
    }
    // The 101st unit makes all cheaper; nothing is granted beyond a point that cannot be paid.
    let tiers = list(
        header,
        "price,from,per,progression,counter\n3,0,1,all-units,1\n2,100,1,all-units,1\n",
    );
    for (position, budget, expected) in
        [(90, "30", 60), (90, "29", 9), (100, "0", 50), (99, "2", 0)]
    {
        let units =
            tiers.affordable(only_rate(&tiers), &leg(position), amount(budget), 1_000, fixed);
        assert_eq!(units, expected, "{budget} from {position}");
    }
}

#[test]
fn a_leg_without_tax_is_limited_by_its_net() {
    let header =
        PriceListHeader { tax: Tax { basis_points: 1900, kind: TaxKind::Exclusive }, ..header() };
    let list = list(header, "price,per\n1.00,1\n");
    let rate = only_rate(&list);
    let fixed = Schedule::Fixed(BandIndex::STANDARD);
    let leg = LegSoFar {
        exact: Exact::ZERO
            .checked_add(rate.cost(BandIndex::STANDARD, 0, 3).expect("in range"))
            .expect("in range"),
        position: 3,
        any_units: true,
        charged: amount("3.57"),
        cap: CapSoFar::default(),
    };
    assert_eq!(list.affordable(rate, &leg, amount("2.38"), 100, fixed), 2);
    assert_eq!(list.affordable(rate, &leg, amount("2.37"), 100, fixed), 1);
    assert_eq!(list.affordable_net(rate, &leg, amount("3.00"), amount("2.38"), 100, fixed), 2);
    assert_eq!(list.affordable_net(rate, &leg, amount("3.00"), amount("1.99"), 100, fixed), 1);
}

#[test]
fn a_negative_charge_appears_when_a_tier_makes_earlier_units_cheaper() {
    let list = list(
        header(),
        "price,from,per,progression,counter\n3,0,1,all-units,1\n2,100,1,all-units,1\n",
    );
    let rate = only_rate(&list);
    let exact = rate.cost(BandIndex::STANDARD, 100, 110).expect("in range");
    assert_eq!(
        list.settle(rate, exact, true, &CapSoFar::default()).expect("in range").gross,
        amount("-80")
    );
}

#[test]
fn figures_out_of_range_are_errors() {
    let list = list(header(), "price,per\n1000000,1\n");
    let rate = only_rate(&list);
    let exact = rate.cost(BandIndex::STANDARD, 0, u64::MAX).expect("fits before rounding");
    assert!(list.settle(rate, exact, true, &CapSoFar::default()).is_err());
    assert!(exact.checked_add(exact).is_ok());
    let fixed = Schedule::Fixed(BandIndex::STANDARD);
    assert!(list.cost(rate, fixed, 1, u64::MAX).is_err());
    let leg = LegSoFar { position: u64::MAX - 1, ..LegSoFar::default() };
    assert_eq!(list.affordable(rate, &leg, Amount::MAX, u64::MAX, fixed), 1);
}
