//! The transaction layer (RFC 3261 section 17 with RFC 6026), for one engine.
//!
//! Call order: [`Transactions::receive`] for every message, [`Transactions::on_time`] every few milliseconds while
//! [`Transactions::is_busy`]; after either, send what [`Transactions::outgoing`] gives. Requests of the layer above
//! go through [`Transactions::request`], its answers through [`Transactions::respond`].

mod branches;
mod client;
mod matching;
mod reply;
mod server;

use std::net::SocketAddr;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::Millis;
use crate::message::Message;
use crate::method::Method;
use crate::slab::Slab;
use crate::tokens::{Tokens, hex};
use crate::wheel::Wheel;
use branches::ours;
use client::Client;
use reply::response_flow;
pub use reply::{copy_essentials, copy_timestamp};
use server::Server;

pub const T1: u64 = 500;
pub const T2: u64 = 4_000;
pub const T4: u64 = 5_000;
/// How long a transaction without an answer lives (timers B, F, H).
pub const LIFE: u64 = 64 * T1;
/// Longer requests go over a connection where the path's limit is not known (section 18.1.1).
pub const DATAGRAM_MAX: usize = 1300;
/// How long a peer that took no connection gets long requests as datagrams.
const WITHOUT_CONNECTION: u64 = 600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }

    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

/// Where a message came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub transport: Transport,
    pub remote: SocketAddr,
    /// Which socket or connection, as the shell numbers them.
    pub channel: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// What the layer above has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new request; answer it.
    Request(ServerId),
    /// An ACK for a 2xx: it belongs to a dialog.
    Ack,
    /// A CANCEL (already answered) for this INVITE, and whose it is.
    Cancel(ServerId, u64),
    /// A response to our request, and whose it is.
    Response(ClientId, u64),
    /// A repeat, or something that nobody waits for.
    Absorbed,
}

/// What time alone brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No final answer to our request (408 in all but name).
    NoAnswer(ClientId, u64),
    /// The connection for our request could not be made, or broke (503 in all but name, section 8.1.3.1).
    NoWay(ClientId, u64),
    /// Our 2xx to an INVITE was never acknowledged.
    NoAck(ServerId, u64),
}

/// Transactions at once; the layer above takes no more requests then.
pub const TRANSACTIONS_MAX: usize = 2_000_000;

enum Entry {
    Client(Box<Client>),
    Server(Box<Server>),
}

pub struct Transactions {
    entries: Slab<Entry>,
    /// Server transactions by the hash of what matches a repeat (section 17.2.3), which they keep themselves.
    by_key: HashTable<(u64, u64)>,
    hashing: DefaultHashBuilder,
    wheel: Wheel,
    pub tokens: Tokens,
    out: Vec<u8>,
    sends: Vec<(Flow, Range<usize>)>,
    key: Vec<u8>,
    /// Peers that took no connection, and until when that is remembered.
    datagrams_only: HashMap<SocketAddr, Millis>,
}

