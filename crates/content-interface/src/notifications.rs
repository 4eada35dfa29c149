//! Tells clients' sinks (CloudEvents 1.0) and VNOs (Standard Webhooks) what the platform issued, until they took it
//! or its time is over. What is pending when we stop is told after the next start.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tandem_domain::command::Command;
use tandem_domain::content::{ContentCommand, Notification, NotificationId, PaymentState, Topic};
use tandem_domain::time::Timestamp;
use tandem_http_access::identifiers;
use tandem_http_client::{Failed, HttpClient};
use tandem_platform::Platform;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use crate::carrier_billing::{payment_id, refund_id};
use crate::context::ContentOptions;

const TIMEOUT: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 256;
/// The first repeat; each waits twice as long as the one before.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(3600);

pub(crate) struct Deliverer {
    client: HttpClient,
}

enum Outcome {
    Taken,
    /// 410: the receiver wants no more of it.
    Gone,
    Failed,
}

impl Deliverer {
    pub fn new(options: &ContentOptions) -> Result<Arc<Deliverer>, rustls::Error> {
        let client = HttpClient::new(&options.authorities, options.private_sinks)?;
        Ok(Arc::new(Deliverer { client }))
    }

    async fn outcome(
        answering: impl Future<Output = Result<Response<Incoming>, Failed>>,
    ) -> Outcome {
        match tokio::time::timeout(TIMEOUT, answering).await {
            Ok(Ok(answer)) if answer.status().is_success() => Outcome::Taken,
            Ok(Ok(answer)) if answer.status() == StatusCode::GONE => Outcome::Gone,
            _ => Outcome::Failed,
        }
    }

    /// To a VNO's webhook, signed; true when it was taken.
    pub async fn sign_and_send(
        &self,
        url: &str,
        secret: &str,
        id: &str,
        body: &str,
        now: Timestamp,
    ) -> bool {
        let at = now.seconds();
        let seal = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes());
        let Ok(mut seal) = seal else { return false };
        seal.update(format!("{id}.{at}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(seal.finalize().into_bytes()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature)
            .body(Full::new(Bytes::from(body.to_owned())));
        let Ok(request) = request else { return false };
        let outcome = Deliverer::outcome(self.client.send_to_party(request)).await;
        matches!(outcome, Outcome::Taken)
    }

    async fn deliver(&self, notification: &Notification, now: Timestamp) -> Outcome {
        let id = format!("evt-{}", notification.id.0);
        let event = event(notification, &id).to_string();
        if let Some(secret) = &notification.secret {
            let taken = self.sign_and_send(&notification.url, secret, &id, &event, now).await;
            return if taken { Outcome::Taken } else { Outcome::Failed };
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(notification.url.as_ref())
            .header("content-type", "application/cloudevents+json")
            .header("x-correlator", &id);
        if let Some(token) = &notification.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match request.body(Full::new(Bytes::from(event))) {
            Ok(request) => Deliverer::outcome(self.client.send(request)).await,
            Err(_) => Outcome::Gone,
        }
    }
}

/// The event as it goes out.
fn event(notification: &Notification, id: &str) -> Value {
    let (kind, data) = match &notification.topic {
        Topic::Payment { payment, state, paid_at, reason } => {
            let (kind, status, text) = match state {
                PaymentState::PendingValidation => {
                    ("pending-validation", "succeeded", "the payment waits for its one-time code")
                }
                PaymentState::Reserved => ("reserved", "succeeded", "the amount is reserved"),
                PaymentState::Succeeded => ("completed", "succeeded", "the payment is completed"),
                PaymentState::Denied => ("denied", "failed", "the payment is denied"),
                PaymentState::Cancelled => ("cancelled", "succeeded", "the payment is cancelled"),
            };
            let mut data = json!({
                "paymentId": payment_id(*payment),
                "status": status,
                "description": reason.as_deref().unwrap_or(text),
            });
            if let Some(paid_at) = paid_at.filter(|_| *state == PaymentState::Succeeded) {
                data["paymentDate"] = json!(paid_at.to_string());
            }
            if let Some(reason) = reason.as_deref().filter(|_| *state == PaymentState::Denied) {
                data["denialReason"] = json!(reason);
            }
            (format!("org.camaraproject.carrier-billing.v0.payment-{kind}"), data)
        }
        Topic::Refund { payment, number } => (
            "org.camaraproject.carrier-billing-refund.v0.refund-completed".to_owned(),
            json!({
                "paymentId": payment_id(*payment),
                "refundId": refund_id(*payment, *number),
                "status": "succeeded",
                "description": "the refund is completed",
                "refundDate": notification.at.to_string(),
            }),
        ),
        Topic::Code { payment, line, code, text } => (
            "content.one-time-code".to_owned(),
            json!({
                "payment": payment_id(*payment),
                "line": identifiers::line(*line),
                "code": code,
                "description": text,
                "expires_at": notification.until.to_string(),
            }),
        ),
        Topic::Subscription { line, number, state } => (
            "content.subscription".to_owned(),
            json!({ "line": identifiers::line(*line), "subscription": number, "state": state.name() }),
        ),
    };
    json!({
        "id": id,
        "source": "/content",
        "specversion": "1.0",
        "type": kind,
        "datacontenttype": "application/json",
        "time": notification.at.to_string(),
        "data": data,
    })
}

/// Delivers what is pending and what comes, until the platform stops.
pub(crate) fn start(platform: Platform, deliverer: Arc<Deliverer>) {
    tokio::spawn(async move {
        let mut coming = platform.notifications();
        let post = Post {
            platform: platform.clone(),
            deliverer,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            under_way: Arc::default(),
        };
        post.pending().await;
        loop {
            match coming.recv().await {
                Ok(notification) => post.take(notification),
                // What was missed is still pending.
                Err(RecvError::Lagged(_)) => post.pending().await,
                Err(RecvError::Closed) => return,
            }
        }
    });
}

#[derive(Clone)]
struct Post {
    platform: Platform,
    deliverer: Arc<Deliverer>,
    places: Arc<Semaphore>,
    under_way: Arc<std::sync::Mutex<HashSet<NotificationId>>>,
}

impl Post {
    async fn pending(&self) {
        let all = self.platform.read(|state, _| state.content.notifications.clone()).await;
        all.unwrap_or_default().into_values().for_each(|notification| self.take(notification));
    }

    fn mark(&self, id: NotificationId) -> bool {
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id)
    }

    fn unmark(&self, id: NotificationId) {
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
    }

    fn take(&self, notification: Notification) {
        if !self.mark(notification.id) {
            return;
        }
        let post = self.clone();
        tokio::spawn(async move {
            post.bring(&notification).await;
            let done = ContentCommand::Notified(notification.id);
            // If the platform stops now it is told again after the next start.
            let _ = post.platform.submit(Command::Content(Box::new(done))).await;
            post.unmark(notification.id);
        });
    }

    async fn bring(&self, notification: &Notification) {
        let mut wait = RETRY_FIRST;
        while self.platform.now() < notification.until {
            let outcome = {
                let Ok(_place) = self.places.acquire().await else { return };
                self.deliverer.deliver(notification, self.platform.now()).await
            };
            match outcome {
                Outcome::Taken | Outcome::Gone => return,
                Outcome::Failed => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        tracing::warn!(id = notification.id.0, "a notification was not taken in its time");
    }
}
