//! What the broker knows of a line because it runs its service.

mod data_volume;
mod roaming_status;
mod sim_swap;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::{Access, Content};
use crate::error::Error;

pub(crate) fn router() -> Router<Content> {
    Router::new()
        .route("/sim-swap/v2/retrieve-date", post(sim_swap::retrieve_date))
        .route("/sim-swap/v2/check", post(sim_swap::check))
        .route("/device-data-volume/v0.1/retrieve", post(data_volume::retrieve))
        .route("/device-data-volume/v0.1/check", post(data_volume::check))
        .route("/device-roaming-status/v1/retrieve", post(roaming_status::retrieve))
}

/// A device as CAMARA names it; we know it by its number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    phone_number: Option<String>,
    ipv4_address: Option<Value>,
    ipv6_address: Option<Value>,
    network_access_identifier: Option<Value>,
}

/// The one identifier that was used, told to who named several.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceOut {
    phone_number: String,
}

impl Device {
    /// The number, if it can be known which line is meant.
    fn phone(device: Option<&Device>, access: &Access) -> Result<Option<String>, Error> {
        let Some(device) = device else { return Ok(None) };
        let others = [
            device.ipv4_address.is_some(),
            device.ipv6_address.is_some(),
            device.network_access_identifier.is_some(),
        ];
        match &device.phone_number {
            Some(phone) => Ok(Some(phone.clone())),
            None if access.line.is_some() && others.contains(&true) => {
                Err(Error::unnecessary_identifier())
            }
            None if others.contains(&true) => Err(Error::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "UNSUPPORTED_IDENTIFIER",
                "name the device by its phoneNumber",
            )),
            None => Err(Error::invalid("device: expected an identifier")),
        }
    }

    fn told(device: Option<&Device>) -> Option<DeviceOut> {
        device
            .and_then(|device| device.phone_number.clone())
            .map(|phone_number| DeviceOut { phone_number })
    }
}

/// The service is known for lines that have it; for others it does not apply.
fn not_applicable(message: &str) -> Error {
    Error::new(StatusCode::UNPROCESSABLE_ENTITY, "SERVICE_NOT_APPLICABLE", message)
}
