//! The VNO's rules: providers, categories, prices, limits, one-time codes.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::content::{AllowedProvider, ContentItem, ContentWebhook, ItemKind, VnoContent};
use tandem_domain::money::Amount;
use tandem_http_access::representation::{MoneyBody, parse};
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

/// Amounts are with tax, in the currency of the account that pays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContentRulesBody {
    /// Nobody else may sell to the VNO's subscribers.
    pub providers: Vec<AllowedProviderBody>,
    /// The only prices that may be charged; empty = any.
    pub price_points: Vec<String>,
    /// Of one purchase.
    pub price_max: Option<String>,
    /// Of one line in a calendar month.
    pub monthly_max: Option<String>,
    /// Payments reserved from this amount on need a one-time code, which the webhook brings to the VNO.
    pub validation_from: Option<String>,
    /// Categories for which a line must be known to be of an age.
    pub ages: Vec<CategoryAgeBody>,
    /// On prices whose merchant does not apply taxes itself.
    pub tax_basis_points: u16,
    /// How long a reserved payment waits for its confirmation.
    pub reservation_seconds: Option<u32>,
    /// After that many days nothing is refunded; 0 = always.
    pub refund_days: u16,
    /// Of all refunds to one line in a calendar month.
    pub refund_monthly_max: Option<String>,
    pub webhook: Option<ContentWebhookBody>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowedProviderBody {
    pub provider: String,
    /// Empty = all.
    #[serde(default)]
    pub categories: Vec<String>,
    pub price_max: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryAgeBody {
    pub category: String,
    pub age_min: u8,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentWebhookBody {
    pub url: String,
    /// Signs what is sent (Standard Webhooks). Never shown again.
    #[serde(default)]
    pub secret: String,
}

fn amount(field: &str, text: &Option<String>) -> Result<Option<Amount>, Problem> {
    text.as_deref().map(|text| parse(field, text)).transpose()
}

fn shown(amount: Option<Amount>) -> Option<String> {
    amount.map(|amount| amount.to_string())
}

impl ContentRulesBody {
    fn to_domain(&self, caller: &Caller) -> Result<VnoContent, Problem> {
        let provider = |one: &AllowedProviderBody| {
            let found = caller.registry.content_provider_by_slug(&one.provider);
            Ok(AllowedProvider {
                provider: found.ok_or_else(|| Problem::not_found("content provider"))?.id,
                categories: one.categories.iter().map(|one| one.as_str().into()).collect(),
                price_max: amount("price_max", &one.price_max)?,
            })
        };
        let webhook = |body: &ContentWebhookBody| {
            let secure = body.url.starts_with("https://");
            let plain = body.url.starts_with("http://") && caller.role() == Role::Broker;
            if !(secure || plain) || body.url.len() > 1000 || body.secret.is_empty() {
                return Err(Problem::invalid("webhook: expected an https URL and a secret"));
            }
            Ok(ContentWebhook {
                url: body.url.as_str().into(),
                secret: body.secret.as_str().into(),
            })
        };
        Ok(VnoContent {
            providers: self.providers.iter().map(provider).collect::<Result<_, Problem>>()?,
            price_points: self
                .price_points
                .iter()
                .map(|text| parse("price_points", text))
                .collect::<Result<_, _>>()?,
            price_max: amount("price_max", &self.price_max)?,
            monthly_max: amount("monthly_max", &self.monthly_max)?,
            validation_from: amount("validation_from", &self.validation_from)?,
            ages: self.ages.iter().map(|one| (one.category.as_str().into(), one.age_min)).collect(),
            tax_basis_points: self.tax_basis_points,
            reservation_seconds: self
                .reservation_seconds
                .unwrap_or(VnoContent::default().reservation_seconds),
            refund_days: self.refund_days,
            refund_monthly_max: amount("refund_monthly_max", &self.refund_monthly_max)?,
            webhook: self.webhook.as_ref().map(webhook).transpose()?,
        })
    }

    fn of(rules: &VnoContent, caller: &Caller) -> ContentRulesBody {
        let provider = |one: &AllowedProvider| {
            let known = caller.registry.content_provider(one.provider);
            AllowedProviderBody {
                provider: known.map_or_else(String::new, |known| known.slug.to_string()),
                categories: one.categories.iter().map(ToString::to_string).collect(),
                price_max: shown(one.price_max),
            }
        };
        ContentRulesBody {
            providers: rules.providers.iter().map(provider).collect(),
            price_points: rules.price_points.iter().map(ToString::to_string).collect(),
            price_max: shown(rules.price_max),
            monthly_max: shown(rules.monthly_max),
            validation_from: shown(rules.validation_from),
            ages: rules
                .ages
                .iter()
                .map(|(category, age)| CategoryAgeBody {
                    category: category.to_string(),
                    age_min: *age,
                })
                .collect(),
            tax_basis_points: rules.tax_basis_points,
            reservation_seconds: Some(rules.reservation_seconds),
            refund_days: rules.refund_days,
            refund_monthly_max: shown(rules.refund_monthly_max),
            webhook: rules.webhook.as_ref().map(|webhook| ContentWebhookBody {
                url: webhook.url.to_string(),
                secret: String::new(),
            }),
        }
    }
}

/// Set the rules for content; they hold for the next purchase
#[utoipa::path(put, path = "/v1/vnos/{vno}/content-rules", operation_id = "put_content_rules", params(("vno" = String, Path)), request_body = ContentRulesBody, responses((status = 200, body = ContentRulesBody), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<ContentRulesBody>,
) -> Result<Json<ContentRulesBody>, Problem> {
    let id = caller.vno_id(&vno)?;
    let rules = body.value.to_domain(&caller)?;
    let result = ContentRulesBody::of(&rules, &caller);
    let change = VnoChange { content: Some(Box::new(rules)), ..VnoChange::default() };
    let order = Administer::ChangeVno(id, Box::new(change));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(result))
}

