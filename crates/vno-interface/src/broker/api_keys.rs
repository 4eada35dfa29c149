//! API keys: issued once, shown once.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::command::{Administer, Receipt};
use tandem_domain::identifier::ApiKeyId;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem, hash_key, new_key};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKeyBody {
    /// broker, vno, carrier or content_provider.
    pub role: String,
    /// Id of the VNO, carrier or content provider.
    pub party: Option<String>,
    /// What it is for.
    pub name: String,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct IssuedApiKeyBody {
    pub id: u32,
    /// Shown this once.
    pub key: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyBody {
    pub id: u32,
    pub name: String,
    pub role: String,
    pub read_only: bool,
    pub issued_at: String,
}

/// Issue an API key
///
/// A repeat does not show the key again: issue another.
#[utoipa::path(post, path = "/v1/api-keys", request_body = NewApiKeyBody, responses((status = 201, body = IssuedApiKeyBody), Errors))]
pub async fn issue(
    State(platform): State<Platform>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody<NewApiKeyBody>,
) -> Result<(StatusCode, Json<IssuedApiKeyBody>), Problem> {
    caller.broker()?;
    let new = &body.value;
    let party = new.party.as_deref().unwrap_or_default();
    let role = match new.role.as_str() {
        "broker" => Role::Broker,
        "vno" => Role::Vno(caller.vno(party)?.id),
        "carrier" => Role::Carrier(caller.carrier(party)?.id),
        "content_provider" => {
            let provider = caller.registry.content_provider_by_slug(party);
            Role::ContentProvider(
                provider.ok_or_else(|| Problem::not_found("content provider"))?.id,
            )
        }
        _ => {
            return Err(Problem::invalid(
                "role: expected broker, vno, carrier or content_provider",
            ));
        }
    };
    let secret = new_key();
    let order = Administer::IssueApiKey {
        hash: hash_key(&secret),
        role,
        name: new.name.as_str().into(),
        read_only: new.read_only,
    };
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::ApiKey(id) => {
            Ok((StatusCode::CREATED, Json(IssuedApiKeyBody { id: id.number(), key: secret })))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// List the API keys, without the keys themselves
#[utoipa::path(get, path = "/v1/api-keys", responses((status = 200, body = Vec<ApiKeyBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<ApiKeyBody>>, Problem> {
    caller.broker()?;
    let role = |role| match role {
        Role::Broker => "broker",
        Role::Vno(_) => "vno",
        Role::Carrier(_) => "carrier",
        Role::ContentProvider(_) => "content_provider",
    };
    let mut keys: Vec<ApiKeyBody> = caller
        .registry
        .api_keys
        .values()
        .map(|key| ApiKeyBody {
            id: key.id.number(),
            name: key.name.to_string(),
            role: role(key.role).into(),
            read_only: key.read_only,
            issued_at: key.issued_at.to_string(),
        })
        .collect();
    keys.sort_by_key(|key| key.id);
    Ok(Json(keys))
}

/// Revoke an API key
#[utoipa::path(delete, path = "/v1/api-keys/{id}", params(("id" = u32, Path)), responses((status = 204), Errors))]
pub async fn revoke(
    State(platform): State<Platform>,
    caller: Caller,
    Path(id): Path<u32>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    carry_out(&platform, caller.role(), key, b"", Administer::RevokeApiKey(ApiKeyId::new(id)))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
