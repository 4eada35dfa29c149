//! Errors as the CAMARA files word them: status, code, message.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tandem_books::BooksError;
use tandem_domain::content::ContentRefusal;
use tandem_platform::Unavailable;

/// `ErrorInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Error {
    status: u16,
    code: &'static str,
    message: String,
}

impl Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Error {
        Error { status: status.as_u16(), code, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    pub fn out_of_range(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, "OUT_OF_RANGE", message)
    }

    pub fn unauthenticated() -> Error {
        let message = "the access token is missing, invalid or expired";
        Error::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    pub fn permission_denied(message: &str) -> Error {
        Error::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message)
    }

    pub fn too_many_requests() -> Error {
        let message = "more requests a second than agreed";
        Error::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message)
    }

    pub fn missing_identifier() -> Error {
        let message = "the token is not issued for a line: name the phone number";
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, "MISSING_IDENTIFIER", message)
    }

    pub fn unnecessary_identifier() -> Error {
        let message = "the line is known from the token: leave the phone number out";
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, "UNNECESSARY_IDENTIFIER", message)
    }

    pub fn identifier_not_found() -> Error {
        Error::new(StatusCode::NOT_FOUND, "IDENTIFIER_NOT_FOUND", "no such phone number here")
    }

    pub fn not_found() -> Error {
        Error::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such payment or refund")
    }

    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    }
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Error {
        Error::unavailable(unavailable.to_string())
    }
}

impl From<BooksError> for Error {
    fn from(error: BooksError) -> Error {
        Error::unavailable(error.to_string())
    }
}

impl From<ContentRefusal> for Error {
    fn from(refusal: ContentRefusal) -> Error {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const CONFLICT: StatusCode = StatusCode::CONFLICT;
        const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
        let (status, code) = match refusal {
            ContentRefusal::UnknownNumber => return Error::identifier_not_found(),
            ContentRefusal::UnknownPayment => return Error::not_found(),
            ContentRefusal::CorrelatorUsed
            | ContentRefusal::UnknownCurrency
            | ContentRefusal::OutOfRange => (BAD, "INVALID_ARGUMENT"),
            ContentRefusal::ReferenceUsed | ContentRefusal::AlreadyValidated => {
                (CONFLICT, "ALREADY_EXISTS")
            }
            ContentRefusal::NotOffered => (UNPROCESSABLE, "SERVICE_NOT_APPLICABLE"),
            ContentRefusal::Denied(_)
            | ContentRefusal::AgeNotKnown
            | ContentRefusal::NotValidated
            | ContentRefusal::WasDenied => (FORBIDDEN, "CARRIER_BILLING.PAYMENT_DENIED"),
            ContentRefusal::AmountNotAllowed => {
                (UNPROCESSABLE, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT")
            }
            ContentRefusal::MonthlyLimit => {
                (UNPROCESSABLE, "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED")
            }
            ContentRefusal::AlreadyConfirmed => (CONFLICT, "CARRIER_BILLING.PAYMENT_CONFIRMED"),
            ContentRefusal::AlreadyCancelled => (CONFLICT, "CARRIER_BILLING.PAYMENT_CANCELLED"),
            ContentRefusal::WrongAuthorization => (BAD, "CARRIER_BILLING.INVALID_AUTHORIZATION_ID"),
            ContentRefusal::WrongCode => (BAD, "CARRIER_BILLING.INVALID_CODE"),
            ContentRefusal::TriesUsedUp => (BAD, "CARRIER_BILLING.VALIDATION_FAILED"),
            ContentRefusal::NotPaid => {
                (UNPROCESSABLE, "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS")
            }
            ContentRefusal::RefundTooLarge => {
                (UNPROCESSABLE, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT")
            }
            ContentRefusal::RefundLimit => {
                (UNPROCESSABLE, "CARRIER_BILLING_REFUND.USER_AMOUNT_THRESHOLD_OVERPASSED")
            }
            ContentRefusal::NotRefundable => {
                (FORBIDDEN, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND")
            }
            ContentRefusal::RefundDenied(_) => (FORBIDDEN, "CARRIER_BILLING_REFUND.REFUND_DENIED"),
            ContentRefusal::TaxMismatch => {
                (UNPROCESSABLE, "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH")
            }
            ContentRefusal::ItemsMismatch => {
                (UNPROCESSABLE, "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH")
            }
            ContentRefusal::Outdated => return Error::unavailable(refusal.reason()),
        };
        Error::new(status, code, refusal.reason())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let wait =
            matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let mut response = (status, Json(self)).into_response();
        if wait {
            let second = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}
