//! VNOs and their account with the broker.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::{Administer, NewVno, Receipt, VnoChange};
use tandem_domain::money::Money;
use tandem_domain::party::{FailureHandling, FinalUnitAction, GrantPolicy, Vno};
use tandem_domain::quantity::Unit;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{MoneyBody, parse, slug, standing};
use tandem_http_access::{Errors, carry_out, unavailable};

use super::wholesale::{MonthlyFeesBody, WholesaleBody};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVnoBody {
    /// Lower-case letters, digits and hyphens.
    pub id: String,
    pub name: String,
    /// Of its subscribers' accounts, ISO 4217.
    pub currency: String,
    /// Of its account with the broker; the same when left out.
    pub wholesale_currency: Option<String>,
    /// IANA name, such as Europe/Berlin; UTC when left out.
    pub time_zone: Option<String>,
    /// How far below zero its account with the broker may go; 0 when left out.
    pub credit_limit: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VnoBody {
    pub id: String,
    pub name: String,
    pub standing: String,
    pub currency: String,
    pub wholesale_currency: String,
    pub time_zone: String,
    pub credit_limit: MoneyBody,
    /// Id of the retail price list in force.
    pub retail_price_list: Option<String>,
    pub wholesale: Option<WholesaleBody>,
    pub monthly_fees: Option<MonthlyFeesBody>,
}

impl VnoBody {
    fn of(vno: &Vno, caller: &Caller) -> VnoBody {
        let retail = vno.retail.and_then(|id| caller.registry.price_list(id));
        VnoBody {
            id: vno.slug.to_string(),
            name: vno.name.to_string(),
            standing: vno.standing.name().into(),
            currency: vno.currency.to_string(),
            wholesale_currency: vno.wholesale_currency.to_string(),
            time_zone: vno.time_zone.to_string(),
            credit_limit: MoneyBody::from_amount(vno.credit_limit, vno.wholesale_currency),
            retail_price_list: retail.map(|list| list.slug.to_string()),
            wholesale: WholesaleBody::of(vno, caller),
            monthly_fees: vno.fees.as_ref().map(|account| MonthlyFeesBody::of(&account.fees)),
        }
    }
}

/// Create a VNO
#[utoipa::path(post, path = "/v1/vnos", request_body = NewVnoBody, responses((status = 201, body = VnoBody), Errors))]
pub async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody<NewVnoBody>,
) -> Result<(StatusCode, Json<VnoBody>), Problem> {
    let new = &body.value;
    let currency = parse("currency", &new.currency)?;
    let wholesale = new
        .wholesale_currency
        .as_deref()
        .map(|text| parse("wholesale_currency", text))
        .transpose()?;
    let order = Administer::CreateVno(Box::new(NewVno {
        slug: slug(&new.id)?,
        name: new.name.as_str().into(),
        currency,
        wholesale_currency: wholesale.unwrap_or(currency),
        time_zone: new.time_zone.as_deref().unwrap_or("UTC").into(),
        credit_limit: new
            .credit_limit
            .as_deref()
            .map_or(Ok(Default::default()), |text| parse("credit_limit", text))?,
    }));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let caller = Caller { registry: platform.registry(), ..caller };
    let vno = caller.vno(&new.id)?;
    Ok((StatusCode::CREATED, Json(VnoBody::of(vno, &caller))))
}

/// List the VNOs that the key reaches
#[utoipa::path(get, path = "/v1/vnos", responses((status = 200, body = Vec<VnoBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<VnoBody>>, Problem> {
    let visible = |vno: &&Vno| match caller.role() {
        Role::Broker => true,
        Role::Vno(own) => own == vno.id,
        Role::Carrier(_) | Role::ContentProvider(_) => false,
    };
    let vnos = caller.registry.vnos.iter().map(AsRef::as_ref).filter(visible);
    Ok(Json(vnos.map(|vno| VnoBody::of(vno, &caller)).collect()))
}

/// Read a VNO
#[utoipa::path(get, path = "/v1/vnos/{vno}", params(("vno" = String, Path)), responses((status = 200, body = VnoBody), Errors))]
pub async fn read(caller: Caller, Path(vno): Path<String>) -> Result<Json<VnoBody>, Problem> {
    Ok(Json(VnoBody::of(caller.vno(&vno)?, &caller)))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VnoChangeBody {
    pub name: Option<String>,
    /// active, suspended or closed; the broker only.
    pub standing: Option<String>,
    /// Id of one of its price lists.
    pub retail_price_list: Option<String>,
    /// The broker only.
    pub wholesale: Option<WholesaleBody>,
    /// The broker only.
    pub credit_limit: Option<String>,
    pub final_unit: Option<FinalUnitBody>,
    /// terminate, continue or retry_and_terminate.
    pub failure_handling: Option<String>,
    pub grants: Option<Vec<GrantBody>>,
    /// Ids of the carriers whose networks its subscribers may use; empty = all. The broker only.
    pub carriers: Option<Vec<String>>,
    /// The broker only.
    pub monthly_fees: Option<MonthlyFeesBody>,
}

/// What happens at the end of the last granted unit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinalUnitBody {
    /// terminate, redirect or restrict.
    pub action: String,
    /// Where to, for redirect.
    pub address: Option<String>,
    /// An IPFilterRule, for restrict.
    pub filter: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// seconds, octets, messages or events.
    pub unit: String,
    pub slice_max: u64,
    pub slice_min: u64,
    pub validity_seconds: u32,
    pub threshold_percent: u8,
    pub holding_seconds: u32,
}

