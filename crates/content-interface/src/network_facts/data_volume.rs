//! CAMARA Device Data Volume 0.1: how much of its allowance a line has left.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tandem_domain::identifier::LineId;
use tandem_domain::quantity::Unit;
use tandem_domain::subscriber::Bucket;

use super::{Device, DeviceOut, not_applicable};
use crate::context::{Access, Content};
use crate::error::Error;

const SCOPE: &str = "device-data-volume:read";
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[derive(Deserialize)]
pub(super) struct Retrieve {
    device: Option<Device>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Category {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceOut>,
    data_volume_category: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    device: Option<Device>,
    volume_to_check: Volume,
}

#[derive(Deserialize)]
struct Volume {
    value: i64,
    unit: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceOut>,
    threshold_exceeded: bool,
}

/// Octets left in all allowances that the line's payers open to it.
async fn octets_left(content: &Content, line: LineId) -> Result<u64, Error> {
    let answer = content.platform.read(move |state, now| {
        let subscriber = state.subscriber(line.subscriber())?;
        let own = subscriber.line(line)?;
        let accounts: Vec<_> = match &own.payer_rules {
            None => subscriber.accounts.first().into_iter().collect(),
            Some(rules) => rules.iter().filter_map(|rule| state.account(rule.account)).collect(),
        };
        let counts = |bucket: &&Bucket| bucket.unit == Unit::Octets && !bucket.is_expired(now);
        let buckets = accounts.into_iter().flat_map(|account| &account.buckets).filter(counts);
        let left = buckets.map(|bucket| u64::try_from(bucket.balance - bucket.held).unwrap_or(0));
        left.reduce(u64::saturating_add)
    });
    answer.await?.ok_or_else(|| not_applicable("the line has no data allowance"))
}

pub(super) async fn retrieve(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Json<Category>, Error> {
    access.require(SCOPE)?;
    let asked: Retrieve =
        serde_json::from_slice(&body).map_err(|error| Error::invalid(error.to_string()))?;
    let phone = Device::phone(asked.device.as_ref(), &access)?;
    let line = access.line(&content, phone.as_deref(), SCOPE).await?;
    let data_volume_category = match octets_left(&content, line).await? {
        left if left < 200 * MIB => "<200MiB",
        left if left < GIB => "<1GiB",
        left if left < 5 * GIB => "<5GiB",
        _ => ">=5GiB",
    };
    Ok(Json(Category { device: Device::told(asked.device.as_ref()), data_volume_category }))
}

pub(super) async fn check(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Json<Checked>, Error> {
    access.require(SCOPE)?;
    let asked: Check =
        serde_json::from_slice(&body).map_err(|error| Error::invalid(error.to_string()))?;
    let unit = match asked.volume_to_check.unit.as_str() {
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return Err(Error::invalid("volumeToCheck.unit: expected MiB or GiB")),
    };
    let value = u64::try_from(asked.volume_to_check.value).ok().filter(|value| *value <= 1024);
    let value =
        value.ok_or_else(|| Error::out_of_range("volumeToCheck.value: expected 0 to 1024"))?;
    let phone = Device::phone(asked.device.as_ref(), &access)?;
    let line = access.line(&content, phone.as_deref(), SCOPE).await?;
    let threshold_exceeded = octets_left(&content, line).await? > value * unit;
    Ok(Json(Checked { device: Device::told(asked.device.as_ref()), threshold_exceeded }))
}
