//! What is sold and at what price: offers, scopes, price lists with their versions, exchange rates.
//!
//! The registry is one immutable snapshot: shells read the current one without asking the sequencer,
//! and a running session keeps the price-list version it began with.

use std::sync::Arc;

use hashbrown::HashMap;
use minicbor::{Decode, Encode};

use crate::access::ApiKey;
use crate::content::{Agreement, ApiClient, ContentItem, Sponsorship};
use crate::digits::Digits;
use crate::identifier::{
    CarrierId, ContentProviderId, OfferId, PeerId, PriceListId, PriceListVersion, ScopeId, VnoId,
};
use crate::money::{Amount, Currency};
use crate::party::{Carrier, ContentProvider, Peer, Slug, Vno};
use crate::period::{Period, WeeklyWindow};
use crate::quantity::Unit;
use crate::rating::{PriceList, PriceListHeader};
use crate::service::{Direction, Service};
use crate::time::Timestamp;

/// Which use a bucket, a payer rule or a limit is about. Every part that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Encode, Decode)]
pub struct Scope {
    #[n(0)]
    pub services: Vec<Service>,
    #[n(1)]
    pub directions: Vec<Direction>,
    /// Prefixes of the other party's number.
    #[n(2)]
    pub destinations: Vec<Digits>,
    #[n(3)]
    pub rating_groups: Vec<u32>,
    /// Serving networks (MCC or MCC and MNC).
    #[n(4)]
    pub serving_networks: Vec<Digits>,
    /// Only within these hours, in the VNO's time zone.
    #[n(5)]
    pub window: Option<WeeklyWindow>,
    #[n(6)]
    pub service_identifiers: Vec<u32>,
}

/// The use that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    pub service: Service,
    pub direction: Direction,
    pub destination: Option<Digits>,
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    pub serving_network: Option<Digits>,
    pub at: Timestamp,
    pub time_zone: &'a str,
}

impl Scope {
    pub fn covers(&self, usage: &Use<'_>) -> bool {
        let prefixed = |prefixes: &[Digits], value: Option<Digits>| {
            prefixes.is_empty()
                || value
                    .is_some_and(|value| prefixes.iter().any(|prefix| value.starts_with(*prefix)))
        };
        let listed = |numbers: &[u32], value: Option<u32>| {
            numbers.is_empty() || value.is_some_and(|value| numbers.contains(&value))
        };
        (self.services.is_empty() || self.services.contains(&usage.service))
            && (self.directions.is_empty() || self.directions.contains(&usage.direction))
            && prefixed(&self.destinations, usage.destination)
            && listed(&self.rating_groups, usage.rating_group)
            && listed(&self.service_identifiers, usage.service_identifier)
            && prefixed(&self.serving_networks, usage.serving_network)
            && self.window.as_ref().is_none_or(|window| window.contains(usage.at, usage.time_zone))
    }
}

/// How much of a fee or allowance a first, broken period brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Proration {
    /// All of it.
    #[n(0)]
    Full,
    /// The part of the period that is left, in whole days counting today.
    #[n(1)]
    Daily,
}

/// What becomes of units left at the end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Rollover {
    #[n(0)]
    None,
    /// Kept for one more period, at most this many units.
    #[n(1)]
    OnePeriod(#[n(0)] u64),
}

/// Units (or bonus money) that an offer brings every period.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Allowance {
    #[n(0)]
    pub name: Box<str>,
    #[n(1)]
    pub unit: Unit,
    /// Units; millionths of the account's currency when the unit is money.
    #[n(2)]
    pub quantity: u64,
    #[n(3)]
    pub scope: ScopeId,
    /// Lower is used first among buckets that expire together.
    #[n(4)]
    pub priority: u8,
    #[n(5)]
    pub rollover: Rollover,
    /// The part of the net fee that is earned as the units are used; what is left at expiry is breakage.
    #[n(6)]
    pub value: Amount,
}

/// What a VNO sells.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    #[n(0)]
    pub id: OfferId,
    #[n(1)]
    pub vno: VnoId,
    #[n(2)]
    pub slug: Slug,
    #[n(3)]
    pub name: Box<str>,
    /// Net of tax.
    #[n(4)]
    pub one_time_fee: Amount,
    /// Net of tax, per period, paid in advance.
    #[n(5)]
    pub recurring_fee: Amount,
    #[n(6)]
    pub tax_basis_points: u16,
    /// None: a one-off purchase, whose allowances last `validity_days`.
    #[n(7)]
    pub period: Option<Period>,
    #[n(8)]
    pub validity_days: Option<u16>,
    #[n(9)]
    pub proration: Proration,
    #[n(10)]
    pub allowances: Vec<Allowance>,
    /// Retail prices for what allowances do not cover.
    #[n(11)]
    pub prices: Option<PriceListId>,
    #[n(12)]
    pub withdrawn: bool,
}

