//! Request and answer bodies. Amounts are read from the text of the JSON number and never become floats.

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tandem_domain::content::{Payment, PaymentId, PaymentItem, Price, Refund};
use tandem_domain::money::Amount;

use crate::error::Error;

/// Characters of any text that clients name things by.
const TEXT_MAX: usize = 256;
const ITEMS_MAX: usize = 100;
/// What the files call multipleOf 0.001.
const STEP_MICROS: i64 = 1000;

pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::invalid(error.to_string()))
}

#[derive(Deserialize)]
pub(super) struct CreateBody {
    #[serde(rename = "amountTransaction")]
    pub amount_transaction: AmountTransactionIn,
    pub sink: Option<Value>,
    #[serde(rename = "sinkCredential")]
    pub sink_credential: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AmountTransactionIn {
    pub phone_number: Option<String>,
    pub client_correlator: Option<String>,
    pub reference_code: String,
    pub payment_amount: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentAmount {
    charging_information: ChargingInformation,
    charging_meta_data: Option<MetaData>,
    payment_details: Option<Vec<Item>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChargingInformation {
    amount: Box<RawValue>,
    currency: String,
    description: String,
    #[serde(default)]
    is_tax_included: bool,
    tax_amount: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    #[serde(default, rename = "merchantName")]
    _merchant_name: Option<String>,
    merchant_identifier: Option<String>,
    purchase_category_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(alias = "paymentItemId")]
    id: String,
    amount: Box<RawValue>,
    currency: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(default, rename = "isTaxIncluded")]
    _is_tax_included: bool,
    tax_amount: Option<Box<RawValue>>,
}

/// What a payment or refund amounts to.
pub(super) struct Charge {
    pub price: Price,
    pub description: String,
    pub merchant: Option<Box<str>>,
    pub category: Option<Box<str>>,
    pub items: Vec<PaymentItem>,
}

/// A JSON number as an amount: not below `least`, at most three decimals.
fn amount(field: &str, number: &RawValue, least: i64) -> Result<Amount, Error> {
    let invalid = || {
        Error::invalid(format!(
            "{field}: expected a number with at most three decimals, not too small"
        ))
    };
    let micros = scaled(number.get()).ok_or_else(invalid)?;
    if micros % STEP_MICROS != 0 || micros < least {
        return Err(invalid());
    }
    Ok(Amount::from_micros(micros))
}

/// Millionths of a JSON number, if it has no smaller part and fits.
fn scaled(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let is_number = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let value: i128 = digits.parse().ok().filter(|_| digits.len() <= 36)?;
    let shift = 6 + exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let value = match u32::try_from(shift) {
        Ok(up) if up <= 36 => value.checked_mul(10i128.checked_pow(up)?)?,
        Ok(_) => return None,
        Err(_) => {
            let down = 10i128.checked_pow(shift.unsigned_abs())?;
            (value % down == 0).then_some(value / down)?
        }
    };
    i64::try_from(value).ok()
}

fn short(field: &str, text: &str) -> Result<Box<str>, Error> {
    if text.is_empty() || text.chars().count() > TEXT_MAX {
        return Err(Error::invalid(format!("{field}: expected 1 to {TEXT_MAX} characters")));
    }
    Ok(text.into())
}

pub(super) fn name(field: &str, text: &str) -> Result<Box<str>, Error> {
    short(field, text)
}

impl ChargingInformation {
    fn price(&self) -> Result<Price, Error> {
        let currency = self
            .currency
            .parse()
            .map_err(|_| Error::invalid("currency: unknown or not authorised"))?;
        let tax = self.tax_amount.as_deref();
        let merchant_tax = tax.map(|tax| amount("taxAmount", tax, 0)).transpose()?;
        let amount = amount("amount", &self.amount, STEP_MICROS)?;
        if self.is_tax_included && merchant_tax.is_some_and(|tax| tax >= amount) {
            return Err(Error::invalid("taxAmount: more than the amount that includes it"));
        }
        Ok(Price { currency, amount, is_tax_included: self.is_tax_included, merchant_tax })
    }
}

fn items(list: Option<Vec<Item>>, price: &Price) -> Result<Vec<PaymentItem>, Error> {
    let Some(list) = list else { return Ok(Vec::new()) };
    if list.is_empty() || list.len() > ITEMS_MAX {
        return Err(Error::invalid("details: expected 1 to 100 items"));
    }
    let mut items: Vec<PaymentItem> = Vec::with_capacity(list.len());
    for item in list {
        if item.currency.parse() != Ok(price.currency) {
            return Err(Error::invalid("details: expected the currency of the whole"));
        }
        if let Some(tax) = &item.tax_amount {
            amount("taxAmount", tax, 0)?;
        }
        let id = short("id", &item.id)?;
        if items.iter().any(|known| known.id == id) {
            return Err(Error::invalid("details: an id comes twice"));
        }
        items.push(PaymentItem { id, amount: amount("amount", &item.amount, STEP_MICROS)? });
    }
    Ok(items)
}

impl Charge {
    /// From `paymentAmount`.
    pub fn of_payment(raw: &RawValue) -> Result<Charge, Error> {
        let parsed: PaymentAmount = serde_json::from_str(raw.get())
            .map_err(|error| Error::invalid(format!("paymentAmount: {error}")))?;
        let price = parsed.charging_information.price()?;
        let items = items(parsed.payment_details, &price)?;
        let of_items =
            items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.amount));
        if !items.is_empty() && of_items != Ok(price.amount) {
            return Err(Error::invalid("paymentDetails: the items do not add up to the amount"));
        }
        let meta = parsed.charging_meta_data;
        let field = |text: Option<&String>, field| text.map(|text| short(field, text)).transpose();
        let merchant = meta.as_ref().and_then(|meta| meta.merchant_identifier.as_ref());
        let category = meta.as_ref().and_then(|meta| meta.purchase_category_code.as_ref());
        Ok(Charge {
            price,
            merchant: field(merchant, "merchantIdentifier")?,
            category: field(category, "purchaseCategoryCode")?,
            description: parsed.charging_information.description,
            items,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct RefundBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: Option<String>,
    #[serde(rename = "amountTransaction")]
    pub amount_transaction: RefundTransaction,
    pub sink: Option<Value>,
    #[serde(rename = "sinkCredential")]
    pub sink_credential: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundTransaction {
    pub client_correlator: Option<String>,
    pub reference_code: String,
    pub refund_amount: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefundAmount {
    charging_information: Option<ChargingInformation>,
    charging_meta_data: Option<MetaData>,
    refund_details: Option<Vec<Item>>,
}

/// From `refundAmount`: None = everything.
pub(super) struct Back {
    pub price: Option<Price>,
    pub items: Vec<PaymentItem>,
    pub merchant: Option<Box<str>>,
}

impl Back {
    pub fn read(is_total: bool, raw: &RawValue) -> Result<Back, Error> {
        let parsed: RefundAmount = serde_json::from_str(raw.get())
            .map_err(|error| Error::invalid(format!("refundAmount: {error}")))?;
        let merchant = parsed.charging_meta_data.and_then(|meta| meta.merchant_identifier);
        let merchant = merchant.map(|text| short("merchantIdentifier", &text)).transpose()?;
        if is_total {
            return Ok(Back { price: None, items: Vec::new(), merchant });
        }
        let charged = parsed.charging_information;
        let charged = charged.ok_or_else(|| Error::invalid("chargingInformation: missing"))?;
        let price = charged.price()?;
        let items = items(parsed.refund_details, &price)?;
        Ok(Back { price: Some(price), items, merchant })
    }
}

pub(crate) fn payment_id(id: PaymentId) -> String {
    format!("pay-{:x}", id.to_bits())
}

pub(crate) fn refund_id(payment: PaymentId, number: u32) -> String {
    format!("ref-{:x}-{number}", payment.to_bits())
}

pub(super) fn parse_payment_id(text: &str) -> Result<PaymentId, Error> {
    let digits = text.strip_prefix("pay-").ok_or_else(Error::not_found)?;
    let bits = u64::from_str_radix(digits, 16).ok().filter(|bits| bits >> 60 == 0);
    // One payment has one name.
    let id = bits.map(PaymentId::from_bits).filter(|id| payment_id(*id) == text);
    id.ok_or_else(Error::not_found)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentOut {
    payment_id: String,
    amount_transaction: AmountTransactionOut,
    payment_status: &'static str,
    payment_creation_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_info: Option<ValidationInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidationInfo {
    action: &'static str,
    authorization_id: Box<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AmountTransactionOut {
    phone_number: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_correlator: Option<Box<str>>,
    payment_amount: Box<RawValue>,
    reference_code: Box<str>,
    #[serde(rename = "resourceURL")]
    resource_url: String,
    server_reference_code: String,
}

/// What was stored is what was sent; an object all the same if it should ever not be JSON.
fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned())
        .unwrap_or_else(|_| RawValue::from_string("{}".into()).expect("an empty object is JSON"))
}

impl PaymentOut {
    pub fn of(payment: &Payment, is_prepared: bool) -> PaymentOut {
        let id = payment_id(payment.id);
        let validation = payment.validation.as_ref().filter(|_| is_prepared);
        PaymentOut {
            amount_transaction: AmountTransactionOut {
                phone_number: payment.phone.clone().unwrap_or_default(),
                client_correlator: payment.correlator.clone(),
                payment_amount: raw(&payment.body),
                reference_code: payment.reference.clone(),
                resource_url: format!("/carrier-billing/v0.5/payments/{id}"),
                server_reference_code: id.clone(),
            },
            payment_id: id,
            payment_status: payment.state.name(),
            payment_creation_date: payment.created_at.to_string(),
            payment_date: payment.paid_at.map(|at| at.to_string()),
            sink: payment.sink.as_ref().map(|sink| sink.url.clone()),
            validation_info: validation.map(|validation| ValidationInfo {
                action: "validate",
                authorization_id: validation.authorization.clone(),
            }),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundOut {
    refund_id: String,
    refund_status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    refund_creation_date: String,
    refund_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink: Option<Box<str>>,
    amount_transaction: RefundTransactionOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefundTransactionOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_correlator: Option<Box<str>>,
    refund_amount: Box<RawValue>,
    reference_code: Box<str>,
}

impl RefundOut {
    pub fn of(payment: PaymentId, refund: &Refund) -> RefundOut {
        RefundOut {
            refund_id: refund_id(payment, refund.number),
            refund_status: "succeeded",
            kind: if refund.is_total { "total" } else { "partial" },
            refund_creation_date: refund.at.to_string(),
            refund_date: refund.at.to_string(),
            reason: refund.reason.clone(),
            sink: refund.sink.as_ref().map(|sink| sink.url.clone()),
            amount_transaction: RefundTransactionOut {
                client_correlator: refund.correlator.clone(),
                refund_amount: raw(&refund.body),
                reference_code: refund.reference.clone(),
            },
        }
    }
}

/// `PaymentRemainingAmount`; the number is written as text, never as a float.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemainingOut {
    amount: Box<RawValue>,
    currency: String,
    is_tax_included: bool,
}

impl RemainingOut {
    pub fn of(payment: &Payment) -> RemainingOut {
        RemainingOut {
            amount: raw(&payment.remaining().to_string()),
            currency: payment.price.currency.to_string(),
            is_tax_included: payment.price.is_tax_included,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_text() {
        for (text, micros) in [
            ("1", Some(1_000_000)),
            ("0.001", Some(1_000)),
            ("12.50", Some(12_500_000)),
            ("1e2", Some(100_000_000)),
            ("1.5E-1", Some(150_000)),
            ("100e-2", Some(1_000_000)),
            ("0.0000001", None),
            ("9223372036855", None),
            ("1e400", None),
            ("1e-400", None),
            ("-1", None),
            ("\"1\"", None),
            ("0e9999", Some(0)),
        ] {
            assert_eq!(scaled(text), micros, "{text}");
        }
        let number = |text: &str| RawValue::from_string(text.into()).expect("JSON");
        assert!(amount("amount", &number("0.0015"), 1000).is_err(), "four decimals");
        assert!(amount("amount", &number("0"), 1000).is_err(), "nothing");
        assert!(amount("taxAmount", &number("0"), 0).is_ok());
    }

    #[test]
    fn identifiers_read_back_and_have_one_form() {
        let id = PaymentId::from_bits(0x0001_0000_0000_002a);
        assert_eq!(parse_payment_id(&payment_id(id)), Ok(id));
        for bad in ["pay-", "pay-0010000000002a", "pay-x", "PAY-2a", "pay-ffffffffffffffff", "2a"] {
            assert!(parse_payment_id(bad).is_err(), "{bad}");
        }
    }
}
