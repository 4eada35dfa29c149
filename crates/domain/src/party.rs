//! The parties: the broker's VNOs, carriers with their switches, and content providers.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use crate::calls::{Trunk, VnoCalls};
use crate::content::VnoContent;
use crate::identifier::{CarrierId, ContentProviderId, OfferId, PeerId, PriceListId, VnoId};
use crate::money::{Amount, Currency, Rounding};
use crate::monthly_fees::FeeAccount;
use crate::quantity::Unit;
use crate::wholesale::WholesaleClauses;

/// A party's short name in URLs and decks: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Slug(#[n(0)] Box<str>);

/// Not 1 to 40 lower-case letters, digits and hyphens, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSlug;

impl fmt::Display for InvalidSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid identifier: expected 1 to 40 lower-case letters, digits or hyphens, starting with a letter")
    }
}

impl std::error::Error for InvalidSlug {}

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Slug, InvalidSlug> {
        let first_is_letter = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if first_is_letter && plain && text.len() <= 40 {
            Ok(Slug(text.into()))
        } else {
            Err(InvalidSlug)
        }
    }
}

impl Slug {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What kind of network a carrier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum NetworkKind {
    #[n(0)]
    Telephone,
    #[n(1)]
    Wireless,
    #[n(2)]
    Cable,
    #[n(3)]
    Satellite,
    #[n(4)]
    Computer,
}

impl NetworkKind {
    pub const ALL: [NetworkKind; 5] = [
        NetworkKind::Telephone,
        NetworkKind::Wireless,
        NetworkKind::Cable,
        NetworkKind::Satellite,
        NetworkKind::Computer,
    ];

    pub fn name(self) -> &'static str {
        match self {
            NetworkKind::Telephone => "telephone",
            NetworkKind::Wireless => "wireless",
            NetworkKind::Cable => "cable",
            NetworkKind::Satellite => "satellite",
            NetworkKind::Computer => "computer",
        }
    }
}

/// May a party do business at the moment?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    #[n(0)]
    Active,
    #[n(1)]
    Suspended,
    #[n(2)]
    Closed,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Suspended => "suspended",
            Standing::Closed => "closed",
        }
    }
}

/// What happens when the last granted unit is used (RFC 8506 section 5.6).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FinalUnitAction {
    #[n(0)]
    Terminate,
    /// To a top-up page or portal.
    #[n(1)]
    Redirect(#[n(0)] Box<str>),
    /// An IPFilterRule that names what stays reachable.
    #[n(2)]
    Restrict(#[n(0)] Box<str>),
}

/// What a client should do when the broker does not answer (RFC 8506 section 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum FailureHandling {
    #[n(0)]
    Terminate,
    #[n(1)]
    Continue,
    #[n(2)]
    RetryAndTerminate,
}

impl FailureHandling {
    pub fn name(self) -> &'static str {
        match self {
            FailureHandling::Terminate => "terminate",
            FailureHandling::Continue => "continue",
            FailureHandling::RetryAndTerminate => "retry_and_terminate",
        }
    }
}

/// How large grants are and how long they stand, for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GrantPolicy {
    /// The most granted at once.
    #[n(0)]
    pub slice_max: u64,
    /// The least worth granting, unless it is all that is left.
    #[n(1)]
    pub slice_min: u64,
    /// Seconds until the switch must report even when nothing ran out.
    #[n(2)]
    pub validity_seconds: u32,
    /// The switch asks for more when this percent of the grant is left; 0 sends no threshold.
    #[n(3)]
    pub threshold_percent: u8,
    /// Seconds without traffic after which the switch returns the quota; 0 = never.
    #[n(4)]
    pub holding_seconds: u32,
}

impl GrantPolicy {
    /// No grant is larger: many of them together can still be counted.
    pub const SLICE_LARGEST: u64 = 1 << 50;

    pub const fn default_for(unit: Unit) -> GrantPolicy {
        let (slice_max, slice_min) = match unit {
            Unit::Seconds => (300, 10),
            Unit::Octets => (50 << 20, 64 << 10),
            Unit::Messages | Unit::Events => (10, 1),
            Unit::Money => (10_000_000, 1),
        };
        GrantPolicy {
            slice_max,
            slice_min,
            validity_seconds: 3600,
            threshold_percent: 10,
            holding_seconds: 600,
        }
    }
}

