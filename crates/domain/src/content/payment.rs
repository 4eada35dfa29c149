//! A payment: what was asked, what it charged to whom, how far it has come, and what was given back.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::charging::{BucketChange, Hold};
use crate::encoding;
use crate::identifier::{AccountId, ApiClientId, ContentItemId, ContentProviderId, LineId, VnoId};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

/// A payment, counted within its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct PaymentId(#[n(0)] u64);

impl PaymentId {
    const NUMBER_BITS: u32 = 44;

    pub const fn new(provider: ContentProviderId, number: u64) -> PaymentId {
        PaymentId((provider.number() as u64) << Self::NUMBER_BITS | number)
    }

    pub const fn provider(self) -> ContentProviderId {
        ContentProviderId::new((self.0 >> Self::NUMBER_BITS) as u16)
    }

    /// Counts from 1 within the provider.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }

    pub const fn from_bits(bits: u64) -> PaymentId {
        PaymentId(bits)
    }
}

/// CAMARA Carrier Billing 0.5, `paymentStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum PaymentState {
    /// Reserved, waiting for the one-time code.
    #[n(0)]
    PendingValidation,
    #[n(1)]
    Reserved,
    #[n(2)]
    Succeeded,
    #[n(3)]
    Denied,
    #[n(4)]
    Cancelled,
}

impl PaymentState {
    pub const ALL: [PaymentState; 5] = [
        PaymentState::PendingValidation,
        PaymentState::Reserved,
        PaymentState::Succeeded,
        PaymentState::Denied,
        PaymentState::Cancelled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            PaymentState::PendingValidation => "pending_validation",
            PaymentState::Reserved => "reserved",
            PaymentState::Succeeded => "succeeded",
            PaymentState::Denied => "denied",
            PaymentState::Cancelled => "cancelled",
        }
    }

    /// Is money reserved for it?
    pub fn is_open(self) -> bool {
        matches!(self, PaymentState::PendingValidation | PaymentState::Reserved)
    }
}

/// How the purchase came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PaymentOrigin {
    /// The provider's API client.
    #[n(0)]
    Client(#[n(0)] ApiClientId),
    /// The VNO, for its subscriber, from the catalogue.
    #[n(1)]
    Catalogue,
    /// A subscription of the line, by its number.
    #[n(2)]
    Subscription(#[n(0)] u32),
    /// A switch's event, such as a premium message.
    #[n(3)]
    Switch,
}

/// The price as it was asked for, in its own currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Price {
    #[n(0)]
    pub currency: Currency,
    /// As the seller named it, with tax or without.
    #[n(1)]
    pub amount: Amount,
    #[n(2)]
    pub is_tax_included: bool,
    /// Applied by the merchant itself, who owes it; None: the VNO's rate applies.
    #[n(3)]
    pub merchant_tax: Option<Amount>,
}

/// Part of a payment that the seller named apart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PaymentItem {
    #[n(0)]
    pub id: Box<str>,
    #[n(1)]
    pub amount: Amount,
}

/// What every party pays and gets, once paid; before that, what it will be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sale {
    #[n(0)]
    pub payer: AccountId,
    /// The account's.
    #[n(1)]
    pub currency: Currency,
    /// Without tax; zero when an allowance paid.
    #[n(2)]
    pub net: Amount,
    #[n(3)]
    pub tax: Amount,
    /// Tax that the merchant applied and gets passed on whole.
    #[n(4)]
    pub merchant_tax: Amount,
    #[n(5)]
    pub share_currency: Currency,
    /// With the merchant's tax.
    #[n(6)]
    pub share: Amount,
    #[n(7)]
    pub share_base: Amount,
    #[n(8)]
    pub wholesale_currency: Currency,
    #[n(9)]
    pub wholesale: Amount,
    /// Deferred revenue that an allowance's event earned.
    #[n(10)]
    pub earned: Amount,
    /// What was taken from which bucket.
    #[n(11)]
    #[cbor(with = "encoding")]
    pub taken: SmallVec<[BucketChange; 1]>,
}

impl Sale {
    pub fn gross(&self) -> Amount {
        self.net.saturating_add(self.tax).saturating_add(self.merchant_tax)
    }
}

/// Money given back; of a total refund, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refund {
    /// Counts from 1 within the payment.
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub at: Timestamp,
    /// In the price's currency and style: with tax if the price was.
    #[n(2)]
    pub amount: Amount,
    #[n(3)]
    pub is_total: bool,
    #[n(4)]
    pub correlator: Option<Box<str>>,
    #[n(5)]
    pub reference: Box<str>,
    #[n(6)]
    pub reason: Option<Box<str>>,
    #[n(7)]
    pub merchant: Option<Box<str>>,
    /// `refundAmount` as the client sent it.
    #[n(8)]
    pub body: Box<str>,
    #[n(9)]
    pub items: Vec<PaymentItem>,
    #[n(10)]
    pub sink: Option<Box<Sink>>,
}

