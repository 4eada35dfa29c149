//! Sponsored data: the provider pays for traffic to its content.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::{Administer, Receipt};
use tandem_domain::identifier::SponsorshipId;
use tandem_http_access::identifiers;
use tandem_http_access::representation::ScopeBody;
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use crate::catalogue::provider;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSponsorshipBody {
    pub vno: String,
    /// The traffic that is paid for, for example by rating group.
    pub scope: ScopeBody,
    /// The provider's own account with the VNO; its credit limit is what the sponsor spends at most.
    pub account: String,
    /// A price list of the VNO: what the sponsor pays.
    pub price_list: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SponsorshipBody {
    pub id: u32,
    pub provider: Option<String>,
    pub vno: Option<String>,
    pub account: String,
}

/// Let a provider pay for traffic: free for the subscriber, on the provider's account
#[utoipa::path(post, path = "/v1/content-providers/{provider}/sponsorships", params(("provider" = String, Path)), request_body = NewSponsorshipBody, responses((status = 201, body = SponsorshipBody), Errors))]
pub async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    Path(owner): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<NewSponsorshipBody>,
) -> Result<(StatusCode, Json<SponsorshipBody>), Problem> {
    let owner = provider(&caller, &owner)?;
    caller.broker()?;
    let new = &body.value;
    let vno = caller.vno_id(&new.vno)?;
    let list = PriceListOwner::Vno(vno);
    let list = caller.registry.price_list_by_slug(list, &new.price_list);
    let account = identifiers::parse_account(vno, &new.account)?;
    let order = Administer::SetSponsorship {
        provider: owner.id,
        vno,
        scope: new.scope.to_domain()?,
        account,
        prices: list.ok_or_else(|| Problem::not_found("price list"))?.id,
    };
    let slug = owner.slug.to_string();
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::Sponsorship(id) => {
            let created = SponsorshipBody {
                id: id.number(),
                provider: Some(slug),
                vno: Some(new.vno.clone()),
                account: new.account.clone(),
            };
            Ok((StatusCode::CREATED, Json(created)))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// List the sponsorships of a provider that run
#[utoipa::path(get, path = "/v1/content-providers/{provider}/sponsorships", params(("provider" = String, Path)), responses((status = 200, body = Vec<SponsorshipBody>), Errors))]
pub async fn list(
    caller: Caller,
    Path(owner): Path<String>,
) -> Result<Json<Vec<SponsorshipBody>>, Problem> {
    let owner = provider(&caller, &owner)?;
    let own =
        caller.registry.sponsorships.iter().filter(|one| one.provider == owner.id && !one.ended);
    let shown = own.map(|one| SponsorshipBody {
        id: one.id.number(),
        provider: Some(owner.slug.to_string()),
        vno: caller.registry.vno(one.vno).map(|vno| vno.slug.to_string()),
        account: identifiers::account(one.account),
    });
    Ok(Json(shown.collect()))
}

/// End a sponsorship: sessions that begin from now on are the subscriber's own
#[utoipa::path(delete, path = "/v1/content-providers/{provider}/sponsorships/{id}", params(("provider" = String, Path), ("id" = u32, Path)), responses((status = 204), Errors))]
pub async fn end(
    State(platform): State<Platform>,
    caller: Caller,
    Path((owner, id)): Path<(String, u32)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let owner = provider(&caller, &owner)?.id;
    let id = SponsorshipId::new(id);
    let known = caller.registry.sponsorships.get(id.index());
    let own = known.is_some_and(|known| known.provider == owner);
    if !own || caller.role() != Role::Broker {
        return Err(Problem::not_found("sponsorship"));
    }
    carry_out(&platform, caller.role(), key, b"", Administer::EndSponsorship(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
