//! Agreements of provider, broker and VNO.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::catalogue::Registry;
use tandem_domain::command::Administer;
use tandem_domain::content::{Agreement, ProviderShare, ShareTier};
use tandem_http_access::representation::parse;
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use crate::catalogue::provider;

/// What the parties get of a sale. Exactly one of `percent_basis_points`, `fixed` and `tiers` is given.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgreementBody {
    /// Id of the provider; in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Id of the VNO; in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vno: Option<String>,
    /// The provider's part of the net price, in hundredths of a percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_basis_points: Option<u16>,
    /// The provider's part of each sale, in its own currency; never more than the net price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// By the month's sales: each part of them at its own percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<TierBody>>,
    /// The broker's part of the net price, in hundredths of a percent; the rest is the VNO's.
    pub broker_basis_points: u16,
    /// What the provider gets in a month at least, in its own currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_guarantee: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierBody {
    /// Sales of the month, net, in the provider's currency, up to which the tier goes; the last has no end.
    pub up_to: Option<String>,
    pub basis_points: u16,
}

impl AgreementBody {
    fn share(&self) -> Result<ProviderShare, Problem> {
        match (self.percent_basis_points, &self.fixed, &self.tiers) {
            (Some(basis_points), None, None) => Ok(ProviderShare::Percent(basis_points)),
            (None, Some(fixed), None) => Ok(ProviderShare::Fixed(parse("fixed", fixed)?)),
            (None, None, Some(tiers)) => {
                let tier = |tier: &TierBody| {
                    let up_to =
                        tier.up_to.as_deref().map(|text| parse("up_to", text)).transpose()?;
                    Ok(ShareTier { up_to, basis_points: tier.basis_points })
                };
                let tiers = tiers.iter().map(tier).collect::<Result<_, Problem>>()?;
                Ok(ProviderShare::Tiers(tiers))
            }
            _ => Err(Problem::invalid(
                "expected exactly one of percent_basis_points, fixed and tiers",
            )),
        }
    }

    fn of(agreement: &Agreement, registry: &Registry) -> AgreementBody {
        let mut body = AgreementBody {
            provider: registry.content_provider(agreement.provider).map(|one| one.slug.to_string()),
            vno: registry.vno(agreement.vno).map(|one| one.slug.to_string()),
            broker_basis_points: agreement.broker_basis_points,
            monthly_guarantee: agreement.guarantee.map(|amount| amount.to_string()),
            ..AgreementBody::default()
        };
        match &agreement.share {
            ProviderShare::Percent(basis_points) => body.percent_basis_points = Some(*basis_points),
            ProviderShare::Fixed(amount) => body.fixed = Some(amount.to_string()),
            ProviderShare::Tiers(tiers) => {
                let tier = |tier: &ShareTier| TierBody {
                    up_to: tier.up_to.map(|amount| amount.to_string()),
                    basis_points: tier.basis_points,
                };
                body.tiers = Some(tiers.iter().map(tier).collect());
            }
        }
        body
    }
}

/// Set what provider, broker and VNO have agreed on; it holds for sales from now on
#[utoipa::path(put, path = "/v1/content-providers/{provider}/agreements/{vno}", params(("provider" = String, Path), ("vno" = String, Path)), request_body = AgreementBody, responses((status = 200, body = AgreementBody), Errors))]
pub async fn set(
    State(platform): State<Platform>,
    caller: Caller,
    Path((owner, vno)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<AgreementBody>,
) -> Result<Json<AgreementBody>, Problem> {
    let owner = provider(&caller, &owner)?.id;
    caller.broker()?;
    let new = &body.value;
    let guarantee = new.monthly_guarantee.as_deref();
    let order = Administer::SetAgreement {
        provider: owner,
        vno: caller.vno_id(&vno)?,
        share: Some(new.share()?),
        broker_basis_points: new.broker_basis_points,
        guarantee: guarantee.map(|text| parse("monthly_guarantee", text)).transpose()?,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(body.value))
}

/// End an agreement: nothing more is sold under it
#[utoipa::path(delete, path = "/v1/content-providers/{provider}/agreements/{vno}", params(("provider" = String, Path), ("vno" = String, Path)), responses((status = 204), Errors))]
pub async fn end(
    State(platform): State<Platform>,
    caller: Caller,
    Path((owner, vno)): Path<(String, String)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let owner = provider(&caller, &owner)?.id;
    caller.broker()?;
    let order = Administer::SetAgreement {
        provider: owner,
        vno: caller.vno_id(&vno)?,
        share: None,
        broker_basis_points: 0,
        guarantee: None,
    };
    carry_out(&platform, caller.role(), key, b"", order).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the agreements that the key's party is part of
#[utoipa::path(get, path = "/v1/content-agreements", responses((status = 200, body = Vec<AgreementBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<AgreementBody>>, Problem> {
    let concerns = |agreement: &&Agreement| match caller.role() {
        Role::Broker => true,
        Role::Vno(own) => agreement.vno == own,
        Role::ContentProvider(own) => agreement.provider == own,
        Role::Carrier(_) => false,
    };
    let agreements = caller.registry.agreements.iter().map(AsRef::as_ref);
    let running = agreements.filter(|agreement| !agreement.ended).filter(concerns);
    Ok(Json(running.map(|agreement| AgreementBody::of(agreement, &caller.registry)).collect()))
}
