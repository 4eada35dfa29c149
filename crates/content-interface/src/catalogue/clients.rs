//! API clients of a provider: they sign with their own keys, of which we know the public part.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tandem_domain::command::Administer;
use tandem_domain::content::ApiClient;
use tandem_http_access::representation::slug;
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use super::provider;
use crate::oauth::{SCOPES, check_keys};

/// An OAuth client; `client_id` is its id.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiClientBody {
    pub id: String,
    /// Public keys as a JWK set (RFC 7517): RSA, P-256, P-384 or Ed25519.
    #[schema(value_type = Object)]
    pub jwks: Value,
    /// What it may ask for; all when left out.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// 0 = as many as come. Set by the broker; a provider's own word changes nothing.
    #[serde(default)]
    pub requests_per_second_max: u32,
    #[serde(default)]
    pub withdrawn: bool,
}

impl ApiClientBody {
    fn of(client: &ApiClient) -> ApiClientBody {
        ApiClientBody {
            id: client.slug.to_string(),
            jwks: serde_json::from_str(&client.keys).unwrap_or_default(),
            scopes: client.scopes.iter().map(|scope| scope.to_string()).collect(),
            requests_per_second_max: client.requests_per_second_max,
            withdrawn: client.withdrawn,
        }
    }
}

/// Register an API client, or change the one with this id
#[utoipa::path(put, path = "/v1/content-providers/{provider}/clients", params(("provider" = String, Path)), request_body = ApiClientBody, responses((status = 200, body = ApiClientBody), Errors))]
pub async fn set(
    State(platform): State<Platform>,
    caller: Caller,
    Path(owner): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<ApiClientBody>,
) -> Result<Json<ApiClientBody>, Problem> {
    let owner = provider(&caller, &owner)?;
    let new = &body.value;
    let keys = new.jwks.to_string();
    check_keys(&keys).map_err(|why| Problem::invalid(format!("jwks: {why}")))?;
    if let Some(unknown) = new.scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(Problem::invalid(format!("scopes: unknown scope {unknown}")));
    }
    let order = Administer::SetApiClient {
        provider: owner.id,
        slug: slug(&new.id)?,
        keys: keys.into(),
        scopes: new.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        requests_per_second_max: new.requests_per_second_max,
        withdrawn: new.withdrawn,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(body.value))
}

/// List the provider's API clients
#[utoipa::path(get, path = "/v1/content-providers/{provider}/clients", params(("provider" = String, Path)), responses((status = 200, body = Vec<ApiClientBody>), Errors))]
pub async fn list(
    caller: Caller,
    Path(owner): Path<String>,
) -> Result<Json<Vec<ApiClientBody>>, Problem> {
    let owner = provider(&caller, &owner)?.id;
    let clients = caller.registry.api_clients.iter().filter(|client| client.provider == owner);
    Ok(Json(clients.map(|client| ApiClientBody::of(client)).collect()))
}
