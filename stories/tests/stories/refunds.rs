//! Refunds as CAMARA's cases name them: told to sinks, listed and filtered, and what is left of the payment.

use serde_json::{Value, json};
use tandem_simulators::shop::{Sink, payment};

use crate::content::{Market, PAYMENTS, PHONE, id_of, rules, server_config, told};

fn refund(kind: &str, amount: Option<&str>, name: &str) -> Value {
    let mut refund_amount = json!({});
    if let Some(amount) = amount {
        let number: serde_json::Number = amount.parse().expect("a number");
        refund_amount = json!({ "chargingInformation": {
            "amount": number, "currency": "EUR", "description": "back", "isTaxIncluded": true,
        }});
    }
    json!({ "type": kind, "amountTransaction": {
        "clientCorrelator": name, "referenceCode": name, "refundAmount": refund_amount,
    }})
}

fn refunds_of(id: &str) -> String {
    format!("/carrier-billing-refund/v0.3/payments/{id}/refunds")
}

async fn left(market: &Market, id: &str) -> String {
    let answer = market.get(&format!("{}/remaining-amount", refunds_of(id))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["amount"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_told_to_its_sink_listed_by_every_filter_and_lessens_what_is_left() {
    let mut sink = Sink::listen(Some(server_config())).await.expect("a sink");
    let market = Market::open("30.00", rules()).await;
    let mut body = payment(Some(PHONE), "10.00", "film");
    body["amountTransaction"]["paymentAmount"]["chargingMetaData"] =
        json!({ "merchantIdentifier": "kino-shop" });
    let id = id_of(&market.post(PAYMENTS, &body).await);
    let path = refunds_of(&id);
    let none = market.get(&path).await;
    assert_eq!((none.status, none.body), (200, json!([])), "retrieve_refunds_02");
    assert_eq!(left(&market, &id).await, "10.0");
    // create_refund_03, 07, 10: with a sink and its credential, the merchant and a reason.
    let mut with_sink = refund("partial", Some("4.00"), "first");
    with_sink["reason"] = json!("the film would not start");
    with_sink["sink"] = json!(format!("https://localhost:{}/told", sink.address.port()));
    with_sink["sinkCredential"] = json!({
        "credentialType": "ACCESSTOKEN", "accessToken": "to-the-shop", "accessTokenType": "bearer",
        "accessTokenExpiresUtc": "2100-01-01T00:00:00Z",
    });
    let first = market.post(&path, &with_sink).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.body["refundStatus"], "succeeded");
    assert_eq!(first.body["reason"], "the film would not start");
    let heard = told(&mut sink).await;
    assert_eq!(heard.body["type"], "org.camaraproject.carrier-billing-refund.v0.refund-completed");
    assert_eq!(heard.header("authorization"), Some("Bearer to-the-shop"));
    assert_eq!(left(&market, &id).await, "6.0", "remaining_amount_06");
    let second = market.post(&path, &refund("partial", Some("1.50"), "second")).await;
    assert_eq!(second.status, 201, "{second:?}");
    let created = first.body["refundCreationDate"].as_str().expect("a date").to_owned();
    for (filter, count) in [
        (String::new(), 2),
        ("?refundStatus=succeeded".into(), 2),
        ("?refundStatus=denied".into(), 0),
        ("?perPage=1&page=2".into(), 1),
        (format!("?refundCreationDate.gte={created}"), 2),
        ("?refundCreationDate.gte=2099-01-01T00:00:00Z".into(), 0),
        ("?refundCreationDate.lte=2020-01-01T00:00:00Z".into(), 0),
        ("?refundCreationDate.gte=2020-01-01T00:00:00Z&refundCreationDate.lte=2099-01-01T00:00:00Z".into(), 2),
    ] {
        let listed = market.get(&format!("{path}{filter}")).await;
        assert_eq!(listed.status, 200, "{filter}: {listed:?}");
        assert_eq!(listed.body.as_array().map(Vec::len), Some(count), "{filter}: {listed:?}");
    }
    let newest = market.get(&format!("{path}?order=desc")).await;
    assert_eq!(newest.body[0]["refundId"], second.body["refundId"]);
    let bad = market
        .get(&format!("{path}?refundCreationDate.gte=2030-01-01T00:00:00Z&refundCreationDate.lte=2020-01-01T00:00:00Z"))
        .await;
    assert_eq!((bad.status, bad.code()), (400, "CARRIER_BILLING_REFUND.INVALID_DATE_RANGE"));
    // The whole of another payment, and payments that there are not.
    let whole = id_of(&market.pay("5.00", "whole").await);
    assert_eq!(market.post(&refunds_of(&whole), &refund("total", None, "whole")).await.status, 201);
    assert_eq!(left(&market, &whole).await, "0.0", "remaining_amount_03");
    for path in ["/ref-1-1", "/remaining-amount"] {
        let unknown = market.get(&format!("{}{path}", refunds_of("pay-77"))).await;
        assert_eq!((unknown.status, unknown.code()), (404, "NOT_FOUND"), "{path}");
    }
    // create_refund_400.07 and 08.
    for (field, value, code) in [
        ("credentialType", "PLAIN", "INVALID_CREDENTIAL"),
        ("accessTokenType", "mac", "INVALID_TOKEN"),
    ] {
        let mut wrong = with_sink.clone();
        wrong["sinkCredential"][field] = json!(value);
        let refused = market.post(&path, &wrong).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{field}: {refused:?}");
    }
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_a_line_are_told_to_those_its_vno_deals_with_and_to_nobody_else() {
    let market = Market::open("20.00", rules()).await;
    let stranger = "+491699";
    market.broker.subscriber("brava", stranger, "5.00");
    for (path, asked) in [
        ("/sim-swap/v2/retrieve-date", json!({ "phoneNumber": stranger })),
        ("/sim-swap/v2/check", json!({ "phoneNumber": stranger })),
        ("/device-data-volume/v0.1/retrieve", json!({ "device": { "phoneNumber": stranger } })),
        ("/device-roaming-status/v1/retrieve", json!({ "device": { "phoneNumber": stranger } })),
    ] {
        let answer = market.post(path, &asked).await;
        assert_eq!((answer.status, answer.code()), (404, "IDENTIFIER_NOT_FOUND"), "{path}");
    }
    let own = market.post("/sim-swap/v2/check", &json!({ "phoneNumber": PHONE })).await;
    assert_eq!(own.status, 200, "{own:?}");
    market.broker.ask("PATCH", "/v1/content-providers/kino", json!({ "standing": "suspended" }));
    let answer = market.get(PAYMENTS).await;
    assert_eq!((answer.status, answer.code()), (403, "PERMISSION_DENIED"), "a suspended provider");
    assert!(market.shop.token("").await.is_err(), "and it gets no token");
}
