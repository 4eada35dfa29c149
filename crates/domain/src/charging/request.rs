//! What a switch asks and what it is told, in the terms all switch protocols share (standards: RFC 8506 section 3,
//! TS 32.299 section 6.3, TS 32.291 section 6.1).

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use super::group::GroupKey;
use super::refund::NamedDebit;
use super::session::{Context, EndCause};
use crate::encoding;
use crate::identifier::{CarrierId, Identity, PeerId, SessionId};
use crate::money::{Amount, Currency, Money};
use crate::party::{FailureHandling, FinalUnitAction};
use crate::quantity::Unit;
use crate::time::Timestamp;

/// Units as protocols count them; several may stand side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitCounts {
    pub seconds: Option<u64>,
    pub octets: Option<u64>,
    pub service_specific: Option<u64>,
    pub money: Option<NamedMoney>,
}

/// An amount that the switch names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedMoney {
    pub amount: Amount,
    /// None: that of the subscriber's account (Currency-Code is optional, RFC 8506 section 8.22).
    pub currency: Option<Currency>,
}

impl UnitCounts {
    /// The count of the unit that the price is for.
    pub fn of(&self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Seconds => self.seconds,
            Unit::Octets => self.octets,
            Unit::Messages | Unit::Events => self.service_specific,
            Unit::Money => self.money.and_then(|money| u64::try_from(money.amount.micros()).ok()),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == UnitCounts::default()
    }

    /// Money, when nothing else is counted.
    pub fn only_money(&self) -> Option<NamedMoney> {
        let rest = UnitCounts { money: None, ..*self };
        self.money.filter(|_| rest.is_empty())
    }
}

/// On which side of a tariff change units were used (Tariff-Change-Usage, AVP 452).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TariffChange {
    Before,
    After,
    /// Not said: the time of the previous report counts.
    Indeterminate,
}

/// Units used since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUnits {
    pub counts: UnitCounts,
    pub tariff_change: TariffChange,
}

impl From<Money> for NamedMoney {
    fn from(money: Money) -> NamedMoney {
        NamedMoney { amount: money.amount, currency: Some(money.currency) }
    }
}

/// One rating group of a request (MSCC, AVP 456).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRequest {
    pub key: GroupKey,
    /// None: nothing more is asked for. Empty counts: as much as the server sees fit.
    pub requested: Option<UnitCounts>,
    pub used: SmallVec<[UsedUnits; 1]>,
    /// No more of this group will come (Reporting-Reason FINAL).
    pub is_final: bool,
}

