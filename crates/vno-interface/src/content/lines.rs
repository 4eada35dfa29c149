//! A line's own side of content: limit, age, consents.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tandem_domain::command::Administer;
use tandem_domain::identifier::LineId;
use tandem_domain::period::calendar_month;
use tandem_http_access::representation::parse;
use tandem_http_access::{Caller, Errors, carry_out, identifiers, unavailable};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineContentBody {
    /// What the line may spend in a calendar month, with tax; narrower than the VNO's rule.
    pub monthly_max: Option<String>,
    /// What the VNO knows of the user's age, in years.
    pub age: Option<u8>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LineContentState {
    pub monthly_max: Option<String>,
    pub age: Option<u8>,
    /// In this calendar month, with tax.
    pub spent: String,
    pub refunded: String,
    pub consents: Vec<ConsentState>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentState {
    pub client: String,
    pub scopes: Vec<String>,
    pub given_at: String,
    pub proof: String,
}

async fn show(platform: &Platform, id: LineId) -> Result<LineContentState, Problem> {
    let read = platform.read(move |state, now| {
        let line = state.line(id)?;
        let zone = state.registry.vno(id.vno()).map_or("UTC", |vno| vno.time_zone.as_ref());
        let own = line.content.as_deref().cloned().unwrap_or_default();
        let month = calendar_month(now, zone);
        Some((own, month))
    });
    let found = read.await.map_err(unavailable)?;
    let (own, month) = found.ok_or_else(|| Problem::not_found("line"))?;
    let registry = platform.registry();
    let (spent, refunded) = own.so_far(month);
    let consents = own.consents.iter().map(|consent| ConsentState {
        client: registry
            .api_client(consent.client)
            .map_or_else(String::new, |client| client.slug.to_string()),
        scopes: consent.scopes.iter().map(ToString::to_string).collect(),
        given_at: consent.given_at.to_string(),
        proof: consent.proof.to_string(),
    });
    Ok(LineContentState {
        monthly_max: own.monthly_max.map(|amount| amount.to_string()),
        age: own.age,
        spent: spent.to_string(),
        refunded: refunded.to_string(),
        consents: consents.collect(),
    })
}

/// Set a line's limit for content, and what is known of its user's age
#[utoipa::path(put, path = "/v1/vnos/{vno}/lines/{line}/content", operation_id = "put_line_content", params(("vno" = String, Path), ("line" = String, Path)), request_body = LineContentBody, responses((status = 200, body = LineContentState), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<LineContentBody>,
) -> Result<Json<LineContentState>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let most = body.value.monthly_max.as_deref();
    let order = Administer::SetLineContent {
        line,
        monthly_max: most.map(|text| parse("monthly_max", text)).transpose()?,
        age: body.value.age,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(show(&platform, line).await?))
}

/// Read a line's limit, age, spending and consents
#[utoipa::path(get, path = "/v1/vnos/{vno}/lines/{line}/content", operation_id = "read_line_content", params(("vno" = String, Path), ("line" = String, Path)), responses((status = 200, body = LineContentState), Errors))]
pub async fn read(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
) -> Result<Json<LineContentState>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    Ok(Json(show(&platform, line).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentBody {
    /// What the client may do for this line; empty takes the consent back.
    pub scopes: Vec<String>,
    /// How the consent is known.
    pub proof: String,
}

/// The line's owner lets a content provider's client act for it, or takes that back
#[utoipa::path(put, path = "/v1/vnos/{vno}/lines/{line}/content-consents/{client}", operation_id = "put_consent", params(("vno" = String, Path), ("line" = String, Path), ("client" = String, Path)), request_body = ConsentBody, responses((status = 200, body = LineContentState), Errors))]
pub async fn consent(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line, client)): Path<(String, String, String)>,
    key: IdempotencyKey,
    body: JsonBody<ConsentBody>,
) -> Result<Json<LineContentState>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let client = caller.registry.api_client_by_slug(&client);
    let new = &body.value;
    if new.proof.is_empty() || new.proof.len() > 1000 {
        return Err(Problem::invalid("proof: expected 1 to 1000 octets"));
    }
    let order = Administer::SetConsent {
        line,
        client: client.ok_or_else(|| Problem::not_found("API client"))?.id,
        scopes: new.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        proof: new.proof.as_str().into(),
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(show(&platform, line).await?))
}