/// Whose price list it is: only they and the broker see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum PriceListOwner {
    /// Wholesale lists, and anything the broker keeps for itself.
    #[n(0)]
    Broker,
    /// Retail.
    #[n(1)]
    Vno(#[n(0)] VnoId),
    /// A deck: what the carrier charges the broker.
    #[n(2)]
    Carrier(#[n(0)] CarrierId),
}

/// One version, compiled.
#[derive(Clone, Debug)]
pub struct InstalledVersion {
    pub version: PriceListVersion,
    pub valid_from: Timestamp,
    pub prices: Arc<PriceList>,
}

/// A named price list and the versions that are in force or in use.
#[derive(Clone, Debug)]
pub struct PriceListEntry {
    pub id: PriceListId,
    pub owner: PriceListOwner,
    pub slug: Slug,
    /// Oldest first by `valid_from`.
    pub versions: Vec<InstalledVersion>,
}

impl PriceListEntry {
    /// The version whose prices hold at `at`: the newest that is valid by then, unless it has ended.
    pub fn at(&self, at: Timestamp) -> Option<&InstalledVersion> {
        let newest = self.versions.iter().rev().find(|version| version.valid_from <= at);
        newest.filter(|version| version.prices.header().valid_to.is_none_or(|end| at < end))
    }
}

/// The head of a price-list version as it is kept in events and in the books; the rows are apart, in chunks.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PriceListRecord {
    #[n(0)]
    pub id: PriceListId,
    #[n(1)]
    pub version: PriceListVersion,
    #[n(2)]
    pub owner: PriceListOwner,
    #[n(3)]
    pub slug: Slug,
    #[n(4)]
    pub valid_from: Timestamp,
    #[n(5)]
    pub header: PriceListHeader,
    /// Which staged chunks hold the rows.
    #[n(6)]
    pub staging: u64,
    #[n(7)]
    pub chunks: u32,
    #[n(8)]
    pub rows: u32,
}

/// From a day on, one unit of `from` is worth `rate` millionths of a unit of `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ExchangeRate {
    #[n(0)]
    pub from: Currency,
    #[n(1)]
    pub to: Currency,
    #[n(2)]
    pub valid_from: Timestamp,
    /// Millionths.
    #[n(3)]
    pub rate: u64,
}

/// Everything that changes rarely and is read by every decision.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub vnos: Vec<Arc<Vno>>,
    pub carriers: Vec<Arc<Carrier>>,
    pub content_providers: Vec<Arc<ContentProvider>>,
    pub peers: Vec<Arc<Peer>>,
    pub offers: Vec<Arc<Offer>>,
    /// Scope 0 covers everything.
    pub scopes: Vec<Arc<Scope>>,
    pub price_lists: Vec<Arc<PriceListEntry>>,
    /// By version; None once retired.
    pub versions: Vec<Option<Arc<PriceList>>>,
    pub exchange_rates: Vec<ExchangeRate>,
    pub api_keys: HashMap<[u8; 32], Arc<ApiKey>>,
    pub content_items: Vec<Arc<ContentItem>>,
    pub agreements: Vec<Arc<Agreement>>,
    pub sponsorships: Vec<Arc<Sponsorship>>,
    pub api_clients: Vec<Arc<ApiClient>>,
}

impl Registry {
    pub fn vno(&self, id: VnoId) -> Option<&Vno> {
        self.vnos.get(id.index()).map(Arc::as_ref)
    }

    pub fn carrier(&self, id: CarrierId) -> Option<&Carrier> {
        self.carriers.get(id.index()).map(Arc::as_ref)
    }

    pub fn content_provider(&self, id: ContentProviderId) -> Option<&ContentProvider> {
        self.content_providers.get(id.index()).map(Arc::as_ref)
    }

    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.index()).map(Arc::as_ref)
    }

    pub fn offer(&self, id: OfferId) -> Option<&Offer> {
        self.offers.get(id.index()).map(Arc::as_ref)
    }

    /// An unknown scope covers nothing.
    pub fn covers(&self, scope: ScopeId, usage: &Use<'_>) -> bool {
        scope.index() == 0
            || self.scopes.get(scope.index()).is_some_and(|scope| scope.covers(usage))
    }

    pub fn price_list(&self, id: PriceListId) -> Option<&PriceListEntry> {
        self.price_lists.get(id.index()).map(Arc::as_ref)
    }

    pub fn prices(&self, version: PriceListVersion) -> Option<&PriceList> {
        self.versions.get(version.index())?.as_deref()
    }

    pub fn vno_by_slug(&self, slug: &str) -> Option<&Vno> {
        self.vnos.iter().map(Arc::as_ref).find(|vno| vno.slug.as_str() == slug)
    }

    pub fn carrier_by_slug(&self, slug: &str) -> Option<&Carrier> {
        self.carriers.iter().map(Arc::as_ref).find(|carrier| carrier.slug.as_str() == slug)
    }

    pub fn content_provider_by_slug(&self, slug: &str) -> Option<&ContentProvider> {
        self.content_providers.iter().map(Arc::as_ref).find(|p| p.slug.as_str() == slug)
    }

    pub fn peer_by_host(&self, host: &str) -> Option<&Peer> {
        self.peers.iter().map(Arc::as_ref).find(|peer| peer.host.eq_ignore_ascii_case(host))
    }

    pub fn price_list_by_slug(&self, owner: PriceListOwner, slug: &str) -> Option<&PriceListEntry> {
        let mut lists = self.price_lists.iter().map(Arc::as_ref);
        lists.find(|list| list.owner == owner && list.slug.as_str() == slug)
    }

    pub fn offer_by_slug(&self, vno: VnoId, slug: &str) -> Option<&Offer> {
        let mut offers = self.offers.iter().map(Arc::as_ref);
        offers.find(|offer| offer.vno == vno && offer.slug.as_str() == slug)
    }

    /// The rate from one currency to another that holds at `at`, in millionths.
    pub fn exchange_rate(&self, from: Currency, to: Currency, at: Timestamp) -> Option<u64> {
        if from == to {
            return Some(1_000_000);
        }
        let rates = self.exchange_rates.iter();
        rates
            .filter(|rate| rate.from == from && rate.to == to && rate.valid_from <= at)
            .max_by_key(|rate| rate.valid_from)
            .map(|rate| rate.rate)
    }
}
