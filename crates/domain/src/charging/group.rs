//! A rating group within a session, and what it owes on every leg so far.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::encoding;
use crate::identifier::{
    AccountId, BucketId, CarrierId, ContentProviderId, PriceListId, PriceListVersion, VnoId,
};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Currency, Money};
use crate::party::ContentProvider;
use crate::quantity::Unit;
use crate::rating::{BandIndex, Exact, RateIndex};
use crate::time::Timestamp;

/// What names a rating group: Rating-Group (AVP 432), Service-Identifier (AVP 439), both or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct GroupKey {
    #[n(0)]
    pub rating_group: Option<u32>,
    #[n(1)]
    pub service_identifier: Option<u32>,
}

/// One rate of one price-list version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RateReference {
    #[n(0)]
    pub list: PriceListId,
    #[n(1)]
    pub version: PriceListVersion,
    #[n(2)]
    pub rate: RateIndex,
}

/// Units priced so far by one rate, and what they cost.
#[derive(Debug, PartialEq, Eq, Default, Encode, Decode)]
pub struct Meter {
    /// Billable units, rounded up to increments.
    #[n(0)]
    pub units: u64,
    /// Exact price of the units, before fees, minimum, discount, cap and rounding.
    #[n(1)]
    pub exact: Exact,
    /// The units by time band, for the record.
    #[n(2)]
    #[cbor(with = "encoding")]
    pub by_band: SmallVec<[BandUnits; 1]>,
    /// Charged, rounded once, without tax.
    #[n(3)]
    pub net: Amount,
    #[n(4)]
    pub tax: Amount,
    /// Not charged because a day or month had cost all it may, as listed.
    #[n(5)]
    #[cbor(default)]
    pub forgiven: Amount,
}

/// What every report does for each leg, twice: lists are copied as a whole.
impl Clone for Meter {
    fn clone(&self) -> Meter {
        Meter {
            units: self.units,
            exact: self.exact,
            by_band: SmallVec::from_slice(&self.by_band),
            net: self.net,
            tax: self.tax,
            forgiven: self.forgiven,
        }
    }
}

impl Meter {
    pub fn gross(&self) -> Amount {
        self.net.saturating_add(self.tax)
    }

