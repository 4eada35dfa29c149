//! What content providers' clients ask, and why it is refused. Each refusal is one error code of
//! CAMARA Carrier Billing 0.5 or Refund 0.3.

use minicbor::{Decode, Encode};

use super::payment::{NotificationId, Payment, PaymentId, PaymentItem, Price, Sink};
use crate::charging::Declined;
use crate::identifier::{ApiClientId, Identity, LineId};
use crate::time::Timestamp;

/// Whose money: the number that the client names, or the line that its token was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Number(Identity),
    Line(LineId),
}

/// A one-time code made for a payment, used only when the VNO's rules ask for one.
#[derive(Clone, Debug)]
pub struct NewCode {
    pub authorization: Box<str>,
    pub code: Box<str>,
    pub code_hash: [u8; 32],
}

#[derive(Clone, Debug)]
pub struct PaymentRequest {
    pub client: ApiClientId,
    pub subject: Subject,
    pub correlator: Option<Box<str>>,
    pub reference: Box<str>,
    pub price: Price,
    pub items: Vec<PaymentItem>,
    pub body: Box<str>,
    pub description: Box<str>,
    pub merchant: Option<Box<str>>,
    pub category: Option<Box<str>>,
    pub sink: Option<Box<Sink>>,
    /// Some: reserve only, to be confirmed later.
    pub reserve: Option<NewCode>,
}

#[derive(Clone, Debug)]
pub struct RefundRequest {
    pub client: ApiClientId,
    /// None: a token of the client alone.
    pub line: Option<LineId>,
    pub payment: PaymentId,
    /// None: all of it.
    pub price: Option<Price>,
    pub items: Vec<PaymentItem>,
    pub body: Box<str>,
    pub correlator: Option<Box<str>>,
    pub reference: Box<str>,
    pub reason: Option<Box<str>>,
    pub merchant: Option<Box<str>>,
    pub sink: Option<Box<Sink>>,
}

#[derive(Clone, Debug)]
pub enum ContentCommand {
    Pay(Box<PaymentRequest>),
    Validate {
        client: ApiClientId,
        line: Option<LineId>,
        payment: PaymentId,
        authorization: Box<str>,
        code_hash: [u8; 32],
    },
    Confirm {
        client: ApiClientId,
        subject: Subject,
        payment: PaymentId,
    },
    Cancel {
        client: ApiClientId,
        subject: Subject,
        payment: PaymentId,
    },
    Refund(Box<RefundRequest>),
    /// A payment that memory has let go of, as the books had it at `read_at`.
    Recall {
        payment: Box<Payment>,
        read_at: Timestamp,
    },
    /// It was taken, or given up.
    Notified(NotificationId),
    SetSecret([u8; 32]),
}

/// Why a payment or refund is refused. Nothing is held, nothing is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ContentRefusal {
    /// No line has this number.
    #[n(0)]
    UnknownNumber,
    /// The client has no such payment, or not for this line.
    #[n(1)]
    UnknownPayment,
    /// `clientCorrelator` was used before.
    #[n(2)]
    CorrelatorUsed,
    /// `referenceCode` was used before and no `clientCorrelator` tells the requests apart.
    #[n(3)]
    ReferenceUsed,
    #[n(4)]
    UnknownCurrency,
    /// The VNO does not let this provider (or its category) sell to its subscribers.
    #[n(5)]
    NotOffered,
    /// Money, standing or barring stand against it.
    #[n(6)]
    Denied(#[n(0)] Declined),
    /// The line is not known to be old enough.
    #[n(7)]
    AgeNotKnown,
    /// More than one purchase may cost, or not one of the allowed prices.
    #[n(8)]
    AmountNotAllowed,
    /// More than the line may spend in a month.
    #[n(9)]
    MonthlyLimit,
    #[n(10)]
    AlreadyConfirmed,
    #[n(11)]
    AlreadyCancelled,
    #[n(12)]
    AlreadyValidated,
    #[n(13)]
    WrongAuthorization,
    #[n(14)]
    WrongCode,
    /// The last try was wrong: the payment is denied.
    #[n(15)]
    TriesUsedUp,
    /// It waits for its one-time code.
    #[n(16)]
    NotValidated,
    /// It was denied before.
    #[n(17)]
    WasDenied,
    /// Only what was paid can be refunded.
    #[n(18)]
    NotPaid,
    /// More than is left of the payment.
    #[n(19)]
    RefundTooLarge,
    #[n(20)]
    RefundLimit,
    /// Too long ago, or paid by an allowance.
    #[n(21)]
    NotRefundable,
    /// With tax where the payment was without, or the other way round.
    #[n(22)]
    TaxMismatch,
    /// Items that the payment does not have, or more of one than was paid.
    #[n(23)]
    ItemsMismatch,
    #[n(24)]
    RefundDenied(#[n(0)] Declined),
    /// What was read from the books is too old to go by.
    #[n(25)]
    Outdated,
    /// A switch must say how many units; or an amount does not fit.
    #[n(26)]
    OutOfRange,
}

impl ContentRefusal {
    /// In words, for whoever reads it.
    pub fn reason(self) -> &'static str {
        match self {
            ContentRefusal::UnknownNumber => "no line has this number",
            ContentRefusal::UnknownPayment => "no such payment",
            ContentRefusal::CorrelatorUsed => "clientCorrelator already exists on the server",
            ContentRefusal::ReferenceUsed => "it exists already",
            ContentRefusal::UnknownCurrency => "the currency is unknown or not authorised",
            ContentRefusal::NotOffered => "the VNO does not offer this to its subscribers",
            ContentRefusal::Denied(Declined::InsufficientBalance) => {
                "the balance does not cover it"
            }
            ContentRefusal::Denied(_) => "the line may not buy it",
            ContentRefusal::AgeNotKnown => "the user is not known to be old enough",
            ContentRefusal::AmountNotAllowed => "a purchase may not cost that",
            ContentRefusal::MonthlyLimit => "more than the line may spend in a month",
            ContentRefusal::AlreadyConfirmed => "the payment is confirmed already",
            ContentRefusal::AlreadyCancelled => "it is cancelled already",
            ContentRefusal::AlreadyValidated => "the payment is validated already",
            ContentRefusal::WrongAuthorization => "authorizationId is not that of the payment",
            ContentRefusal::WrongCode => "the code is wrong",
            ContentRefusal::TriesUsedUp => "the code was wrong three times: the payment is denied",
            ContentRefusal::NotValidated => "the payment waits for its one-time code",
            ContentRefusal::WasDenied => "the payment was denied",
            ContentRefusal::NotPaid => "the payment is not completed",
            ContentRefusal::RefundTooLarge => "more than is left of the payment",
            ContentRefusal::RefundLimit => "more than the line may be refunded in a month",
            ContentRefusal::NotRefundable => "the payment is not eligible for refund",
            ContentRefusal::TaxMismatch => "isTaxIncluded is not as in the payment",
            ContentRefusal::ItemsMismatch => "refundDetails are not consistent with the payment",
            ContentRefusal::RefundDenied(_) => "the account takes no refund",
            ContentRefusal::Outdated => "the payment changed meanwhile: try again",
            ContentRefusal::OutOfRange => "an amount or number is out of range",
        }
    }
}