/// How the VNO pays the broker for its subscribers' use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum WholesaleTerms {
    /// Per unit, from a wholesale price list.
    #[n(0)]
    PriceList(#[n(0)] PriceListId),
    /// The net retail charge less this many hundredths of a percent.
    #[n(1)]
    RetailMinus(#[n(0)] u16),
    /// What the carrier charges plus this many hundredths of a percent; needs one currency on both sides.
    #[n(2)]
    CostPlus(#[n(0)] u16),
}

/// A tenant: sells network services to subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Vno {
    #[n(0)]
    pub id: VnoId,
    #[n(1)]
    pub slug: Slug,
    #[n(2)]
    pub name: Box<str>,
    #[n(3)]
    pub standing: Standing,
    /// Currency of its retail accounts.
    #[n(4)]
    pub currency: Currency,
    /// IANA name; its subscribers' billing periods and time windows turn over in it.
    #[n(5)]
    pub time_zone: Box<str>,
    /// Retail prices for lines whose offers name none.
    #[n(6)]
    pub retail: Option<PriceListId>,
    #[n(7)]
    pub wholesale: Option<WholesaleTerms>,
    /// Currency of the VNO's own account with the broker.
    #[n(8)]
    pub wholesale_currency: Currency,
    /// How far below zero the VNO's account with the broker may go.
    #[n(9)]
    pub credit_limit: Amount,
    #[n(10)]
    pub final_unit: FinalUnitAction,
    #[n(11)]
    pub failure_handling: FailureHandling,
    /// Overrides of [`GrantPolicy::default_for`].
    #[n(12)]
    pub grants: Vec<(Unit, GrantPolicy)>,
    /// Carriers whose networks its subscribers may use; empty = all.
    #[n(13)]
    pub carriers: Vec<CarrierId>,
    /// Offer given to every new subscriber, if any.
    #[n(14)]
    pub default_offer: Option<OfferId>,
    /// Rules for calls; None = none.
    #[n(15)]
    pub calls: Option<Box<VnoCalls>>,
    /// Rules for content; None = nobody may sell to its subscribers.
    #[n(16)]
    pub content: Option<Box<VnoContent>>,
    /// What it owes the broker by the month; None = nothing.
    #[n(17)]
    pub fees: Option<FeeAccount>,
    /// What is agreed with the broker beside the price of each use.
    #[n(18)]
    pub clauses: Option<Box<WholesaleClauses>>,
}

impl Vno {
    pub fn grant_policy(&self, unit: Unit) -> GrantPolicy {
        self.grants
            .iter()
            .find(|(of, _)| *of == unit)
            .map_or(GrantPolicy::default_for(unit), |(_, policy)| *policy)
    }

    pub fn may_use(&self, carrier: CarrierId) -> bool {
        self.carriers.is_empty() || self.carriers.contains(&carrier)
    }
}

/// A network company.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Carrier {
    #[n(0)]
    pub id: CarrierId,
    #[n(1)]
    pub slug: Slug,
    #[n(2)]
    pub name: Box<str>,
    #[n(3)]
    pub kind: NetworkKind,
    #[n(4)]
    pub standing: Standing,
    #[n(5)]
    pub currency: Currency,
    /// What the carrier charges the broker.
    #[n(6)]
    pub deck: Option<PriceListId>,
    /// Seconds of calls in a calendar month (UTC) that were promised to it; 0 = none.
    #[n(7)]
    #[cbor(default)]
    pub committed_seconds: u64,
}

/// A company that sells content through the broker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentProvider {
    #[n(0)]
    pub id: ContentProviderId,
    #[n(1)]
    pub slug: Slug,
    #[n(2)]
    pub name: Box<str>,
    #[n(3)]
    pub standing: Standing,
    #[n(4)]
    pub currency: Currency,
    /// The provider's part of a sale's net price, in hundredths of a percent.
    #[n(5)]
    pub share_basis_points: u16,
    /// Service-Identifiers (AVP 439) of its content.
    #[n(6)]
    pub service_identifiers: Vec<u32>,
}

impl ContentProvider {
    /// The provider's part of a net price, rounded half-even.
    pub fn share_of(&self, net: Amount) -> Amount {
        let share = i128::from(net.micros()) * i128::from(self.share_basis_points);
        Amount::from_wide(Rounding::HalfEven.divide(share, 10_000)).unwrap_or(Amount::ZERO)
    }
}

/// One switch of a carrier: a Diameter peer (RFC 6733 section 2.6) or a SIP trunk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Peer {
    #[n(0)]
    pub id: PeerId,
    #[n(1)]
    pub carrier: CarrierId,
    /// Origin-Host, or a name for the trunk; in lower case.
    #[n(2)]
    pub host: Box<str>,
    /// Origin-Realms it may speak for; empty = that of its connection, or, for an agent, any.
    #[n(3)]
    pub realms: Vec<Box<str>>,
    #[n(4)]
    pub standing: Standing,
    /// May other hosts' requests arrive through it (a relay or proxy)?
    #[n(5)]
    pub is_agent: bool,
    /// Must the connection be TLS?
    #[n(6)]
    pub requires_tls: bool,
    /// A circuit switch reached by SIP; None = a packet switch that speaks Diameter.
    #[n(7)]
    pub trunk: Option<Box<Trunk>>,
}
