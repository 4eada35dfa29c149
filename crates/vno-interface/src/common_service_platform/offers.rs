//! Offers: what a VNO sells.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::catalogue::{Offer, PriceListOwner, Proration, Rollover};
use tandem_domain::command::{Administer, NewAllowance, NewOffer};
use tandem_domain::money::Amount;
use tandem_domain::period::Period;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{MoneyBody, ScopeBody, parse, slug};
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOfferBody {
    pub id: String,
    pub name: String,
    /// Net of tax, in the VNO's currency.
    pub one_time_fee: Option<String>,
    /// Net of tax, for each period, in advance.
    pub recurring_fee: Option<String>,
    #[serde(default)]
    pub tax_basis_points: u16,
    /// calendar_month, or a number with d or m: 30d, 1m. None: a one-off purchase.
    pub period: Option<String>,
    /// How long the allowances of a one-off purchase last.
    pub validity_days: Option<u16>,
    /// The first, broken calendar month costs and brings only its part.
    #[serde(default)]
    pub prorated: bool,
    #[serde(default)]
    pub allowances: Vec<AllowanceBody>,
    /// Id of the price list for what allowances do not cover.
    pub price_list: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowanceBody {
    pub name: String,
    /// seconds, octets, messages, events or money (millionths).
    pub unit: String,
    pub quantity: u64,
    #[serde(default)]
    pub scope: ScopeBody,
    /// Lower is used first among buckets that expire together.
    #[serde(default)]
    pub priority: u8,
    /// Units that may be kept for one more period.
    pub rollover_max: Option<u64>,
    /// The part of the net fee that is earned as the units are used.
    pub value: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OfferBody {
    pub id: String,
    pub name: String,
    pub one_time_fee: MoneyBody,
    pub recurring_fee: MoneyBody,
    pub withdrawn: bool,
}

fn body_of(offer: &Offer, caller: &Caller) -> OfferBody {
    let currency = caller.registry.vno(offer.vno).map(|vno| vno.currency);
    let money = |amount: Amount| MoneyBody {
        amount: amount.to_string(),
        currency: currency.map(|currency| currency.to_string()).unwrap_or_default(),
    };
    OfferBody {
        id: offer.slug.to_string(),
        name: offer.name.to_string(),
        one_time_fee: money(offer.one_time_fee),
        recurring_fee: money(offer.recurring_fee),
        withdrawn: offer.withdrawn,
    }
}

fn period(text: &str) -> Result<Period, Problem> {
    let numbered = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        match unit {
            "d" => number.parse().ok().filter(|days| *days > 0).map(Period::Days),
            "m" => number.parse().ok().filter(|months| *months > 0).map(Period::Months),
            _ => None,
        }
    };
    let found = if text == "calendar_month" { Some(Period::CalendarMonth) } else { numbered() };
    found.ok_or_else(|| Problem::invalid("period: expected calendar_month, or such as 30d or 1m"))
}

impl AllowanceBody {
    fn to_domain(&self) -> Result<NewAllowance, Problem> {
        Ok(NewAllowance {
            name: self.name.as_str().into(),
            unit: parse("unit", &self.unit)?,
            quantity: self.quantity,
            scope: self.scope.to_domain()?,
            priority: self.priority,
            rollover: self.rollover_max.map_or(Rollover::None, Rollover::OnePeriod),
            value: self.value.as_deref().map_or(Ok(Amount::ZERO), |text| parse("value", text))?,
        })
    }
}

/// Publish an offer
#[utoipa::path(post, path = "/v1/vnos/{vno}/offers", params(("vno" = String, Path)), request_body = NewOfferBody, responses((status = 201, body = OfferBody), Errors))]
pub async fn publish(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<NewOfferBody>,
) -> Result<(StatusCode, Json<OfferBody>), Problem> {
    let vno = caller.vno_id(&vno)?;
    let new = &body.value;
    let fee = |name, text: &Option<String>| {
        text.as_deref().map_or(Ok(Amount::ZERO), |text| parse(name, text))
    };
    let list = |slug: &String| {
        let list = caller.registry.price_list_by_slug(PriceListOwner::Vno(vno), slug);
        list.map(|list| list.id).ok_or_else(|| Problem::not_found("price list"))
    };
    let order = Administer::PublishOffer(Box::new(NewOffer {
        vno,
        slug: slug(&new.id)?,
        name: new.name.as_str().into(),
        one_time_fee: fee("one_time_fee", &new.one_time_fee)?,
        recurring_fee: fee("recurring_fee", &new.recurring_fee)?,
        tax_basis_points: new.tax_basis_points,
        period: new.period.as_deref().map(period).transpose()?,
        validity_days: new.validity_days,
        proration: if new.prorated { Proration::Daily } else { Proration::Full },
        allowances: new
            .allowances
            .iter()
            .map(AllowanceBody::to_domain)
            .collect::<Result<_, _>>()?,
        prices: new.price_list.as_ref().map(list).transpose()?,
    }));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let registry = platform.registry();
    let offer = registry.offer_by_slug(vno, &new.id).ok_or_else(|| Problem::not_found("offer"))?;
    Ok((StatusCode::CREATED, Json(body_of(offer, &caller))))
}

/// List the VNO's offers
#[utoipa::path(get, path = "/v1/vnos/{vno}/offers", params(("vno" = String, Path)), responses((status = 200, body = Vec<OfferBody>), Errors))]
pub async fn list(
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Json<Vec<OfferBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let offers = caller.registry.offers.iter().filter(|offer| offer.vno == vno);
    Ok(Json(offers.map(|offer| body_of(offer, &caller)).collect()))
}

/// Withdraw an offer; who holds it keeps it
#[utoipa::path(delete, path = "/v1/vnos/{vno}/offers/{offer}", params(("vno" = String, Path), ("offer" = String, Path)), responses((status = 204), Errors))]
pub async fn withdraw(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, offer)): Path<(String, String)>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let vno = caller.vno_id(&vno)?;
    let offer =
        caller.registry.offer_by_slug(vno, &offer).ok_or_else(|| Problem::not_found("offer"))?.id;
    carry_out(&platform, caller.role(), key, b"", Administer::WithdrawOffer(offer)).await?;
    Ok(StatusCode::NO_CONTENT)
}
