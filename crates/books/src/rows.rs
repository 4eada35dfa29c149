//! How aggregates and ledger accounts stand in rows.

use minicbor::{Decode, Encode};
use rusqlite::types::Value;
use tandem_domain::content::ContentTally;
use tandem_domain::identifier::{
    AccountId, CarrierId, ContentProviderId, PeerId, SubscriberId, VnoId,
};
use tandem_domain::ledger::{Ledger, LedgerAccount, Posting};
use tandem_domain::state::{State, VnoTally};
use tandem_domain::subscriber::Counter;
use tandem_domain::sweep::Sweep;

use crate::BooksError;

/// Kinds of rows in the registry table.
#[derive(Clone, Copy)]
pub(crate) enum RegistryKind {
    Vno = 0,
    Carrier = 1,
    ContentProvider = 2,
    Peer = 3,
    Offer = 4,
    Scope = 5,
    ExchangeRates = 6,
    ApiKey = 7,
    Agreement = 8,
    ContentItem = 9,
    Sponsorship = 10,
    ApiClient = 11,
    TokenSecret = 12,
}

/// The small part of the state that changes with nearly every record; written whole.
#[derive(Clone, Debug, Default, Encode, Decode)]
pub(crate) struct Tallies {
    #[n(0)]
    pub ledger: Vec<Posting>,
    #[n(1)]
    pub vnos: Vec<VnoTally>,
    #[n(2)]
    pub carrier_counters: Vec<Vec<Counter>>,
    #[n(3)]
    pub origin_states: Vec<(PeerId, Box<str>, u32)>,
    #[n(4)]
    pub sweeps: Vec<Sweep>,
    #[n(5)]
    pub sweeps_begun: u64,
    #[n(6)]
    pub directives_issued: u64,
    #[n(7)]
    pub stagings_begun: u64,
    #[n(8)]
    pub api_keys_issued: u32,
    /// Versions ever installed, retired ones too.
    #[n(9)]
    pub price_list_versions: u32,
    #[n(10)]
    pub price_lists: u32,
    #[n(11)]
    #[cbor(default)]
    pub content_tallies: Vec<(ContentProviderId, VnoId, ContentTally)>,
    #[n(12)]
    #[cbor(default)]
    pub payments_made: Vec<(ContentProviderId, u64)>,
    #[n(13)]
    #[cbor(default)]
    pub notifications_issued: u64,
}

impl Tallies {
    pub fn of(state: &State) -> Tallies {
        let posting = |(account, currency, amount)| Posting { account, currency, amount };
        let origins = state.origin_states.iter();
        let content = &state.content;
        Tallies {
            ledger: state.ledger.iter().map(posting).collect(),
            vnos: state.vnos.clone(),
            carrier_counters: state.carrier_counters.clone(),
            origin_states: origins
                .map(|((peer, host), value)| (*peer, host.clone(), *value))
                .collect(),
            sweeps: state.sweeps.clone(),
            sweeps_begun: state.sweeps_begun,
            directives_issued: state.directives_issued,
            stagings_begun: state.stagings_begun,
            api_keys_issued: state.api_keys_issued,
            price_list_versions: u32::try_from(state.registry.versions.len()).unwrap_or(u32::MAX),
            price_lists: u32::try_from(state.registry.price_lists.len()).unwrap_or(u32::MAX),
            content_tallies: content
                .tallies
                .iter()
                .map(|((provider, vno), tally)| (*provider, *vno, *tally))
                .collect(),
            payments_made: content.payments_made.iter().map(|(id, made)| (*id, *made)).collect(),
            notifications_issued: content.notifications_issued,
        }
    }

    pub fn restore(self, state: &mut State) {
        state.ledger = Ledger::from_balances(self.ledger);
        state.vnos = self.vnos;
        state.carrier_counters = self.carrier_counters;
        let origins = self.origin_states.into_iter();
        state.origin_states = origins.map(|(peer, host, value)| ((peer, host), value)).collect();
        state.sweeps = self.sweeps;
        state.sweeps_begun = self.sweeps_begun;
        state.directives_issued = self.directives_issued;
        state.stagings_begun = self.stagings_begun;
        state.api_keys_issued = self.api_keys_issued;
        let tallies = self.content_tallies.into_iter();
        state.content.tallies = tallies.map(|(of, vno, tally)| ((of, vno), tally)).collect();
        state.content.payments_made = self.payments_made.into_iter().collect();
        state.content.notifications_issued = self.notifications_issued;
    }
}

pub(crate) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory cannot fail")
}

pub(crate) fn decode<T: for<'b> Decode<'b, ()>>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, BooksError> {
    minicbor::decode(bytes).map_err(|error| BooksError::Unreadable { what, why: error.to_string() })
}

/// SQLite's integers are signed; identifiers stay below 2^63.
pub(crate) fn signed(bits: u64) -> i64 {
    i64::from_ne_bytes(bits.to_ne_bytes())
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// Kind and party of a ledger account.
pub(crate) fn account_columns(account: LedgerAccount) -> (i64, i64) {
    let vno = |kind, id: VnoId| (kind, i64::from(id.number()));
    match account {
        LedgerAccount::Subscriber(id) => (0, signed(id.to_bits())),
        LedgerAccount::VnoRevenue(id) => vno(1, id),
        LedgerAccount::VnoDeferred(id) => vno(2, id),
        LedgerAccount::VnoBreakage(id) => vno(3, id),
        LedgerAccount::VnoCredit(id) => vno(4, id),
        LedgerAccount::VnoClearing(id) => vno(5, id),
        LedgerAccount::Tax(id) => vno(6, id),
        LedgerAccount::BrokerRevenue(id) => vno(7, id),
        LedgerAccount::CostOfService(id) => vno(8, id),
        LedgerAccount::BrokerClearing(id) => vno(9, id),
        LedgerAccount::CarrierPayable(id) => (10, i64::from(id.number())),
        LedgerAccount::ContentProviderPayable(id) => (11, i64::from(id.number())),
        LedgerAccount::ContentShare(id) => vno(12, id),
    }
}

pub(crate) fn account_of(kind: i64, party: i64) -> Option<LedgerAccount> {
    let small = u16::try_from(party);
    let vno = || small.map(VnoId::new).ok();
    Some(match kind {
        0 => {
            let bits = unsigned(party);
            LedgerAccount::Subscriber(AccountId::new(
                SubscriberId::from_bits(bits >> 8),
                bits as u8,
            ))
        }
        1 => LedgerAccount::VnoRevenue(vno()?),
        2 => LedgerAccount::VnoDeferred(vno()?),
        3 => LedgerAccount::VnoBreakage(vno()?),
        4 => LedgerAccount::VnoCredit(vno()?),
        5 => LedgerAccount::VnoClearing(vno()?),
        6 => LedgerAccount::Tax(vno()?),
        7 => LedgerAccount::BrokerRevenue(vno()?),
        8 => LedgerAccount::CostOfService(vno()?),
        9 => LedgerAccount::BrokerClearing(vno()?),
        10 => LedgerAccount::CarrierPayable(CarrierId::new(small.ok()?)),
        11 => LedgerAccount::ContentProviderPayable(ContentProviderId::new(small.ok()?)),
        12 => LedgerAccount::ContentShare(vno()?),
        _ => return None,
    })
}

/// What a group of postings belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    UsageRecord = 0,
    Transfer = 1,
}

pub(crate) fn integer(value: Option<u64>) -> Value {
    value.map_or(Value::Null, |value| Value::Integer(signed(value)))
}
