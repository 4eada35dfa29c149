//! Purchases and subscriptions of a line, and its subscriber's bill.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_books::{PaymentFilter, StatementFilter};
use tandem_domain::catalogue::Registry;
use tandem_domain::command::{Administer, Receipt};
use tandem_domain::content::{ContentSubscription, Payment, PaymentId};
use tandem_domain::identifier::{ContentItemId, LineId};
use tandem_domain::period::parse_month;
use tandem_http_access::representation::MoneyBody;
use tandem_http_access::{Caller, Errors, ask_books, carry_out, identifiers, unavailable};
use tandem_http_api::{IdempotencyKey, JsonBody, Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPurchaseBody {
    pub provider: String,
    pub item: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PurchaseBody {
    /// Counts within the provider.
    pub number: u64,
    pub provider: Option<String>,
    pub item: Option<String>,
    pub reference: String,
    pub status: String,
    pub created_at: String,
    /// What the line pays, with tax.
    pub gross: MoneyBody,
    pub tax: MoneyBody,
    /// The account that pays.
    pub account: String,
    /// In the price's currency and style.
    pub refunded: MoneyBody,
}

impl PurchaseBody {
    fn of(payment: &Payment, registry: &Registry) -> PurchaseBody {
        let sale = &payment.sale;
        let provider = registry.content_provider(payment.id.provider());
        let item = payment.item.and_then(|item| registry.content_item(item));
        let tax = sale.tax.saturating_add(sale.merchant_tax);
        PurchaseBody {
            number: payment.id.number(),
            provider: provider.map(|provider| provider.slug.to_string()),
            item: item.map(|item| item.slug.to_string()),
            reference: payment.reference.to_string(),
            status: payment.state.name().into(),
            created_at: payment.created_at.to_string(),
            gross: MoneyBody::from_amount(sale.gross(), sale.currency),
            tax: MoneyBody::from_amount(tax, sale.currency),
            account: identifiers::account(sale.payer),
            refunded: MoneyBody::from_amount(payment.refunded(), payment.price.currency),
        }
    }
}

fn item(caller: &Caller, provider: &str, item: &str) -> Result<ContentItemId, Problem> {
    let owner = caller.registry.content_provider_by_slug(provider);
    let found = owner.and_then(|owner| caller.registry.content_item_by_slug(owner.id, item));
    found.map(|item| item.id).ok_or_else(|| Problem::not_found("content item"))
}

/// Buy an item for a line, from its payers' money or allowances
#[utoipa::path(post, path = "/v1/vnos/{vno}/lines/{line}/content-purchases", params(("vno" = String, Path), ("line" = String, Path)), request_body = NewPurchaseBody, responses((status = 201, body = PurchaseBody), Errors))]
pub async fn buy(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<NewPurchaseBody>,
) -> Result<(StatusCode, Json<PurchaseBody>), Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let item = item(&caller, &body.value.provider, &body.value.item)?;
    let order = Administer::BuyContent { line, item };
    let receipt = carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let Receipt::Payment(id) = receipt else {
        return Err(Problem::unavailable("unexpected receipt"));
    };
    let payment = payment(&platform, id).await?;
    Ok((StatusCode::CREATED, Json(PurchaseBody::of(&payment, &caller.registry))))
}

async fn payment(platform: &Platform, id: PaymentId) -> Result<Payment, Problem> {
    let known = platform.read(move |state, _| state.content.payments.get(id).cloned()).await;
    match known.map_err(unavailable)? {
        Some(payment) => Ok(payment),
        // A repeat after memory let it go.
        None => {
            let found = ask_books(platform, move |books| books.payment(id)).await?;
            found.ok_or_else(|| Problem::not_found("payment"))
        }
    }
}

/// List what a line bought, newest first
#[utoipa::path(get, path = "/v1/vnos/{vno}/lines/{line}/content-purchases", params(("vno" = String, Path), ("line" = String, Path), PageQuery), responses((status = 200, body = Page<PurchaseBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<PurchaseBody>>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let limit = page.limit()?;
    let offset = u64::try_from(page.position()?.unwrap_or(0)).unwrap_or(0);
    let filter = PaymentFilter { line: Some(line), ..PaymentFilter::default() };
    let (found, _) =
        ask_books(&platform, move |books| books.payments(&filter, offset, limit)).await?;
    let next = i64::try_from(offset + found.len() as u64).ok();
    let shown = found.iter().map(|payment| PurchaseBody::of(payment, &caller.registry)).collect();
    Ok(Json(Page::of(shown, limit, next)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptInBody {
    pub provider: String,
    pub item: String,
    /// How the subscriber's opt-in is known; it is kept.
    pub proof: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutBody {
    /// How the subscriber's wish is known; it is kept.
    pub proof: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ContentSubscriptionBody {
    /// Counts within the line.
    pub number: u32,
    pub provider: Option<String>,
    pub item: Option<String>,
    /// trial, active, unpaid, cancelled or ended.
    pub state: String,
    pub started_at: String,
    pub renews_at: Option<String>,
    pub proof: String,
    pub cancel_proof: Option<String>,
}

impl ContentSubscriptionBody {
    fn of(one: &ContentSubscription, registry: &Registry) -> ContentSubscriptionBody {
        let item = registry.content_item(one.item);
        let provider = item.and_then(|item| registry.content_provider(item.provider));
        ContentSubscriptionBody {
            number: one.number,
            provider: provider.map(|provider| provider.slug.to_string()),
            item: item.map(|item| item.slug.to_string()),
            state: one.state.name().into(),
            started_at: one.started_at.to_string(),
            renews_at: one.renews_at.map(|at| at.to_string()),
            proof: one.proof.to_string(),
            cancel_proof: one.cancel_proof.as_deref().map(Into::into),
        }
    }
}

fn proof(text: &str) -> Result<Box<str>, Problem> {
    if text.is_empty() || text.len() > 1000 {
        return Err(Problem::invalid("proof: expected 1 to 1000 octets"));
    }
    Ok(text.into())
}

async fn subscription(
    platform: &Platform,
    line: LineId,
    number: u32,
) -> Result<ContentSubscriptionBody, Problem> {
    let read = platform.read(move |state, _| {
        let own = state.line(line)?.content.as_deref()?;
        own.subscriptions.iter().find(|one| one.number == number).cloned()
    });
    let found = read.await.map_err(unavailable)?;
    let found = found.ok_or_else(|| Problem::not_found("subscription"))?;
    Ok(ContentSubscriptionBody::of(&found, &platform.registry()))
}

/// Opt a line in to a content subscription; the first period is paid now, or its trial begins
#[utoipa::path(post, path = "/v1/vnos/{vno}/lines/{line}/content-subscriptions", params(("vno" = String, Path), ("line" = String, Path)), request_body = OptInBody, responses((status = 201, body = ContentSubscriptionBody), Errors))]
pub async fn subscribe(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<OptInBody>,
) -> Result<(StatusCode, Json<ContentSubscriptionBody>), Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let new = &body.value;
    let item = item(&caller, &new.provider, &new.item)?;
    let order = Administer::SubscribeToContent { line, item, proof: proof(&new.proof)? };
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::ContentSubscription(line, number) => {
            Ok((StatusCode::CREATED, Json(subscription(&platform, line, number).await?)))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// List a line's content subscriptions, ended ones too, with their proofs
#[utoipa::path(get, path = "/v1/vnos/{vno}/lines/{line}/content-subscriptions", params(("vno" = String, Path), ("line" = String, Path)), responses((status = 200, body = Vec<ContentSubscriptionBody>), Errors))]
pub async fn subscriptions(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
) -> Result<Json<Vec<ContentSubscriptionBody>>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let found = ask_books(&platform, move |books| books.content_subscriptions(line)).await?;
    let shown = found.iter().map(|one| ContentSubscriptionBody::of(one, &caller.registry));
    Ok(Json(shown.collect()))
}

/// Opt a line out; what was paid runs to its end
#[utoipa::path(post, path = "/v1/vnos/{vno}/lines/{line}/content-subscriptions/{number}/cancel", params(("vno" = String, Path), ("line" = String, Path), ("number" = u32, Path)), request_body = OptOutBody, responses((status = 200, body = ContentSubscriptionBody), Errors))]
pub async fn cancel(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line, number)): Path<(String, String, u32)>,
    key: IdempotencyKey,
    body: JsonBody<OptOutBody>,
) -> Result<Json<ContentSubscriptionBody>, Problem> {
    let line = identifiers::parse_line(caller.vno_id(&vno)?, &line)?;
    let proof = proof(&body.value.proof)?;
    let order = Administer::CancelContentSubscription { line, number, proof };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(subscription(&platform, line, number).await?))
}

/// One line of a subscriber's content bill.
#[derive(Debug, Serialize, ToSchema)]
pub struct BillLine {
    /// sale or refund.
    pub kind: String,
    pub provider: Option<String>,
    pub count: u64,
    pub net: MoneyBody,
    pub tax: MoneyBody,
    /// Tax that merchants applied.
    pub merchant_tax: MoneyBody,
}

/// What a subscriber's lines bought and got back in a month, by provider
#[utoipa::path(get, path = "/v1/vnos/{vno}/subscribers/{subscriber}/content-bill/{month}", params(("vno" = String, Path), ("subscriber" = String, Path), ("month" = String, Path)), responses((status = 200, body = Vec<BillLine>), Errors))]
pub async fn bill(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber, month)): Path<(String, String, String)>,
) -> Result<Json<Vec<BillLine>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let month = parse_month(&month).ok_or_else(|| Problem::invalid("month: expected YYYY-MM"))?;
    let filter = StatementFilter {
        vno: Some(vno),
        subscriber: Some(identifiers::parse_subscriber(vno, &subscriber)?),
        month: Some(month),
        ..StatementFilter::default()
    };
    let rows = ask_books(&platform, move |books| books.content_statement(&filter)).await?;
    let line = |row: &tandem_books::StatementRow| BillLine {
        kind: row.kind.name().into(),
        provider: caller
            .registry
            .content_provider(row.provider)
            .map(|provider| provider.slug.to_string()),
        count: row.count,
        net: MoneyBody::from_amount(row.net, row.currency),
        tax: MoneyBody::from_amount(row.tax, row.currency),
        merchant_tax: MoneyBody::from_amount(row.merchant_tax, row.currency),
    };
    Ok(Json(rows.iter().map(line).collect()))
}
