//! CAMARA SIM Swap 2.1: when did the SIM of this number last change?

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tandem_domain::time::Timestamp;

use super::not_applicable;
use crate::context::{Access, Content};
use crate::error::Error;

const RETRIEVE: &str = "sim-swap:retrieve-date";
const CHECK: &str = "sim-swap:check";
const AGE_DEFAULT_HOURS: i64 = 240;
const AGE_MAX_HOURS: i64 = 2400;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    phone_number: Option<String>,
    max_age: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    latest_sim_change: String,
}

#[derive(Serialize)]
pub(super) struct Swapped {
    swapped: bool,
}

async fn changed_at(
    content: &Content,
    access: &Access,
    phone: Option<&str>,
    scope: &'static str,
) -> Result<(Timestamp, Timestamp), Error> {
    let line = access.line(content, phone, scope).await?;
    let known = content
        .platform
        .read(move |state, now| state.line(line).map(|line| (line.sim_changed_at, now)));
    let (changed, now) = known.await?.ok_or_else(Error::identifier_not_found)?;
    if changed == 0 {
        return Err(not_applicable("the line's SIM is not known here"));
    }
    Ok((Timestamp::from_seconds(i64::from(changed)), now))
}

/// The change, or the activation of the line when there was none.
pub(super) async fn retrieve_date(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Json<Changed>, Error> {
    access.require(RETRIEVE)?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Error::invalid(error.to_string()))?;
    let (changed, _) =
        changed_at(&content, &access, question.phone_number.as_deref(), RETRIEVE).await?;
    Ok(Json(Changed { latest_sim_change: changed.to_string() }))
}

pub(super) async fn check(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Json<Swapped>, Error> {
    access.require(CHECK)?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Error::invalid(error.to_string()))?;
    let hours = question.max_age.unwrap_or(AGE_DEFAULT_HOURS);
    if !(1..=AGE_MAX_HOURS).contains(&hours) {
        return Err(Error::out_of_range("maxAge: expected 1 to 2400 hours"));
    }
    let (changed, now) =
        changed_at(&content, &access, question.phone_number.as_deref(), CHECK).await?;
    let swapped = now.seconds() - changed.seconds() <= hours * 3600;
    Ok(Json(Swapped { swapped }))
}
