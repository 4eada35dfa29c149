//! Content providers and their share.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::command::Administer;
use tandem_domain::party::ContentProvider;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{parse, slug, standing};
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentProviderBody {
    pub id: String,
    pub name: String,
    pub currency: String,
    /// Its part of a sale's net price, in hundredths of a percent.
    pub share_basis_points: u16,
    /// Service-Identifiers (AVP 439) of its content.
    #[serde(default)]
    pub service_identifiers: Vec<u32>,
}

impl ContentProviderBody {
    fn of(provider: &ContentProvider) -> ContentProviderBody {
        ContentProviderBody {
            id: provider.slug.to_string(),
            name: provider.name.to_string(),
            currency: provider.currency.to_string(),
            share_basis_points: provider.share_basis_points,
            service_identifiers: provider.service_identifiers.clone(),
        }
    }
}

/// Create a content provider
#[utoipa::path(post, path = "/v1/content-providers", request_body = ContentProviderBody, responses((status = 201, body = ContentProviderBody), Errors))]
pub async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody<ContentProviderBody>,
) -> Result<(StatusCode, Json<ContentProviderBody>), Problem> {
    let new = &body.value;
    let order = Administer::CreateContentProvider {
        slug: slug(&new.id)?,
        name: new.name.as_str().into(),
        currency: parse("currency", &new.currency)?,
        share_basis_points: new.share_basis_points,
        service_identifiers: new.service_identifiers.clone(),
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok((StatusCode::CREATED, Json(body.value)))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContentProviderChangeBody {
    /// active or suspended: nobody sells, and no client of it gets a token, while it is suspended.
    pub standing: Option<String>,
    pub share_basis_points: Option<u16>,
    pub service_identifiers: Option<Vec<u32>>,
}

/// Change a content provider
#[utoipa::path(patch, path = "/v1/content-providers/{provider}", params(("provider" = String, Path)), request_body = ContentProviderChangeBody, responses((status = 200, body = ContentProviderBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path(provider): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<ContentProviderChangeBody>,
) -> Result<Json<ContentProviderBody>, Problem> {
    caller.broker()?;
    let not_found = || Problem::not_found("content provider");
    let known = caller.registry.content_provider_by_slug(&provider).ok_or_else(not_found)?;
    let change = &body.value;
    let order = Administer::ChangeContentProvider {
        id: known.id,
        standing: change.standing.as_deref().map(standing).transpose()?,
        share_basis_points: change.share_basis_points,
        service_identifiers: change.service_identifiers.clone(),
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let registry = platform.registry();
    let changed = registry.content_provider_by_slug(&provider).ok_or_else(not_found)?;
    Ok(Json(ContentProviderBody::of(changed)))
}

/// List the content providers that the key reaches
#[utoipa::path(get, path = "/v1/content-providers", responses((status = 200, body = Vec<ContentProviderBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<ContentProviderBody>>, Problem> {
    let visible = |provider: &&ContentProvider| match caller.role() {
        Role::Broker => true,
        Role::ContentProvider(own) => own == provider.id,
        Role::Vno(_) | Role::Carrier(_) => false,
    };
    let providers = caller.registry.content_providers.iter().map(AsRef::as_ref).filter(visible);
    Ok(Json(providers.map(ContentProviderBody::of).collect()))
}
