//! `x-correlator`: checked on the way in, repeated on the way out, whatever the answer.

use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Error;

pub(crate) const X_CORRELATOR: HeaderName = HeaderName::from_static("x-correlator");
const LENGTH_MAX: usize = 256;

fn is_valid(value: &[u8]) -> bool {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_:;./<>{}".contains(octet);
    value.len() <= LENGTH_MAX && value.iter().all(plain)
}

pub(crate) async fn correlate(request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(X_CORRELATOR).cloned() else {
        return next.run(request).await;
    };
    if !is_valid(value.as_bytes()) {
        return Error::invalid("x-correlator: letters, digits and -_:;./<>{}, at most 256")
            .into_response();
    }
    let mut response = next.run(request).await;
    if !value.is_empty() {
        response.headers_mut().insert(X_CORRELATOR, value);
    }
    response
}
