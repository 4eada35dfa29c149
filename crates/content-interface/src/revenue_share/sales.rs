//! A provider's own sales. Subscribers are known to it by a token that means nothing elsewhere.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use tandem_books::PaymentFilter;
use tandem_domain::content::{Payment, PaymentOrigin};
use tandem_http_access::representation::MoneyBody;
use tandem_http_access::{Caller, Errors, ask_books};
use tandem_http_api::{Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use crate::carrier_billing::payment_id;
use crate::catalogue::provider;

#[derive(Debug, Serialize, ToSchema)]
pub struct SaleBody {
    pub id: String,
    /// The buyer, to this provider alone.
    pub subject: String,
    /// client, catalogue, subscription or switch.
    pub origin: String,
    pub status: String,
    pub created_at: String,
    pub paid_at: Option<String>,
    pub reference: String,
    pub item: Option<String>,
    pub price: MoneyBody,
    /// What the provider gets of it, with the tax that it collects itself.
    pub share: MoneyBody,
    /// In the price's currency.
    pub refunded: String,
}

/// List a provider's sales, newest first
#[utoipa::path(get, path = "/v1/content-providers/{provider}/sales", params(("provider" = String, Path), PageQuery), responses((status = 200, body = Page<SaleBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path(owner): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<SaleBody>>, Problem> {
    let owner = provider(&caller, &owner)?.id;
    let limit = page.limit()?;
    let offset = u64::try_from(page.position()?.unwrap_or(0)).unwrap_or(0);
    let filter = PaymentFilter { provider: Some(owner), ..PaymentFilter::default() };
    let (found, _) =
        ask_books(&platform, move |books| books.payments(&filter, offset, limit)).await?;
    let secret = platform.read(|state, _| state.content.secret).await;
    let secret = secret.map_err(tandem_http_access::unavailable)?.unwrap_or_default();
    let next = i64::try_from(offset + found.len() as u64).ok();
    let sale = |payment: &Payment| SaleBody {
        id: payment_id(payment.id),
        subject: crate::oauth::pseudonym(&secret, owner, payment.line),
        origin: match payment.origin {
            PaymentOrigin::Client(_) => "client",
            PaymentOrigin::Catalogue => "catalogue",
            PaymentOrigin::Subscription(_) => "subscription",
            PaymentOrigin::Switch => "switch",
        }
        .into(),
        status: payment.state.name().into(),
        created_at: payment.created_at.to_string(),
        paid_at: payment.paid_at.map(|at| at.to_string()),
        reference: payment.reference.to_string(),
        item: payment
            .item
            .and_then(|item| caller.registry.content_item(item))
            .map(|item| item.slug.to_string()),
        price: MoneyBody::from_amount(payment.price.amount, payment.price.currency),
        share: MoneyBody::from_amount(payment.sale.share, payment.sale.share_currency),
        refunded: payment.refunded().to_string(),
    };
    Ok(Json(Page::of(found.iter().map(sale).collect(), limit, next)))
}
