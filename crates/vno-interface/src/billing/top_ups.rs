//! Top-ups and adjustments.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::command::{Administer, Receipt};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{MoneyBody, time};
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpBody {
    pub money: MoneyBody,
    /// RFC 3339: until when the balance may be used; unchanged when left out.
    pub expires: Option<String>,
    pub note: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MovedBody {
    /// Counts within the VNO.
    pub number: u64,
    /// After it.
    pub balance: MoneyBody,
}

fn moved(receipt: Receipt) -> Result<(StatusCode, Json<MovedBody>), Problem> {
    match receipt {
        Receipt::Transfer { number, balance, .. } => {
            Ok((StatusCode::CREATED, Json(MovedBody { number, balance: MoneyBody::of(balance) })))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// Top an account up; sessions that wait for money go on
#[utoipa::path(post, path = "/v1/vnos/{vno}/accounts/{account}/top-ups", params(("vno" = String, Path), ("account" = String, Path)), request_body = TopUpBody, responses((status = 201, body = MovedBody), Errors))]
pub async fn top_up(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, account)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<TopUpBody>,
) -> Result<(StatusCode, Json<MovedBody>), Problem> {
    let order = Administer::TopUp {
        account: identifiers::parse_account(caller.vno_id(&vno)?, &account)?,
        money: body.value.money.to_domain()?,
        expires: body.value.expires.as_deref().map(time).transpose()?,
        note: body.value.note.as_deref().map(Into::into),
    };
    moved(carry_out(&platform, caller.role(), key, &body.bytes, order).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustmentBody {
    /// Negative takes money off.
    pub money: MoneyBody,
    pub note: Option<String>,
}

/// Correct an account's balance, either way
#[utoipa::path(post, path = "/v1/vnos/{vno}/accounts/{account}/adjustments", params(("vno" = String, Path), ("account" = String, Path)), request_body = AdjustmentBody, responses((status = 201, body = MovedBody), Errors))]
pub async fn adjust(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, account)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<AdjustmentBody>,
) -> Result<(StatusCode, Json<MovedBody>), Problem> {
    let order = Administer::Adjust {
        account: identifiers::parse_account(caller.vno_id(&vno)?, &account)?,
        money: body.value.money.to_domain()?,
        note: body.value.note.as_deref().map(Into::into),
    };
    moved(carry_out(&platform, caller.role(), key, &body.bytes, order).await?)
}