/// Read the rules for content
#[utoipa::path(get, path = "/v1/vnos/{vno}/content-rules", operation_id = "read_content_rules", params(("vno" = String, Path)), responses((status = 200, body = ContentRulesBody), Errors))]
pub async fn read(
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Json<ContentRulesBody>, Problem> {
    let rules = caller.vno(&vno)?.content.as_deref().cloned().unwrap_or_default();
    Ok(Json(ContentRulesBody::of(&rules, &caller)))
}

/// An item that the VNO's subscribers may buy.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferedItemBody {
    pub provider: String,
    pub item: String,
    pub name: String,
    pub category: String,
    pub price: MoneyBody,
    pub tax_included: bool,
    pub age_min: u8,
    /// daily, weekly or monthly, of a subscription.
    pub period: Option<String>,
    pub trial_days: Option<u16>,
}

/// List the items that the VNO's rules let its subscribers buy
#[utoipa::path(get, path = "/v1/vnos/{vno}/content-items", params(("vno" = String, Path)), responses((status = 200, body = Vec<OfferedItemBody>), Errors))]
pub async fn items(
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Json<Vec<OfferedItemBody>>, Problem> {
    let vno = caller.vno(&vno)?;
    let rules = vno.content.as_deref().cloned().unwrap_or_default();
    let is_offered = |item: &&ContentItem| {
        let allowed = rules.providers.iter().find(|one| one.provider == item.provider);
        let agreed = caller.registry.agreement_between(item.provider, vno.id).is_some();
        let listed = |one: &AllowedProvider| {
            one.categories.is_empty() || one.categories.contains(&item.category)
        };
        !item.withdrawn && agreed && allowed.is_some_and(listed)
    };
    let shown = |item: &ContentItem| {
        let provider = caller.registry.content_provider(item.provider);
        let (period, trial_days) = match &item.kind {
            ItemKind::Subscription { period, trial_days } => {
                (Some(period.name().to_owned()), Some(*trial_days))
            }
            ItemKind::OneOff | ItemKind::Bundle(_) => (None, None),
        };
        OfferedItemBody {
            provider: provider.map_or_else(String::new, |provider| provider.slug.to_string()),
            item: item.slug.to_string(),
            name: item.name.to_string(),
            category: item.category.to_string(),
            price: MoneyBody::of(item.price),
            tax_included: item.is_tax_included,
            age_min: item.age_min,
            period,
            trial_days,
        }
    };
    let items = caller.registry.content_items.iter().map(AsRef::as_ref);
    Ok(Json(items.filter(is_offered).map(shown).collect()))
}
