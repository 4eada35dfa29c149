//! `x-correlator`: checked on the way in, repeated on the way out, whatever the answer.

use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Error;

pub(crate) const X_CORRELATOR: HeaderName = HeaderName::from_static("x-correlator");
/// What the files of this path allow: characters beside letters and digits, and the length.
fn pattern(path: &str) -> (&'static [u8], usize) {
    if path.starts_with("/device-roaming-status/") { (b"-", 55) } else { (b"-_:;./<>{}", 256) }
}

fn is_valid(value: &[u8], path: &str) -> bool {
    let (others, length_max) = pattern(path);
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || others.contains(octet);
    value.len() <= length_max && value.iter().all(plain)
}

pub(crate) async fn correlate(request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(X_CORRELATOR).cloned() else {
        return next.run(request).await;
    };
    if !is_valid(value.as_bytes(), request.uri().path()) {
        return Error::invalid("x-correlator: not of the pattern in the API's file")
            .into_response();
    }
    let mut response = next.run(request).await;
    if !value.is_empty() {
        response.headers_mut().insert(X_CORRELATOR, value);
    }
    response
}
