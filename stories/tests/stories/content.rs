//! Others sell to the VNOs' subscribers: payments over HTTPS, codes, callbacks, refunds, subscriptions, statements.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tandem_simulators::gateway::Gateway;
use tandem_simulators::shop::{Answer, Heard, Shop, Sink, payment};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::broker::{Broker, account, call};
use crate::phone::DataSession;

pub const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/tls");
pub const ISSUER: &str = "https://broker.tandem.example";
pub const PAYMENTS: &str = "/carrier-billing/v0.5/payments";
pub const PHONE: &str = "+4915110000001";

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_file(format!("{TLS}/certificate.pem")).expect("a certificate")
}

pub fn server_config() -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/key.pem")).expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .expect("they fit");
    Arc::new(config)
}

/// A broker with the shop `kino` and Alice, who has some money.
pub struct Market {
    pub broker: Broker,
    pub data: tempfile::TempDir,
    pub shop: Shop,
    pub token: String,
    pub alice: String,
}

fn configuration(private_sinks: bool) -> String {
    format!(
        "[http.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{TLS}/certificate.pem\"\nkey = \"{TLS}/key.pem\"\n\
         [content]\nissuer = \"{ISSUER}\"\nprivate_sinks = {private_sinks}\nauthorities = \"{TLS}/certificate.pem\"\n"
    )
}

fn start(data: &tempfile::TempDir, key: Option<&str>, private_sinks: bool) -> Broker {
    Broker::start_with(&data.path().join("data"), key, None, &configuration(private_sinks), &[])
}

pub fn rules() -> Value {
    json!({ "providers": [{ "provider": "kino" }], "tax_basis_points": 1900 })
}

impl Market {
    pub async fn open(money: &str, rules: Value) -> Market {
        Market::open_with(money, rules, true).await
    }

    pub async fn open_with(money: &str, rules: Value, private_sinks: bool) -> Market {
        let data = tempfile::tempdir().expect("a directory");
        let broker = start(&data, None, private_sinks);
        broker.build_world();
        let kino =
            json!({"id": "kino", "name": "Kino", "currency": "EUR", "share_basis_points": 0});
        broker.ask("POST", "/v1/content-providers", kino);
        let shop = connect(&broker, "kino-web");
        let client = json!({ "id": "kino-web", "jwks": shop.jwks() });
        broker.ask("PUT", "/v1/content-providers/kino/clients", client);
        let agreement = json!({ "percent_basis_points": 7000, "broker_basis_points": 500 });
        broker.ask("PUT", "/v1/content-providers/kino/agreements/aria", agreement);
        broker.ask("PUT", "/v1/vnos/aria/content-rules", rules);
        let alice = broker.subscriber("aria", PHONE, money);
        let token = shop.token("").await.expect("a token");
        Market { broker, data, shop, token, alice }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.shop.ask(Method::POST, path, &self.token, Some(body)).await.expect("answered")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.shop.ask(Method::GET, path, &self.token, None).await.expect("answered")
    }

    pub async fn pay(&self, amount: &str, name: &str) -> Answer {
        self.post(PAYMENTS, &payment(Some(PHONE), amount, name)).await
    }

    pub async fn prepare(&self, amount: &str, name: &str) -> Answer {
        let body = payment(Some(PHONE), amount, name);
        self.post(&format!("{PAYMENTS}/prepare"), &body).await
    }

    pub fn balance(&self) -> String {
        self.broker.balance("aria", &self.alice)
    }

    pub fn line(&self) -> String {
        format!("{}-1", self.alice.replace("sub-", "line-"))
    }

    /// Stops the broker and proves its books.
    pub fn audit(self) {
        let directory = self.data.path().join("data");
        self.broker.kill();
        let (clean, report) = Broker::audit(&directory);
        assert!(clean, "{report}");
    }
}

fn connect(broker: &Broker, client: &str) -> Shop {
    shop_at(&format!("https://{}", broker.https.expect("an HTTPS address")), client)
}

