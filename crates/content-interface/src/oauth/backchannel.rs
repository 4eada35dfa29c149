//! CIBA in poll mode (OpenID Connect Client-Initiated Backchannel Authentication 1.0): the VNO asks its subscriber,
//! and sets the consent on the line; the client polls until it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tandem_domain::content::ApiClient;
use tandem_domain::identifier::LineId;
use tandem_domain::time::Timestamp;

use super::{OAuthError, assertion, consented, form, line_of, scopes};
use crate::context::Content;

const LIFE_SECONDS: u64 = 300;
const INTERVAL_SECONDS: u64 = 2;
const REQUESTS_MAX: usize = 100_000;

struct Asked {
    client: u32,
    line: LineId,
    scopes: Vec<String>,
    expires: Timestamp,
    polled_at: Option<Timestamp>,
}

/// Requests under way. After a restart clients ask anew.
#[derive(Default)]
pub(crate) struct Requests(Mutex<HashMap<String, Asked>>);

pub(super) async fn authorize(
    State(content): State<Content>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Json<Value>, OAuthError> {
    let fields = form(&headers, &body)?;
    let client: Arc<ApiClient> = assertion::authenticate(&content, &fields)?;
    let (hint, scope) = match fields.get("request") {
        // What is signed counts, and nothing beside it.
        Some(signed) => assertion::requested(&content, &client, signed)?,
        None => (fields.get("login_hint").cloned(), fields.get("scope").cloned()),
    };
    let line = line_of(&content, hint.as_deref().unwrap_or_default()).await?;
    let scopes = scopes(&client, scope.as_deref())?;
    let now = content.platform.now();
    let id =
        format!("{:016x}{:016x}", tandem_http_api::random_u64(), tandem_http_api::random_u64());
    {
        let mut requests =
            content.authority.requests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= REQUESTS_MAX {
            requests.retain(|_, asked| asked.expires > now);
        }
        if requests.len() >= REQUESTS_MAX {
            return Err(OAuthError::unavailable());
        }
        let asked = Asked {
            client: client.id.number(),
            line,
            scopes: scopes.clone(),
            expires: now.plus_seconds(LIFE_SECONDS),
            polled_at: None,
        };
        requests.insert(id.clone(), asked);
    }
    if !consented(&content, &client, line, &scopes).await? {
        ask_vno(&content, &client, line, &scopes, &id);
    }
    Ok(Json(json!({ "auth_req_id": id, "expires_in": LIFE_SECONDS, "interval": INTERVAL_SECONDS })))
}

/// The VNO hears who asks for what, and asks its subscriber in its own way.
fn ask_vno(content: &Content, client: &ApiClient, line: LineId, scopes: &[String], id: &str) {
    let registry = content.platform.registry();
    let rules = registry.vno(line.vno()).and_then(|vno| vno.content.clone());
    let Some(webhook) = rules.and_then(|rules| rules.webhook) else { return };
    let provider = registry.content_provider(client.provider);
    let event = json!({
        "type": "content.consent-requested",
        "data": {
            "client": client.slug.as_str(),
            "provider": provider.map(|provider| provider.name.as_ref()),
            "line": tandem_http_access::identifiers::line(line),
            "scopes": scopes,
        }
    });
    let deliverer = content.deliverer.clone();
    let (id, now) = (id.to_owned(), content.platform.now());
    tokio::spawn(async move {
        if !deliverer
            .sign_and_send(&webhook.url, &webhook.secret, &id, &event.to_string(), now)
            .await
        {
            tracing::warn!("a VNO's webhook did not take a request for consent");
        }
    });
}

/// The line and scopes, once its owner has agreed.
pub(super) async fn poll(
    content: &Content,
    client: &ApiClient,
    id: &str,
) -> Result<(LineId, Vec<String>), OAuthError> {
    let now = content.platform.now();
    let (line, scopes) = {
        let mut requests =
            content.authority.requests.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = requests.get_mut(id).filter(|asked| asked.client == client.id.number());
        let asked = asked.ok_or_else(|| OAuthError::new("invalid_grant", "unknown auth_req_id"))?;
        if asked.expires <= now {
            requests.remove(id);
            return Err(OAuthError::new("expired_token", "ask anew"));
        }
        let too_soon = asked.polled_at.is_some_and(|at| at.plus_seconds(INTERVAL_SECONDS) > now);
        asked.polled_at = Some(now);
        if too_soon {
            return Err(OAuthError::new("slow_down", "poll no faster than the interval"));
        }
        (asked.line, asked.scopes.clone())
    };
    if !consented(content, client, line, &scopes).await? {
        return Err(OAuthError::new(
            "authorization_pending",
            "the line's owner has not answered yet",
        ));
    }
    content.authority.requests.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    Ok((line, scopes))
}
