//! Who may ask: tokens, scopes, correlators and identifiers, before any operation of the CAMARA files is looked at.

use hyper::Method;
use serde_json::{Value, json};
use tandem_simulators::shop::payment;

use crate::content::{Market, PAYMENTS, PHONE, id_of, rules};
use crate::content_errors::{assert_error, refund_of, total};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_identifiers_are_checked_before_anything_else() {
    let market = Market::open("20.00", rules()).await;
    let body = payment(Some(PHONE), "1.00", "x");
    let shop = &market.shop;
    let ask = async |token: &str, body: &Value| {
        shop.ask(Method::POST, PAYMENTS, token, Some(body)).await.expect("answered")
    };
    let bare = shop.send(Method::POST, PAYMENTS, &[], body.to_string()).await.expect("answered");
    assert_error(&bare, 401, "UNAUTHENTICATED", "no token");
    assert_error(&ask("ta_forged", &body).await, 401, "UNAUTHENTICATED", "a forged token");
    assert_error(&ask(&market.broker.key, &body).await, 401, "UNAUTHENTICATED", "an API key");
    let reading = shop.token("carrier-billing:payments:read").await.expect("a token");
    assert_error(&ask(&reading, &body).await, 403, "PERMISSION_DENIED", "another scope");
    let unnamed = payment(None, "1.00", "x");
    assert_error(&ask(&market.token, &unnamed).await, 422, "MISSING_IDENTIFIER", "nobody named");
    let stranger = payment(Some("+4999999999999"), "1.00", "x");
    assert_error(
        &ask(&market.token, &stranger).await,
        404,
        "IDENTIFIER_NOT_FOUND",
        "nobody's number",
    );
    market.broker.subscriber("brava", "+4915120000001", "20.00");
    let foreign = payment(Some("+4915120000001"), "1.00", "x");
    assert_error(
        &ask(&market.token, &foreign).await,
        422,
        "SERVICE_NOT_APPLICABLE",
        "a VNO without us",
    );
    let limited = json!({ "id": "kino-web", "jwks": shop.jwks(), "requests_per_second_max": 2 });
    market.broker.ask("PUT", "/v1/content-providers/kino/clients", limited);
    let mut codes = Vec::new();
    for number in 0..6 {
        let body = payment(Some(PHONE), "0.01", &format!("fast-{number}"));
        codes.push(ask(&market.token, &body).await.status);
    }
    assert!(codes.contains(&429), "{codes:?}");
    market.audit();
}