impl GroupRequest {
    /// The money that it asks for or reports, when it counts nothing else: the switch prices this group itself.
    pub fn named_money(&self) -> Option<NamedMoney> {
        let asked = self.requested.and_then(|counts| counts.only_money());
        asked.or_else(|| self.used.iter().find_map(|used| used.counts.only_money()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionVerb {
    Open,
    Report,
    Close(EndCause),
}

/// Open, report on or close a charging session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    pub verb: SessionVerb,
    /// The switch's name for the session, unique among all its carriers' switches.
    pub key: Box<[u8]>,
    /// Repeats carry the same number (CC-Request-Number).
    pub number: u32,
    pub peer: PeerId,
    /// Who to address pushes to.
    pub origin_host: Box<str>,
    pub origin_realm: Box<str>,
    pub origin_state: Option<u32>,
    /// In the order in which they are looked up.
    pub identities: SmallVec<[Identity; 2]>,
    pub context: Context,
    pub groups: SmallVec<[GroupRequest; 1]>,
    /// Only of calls that we control.
    pub call: Option<Box<CallPart>>,
}

/// What a request says beside the units when the call is ours to control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPart {
    /// Whose network carries it, when that is not the peer's own.
    pub carrier: Option<CarrierId>,
    /// What the interface needs to take the call up again after a restart.
    pub note: Option<Box<[u8]>>,
    /// Each way that was tried and what came of it, in order; for the record.
    pub trail: Option<Box<str>>,
}

/// What to do at the end of the last units, as it goes to the switch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct FinalUnit(#[n(0)] pub FinalUnitAction);

/// Units the switch may let through before it must ask again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Granted {
    #[n(0)]
    pub unit: Unit,
    #[n(1)]
    pub amount: u64,
    #[n(2)]
    pub validity_seconds: u32,
    /// Ask for more when this much is left; 0 = no threshold.
    #[n(3)]
    pub threshold: u64,
    #[n(4)]
    pub holding_seconds: u32,
    #[n(5)]
    pub final_unit: Option<FinalUnit>,
    /// When the price changes: report what was used before and after apart.
    #[n(6)]
    pub tariff_change: Option<Timestamp>,
    /// Of money.
    #[n(7)]
    pub currency: Option<Currency>,
    /// It is the last one because the call may last no longer.
    #[n(8)]
    #[cbor(default)]
    pub is_time_limit: bool,
}

/// The answer for one rating group.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GroupAnswer {
    #[n(0)]
    pub key: GroupKey,
    #[n(1)]
    pub outcome: GroupOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum GroupOutcome {
    #[n(0)]
    Granted(#[n(0)] Granted),
    /// Usage was taken; nothing was asked for.
    #[n(1)]
    Noted,
    /// Let it run without control (4011).
    #[n(2)]
    Free,
    #[n(3)]
    Declined(#[n(0)] Declined),
}

/// The answer to a [`SessionRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Encode, Decode)]
pub struct SessionAnswer {
    #[n(0)]
    #[cbor(with = "encoding")]
    pub groups: SmallVec<[GroupAnswer; 1]>,
    /// What the switch is to do when we do not answer; said when the session opens.
    #[n(1)]
    pub failure_handling: Option<FailureHandling>,
}

/// Why a request is refused, in business words. Every interface maps each of these to its own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Declined {
    /// No line has any of these identities.
    #[n(0)]
    UnknownUser,
    /// The identities belong to different lines.
    #[n(1)]
    ConflictingIdentities,
    #[n(2)]
    SubscriberSuspended,
    #[n(3)]
    LineSuspended,
    /// The line is barred for this service.
    #[n(4)]
    Barred,
    #[n(5)]
    VnoSuspended,
    /// The VNO's own account with the broker has no cover.
    #[n(6)]
    VnoCreditExhausted,
    /// The VNO's subscribers may not use this carrier's network, or the carrier is suspended.
    #[n(7)]
    CarrierNotAllowed,
    /// No payer rule opens an account for this use.
    #[n(8)]
    NoPayer,
    #[n(9)]
    InsufficientBalance,
    /// A price list blocks this destination.
    #[n(10)]
    DestinationBlocked,
    /// No retail price.
    #[n(11)]
    NoRetailRate,
    #[n(12)]
    NoWholesaleRate,
    #[n(13)]
    NoCostRate,
    /// The units asked for or reported are not those the price is for.
    #[n(14)]
    UnitMismatch,
    #[n(15)]
    UnknownSession,
    /// The session's last answers are no longer remembered for so old a request number.
    #[n(16)]
    StaleRequest,
    /// An amount does not fit.
    #[n(17)]
    AmountOutOfRange,
    /// The currency is not the account's.
    #[n(18)]
    CurrencyMismatch,
    /// More rating groups in one session than are kept.
    #[n(19)]
    TooManyGroups,
    /// The session is being ended by the VNO or the broker.
    #[n(20)]
    SessionEnding,
    /// A rule of the line or its VNO bars this destination.
    #[n(21)]
    DestinationBarred,
    /// The line has as many calls as it may have.
    #[n(22)]
    TooManyCalls,
    /// No trunk that is up and free leads there.
    #[n(23)]
    NoRoute,
    /// Every way would earn less than the margin floor.
    #[n(24)]
    MarginTooLow,
    /// Two parties' currencies cannot be compared.
    #[n(25)]
    NoExchangeRate,
    /// The call has lasted as long as its line or VNO allows.
    #[n(26)]
    TimeLimit,
    /// The line is calling this number so many times at once that it is the same call coming back.
    #[n(27)]
    Loop,
    /// As many sessions of this service run as the VNO bought, and it buys no more by the session.
    #[n(28)]
    CapacityReached,
    /// A refund names a debit that is not there, or not this line's.
    #[n(29)]
    UnknownDebit,
}

impl Declined {
    pub const ALL: [Declined; 30] = [
        Declined::UnknownUser,
        Declined::ConflictingIdentities,
        Declined::SubscriberSuspended,
        Declined::LineSuspended,
        Declined::Barred,
        Declined::VnoSuspended,
        Declined::VnoCreditExhausted,
        Declined::CarrierNotAllowed,
        Declined::NoPayer,
        Declined::InsufficientBalance,
        Declined::DestinationBlocked,
        Declined::NoRetailRate,
        Declined::NoWholesaleRate,
        Declined::NoCostRate,
        Declined::UnitMismatch,
        Declined::UnknownSession,
        Declined::StaleRequest,
        Declined::AmountOutOfRange,
        Declined::CurrencyMismatch,
        Declined::TooManyGroups,
        Declined::SessionEnding,
        Declined::DestinationBarred,
        Declined::TooManyCalls,
        Declined::NoRoute,
        Declined::MarginTooLow,
        Declined::NoExchangeRate,
        Declined::TimeLimit,
        Declined::Loop,
        Declined::CapacityReached,
        Declined::UnknownDebit,
    ];

    /// A stable word for metrics, logs and APIs.
    pub fn name(self) -> &'static str {
        match self {
            Declined::UnknownUser => "unknown_user",
            Declined::ConflictingIdentities => "conflicting_identities",
            Declined::SubscriberSuspended => "subscriber_suspended",
            Declined::LineSuspended => "line_suspended",
            Declined::Barred => "barred",
            Declined::VnoSuspended => "vno_suspended",
            Declined::VnoCreditExhausted => "vno_credit_exhausted",
            Declined::CarrierNotAllowed => "carrier_not_allowed",
            Declined::NoPayer => "no_payer",
            Declined::InsufficientBalance => "insufficient_balance",
            Declined::DestinationBlocked => "destination_blocked",
            Declined::NoRetailRate => "no_retail_rate",
            Declined::NoWholesaleRate => "no_wholesale_rate",
            Declined::NoCostRate => "no_cost_rate",
            Declined::UnitMismatch => "unit_mismatch",
            Declined::UnknownSession => "unknown_session",
            Declined::StaleRequest => "stale_request",
            Declined::AmountOutOfRange => "amount_out_of_range",
            Declined::CurrencyMismatch => "currency_mismatch",
            Declined::TooManyGroups => "too_many_groups",
            Declined::SessionEnding => "session_ending",
            Declined::DestinationBarred => "destination_barred",
            Declined::TooManyCalls => "too_many_calls",
            Declined::NoRoute => "no_route",
            Declined::MarginTooLow => "margin_too_low",
            Declined::NoExchangeRate => "no_exchange_rate",
            Declined::TimeLimit => "time_limit",
            Declined::Loop => "loop",
            Declined::CapacityReached => "capacity_reached",
            Declined::UnknownDebit => "unknown_debit",
        }
    }
}

/// One-time actions (Requested-Action, AVP 436).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventAction {
    Debit,
    Refund,
    CheckBalance,
    PriceEnquiry,
}

