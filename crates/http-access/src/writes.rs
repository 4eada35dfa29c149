//! Writes: one way from a request to a receipt, one map from refusals to problems.

use axum::http::StatusCode;
use tandem_books::BooksError;
use tandem_domain::access::Role;
use tandem_domain::answered::RequestKey;
use tandem_domain::command::{Administer, Administration, Command, Receipt, Refused, Response};
use tandem_http_api::{IdempotencyKey, Problem};
use tandem_platform::{Platform, Unavailable};
use utoipa::IntoResponses;

/// What every operation may be answered with instead.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub enum Errors {
    /// The body or a parameter cannot be read.
    #[response(status = 400)]
    Malformed(Problem),
    /// No valid API key.
    #[response(status = 401)]
    Unauthenticated(Problem),
    /// The key's role may not do that.
    #[response(status = 403)]
    Forbidden(Problem),
    /// It does not exist, or not for this key.
    #[response(status = 404)]
    NotFound(Problem),
    /// It exists already, or is not in a state for this.
    #[response(status = 409)]
    Conflict(Problem),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(Problem),
    /// Not the media type that is expected.
    #[response(status = 415)]
    UnsupportedMediaType(Problem),
    /// A value is not acceptable, or the balance does not cover it.
    #[response(status = 422)]
    Invalid(Problem),
    /// Too busy, or not taking work; try again.
    #[response(status = 503)]
    Unavailable(Problem),
}

/// Carries out a write under the caller's role; a repeat with the same key gets the first receipt.
pub async fn carry_out(
    platform: &Platform,
    role: Role,
    key: IdempotencyKey,
    body: &[u8],
    order: Administer,
) -> Result<Receipt, Problem> {
    let idempotency = key
        .for_body(body)?
        .map(|(key, fingerprint)| (RequestKey::of_role(role, &key), fingerprint));
    submit(platform, Administration { role, idempotency, order }).await
}

pub async fn submit(
    platform: &Platform,
    administration: Administration,
) -> Result<Receipt, Problem> {
    match platform.submit(Command::Administer(Box::new(administration))).await {
        Ok(Response::Administered(result)) => result.map_err(refused),
        Ok(_) => Err(Problem::unavailable("the platform answered another question")),
        Err(error) => Err(unavailable(error)),
    }
}

fn refused(refused: Refused) -> Problem {
    let (status, kind) = match &refused {
        Refused::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
        Refused::AlreadyExists(_) => (StatusCode::CONFLICT, "already-exists"),
        Refused::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Refused::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Refused::InsufficientBalance => (StatusCode::UNPROCESSABLE_ENTITY, "insufficient-balance"),
        Refused::Content(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-sold"),
        Refused::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
        Refused::WrongState(_) => (StatusCode::CONFLICT, "wrong-state"),
    };
    Problem::new(status, kind, refused.to_string())
}

pub fn unavailable(error: Unavailable) -> Problem {
    Problem::unavailable(error.to_string())
}

/// Asks the books, once they hold all that was answered before, beside the server's threads.
pub async fn ask_books<T: Send + 'static>(
    platform: &Platform,
    ask: impl FnOnce(&tandem_books::BooksReader) -> Result<T, BooksError> + Send + 'static,
) -> Result<T, Problem> {
    let books = platform.books_in_step().await;
    let answer = tokio::task::spawn_blocking(move || ask(&books)).await;
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Problem::unavailable(error.to_string())),
        Err(_) => Err(Problem::unavailable("the question to the books was broken off")),
    }
}
