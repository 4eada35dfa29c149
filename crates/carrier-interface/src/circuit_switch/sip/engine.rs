//! Gives every message, answer and timer its place. Owned by one thread; opens no socket.

use std::collections::HashMap;
use std::sync::Arc;

use sip_protocol::message::Unreadable;
use sip_protocol::slab::Slab;
use sip_protocol::transaction::{Expired, TRANSACTIONS_MAX, copy_essentials};
use sip_protocol::wheel::Wheel;
use sip_protocol::{
    ClientId, Dialog, Event, Flow, Message, MessageWriter, Method, Millis, Name, ServerId,
    StartLine, Tokens, Transactions,
};
use stir_protocol::{CertificateUrl, Verdict};
use tandem_domain::calls::Webhook;
use tandem_domain::catalogue::Registry;
use tandem_domain::command::Command;
use tandem_domain::identifier::{Identity, IdentityKind, PeerId};
use tandem_platform::CallOrder;

use super::call::{
    Arrival, Asked, BLeg, Call, Counts, Local, Opening, Order, Side, Who, originate, place,
};
use super::headers;
use super::probes::probe_of;
use super::proving::{Looked, Lookup};
use super::registrar::Registrar;
use super::stir::{Stir, said_caller};
use super::trunks::{Source, Trunks};

/// Calls at once.
const CALLS_MAX: usize = 500_000;

pub(super) struct Engine {
    pub local: Local,
    pub transactions: Transactions,
    pub calls: Slab<Box<Call>>,
    /// Calls taken up again, by the tags that they had before.
    pub(super) aliases: HashMap<Box<[u8]>, u64>,
    pub(super) wakes: Wheel,
    pub trunks: Trunks,
    pub registrar: Registrar,
    /// Questions to the platform, to be taken by the shell: whose, which meter, what for.
    pub asks: Vec<(u64, usize, Asked, Command)>,
    pub lookups: Vec<Lookup>,
    /// Connections over which a phone has registered.
    pub welcomed: Vec<u64>,
    /// Questions to VNOs, to be asked by the shell.
    pub consents: Vec<(u64, Webhook, String)>,
    pub(super) looked: Slab<Looked>,
    pub(super) stir: Stir,
    /// Certificates to be fetched by the shell.
    pub fetches: Vec<CertificateUrl>,
    pub counts: Counts,
    /// BYEs that are out to switches that may ask who sends them: whose, and in which dialog.
    pub(super) byes: HashMap<ClientId, (PeerId, Dialog)>,
    registry: Option<Arc<Registry>>,
    /// Initial INVITEs under way, by From tag, Call-ID and CSeq: one that comes again another way is a loop.
    merged: HashMap<u64, u64>,
}

/// A request, and where it comes from.
pub(super) struct Incoming<'a, 'm> {
    pub flow: Flow,
    pub server: ServerId,
    pub message: &'a Message<'m>,
    pub bytes: &'a [u8],
    pub source: Source,
}

/// Splits the engine so that a call can work with everything else.
macro_rules! io {
    ($engine:expr, $now:expr) => {
        &mut $crate::circuit_switch::sip::call::Io {
            now: $now,
            transactions: &mut $engine.transactions,
            wakes: &mut $engine.wakes,
            trunks: &mut $engine.trunks,
            registrar: &$engine.registrar,
            local: &$engine.local,
            asks: &mut $engine.asks,
            consents: &mut $engine.consents,
            counts: &mut $engine.counts,
            byes: &mut $engine.byes,
            signer: $engine.stir.vouchers.signer.as_deref(),
        }
    };
}
pub(super) use io;

impl Engine {
    pub fn new(local: Local, secret: [u64; 4]) -> Engine {
        let registrar = Registrar::new(&local.domain, Tokens::new([secret[2], secret[3]]));
        Engine {
            local,
            transactions: Transactions::new(Tokens::new([secret[0], secret[1]])),
            calls: Slab::default(),
            aliases: HashMap::new(),
            wakes: Wheel::default(),
            trunks: Trunks::default(),
            registrar,
            asks: Vec::new(),
            lookups: Vec::new(),
            welcomed: Vec::new(),
            consents: Vec::new(),
            looked: Slab::default(),
            stir: Stir::default(),
            fetches: Vec::new(),
            counts: Counts::default(),
            byes: HashMap::new(),
            registry: None,
            merged: HashMap::new(),
        }
    }

