//! Asking VNOs' applications over HTTP, signed (Standard Webhooks), within their time, and not at all while they fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde::Deserialize;
use sha2::Sha256;
use tandem_domain::calls::Webhook;
use tandem_http_client::HttpClient;

use super::call::Consent;

/// Failures in a row after which an application is left alone for a while.
const FAILURES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_secs(30);
const ANSWER_MAX: usize = 16 << 10;
const TIMEOUT_MAX: u32 = 5_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// allow, refuse or redirect.
    decision: String,
    cause: Option<u8>,
    number: Option<String>,
    caller: Option<String>,
    seconds_max: Option<u32>,
}

/// Where an application is and what it is signed with: one that others cannot name.
type Application = (Box<str>, Box<str>);

/// How an application did lately.
#[derive(Default)]
struct Breaker {
    failures: u32,
    closed_until: Option<Instant>,
}

pub(super) struct Webhooks {
    client: Arc<HttpClient>,
    breakers: Mutex<HashMap<Application, Breaker>>,
}

impl Webhooks {
    pub fn new(client: Arc<HttpClient>) -> Arc<Webhooks> {
        Arc::new(Webhooks { client, breakers: Mutex::default() })
    }

    /// What the application says, or its default when it says nothing usable in time.
    pub async fn ask(&self, webhook: &Webhook, call: u64, body: String) -> Consent {
        if self.is_closed(webhook) {
            return self.default(webhook);
        }
        let limit = Duration::from_millis(u64::from(webhook.timeout_millis.min(TIMEOUT_MAX)));
        let answer = tokio::time::timeout(limit, self.exchange(webhook, call, body)).await;
        let consent = answer.ok().flatten();
        self.note(webhook, consent.is_some());
        consent.unwrap_or_else(|| self.default(webhook))
    }

    /// What happens when nothing usable was said.
    pub fn default(&self, webhook: &Webhook) -> Consent {
        if webhook.allows_by_default { Consent::ALLOW } else { Consent::Refuse { cause: None } }
    }

    async fn exchange(&self, webhook: &Webhook, call: u64, body: String) -> Option<Consent> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let id = format!("call-{call:x}-{now}");
        let mut seal = <Hmac<Sha256> as KeyInit>::new_from_slice(webhook.secret.as_bytes()).ok()?;
        seal.update(format!("{id}.{now}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(seal.finalize().into_bytes()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(webhook.url.as_ref())
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", signature)
            .body(Full::new(Bytes::from(body)))
            .ok()?;
        let response = self.client.send_to_party(request).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let bytes = Limited::new(response.into_body(), ANSWER_MAX).collect().await.ok()?.to_bytes();
        consent(&bytes)
    }

    fn is_closed(&self, webhook: &Webhook) -> bool {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = breakers.get(&application(webhook)).and_then(|breaker| breaker.closed_until);
        closed.is_some_and(|until| Instant::now() < until)
    }

    fn note(&self, webhook: &Webhook, is_good: bool) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = breakers.entry(application(webhook)).or_default();
        if is_good {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures += 1;
        if breaker.failures >= FAILURES_MAX {
            *breaker = Breaker { failures: 0, closed_until: Some(Instant::now() + PAUSE) };
        }
    }
}

fn application(webhook: &Webhook) -> Application {
    (webhook.url.clone(), webhook.secret.clone())
}

/// An answer that says something else than what is understood is no answer.
fn consent(bytes: &[u8]) -> Option<Consent> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let number = |text: Option<String>| match text {
        None => Some(None),
        Some(text) => text.parse().ok().map(Some),
    };
    Some(match answer.decision.as_str() {
        "allow" => {
            Consent::Allow { caller: number(answer.caller)?, seconds_max: answer.seconds_max }
        }
        "refuse" => Consent::Refuse { cause: answer.cause.filter(|cause| *cause < 128) },
        "redirect" => Consent::Redirect(number(answer.number)??),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_is_understood_counts() {
        let read = |text: &str| consent(text.as_bytes());
        assert_eq!(read(r#"{"decision":"allow"}"#), Some(Consent::ALLOW));
        let limited = Consent::Allow { caller: "4930".parse().ok(), seconds_max: Some(60) };
        assert_eq!(
            read(r#"{"decision":"allow","caller":"+4930","seconds_max":60}"#),
            Some(limited)
        );
        assert_eq!(
            read(r#"{"decision":"refuse","cause":17}"#),
            Some(Consent::Refuse { cause: Some(17) })
        );
        let lies = ["", "{}", r#"{"decision":"maybe"}"#, r#"{"decision":"redirect"}"#];
        assert!(lies.iter().all(|text| read(text).is_none()));
        assert_eq!(read(r#"{"decision":"redirect","number":"sip:x"}"#), None);
    }
}
