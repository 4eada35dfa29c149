//! What can be asked of the platform, and what is answered.

mod answer;

use std::sync::Arc;

use crate::access::Role;
use crate::answered::RequestKey;
use crate::calls::{LineCalls, Trunk, VnoCalls};
use crate::catalogue::{ExchangeRate, PriceListOwner, Proration, Rollover, Scope};
use crate::charging::{CallRequest, EventRequest, Reroute, SessionRequest};
use crate::content::{ContentCommand, ItemKind, ProviderShare, VnoContent};
use crate::digits::Digits;
use crate::directive::{DirectiveId, DirectiveOutcome};
use crate::event::Profile;
use crate::identifier::{
    AccountId, ApiClientId, ApiKeyId, CarrierId, ContentItemId, ContentProviderId, Identity,
    LineId, OfferId, PeerId, PriceListId, SessionId, SponsorshipId, SubscriberId, SubscriptionId,
    VnoId,
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

pub use answer::{Noun, Receipt, Refused, Response};

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
