//! Everything the platform knows that a decision needs, in memory.
//!
//! Only [`apply`](crate::apply::apply) changes it, and only from records of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::answered::Answered;
use crate::catalogue::Registry;
use crate::charging::{RecentRefunds, Session};
use crate::content::{ContentState, Payment};
use crate::digits::Digits;
use crate::directive::{Directive, DirectiveId};
use crate::identifier::{
    AccountId, CarrierId, Identity, LineId, PeerId, SessionId, SubscriberId, VnoId,
};
use crate::ledger::{Ledger, LedgerAccount};
use crate::money::Amount;
use crate::parts::Parts;
use crate::quantity::Unit;
use crate::service::Service;
use crate::subscriber::{Account, Counter, Line, Subscriber};
use crate::sweep::Sweep;
use crate::time::Timestamp;
use crate::timer::{TimerKey, Timers};
use crate::wholesale::Throughput;

/// Counts and gates of one VNO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct VnoTally {
    /// Reserved on its account with the broker by running sessions.
    #[n(0)]
    pub held: Amount,
    /// Its credit ended: everything is refused until money comes.
    #[n(1)]
    pub credit_exhausted: bool,
    #[n(2)]
    pub subscribers_created: u32,
    #[n(3)]
    pub sessions_opened: u64,
    #[n(4)]
    pub transfers: u64,
    /// Cumulative use that tiered wholesale prices look at.
    #[n(5)]
    pub counters: Vec<Counter>,
    /// Lines that are not closed.
    #[n(7)]
    #[cbor(default)]
    pub lines: u64,
    /// Sessions under way, by service: counted as they come and go, not kept.
    #[cbor(skip)]
    running: [u32; Service::ALL.len()],
    /// Reserved of its pools by running sessions.
    #[n(8)]
    #[cbor(default)]
    pools_held: Vec<(Unit, i64)>,
    /// Of its data sessions, where what they may carry together is agreed.
    #[n(9)]
    #[cbor(default)]
    pub throughput: Throughput,
}

impl VnoTally {
    pub fn running(&self, service: Service) -> u32 {
        self.running[service as usize]
    }

    pub(crate) fn begun(&mut self, service: Service) {
        self.running[service as usize] += 1;
    }

    pub(crate) fn ended(&mut self, service: Service) {
        let running = &mut self.running[service as usize];
        *running = running.saturating_sub(1);
    }

    pub fn pool_held(&self, unit: Unit) -> i64 {
        self.pools_held.iter().find(|(of, _)| *of == unit).map_or(0, |(_, held)| *held)
    }

    pub(crate) fn hold_pool(&mut self, unit: Unit, units: i64) {
        match self.pools_held.iter_mut().find(|(of, _)| *of == unit) {
            Some((_, held)) => *held = held.saturating_add(units),
            None => self.pools_held.push((unit, units)),
        }
    }
}

/// The last Origin-State-Id of each host behind a peer.
pub type OriginStates = BTreeMap<(PeerId, Box<str>), u32>;

#[derive(Clone, Debug, Default)]
pub struct State {
    pub sequence: u64,
    pub registry: Arc<Registry>,
    pub vnos: Vec<VnoTally>,
    /// Cumulative use that carriers' tiered decks look at.
    pub carrier_counters: Vec<Vec<Counter>>,
    pub subscribers: Subscribers,
    pub identities: Identities,
    pub sessions: Parts<SessionId, Box<Session>>,
    /// The open sessions in the order in which they were opened, VNO by VNO: for lists, page by page.
    pub sessions_in_order: BTreeSet<SessionId>,
    pub session_keys: Parts<Box<[u8]>, SessionId>,
    /// Open sessions by every subscriber whose line or account they use.
    pub sessions_of: Parts<SubscriberId, SmallVec<[SessionId; 2]>>,
    pub ledger: Ledger,
    pub answered: Answered,
    pub outbox: BTreeMap<DirectiveId, Directive>,
    pub directives_issued: u64,
    pub staging: BTreeMap<u64, Vec<Vec<u8>>>,
    pub stagings_begun: u64,
    pub api_keys_issued: u32,
    pub origin_states: OriginStates,
    pub sweeps: Vec<Sweep>,
    pub sweeps_begun: u64,
    pub timers: Timers,
    pub content: ContentState,
    /// Since the start, and only of late: the books have them all.
    pub refunded: RecentRefunds,
    /// Numbers that another network serves than their prefix says, by [`Digits::to_key`].
    pub ported: Parts<u64, Digits>,
}

