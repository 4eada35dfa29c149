//! Refunds of payments, total and partial.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_domain::content::{ContentCommand, ContentRefusal, RefundRequest};

use super::body::{
    Back, RefundBody, RefundOut, RemainingOut, name, parse_payment_id, read, refund_id,
};
use super::payments::own_payment;
use crate::context::{Access, Content};
use crate::error::Error;
use crate::sink;

const CREATE: &str = "carrier-billing-refund:refunds:create";
pub(super) const READ: &str = "carrier-billing-refund:refunds:read";

pub(super) async fn create(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<RefundOut>), Error> {
    access.require(CREATE)?;
    let body: RefundBody = read(&body)?;
    let is_total = match body.kind.as_str() {
        "total" => true,
        "partial" => false,
        _ => return Err(Error::invalid("type: expected total or partial")),
    };
    let transaction = &body.amount_transaction;
    let back = Back::read(is_total, &transaction.refund_amount)?;
    let allow_private = content.options.private_sinks;
    let sink = sink::read(body.sink.as_ref(), body.sink_credential.as_ref(), allow_private)?;
    let correlator = transaction.client_correlator.as_deref();
    let payment = parse_payment_id(&id)?;
    let request = RefundRequest {
        client: access.client.id,
        line: access.line,
        payment,
        price: back.price,
        items: back.items,
        body: transaction.refund_amount.get().into(),
        correlator: correlator.map(|text| name("clientCorrelator", text)).transpose()?,
        reference: name("referenceCode", &transaction.reference_code)?,
        reason: body.reason.as_deref().map(|text| name("reason", text)).transpose()?,
        merchant: back.merchant,
        sink,
    };
    let refunded = match content.ask(ContentCommand::Refund(Box::new(request.clone()))).await? {
        // Memory may have let it go; the books have it.
        Err(ContentRefusal::UnknownPayment) => {
            let read_at = content.platform.now();
            let old = Box::new(own_payment(&content, &access, payment).await?);
            content.ask(ContentCommand::Recall { payment: old, read_at }).await??;
            content.ask(ContentCommand::Refund(Box::new(request))).await??
        }
        other => other?,
    };
    let refund = refunded.refunds.last().ok_or_else(Error::not_found)?;
    Ok((StatusCode::CREATED, Json(RefundOut::of(payment, refund))))
}

pub(super) async fn retrieve(
    State(content): State<Content>,
    access: Access,
    Path((id, refund)): Path<(String, String)>,
) -> Result<Json<RefundOut>, Error> {
    access.require(READ)?;
    let id = parse_payment_id(&id)?;
    let payment = own_payment(&content, &access, id).await?;
    let found = payment.refunds.iter().find(|known| refund_id(id, known.number) == refund);
    found.map(|found| Json(RefundOut::of(id, found))).ok_or_else(Error::not_found)
}

pub(super) async fn remaining(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<RemainingOut>, Error> {
    access.require(READ)?;
    let payment = own_payment(&content, &access, parse_payment_id(&id)?).await?;
    Ok(Json(RemainingOut::of(&payment)))
}
