//! What can be asked of the platform, and what is answered.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::access::Role;
use crate::answered::RequestKey;
use crate::calls::{LineCalls, Trunk, VnoCalls};
use crate::catalogue::{ExchangeRate, PriceListOwner, Proration, Rollover, Scope};
use crate::charging::{
    CallPlan, CallRequest, Declined, EventAnswer, EventRequest, Reroute, SessionAnswer,
    SessionRequest,
};
use crate::content::{
    ContentCommand, ContentRefusal, ItemKind, Payment, PaymentId, ProviderShare, VnoContent,
};
use crate::digits::Digits;
use crate::directive::{DirectiveId, DirectiveOutcome};
use crate::event::Profile;
use crate::identifier::{
    AccountId, AgreementId, ApiClientId, ApiKeyId, CarrierId, ContentItemId, ContentProviderId,
    Identity, LineId, OfferId, PeerId, PriceListId, PriceListVersion, SessionId, SponsorshipId,
    SubscriberId, SubscriptionId, VnoId,
};
use crate::money::{Amount, Currency, Money};
use crate::monthly_fees::MonthlyFees;
use crate::party::{
    FailureHandling, FinalUnitAction, GrantPolicy, NetworkKind, Slug, Standing, WholesaleTerms,
};
use crate::period::Period;
use crate::quantity::Unit;
use crate::rating::{PriceList, PriceListHeader};
use crate::service::Service;
use crate::subscriber::Pays;
use crate::time::Timestamp;
use crate::timer::TimerKey;
use crate::wholesale::WholesaleClauses;

#[derive(Clone, Debug)]
pub enum Command {
    Session(Box<SessionRequest>),
    Event(Box<EventRequest>),
    /// A call to be placed: rules, routes, prices and reservation in one decision.
    Call(Box<CallRequest>),
    /// The next carrier is to take a call.
    Reroute(Box<Reroute>),
    Administer(Box<Administration>),
    /// Something fell due.
    Timer(TimerKey),
    /// A switch answered, or could not be reached.
    DirectiveDone(DirectiveId, DirectiveOutcome),
    /// A switch connected or spoke with this Origin-State-Id.
    PeerState(PeerId, Box<str>, u32),
    /// A few more steps of the sweeps under way.
    Sweep,
    /// A content provider's client, or what it is told.
    Content(Box<ContentCommand>),
}

/// A write through the HTTP APIs.
#[derive(Clone, Debug)]
pub struct Administration {
    /// Decides what the write may touch.
    pub role: Role,
    /// From `Idempotency-Key`, with a fingerprint of the request.
    pub idempotency: Option<(RequestKey, u64)>,
    pub order: Administer,
}

/// A change by name; what is None stays as it is.
#[derive(Clone, Debug)]
pub enum Administer {
    CreateVno(Box<NewVno>),
    ChangeVno(VnoId, Box<VnoChange>),
    CreateCarrier {
        slug: Slug,
        name: Box<str>,
        kind: NetworkKind,
        currency: Currency,
    },
    ChangeCarrier {
        id: CarrierId,
        standing: Option<Standing>,
        deck: Option<PriceListId>,
        name: Option<Box<str>>,
        committed_seconds: Option<u64>,
    },
    CreateContentProvider {
        slug: Slug,
        name: Box<str>,
        currency: Currency,
        share_basis_points: u16,
        service_identifiers: Vec<u32>,
    },
    ChangeContentProvider {
        id: ContentProviderId,
        standing: Option<Standing>,
        share_basis_points: Option<u16>,
        service_identifiers: Option<Vec<u32>>,
    },
    /// Creates the peer, or changes the one with this host.
    SetPeer {
        carrier: CarrierId,
        host: Box<str>,
        realms: Vec<Box<str>>,
        standing: Standing,
        is_agent: bool,
        requires_tls: bool,
        trunk: Option<Box<Trunk>>,
    },
    StageRows {
        staging: u64,
        index: u32,
        rows: Vec<u8>,
    },
    DropStaging(u64),
    InstallPriceList(Box<NewPriceList>),
    SetExchangeRate(ExchangeRate),
    IssueApiKey {
        hash: [u8; 32],
        role: Role,
        name: Box<str>,
        read_only: bool,
    },
    RevokeApiKey(ApiKeyId),
    PublishOffer(Box<NewOffer>),
    WithdrawOffer(OfferId),
    CreateSubscriber(Box<NewSubscriber>),
    ChangeSubscriber {
        id: SubscriberId,
        standing: Option<Standing>,
        profile: Option<Box<Profile>>,
    },
    AddLine(SubscriberId, Box<NewLine>),
    ChangeLine(LineId, Box<LineChange>),
    SetLineCalls(LineId, Box<LineCalls>),
    OpenAccount {
        subscriber: SubscriberId,
        currency: Option<Currency>,
        credit_limit: Amount,
        shared: bool,
    },
    ChangeAccount {
        id: AccountId,
        credit_limit: Option<Amount>,
        shared: Option<bool>,
    },
    Subscribe {
        subscriber: SubscriberId,
        offer: OfferId,
        account: Option<AccountId>,
    },
    CancelSubscription {
        id: SubscriptionId,
        at_once: bool,
    },
    TopUp {
        account: AccountId,
        money: Money,
        expires: Option<Timestamp>,
        note: Option<Box<str>>,
    },
    /// Goodwill or correction, either way.
    Adjust {
        account: AccountId,
        money: Money,
        note: Option<Box<str>>,
    },
    /// The VNO paid the broker (or, negative, was paid back).
    Deposit {
        vno: VnoId,
        money: Money,
        note: Option<Box<str>>,
    },
    /// The VNO owes the broker something once: a SIM, a profile, a number that was ported in.
    ChargeVno {
        vno: VnoId,
        money: Money,
        note: Option<Box<str>>,
    },
    EndSession(SessionId),
    /// Numbers and a prefix of the network that serves them; None = their own again.
    PortNumbers(Vec<(Digits, Option<Digits>)>),
    /// Creates or replaces what the two parties and the broker agreed on; without a share it ends.
    SetAgreement {
        provider: ContentProviderId,
        vno: VnoId,
        share: Option<ProviderShare>,
        broker_basis_points: u16,
        guarantee: Option<Amount>,
    },
    PublishContentItem(Box<NewContentItem>),
    WithdrawContentItem(ContentItemId),
    /// Creates the client, or changes the one of this name.
    SetApiClient {
        provider: ContentProviderId,
        slug: Slug,
        keys: Box<str>,
        scopes: Vec<Box<str>>,
        requests_per_second_max: u32,
        withdrawn: bool,
    },
    SetSponsorship {
        provider: ContentProviderId,
        vno: VnoId,
        scope: Scope,
        account: AccountId,
        prices: PriceListId,
    },
    EndSponsorship(SponsorshipId),
    SetLineContent {
        line: LineId,
        monthly_max: Option<Amount>,
        age: Option<u8>,
    },
    /// The owner of a line lets a client act for it; empty scopes take consent back.
    SetConsent {
        line: LineId,
        client: ApiClientId,
        scopes: Vec<Box<str>>,
        proof: Box<str>,
    },
    BuyContent {
        line: LineId,
        item: ContentItemId,
    },
    SubscribeToContent {
        line: LineId,
        item: ContentItemId,
        proof: Box<str>,
    },
    CancelContentSubscription {
        line: LineId,
        number: u32,
        proof: Box<str>,
    },
}