    /// Provisioning may have changed: true when it has.
    pub fn use_registry(&mut self, registry: &Arc<Registry>) -> bool {
        let has_changed = self.registry.as_ref().is_none_or(|known| !Arc::ptr_eq(known, registry));
        if has_changed {
            self.trunks.refresh(registry);
            self.registry = Some(registry.clone());
        }
        has_changed
    }

    /// A datagram, or one message of a stream.
    pub fn message(&mut self, now: Millis, flow: Flow, bytes: &[u8]) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(unreadable) => return self.unreadable(flow, unreadable),
        };
        if let StartLine::Response { .. } = message.start {
            if let Event::Response(client, owner) = self.transactions.receive(now, flow, &message) {
                self.response(now, flow, client, owner, &message);
            } else {
                self.stray(now, flow, &message);
            }
            return;
        }
        let Some(source) = self.trunks.source(&flow) else {
            // Unknown senders get nothing: not even a sign that somebody listens.
            self.counts.unknown_sources += 1;
            return;
        };
        let proves = matches!(
            message.method(),
            Some(Method::Invite | Method::Register | Method::Ack | Method::Cancel)
        );
        let tag = message.to().and_then(|to| to.tag());
        let is_within = tag.is_some_and(|tag| self.find(tag, message.call_id()).is_some());
        if source.trunk.is_access && !proves && !is_within && !self.registrar.knows(&flow, now) {
            // Only who says who it is hears that there is somebody.
            self.counts.unknown_sources += 1;
            return;
        }
        if self.transactions.len() >= TRANSACTIONS_MAX {
            // A flood: whoever means it comes again.
            self.counts.dropped += 1;
            return;
        }
        match self.transactions.receive(now, flow, &message) {
            Event::Request(server) => {
                let message = &message;
                self.request(now, Incoming { flow, server, message, bytes, source });
            }
            Event::Ack => self.ack(now, &message),
            Event::Cancel(invite, owner) => {
                if let Some(call) = self.calls.get_mut(owner) {
                    call.cancelled(io!(self, now), invite);
                    self.tidy(owner);
                } else {
                    self.cancel_waiting(now, invite);
                }
            }
            Event::Response(..) | Event::Absorbed => {}
        }
    }

    /// What cannot be read is answered where that is possible, counted in any case.
    fn unreadable(&mut self, flow: Flow, unreadable: Unreadable<'_>) {
        self.counts.malformed += 1;
        let Some(message) = unreadable.message else { return };
        let answerable = message.method().is_some_and(|method| method != Method::Ack)
            && message.top_via().is_some()
            && self.trunks.source(&flow).is_some_and(|source| !source.trunk.is_access);
        if !answerable {
            return;
        }
        let status = unreadable.fault.status();
        let tag = self.transactions.tokens.token();
        self.transactions.send(flow, |out| {
            let mut response = MessageWriter::response(out, status);
            copy_essentials(&mut response, &message, Some(flow), &tag);
            response.finish(&[]);
        });
    }

    /// A 2xx that no transaction waits for: somebody answered a call that is over.
    fn stray(&mut self, now: Millis, flow: Flow, message: &Message<'_>) {
        let is_invite = message.cseq().is_some_and(|cseq| cseq.method == b"INVITE")
            && (200..300).contains(&message.status());
        let is_ours = message
            .from()
            .and_then(|from| from.tag())
            .and_then(Call::of_tag)
            .is_some_and(|(id, _)| self.calls.get(id).is_none());
        if is_invite && is_ours {
            Call::hang_up_stray(io!(self, now), message, flow);
        }
    }

    /// The call behind our tag in a message, when the dialog is really its.
    fn find(&self, tag: &[u8], call_id: &[u8]) -> Option<(u64, Side)> {
        let known = self.aliases.get(tag).copied();
        let (id, side) = match (known, Call::of_tag(tag)) {
            (Some(id), Some((_, side))) => (id, side),
            (None, Some(found)) => found,
            _ => return None,
        };
        let call = self.calls.get(id)?;
        let dialog = match side {
            Side::A => &call.a.dialog,
            Side::B => &call.b.as_ref()?.dialog,
        };
        (*dialog.local_tag == *tag && *dialog.call_id == *call_id).then_some((id, side))
    }

    fn request(&mut self, now: Millis, incoming: Incoming<'_, '_>) {
        let Incoming { flow, server, message, bytes, ref source } = incoming;
        if let Some(tag) = message.to().and_then(|to| to.tag()) {
            let Some((id, side)) = self.find(tag, message.call_id()) else {
                return self.transactions.respond_simply(now, server, message, 481);
            };
            self.transactions.own(server, id);
            if let Some(call) = self.calls.get_mut(id) {
                call.request(io!(self, now), side, server, message, bytes, flow);
            }
            return self.tidy(id);
        }
        match message.method() {
            Some(Method::Invite) if source.trunk.is_access => {
                self.look_up(now, incoming);
            }
            Some(Method::Invite) => {
                self.arrive(now, incoming);
            }
            Some(Method::Register) if source.trunk.is_access => {
                self.look_up(now, incoming);
            }
            Some(Method::Options) => self.with_allow(now, server, message, 200),
            Some(Method::Other(_)) => self.with_allow(now, server, message, 501),
            Some(Method::Bye | Method::Update | Method::Prack | Method::Info | Method::Notify) => {
                self.transactions.respond_simply(now, server, message, 481);
            }
            _ => self.with_allow(now, server, message, 405),
        }
    }

    fn with_allow(&mut self, now: Millis, server: ServerId, message: &Message<'_>, status: u16) {
        let flow = self.transactions.flow_of(server);
        let tag = self.transactions.tokens.token();
        self.transactions.respond(now, server, status, |out| {
            let mut response = MessageWriter::response(out, status);
            copy_essentials(&mut response, message, flow, &tag);
            response.header(Name::Allow, headers::ALLOW);
            response.header(Name::Accept, b"application/sdp");
            response.header(Name::Supported, b"100rel, timer");
            response.header(Name::Server, headers::SERVER);
            response.finish(&[]);
        });
    }

    /// A call of a switch. What those say of the caller that are not trusted is theirs: such a call comes from outside,
    /// and nobody of ours pays for it.
    pub(super) fn place(
        &mut self,
        now: Millis,
        incoming: Incoming<'_, '_>,
        verdict: Option<Verdict>,
    ) {
        let Incoming { message, source, .. } = &incoming;
        let said = said_caller(message, &source.trunk);
        let own = said.as_ref().filter(|_| source.trunk.is_trusted).map(|said| said.number);
        let own = own.filter(|number| number.len() <= 15);
        let identity = own.map(|number| Identity::number(IdentityKind::Msisdn, number));
        let who = Who {
            identities: identity.into_iter().collect(),
            said: said.as_ref().map(|said| said.number),
            is_shown: said.is_some_and(|said| said.is_shown),
            verdict,
        };
        self.place_for(now, incoming, who);
    }

    pub(super) fn place_for(&mut self, now: Millis, incoming: Incoming<'_, '_>, who: Who) {
        let Incoming { flow, server, message, bytes, source } = incoming;
        let merged = self.merged_key(message);
        let is_merged = self.merged.get(&merged).is_some_and(|id| self.calls.get(*id).is_some());
        if is_merged || self.transactions.has_come_back(message) {
            return self.transactions.respond_simply(now, server, message, 482);
        }
        if self.calls.len() >= CALLS_MAX {
            return self.transactions.respond_simply(now, server, message, 503);
        }
        let id = self.calls.reserve();
        let arrival = Arrival {
            message,
            bytes,
            invite: server,
            merge_key: merged,
            flow,
            peer: source.peer,
            trunk: &source.trunk,
            who,
        };
        match place(io!(self, now), id, &arrival) {
            Some(call) => {
                self.merged.insert(merged, id);
                self.calls.fill(id, call);
            }
            None => {
                self.calls.remove(id);
            }
        }
    }

    /// The process ends: calls that are not answered yet are given up, those that run are taken up by the next.
    pub fn leave(&mut self, now: Millis) {
        let all: Vec<u64> = self.calls.iter().map(|(id, _)| id).collect();
        for id in all {
            if let Some(call) = self.calls.get_mut(id) {
                call.leave(io!(self, now));
            }
        }
    }

    /// The VNO orders a call: false when no phone of the line is registered, or there is no room.
    pub fn originate(&mut self, now: Millis, order: &CallOrder) -> bool {
        let contact = self.registrar.contacts(&order.user, now).into_iter().next();
        let Some((uri, flow)) = contact else { return false };
        let Some(source) = self.trunks.source(&flow) else { return false };
        if self.calls.len() >= CALLS_MAX {
            return false;
        }
        let id = self.calls.reserve();
        let order = Order {
            uri,
            flow,
            access: source.peer,
            identities: order.identities.iter().take(1).cloned().collect(),
            number: order.identities.iter().find_map(Identity::digits),
            called: order.called,
        };
        match originate(io!(self, now), id, order) {
            Some(call) => {
                self.calls.fill(id, call);
                true
            }
            None => {
                self.calls.remove(id);
                false
            }
        }
    }

    fn merged_key(&self, message: &Message<'_>) -> u64 {
        let tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let key = [tag, b"\0", message.call_id(), b"\0", &cseq.to_be_bytes()].concat();
        self.transactions.tokens.keyed(&key)
    }

    fn ack(&mut self, now: Millis, message: &Message<'_>) {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        if let Some((id, side)) = self.find(tag, message.call_id())
            && let Some(call) = self.calls.get_mut(id)
        {
            call.acknowledged(io!(self, now), side, message);
        }
    }

    fn response(
        &mut self,
        now: Millis,
        flow: Flow,
        client: ClientId,
        owner: u64,
        message: &Message<'_>,
    ) {
        if let Some(peer) = probe_of(owner) {
            if message.status() >= 200 {
                self.trunks.probed(peer, now, !matches!(message.status(), 408 | 503));
            }
            return;
        }
        if message.status() >= 200
            && let Some((peer, dialog)) = self.byes.remove(&client)
        {
            // The call may be forgotten already; the other side is not to go on without it.
            Call::bye_again(io!(self, now), peer, dialog, owner, message);
        }
        let side = message.from().and_then(|from| from.tag()).and_then(Call::of_tag);
        let Some(call) = self.calls.get_mut(owner) else {
            return self.stray(now, flow, message);
        };
        if call.a.invite == Opening::Made(client) {
            call.answered_by_a(io!(self, now), message);
        } else if call.turn_to(client) {
            call.answered_by_b(io!(self, now), message);
        } else if let Some((_, side)) = side {
            // Each try has a tag of its own.
            let tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
            let is_this_leg = |leg: &BLeg| *leg.dialog.local_tag == *tag;
            if side == Side::B && !call.b.as_ref().is_some_and(is_this_leg) {
                // An earlier try answers late.
                let is_invite = message.cseq().is_some_and(|cseq| cseq.method == b"INVITE");
                if is_invite && (200..300).contains(&message.status()) {
                    Call::hang_up_stray(io!(self, now), message, flow);
                }
            } else {
                call.response(io!(self, now), side, client, message);
            }
        }
        self.tidy(owner);
    }

    /// Fires what is due. To be called every few milliseconds.
    pub fn on_time(&mut self, now: Millis) {
        let mut expired = Vec::new();
        self.transactions.on_time(now, |what| expired.push(what));
        expired.into_iter().for_each(|what| self.expired(now, what));
        let mut due = Vec::new();
        self.wakes.due(now, |id| due.push(id));
        for id in due {
            if let Some(call) = self.calls.get_mut(id) {
                call.wake(io!(self, now));
                self.tidy(id);
            }
        }
        self.probe(now);
    }

    /// A connection could not be made, or broke.
    pub fn broken(&mut self, now: Millis, flow: Flow) {
        let mut expired = Vec::new();
        self.transactions.broken(now, flow, |what| expired.push(what));
        expired.into_iter().for_each(|what| self.expired(now, what));
    }

    fn expired(&mut self, now: Millis, what: Expired) {
        let (client, owner, status) = match what {
            Expired::NoAnswer(client, owner) => (client, owner, 408),
            Expired::NoWay(client, owner) => (client, owner, 503),
            Expired::NoAck(_, owner) => {
                if let Some(call) = self.calls.get_mut(owner) {
                    call.cut(io!(self, now), super::call::Ended::Dead(Side::A));
                    self.tidy(owner);
                }
                return;
            }
        };
        self.byes.remove(&client);
        if let Some(peer) = probe_of(owner) {
            self.trunks.probed(peer, now, false);
        } else if let Some(call) = self.calls.get_mut(owner) {
            call.unanswered(io!(self, now), client, status);
            self.tidy(owner);
        }
    }

    /// Forgets a call that is over.
    pub fn tidy(&mut self, id: u64) {
        if !self.calls.get(id).is_some_and(|call| call.is_forgotten()) {
            return;
        }
        let Some(call) = self.calls.remove(id) else { return };
        self.trunks.release(call.a.trunk, false);
        if let Some(leg) = &call.b
            && let Some(trunk) = leg.trunk
        {
            self.trunks.release(trunk, leg.is_trial());
        }
        self.merged.remove(&call.a.merge_key);
        self.aliases.retain(|_, known| *known != id);
    }
}
