//! `private_key_jwt` (RFC 7523 section 3, OpenID Connect Core section 9): short-lived, for us, used once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tandem_domain::content::ApiClient;
use tandem_domain::party::Standing;

use super::{OAuthError, jws};
use crate::context::Content;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// ICM r4.2: an assertion lives five minutes at most.
const LIFE_SECONDS: i64 = 300;
/// Clocks differ.
const LEEWAY_SECONDS: i64 = 30;
const SEEN_MAX: usize = 1_000_000;

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Audience,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: Option<String>,
    login_hint: Option<String>,
    scope: Option<String>,
}

/// Assertions that were used, for as long as they could be used again.
#[derive(Default)]
pub(crate) struct Seen(Mutex<SeenAssertions>);

#[derive(Default)]
struct SeenAssertions {
    known: HashMap<(u32, String), i64>,
    order: VecDeque<(i64, (u32, String))>,
    /// The first use: nothing older is taken after a restart, because it may have been used before it.
    since: Option<i64>,
}

impl Seen {
    /// False when it was used before.
    fn use_once(&self, client: u32, jti: &str, issued: i64, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *seen.since.get_or_insert(now);
        if issued + LEEWAY_SECONDS < since {
            return false;
        }
        while let Some((until, _)) = seen.order.front()
            && (*until < now || seen.order.len() >= SEEN_MAX)
        {
            if let Some((_, key)) = seen.order.pop_front() {
                seen.known.remove(&key);
            }
        }
        let key = (client, jti.to_owned());
        if seen.known.contains_key(&key) {
            return false;
        }
        let until = now + LIFE_SECONDS + 2 * LEEWAY_SECONDS;
        seen.known.insert(key.clone(), until);
        seen.order.push_back((until, key));
        true
    }
}

/// The client that signed the request.
pub(super) fn authenticate(
    content: &Content,
    fields: &HashMap<String, String>,
) -> Result<Arc<ApiClient>, OAuthError> {
    let invalid = |why| OAuthError::new("invalid_client", why);
    let field = |name: &str| fields.get(name).map(String::as_str);
    if field("client_assertion_type") != Some(TYPE) {
        return Err(invalid("expected client authentication by private_key_jwt"));
    }
    let assertion = field("client_assertion").unwrap_or_default();
    let client = signer(content, assertion).ok_or_else(|| invalid("unknown client"))?;
    if field("client_id").is_some_and(|named| named != client.slug.as_str()) {
        return Err(invalid("client_id is not the assertion's"));
    }
    let claims = check(content, &client, assertion).map_err(invalid)?;
    if claims.sub != claims.iss {
        return Err(invalid("sub and iss must both name the client"));
    }
    Ok(client)
}

/// For whom a JWT bearer assertion of this client speaks.
pub(super) fn subject(
    content: &Content,
    client: &ApiClient,
    assertion: &str,
) -> Result<String, OAuthError> {
    let claims =
        check(content, client, assertion).map_err(|why| OAuthError::new("invalid_grant", why))?;
    Ok(claims.sub)
}

/// Hint and scope of a signed authentication request (CIBA section 7.1.1).
pub(super) fn requested(
    content: &Content,
    client: &ApiClient,
    request: &str,
) -> Result<(Option<String>, Option<String>), OAuthError> {
    let claims =
        check(content, client, request).map_err(|why| OAuthError::new("invalid_request", why))?;
    Ok((claims.login_hint, claims.scope))
}

/// Who claims to have signed, before that is known.
fn signer(content: &Content, assertion: &str) -> Option<Arc<ApiClient>> {
    let registry = content.platform.registry();
    let issuer = jws_issuer(assertion)?;
    let client = registry.api_client_by_slug(&issuer)?.id;
    let client = registry.api_clients.get(client.index()).filter(|client| !client.withdrawn)?;
    let provider = registry.content_provider(client.provider)?;
    (provider.standing == Standing::Active).then(|| client.clone())
}

fn jws_issuer(assertion: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let payload = assertion.split('.').nth(1)?;
    let issuer: Issuer = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(issuer.iss)
}

fn check(content: &Content, client: &ApiClient, assertion: &str) -> Result<Claims, &'static str> {
    let claims: Claims = jws::verify(assertion, &client.keys)
        .ok_or("the signature is not by one of the client's keys")?;
    let now = content.platform.now().seconds();
    let issuer = &content.authority.issuer;
    let token_endpoint = format!("{issuer}/oauth2/token");
    let is_us = |audience: &String| audience == issuer || *audience == token_endpoint;
    let for_us = match &claims.aud {
        Audience::One(audience) => is_us(audience),
        Audience::Many(audiences) => audiences.iter().any(is_us),
    };
    let issued = claims.iat.unwrap_or(claims.exp - LIFE_SECONDS);
    if claims.iss != client.slug.as_str() {
        Err("iss is not the client")
    } else if !for_us {
        Err("aud is not our issuer")
    } else if claims.exp + LEEWAY_SECONDS < now {
        Err("expired")
    } else if claims.exp - issued > LIFE_SECONDS || issued > now + LEEWAY_SECONDS {
        Err("exp and iat must lie within 300 seconds")
    } else if claims.nbf.is_some_and(|from| from > now + LEEWAY_SECONDS) {
        Err("not valid yet")
    } else {
        let jti = claims.jti.as_deref().filter(|jti| !jti.is_empty() && jti.len() <= 255);
        let jti = jti.ok_or("jti is missing")?;
        let seen = &content.authority.assertions;
        if seen.use_once(client.id.number(), jti, issued, now) {
            Ok(claims)
        } else {
            Err("jti was used before")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_used_once_and_none_from_before_the_start() {
        let seen = Seen::default();
        assert!(seen.use_once(1, "a", 1000, 1000));
        assert!(!seen.use_once(1, "a", 1000, 1001));
        assert!(seen.use_once(2, "a", 1000, 1001), "another client's");
        assert!(!seen.use_once(1, "b", 900, 1001), "it may have been used before we began");
        assert!(seen.use_once(1, "a", 2000, 2000), "long expired");
    }
}
