//! Content providers and their share.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::command::Administer;
use tandem_domain::party::ContentProvider;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{parse, slug};
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