    pub(super) fn note(&mut self, band: BandIndex, units: u64) {
        self.units = self.units.saturating_add(units);
        match self.by_band.iter_mut().find(|known| known.band == band) {
            Some(known) => known.units = known.units.saturating_add(units),
            None => self.by_band.push(BandUnits { band, units }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BandUnits {
    #[n(0)]
    pub band: BandIndex,
    #[n(1)]
    pub units: u64,
}

/// A leg that one rate prices: wholesale or cost.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Leg {
    #[n(0)]
    pub rate: RateReference,
    #[n(1)]
    pub currency: Currency,
    #[n(2)]
    pub meter: Meter,
}

/// What the VNO owes the broker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Wholesale {
    #[n(0)]
    Rated(#[n(0)] Leg),
    /// The retail net less a part of it.
    #[n(1)]
    RetailMinus {
        #[n(0)]
        basis_points: u16,
        #[n(1)]
        currency: Currency,
        #[n(2)]
        net: Amount,
    },
    /// The carrier's charge plus a part of it.
    #[n(2)]
    CostPlus {
        #[n(0)]
        basis_points: u16,
        #[n(1)]
        currency: Currency,
        #[n(2)]
        net: Amount,
    },
}

impl Wholesale {
    fn net(&self) -> Amount {
        match self {
            Wholesale::Rated(leg) => leg.meter.net,
            Wholesale::RetailMinus { net, .. } | Wholesale::CostPlus { net, .. } => *net,
        }
    }

    fn currency(&self) -> Currency {
        match self {
            Wholesale::Rated(leg) => leg.currency,
            Wholesale::RetailMinus { currency, .. } | Wholesale::CostPlus { currency, .. } => {
                *currency
            }
        }
    }
}

/// What one account paid of the retail leg.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub struct PayerLeg {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub currency: Currency,
    /// What was paid in money.
    #[n(2)]
    pub meter: Meter,
    /// What allowances paid.
    #[n(3)]
    #[cbor(with = "encoding")]
    pub draws: SmallVec<[Draw; 1]>,
    /// What is reserved for the running grant.
    #[n(4)]
    #[cbor(with = "encoding")]
    pub holds: SmallVec<[Hold; 1]>,
}

impl Clone for PayerLeg {
    fn clone(&self) -> PayerLeg {
        PayerLeg {
            account: self.account,
            currency: self.currency,
            meter: self.meter.clone(),
            draws: SmallVec::from_slice(&self.draws),
            holds: SmallVec::from_slice(&self.holds),
        }
    }
}

impl PayerLeg {
    pub fn new(account: AccountId, currency: Currency) -> PayerLeg {
        PayerLeg {
            account,
            currency,
            meter: Meter::default(),
            draws: SmallVec::new(),
            holds: SmallVec::new(),
        }
    }

    /// Deferred revenue that the allowance units earned.
    pub fn earned(&self) -> Amount {
        self.draws.iter().fold(Amount::ZERO, |sum, draw| sum.saturating_add(draw.earned))
    }
}

/// Units taken from an allowance bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Draw {
    #[n(0)]
    pub bucket: BucketId,
    #[n(1)]
    pub units: u64,
    /// Deferred revenue that became earned by it.
    #[n(2)]
    pub earned: Amount,
}

/// Units or money reserved in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hold {
    #[n(0)]
    pub bucket: BucketId,
    #[n(1)]
    pub amount: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Phase {
    /// No grant stands.
    #[n(0)]
    Idle,
    #[n(1)]
    Granted,
    /// The grant that stands is the last one.
    #[n(2)]
    FinalGrant,
    /// Redirected or restricted, waiting for money.
    #[n(3)]
    Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Group {
    #[n(0)]
    pub key: GroupKey,
    #[n(1)]
    pub unit: Unit,
    #[n(2)]
    pub started_at: Timestamp,
    #[n(3)]
    /// None: the amount was named by who asked for it.
    pub retail: Option<RateReference>,
    /// Units the switch reported.
    #[n(4)]
    pub used: u64,
    /// The same, rounded up to the retail increments.
    #[n(5)]
    pub billable: u64,
    #[n(6)]
    #[cbor(with = "encoding")]
    pub payers: SmallVec<[PayerLeg; 1]>,
    #[n(7)]
    pub wholesale: Option<Wholesale>,
    #[n(8)]
    pub cost: Option<Leg>,
    #[n(9)]
    pub granted: u64,
    /// Reserved on the VNO's account with the broker.
    #[n(10)]
    pub wholesale_hold: Amount,
    #[n(11)]
    pub phase: Phase,
    /// Units reported beyond what was granted.
    #[n(12)]
    pub overrun: u64,
    #[n(13)]
    pub content: Option<ContentLeg>,
    /// The content provider's account that pays instead of the line's payers.
    #[n(14)]
    pub sponsor: Option<AccountId>,
    /// When its use was last reported and it was granted what it has. Kept where a price depends on it.
    #[n(15)]
    pub reported_at: Option<Timestamp>,
    /// Where the VNO has a pool of the group's unit.
    #[n(16)]
    pub pool: Option<PoolUse>,
    /// Of a session that was opened beyond the VNO's capacity.
    #[n(17)]
    pub burst: Option<BurstFee>,
}

/// What a group took of the VNO's pool, and so does not pay by its wholesale rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PoolUse {
    /// Billable units.
    #[n(0)]
    pub units: u64,
    /// Reserved for the running grant.
    #[n(1)]
    pub held: u64,
}

/// What the VNO owes for a session beyond its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BurstFee {
    #[n(0)]
    pub fee: Amount,
    #[n(1)]
    pub currency: Currency,
    /// Once anything was used.
    #[n(2)]
    pub is_owed: bool,
}

/// What a content provider earns of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentLeg {
    #[n(0)]
    pub provider: ContentProviderId,
    #[n(1)]
    pub currency: Currency,
    #[n(2)]
    pub share: Amount,
}

impl ContentLeg {
    pub(super) fn begun(provider: &ContentProvider, currency: Currency) -> ContentLeg {
        ContentLeg { provider: provider.id, currency, share: Amount::ZERO }
    }
}

impl Group {
    /// Of what was charged or reserved so far.
    pub fn currency(&self) -> Option<Currency> {
        self.payers.first().map(|payer| payer.currency)
    }