impl Transactions {
    pub fn new(tokens: Tokens) -> Transactions {
        Transactions {
            entries: Slab::default(),
            by_key: HashTable::new(),
            hashing: DefaultHashBuilder::default(),
            wheel: Wheel::default(),
            tokens,
            out: Vec::new(),
            sends: Vec::new(),
            key: Vec::new(),
            datagrams_only: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Does time have to be handed in?
    pub fn is_busy(&self) -> bool {
        !self.wheel.is_empty()
    }

    /// Everything to be sent now, in order; [`Transactions::sent`] follows.
    pub fn outgoing(&self) -> impl Iterator<Item = (&Flow, &[u8])> {
        self.sends.iter().map(|(flow, range)| (flow, &self.out[range.clone()]))
    }

    pub fn sent(&mut self) {
        self.sends.clear();
        self.out.clear();
    }

    /// Sends octets once, outside of any transaction: an ACK, or an answer to what has none.
    pub fn send(&mut self, flow: Flow, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.out.len();
        write(&mut self.out);
        let range = start..self.out.len();
        self.sends.push((flow, range.clone()));
        range
    }

    fn send_copy(&mut self, flow: Flow, bytes: &[u8]) {
        self.send(flow, |out| out.extend_from_slice(bytes));
    }

    /// A Via value for the next request, with a branch that leads back to its transaction.
    fn via(&mut self, id: u64, flow: &Flow, sent_by: &[u8]) -> (Vec<u8>, u64) {
        let nonce = self.tokens.draw();
        let mut via = Vec::with_capacity(96);
        via.extend_from_slice(b"SIP/2.0/");
        via.extend_from_slice(flow.transport.name().as_bytes());
        via.push(b' ');
        via.extend_from_slice(sent_by);
        via.extend_from_slice(b";rport;branch=z9hG4bK");
        via.extend_from_slice(&hex(id));
        via.extend_from_slice(&hex(nonce));
        (via, nonce)
    }

    /// Begins a transaction of ours for `owner`, a word of the layer above. `write` gets the Via value to put on top and writes the whole request.
    pub fn request(
        &mut self,
        now: Millis,
        flow: Flow,
        sent_by: &[u8],
        method: Method<'_>,
        owner: u64,
        write: impl Fn(&[u8], &mut Vec<u8>),
    ) -> ClientId {
        let is_invite = method == Method::Invite;
        let id = self.entries.insert(Entry::Client(Box::new(Client::new(flow, is_invite, owner))));
        let (via, mut nonce) = self.via(id, &flow, sent_by);
        let mut range = self.send(flow, |out| write(&via, out));
        let mut sent_over = flow;
        if range.len() > DATAGRAM_MAX && self.takes_connections(&flow, now) {
            self.sends.pop();
            self.out.truncate(range.start);
            sent_over.transport = Transport::Tcp;
            let (via, another) = self.via(id, &sent_over, sent_by);
            nonce = another;
            range = self.send(sent_over, |out| write(&via, out));
        }
        let request: Box<[u8]> = self.out[range].into();
        if let Some(Entry::Client(client)) = self.entries.get_mut(id) {
            client.flow = sent_over;
            client.is_switched = sent_over != flow;
            client.begin(now, request, nonce);
            self.wheel.set(client.due, id);
        }
        ClientId(id)
    }

    fn takes_connections(&self, flow: &Flow, now: Millis) -> bool {
        let refused = self.datagrams_only.get(&flow.remote).is_some_and(|until| *until > now);
        !flow.transport.is_reliable() && !refused
    }

    /// A connection could not be made, or broke. What waits for a first answer over it fails; a request that only its
    /// length had put there goes out as a datagram after all.
    pub fn broken(&mut self, now: Millis, flow: Flow, mut expired: impl FnMut(Expired)) {
        let waiting: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Client(client) if client.waits_on(&flow)))
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            let Some(Entry::Client(client)) = self.entries.get_mut(id) else { continue };
            if client.is_switched {
                let request = client.over_datagrams(now);
                let (flow, due) = (client.flow, client.due);
                self.datagrams_only.insert(flow.remote, now.plus(WITHOUT_CONNECTION));
                self.send_copy(flow, &request);
                self.wheel.set(due, id);
            } else {
                expired(Expired::NoWay(ClientId(id), client.owner));
                self.forget(id);
            }
        }
        self.datagrams_only.retain(|_, until| *until > now);
    }

    pub fn receive(&mut self, now: Millis, flow: Flow, message: &Message<'_>) -> Event {
        match message.method() {
            None => self.response(now, message),
            Some(method) => self.incoming(now, flow, message, method),
        }
    }

    fn response(&mut self, now: Millis, message: &Message<'_>) -> Event {
        let Some((id, nonce)) = message.top_via().and_then(|via| ours(via.branch()?)) else {
            return Event::Absorbed;
        };
        let Some(Entry::Client(client)) = self.entries.get_mut(id) else {
            return Event::Absorbed;
        };
        // Answers to a CANCEL carry the INVITE's branch and have nothing to say.
        let of_cancel = message.cseq().is_some_and(|cseq| cseq.method == b"CANCEL");
        if client.nonce != nonce || of_cancel {
            return Event::Absorbed;
        }
        let reaction = client.response(now, message);
        let (flow, due, over, owner) = (client.flow, client.due, client.is_over(), client.owner);
        if let Some(send) = reaction.send {
            self.send_copy(flow, &send);
        }
        if over {
            self.entries.remove(id);
        } else if reaction.rearm {
            self.wheel.set(due, id);
        }
        if reaction.pass { Event::Response(ClientId(id), owner) } else { Event::Absorbed }
    }

    fn incoming(
        &mut self,
        now: Millis,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
    ) -> Event {
        let matched = if method == Method::Ack { Method::Invite } else { method };
        self.make_key(message, matched);
        if let Some(id) = self.known() {
            return self.repeated(now, id, method);
        }
        if method == Method::Ack {
            return Event::Ack;
        }
        let id = self.begin_server(now, flow, message, method);
        if method != Method::Cancel {
            return Event::Request(ServerId(id));
        }
        // Matching is by the INVITE's own key (section 9.2).
        self.make_key(message, Method::Invite);
        let invite = self.known();
        self.respond_simply(now, ServerId(id), message, if invite.is_some() { 200 } else { 481 });
        match invite.and_then(|id| Some((id, self.entries.get(id)?))) {
            Some((id, Entry::Server(server))) => Event::Cancel(ServerId(id), server.owner),
            _ => Event::Absorbed,
        }
    }

    fn begin_server(
        &mut self,
        now: Millis,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
    ) -> u64 {
        let flow = response_flow(flow, message);
        let server = Server::new(now, flow, method == Method::Invite, self.key.as_slice().into());
        let id = self.entries.insert(Entry::Server(Box::new(server)));
        self.remember(id);
        id
    }

    fn repeated(&mut self, now: Millis, id: u64, method: Method<'_>) -> Event {
        let Some(Entry::Server(server)) = self.entries.get_mut(id) else {
            return Event::Absorbed;
        };
        if method == Method::Ack {
            return match server.acknowledged(now) {
                server::Ack::Confirmed(due) => {
                    self.wheel.set(due, id);
                    Event::Absorbed
                }
                server::Ack::Repeated => Event::Absorbed,
                // A peer may reuse the INVITE's branch for the ACK of a 2xx.
                server::Ack::OfDialog => Event::Ack,
            };
        }
        if let (Some(again), flow) = (server.again(), server.flow) {
            self.send_copy(flow, &again);
        }
        Event::Absorbed
    }

    /// Answers a request. `write` writes the whole response; a 2xx to an INVITE is sent again until
    /// [`Transactions::acknowledge`].
    pub fn respond(
        &mut self,
        now: Millis,
        id: ServerId,
        status: u16,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(Entry::Server(server)) = self.entries.get(id.0) else { return };
        if !server.is_open() {
            return;
        }
        let flow = server.flow;
        let range = self.send(flow, write);
        if let Some(Entry::Server(server)) = self.entries.get_mut(id.0) {
            server.responded(now, status, &self.out[range]);
            if status >= 200 {
                self.wheel.set(server.due, id.0);
            }
        }
    }

    /// Answers with what every response has and nothing else.
    pub fn respond_simply(
        &mut self,
        now: Millis,
        id: ServerId,
        request: &Message<'_>,
        status: u16,
    ) {
        let mut tag = [0; 16];
        if status > 100 {
            tag = self.tokens.token();
        }
        let flow = self.flow_of(id);
        let waited = self.unanswered_since(id).filter(|_| status == 100);
        self.respond(now, id, status, |out| {
            let mut response = crate::writer::MessageWriter::response(out, status);
            copy_essentials(&mut response, request, flow, &tag);
            if let Some(since) = waited {
                copy_timestamp(&mut response, request, now.since(since));
            }
            response.finish(&[]);
        });
    }

    /// Says whose a request is.
    pub fn own(&mut self, id: ServerId, owner: u64) {
        if let Some(Entry::Server(server)) = self.entries.get_mut(id.0) {
            server.owner = owner;
        }
    }

    /// When a request came that has no answer of any kind yet.
    pub fn unanswered_since(&self, id: ServerId) -> Option<Millis> {
        match self.entries.get(id.0) {
            Some(Entry::Server(server)) => server.unanswered_since(),
            _ => None,
        }
    }

    pub fn flow_of(&self, id: ServerId) -> Option<Flow> {
        match self.entries.get(id.0) {
            Some(Entry::Server(server)) => Some(server.flow),
            _ => None,
        }
    }

    /// The ACK of our 2xx came: it need not be sent again.
    pub fn acknowledge(&mut self, id: ServerId) {
        if let Some(Entry::Server(server)) = self.entries.get_mut(id.0) {
            server.accepted_acknowledged();
        }
    }

    /// The ACK for a 2xx that we got; sent now and whenever the 2xx comes again.
    pub fn ack(&mut self, id: ClientId, flow: Flow, write: impl FnOnce(&mut Vec<u8>)) {
        let range = self.send(flow, write);
        if let Some(Entry::Client(client)) = self.entries.get_mut(id.0) {
            client.acked(flow, &self.out[range]);
        }
    }

    /// Cancels our INVITE: at once when it was provisionally answered, otherwise as soon as it is (section 9.1).
    pub fn cancel(&mut self, now: Millis, id: ClientId, reason: Option<&[u8]>) {
        let Some(Entry::Client(client)) = self.entries.get_mut(id.0) else { return };
        if let Some(cancel) = client.cancel(now, reason) {
            let (flow, due) = (client.flow, client.due);
            self.send_copy(flow, &cancel);
            self.wheel.set(due, id.0);
        }
    }

    /// Fires what is due.
    pub fn on_time(&mut self, now: Millis, mut expired: impl FnMut(Expired)) {
        let mut due = Vec::new();
        self.wheel.due(now, |id| due.push(id));
        for id in due {
            let (send, gone, next) = match self.entries.get_mut(id) {
                None => continue,
                Some(Entry::Client(client)) => {
                    if client.due > now {
                        continue;
                    }
                    let fired = client.fire(now);
                    if fired.no_answer {
                        expired(Expired::NoAnswer(ClientId(id), client.owner));
                    }
                    (fired.send.map(|bytes| (client.flow, bytes)), fired.over, client.due)
                }
                Some(Entry::Server(server)) => {
                    if server.due > now {
                        continue;
                    }
                    let fired = server.fire(now);
                    if fired.no_ack {
                        expired(Expired::NoAck(ServerId(id), server.owner));
                    }
                    (fired.send.map(|bytes| (server.flow, bytes)), fired.over, server.due)
                }
            };
            if let Some((flow, bytes)) = send {
                self.send_copy(flow, &bytes);
            }
            if gone {
                self.forget(id);
            } else {
                self.wheel.set(next, id);
            }
        }
    }
}