/// Where a client wants to hear what became of its request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sink {
    #[n(0)]
    pub url: Box<str>,
    #[n(1)]
    pub token: Option<Box<str>>,
    #[n(2)]
    pub token_expires: Option<Timestamp>,
}

/// A one-time code that the user must give.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Validation {
    /// `authorizationId`.
    #[n(0)]
    pub authorization: Box<str>,
    /// SHA-256 of authorization and code.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub code_hash: [u8; 32],
    #[n(2)]
    pub tries_left: u8,
}

impl Validation {
    pub const TRIES: u8 = 3;
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Payment {
    #[n(0)]
    pub id: PaymentId,
    #[n(1)]
    pub vno: VnoId,
    #[n(2)]
    pub line: LineId,
    #[n(3)]
    pub origin: PaymentOrigin,
    #[n(4)]
    pub state: PaymentState,
    #[n(5)]
    pub created_at: Timestamp,
    #[n(6)]
    pub changed_at: Timestamp,
    #[n(7)]
    pub paid_at: Option<Timestamp>,
    /// An open payment is cancelled then.
    #[n(8)]
    pub expires_at: Option<Timestamp>,
    #[n(9)]
    pub correlator: Option<Box<str>>,
    #[n(10)]
    pub reference: Box<str>,
    #[n(11)]
    pub price: Price,
    #[n(12)]
    pub items: Vec<PaymentItem>,
    /// `paymentAmount` as the client sent it.
    #[n(13)]
    pub body: Box<str>,
    #[n(14)]
    pub merchant: Option<Box<str>>,
    #[n(15)]
    pub category: Option<Box<str>>,
    #[n(16)]
    pub sale: Box<Sale>,
    #[n(17)]
    #[cbor(with = "encoding")]
    pub holds: SmallVec<[Hold; 1]>,
    /// Reserved on the VNO's account with the broker.
    #[n(18)]
    pub wholesale_hold: Amount,
    #[n(19)]
    pub validation: Option<Box<Validation>>,
    #[n(20)]
    pub sink: Option<Box<Sink>>,
    #[n(21)]
    pub refunds: Vec<Refund>,
    #[n(22)]
    pub item: Option<ContentItemId>,
    /// The number that the client named, as it named it.
    #[n(23)]
    pub phone: Option<Box<str>>,
    /// It was validated by its code.
    #[n(24)]
    pub validated: bool,
}

impl Payment {
    /// Refunds of one payment; it is one value, and stays small.
    pub const REFUNDS_MAX: usize = 256;

    /// What was refunded so far, in the price's currency and style.
    pub fn refunded(&self) -> Amount {
        self.refunds.iter().fold(Amount::ZERO, |sum, refund| sum.saturating_add(refund.amount))
    }

    pub fn remaining(&self) -> Amount {
        self.price.amount.saturating_sub(self.refunded())
    }

    pub fn client(&self) -> Option<ApiClientId> {
        match self.origin {
            PaymentOrigin::Client(client) => Some(client),
            _ => None,
        }
    }
}

/// Names a notification; a repeat after a crash carries the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct NotificationId(#[n(0)] pub u64);

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Topic {
    /// A payment reached a state: to the client's sink.
    #[n(0)]
    Payment {
        #[n(0)]
        payment: PaymentId,
        #[n(1)]
        state: PaymentState,
        #[n(2)]
        paid_at: Option<Timestamp>,
        #[n(3)]
        reason: Option<Box<str>>,
    },
    #[n(1)]
    Refund {
        #[n(0)]
        payment: PaymentId,
        #[n(1)]
        number: u32,
    },
    /// A one-time code for the subscriber: to the VNO.
    #[n(2)]
    Code {
        #[n(0)]
        payment: PaymentId,
        #[n(1)]
        line: LineId,
        #[n(2)]
        code: Box<str>,
        #[n(3)]
        text: Box<str>,
    },
    /// A content subscription began, renewed or ended: to the VNO.
    #[n(3)]
    Subscription {
        #[n(0)]
        line: LineId,
        #[n(1)]
        number: u32,
        #[n(2)]
        state: super::ContentSubscriptionState,
    },
}

/// Something to be told to a party over HTTP; pending until it was taken or given up.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Notification {
    #[n(0)]
    pub id: NotificationId,
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    pub topic: Topic,
    #[n(3)]
    pub url: Box<str>,
    /// Bearer token of a client's sink.
    #[n(4)]
    pub token: Option<Box<str>>,
    /// Signs what goes to a VNO (Standard Webhooks).
    #[n(5)]
    pub secret: Option<Box<str>>,
    /// Not sent after that.
    #[n(6)]
    pub until: Timestamp,
}
