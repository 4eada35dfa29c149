//! OAuth 2.0 for content providers' clients: client credentials, JWT bearer (RFC 7523) and CIBA in poll mode, with
//! client authentication by private_key_jwt (CAMARA Security and Interoperability Profile, ICM r4.2).

mod assertion;
mod backchannel;
mod jws;
mod tokens;

pub(crate) use jws::check_keys;
pub(crate) use tokens::{Authority, Claims, line_from_bits, pseudonym};

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tandem_domain::content::ApiClient;
use tandem_domain::identifier::{Identity, IdentityKind, LineId};

use crate::context::Content;

/// Everything a client can be allowed to do.
pub(crate) const SCOPES: [&str; 9] = [
    "carrier-billing:payments:create",
    "carrier-billing:payments:read",
    "carrier-billing:payments:write",
    "carrier-billing-refund:refunds:create",
    "carrier-billing-refund:refunds:read",
    "sim-swap:check",
    "sim-swap:retrieve-date",
    "device-data-volume:read",
    "device-roaming-status:read",
];

/// Seconds that a token of the client alone is good for; one for a line is asked for each use.
const TOKEN_SECONDS: u64 = 3600;
const LINE_TOKEN_SECONDS: u64 = 300;
const BODY_MAX: usize = 16 << 10;

/// RFC 6749 section 5.2.
#[derive(Debug, Serialize)]
pub(crate) struct OAuthError {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    error_description: &'static str,
}

impl OAuthError {
    fn new(error: &'static str, error_description: &'static str) -> OAuthError {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        OAuthError { status, error, error_description }
    }

    fn unavailable() -> OAuthError {
        OAuthError::new("temporarily_unavailable", "try again shortly")
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        (self.status, [(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

pub(crate) fn router() -> Router<Content> {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/oauth2/token", post(token))
        .route("/oauth2/bc-authorize", post(backchannel::authorize))
}

async fn configuration(State(content): State<Content>) -> impl IntoResponse {
    let issuer = &content.options.issuer;
    Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "backchannel_authentication_endpoint": format!("{issuer}/oauth2/bc-authorize"),
        "backchannel_token_delivery_modes_supported": ["poll"],
        "grant_types_supported": [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:openid:params:grant-type:ciba",
        ],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": jws::ALGORITHMS,
        "backchannel_authentication_request_signing_alg_values_supported": jws::ALGORITHMS,
        "scopes_supported": SCOPES,
        "response_types_supported": [],
        "subject_types_supported": ["pairwise"],
    }))
}

/// The fields of an `application/x-www-form-urlencoded` body; none may come twice (RFC 6749 section 3.2).
fn form(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, OAuthError> {
    let invalid = |why| OAuthError::new("invalid_request", why);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(invalid("expected application/x-www-form-urlencoded"));
    }
    if body.len() > BODY_MAX {
        return Err(invalid("the body is too large"));
    }
    let mut fields = HashMap::new();
    for pair in body.split(|octet| *octet == b'&').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.splitn(2, |octet| *octet == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let decoded = decode(name).zip(decode(value));
        let (name, value) = decoded.ok_or_else(|| invalid("the body is not well-formed"))?;
        if fields.insert(name, value).is_some() {
            return Err(invalid("a parameter comes twice"));
        }
    }
    Ok(fields)
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(octet) = rest.next() {
        bytes.push(match octet {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(*rest.next()?)?, hex(*rest.next()?)?);
                high << 4 | low
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

async fn token(
    State(content): State<Content>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, OAuthError> {
    let fields = form(&headers, &body)?;
    let client = assertion::authenticate(&content, &fields)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    match field("grant_type").unwrap_or_default() {
        "client_credentials" => {
            let scopes = scopes(&client, field("scope"))?;
            Ok(issue(&content, &client, None, scopes))
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            let assertion = field("assertion").unwrap_or_default();
            let subject = assertion::subject(&content, &client, assertion)?;
            let line = line_of(&content, &subject).await?;
            let scopes = scopes(&client, field("scope"))?;
            if !consented(&content, &client, line, &scopes).await? {
                let why = "the line's owner has not consented";
                return Err(OAuthError::new("invalid_grant", why));
            }
            Ok(issue(&content, &client, Some(line), scopes))
        }
        "urn:openid:params:grant-type:ciba" => {
            let id = field("auth_req_id").unwrap_or_default();
            let (line, scopes) = backchannel::poll(&content, &client, id).await?;
            Ok(issue(&content, &client, Some(line), scopes))
        }
        _ => {
            Err(OAuthError::new("unsupported_grant_type", "see /.well-known/openid-configuration"))
        }
    }
}

/// The scopes asked for; all that the client may have when it names none.
fn scopes(client: &ApiClient, asked: Option<&str>) -> Result<Vec<String>, OAuthError> {
    let own = SCOPES.iter().filter(|scope| client.may_ask_for(scope));
    let asked: Vec<&str> = asked.unwrap_or_default().split_ascii_whitespace().collect();
    // A purpose (dpv:…) says why, not what (CAMARA access and user consent).
    let named: Vec<&str> = asked
        .into_iter()
        .filter(|scope| *scope != "openid" && !scope.starts_with("dpv:"))
        .collect();
    if named.is_empty() {
        return Ok(own.map(|scope| (*scope).to_owned()).collect());
    }
    let own: Vec<&str> = own.copied().collect();
    if named.iter().all(|scope| own.contains(scope)) {
        Ok(named.into_iter().map(str::to_owned).collect())
    } else {
        Err(OAuthError::new("invalid_scope", "a scope is unknown or not this client's"))
    }
}

fn issue(
    content: &Content,
    client: &Arc<ApiClient>,
    line: Option<LineId>,
    scopes: Vec<String>,
) -> Response {
    let expires_in = if line.is_some() { LINE_TOKEN_SECONDS } else { TOKEN_SECONDS };
    let scope = scopes.join(" ");
    let expires = content.platform.now().plus_seconds(expires_in);
    let access_token = content.authority.issue(client.id, line, scopes, expires);
    let answer = TokenAnswer { access_token, token_type: "Bearer", expires_in, scope };
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// The line behind `tel:+49…`.
async fn line_of(content: &Content, subject: &str) -> Result<LineId, OAuthError> {
    let unknown = || OAuthError::new("unknown_user_id", "expected tel: and a number of ours");
    let number = subject.strip_prefix("tel:").ok_or_else(unknown)?;
    let number = Identity::parse(IdentityKind::Msisdn, number).map_err(|_| unknown())?;
    let found = content.platform.read(move |state, _| state.identities.line(&number)).await;
    found.map_err(|_| OAuthError::unavailable())?.ok_or_else(unknown)
}

/// Has the line's owner agreed to all of this?
async fn consented(
    content: &Content,
    client: &ApiClient,
    line: LineId,
    scopes: &[String],
) -> Result<bool, OAuthError> {
    let (id, scopes) = (client.id, scopes.to_vec());
    let answer = content.platform.read(move |state, _| {
        let own = state.line(line).and_then(|line| line.content.as_deref());
        own.is_some_and(|own| scopes.iter().all(|scope| own.consents_to(id, scope)))
    });
    answer.await.map_err(|_| OAuthError::unavailable())
}
