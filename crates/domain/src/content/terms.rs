//! What is sold, by whom, to whom and within which bounds.

use minicbor::{Decode, Encode};

use super::share::Agreement;
use crate::catalogue::Registry;
use crate::identifier::{
    AccountId, AgreementId, ApiClientId, ContentItemId, ContentProviderId, PriceListId, ScopeId,
    SponsorshipId, VnoId,
};
use crate::money::{Amount, Money};
use crate::party::Slug;
use crate::period::Period;
use crate::time::Timestamp;

/// How often a content subscription is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ItemPeriod {
    #[n(0)]
    Daily,
    #[n(1)]
    Weekly,
    #[n(2)]
    Monthly,
}

impl ItemPeriod {
    pub const ALL: [ItemPeriod; 3] = [ItemPeriod::Daily, ItemPeriod::Weekly, ItemPeriod::Monthly];

    pub fn name(self) -> &'static str {
        match self {
            ItemPeriod::Daily => "daily",
            ItemPeriod::Weekly => "weekly",
            ItemPeriod::Monthly => "monthly",
        }
    }

    /// The end of the period that runs at `at`, counted from `anchor`.
    pub fn end_after(self, anchor: Timestamp, at: Timestamp, time_zone: &str) -> Timestamp {
        let period = match self {
            ItemPeriod::Daily => Period::Days(1),
            ItemPeriod::Weekly => Period::Days(7),
            ItemPeriod::Monthly => Period::Months(1),
        };
        period.end_after(anchor, at, time_zone)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ItemKind {
    #[n(0)]
    OneOff,
    #[n(1)]
    Subscription {
        #[n(0)]
        period: ItemPeriod,
        /// Free days at the beginning, once for each line.
        #[n(1)]
        trial_days: u16,
    },
    /// Several items at one price.
    #[n(2)]
    Bundle(#[n(0)] Vec<ContentItemId>),
}

/// Something a content provider sells.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentItem {
    #[n(0)]
    pub id: ContentItemId,
    #[n(1)]
    pub provider: ContentProviderId,
    #[n(2)]
    pub slug: Slug,
    #[n(3)]
    pub name: Box<str>,
    /// Such as `games`, `video`, `adult`; VNOs allow and bar by it.
    #[n(4)]
    pub category: Box<str>,
    #[n(5)]
    pub price: Money,
    /// The price is what the subscriber pays, tax and all.
    #[n(6)]
    pub is_tax_included: bool,
    /// Years; 0 = anybody.
    #[n(7)]
    pub age_min: u8,
    #[n(8)]
    pub kind: ItemKind,
    /// Service-Identifier (AVP 439) under which switches sell it by event: premium messages, short codes.
    #[n(9)]
    pub service_identifier: Option<u32>,
    #[n(10)]
    pub withdrawn: bool,
}

/// The provider pays for traffic to its content: free for the subscriber, on the provider's own account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sponsorship {
    #[n(0)]
    pub id: SponsorshipId,
    #[n(1)]
    pub provider: ContentProviderId,
    #[n(2)]
    pub vno: VnoId,
    /// Which traffic.
    #[n(3)]
    pub scope: ScopeId,
    /// The provider's account with the VNO; its credit limit is the sponsor's limit.
    #[n(4)]
    pub account: AccountId,
    /// What the sponsor pays.
    #[n(5)]
    pub prices: PriceListId,
    #[n(6)]
    pub ended: bool,
}

/// An API client of a content provider (RFC 7523 section 2.2: it signs with its own key).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ApiClient {
    #[n(0)]
    pub id: ApiClientId,
    #[n(1)]
    pub provider: ContentProviderId,
    #[n(2)]
    pub slug: Slug,
    /// Its public keys, a JWK set (RFC 7517).
    #[n(3)]
    pub keys: Box<str>,
    /// What it may ask for; empty = everything.
    #[n(4)]
    pub scopes: Vec<Box<str>>,
    /// Requests a second; 0 = as many as come.
    #[n(5)]
    pub requests_per_second_max: u32,
    #[n(6)]
    pub withdrawn: bool,
}