/// Change a VNO
#[utoipa::path(patch, path = "/v1/vnos/{vno}", params(("vno" = String, Path)), request_body = VnoChangeBody, responses((status = 200, body = VnoBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<VnoChangeBody>,
) -> Result<Json<VnoBody>, Problem> {
    let id = caller.vno_id(&vno)?;
    let order = Administer::ChangeVno(id, Box::new(change_of(&caller, id, &body.value)?));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let caller = Caller { registry: platform.registry(), ..caller };
    Ok(Json(VnoBody::of(caller.vno(&vno)?, &caller)))
}

fn change_of(
    caller: &Caller,
    id: tandem_domain::identifier::VnoId,
    body: &VnoChangeBody,
) -> Result<VnoChange, Problem> {
    let list = |owner, slug: &String| {
        let list = caller.registry.price_list_by_slug(owner, slug);
        list.map(|list| list.id).ok_or_else(|| Problem::not_found("price list"))
    };
    let carriers = body
        .carriers
        .as_ref()
        .map(|slugs| slugs.iter().map(|slug| Ok(caller.carrier(slug)?.id)).collect());
    let mut change = VnoChange {
        name: body.name.as_deref().map(Into::into),
        standing: body.standing.as_deref().map(standing).transpose()?,
        retail: body
            .retail_price_list
            .as_ref()
            .map(|slug| list(PriceListOwner::Vno(id), slug))
            .transpose()?,
        credit_limit: body
            .credit_limit
            .as_deref()
            .map(|text| parse("credit_limit", text))
            .transpose()?,
        final_unit: body.final_unit.as_ref().map(final_unit).transpose()?,
        failure_handling: body.failure_handling.as_deref().map(failure_handling).transpose()?,
        grants: body
            .grants
            .as_ref()
            .map(|grants| grants.iter().map(grant).collect())
            .transpose()?,
        carriers: carriers.transpose()?,
        fees: body.monthly_fees.as_ref().map(MonthlyFeesBody::to_domain).transpose()?,
        ..VnoChange::default()
    };
    if let Some(terms) = &body.wholesale {
        terms.apply(caller, &mut change)?;
    }
    Ok(change)
}

fn final_unit(body: &FinalUnitBody) -> Result<FinalUnitAction, Problem> {
    match (body.action.as_str(), &body.address, &body.filter) {
        ("terminate", None, None) => Ok(FinalUnitAction::Terminate),
        ("redirect", Some(address), None) => Ok(FinalUnitAction::Redirect(address.as_str().into())),
        ("restrict", None, Some(filter)) => Ok(FinalUnitAction::Restrict(filter.as_str().into())),
        _ => Err(Problem::invalid(
            "final_unit: expected terminate, redirect with an address, or restrict with a filter",
        )),
    }
}

fn failure_handling(text: &str) -> Result<FailureHandling, Problem> {
    let all =
        [FailureHandling::Terminate, FailureHandling::Continue, FailureHandling::RetryAndTerminate];
    let found = all.into_iter().find(|handling| handling.name() == text);
    found.ok_or_else(|| {
        Problem::invalid("failure_handling: expected terminate, continue or retry_and_terminate")
    })
}

fn grant(body: &GrantBody) -> Result<(Unit, GrantPolicy), Problem> {
    Ok((
        parse("unit", &body.unit)?,
        GrantPolicy {
            slice_max: body.slice_max,
            slice_min: body.slice_min,
            validity_seconds: body.validity_seconds,
            threshold_percent: body.threshold_percent.min(100),
            holding_seconds: body.holding_seconds,
        },
    ))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepositBody {
    /// Negative when it is paid back.
    pub money: MoneyBody,
    pub note: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TransferBody {
    /// Counts within the VNO.
    pub number: u64,
    pub balance: MoneyBody,
}

pub fn transfer_body(receipt: Receipt) -> Result<TransferBody, Problem> {
    match receipt {
        Receipt::Transfer { number, balance, .. } => {
            Ok(TransferBody { number, balance: MoneyBody::of(balance) })
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// Money that the VNO paid to the broker
#[utoipa::path(post, path = "/v1/vnos/{vno}/deposits", params(("vno" = String, Path)), request_body = DepositBody, responses((status = 201, body = TransferBody), Errors))]
pub async fn deposit(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<DepositBody>,
) -> Result<(StatusCode, Json<TransferBody>), Problem> {
    let vno = caller.vno_id(&vno)?;
    let money = body.value.money.to_domain()?;
    let order =
        Administer::Deposit { vno, money, note: body.value.note.as_deref().map(Into::into) };
    let receipt = carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok((StatusCode::CREATED, Json(transfer_body(receipt)?)))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VnoBalanceBody {
    pub balance: MoneyBody,
    /// Reserved by running sessions.
    pub held: MoneyBody,
    pub credit_limit: MoneyBody,
    /// True: its subscribers are refused until money comes.
    pub credit_exhausted: bool,
}

/// The VNO's account with the broker, now
#[utoipa::path(get, path = "/v1/vnos/{vno}/balance", params(("vno" = String, Path)), responses((status = 200, body = VnoBalanceBody), Errors))]
pub async fn balance(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
) -> Result<Json<VnoBalanceBody>, Problem> {
    let vno = caller.vno(&vno)?;
    let id = vno.id;
    let read = platform.read(move |state, _| {
        (state.vno_balance(id), state.tally(id).cloned().unwrap_or_default())
    });
    let (balance, tally) = read.await.map_err(unavailable)?;
    let money = |amount| MoneyBody::of(Money::new(amount, vno.wholesale_currency));
    Ok(Json(VnoBalanceBody {
        balance: money(balance),
        held: money(tally.held),
        credit_limit: money(vno.credit_limit),
        credit_exhausted: tally.credit_exhausted,
    }))
}
