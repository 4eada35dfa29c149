//! `Idempotency-Key`: a write that is sent again does not happen again.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};

use crate::Problem;

/// The caller's key, if one was sent, and what it was sent for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    key: Option<Result<String, Problem>>,
    target: String,
}

const KEY_MAX: usize = 255;

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Infallible> {
        let key = parts.headers.get("idempotency-key").map(|value| {
            let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= KEY_MAX);
            let invalid =
                || Problem::invalid("Idempotency-Key: expected 1 to 255 printable characters");
            text.map(str::to_owned).ok_or_else(invalid)
        });
        let asked = parts.uri.path_and_query().map_or("", |asked| asked.as_str());
        Ok(IdempotencyKey { key, target: format!("{} {asked}", parts.method) })
    }
}

impl IdempotencyKey {
    /// The key, and a fingerprint of method, path, query and body: one key names one request.
    pub fn for_body(self, body: &[u8]) -> Result<Option<(String, u64)>, Problem> {
        let Some(key) = self.key.transpose()? else {
            return Ok(None);
        };
        let digest = Sha256::new()
            .chain_update(self.target.as_bytes())
            .chain_update([0])
            .chain_update(body)
            .finalize();
        let head: [u8; 8] = digest[..8].try_into().unwrap_or_default();
        Ok(Some((key, u64::from_be_bytes(head))))
    }
}