impl State {
    /// The number by which carriers price a call to `called`: a prefix of the network that serves it.
    pub fn carried_to(&self, called: Digits) -> Digits {
        let ported = called.to_key().and_then(|key| self.ported.get(&key));
        ported.copied().unwrap_or(called)
    }

    pub fn subscriber(&self, id: SubscriberId) -> Option<&Subscriber> {
        self.subscribers.at(id)
    }

    pub fn line(&self, id: LineId) -> Option<&Line> {
        self.subscribers.at(id.subscriber())?.line(id)
    }

    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.subscribers.at(id.subscriber())?.account(id)
    }

    pub fn tally(&self, vno: VnoId) -> Option<&VnoTally> {
        self.vnos.get(vno.index())
    }

    pub fn session_by_key(&self, key: &[u8]) -> Option<&Session> {
        self.sessions.get(self.session_keys.get(key)?).map(Box::as_ref)
    }

    pub fn carrier_counters(&self, carrier: CarrierId) -> &[Counter] {
        self.carrier_counters.get(carrier.index()).map_or(&[], Vec::as_slice)
    }

    /// The VNO's own money with the broker, before credit limit and holds.
    pub fn vno_balance(&self, vno: VnoId) -> Amount {
        let currency = self.registry.vno(vno).map(|vno| vno.wholesale_currency);
        currency.map_or(Amount::ZERO, |currency| {
            self.ledger.balance(LedgerAccount::VnoCredit(vno), currency)
        })
    }

    /// Sessions open on this subscriber's lines or accounts.
    pub fn sessions_of(&self, subscriber: SubscriberId) -> &[SessionId] {
        self.sessions_of.get(&subscriber).map_or(&[], SmallVec::as_slice)
    }

    /// Puts a loaded subscriber in its place, with its index entries and its timer.
    pub fn admit_subscriber(&mut self, subscriber: Box<Subscriber>) {
        for line in &subscriber.lines {
            let id = LineId::new(subscriber.id, line.number);
            line.identities.iter().for_each(|identity| self.identities.insert(identity, id));
        }
        if let Some(due) = subscriber.next_due() {
            self.timers.arm(due, TimerKey::Subscriber(subscriber.id));
        }
        self.subscribers.put(subscriber);
    }

    /// Puts a loaded session in its place, with its index entries and its timer.
    pub fn admit_session(&mut self, session: Box<Session>) {
        if let Some(tally) = self.vnos.get_mut(session.id.vno().index()) {
            tally.begun(session.context.service);
        }
        self.session_keys.insert(session.key.clone(), session.id);
        for subscriber in session.subscribers() {
            self.watch(subscriber, session.id);
        }
        self.timers.arm(session.supervised_until, TimerKey::Session(session.id));
        self.sessions_in_order.insert(session.id);
        self.sessions.insert(session.id, session);
    }

    /// Puts a loaded payment in its place, with its timer.
    pub fn admit_payment(&mut self, payment: Box<Payment>, now: Timestamp) {
        if let Some(due) = payment.expires_at.filter(|_| payment.state.is_open()) {
            self.timers.arm(due, TimerKey::Payment(payment.id));
        }
        self.content.payments.put(payment, now);
    }

    pub(crate) fn watch(&mut self, subscriber: SubscriberId, session: SessionId) {
        let sessions = self.sessions_of.get_or_insert_default(subscriber);
        if !sessions.contains(&session) {
            sessions.push(session);
        }
    }
}