impl ApiClient {
    pub fn may_ask_for(&self, scope: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|known| known.as_ref() == scope)
    }
}

/// A provider that a VNO lets its subscribers buy from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AllowedProvider {
    #[n(0)]
    pub provider: ContentProviderId,
    /// Empty = all.
    #[n(1)]
    pub categories: Vec<Box<str>>,
    /// Of one purchase, with tax.
    #[n(2)]
    pub price_max: Option<Amount>,
}

/// Where the VNO is told about one-time codes and consent that its subscribers are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentWebhook {
    #[n(0)]
    pub url: Box<str>,
    #[n(1)]
    pub secret: Box<str>,
}

/// A VNO's rules for content.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VnoContent {
    /// Nobody else may sell to its subscribers.
    #[n(0)]
    pub providers: Vec<AllowedProvider>,
    /// The only prices, with tax, that may be charged; empty = any.
    #[n(1)]
    pub price_points: Vec<Amount>,
    /// Of one purchase, with tax.
    #[n(2)]
    pub price_max: Option<Amount>,
    /// Of one line in a calendar month, with tax.
    #[n(3)]
    pub monthly_max: Option<Amount>,
    /// Reserved payments from this amount on need a one-time code; None = none does.
    #[n(4)]
    pub validation_from: Option<Amount>,
    /// Categories for which the line must be known to be of this age.
    #[n(5)]
    pub ages: Vec<(Box<str>, u8)>,
    /// On prices whose merchant does not apply taxes itself.
    #[n(6)]
    pub tax_basis_points: u16,
    /// How long a reserved payment waits for its confirmation.
    #[n(7)]
    pub reservation_seconds: u32,
    /// After that many days nothing is refunded any more; 0 = always.
    #[n(8)]
    pub refund_days: u16,
    /// Of all refunds to one line in a calendar month.
    #[n(9)]
    pub refund_monthly_max: Option<Amount>,
    #[n(10)]
    pub webhook: Option<ContentWebhook>,
}

impl Default for VnoContent {
    fn default() -> VnoContent {
        VnoContent {
            providers: Vec::new(),
            price_points: Vec::new(),
            price_max: None,
            monthly_max: None,
            validation_from: None,
            ages: Vec::new(),
            tax_basis_points: 0,
            reservation_seconds: 900,
            refund_days: 0,
            refund_monthly_max: None,
            webhook: None,
        }
    }
}

/// What a line's owner said to one API client, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Consent {
    #[n(0)]
    pub client: ApiClientId,
    #[n(1)]
    pub scopes: Vec<Box<str>>,
    #[n(2)]
    pub given_at: Timestamp,
    /// Such as `app 4.2, button "allow", 2026-05-01T10:00:00Z`.
    #[n(3)]
    pub proof: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ContentSubscriptionState {
    /// Free days run.
    #[n(0)]
    Trial,
    #[n(1)]
    Active,
    /// The last renewal could not be paid; tried every day for a week.
    #[n(2)]
    Unpaid,
    /// Runs to the end of the paid period.
    #[n(3)]
    Cancelled,
    #[n(4)]
    Ended,
}

impl ContentSubscriptionState {
    pub fn name(self) -> &'static str {
        match self {
            ContentSubscriptionState::Trial => "trial",
            ContentSubscriptionState::Active => "active",
            ContentSubscriptionState::Unpaid => "unpaid",
            ContentSubscriptionState::Cancelled => "cancelled",
            ContentSubscriptionState::Ended => "ended",
        }
    }

    pub fn is_live(self) -> bool {
        self != ContentSubscriptionState::Ended
    }
}