/// Every operation, with the scope that it needs and a body that is well-formed.
fn operations(payment_id: &str) -> Vec<(Method, String, &'static str, Option<Value>)> {
    let create = "carrier-billing:payments:create";
    let (read, write) = ("carrier-billing:payments:read", "carrier-billing:payments:write");
    let (refund, refunds) =
        ("carrier-billing-refund:refunds:create", "carrier-billing-refund:refunds:read");
    let path = |rest: &str| format!("{PAYMENTS}/{payment_id}{rest}");
    let back = refund_of(payment_id);
    let phone = json!({ "phoneNumber": PHONE });
    let device = json!({ "device": { "phoneNumber": PHONE } });
    let volume = json!({
        "device": { "phoneNumber": PHONE }, "volumeToCheck": { "value": 1, "unit": "GiB" },
    });
    let code = json!({ "authorizationId": "a", "code": "1" });
    let pay = payment(Some(PHONE), "0.10", "any");
    vec![
        (Method::POST, PAYMENTS.into(), create, Some(pay.clone())),
        (Method::GET, PAYMENTS.into(), read, None),
        (Method::GET, path(""), read, None),
        (Method::POST, format!("{PAYMENTS}/prepare"), create, Some(pay)),
        (Method::POST, path("/validate"), write, Some(code)),
        (Method::POST, path("/confirm"), write, Some(phone.clone())),
        (Method::POST, path("/cancel"), write, Some(phone.clone())),
        (Method::POST, back.clone(), refund, Some(total("any"))),
        (Method::GET, back.clone(), refunds, None),
        (Method::GET, format!("{back}/remaining-amount"), refunds, None),
        (Method::GET, format!("{back}/ref-1-1"), refunds, None),
        (
            Method::POST,
            "/sim-swap/v2/retrieve-date".into(),
            "sim-swap:retrieve-date",
            Some(phone.clone()),
        ),
        (Method::POST, "/sim-swap/v2/check".into(), "sim-swap:check", Some(phone)),
        (
            Method::POST,
            "/device-data-volume/v0.1/retrieve".into(),
            "device-data-volume:read",
            Some(device.clone()),
        ),
        (
            Method::POST,
            "/device-data-volume/v0.1/check".into(),
            "device-data-volume:read",
            Some(volume),
        ),
        (
            Method::POST,
            "/device-roaming-status/v1/retrieve".into(),
            "device-roaming-status:read",
            Some(device),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_a_token_its_scope_and_a_correlator_that_fits() {
    let market = Market::open("20.00", rules()).await;
    let shop = &market.shop;
    let id = id_of(&market.pay("1.00", "film").await);
    let all = operations(&id);
    for (method, path, scope, body) in &all {
        let what = format!("{method} {path}");
        let text = body.as_ref().map_or_else(String::new, Value::to_string);
        let kind = ("content-type", "application/json");
        let bare = shop.send(method.clone(), path, &[kind], text.clone()).await;
        assert_error(&bare.expect("answered"), 401, "UNAUTHENTICATED", &what);
        let forged = [kind, ("authorization", "Bearer ta_AAAA")];
        let forged = shop.send(method.clone(), path, &forged, text.clone()).await;
        assert_error(&forged.expect("answered"), 401, "UNAUTHENTICATED", &what);
        let others = all.iter().map(|(_, _, other, _)| *other).find(|other| other != scope);
        let other = shop.token(others.expect("another scope")).await.expect("a token");
        let other = shop.ask(method.clone(), path, &other, body.as_ref()).await;
        assert_error(&other.expect("answered"), 403, "PERMISSION_DENIED", &what);
        let token = format!("Bearer {}", market.token);
        let odd = [kind, ("authorization", token.as_str()), ("x-correlator", "no spaces")];
        let odd = shop.send(method.clone(), path, &odd, text).await;
        assert_error(&odd.expect("answered"), 400, "INVALID_ARGUMENT", &what);
        if *method == Method::POST {
            let good = [kind, ("authorization", token.as_str()), ("x-correlator", "my-own-1")];
            let empty = shop.send(method.clone(), path, &good, String::new()).await;
            let empty = empty.expect("answered");
            assert_error(&empty, 400, "INVALID_ARGUMENT", &what);
            assert_eq!(empty.header("x-correlator"), Some("my-own-1"), "{what}");
        }
    }
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_line_names_it_and_the_body_must_not() {
    let market = Market::open("20.00", rules()).await;
    let shop = &market.shop;
    let id = id_of(&market.prepare("1.00", "film").await);
    let all = operations(&id);
    let scopes: Vec<&str> = all.iter().map(|(_, _, scope, _)| *scope).collect();
    let consents = format!("/v1/vnos/aria/lines/{}/content-consents/kino-web", market.line());
    market.broker.ask("PUT", &consents, json!({ "scopes": scopes, "proof": "app" }));
    let assertion = shop.sign(&shop.claims(&format!("tel:{PHONE}")));
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    let fields = format!("grant_type={grant}&assertion={assertion}&{}", shop.authentication());
    let token = shop.form("/oauth2/token", &fields).await.expect("answered");
    let token = token.body["access_token"].as_str().expect("a token").to_owned();
    for (method, path, _, body) in &all {
        let Some(body) = body.as_ref().filter(|body| body.to_string().contains(PHONE)) else {
            continue;
        };
        let named = shop.ask(method.clone(), path, &token, Some(body)).await;
        assert_error(&named.expect("answered"), 422, "UNNECESSARY_IDENTIFIER", path);
        if path.starts_with("/sim-swap") || path.starts_with("/device") {
            let unnamed = match path.ends_with("v0.1/check") {
                true => json!({ "volumeToCheck": { "value": 1, "unit": "GiB" } }),
                false => json!({}),
            };
            let two_legged = market.post(path, &unnamed).await;
            assert_error(&two_legged, 422, "MISSING_IDENTIFIER", path);
        }
    }
    let known = shop.ask(Method::POST, "/sim-swap/v2/check", &token, Some(&json!({}))).await;
    assert_eq!(known.expect("answered").body["swapped"], true);
    let confirmed = format!("{PAYMENTS}/{id}/confirm");
    let confirmed = shop.ask(Method::POST, &confirmed, &token, Some(&json!({}))).await;
    assert_eq!(confirmed.expect("answered").status, 202);
    let listed = shop.ask(Method::GET, PAYMENTS, &token, None).await.expect("answered");
    assert_eq!(listed.body.as_array().map(Vec::len), Some(1), "its own line's");
    for path in ["/device-data-volume/v0.1/retrieve", "/device-roaming-status/v1/retrieve"] {
        let by_address = json!({ "device": { "ipv6Address": "2001:db8::1" } });
        assert_error(&market.post(path, &by_address).await, 422, "UNSUPPORTED_IDENTIFIER", path);
        let nothing = json!({ "device": {} });
        assert_error(&market.post(path, &nothing).await, 400, "INVALID_ARGUMENT", path);
        let odd = json!({ "device": { "phoneNumber": "foo" } });
        assert_error(&market.post(path, &odd).await, 400, "INVALID_ARGUMENT", path);
        let nobody = json!({ "device": { "phoneNumber": "+4999999999999" } });
        assert_error(&market.post(path, &nobody).await, 404, "IDENTIFIER_NOT_FOUND", path);
    }
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_comes_back_as_it_was_sent() {
    let market = Market::open("50.00", rules()).await;
    let mut body = payment(Some(PHONE), "6.00", "all-of-it");
    let amount = &mut body["amountTransaction"]["paymentAmount"];
    amount["chargingInformation"]["isTaxIncluded"] = json!(false);
    amount["chargingInformation"]["taxAmount"] = json!(0.42);
    amount["chargingMetaData"] = json!({
        "merchantName": "Kino", "merchantIdentifier": "kino-42", "productId": "film-7",
    });
    amount["paymentDetails"] = json!([
        { "id": "a", "amount": 2, "currency": "EUR", "description": "a" },
        { "id": "b", "amount": 4, "currency": "EUR", "description": "b" },
    ]);
    body["sink"] = json!("https://localhost:9/told");
    for (path, status) in
        [(PAYMENTS.to_owned(), "succeeded"), (format!("{PAYMENTS}/prepare"), "reserved")]
    {
        body["amountTransaction"]["clientCorrelator"] = json!(status);
        let answer = market.post(&path, &body).await;
        assert_eq!((answer.status, answer.body["paymentStatus"].as_str()), (201, Some(status)));
        let shown = market.get(&format!("{PAYMENTS}/{}", id_of(&answer))).await.body;
        for shown in [&answer.body, &shown] {
            for field in ["phoneNumber", "clientCorrelator", "referenceCode", "paymentAmount"] {
                assert_eq!(
                    shown["amountTransaction"][field], body["amountTransaction"][field],
                    "{field}"
                );
            }
            assert_eq!(shown["sink"], body["sink"]);
            assert!(shown.get("sinkCredential").is_none());
        }
    }
    // 6.00 and the merchant's 0.42 were taken, as much is held.
    assert_eq!(market.balance(), "43.58");
    let of_merchant = market.get(&format!("{PAYMENTS}?merchantIdentifier=kino-42")).await;
    assert_eq!(of_merchant.header("x-total-count"), Some("2"));
    market.audit();
}