/// Subscribers by their number within the VNO, in pages, so that growing never moves what is there.
#[derive(Clone, Debug, Default)]
pub struct Subscribers {
    vnos: Vec<Vec<Option<Page>>>,
    count: usize,
}

type Page = Box<[Option<Box<Subscriber>>]>;
const PAGE_SLOTS: usize = 512;

impl Subscribers {
    fn place(id: SubscriberId) -> (usize, usize, usize) {
        let number = id.number() as usize;
        (id.vno().index(), number / PAGE_SLOTS, number % PAGE_SLOTS)
    }

    pub fn at(&self, id: SubscriberId) -> Option<&Subscriber> {
        let (vno, page, slot) = Self::place(id);
        self.vnos.get(vno)?.get(page)?.as_ref()?.get(slot)?.as_deref()
    }

    pub(crate) fn at_mut(&mut self, id: SubscriberId) -> Option<&mut Subscriber> {
        let (vno, page, slot) = Self::place(id);
        self.vnos.get_mut(vno)?.get_mut(page)?.as_mut()?.get_mut(slot)?.as_deref_mut()
    }

    pub(crate) fn put(&mut self, subscriber: Box<Subscriber>) {
        let (vno, page, slot) = Self::place(subscriber.id);
        if self.vnos.len() <= vno {
            self.vnos.resize_with(vno + 1, Vec::new);
        }
        let pages = &mut self.vnos[vno];
        if pages.len() <= page {
            pages.resize_with(page + 1, || None);
        }
        let page = pages[page].get_or_insert_with(|| (0..PAGE_SLOTS).map(|_| None).collect());
        if page[slot].replace(subscriber).is_none() {
            self.count += 1;
        }
    }

    /// Takes a subscriber out of memory; the books keep it.
    pub fn take(&mut self, id: SubscriberId) -> Option<Box<Subscriber>> {
        let (vno, page, slot) = Self::place(id);
        let taken = self.vnos.get_mut(vno)?.get_mut(page)?.as_mut()?.get_mut(slot)?.take();
        self.count -= usize::from(taken.is_some());
        taken
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        let pages = self.vnos.iter().flatten().flatten();
        pages.flat_map(|page| page.iter()).filter_map(|slot| slot.as_deref())
    }
}

/// Which line an identity belongs to. In parts, so that one growing never stops everything for long.
#[derive(Clone, Debug)]
pub struct Identities {
    numbers: Vec<HashMap<u64, LineId>>,
    texts: HashMap<Identity, LineId>,
}

const IDENTITY_PARTS: usize = 1024;

impl Default for Identities {
    fn default() -> Identities {
        Identities { numbers: vec![HashMap::new(); IDENTITY_PARTS], texts: HashMap::new() }
    }
}

impl Identities {
    /// MSISDN and IMSI have at most 15 digits, 51 bits with the leading one: the kind fits above.
    fn number_key(identity: &Identity) -> Option<(usize, u64)> {
        match identity {
            Identity::Number(kind, number) => {
                let key = number | (*kind as u64) << 56;
                let part = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
                Some((part as usize % IDENTITY_PARTS, key))
            }
            Identity::Text(..) => None,
        }
    }

    pub fn line(&self, identity: &Identity) -> Option<LineId> {
        match Self::number_key(identity) {
            Some((part, key)) => self.numbers.get(part)?.get(&key).copied(),
            None => self.texts.get(identity).copied(),
        }
    }

    pub(crate) fn insert(&mut self, identity: &Identity, line: LineId) {
        match Self::number_key(identity) {
            Some((part, key)) => {
                self.numbers[part].insert(key, line);
            }
            None => {
                self.texts.insert(identity.clone(), line);
            }
        }
    }

    pub(crate) fn remove(&mut self, identity: &Identity) {
        match Self::number_key(identity) {
            Some((part, key)) => {
                self.numbers[part].remove(&key);
            }
            None => {
                self.texts.remove(identity);
            }
        }
    }
}
