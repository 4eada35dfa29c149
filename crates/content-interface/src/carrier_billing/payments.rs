//! One-step and two-step payments.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tandem_domain::content::{
    ContentCommand, ContentRefusal, NewCode, Payment, PaymentId, PaymentRequest,
};

use super::body::{Charge, CreateBody, PaymentOut, name, parse_payment_id, payment_id, read};
use crate::context::{Access, Content};
use crate::error::Error;
use crate::sink;

pub(super) const CREATE: &str = "carrier-billing:payments:create";
pub(super) const READ: &str = "carrier-billing:payments:read";
const WRITE: &str = "carrier-billing:payments:write";

type Created = (StatusCode, HeaderMap, Json<PaymentOut>);

pub(super) async fn create(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Created, Error> {
    pay(&content, &access, &body, None).await
}

pub(super) async fn prepare(
    State(content): State<Content>,
    access: Access,
    body: Bytes,
) -> Result<Created, Error> {
    let authorization =
        format!("{:016x}{:016x}", tandem_http_api::random_u64(), tandem_http_api::random_u64());
    let code = format!("{:06}", tandem_http_api::random_u64() % 1_000_000);
    let code_hash = hash(&authorization, &code);
    let reserve = NewCode { authorization: authorization.into(), code: code.into(), code_hash };
    pay(&content, &access, &body, Some(reserve)).await
}

/// Nobody who reads the journal learns a code.
fn hash(authorization: &str, code: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(authorization.as_bytes())
        .chain_update([0])
        .chain_update(code.as_bytes())
        .finalize()
        .into()
}

async fn pay(
    content: &Content,
    access: &Access,
    body: &Bytes,
    reserve: Option<NewCode>,
) -> Result<Created, Error> {
    access.require(CREATE)?;
    let body: CreateBody = read(body)?;
    let transaction = &body.amount_transaction;
    let charge = Charge::of_payment(&transaction.payment_amount)?;
    let allow_private = content.options.private_sinks;
    let sink = sink::read(body.sink.as_ref(), body.sink_credential.as_ref(), allow_private)?;
    let correlator = transaction.client_correlator.as_deref();
    let request = PaymentRequest {
        client: access.client.id,
        subject: access.subject(transaction.phone_number.as_deref())?,
        correlator: correlator.map(|text| name("clientCorrelator", text)).transpose()?,
        reference: name("referenceCode", &transaction.reference_code)?,
        price: charge.price,
        items: charge.items,
        body: transaction.payment_amount.get().into(),
        description: charge.description.into(),
        merchant: charge.merchant,
        category: charge.category,
        sink,
        reserve,
    };
    let is_prepared = request.reserve.is_some();
    let payment = content.ask(ContentCommand::Pay(Box::new(request))).await??;
    let mut headers = HeaderMap::new();
    let location = format!("/carrier-billing/v0.5/payments/{}", payment_id(payment.id));
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    Ok((StatusCode::CREATED, headers, Json(PaymentOut::of(&payment, is_prepared))))
}

/// The client's payment as it is now: from memory, from the books when memory has let it go.
pub(super) async fn own_payment(
    content: &Content,
    access: &Access,
    id: PaymentId,
) -> Result<Payment, Error> {
    let known = content.platform.read(move |state, _| state.content.payments.get(id).cloned());
    let found = match known.await? {
        Some(payment) => Some(payment),
        None => content.ask_books(move |books| books.payment(id)).await?,
    };
    let own = found.filter(|payment| {
        payment.client() == Some(access.client.id)
            && access.line.is_none_or(|line| line == payment.line)
    });
    own.ok_or_else(Error::not_found)
}

pub(super) async fn retrieve(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<PaymentOut>, Error> {
    access.require(READ)?;
    let payment = own_payment(&content, &access, parse_payment_id(&id)?).await?;
    Ok(Json(PaymentOut::of(&payment, false)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidateBody {
    authorization_id: String,
    code: String,
}

pub(super) async fn validate(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Error> {
    access.require(WRITE)?;
    let body: ValidateBody = read(&body)?;
    let authorization = name("authorizationId", &body.authorization_id)?;
    let code = name("code", &body.code)?;
    let command = ContentCommand::Validate {
        client: access.client.id,
        line: access.line,
        payment: parse_payment_id(&id)?,
        code_hash: hash(&authorization, &code),
        authorization,
    };
    content.ask(command).await??;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhoneNumber {
    phone_number: Option<String>,
}

pub(super) async fn confirm(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Error> {
    access.require(WRITE)?;
    let body: PhoneNumber = read(&body)?;
    let subject = access.subject(body.phone_number.as_deref())?;
    let payment = parse_payment_id(&id)?;
    let client = access.client.id;
    content.ask(ContentCommand::Confirm { client, subject, payment }).await??;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn cancel(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Error> {
    access.require(WRITE)?;
    let body: PhoneNumber = read(&body)?;
    let subject = access.subject(body.phone_number.as_deref())?;
    let payment = parse_payment_id(&id)?;
    let client = access.client.id;
    match content.ask(ContentCommand::Cancel { client, subject, payment }).await? {
        Ok(_) => Ok(StatusCode::ACCEPTED),
        // Nothing is held by what was denied: to the client it is gone already.
        Err(ContentRefusal::WasDenied) => Err(ContentRefusal::AlreadyCancelled.into()),
        Err(refusal) => Err(refusal.into()),
    }
}
