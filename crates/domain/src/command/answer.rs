//! What is answered to a [`Command`](super::Command).

use std::fmt;

use minicbor::{Decode, Encode};

use crate::charging::{CallPlan, Declined, EventAnswer, SessionAnswer};
use crate::content::{ContentRefusal, Payment, PaymentId};
use crate::identifier::{
    AccountId, AgreementId, ApiClientId, ApiKeyId, CarrierId, ContentItemId, ContentProviderId,
    LineId, OfferId, PeerId, PriceListId, PriceListVersion, SponsorshipId, SubscriberId,
    SubscriptionId, VnoId,
};
use crate::money::Money;

/// What an administrative write brought about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Receipt {
    #[n(0)]
    Done,
    #[n(1)]
    Vno(#[n(0)] VnoId),
    #[n(2)]
    Carrier(#[n(0)] CarrierId),
    #[n(3)]
    ContentProvider(#[n(0)] ContentProviderId),
    #[n(4)]
    Peer(#[n(0)] PeerId),
    #[n(5)]
    PriceList(#[n(0)] PriceListId, #[n(1)] PriceListVersion),
    #[n(6)]
    ApiKey(#[n(0)] ApiKeyId),
    #[n(7)]
    Offer(#[n(0)] OfferId),
    #[n(8)]
    Subscriber(#[n(0)] SubscriberId),
    #[n(9)]
    Line(#[n(0)] LineId),
    #[n(10)]
    Account(#[n(0)] AccountId),
    #[n(11)]
    Subscription(#[n(0)] SubscriptionId),
    /// The transfer's number within the VNO, and the balance after it.
    #[n(12)]
    Transfer {
        #[n(0)]
        vno: VnoId,
        #[n(1)]
        number: u64,
        #[n(2)]
        balance: Money,
    },
    #[n(13)]
    Agreement(#[n(0)] AgreementId),
    #[n(14)]
    ContentItem(#[n(0)] ContentItemId),
    #[n(15)]
    ApiClient(#[n(0)] ApiClientId),
    #[n(16)]
    Sponsorship(#[n(0)] SponsorshipId),
    #[n(17)]
    Payment(#[n(0)] PaymentId),
    #[n(18)]
    ContentSubscription(#[n(0)] LineId, #[n(1)] u32),
}

/// A thing that a request can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Vno,
    Carrier,
    ContentProvider,
    Peer,
    PriceList,
    Staging,
    ApiKey,
    Offer,
    Subscriber,
    Line,
    Identity,
    Account,
    Subscription,
    Session,
    ContentItem,
    ApiClient,
    Agreement,
    Sponsorship,
    Payment,
}

impl Noun {
    pub fn name(self) -> &'static str {
        match self {
            Noun::Vno => "VNO",
            Noun::Carrier => "carrier",
            Noun::ContentProvider => "content provider",
            Noun::Peer => "peer",
            Noun::PriceList => "price list",
            Noun::Staging => "upload",
            Noun::ApiKey => "API key",
            Noun::Offer => "offer",
            Noun::Subscriber => "subscriber",
            Noun::Line => "line",
            Noun::Identity => "identity",
            Noun::Account => "account",
            Noun::Subscription => "subscription",
            Noun::Session => "session",
            Noun::ContentItem => "content item",
            Noun::ApiClient => "API client",
            Noun::Agreement => "agreement",
            Noun::Sponsorship => "sponsorship",
            Noun::Payment => "payment",
        }
    }
}

/// Why an administrative write is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not exist, or not for this role: the two look alike on purpose.
    NotFound(Noun),
    AlreadyExists(Noun),
    /// The role may not do this.
    Forbidden,
    Invalid {
        field: &'static str,
        reason: Box<str>,
    },
    InsufficientBalance,
    /// A sale of content is not allowed or not paid for.
    Content(ContentRefusal),
    /// The idempotency key was used for another request.
    KeyReused,
    /// It is not in a state in which this can be done.
    WrongState(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotFound(noun) => write!(f, "no such {}", noun.name()),
            Refused::AlreadyExists(noun) => write!(f, "this {} exists already", noun.name()),
            Refused::Forbidden => f.write_str("this key's role may not do that"),
            Refused::Invalid { field, reason } => write!(f, "{field}: {reason}"),
            Refused::InsufficientBalance => f.write_str("the balance does not cover it"),
            Refused::Content(refusal) => f.write_str(refusal.reason()),
            Refused::KeyReused => f.write_str("this Idempotency-Key was used for another request"),
            Refused::WrongState(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

/// The answer to a [`Command`](super::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Session(Result<SessionAnswer, Declined>),
    Event(Result<EventAnswer, Declined>),
    Call(Box<Result<CallPlan, Declined>>),
    Administered(Result<Receipt, Refused>),
    Content(Result<Box<Payment>, ContentRefusal>),
    /// For commands that nobody waits for.
    Done,
}