/// An item as its provider publishes it; the same name again replaces it.
#[derive(Clone, Debug)]
pub struct NewContentItem {
    pub provider: ContentProviderId,
    pub slug: Slug,
    pub name: Box<str>,
    pub category: Box<str>,
    pub price: Money,
    pub is_tax_included: bool,
    pub age_min: u8,
    pub kind: ItemKind,
    pub service_identifier: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct NewVno {
    pub slug: Slug,
    pub name: Box<str>,
    pub currency: Currency,
    pub wholesale_currency: Currency,
    pub time_zone: Box<str>,
    pub credit_limit: Amount,
}

#[derive(Clone, Debug, Default)]
pub struct VnoChange {
    pub name: Option<Box<str>>,
    pub standing: Option<Standing>,
    pub retail: Option<PriceListId>,
    pub wholesale: Option<WholesaleTerms>,
    pub clauses: Option<Box<WholesaleClauses>>,
    pub credit_limit: Option<Amount>,
    pub final_unit: Option<FinalUnitAction>,
    pub failure_handling: Option<FailureHandling>,
    pub grants: Option<Vec<(Unit, GrantPolicy)>>,
    pub carriers: Option<Vec<CarrierId>>,
    /// Some(None) takes the default offer away.
    pub default_offer: Option<Option<OfferId>>,
    pub calls: Option<Box<VnoCalls>>,
    pub content: Option<Box<VnoContent>>,
    /// All zero: none any more.
    pub fees: Option<MonthlyFees>,
}

/// Compiled before it comes here, so that traffic does not wait for it.
#[derive(Clone, Debug)]
pub struct NewPriceList {
    pub owner: PriceListOwner,
    pub slug: Slug,
    pub valid_from: Timestamp,
    pub header: PriceListHeader,
    pub staging: u64,
    pub chunks: u32,
    pub rows: u32,
    pub compiled: Arc<PriceList>,
}

#[derive(Clone, Debug)]
pub struct NewOffer {
    pub vno: VnoId,
    pub slug: Slug,
    pub name: Box<str>,
    pub one_time_fee: Amount,
    pub recurring_fee: Amount,
    pub tax_basis_points: u16,
    pub period: Option<Period>,
    pub validity_days: Option<u16>,
    pub proration: Proration,
    pub allowances: Vec<NewAllowance>,
    pub prices: Option<PriceListId>,
}

#[derive(Clone, Debug)]
pub struct NewAllowance {
    pub name: Box<str>,
    pub unit: Unit,
    pub quantity: u64,
    pub scope: Scope,
    pub priority: u8,
    pub rollover: Rollover,
    pub value: Amount,
}

#[derive(Clone, Debug)]
pub struct NewSubscriber {
    pub vno: VnoId,
    pub profile: Profile,
    pub lines: Vec<NewLine>,
    /// Account 1, in the VNO's currency.
    pub credit_limit: Amount,
    pub offers: Vec<OfferId>,
}

#[derive(Clone, Debug)]
pub struct NewLine {
    pub identities: Vec<Identity>,
    pub payer_rules: Vec<NewPayerRule>,
}

#[derive(Clone, Debug)]
pub struct NewPayerRule {
    pub account: AccountId,
    pub scope: Scope,
    pub pays: Pays,
}

#[derive(Clone, Debug, Default)]
pub struct LineChange {
    pub standing: Option<Standing>,
    pub barred: Option<Vec<Service>>,
    pub identities: Option<Vec<Identity>>,
    pub payer_rules: Option<Vec<NewPayerRule>>,
}

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

/// The answer to a [`Command`].
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
