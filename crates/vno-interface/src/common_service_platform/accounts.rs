//! Accounts and their balances, as they are now.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::command::{Administer, Receipt};
use tandem_domain::identifier::AccountId;
use tandem_domain::money::Amount;
use tandem_domain::quantity::Unit;
use tandem_domain::subscriber::{Account, Bucket};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{MoneyBody, parse};
use tandem_http_access::{Errors, carry_out, unavailable};

#[derive(Debug, Serialize, ToSchema)]
pub struct AccountBody {
    pub id: String,
    /// All money, main and bonus.
    pub balance: MoneyBody,
    /// Of it, reserved by running sessions.
    pub held: MoneyBody,
    /// Above zero: post-paid up to it.
    pub credit_limit: MoneyBody,
    /// Lines of other subscribers may name it in their payer rules.
    pub shared: bool,
    pub buckets: Vec<BucketBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BucketBody {
    pub id: u16,
    /// money, seconds, octets, messages or events.
    pub unit: String,
    /// A number of units, or a decimal amount of money.
    pub balance: String,
    pub held: String,
    pub expires: Option<String>,
}

impl AccountBody {
    pub fn of(id: AccountId, account: &Account) -> AccountBody {
        let money = |amount| MoneyBody::from_amount(amount, account.currency);
        AccountBody {
            id: identifiers::account(id),
            balance: money(account.money()),
            held: money(account.held_money()),
            credit_limit: money(account.credit_limit),
            shared: account.shared,
            buckets: account.buckets.iter().map(BucketBody::of).collect(),
        }
    }
}

impl BucketBody {
    fn of(bucket: &Bucket) -> BucketBody {
        let quantity = |units: i64| match bucket.unit {
            Unit::Money => Amount::from_micros(units).to_string(),
            Unit::Seconds | Unit::Octets | Unit::Messages | Unit::Events => units.to_string(),
        };
        BucketBody {
            id: bucket.id.number(),
            unit: bucket.unit.name().into(),
            balance: quantity(bucket.balance),
            held: quantity(bucket.held),
            expires: bucket.expiry().map(|expiry| expiry.to_string()),
        }
    }
}

pub async fn show(platform: &Platform, id: AccountId) -> Result<AccountBody, Problem> {
    let account =
        platform.read(move |state, _| state.account(id).cloned()).await.map_err(unavailable)?;
    account
        .map(|account| AccountBody::of(id, &account))
        .ok_or_else(|| Problem::not_found("account"))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewAccountBody {
    /// The VNO's when left out.
    pub currency: Option<String>,
    pub credit_limit: Option<String>,
    pub shared: bool,
}

/// Open another account of a subscriber
#[utoipa::path(post, path = "/v1/vnos/{vno}/subscribers/{subscriber}/accounts", params(("vno" = String, Path), ("subscriber" = String, Path)), request_body = NewAccountBody, responses((status = 201, body = AccountBody), Errors))]
pub async fn open(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<NewAccountBody>,
) -> Result<(StatusCode, Json<AccountBody>), Problem> {
    let subscriber = identifiers::parse_subscriber(caller.vno_id(&vno)?, &subscriber)?;
    let new = &body.value;
    let order = Administer::OpenAccount {
        subscriber,
        currency: new.currency.as_deref().map(|text| parse("currency", text)).transpose()?,
        credit_limit: new
            .credit_limit
            .as_deref()
            .map_or(Ok(Amount::ZERO), |text| parse("credit_limit", text))?,
        shared: new.shared,
    };
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::Account(id) => Ok((StatusCode::CREATED, Json(show(&platform, id).await?))),
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// Read an account's balances, as they are now
#[utoipa::path(get, path = "/v1/vnos/{vno}/accounts/{account}", params(("vno" = String, Path), ("account" = String, Path)), responses((status = 200, body = AccountBody), Errors))]
pub async fn read(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, account)): Path<(String, String)>,
) -> Result<Json<AccountBody>, Problem> {
    let id = identifiers::parse_account(caller.vno_id(&vno)?, &account)?;
    Ok(Json(show(&platform, id).await?))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountChangeBody {
    pub credit_limit: Option<String>,
    pub shared: Option<bool>,
}

/// Change an account's credit limit, or let others' lines be paid from it
#[utoipa::path(patch, path = "/v1/vnos/{vno}/accounts/{account}", params(("vno" = String, Path), ("account" = String, Path)), request_body = AccountChangeBody, responses((status = 200, body = AccountBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, account)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<AccountChangeBody>,
) -> Result<Json<AccountBody>, Problem> {
    let id = identifiers::parse_account(caller.vno_id(&vno)?, &account)?;
    let credit_limit =
        body.value.credit_limit.as_deref().map(|text| parse("credit_limit", text)).transpose()?;
    let order = Administer::ChangeAccount { id, credit_limit, shared: body.value.shared };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(show(&platform, id).await?))
}