pub fn shop_at(base: &str, client: &str) -> Shop {
    Shop::new(base, ISSUER, client, Some(certificate())).expect("a shop")
}

pub fn id_of(answer: &Answer) -> String {
    answer.body["paymentId"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_sells_in_one_step_and_everybody_sees_their_own_part() {
    let market = Market::open("20.00", rules()).await;
    let sold = market.pay("11.90", "film-1").await;
    assert_eq!(sold.status, 201, "{sold:?}");
    assert_eq!(sold.body["paymentStatus"], "succeeded");
    assert_eq!(sold.body["amountTransaction"]["phoneNumber"], PHONE);
    let location = sold.header("location").expect("where it is").to_owned();
    assert_eq!(market.get(&location).await.body["paymentId"], sold.body["paymentId"]);
    assert_eq!(market.balance(), "8.10");
    let vno = market.broker.ask("GET", "/v1/vnos/aria/balance", Value::Null);
    assert_eq!(vno["balance"]["amount"], "992.50");
    // The same request again is refused and costs nothing.
    let again = market.pay("11.90", "film-1").await;
    assert_eq!((again.status, again.code()), (400, "INVALID_ARGUMENT"));
    assert_eq!(market.balance(), "8.10");
    let list = market.get(&format!("{PAYMENTS}?paymentStatus=succeeded&perPage=5")).await;
    assert_eq!(
        (list.header("x-total-count"), list.header("content-last-key")),
        (Some("1"), Some("1"))
    );
    assert_eq!(list.body.as_array().map(Vec::len), Some(1));
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_payment_waits_for_the_code_that_the_vno_brings() {
    let mut vno = Sink::listen(None).await.expect("a webhook");
    let mut sink = Sink::listen(Some(server_config())).await.expect("a sink");
    let mut with_code = rules();
    with_code["validation_from"] = json!("5.00");
    with_code["webhook"] =
        json!({ "url": format!("http://{}/tandem", vno.address), "secret": "shared secret" });
    let market = Market::open("20.00", with_code).await;
    let mut body = payment(Some(PHONE), "11.90", "film-1");
    body["sink"] = json!(format!("https://localhost:{}/told", sink.address.port()));
    body["sinkCredential"] = json!({
        "credentialType": "ACCESSTOKEN", "accessToken": "to-the-shop", "accessTokenType": "bearer",
        "accessTokenExpiresUtc": "2100-01-01T00:00:00Z",
    });
    let prepared = market.post(&format!("{PAYMENTS}/prepare"), &body).await;
    assert_eq!(prepared.status, 201, "{prepared:?}");
    assert_eq!(prepared.body["paymentStatus"], "pending_validation");
    let authorization = &prepared.body["validationInfo"]["authorizationId"];
    let code = told(&mut vno).await;
    assert_eq!(code.body["type"], "content.one-time-code");
    assert!(code.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
    assert_eq!(code.body["data"]["line"], json!(market.line()));
    let first = told(&mut sink).await;
    assert_eq!(
        first.body["type"],
        "org.camaraproject.carrier-billing.v0.payment-pending-validation"
    );
    assert_eq!(first.header("authorization"), Some("Bearer to-the-shop"));
    assert_eq!(first.header("content-type"), Some("application/cloudevents+json"));
    let id = id_of(&prepared);
    let answer = |code: &str| json!({ "authorizationId": authorization, "code": code });
    let wrong = market.post(&format!("{PAYMENTS}/{id}/validate"), &answer("wrong")).await;
    assert_eq!((wrong.status, wrong.code()), (400, "CARRIER_BILLING.INVALID_CODE"));
    let right = answer(code.body["data"]["code"].as_str().expect("a code"));
    assert_eq!(market.post(&format!("{PAYMENTS}/{id}/validate"), &right).await.status, 204);
    let confirm = json!({ "phoneNumber": PHONE });
    assert_eq!(market.post(&format!("{PAYMENTS}/{id}/confirm"), &confirm).await.status, 202);
    let kinds = [told(&mut sink).await, told(&mut sink).await].map(|heard| {
        heard.body["type"]
            .as_str()
            .unwrap_or_default()
            .rsplit('-')
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    assert!(
        kinds.contains(&"reserved".to_owned()) && kinds.contains(&"completed".to_owned()),
        "{kinds:?}"
    );
    assert_eq!(market.balance(), "8.10");
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_is_told_again_and_one_that_is_gone_never_more() {
    let mut sink = Sink::listen(Some(server_config())).await.expect("a sink");
    let market = Market::open("20.00", rules()).await;
    let mut body = payment(Some(PHONE), "1.00", "film-1");
    body["sink"] = json!(format!("https://localhost:{}/told", sink.address.port()));
    sink.status.store(503, Ordering::Relaxed);
    assert_eq!(market.post(PAYMENTS, &body).await.status, 201);
    let first = told(&mut sink).await;
    sink.status.store(410, Ordering::Relaxed);
    let again = told(&mut sink).await;
    assert_eq!(first.body["id"], again.body["id"], "a repeat is known by its id");
    // The next repeat would have come after four seconds.
    let more = tokio::time::timeout(Duration::from_secs(6), sink.heard.recv()).await;
    assert!(more.is_err(), "{more:?}");
    market.audit();
}

pub async fn told(sink: &mut Sink) -> Heard {
    let heard = tokio::time::timeout(Duration::from_secs(10), sink.heard.recv()).await;
    heard.expect("told in time").expect("the sink listens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_purchases_at_once_never_overspend_one_account() {
    let market = Arc::new(Market::open("10.00", rules()).await);
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let market = market.clone();
        asked.spawn(async move {
            let answer = if number % 2 == 0 {
                market.pay("0.05", &format!("p-{number}")).await
            } else {
                market.prepare("0.05", &format!("p-{number}")).await
            };
            answer.status
        });
    }
    let answers = asked.join_all().await;
    let sold = answers.iter().filter(|status| **status == 201).count();
    let denied = answers.iter().filter(|status| **status == 403).count();
    assert_eq!((sold, denied), (200, 800));
    let shown = market.broker.ask(
        "GET",
        &format!("/v1/vnos/aria/accounts/{}", account(&market.alice)),
        Value::Null,
    );
    assert_eq!(shown["balance"]["amount"], shown["held"]["amount"], "{shown}");
    Arc::into_inner(market).expect("nobody else").audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_reserving_and_confirming_holds_nothing_beyond_its_time() {
    let mut quick = rules();
    quick["reservation_seconds"] = json!(4);
    let market = Market::open("20.00", quick).await;
    let first = id_of(&market.prepare("5.00", "first").await);
    let second = id_of(&market.prepare("5.00", "second").await);
    let Market { broker, data, shop, token, alice } = market;
    let key = broker.key.clone();
    broker.kill();
    let broker = start(&data, Some(&key), true);
    let market = Market {
        shop: shop.moved(&format!("https://{}", broker.https.expect("HTTPS"))),
        broker,
        data,
        token,
        alice,
    };
    // The token is still good, the reservation still stands, and is charged once.
    let confirm = json!({ "phoneNumber": PHONE });
    let confirmed = market.post(&format!("{PAYMENTS}/{first}/confirm"), &confirm).await;
    assert_eq!(confirmed.status, 202, "{confirmed:?}");
    assert_eq!(market.balance(), "15.00");
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let path = format!("/v1/vnos/aria/accounts/{}", account(&market.alice));
        let shown = market.broker.ask("GET", &path, Value::Null);
        if shown["held"]["amount"] == "0.00" {
            break;
        }
        assert!(std::time::Instant::now() < until, "still held: {shown}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let gone = market.get(&format!("{PAYMENTS}/{second}")).await;
    assert_eq!(gone.body["paymentStatus"], "cancelled");
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn remittance_statement_and_bill_agree_to_the_last_digit() {
    let market = Market::open("100.00", rules()).await;
    let tiers = json!({
        "tiers": [{ "up_to": "10.00", "basis_points": 6500 }, { "up_to": null, "basis_points": 7150 }],
        "broker_basis_points": 333,
    });
    market.broker.ask("PUT", "/v1/content-providers/kino/agreements/aria", tiers);
    for (number, amount) in ["3.333", "0.999", "11.111", "7.77", "0.001"].iter().enumerate() {
        let id = id_of(&market.pay(amount, &format!("sale-{number}")).await);
        if number == 2 {
            let path = format!("/carrier-billing-refund/v0.3/payments/{id}/refunds");
            let part = json!({ "type": "partial", "amountTransaction": {
                "clientCorrelator": "b-1", "referenceCode": "b-1",
                "refundAmount": { "chargingInformation": {
                    "amount": 4.567, "currency": "EUR", "description": "half", "isTaxIncluded": true,
                }},
            }});
            let refunded = market.post(&path, &part).await;
            assert_eq!(
                (refunded.status, refunded.body["refundStatus"].as_str()),
                (201, Some("succeeded"))
            );
            let left = market.get(&format!("{path}/remaining-amount")).await;
            assert_eq!(left.body["amount"].to_string(), "6.544");
            let total = json!({ "type": "total", "amountTransaction": {
                "clientCorrelator": "b-2", "referenceCode": "b-2", "refundAmount": {},
            }});
            let refused = market.post(&path, &total).await;
            assert_eq!(refused.code(), "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT");
            let all = market.get(&path).await;
            assert_eq!(all.header("x-total-count"), Some("1"));
        }
    }
    let created = market.get(&format!("{PAYMENTS}?perPage=1")).await;
    let month = created.body[0]["paymentCreationDate"].as_str().expect("a date")[..7].to_owned();
    let broker = &market.broker;
    let provider_key = broker.ask(
        "POST",
        "/v1/api-keys",
        json!({ "role": "content_provider", "party": "kino", "name": "kino" }),
    )["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let remittance = format!("/v1/content-providers/kino/remittances/{month}");
    let (status, remittance) = call(broker.http, &provider_key, "GET", &remittance, "", "");
    assert_eq!(status, 200, "{remittance}");
    let statement =
        broker.ask("GET", &format!("/v1/vnos/aria/content-statements/{month}"), Value::Null);
    let bill = format!("/v1/vnos/aria/subscribers/{}/content-bill/{month}", market.alice);
    let bill = broker.ask("GET", &bill, Value::Null);
    let sum = |lines: &Value, field: &str| -> i64 {
        let lines = lines.as_array().expect("lines").iter();
        lines.map(|line| micros(line[field]["amount"].as_str().expect("an amount"))).sum()
    };
    assert_eq!(sum(&remittance["lines"], "share"), sum(&statement["lines"], "share"));
    assert_eq!(
        micros(remittance["totals"][0]["amount"].as_str().expect("a total")),
        sum(&statement["lines"], "share")
    );
    for field in ["net", "tax"] {
        assert_eq!(sum(&remittance["lines"], field), sum(&bill, field));
        assert_eq!(sum(&statement["lines"], field), sum(&bill, field));
    }
    let paid = 100_000_000 - micros(&market.balance());
    assert_eq!(sum(&bill, "net") + sum(&bill, "tax"), paid);
    // The VNO paid the broker exactly what its statement says.
    let vno = broker.ask("GET", "/v1/vnos/aria/balance", Value::Null);
    let spent = 1_000_000_000 - micros(vno["balance"]["amount"].as_str().expect("an amount"));
    assert_eq!(sum(&statement["lines"], "wholesale"), spent);
    assert!(remittance["lines"][0].get("wholesale").is_none(), "not the provider's to see");
    // Its own sales and nothing else: no phone number, a subject that means nothing elsewhere.
    let (_, sales) =
        call(broker.http, &provider_key, "GET", "/v1/content-providers/kino/sales", "", "");
    assert_eq!(sales["items"].as_array().map(Vec::len), Some(5));
    assert!(!sales.to_string().contains(&PHONE[1..]));
    for path in ["/v1/vnos", "/v1/vnos/aria/balance", "/v1/content-providers/other/sales"] {
        let (status, body) = call(broker.http, &provider_key, "GET", path, "", "");
        assert!(status == 403 || status == 404 || body == json!([]), "{path}: {status} {body}");
    }
    market.audit();
}

pub fn micros(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    sign * (whole.parse::<i64>().expect("digits") * 1_000_000
        + format!("{fraction:0<6}").parse::<i64>().expect("six digits"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_line_needs_the_consent_of_its_owner() {
    let mut vno = Sink::listen(None).await.expect("a webhook");
    let mut with_webhook = rules();
    with_webhook["webhook"] =
        json!({ "url": format!("http://{}/tandem", vno.address), "secret": "shared secret" });
    let market = Market::open("20.00", with_webhook).await;
    let shop = &market.shop;
    let number = PHONE.replace('+', "%2B");
    let scope = "carrier-billing:payments:create";
    let fields = format!("login_hint=tel:{number}&scope={scope}&{}", shop.authentication());
    let asked = shop.form("/oauth2/bc-authorize", &fields).await.expect("answered");
    assert_eq!(asked.status, 200, "{asked:?}");
    let request = told(&mut vno).await;
    assert_eq!(request.body["type"], "content.consent-requested");
    assert_eq!(request.body["data"]["scopes"], json!([scope]));
    let id = asked.body["auth_req_id"].as_str().expect("an id").to_owned();
    // The same as a signed request; one that somebody else's key signed, or none at all, is refused.
    let mut claims = shop.claims("kino-web");
    (claims["login_hint"], claims["scope"]) = (json!(format!("tel:{PHONE}")), json!(scope));
    for (signed, status) in [
        (shop.sign(&claims), 200),
        (shop.sign(&claims), 400),
        (shop_at("https://localhost", "kino-web").sign(&shop.claims("kino-web")), 400),
        ("no.request.this".into(), 400),
    ] {
        let fields = format!("request={signed}&{}", shop.authentication());
        let answer = shop.form("/oauth2/bc-authorize", &fields).await.expect("answered");
        assert_eq!(answer.status, status, "{answer:?}");
    }
    told(&mut vno).await;
    let grant = "grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba";
    let poll = async || {
        let fields = format!("{grant}&auth_req_id={id}&{}", shop.authentication());
        shop.form("/oauth2/token", &fields).await.expect("answered")
    };
    assert_eq!(poll().await.body["error"], "authorization_pending");
    assert_eq!(poll().await.body["error"], "slow_down");
    let consents = format!("/v1/vnos/aria/lines/{}/content-consents/kino-web", market.line());
    let consent = json!({ "scopes": [scope], "proof": "app, button, 10:00" });
    market.broker.ask("PUT", &consents, consent);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let token = poll().await.body["access_token"].as_str().expect("a token").to_owned();
    let buy = async |body: Value| {
        shop.ask(Method::POST, PAYMENTS, &token, Some(&body)).await.expect("answered")
    };
    let named = buy(payment(Some(PHONE), "1.00", "named")).await;
    assert_eq!((named.status, named.code()), (422, "UNNECESSARY_IDENTIFIER"));
    let sold = buy(payment(None, "1.00", "known")).await;
    assert_eq!(
        (sold.status, sold.body["amountTransaction"]["phoneNumber"].as_str()),
        (201, Some(PHONE))
    );
    let read = shop.ask(Method::GET, PAYMENTS, &token, None).await.expect("answered");
    assert_eq!(
        (read.status, read.code()),
        (403, "PERMISSION_DENIED"),
        "consent to read was not given"
    );
    market.broker.ask("PUT", &consents, json!({ "scopes": [], "proof": "app, withdrawn" }));
    let refused = buy(payment(None, "1.00", "later")).await;
    assert_eq!((refused.status, refused.code()), (403, "PERMISSION_DENIED"));
    let assertion = shop.sign(&shop.claims(&format!("tel:{PHONE}")));
    let fields = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}&scope={scope}&{}",
        shop.authentication()
    );
    let bearer = shop.form("/oauth2/token", &fields).await.expect("answered");
    assert_eq!(bearer.body["error"], "invalid_grant", "{bearer:?}");
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_sign_or_signs_twice_gets_no_token() {
    let market = Market::open("1.00", rules()).await;
    let shop = &market.shop;
    let once = format!("grant_type=client_credentials&{}", shop.authentication());
    assert_eq!(shop.form("/oauth2/token", &once).await.expect("answered").status, 200);
    let twice = shop.form("/oauth2/token", &once).await.expect("answered");
    assert_eq!((twice.status, twice.body["error"].as_str()), (401, Some("invalid_client")));
    let stranger = connect(&market.broker, "kino-web");
    assert!(stranger.token("").await.is_err(), "another key");
    let mut claims = shop.claims("kino-web");
    claims["aud"] = json!("https://elsewhere.example");
    let elsewhere = format!(
        "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
        shop.sign(&claims)
    );
    assert_eq!(shop.form("/oauth2/token", &elsewhere).await.expect("answered").status, 401);
    assert!(shop.token("everything").await.is_err(), "no such scope");
    let configuration =
        shop.send(Method::GET, "/.well-known/openid-configuration", &[], String::new());
    assert_eq!(configuration.await.expect("answered").body["issuer"], ISSUER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_opts_in_to_a_subscription_and_out_again() {
    let market = Market::open("20.00", rules()).await;
    let broker = &market.broker;
    let items = "/v1/content-providers/kino/items";
    broker.ask(
        "POST",
        items,
        json!({ "id": "films", "name": "All films", "category": "video", "price": {"amount": "4.76", "currency": "EUR"},
                "tax_included": true, "subscription": {"period": "monthly"} }),
    );
    broker.ask(
        "POST",
        items,
        json!({ "id": "one-film", "name": "A film", "category": "video", "price": {"amount": "2.00", "currency": "EUR"} }),
    );
    let offered = broker.ask("GET", "/v1/vnos/aria/content-items", Value::Null);
    assert_eq!(offered.as_array().map(Vec::len), Some(2));
    assert_eq!(broker.ask("GET", "/v1/vnos/brava/content-items", Value::Null), json!([]));
    let line = format!("/v1/vnos/aria/lines/{}", market.line());
    let opted = broker.ask(
        "POST",
        &format!("{line}/content-subscriptions"),
        json!({ "provider": "kino", "item": "films", "proof": "app, 10:00" }),
    );
    assert_eq!((opted["state"].as_str(), opted["number"].as_u64()), (Some("active"), Some(1)));
    let bought = broker.ask(
        "POST",
        &format!("{line}/content-purchases"),
        json!({ "provider": "kino", "item": "one-film" }),
    );
    assert_eq!(bought["gross"]["amount"], "2.38");
    assert_eq!(market.balance(), "12.86");
    let cancel = format!("{line}/content-subscriptions/1/cancel");
    let cancelled = broker.ask("POST", &cancel, json!({ "proof": "SMS STOP" }));
    assert_eq!(cancelled["state"], "cancelled");
    let listed = until(|| {
        let listed = broker.ask("GET", &format!("{line}/content-purchases"), Value::Null);
        (listed["items"].as_array().map(Vec::len) == Some(2)).then_some(listed)
    });
    assert_eq!(listed["items"][0]["item"], "one-film");
    let kept = until(|| {
        let kept = broker.ask("GET", &format!("{line}/content-subscriptions"), Value::Null);
        (kept[0]["state"] == "cancelled").then_some(kept)
    });
    assert_eq!(
        (kept[0]["proof"].as_str(), kept[0]["cancel_proof"].as_str()),
        (Some("app, 10:00"), Some("SMS STOP"))
    );
    market.audit();
}

/// What comes by itself comes soon.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_ask_whether_a_sim_was_swapped_and_apps_what_is_left() {
    let market = Market::open("20.00", rules()).await;
    let broker = &market.broker;
    let who = json!({ "phoneNumber": PHONE });
    let changed = market.post("/sim-swap/v2/retrieve-date", &who).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let before = changed.body["latestSimChange"].as_str().expect("a date").to_owned();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let identities = json!({ "identities": [
        { "type": "msisdn", "value": PHONE }, { "type": "imsi", "value": "262019876543210" },
    ]});
    broker.ask("PATCH", &format!("/v1/vnos/aria/lines/{}", market.line()), identities);
    let changed = market.post("/sim-swap/v2/retrieve-date", &who).await;
    assert!(changed.body["latestSimChange"].as_str() > Some(before.as_str()), "{changed:?}");
    let swapped =
        market.post("/sim-swap/v2/check", &json!({ "phoneNumber": PHONE, "maxAge": 1 })).await;
    assert_eq!(swapped.body, json!({ "swapped": true }));
    let range =
        market.post("/sim-swap/v2/check", &json!({ "phoneNumber": PHONE, "maxAge": 2401 })).await;
    assert_eq!((range.status, range.code()), (400, "OUT_OF_RANGE"));
    let device = json!({ "device": { "phoneNumber": PHONE } });
    let none = market.post("/device-data-volume/v0.1/retrieve", &device).await;
    assert_eq!((none.status, none.code()), (422, "SERVICE_NOT_APPLICABLE"));
    let offer = json!({ "id": "data", "name": "Data", "recurring_fee": "1.00", "period": "1m",
        "allowances": [{ "name": "data", "unit": "octets", "quantity": 700_u64 << 20 }] });
    broker.ask("POST", "/v1/vnos/aria/offers", offer);
    let subscription = json!({ "offer": "data" });
    broker.ask(
        "POST",
        &format!("/v1/vnos/aria/subscribers/{}/subscriptions", market.alice),
        subscription,
    );
    let left = market.post("/device-data-volume/v0.1/retrieve", &device).await;
    assert_eq!(left.body["dataVolumeCategory"], "<1GiB", "{left:?}");
    let mut check = device.clone();
    check["volumeToCheck"] = json!({ "value": 500, "unit": "MiB" });
    let checked = market.post("/device-data-volume/v0.1/check", &check).await;
    assert_eq!(checked.body["thresholdExceeded"], true);
    check["volumeToCheck"] = json!({ "value": 900, "unit": "MiB" });
    let checked = market.post("/device-data-volume/v0.1/check", &check).await;
    assert_eq!(checked.body["thresholdExceeded"], false);
    let unseen = market.post("/device-roaming-status/v1/retrieve", &device).await;
    assert_eq!((unseen.status, unseen.code()), (503, "UNAVAILABLE"));
    let gateway = Gateway::connect(broker.diameter, "pgw.wavecom.example", "wavecom.example", 1);
    let (switch, _pushes) = gateway.await.expect("connected");
    let mut session = DataSession::new("pgw.wavecom.example;9;1", &PHONE[1..]);
    session.serving_network = Some("20801");
    session.open(&switch).await;
    let roaming = market.post("/device-roaming-status/v1/retrieve", &device).await;
    assert_eq!(roaming.body["roaming"], true, "{roaming:?}");
    assert_eq!(
        (&roaming.body["countryCode"], &roaming.body["countryName"]),
        (&json!(208), &json!(["FR"]))
    );
    let unknown = market.post("/sim-swap/v2/check", &json!({ "phoneNumber": "+4999999999" })).await;
    assert_eq!((unknown.status, unknown.code()), (404, "IDENTIFIER_NOT_FOUND"));
}
