//! What was decided, as values: the journal keeps these, replay only applies them.
//!
//! Numbered fields make the encoding forward-compatible: a field is only ever added with a new number,
//! and one that is added is optional. Variants and numbers are never reused.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::access::ApiKey;
use crate::answered::{Reply, RequestKey};
use crate::calls::LineCalls;
use crate::catalogue::{ExchangeRate, Offer, PriceListRecord, Scope};
use crate::charging::{
    BucketChange, CounterChange, Declined, EndCause, Group, Session, SessionAnswer,
};
use crate::content::{
    Agreement, ApiClient, ContentEntry, ContentItem, ContentSubscription, LineContent,
    Notification, NotificationId, Payment, Sponsorship,
};
use crate::digits::Digits;
use crate::directive::{Directive, DirectiveId};
use crate::encoding;
use crate::identifier::{
    AccountId, ApiKeyId, BucketId, CarrierId, Identity, LineId, PeerId, PriceListVersion, ScopeId,
    SessionId, SubscriberId, SubscriptionId, VnoId,
};
use crate::ledger::Posting;
use crate::money::Amount;
use crate::party::{Carrier, ContentProvider, Peer, Standing, Vno};
use crate::quantity::Unit;
use crate::subscriber::{Account, Bucket, PayerRule, Subscription};
use crate::sweep::Sweep;
use crate::time::Timestamp;

/// All events of one decision: applied together or not at all.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Record {
    /// Its place in the journal, from 1 without gaps.
    #[n(0)]
    pub sequence: u64,
    /// When it was decided.
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    #[cbor(with = "encoding")]
    pub events: SmallVec<[Event; 1]>,
    /// The answer to repeat when the same request comes again.
    #[n(3)]
    pub remember: Option<Remembered>,
}

