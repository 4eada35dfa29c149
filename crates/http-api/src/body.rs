//! JSON bodies, refused with a problem that says where.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::Problem;

/// Octets of a JSON body, at most.
pub const BODY_BYTES_MAX: usize = 2 << 20;

/// A body that was read, with its octets for the idempotency fingerprint.
#[derive(Debug)]
pub struct JsonBody<T> {
    pub value: T,
    pub bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_json = content_type.and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json" || essence.ends_with("+json")
        });
        if !is_json {
            let detail = "expected Content-Type: application/json";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                detail,
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                format!("at most {BODY_BYTES_MAX} octets"),
            )
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(JsonBody { value, bytes }),
            Err(error) if error.is_data() => Err(Problem::invalid(error.to_string())),
            Err(error) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string()))
            }
        }
    }
}
