//! CAMARA Device Roaming Status 1.0: is the device in a network that is not its home's?

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{Identity, IdentityKind};
use tandem_domain::time::Timestamp;

use super::Device;
use crate::context::{Access, Content};
use crate::error::Error;

const SCOPE: &str = "device-roaming-status:read";

#[derive(Deserialize)]
pub(super) struct Question {
    device: Option<Device>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    last_status_time: String,
    roaming: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_name: Option<Vec<&'static str>>,
}

/// ISO 3166 codes of mobile country codes (ITU-T E.212), the most travelled; of others the code alone is told.
const COUNTRIES: [(u16, &[&str]); 46] = [
    (202, &["GR"]),
    (204, &["NL"]),
    (206, &["BE"]),
    (208, &["FR"]),
    (212, &["MC"]),
    (213, &["AD"]),
    (214, &["ES"]),
    (216, &["HU"]),
    (218, &["BA"]),
    (219, &["HR"]),
    (220, &["RS"]),
    (222, &["IT", "VA"]),
    (226, &["RO"]),
    (228, &["CH"]),
    (230, &["CZ"]),
    (231, &["SK"]),
    (232, &["AT"]),
    (234, &["GB", "GG", "IM", "JE"]),
    (238, &["DK"]),
    (240, &["SE"]),
    (242, &["NO"]),
    (244, &["FI"]),
    (246, &["LT"]),
    (247, &["LV"]),
    (248, &["EE"]),
    (255, &["UA"]),
    (260, &["PL"]),
    (262, &["DE"]),
    (268, &["PT"]),
    (270, &["LU"]),
    (272, &["IE"]),
    (274, &["IS"]),
    (278, &["MT"]),
    (280, &["CY"]),
    (284, &["BG"]),
    (286, &["TR"]),
    (293, &["SI"]),
    (295, &["LI"]),
    (302, &["CA"]),
    (310, &["US"]),
    (334, &["MX"]),
    (404, &["IN"]),
    (440, &["JP"]),
    (450, &["KR"]),
    (460, &["CN"]),
    (505, &["AU"]),
];

fn country(network: Digits) -> Option<u16> {
    network.to_string().trim_start_matches('+').get(..3)?.parse().ok()
}

/// Where the device was last seen, and where it is at home.
struct Seen {
    at: Timestamp,
    serving: Digits,
    home: Option<u16>,
}

pub(super) async fn retrieve(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Json<Status>, Error> {
    access.require(SCOPE)?;
    let asked: Question =
        serde_json::from_slice(&body).map_err(|error| Error::invalid(error.to_string()))?;
    let phone = Device::phone(asked.device.as_ref(), &access)?;
    let line = access.line(&content, phone.as_deref(), SCOPE).await?;
    let seen = content.platform.read(move |state, _| {
        let imsi = state.line(line)?.identities.iter().find_map(|identity| match identity {
            Identity::Number(IdentityKind::Imsi, _) => identity.value().get(..3)?.parse().ok(),
            _ => None,
        });
        let sessions = state.sessions_of(line.subscriber()).iter();
        let sessions = sessions.filter_map(|id| state.sessions.get(id));
        let latest = sessions
            .filter(|session| session.line == line && session.context.serving_network.is_some())
            .max_by_key(|session| session.heard_at)?;
        let serving = latest.context.serving_network?;
        Some(Seen { at: latest.heard_at, serving, home: imsi })
    });
    let unknown = || {
        let message = "no session of the device says where it is";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    };
    let seen = seen.await?.ok_or_else(unknown)?;
    let code = country(seen.serving);
    let roaming = match (code, seen.home) {
        (Some(code), Some(home)) => code != home,
        _ => return Err(unknown()),
    };
    let names = code.and_then(|code| COUNTRIES.iter().find(|(known, _)| *known == code));
    Ok(Json(Status {
        last_status_time: seen.at.to_string(),
        roaming,
        country_code: code.filter(|_| roaming),
        country_name: roaming.then(|| names.map_or(Vec::new(), |(_, names)| names.to_vec())),
    }))
}
