//! Items on sale: single ones, subscriptions, bundles.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::catalogue::Registry;
use tandem_domain::command::{Administer, NewContentItem};
use tandem_domain::content::{ContentItem, ItemKind, ItemPeriod};
use tandem_domain::party::ContentProvider;
use tandem_http_access::representation::{MoneyBody, slug};
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use super::provider;

/// An item of a content provider's catalogue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentItemBody {
    pub id: String,
    pub name: String,
    /// Such as games, video or adult: VNOs allow and bar by it.
    pub category: String,
    pub price: MoneyBody,
    /// The price is what the subscriber pays, tax and all.
    #[serde(default)]
    pub tax_included: bool,
    /// Years; 0 = anybody.
    #[serde(default)]
    pub age_min: u8,
    /// Makes it a subscription.
    pub subscription: Option<SubscriptionTerms>,
    /// Makes it a bundle of these items of the same provider.
    pub bundle: Option<Vec<String>>,
    /// Service-Identifier (AVP 439) under which switches sell it by event.
    pub service_identifier: Option<u32>,
    #[serde(default)]
    pub withdrawn: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionTerms {
    /// daily, weekly or monthly.
    pub period: String,
    /// Free days at the beginning, once for each line.
    #[serde(default)]
    pub trial_days: u16,
}

impl ContentItemBody {
    fn of(item: &ContentItem, registry: &Registry) -> ContentItemBody {
        let name_of = |id: &_| registry.content_item(*id).map(|item| item.slug.to_string());
        let (subscription, bundle) = match &item.kind {
            ItemKind::OneOff => (None, None),
            ItemKind::Subscription { period, trial_days } => {
                let period = period.name().to_owned();
                (Some(SubscriptionTerms { period, trial_days: *trial_days }), None)
            }
            ItemKind::Bundle(items) => (None, Some(items.iter().filter_map(name_of).collect())),
        };
        ContentItemBody {
            id: item.slug.to_string(),
            name: item.name.to_string(),
            category: item.category.to_string(),
            price: MoneyBody::of(item.price),
            tax_included: item.is_tax_included,
            age_min: item.age_min,
            subscription,
            bundle,
            service_identifier: item.service_identifier,
            withdrawn: item.withdrawn,
        }
    }

    fn kind(&self, owner: &ContentProvider, registry: &Registry) -> Result<ItemKind, Problem> {
        match (&self.subscription, &self.bundle) {
            (None, None) => Ok(ItemKind::OneOff),
            (Some(terms), None) => {
                let known = ItemPeriod::ALL.into_iter().find(|one| one.name() == terms.period);
                let period = known
                    .ok_or_else(|| Problem::invalid("period: expected daily, weekly or monthly"))?;
                Ok(ItemKind::Subscription { period, trial_days: terms.trial_days })
            }
            (None, Some(items)) => {
                let find = |name: &String| {
                    let item = registry.content_item_by_slug(owner.id, name);
                    item.map(|item| item.id).ok_or_else(|| Problem::not_found("content item"))
                };
                Ok(ItemKind::Bundle(items.iter().map(find).collect::<Result<_, _>>()?))
            }
            (Some(_), Some(_)) => {
                Err(Problem::invalid("an item is a subscription or a bundle, not both"))
            }
        }
    }
}

/// Publish an item, or replace the one with this id
#[utoipa::path(post, path = "/v1/content-providers/{provider}/items", params(("provider" = String, Path)), request_body = ContentItemBody, responses((status = 201, body = ContentItemBody), Errors))]
pub async fn publish(
    State(platform): State<Platform>,
    caller: Caller,
    Path(owner): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<ContentItemBody>,
) -> Result<(StatusCode, Json<ContentItemBody>), Problem> {
    let owner = provider(&caller, &owner)?;
    let new = &body.value;
    let named = |field: &str, text: &str| {
        let fits = !text.is_empty() && text.chars().count() <= 200;
        if fits {
            Ok(())
        } else {
            Err(Problem::invalid(format!("{field}: expected 1 to 200 characters")))
        }
    };
    named("name", &new.name)?;
    named("category", &new.category)?;
    let order = Administer::PublishContentItem(Box::new(NewContentItem {
        provider: owner.id,
        slug: slug(&new.id)?,
        name: new.name.as_str().into(),
        category: new.category.as_str().into(),
        price: new.price.to_domain()?,
        is_tax_included: new.tax_included,
        age_min: new.age_min,
        kind: new.kind(owner, &caller.registry)?,
        service_identifier: new.service_identifier,
    }));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok((StatusCode::CREATED, Json(body.value)))
}

/// List the provider's items
#[utoipa::path(get, path = "/v1/content-providers/{provider}/items", params(("provider" = String, Path)), responses((status = 200, body = Vec<ContentItemBody>), Errors))]
pub async fn list(
    caller: Caller,
    Path(owner): Path<String>,
) -> Result<Json<Vec<ContentItemBody>>, Problem> {
    let owner = provider(&caller, &owner)?.id;
    let items = caller.registry.content_items.iter().filter(|item| item.provider == owner);
    Ok(Json(items.map(|item| ContentItemBody::of(item, &caller.registry)).collect()))
}

/// Withdraw an item: nobody buys it any more, subscriptions end with their period
#[utoipa::path(delete, path = "/v1/content-providers/{provider}/items/{item}", params(("provider" = String, Path), ("item" = String, Path)), responses((status = 204), Errors))]
pub async fn withdraw(
    State(platform): State<Platform>,
    caller: Caller,
    Path((owner, item)): Path<(String, String)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let owner = provider(&caller, &owner)?;
    let found = caller.registry.content_item_by_slug(owner.id, &item);
    let id = found.ok_or_else(|| Problem::not_found("content item"))?.id;
    carry_out(&platform, caller.role(), key, b"", Administer::WithdrawContentItem(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