/// A one-time event: a message, a purchase, an enquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRequest {
    pub action: EventAction,
    pub key: Box<[u8]>,
    pub number: u32,
    pub peer: PeerId,
    pub identities: SmallVec<[Identity; 2]>,
    pub context: Context,
    pub group: GroupKey,
    /// Money is taken as it is, units are rated; empty means one event.
    pub units: UnitCounts,
    /// Of a refund: the debit that it gives back. None: it goes by today's prices.
    pub debit: Option<NamedDebit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EventAnswer {
    #[n(0)]
    pub unit: Unit,
    #[n(1)]
    pub granted: u64,
    /// What it cost (or was given back, or would cost), tax included.
    #[n(2)]
    pub cost: Option<Money>,
    /// For a balance check.
    #[n(3)]
    pub has_credit: Option<bool>,
    /// Free of charge (4011).
    #[n(4)]
    pub is_free: bool,
    /// What the switch is to do when it gets no answer to a debit.
    #[n(5)]
    pub failure_handling: Option<FailureHandling>,
    /// Of a debit: what a refund names it by.
    #[n(6)]
    pub debit: Option<SessionId>,
}

impl EventAnswer {
    /// That says nothing yet.
    pub(super) fn of(unit: Unit) -> EventAnswer {
        EventAnswer {
            unit,
            granted: 0,
            cost: None,
            has_credit: None,
            is_free: false,
            failure_handling: None,
            debit: None,
        }
    }
}
