//! Lists: filters, order, pages.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tandem_books::PaymentFilter;
use tandem_domain::content::{PaymentState, Refund};
use tandem_domain::time::Timestamp;

use super::body::{PaymentOut, RefundOut, parse_payment_id};
use super::payments::{READ as READ_PAYMENTS, own_payment};
use super::refunds::READ as READ_REFUNDS;
use crate::context::{Access, Content};
use crate::error::Error;

const PER_PAGE_MAX: u64 = 100;
const MATCHING_MAX: u64 = 10_000;
const REFUNDS_MATCHING_MAX: u64 = 200;
const CONTENT_LAST_KEY: HeaderName = HeaderName::from_static("content-last-key");
const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// A list's parameters, as far as payments and refunds share them.
struct Listing {
    page: u64,
    per_page: u64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    oldest_first: bool,
    statuses: Vec<String>,
    merchant: Option<String>,
}

impl Listing {
    /// `api`: CARRIER_BILLING or CARRIER_BILLING_REFUND; `what`: payment or refund.
    fn read(
        pairs: Vec<(String, String)>,
        what: &str,
        invalid_range: &'static str,
    ) -> Result<Listing, Error> {
        let mut listing = Listing {
            page: 1,
            per_page: 10,
            from: None,
            to: None,
            oldest_first: false,
            statuses: Vec::new(),
            merchant: None,
        };
        let creation = format!("{what}CreationDate");
        let (from, to, status) =
            (format!("{creation}.gte"), format!("{creation}.lte"), format!("{what}Status"));
        for (name, value) in pairs {
            if name == "page" {
                listing.page = count("page", &value, u64::from(u32::MAX))?;
            } else if name == "perPage" {
                listing.per_page = count("perPage", &value, PER_PAGE_MAX)?;
            } else if name == from {
                listing.from = Some(date(&name, &value)?);
            } else if name == to {
                listing.to = Some(date(&name, &value)?);
            } else if name == "order" {
                listing.oldest_first = match value.as_str() {
                    "asc" => true,
                    "desc" => false,
                    _ => return Err(Error::invalid("order: expected asc or desc")),
                };
            } else if name == status {
                listing.statuses.extend(value.split(',').map(str::to_owned));
            } else if name == "merchantIdentifier" {
                listing.merchant = Some(value);
            }
        }
        if let (Some(from), Some(to)) = (listing.from, listing.to)
            && from > to
        {
            let message = "the range ends before it begins";
            return Err(Error::new(StatusCode::BAD_REQUEST, invalid_range, message));
        }
        Ok(listing)
    }

    fn offset(&self) -> u64 {
        (self.page - 1) * self.per_page
    }

    fn headers(&self, shown: u64, total: u64) -> HeaderMap {
        let last = if shown == 0 { 0 } else { self.offset() + shown };
        HeaderMap::from_iter([
            (CONTENT_LAST_KEY, HeaderValue::from(last)),
            (X_TOTAL_COUNT, HeaderValue::from(total)),
        ])
    }
}

fn count(field: &str, value: &str, most: u64) -> Result<u64, Error> {
    let number: i64 =
        value.parse().map_err(|_| Error::invalid(format!("{field}: expected a whole number")))?;
    let fits = u64::try_from(number).ok().filter(|number| (1..=most).contains(number));
    fits.ok_or_else(|| Error::out_of_range(format!("{field}: expected 1 to {most}")))
}

fn date(field: &str, value: &str) -> Result<Timestamp, Error> {
    value.parse().map_err(|_| Error::invalid(format!("{field}: expected RFC 3339 with time zone")))
}

pub(super) async fn payments(
    State(content): State<Content>,
    access: Access,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<(HeaderMap, Json<Vec<PaymentOut>>), Error> {
    access.require(READ_PAYMENTS)?;
    let listing = Listing::read(pairs, "payment", "CARRIER_BILLING.INVALID_DATE_RANGE")?;
    let mut states = Vec::new();
    let mut impossible = false;
    for status in &listing.statuses {
        match PaymentState::ALL.into_iter().find(|state| state.name() == status) {
            Some(state) => states.push(state),
            // We answer at once: nothing is ever being processed.
            None if status == "processing" => impossible = true,
            None => return Err(Error::invalid("paymentStatus: unknown status")),
        }
    }
    if impossible && states.is_empty() {
        return Ok((listing.headers(0, 0), Json(Vec::new())));
    }
    let filter = PaymentFilter {
        client: Some(access.client.id),
        line: access.line,
        from: listing.from,
        to: listing.to,
        states,
        merchant: listing.merchant.clone(),
        oldest_first: listing.oldest_first,
        ..PaymentFilter::default()
    };
    let (offset, limit) = (listing.offset(), usize::try_from(listing.per_page).unwrap_or(1));
    let (found, total) =
        content.ask_books(move |books| books.payments(&filter, offset, limit)).await?;
    if total > MATCHING_MAX {
        let message = "more than 10000 payments match: narrow the dates";
        let code = "CARRIER_BILLING.TOO_MANY_MATCHING_RECORDS";
        return Err(Error::new(StatusCode::BAD_REQUEST, code, message));
    }
    let headers = listing.headers(found.len() as u64, total);
    Ok((headers, Json(found.iter().map(|payment| PaymentOut::of(payment, false)).collect())))
}

pub(super) async fn refunds(
    State(content): State<Content>,
    access: Access,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<(HeaderMap, Json<Vec<RefundOut>>), Error> {
    access.require(READ_REFUNDS)?;
    let listing = Listing::read(pairs, "refund", "CARRIER_BILLING_REFUND.INVALID_DATE_RANGE")?;
    for status in &listing.statuses {
        if !["processing", "denied", "succeeded"].contains(&status.as_str()) {
            return Err(Error::invalid("refundStatus: unknown status"));
        }
    }
    let id = parse_payment_id(&id)?;
    let payment = own_payment(&content, &access, id).await?;
    let wants_done = |_: &&Refund| {
        listing.statuses.is_empty() || listing.statuses.iter().any(|status| status == "succeeded")
    };
    let within = |refund: &&Refund| {
        listing.from.is_none_or(|from| refund.at >= from)
            && listing.to.is_none_or(|to| refund.at <= to)
    };
    let of_merchant = |refund: &&Refund| {
        listing.merchant.as_deref().is_none_or(|of| refund.merchant.as_deref() == Some(of))
    };
    let all = payment.refunds.iter();
    let mut found: Vec<&Refund> =
        all.filter(wants_done).filter(within).filter(of_merchant).collect();
    if !listing.oldest_first {
        found.reverse();
    }
    let total = found.len() as u64;
    if total > REFUNDS_MATCHING_MAX {
        let message = "more than 200 refunds match: narrow the dates";
        let code = "CARRIER_BILLING_REFUND.TOO_MANY_MATCHING_RECORDS";
        return Err(Error::new(StatusCode::BAD_REQUEST, code, message));
    }
    let skip = usize::try_from(listing.offset()).unwrap_or(usize::MAX);
    let take = usize::try_from(listing.per_page).unwrap_or(1);
    let page: Vec<RefundOut> =
        found.into_iter().skip(skip).take(take).map(|refund| RefundOut::of(id, refund)).collect();
    Ok((listing.headers(page.len() as u64, total), Json(page)))
}