/// A request's key and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Remembered {
    #[n(0)]
    pub key: RequestKey,
    #[n(1)]
    pub reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Event {
    #[n(0)]
    VnoSet(#[n(0)] Box<Vno>),
    #[n(1)]
    CarrierSet(#[n(0)] Box<Carrier>),
    #[n(2)]
    ContentProviderSet(#[n(0)] Box<ContentProvider>),
    #[n(3)]
    PeerSet(#[n(0)] Box<Peer>),
    #[n(4)]
    OfferSet(#[n(0)] Box<Offer>),
    #[n(5)]
    ScopeDefined(#[n(0)] ScopeId, #[n(1)] Box<Scope>),
    #[n(6)]
    ExchangeRateSet(#[n(0)] ExchangeRate),
    #[n(7)]
    ApiKeyIssued(#[n(0)] Box<ApiKey>),
    #[n(8)]
    ApiKeyRevoked(#[n(0)] ApiKeyId),
    /// Rows of a price list on their way in; they count once the list is installed.
    #[n(9)]
    PriceRowsStaged(#[n(0)] Box<StagedRows>),
    #[n(10)]
    PriceListInstalled(#[n(0)] Box<InstalledPriceList>),
    #[n(11)]
    PriceListVersionRetired(#[n(0)] PriceListVersion),
    #[n(12)]
    StagingDropped(#[n(0)] u64),

    #[n(20)]
    SubscriberCreated(#[n(0)] SubscriberId, #[n(1)] Box<Profile>),
    #[n(21)]
    SubscriberStanding(#[n(0)] SubscriberId, #[n(1)] Standing),
    #[n(22)]
    ProfileChanged(#[n(0)] SubscriberId, #[n(1)] Box<Profile>),
    #[n(23)]
    LineAdded(
        #[n(0)] LineId,
        #[n(1)]
        #[cbor(with = "encoding")]
        SmallVec<[Identity; 2]>,
    ),
    #[n(24)]
    LineStanding(#[n(0)] LineId, #[n(1)] Standing),
    /// A bit per service.
    #[n(25)]
    LineBarring(#[n(0)] LineId, #[n(1)] u8),
    #[n(26)]
    PayerRulesSet(#[n(0)] LineId, #[n(1)] Vec<PayerRule>),
    #[n(27)]
    LineIdentities(
        #[n(0)] LineId,
        #[n(1)]
        #[cbor(with = "encoding")]
        SmallVec<[Identity; 2]>,
    ),
    #[n(28)]
    AccountOpened(#[n(0)] SubscriberId, #[n(1)] Box<Account>),
    #[n(29)]
    CreditLimitSet(#[n(0)] AccountId, #[n(1)] Amount),
    #[n(30)]
    AccountShared(#[n(0)] AccountId, #[n(1)] bool),
    #[n(31)]
    SubscriptionSet(#[n(0)] SubscriberId, #[n(1)] Subscription),
    #[n(32)]
    BucketAdded(#[n(0)] AccountId, #[n(1)] Bucket),
    #[n(33)]
    BucketRemoved(#[n(0)] AccountId, #[n(1)] BucketId),
    /// How the line calls and is called.
    #[n(36)]
    LineCallsSet(#[n(0)] LineId, #[n(1)] Box<LineCalls>),
    /// Money that moves outside of charging sessions: top-ups, fees, adjustments, deposits, breakage.
    #[n(34)]
    Transferred(#[n(0)] Box<Transfer>),
    #[n(35)]
    MainBalanceExpiry(#[n(0)] AccountId, #[n(1)] u32),

    #[n(40)]
    SessionOpened(#[n(0)] Box<Session>, #[n(1)] Movements),
    #[n(41)]
    SessionReported(#[n(0)] Box<SessionReport>, #[n(1)] Movements),
    #[n(42)]
    SessionClosed(#[n(0)] Box<SessionClosing>, #[n(1)] Movements),
    /// A one-time event: a session that is over as it begins.
    #[n(43)]
    OneTimeCharged(#[n(0)] Box<Session>, #[n(1)] Movements),
    /// We asked the switch to end the session.
    #[n(44)]
    SessionEnding(#[n(0)] SessionId),
    /// The peer lost the state of its sessions before this Origin-State-Id.
    #[n(45)]
    PeerRestarted(#[n(0)] PeerId, #[n(1)] Box<str>, #[n(2)] u32),
    #[n(46)]
    VnoCreditGate(#[n(0)] VnoId, #[n(1)] bool),
    #[n(47)]
    SessionRerouted(#[n(0)] Box<SessionRerouted>, #[n(1)] Movements),
    /// A call that was refused before it rang: it leaves a record of no duration.
    #[n(48)]
    CallRefused(#[n(0)] Box<Session>, #[n(1)] Declined),

    #[n(60)]
    AgreementSet(#[n(0)] Box<Agreement>),
    #[n(61)]
    ContentItemSet(#[n(0)] Box<ContentItem>),
    #[n(62)]
    SponsorshipSet(#[n(0)] Box<Sponsorship>),
    #[n(63)]
    ApiClientSet(#[n(0)] Box<ApiClient>),
    /// The line's own limits, age and consents; its subscriptions and sums stay.
    #[n(64)]
    LineContentSet(#[n(0)] LineId, #[n(1)] Box<LineContent>),
    #[n(65)]
    ContentSubscriptionSet(#[n(0)] LineId, #[n(1)] Box<ContentSubscription>),
    /// A payment as it is now, and what it reserves or gives back.
    #[n(66)]
    PaymentSet(#[n(0)] Box<Payment>, #[n(1)] Movements),
    #[n(67)]
    NotificationIssued(#[n(0)] Box<Notification>),
    #[n(68)]
    NotificationDone(#[n(0)] NotificationId),
    #[n(69)]
    TokenSecretSet(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        [u8; 32],
    ),

    /// Keys of numbers and the prefix of the network that serves them; None = their own again.
    #[n(70)]
    NumbersPorted(#[n(0)] Vec<(u64, Option<Digits>)>),

    #[n(50)]
    DirectiveIssued(#[n(0)] Box<Directive>),
    #[n(51)]
    DirectiveDone(#[n(0)] DirectiveId),
    #[n(52)]
    SweepBegun(#[n(0)] Sweep),
    #[n(53)]
    SweepAdvanced(#[n(0)] Sweep),
    #[n(54)]
    SweepEnded(#[n(0)] u64),
}

/// Personal data of a subscriber, kept in the books only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Profile {
    #[n(0)]
    pub name: Option<Box<str>>,
    #[n(1)]
    pub email: Option<Box<str>>,
    /// The VNO's own number for the subscriber.
    #[n(2)]
    pub reference: Option<Box<str>>,
}

/// A chunk of price rows, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StagedRows {
    #[n(0)]
    pub staging: u64,
    #[n(1)]
    pub index: u32,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub rows: Vec<u8>,
}

/// A version that takes force. The compiled form is never stored: replay compiles the staged rows again.
#[derive(Clone, Debug, Encode, Decode)]
pub struct InstalledPriceList {
    #[n(0)]
    pub record: PriceListRecord,
    #[cbor(skip)]
    pub compiled: Option<std::sync::Arc<crate::rating::PriceList>>,
}

impl PartialEq for InstalledPriceList {
    fn eq(&self, other: &InstalledPriceList) -> bool {
        self.record == other.record
    }
}

/// What a decision of the charging machine changes beside the session itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Movements {
    #[n(0)]
    #[cbor(with = "encoding")]
    pub buckets: SmallVec<[BucketChange; 4]>,
    #[n(1)]
    #[cbor(with = "encoding")]
    pub counters: SmallVec<[CounterChange; 2]>,
    /// Change of what is reserved on the VNO's account with the broker.
    #[n(2)]
    pub wholesale_held: i64,
    /// And of its pools.
    #[n(3)]
    pub pools_held: Option<Vec<(Unit, i64)>>,
}

/// A report on an open session: the groups it touched, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionReport {
    #[n(0)]
    pub session: SessionId,
    #[n(1)]
    pub number: u32,
    #[n(2)]
    #[cbor(with = "encoding")]
    pub groups: SmallVec<[Group; 1]>,
    #[n(3)]
    pub answer: SessionAnswer,
    #[n(4)]
    pub supervised_until: Timestamp,
    #[n(5)]
    pub origin_state: Option<u32>,
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub note: Option<Box<[u8]>>,
}

/// Another carrier took the call before anything was used: every leg begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionRerouted {
    #[n(0)]
    pub session: SessionId,
    #[n(1)]
    pub carrier: CarrierId,
    #[n(2)]
    #[cbor(with = "encoding")]
    pub groups: SmallVec<[Group; 1]>,
    #[n(3)]
    pub supervised_until: Timestamp,
}

/// The end of a session: final groups, holds released.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionClosing {
    #[n(0)]
    pub session: SessionId,
    #[n(1)]
    pub cause: EndCause,
    #[n(2)]
    #[cbor(with = "encoding")]
    pub groups: SmallVec<[Group; 1]>,
    /// Of a call: each way that was tried and what came of it.
    #[n(3)]
    pub trail: Option<Box<str>>,
}

/// Why money moved outside of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TransferKind {
    #[n(0)]
    TopUp,
    #[n(1)]
    Adjustment,
    #[n(2)]
    OneTimeFee,
    #[n(3)]
    RecurringFee,
    #[n(4)]
    Breakage,
    /// The VNO paid the broker.
    #[n(5)]
    VnoDeposit,
    #[n(6)]
    Refund,
    #[n(7)]
    ContentSale,
    #[n(8)]
    ContentRefund,
    /// What a provider was short of its guaranteed share.
    #[n(9)]
    ContentGuarantee,
    /// Sponsored traffic, set off against what the provider is owed.
    #[n(10)]
    SponsorSetOff,
    /// What the VNO owes the broker by the month.
    #[n(11)]
    PlatformFee,
    #[n(12)]
    LineFees,
    #[n(13)]
    MinimumShortfall,
    /// An earlier shortfall, set off against use above the minimum.
    #[n(14)]
    ShortfallCredit,
    /// What use brought above the VNO's monthly maximum, given back.
    #[n(15)]
    MaximumCredit,
    /// For a SIM, a profile, a number that was ported in: once.
    #[n(16)]
    VnoCharge,
}

impl TransferKind {
    pub const ALL: [TransferKind; 17] = [
        TransferKind::TopUp,
        TransferKind::Adjustment,
        TransferKind::OneTimeFee,
        TransferKind::RecurringFee,
        TransferKind::Breakage,
        TransferKind::VnoDeposit,
        TransferKind::Refund,
        TransferKind::ContentSale,
        TransferKind::ContentRefund,
        TransferKind::ContentGuarantee,
        TransferKind::SponsorSetOff,
        TransferKind::PlatformFee,
        TransferKind::LineFees,
        TransferKind::MinimumShortfall,
        TransferKind::ShortfallCredit,
        TransferKind::MaximumCredit,
        TransferKind::VnoCharge,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TransferKind::TopUp => "top_up",
            TransferKind::Adjustment => "adjustment",
            TransferKind::OneTimeFee => "one_time_fee",
            TransferKind::RecurringFee => "recurring_fee",
            TransferKind::Breakage => "breakage",
            TransferKind::VnoDeposit => "vno_deposit",
            TransferKind::Refund => "refund",
            TransferKind::ContentSale => "content_sale",
            TransferKind::ContentRefund => "content_refund",
            TransferKind::ContentGuarantee => "content_guarantee",
            TransferKind::SponsorSetOff => "sponsor_set_off",
            TransferKind::PlatformFee => "platform_fee",
            TransferKind::LineFees => "line_fees",
            TransferKind::MinimumShortfall => "minimum_shortfall",
            TransferKind::ShortfallCredit => "shortfall_credit",
            TransferKind::MaximumCredit => "maximum_credit",
            TransferKind::VnoCharge => "vno_charge",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Transfer {
    #[n(0)]
    pub vno: VnoId,
    /// Counts from 1 within the VNO.
    #[n(1)]
    pub number: u64,
    #[n(2)]
    pub kind: TransferKind,
    #[n(3)]
    pub postings: Vec<Posting>,
    #[n(4)]
    #[cbor(with = "encoding")]
    pub buckets: SmallVec<[BucketChange; 4]>,
    #[n(5)]
    pub subscription: Option<SubscriptionId>,
    /// Free text of who ordered it.
    #[n(6)]
    pub note: Option<Box<str>>,
    /// What it was on the statements of content.
    #[n(7)]
    pub content: Option<Box<ContentEntry>>,
    /// Of a refund that named its debit.
    #[n(8)]
    pub refunds: Option<RefundedDebit>,
}

/// A debit of which some was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RefundedDebit {
    #[n(0)]
    pub session: SessionId,
    /// All that was given back of it so far, in its units.
    #[n(1)]
    pub units: u64,
}
