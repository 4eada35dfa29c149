//! Dated exchange rates.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tandem_domain::catalogue::ExchangeRate;
use tandem_domain::command::Administer;
use tandem_domain::money::Amount;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{parse, time};
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRateBody {
    pub from: String,
    pub to: String,
    /// RFC 3339.
    pub valid_from: String,
    /// What one unit of `from` is worth in `to`, at most six digits after the point.
    pub rate: String,
}

/// Set what a currency is worth from a day on
#[utoipa::path(put, path = "/v1/exchange-rates", request_body = ExchangeRateBody, responses((status = 204), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody<ExchangeRateBody>,
) -> Result<StatusCode, Problem> {
    let rate: Amount = parse("rate", &body.value.rate)?;
    let order = Administer::SetExchangeRate(ExchangeRate {
        from: parse("from", &body.value.from)?,
        to: parse("to", &body.value.to)?,
        valid_from: time(&body.value.valid_from)?,
        rate: u64::try_from(rate.micros())
            .map_err(|_| Problem::invalid("rate: must be above zero"))?,
    });
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(StatusCode::NO_CONTENT)
}
