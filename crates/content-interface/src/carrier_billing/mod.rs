//! CAMARA Carrier Billing 0.5.0 and Refund 0.3.0 (release r3.2).

mod body;
mod lists;
mod payments;
mod refunds;

pub(crate) use body::{payment_id, refund_id};

use axum::Router;
use axum::routing::{get, post};

use crate::context::Content;

pub(crate) fn router() -> Router<Content> {
    const PAYMENTS: &str = "/carrier-billing/v0.5/payments";
    const REFUNDS: &str = "/carrier-billing-refund/v0.3/payments/{payment}/refunds";
    Router::new()
        .route(PAYMENTS, post(payments::create).get(lists::payments))
        .route(&format!("{PAYMENTS}/prepare"), post(payments::prepare))
        .route(&format!("{PAYMENTS}/{{payment}}"), get(payments::retrieve))
        .route(&format!("{PAYMENTS}/{{payment}}/validate"), post(payments::validate))
        .route(&format!("{PAYMENTS}/{{payment}}/confirm"), post(payments::confirm))
        .route(&format!("{PAYMENTS}/{{payment}}/cancel"), post(payments::cancel))
        .route(REFUNDS, post(refunds::create).get(lists::refunds))
        .route(&format!("{REFUNDS}/remaining-amount"), get(refunds::remaining))
        .route(&format!("{REFUNDS}/{{refund}}"), get(refunds::retrieve))
}
