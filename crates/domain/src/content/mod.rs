//! Content: what others sell to the VNOs' subscribers through the broker, and how the money of a sale is shared.
//!
//! A purchase through the payment API, from the catalogue, by a subscription's renewal or by a switch's event is
//! one [`Payment`]: the same admission, payers, legs and postings.

mod api;
mod apply;
mod pay;
mod payment;
mod payments;
mod purchases;
mod refund;
mod sale;
mod share;
mod terms;

pub use api::{ContentCommand, ContentRefusal, NewCode, PaymentRequest, RefundRequest, Subject};
pub use payment::{
    Notification, NotificationId, Payment, PaymentId, PaymentItem, PaymentOrigin, PaymentState,
    Price, Refund, Sale, Sink, Topic, Validation,
};
pub use payments::{ContentState, ContentTally, Payments};
pub use share::{Agreement, ProviderShare, ShareTier};
pub use terms::{
    AllowedProvider, ApiClient, Consent, ContentItem, ContentSubscription,
    ContentSubscriptionState, ContentWebhook, ItemKind, ItemPeriod, LineContent, Sponsorship,
    VnoContent,
};

pub(crate) use apply::{apply_entry, apply_notification, apply_payment, apply_secret};
pub(crate) use pay::{decide_content, decide_expiry};
pub(crate) use purchases::{
    Offered, buy, buy_by_event, cancel_subscription, decide_renewals, offered, subscribe,
};
pub(crate) use share::{close_month, next_close};

use minicbor::{Decode, Encode};

use crate::identifier::{ContentProviderId, LineId, VnoId};
use crate::money::{Amount, Currency};

/// What one movement of content money was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ContentEntryKind {
    #[n(0)]
    Sale,
    #[n(1)]
    Refund,
    /// What was missing to the month's guaranteed share.
    #[n(2)]
    Guarantee,
    /// Traffic that the provider paid for, set off against what it is owed.
    #[n(3)]
    Sponsored,
}

impl ContentEntryKind {
    pub const ALL: [ContentEntryKind; 4] = [
        ContentEntryKind::Sale,
        ContentEntryKind::Refund,
        ContentEntryKind::Guarantee,
        ContentEntryKind::Sponsored,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ContentEntryKind::Sale => "sale",
            ContentEntryKind::Refund => "refund",
            ContentEntryKind::Guarantee => "guarantee",
            ContentEntryKind::Sponsored => "sponsored",
        }
    }
}

/// A line of the provider's, the VNO's and the subscriber's statements alike: amounts with the sign of the movement.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentEntry {
    #[n(0)]
    pub kind: ContentEntryKind,
    #[n(1)]
    pub provider: ContentProviderId,
    #[n(2)]
    pub vno: VnoId,
    #[n(3)]
    pub line: Option<LineId>,
    #[n(4)]
    pub payment: Option<PaymentId>,
    /// Of what the subscriber paid.
    #[n(5)]
    pub currency: Currency,
    #[n(6)]
    pub net: Amount,
    /// Tax that the VNO owes; what the merchant taxed itself is in `merchant_tax`.
    #[n(7)]
    pub tax: Amount,
    #[n(8)]
    pub merchant_tax: Amount,
    /// Of what the provider gets.
    #[n(9)]
    pub share_currency: Currency,
    /// The provider's part, with the tax that it collects itself.
    #[n(10)]
    pub share: Amount,
    /// The net price in the provider's currency: what tiers count.
    #[n(11)]
    pub share_base: Amount,
    /// Of what the VNO pays the broker.
    #[n(12)]
    pub wholesale_currency: Currency,
    #[n(13)]
    pub wholesale: Amount,
    /// The calendar month that it belongs to, when that is over already.
    #[n(14)]
    pub month: Option<u32>,
}
