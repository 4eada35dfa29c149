//! A random month: what the provider is remitted, what the VNO's statement says and what subscribers' bills say are one.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tandem_simulators::random::Random;
use tandem_simulators::shop::payment;

use crate::content::{Market, PAYMENTS, PHONE, id_of, micros, rules};

const SALES: u64 = 90;

fn thousandths(amount: u64) -> Value {
    let text = format!("{}.{:03}", amount / 1000, amount % 1000);
    Value::Number(text.parse().expect("a number"))
}

fn sum(lines: &Value, field: &str) -> i64 {
    let lines = lines.as_array().expect("lines").iter();
    lines.map(|line| micros(line[field]["amount"].as_str().expect("an amount"))).sum()
}

/// A sale of a random price in a random style of tax; the price in thousandths, and the style.
async fn sell(
    market: &Market,
    random: &mut Random,
    number: u64,
    phone: &str,
) -> (String, u64, bool, bool) {
    let amount = random.between(1, 15_000);
    let (inclusive, named) = (random.chance(60), random.chance(20));
    let mut body = payment(Some(phone), "1", &format!("sale-{number}"));
    let charging = &mut body["amountTransaction"]["paymentAmount"]["chargingInformation"];
    charging["amount"] = thousandths(amount);
    charging["isTaxIncluded"] = json!(inclusive);
    if named && amount > 10 {
        charging["taxAmount"] = thousandths(amount / 10);
    }
    let sold = market.post(PAYMENTS, &body).await;
    assert_eq!(sold.status, 201, "{body}: {sold:?}");
    (id_of(&sold), amount, inclusive, named && amount > 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_papers_of_a_random_month_agree_to_the_last_digit() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = clock.as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let market = Market::open("1000.00", rules()).await;
    let tiers = json!({
        "tiers": [
            { "up_to": "100.00", "basis_points": 6500 },
            { "up_to": "300.00", "basis_points": 7150 },
            { "up_to": null, "basis_points": 7777 },
        ],
        "broker_basis_points": 333,
    });
    market.broker.ask("PUT", "/v1/content-providers/kino/agreements/aria", tiers);
    let mut buyers = vec![(PHONE.to_owned(), market.alice.clone())];
    for phone in ["+4915110000002", "+4915110000003"] {
        buyers.push((phone.into(), market.broker.subscriber("aria", phone, "1000.00")));
    }
    let mut refunds = 0;
    for number in 0..SALES {
        let (phone, _) = &buyers[random.below(3) as usize];
        let (id, amount, inclusive, named) = sell(&market, &mut random, number, phone).await;
        if !random.chance(35) {
            continue;
        }
        let path = format!("/carrier-billing-refund/v0.3/payments/{id}/refunds");
        let name = format!("back-{number}");
        let mut back = json!({ "type": "total", "amountTransaction": {
            "clientCorrelator": name, "referenceCode": name, "refundAmount": {},
        }});
        if random.chance(70) && !named {
            back["type"] = json!("partial");
            back["amountTransaction"]["refundAmount"]["chargingInformation"] = json!({
                "amount": thousandths(random.between(1, amount)), "currency": "EUR",
                "description": "back", "isTaxIncluded": inclusive,
            });
        }
        let refunded = market.post(&path, &back).await;
        assert_eq!(refunded.status, 201, "seed {seed}: {back}: {refunded:?}");
        refunds += 1;
    }
    let created = market.get(&format!("{PAYMENTS}?perPage=1")).await;
    let month = created.body[0]["paymentCreationDate"].as_str().expect("a date")[..7].to_owned();
    let broker = &market.broker;
    let remittance = format!("/v1/content-providers/kino/remittances/{month}");
    let remittance = broker.ask("GET", &remittance, Value::Null);
    let statement = format!("/v1/vnos/aria/content-statements/{month}");
    let statement = broker.ask("GET", &statement, Value::Null);
    let mut bills = [0i64; 3];
    for (_, subscriber) in &buyers {
        let path = format!("/v1/vnos/aria/subscribers/{subscriber}/content-bill/{month}");
        let bill = broker.ask("GET", &path, Value::Null);
        let of_bill = ["net", "tax", "merchant_tax"].map(|field| sum(&bill, field));
        let paid = 1_000_000_000 - micros(&broker.balance("aria", subscriber));
        assert_eq!(of_bill.iter().sum::<i64>(), paid, "seed {seed}: {subscriber}");
        bills.iter_mut().zip(of_bill).for_each(|(sum, part)| *sum += part);
    }
    for (field, billed) in ["net", "tax", "merchant_tax"].into_iter().zip(bills) {
        assert_eq!(sum(&remittance["lines"], field), billed, "seed {seed}: remitted {field}");
        assert_eq!(sum(&statement["lines"], field), billed, "seed {seed}: stated {field}");
    }
    let share = sum(&remittance["lines"], "share");
    assert_eq!(share, sum(&statement["lines"], "share"), "seed {seed}");
    let total = remittance["totals"][0]["amount"].as_str().expect("a total");
    assert_eq!(micros(total), share, "seed {seed}");
    let vno = broker.ask("GET", "/v1/vnos/aria/balance", Value::Null);
    let spent = 1_000_000_000 - micros(vno["balance"]["amount"].as_str().expect("an amount"));
    assert_eq!(sum(&statement["lines"], "wholesale"), spent, "seed {seed}");
    assert!(refunds > 0 && share > 0, "seed {seed}");
    market.audit();
}
