//! Every error of the CAMARA files, by the situation that it names. Nothing is charged, nothing stays held.

use hyper::Method;
use serde_json::{Value, json};
use tandem_simulators::shop::{Answer, payment};

use crate::broker::account;
use crate::content::{Market, PAYMENTS, PHONE, id_of, rules};

pub fn refund_of(id: &str) -> String {
    format!("/carrier-billing-refund/v0.3/payments/{id}/refunds")
}

fn partial(amount: &str, name: &str) -> Value {
    let number: serde_json::Number = amount.parse().expect("a number");
    json!({ "type": "partial", "amountTransaction": {
        "clientCorrelator": name, "referenceCode": name,
        "refundAmount": { "chargingInformation": {
            "amount": number, "currency": "EUR", "description": "back", "isTaxIncluded": true,
        }},
    }})
}

pub fn total(name: &str) -> Value {
    json!({ "type": "total", "amountTransaction": {
        "clientCorrelator": name, "referenceCode": name, "refundAmount": {},
    }})
}

pub fn assert_error(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{what}: {answer:?}");
    assert_eq!(answer.body["status"], status, "{what}");
    assert!(answer.body["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
}

/// The body with the value at a path of names changed, or taken out.
fn with(mut body: Value, path: &str, value: Option<Value>) -> Value {
    let (parents, last) =
        path.rsplit_once('.').map_or(("", path), |(parents, last)| (parents, last));
    let mut place = &mut body;
    for name in parents.split('.').filter(|name| !name.is_empty()) {
        place = &mut place[name];
    }
    match value {
        Some(value) => place[last] = value,
        None => {
            place.as_object_mut().expect("an object").remove(last);
        }
    }
    body
}

const INFORMATION: &str = "amountTransaction.paymentAmount.chargingInformation";

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_in_the_file_s_own_terms() {
    let market = Market::open_with("20.00", rules(), false).await;
    let body = || payment(Some(PHONE), "1.00", "bad");
    let sink = json!("https://shop.example/told");
    let credential = |kind: &str, token_type: &str| {
        json!({ "credentialType": kind, "accessToken": "t", "accessTokenType": token_type,
                "accessTokenExpiresUtc": "2100-01-01T00:00:00Z" })
    };
    let with_sink = || with(body(), "sink", Some(sink.clone()));
    let at = |name: &str| format!("{INFORMATION}.{name}");
    let cases: Vec<(&str, Value, &str)> = vec![
        ("an empty object", json!({}), "INVALID_ARGUMENT"),
        ("no amountTransaction", json!({ "sink": "https://shop.example" }), "INVALID_ARGUMENT"),
        (
            "no paymentAmount",
            with(body(), "amountTransaction.paymentAmount", None),
            "INVALID_ARGUMENT",
        ),
        (
            "no referenceCode",
            with(body(), "amountTransaction.referenceCode", None),
            "INVALID_ARGUMENT",
        ),
        ("no chargingInformation", with(body(), INFORMATION, None), "INVALID_ARGUMENT"),
        ("no amount", with(body(), &at("amount"), None), "INVALID_ARGUMENT"),
        ("no currency", with(body(), &at("currency"), None), "INVALID_ARGUMENT"),
        ("no description", with(body(), &at("description"), None), "INVALID_ARGUMENT"),
        ("four decimals", with(body(), &at("amount"), Some(json!(1.0005))), "INVALID_ARGUMENT"),
        ("nothing", with(body(), &at("amount"), Some(json!(0))), "INVALID_ARGUMENT"),
        ("below nothing", with(body(), &at("amount"), Some(json!(-1))), "INVALID_ARGUMENT"),
        (
            "text for an amount",
            with(body(), &at("amount"), Some(json!("1.00"))),
            "INVALID_ARGUMENT",
        ),
        ("unknown currency", with(body(), &at("currency"), Some(json!("XXX"))), "INVALID_ARGUMENT"),
        (
            "no rate for the currency",
            with(body(), &at("currency"), Some(json!("JPY"))),
            "INVALID_ARGUMENT",
        ),
        ("a bad number", payment(Some("0151123"), "1.00", "bad"), "INVALID_ARGUMENT"),
        ("a sink that is no text", with(body(), "sink", Some(json!(7))), "INVALID_ARGUMENT"),
        ("a sink that is no URL", with(body(), "sink", Some(json!("nowhere"))), "INVALID_SINK"),
        (
            "a sink in clear",
            with(body(), "sink", Some(json!("http://shop.example"))),
            "INVALID_SINK",
        ),
        (
            "a sink inside the house",
            with(body(), "sink", Some(json!("https://10.0.0.1/x"))),
            "INVALID_SINK",
        ),
        ("our own host", with(body(), "sink", Some(json!("https://localhost/x"))), "INVALID_SINK"),
        (
            "a credential that is no object",
            with(with_sink(), "sinkCredential", Some(json!(1))),
            "INVALID_ARGUMENT",
        ),
        (
            "a plain credential",
            with(with_sink(), "sinkCredential", Some(credential("PLAIN", "bearer"))),
            "INVALID_CREDENTIAL",
        ),
        (
            "no bearer token",
            with(with_sink(), "sinkCredential", Some(credential("ACCESSTOKEN", "mac"))),
            "INVALID_TOKEN",
        ),
        (
            "items that do not add up",
            with(
                body(),
                "amountTransaction.paymentAmount.paymentDetails",
                Some(json!([
                    { "id": "1", "amount": 0.5, "currency": "EUR", "description": "half" },
                ])),
            ),
            "INVALID_ARGUMENT",
        ),
    ];
    for (what, body, code) in &cases {
        for path in [PAYMENTS.to_owned(), format!("{PAYMENTS}/prepare")] {
            assert_error(&market.post(&path, body).await, 400, code, what);
        }
    }
    let token = format!("Bearer {}", market.token);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let empty = market.shop.send(Method::POST, PAYMENTS, &headers, String::new()).await;
    assert_error(&empty.expect("answered"), 400, "INVALID_ARGUMENT", "no body");
    let headers = [headers[0], headers[1], ("x-correlator", "a b")];
    let odd = market.shop.send(Method::POST, PAYMENTS, &headers, body().to_string()).await;
    assert_error(&odd.expect("answered"), 400, "INVALID_ARGUMENT", "x-correlator");
    let headers = [headers[0], headers[1], ("x-correlator", "my-{request}/1")];
    let echoed = market.shop.send(Method::POST, PAYMENTS, &headers, body().to_string()).await;
    let echoed = echoed.expect("answered");
    assert_eq!((echoed.status, echoed.header("x-correlator")), (201, Some("my-{request}/1")));
    let account = format!("/v1/vnos/aria/accounts/{}", account(&market.alice));
    let shown = market.broker.ask("GET", &account, Value::Null);
    assert_eq!(
        (shown["balance"]["amount"].as_str(), shown["held"]["amount"].as_str()),
        (Some("19.00"), Some("0.00"))
    );
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vno_s_rules_or_the_money_forbid_is_denied() {
    let mut strict = rules();
    strict["price_max"] = json!("10.00");
    strict["monthly_max"] = json!("12.00");
    let market = Market::open("11.00", strict).await;
    assert_error(
        &market.pay("10.01", "dear").await,
        422,
        "CARRIER_BILLING.UNAUTHORIZED_AMOUNT",
        "too dear",
    );
    assert_eq!(market.pay("10.00", "fine").await.status, 201);
    assert_error(
        &market.pay("1.01", "poor").await,
        403,
        "CARRIER_BILLING.PAYMENT_DENIED",
        "no money",
    );
    market.broker.top_up("aria", &account(&market.alice), "50.00");
    assert_error(
        &market.pay("2.01", "much").await,
        422,
        "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED",
        "the month's limit",
    );
    let line = format!("/v1/vnos/aria/lines/{}", market.line());
    market.broker.ask("PATCH", &line, json!({ "barred": ["content"] }));
    assert_error(
        &market.pay("1.00", "barred").await,
        403,
        "CARRIER_BILLING.PAYMENT_DENIED",
        "barred",
    );
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_step_payments_know_what_came_before() {
    let market = Market::open("20.00", rules()).await;
    let confirm = json!({ "phoneNumber": PHONE });
    let step = async |id: &str, step: &str, body: &Value| {
        market.post(&format!("{PAYMENTS}/{id}/{step}"), body).await
    };
    let reserved = market.prepare("1.00", "one").await;
    assert_eq!(reserved.body["paymentStatus"], "reserved");
    assert!(reserved.body.get("validationInfo").is_none());
    let id = id_of(&reserved);
    for what in ["confirm", "cancel"] {
        assert_error(&step(&id, what, &json!({})).await, 422, "MISSING_IDENTIFIER", what);
        let odd = json!({ "phoneNumber": "x" });
        assert_error(&step(&id, what, &odd).await, 400, "INVALID_ARGUMENT", what);
        let nobody = json!({ "phoneNumber": "+4999999999999" });
        assert_error(&step(&id, what, &nobody).await, 404, "IDENTIFIER_NOT_FOUND", what);
        assert_error(&step("pay-7", what, &confirm).await, 404, "NOT_FOUND", what);
        assert_error(&step("nonsense", what, &confirm).await, 404, "NOT_FOUND", what);
    }
    let code = json!({ "authorizationId": "a", "code": "1" });
    assert_error(
        &step(&id, "validate", &code).await,
        400,
        "CARRIER_BILLING.INVALID_AUTHORIZATION_ID",
        "no code was asked",
    );
    assert_error(
        &step(&id, "validate", &json!({ "code": "1" })).await,
        400,
        "INVALID_ARGUMENT",
        "no authorizationId",
    );
    assert_error(
        &step(&id, "validate", &json!({ "authorizationId": "a" })).await,
        400,
        "INVALID_ARGUMENT",
        "no code",
    );
    assert_eq!(step(&id, "confirm", &confirm).await.status, 202);
    assert_error(
        &step(&id, "confirm", &confirm).await,
        409,
        "CARRIER_BILLING.PAYMENT_CONFIRMED",
        "twice",
    );
    assert_error(
        &step(&id, "cancel", &confirm).await,
        409,
        "CARRIER_BILLING.PAYMENT_CONFIRMED",
        "too late",
    );
    let other = id_of(&market.prepare("1.00", "two").await);
    assert_eq!(step(&other, "cancel", &confirm).await.status, 202);
    assert_error(
        &step(&other, "cancel", &confirm).await,
        409,
        "CARRIER_BILLING.PAYMENT_CANCELLED",
        "twice",
    );
    assert_error(
        &step(&other, "confirm", &confirm).await,
        409,
        "CARRIER_BILLING.PAYMENT_CANCELLED",
        "too late",
    );
    let mut bare = payment(Some(PHONE), "1.00", "three");
    bare["amountTransaction"].as_object_mut().expect("an object").remove("clientCorrelator");
    assert_eq!(market.post(PAYMENTS, &bare).await.status, 201);
    assert_error(&market.post(PAYMENTS, &bare).await, 409, "ALREADY_EXISTS", "the reference again");
    assert_error(
        &market.prepare("1.00", "one").await,
        400,
        "INVALID_ARGUMENT",
        "the correlator again",
    );
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_three_times_ends_the_payment() {
    let mut always = rules();
    always["validation_from"] = json!("0.00");
    let market = Market::open("20.00", always).await;
    let prepared = market.prepare("5.00", "one").await;
    let id = id_of(&prepared);
    let wrong = json!({
        "authorizationId": prepared.body["validationInfo"]["authorizationId"], "code": "nope",
    });
    let path = format!("{PAYMENTS}/{id}/validate");
    for code in ["INVALID_CODE", "INVALID_CODE", "VALIDATION_FAILED", "VALIDATION_FAILED"] {
        let expected = format!("CARRIER_BILLING.{code}");
        assert_error(&market.post(&path, &wrong).await, 400, &expected, code);
    }
    let confirm = json!({ "phoneNumber": PHONE });
    let confirmed = market.post(&format!("{PAYMENTS}/{id}/confirm"), &confirm).await;
    assert_error(&confirmed, 403, "CARRIER_BILLING.PAYMENT_DENIED", "denied");
    let cancelled = market.post(&format!("{PAYMENTS}/{id}/cancel"), &confirm).await;
    assert_error(&cancelled, 409, "CARRIER_BILLING.PAYMENT_CANCELLED", "nothing is held");
    assert_eq!(market.get(&format!("{PAYMENTS}/{id}")).await.body["paymentStatus"], "denied");
    assert_eq!(market.balance(), "20.00");
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_must_fit_their_payment() {
    let mut limited = rules();
    limited["refund_monthly_max"] = json!("8.00");
    let market = Market::open("30.00", limited).await;
    let mut body = payment(Some(PHONE), "6.00", "items");
    body["amountTransaction"]["paymentAmount"]["paymentDetails"] = json!([
        { "id": "a", "amount": 2, "currency": "EUR", "description": "a" },
        { "id": "b", "amount": 4, "currency": "EUR", "description": "b" },
    ]);
    let id = id_of(&market.post(PAYMENTS, &body).await);
    let path = refund_of(&id);
    let refund = async |body: Value| market.post(&path, &body).await;
    let amount = "amountTransaction.refundAmount.chargingInformation";
    let details = |id: &str, much: f64| json!([{ "paymentItemId": id, "amount": much, "currency": "EUR", "description": id }]);
    let with_items = |items: Value| {
        with(partial("2.00", "i"), "amountTransaction.refundAmount.refundDetails", Some(items))
    };
    const API: &str = "CARRIER_BILLING_REFUND";
    let cases: Vec<(&str, Value, u16, String)> = vec![
        ("more than paid", partial("6.001", "1"), 422, format!("{API}.UNAUTHORIZED_AMOUNT")),
        (
            "another tax style",
            with(partial("1", "2"), &format!("{amount}.isTaxIncluded"), Some(json!(false))),
            422,
            format!("{API}.TAXES_MANAGEMENT_MISMATCH"),
        ),
        (
            "an item it does not have",
            with_items(details("c", 2.0)),
            422,
            format!("{API}.REFUND_DETAILS_MISMATCH"),
        ),
        (
            "items that are not the amount",
            with_items(details("a", 1.0)),
            422,
            format!("{API}.REFUND_DETAILS_MISMATCH"),
        ),
        (
            "another currency",
            with(partial("1", "3"), &format!("{amount}.currency"), Some(json!("USD"))),
            400,
            "INVALID_ARGUMENT".into(),
        ),
        (
            "neither total nor partial",
            with(total("4"), "type", Some(json!("half"))),
            400,
            "INVALID_ARGUMENT".into(),
        ),
        (
            "partial of nothing named",
            with(total("5"), "type", Some(json!("partial"))),
            400,
            "INVALID_ARGUMENT".into(),
        ),
        (
            "no reference",
            with(total("6"), "amountTransaction.referenceCode", None),
            400,
            "INVALID_ARGUMENT".into(),
        ),
        (
            "a sink inside",
            with(total("7"), "sink", Some(json!("ftp://x"))),
            400,
            "INVALID_SINK".into(),
        ),
        ("an empty object", json!({}), 400, "INVALID_ARGUMENT".into()),
    ];
    for (what, body, status, code) in cases {
        assert_error(&refund(body).await, status, &code, what);
    }
    assert_eq!(refund(with_items(details("a", 2.0))).await.status, 201);
    let again =
        with(with_items(details("a", 2.0)), "amountTransaction.clientCorrelator", Some(json!("j")));
    assert_error(
        &refund(again).await,
        422,
        "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH",
        "the item is back already",
    );
    assert_error(&refund(partial("1", "i")).await, 400, "INVALID_ARGUMENT", "the correlator again");
    let mut bare = partial("0.5", "n");
    bare["amountTransaction"].as_object_mut().expect("an object").remove("clientCorrelator");
    assert_eq!(refund(bare.clone()).await.status, 201);
    assert_error(&refund(bare).await, 409, "ALREADY_EXISTS", "the reference again");
    assert_error(
        &refund(total("8")).await,
        422,
        "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT",
        "some is back already",
    );
    let big = id_of(&market.pay("10.00", "big").await);
    assert_error(
        &market.post(&refund_of(&big), &total("9")).await,
        422,
        "CARRIER_BILLING_REFUND.USER_AMOUNT_THRESHOLD_OVERPASSED",
        "the month's limit",
    );
    let open = id_of(&market.prepare("1.00", "open").await);
    assert_error(
        &market.post(&refund_of(&open), &total("10")).await,
        422,
        "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS",
        "not paid",
    );
    assert_error(
        &market.post(&refund_of("pay-77"), &total("11")).await,
        404,
        "NOT_FOUND",
        "no payment",
    );
    let listed = market.get(&format!("{path}?order=asc")).await;
    let first = listed.body[0]["refundId"].as_str().expect("an id").to_owned();
    assert_eq!(market.get(&format!("{path}/{first}")).await.body["refundStatus"], "succeeded");
    assert_error(&market.get(&format!("{path}/ref-1-9")).await, 404, "NOT_FOUND", "no refund");
    assert_eq!(
        market.get(&format!("{path}/remaining-amount")).await.body["amount"].to_string(),
        "3.5"
    );
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_gets_no_refund_and_what_has_a_date_is_not_refunded_after_it() {
    let market = Market::open("30.00", rules()).await;
    let id = id_of(&market.pay("6.00", "film").await);
    let subscriber = format!("/v1/vnos/aria/subscribers/{}", market.alice);
    market.broker.ask("PATCH", &subscriber, json!({ "standing": "closed" }));
    let refused = market.post(&refund_of(&id), &total("1")).await;
    assert_error(&refused, 403, "CARRIER_BILLING_REFUND.REFUND_DENIED", "the account is closed");
    let bought = market.pay("1.00", "more").await;
    assert!(bought.status == 403 || bought.status == 404, "{bought:?}");
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_match_too_much_ask_for_more_criteria() {
    let market = std::sync::Arc::new(Market::open("500.00", rules()).await);
    let mut asked = tokio::task::JoinSet::new();
    for shard in 0..16 {
        let market = market.clone();
        asked.spawn(async move {
            for number in 0..626 {
                let sold = market.pay("0.01", &format!("{shard}-{number}")).await;
                assert_eq!(sold.status, 201, "{sold:?}");
            }
        });
    }
    asked.join_all().await;
    let all = market.get(PAYMENTS).await;
    assert_error(&all, 400, "CARRIER_BILLING.TOO_MANY_MATCHING_RECORDS", "10016 payments");
    let none = market.get(&format!("{PAYMENTS}?paymentStatus=reserved")).await;
    assert_eq!((none.status, none.body), (200, json!([])));
    let id = id_of(&market.pay("10.00", "big").await);
    let path = refund_of(&id);
    for number in 0..201 {
        assert_eq!(market.post(&path, &partial("0.01", &format!("r-{number}"))).await.status, 201);
    }
    let all = market.get(&path).await;
    assert_error(&all, 400, "CARRIER_BILLING_REFUND.TOO_MANY_MATCHING_RECORDS", "201 refunds");
    std::sync::Arc::into_inner(market).expect("nobody else").audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_what_is_wrong_with_their_filters() {
    let market = Market::open("20.00", rules()).await;
    for number in 0..3 {
        assert_eq!(market.pay("0.10", &format!("n-{number}")).await.status, 201);
    }
    let list = async |query: &str| market.get(&format!("{PAYMENTS}?{query}")).await;
    for (query, code) in [
        ("page=0", "OUT_OF_RANGE"),
        ("perPage=101", "OUT_OF_RANGE"),
        ("page=x", "INVALID_ARGUMENT"),
        ("order=up", "INVALID_ARGUMENT"),
        ("paymentStatus=lost", "INVALID_ARGUMENT"),
        ("paymentCreationDate.gte=yesterday", "INVALID_ARGUMENT"),
        (
            "paymentCreationDate.gte=2026-02-01T00:00:00Z&paymentCreationDate.lte=2026-01-01T00:00:00Z",
            "CARRIER_BILLING.INVALID_DATE_RANGE",
        ),
    ] {
        assert_error(&list(query).await, 400, code, query);
    }
    let names = |answer: &Answer| -> Vec<String> {
        let all = answer.body.as_array().expect("a list").iter();
        all.map(|one| {
            one["amountTransaction"]["referenceCode"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
    };
    assert_eq!(names(&list("order=asc&perPage=2").await), ["n-0", "n-1"]);
    let second = list("order=asc&perPage=2&page=2").await;
    assert_eq!(names(&second), ["n-2"]);
    assert_eq!(
        (second.header("content-last-key"), second.header("x-total-count")),
        (Some("3"), Some("3"))
    );
    assert_eq!(names(&list("").await), ["n-2", "n-1", "n-0"]);
    assert!(names(&list("paymentCreationDate.lte=2026-01-01T00:00:00Z").await).is_empty());
    assert!(names(&list("paymentStatus=reserved&paymentStatus=denied").await).is_empty());
    assert!(names(&list("paymentStatus=processing").await).is_empty());
    assert!(names(&list("merchantIdentifier=nobody").await).is_empty());
    // A client of another provider sees nothing of it.
    let other = json!({"id": "radio", "name": "Radio", "currency": "EUR", "share_basis_points": 0});
    market.broker.ask("POST", "/v1/content-providers", other);
    let base = format!("https://{}", market.broker.https.expect("HTTPS"));
    let radio = crate::content::shop_at(&base, "radio-web");
    let client = json!({ "id": "radio-web", "jwks": radio.jwks() });
    market.broker.ask("PUT", "/v1/content-providers/radio/clients", client);
    let token = radio.token("").await.expect("a token");
    let theirs = radio.ask(Method::GET, PAYMENTS, &token, None).await.expect("answered");
    assert_eq!(theirs.body, json!([]));
    let ours = id_of(&market.pay("0.10", "ours").await);
    let peek = radio.ask(Method::GET, &format!("{PAYMENTS}/{ours}"), &token, None).await;
    assert_error(&peek.expect("answered"), 404, "NOT_FOUND", "another's payment");
    market.audit();
}