    /// Net money of the retail leg, all payers.
    pub fn retail_net(&self) -> Amount {
        self.payers.iter().fold(Amount::ZERO, |sum, payer| sum.saturating_add(payer.meter.net))
    }

    /// Tax of the retail leg, all payers.
    pub fn retail_tax(&self) -> Amount {
        self.payers.iter().fold(Amount::ZERO, |sum, payer| sum.saturating_add(payer.meter.tax))
    }

    /// Money of the retail leg with tax, all payers.
    pub fn retail_gross(&self) -> Amount {
        self.payers.iter().fold(Amount::ZERO, |sum, payer| sum.saturating_add(payer.meter.gross()))
    }

    /// What caps of a day or month took off the retail leg, as listed.
    pub fn beyond_cap(&self) -> Option<Money> {
        let forgiven = self.payers.iter().filter(|payer| payer.meter.forgiven.is_positive());
        let currency = forgiven.clone().next()?.currency;
        let sum = forgiven.fold(Amount::ZERO, |sum, p| sum.saturating_add(p.meter.forgiven));
        Some(Money::new(sum, currency))
    }

    pub fn wholesale_net(&self) -> Amount {
        let owed = self.burst.filter(|burst| burst.is_owed).map_or(Amount::ZERO, |burst| burst.fee);
        self.wholesale.as_ref().map_or(Amount::ZERO, Wholesale::net).saturating_add(owed)
    }

    pub fn wholesale_currency(&self) -> Option<Currency> {
        let of_burst = self.burst.map(|burst| burst.currency);
        self.wholesale.as_ref().map(Wholesale::currency).or(of_burst)
    }

    pub(super) fn owes_burst(&self) -> bool {
        self.burst.is_some_and(|burst| burst.is_owed)
    }

    pub(super) fn pooled(&self) -> u64 {
        self.pool.map_or(0, |pool| pool.units)
    }

    /// The fee that the first use will bring.
    pub(super) fn burst_due(&self) -> Amount {
        self.burst.filter(|burst| !burst.is_owed).map_or(Amount::ZERO, |burst| burst.fee)
    }

    /// Postings that lead from `before` (None = nothing charged yet) to `self`, on every leg.
    pub fn post_since(
        &self,
        before: Option<&Group>,
        entry: &mut Entry,
        vno: VnoId,
        carrier: CarrierId,
    ) {
        for payer in &self.payers {
            let earlier =
                before.and_then(|group| group.payers.iter().find(|p| p.account == payer.account));
            let grown = |now: Amount, then: fn(&PayerLeg) -> Amount| {
                now.saturating_sub(earlier.map_or(Amount::ZERO, then))
            };
            let account = LedgerAccount::Subscriber(payer.account);
            let net = grown(payer.meter.net, |p| p.meter.net);
            entry.transfer(account, LedgerAccount::VnoRevenue(vno), payer.currency, net);
            let tax = grown(payer.meter.tax, |p| p.meter.tax);
            entry.transfer(account, LedgerAccount::Tax(vno), payer.currency, tax);
            let earned = grown(payer.earned(), PayerLeg::earned);
            let deferred = LedgerAccount::VnoDeferred(vno);
            entry.transfer(deferred, LedgerAccount::VnoRevenue(vno), payer.currency, earned);
        }
        if let Some(currency) = self.wholesale_currency() {
            let then = before.map_or(Amount::ZERO, Group::wholesale_net);
            let net = self.wholesale_net().saturating_sub(then);
            let (from, to) = (LedgerAccount::VnoCredit(vno), LedgerAccount::BrokerRevenue(vno));
            entry.transfer(from, to, currency, net);
        }
        if let Some(cost) = &self.cost {
            let then = before
                .and_then(|group| group.cost.as_ref())
                .map_or(Amount::ZERO, |leg| leg.meter.net);
            let net = cost.meter.net.saturating_sub(then);
            let (from, to) =
                (LedgerAccount::CostOfService(vno), LedgerAccount::CarrierPayable(carrier));
            entry.transfer(from, to, cost.currency, net);
        }
        if let Some(content) = &self.content {
            let then = before.and_then(|group| group.content).map_or(Amount::ZERO, |leg| leg.share);
            let share = content.share.saturating_sub(then);
            let provider = LedgerAccount::ContentProviderPayable(content.provider);
            entry.transfer(LedgerAccount::ContentShare(vno), provider, content.currency, share);
        }
    }
}