/// An item that a line has subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentSubscription {
    /// Counts from 1 within the line.
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub item: ContentItemId,
    #[n(2)]
    pub state: ContentSubscriptionState,
    #[n(3)]
    pub started_at: Timestamp,
    #[n(4)]
    pub renews_at: Option<Timestamp>,
    /// How the opt-in is known.
    #[n(5)]
    pub proof: Box<str>,
    /// Renewals tried without success in a row.
    #[n(6)]
    pub failures: u8,
    /// How the opt-out is known.
    #[n(7)]
    pub cancel_proof: Option<Box<str>>,
}

/// A line's own side of content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LineContent {
    /// Of one calendar month, with tax; narrower than the VNO's.
    #[n(0)]
    pub monthly_max: Option<Amount>,
    /// What the VNO knows of the user's age, in years.
    #[n(1)]
    pub age: Option<u8>,
    #[n(2)]
    pub consents: Vec<Consent>,
    #[n(3)]
    pub subscriptions: Vec<ContentSubscription>,
    #[n(4)]
    pub subscriptions_begun: u32,
    /// The month that `spent` and `refunded` count.
    #[n(5)]
    pub month: u32,
    #[n(6)]
    pub spent: Amount,
    #[n(7)]
    pub refunded: Amount,
}

impl LineContent {
    pub const SUBSCRIPTIONS_MAX: usize = 64;
    pub const CONSENTS_MAX: usize = 64;

    /// Ended ones make room for new ones.
    pub(crate) fn keep(&mut self, subscription: ContentSubscription) {
        if self.subscriptions.len() >= Self::SUBSCRIPTIONS_MAX
            && let Some(over) = self.subscriptions.iter().position(|one| !one.state.is_live())
        {
            self.subscriptions.remove(over);
        }
        self.subscriptions.push(subscription);
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        let live = self.subscriptions.iter().filter(|one| one.state.is_live());
        live.filter_map(|one| one.renews_at).min()
    }

    /// Spent and refunded in this month.
    pub fn so_far(&self, month: u32) -> (Amount, Amount) {
        if self.month == month { (self.spent, self.refunded) } else { Default::default() }
    }

    pub fn consents_to(&self, client: ApiClientId, scope: &str) -> bool {
        let mut own = self.consents.iter().filter(|consent| consent.client == client);
        own.any(|consent| consent.scopes.iter().any(|known| known.as_ref() == scope))
    }
}

impl Registry {
    pub fn content_item(&self, id: ContentItemId) -> Option<&ContentItem> {
        self.content_items.get(id.index()).map(AsRef::as_ref)
    }

    pub fn content_item_by_slug(
        &self,
        provider: ContentProviderId,
        slug: &str,
    ) -> Option<&ContentItem> {
        let mut items = self.content_items.iter().map(AsRef::as_ref);
        items.find(|item| item.provider == provider && item.slug.as_str() == slug)
    }

    /// What switches sell under a Service-Identifier.
    pub fn content_item_by_service(&self, identifier: u32) -> Option<&ContentItem> {
        let mut items = self.content_items.iter().map(AsRef::as_ref);
        items.find(|item| !item.withdrawn && item.service_identifier == Some(identifier))
    }

    pub fn api_client(&self, id: ApiClientId) -> Option<&ApiClient> {
        self.api_clients.get(id.index()).map(AsRef::as_ref)
    }

    pub fn api_client_by_slug(&self, slug: &str) -> Option<&ApiClient> {
        self.api_clients.iter().map(AsRef::as_ref).find(|client| client.slug.as_str() == slug)
    }

    pub fn agreement(&self, id: AgreementId) -> Option<&Agreement> {
        self.agreements.get(id.index()).map(AsRef::as_ref)
    }

    /// What provider, broker and VNO have agreed on.
    pub fn agreement_between(&self, provider: ContentProviderId, vno: VnoId) -> Option<&Agreement> {
        let mut agreements = self.agreements.iter().map(AsRef::as_ref);
        agreements.find(|one| one.provider == provider && one.vno == vno && !one.ended)
    }
}
