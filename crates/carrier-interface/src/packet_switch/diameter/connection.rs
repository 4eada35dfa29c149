//! One connection: bytes in, commands out, answers back in whatever order they become durable.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diameter_protocol::check::{Strictness, check};
use diameter_protocol::code;
use diameter_protocol::credit_control::{CreditControlRequest, write_answer};
use diameter_protocol::message::{DecodeError, Message};
use diameter_protocol::peer::{Capabilities, DisconnectCause, Millis, Peer, Received};
use diameter_protocol::writer::{FailedAvp, append_padded, error_answer};
use diameter_protocol::{Framer, ResultCode};
use tandem_domain::catalogue::Registry;
use tandem_domain::charging::Declined;
use tandem_domain::command::{Command, Response};
use tandem_domain::directive::{Directive, DirectiveOutcome};
use tandem_domain::identifier::PeerId;
use tandem_domain::party::Standing;
use tandem_platform::{Replies, ReplySink};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::from_domain::{self, result_code};
use super::pushes::Pushed;
use super::server::Common;
use super::spare::{Commands, Spare};
use super::to_domain;
use super::waiting::{Pending, Waiting};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Clear,
    Tls,
}

/// Hands the platform's answers to the connection's task.
pub(super) struct Inbox(mpsc::UnboundedSender<(Replies, Commands)>);

impl ReplySink for Inbox {
    fn deliver(&self, replies: Replies, over: Commands) {
        // Bounded by the requests that may be under way; a connection that is gone needs none.
        let _ = self.0.send((replies, over));
    }
}

const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const READ_SIZE: usize = 64 << 10;
/// Commands given to the platform together: it decides them while the next are decoded.
const SUBMIT_AT_ONCE: usize = 64;
const PUSH_TRIES_MAX: u32 = 3;
/// Hosts behind an agent whose Origin-State-Id is remembered.
const HOSTS_MAX: usize = 4096;

pub(super) struct Connection {
    pub(super) common: Arc<Common>,
    transport: Transport,
    started: Instant,
    pub(super) machine: Peer,
    peer: Option<PeerId>,
    peer_host: String,
    peer_realm: String,
    is_agent: bool,
    id: u64,
    framer: Framer,
    received: Vec<u8>,
    pub(super) out: Vec<u8>,
    commands: Commands,
    spare: Spare,
    pending: Waiting,
    pub(super) next_number: u64,
    pub(super) pushed: HashMap<u32, Pushed>,
    origin_states: HashMap<Box<str>, u32>,
    pub(super) inbox: Arc<Inbox>,
    replies: mpsc::UnboundedReceiver<(Replies, Commands)>,
    orders: Option<mpsc::Receiver<Directive>>,
}

impl Connection {
    pub fn new(common: Arc<Common>, address: SocketAddr, transport: Transport) -> Connection {
        let (sender, replies) = mpsc::unbounded_channel();
        let id = common.next_connection.fetch_add(1, Ordering::Relaxed);
        // Spread out, so that identifiers of successive connections and starts do not meet soon.
        let first_identifier =
            (common.platform.now().millis() as u32).wrapping_mul(0x9e37_79b9) ^ (id as u32) << 20;
        let node = common.local_node(address);
        let machine = Peer::responder(node, common.options.timing, first_identifier, Millis(0));
        Connection {
            framer: Framer::new(common.options.message_length_max),
            common,
            transport,
            started: Instant::now(),
            machine,
            peer: None,
            peer_host: String::new(),
            peer_realm: String::new(),
            is_agent: false,
            id,
            received: Vec::with_capacity(READ_SIZE),
            out: Vec::with_capacity(READ_SIZE),
            commands: Vec::with_capacity(SUBMIT_AT_ONCE),
            spare: Spare::default(),
            pending: Waiting::default(),
            next_number: 0,
            pushed: HashMap::new(),
            origin_states: HashMap::new(),
            inbox: Arc::new(Inbox(sender)),
            replies,
            orders: None,
        }
    }

    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Until either side closes.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut stream: S) -> io::Result<()> {
        let result = self.exchange(&mut stream).await;
        if let Some(peer) = self.peer {
            self.common.pushes.disconnect(peer, self.id);
            tracing::info!(peer = %self.peer_host, "Diameter peer disconnected");
        }
        result
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> io::Result<()> {
        let mut stopping = self.common.stopping.clone();
        let mut said_goodbye = false;
        loop {
            if !self.out.is_empty() {
                // A peer that takes nothing any more must not keep what waits here.
                tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&self.out)).await??;
                self.out.clear();
            }
            let wake = self.started + std::time::Duration::from_millis(self.next_timeout().0);
            let go_on = tokio::select! {
                read = stream.read_buf(&mut self.received) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.take_bytes()
                }
                Some((replies, over)) = self.replies.recv() => {
                    self.answer(replies);
                    self.spare.keep(over);
                    while let Ok((replies, over)) = self.replies.try_recv() {
                        self.answer(replies);
                        self.spare.keep(over);
                    }
                    true
                }
                Some(directive) = next_order(&mut self.orders) => {
                    self.push(directive, 1);
                    self.fetch_missed_orders();
                    true
                }
                () = tokio::time::sleep_until(wake.into()) => self.on_timeout(),
                _ = stopping.changed(), if !said_goodbye => {
                    said_goodbye = true;
                    let now = self.now();
                    self.machine.disconnect(now, DisconnectCause::Rebooting, &mut self.out);
                    true
                }
            };
            if !go_on {
                // What was said last still goes out.
                let _ = stream.write_all(&self.out).await;
                return stream.shutdown().await;
            }
        }
    }

    fn next_timeout(&self) -> Millis {
        let pushes = self.pushed.values().map(|pushed| pushed.deadline);
        pushes
            .min()
            .map_or(self.machine.next_timeout(), |push| push.min(self.machine.next_timeout()))
    }

    /// Serves all whole messages; false when the connection has to be closed.
    fn take_bytes(&mut self) -> bool {
        let received = std::mem::take(&mut self.received);
        // All that came at once is judged by one state of the world.
        let (now, registry) = (self.now(), self.common.platform.registry());
        let mut at = 0;
        let mut go_on = true;
        while go_on {
            let rest = received.get(at..).unwrap_or_default();
            match self.framer.front(rest) {
                Ok(Some(length)) => {
                    let message = rest.get(..length).unwrap_or_default();
                    go_on = self.take_message(message, now, &registry);
                    at += length;
                    if self.commands.len() >= SUBMIT_AT_ONCE {
                        self.submit();
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, peer = %self.peer_host, "the Diameter stream is out of step");
                    go_on = false;
                }
            }
        }
        self.received = received;
        self.received.drain(..at.min(self.received.len()));
        self.submit();
        go_on
    }

    fn take_message(&mut self, bytes: &[u8], now: Millis, registry: &Registry) -> bool {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(DecodeError::Truncated) => return false,
            Err(DecodeError::Invalid { header, result, avp }) => {
                // Before the introduction, and to answers, there is nothing to say.
                if self.peer.is_none() {
                    return false;
                }
                if header.is_request() {
                    let failed = avp.map(FailedAvp::Malformed);
                    let identity = self.machine.local().identity();
                    error_answer(
                        &mut self.out,
                        &header,
                        None,
                        identity,
                        result,
                        failed.as_ref(),
                        None,
                    );
                }
                return true;
            }
        };
        match self.machine.handle(now, &message, &mut self.out) {
            Received::Handled | Received::Left(_) => true,
            Received::Introduced(capabilities) => self.introduce(&capabilities, now, registry),
            Received::Request => {
                self.request(&message, registry);
                true
            }
            Received::Answer => {
                self.push_answered(&message);
                true
            }
            Received::Opened(_) => true,
            Received::Close(reason) => {
                tracing::info!(?reason, peer = %self.peer_host, "Diameter connection closes");
                false
            }
        }
    }

    /// The peer table decides who may talk to us, and for whom.
    fn introduce(&mut self, capabilities: &Capabilities, now: Millis, registry: &Registry) -> bool {
        let known = registry
            .peer_by_host(&capabilities.host)
            .filter(|peer| peer.standing == Standing::Active && peer.trunk.is_none());
        let Some(peer) = known else {
            tracing::warn!(host = %capabilities.host, "an unknown Diameter peer is refused");
            self.machine.reject(ResultCode::UNKNOWN_PEER, &mut self.out);
            return false;
        };
        let realm_known = peer.realms.is_empty()
            || peer.realms.iter().any(|realm| **realm == *capabilities.realm);
        if !realm_known {
            self.machine.reject(ResultCode::UNKNOWN_PEER, &mut self.out);
            return false;
        }
        if peer.requires_tls && self.transport != Transport::Tls {
            self.machine.reject(ResultCode::NO_COMMON_SECURITY, &mut self.out);
            return false;
        }
        self.machine.accept(now, &mut self.out);
        self.peer = Some(peer.id);
        self.peer_host = capabilities.host.clone();
        self.peer_realm = capabilities.realm.clone();
        self.is_agent = peer.is_agent || capabilities.is_relay;
        self.orders = Some(self.common.pushes.connect(peer.id, self.id));
        if let Some(state) = capabilities.origin_state_id {
            self.note_origin_state(&capabilities.host, state);
        }
        self.fetch_pending_orders(peer.id);
        tracing::info!(peer = %self.peer_host, "Diameter peer connected");
        true
    }

    /// Orders that found the queue full are still in the outbox: they are fetched once the queue is empty.
    fn fetch_missed_orders(&self) {
        if let Some(peer) = self.peer
            && self.orders.as_ref().is_some_and(mpsc::Receiver::is_empty)
            && self.common.pushes.take_missed(peer)
        {
            self.fetch_pending_orders(peer);
        }
    }

    /// What could not be said while the peer was away is said now.
    fn fetch_pending_orders(&self, peer: PeerId) {
        let (platform, pushes) = (self.common.platform.clone(), self.common.pushes.clone());
        tokio::spawn(async move {
            let pending = platform.read(move |state, _| {
                let own = state.outbox.values().filter(|directive| directive.peer == peer);
                own.cloned().collect::<Vec<_>>()
            });
            for directive in pending.await.unwrap_or_default() {
                tandem_platform::DirectiveSink::issue(pushes.as_ref(), &directive);
            }
        });
    }

    fn note_origin_state(&mut self, host: &str, value: u32) {
        let Some(peer) = self.peer else { return };
        if self.origin_states.get(host).is_some_and(|known| *known >= value) {
            return;
        }
        if self.origin_states.len() < HOSTS_MAX || self.origin_states.contains_key(host) {
            self.origin_states.insert(host.into(), value);
        }
        self.enqueue(Command::PeerState(peer, host.into(), value));
    }

    pub(super) fn enqueue(&mut self, command: Command) -> u64 {
        self.next_number += 1;
        self.commands.push((self.next_number, command));
        self.next_number
    }

    fn refuse(
        &mut self,
        message: &Message<'_>,
        result: ResultCode,
        failed: Option<&FailedAvp<'_>>,
    ) {
        let identity = self.machine.local().identity();
        error_answer(&mut self.out, &message.header, Some(message), identity, result, failed, None);
    }

    fn request(&mut self, message: &Message<'_>, registry: &Registry) {
        let Some(peer) = self.peer else { return };
        if message.header.application != code::APPLICATION_CREDIT_CONTROL {
            return self.refuse(message, ResultCode::APPLICATION_UNSUPPORTED, None);
        }
        if message.header.command != code::COMMAND_CREDIT_CONTROL {
            return self.refuse(message, ResultCode::COMMAND_UNSUPPORTED, None);
        }
        if let Err((result, failed)) = check(message, Strictness::Lenient) {
            return self.refuse(message, result, Some(&failed));
        }
        let request = match CreditControlRequest::read(message) {
            Ok(request) => request,
            Err(fault) => return self.refuse(message, fault.result, Some(&fault.avp)),
        };
        if let Err(result) = self.may_ask(&request, peer, registry) {
            return self.refuse(message, result, None);
        }
        if self.pending.len() >= self.common.options.requests_max {
            return self.refuse(message, ResultCode::TOO_BUSY, None);
        }
        let (command, shape) = match to_domain::command(&request, peer, &mut self.spare) {
            Ok(translated) => translated,
            Err(fault) => return self.refuse(message, fault.result, Some(&fault.avp)),
        };
        if let Some(state) = request.origin_state_id {
            self.note_origin_state(&request.origin_host.to_ascii_lowercase(), state);
        }
        let number = match command {
            Command::Event(event) if event.debit.is_some() => self.enqueue_refund(event),
            command => self.enqueue(command),
        };
        let mut echoed = self.pending.spare();
        echoed.session_id.extend_from_slice(request.session_id);
        for avp in message.avps().map_while(Result::ok) {
            match avp.code {
                code::PROXY_INFO => append_padded(&mut echoed.proxy_info, &avp),
                code::SERVICE_CONTEXT_ID => append_padded(&mut echoed.service_context, &avp),
                _ => {}
            }
        }
        self.pending.insert(number, Pending { header: message.header, shape, echoed });
    }

    /// Is the request for us, and may this peer make it?
    fn may_ask(
        &self,
        request: &CreditControlRequest<'_>,
        peer: PeerId,
        registry: &Registry,
    ) -> Result<(), ResultCode> {
        let options = &self.common.options;
        if request
            .destination_realm
            .is_some_and(|realm| !realm.eq_ignore_ascii_case(&options.realm))
        {
            return Err(ResultCode::REALM_NOT_SERVED);
        }
        if request.destination_host.is_some_and(|host| !host.eq_ignore_ascii_case(&options.host)) {
            return Err(ResultCode::UNABLE_TO_DELIVER);
        }
        if !self.is_agent && !request.origin_host.eq_ignore_ascii_case(&self.peer_host) {
            return Err(ResultCode::AUTHORIZATION_REJECTED);
        }
        let peer = registry.peer(peer).filter(|peer| peer.standing == Standing::Active);
        let peer = peer.ok_or(ResultCode::AUTHORIZATION_REJECTED)?;
        let is = |realm: &str| realm.eq_ignore_ascii_case(request.origin_realm);
        let allowed = match peer.realms.as_slice() {
            [] => self.is_agent || is(&self.peer_realm),
            realms => realms.iter().any(|realm| is(realm)),
        };
        if allowed { Ok(()) } else { Err(ResultCode::AUTHORIZATION_REJECTED) }
    }

    /// Gives the platform all that was read at once. When it takes nothing more, the answer is 3004, at once.
    pub(super) fn submit(&mut self) {
        if self.commands.is_empty() {
            return;
        }
        let commands = std::mem::replace(&mut self.commands, self.spare.list());
        let numbers: Vec<u64> = commands.iter().map(|(number, _)| *number).collect();
        if let Err(unavailable) = self.common.platform.submit_many(commands, self.inbox.clone()) {
            self.answer(numbers.into_iter().map(|number| (number, Err(unavailable))).collect());
        }
    }

    fn answer(&mut self, replies: Replies) {
        for (number, response) in replies {
            let Some(pending) = self.pending.remove(number) else { continue };
            let declined =
                |declined: Declined| (result_code(declined), from_domain::refusal(pending.shape));
            let (result, mut answer) = match &response {
                Ok(Response::Session(Ok(answer))) => from_domain::session(pending.shape, answer),
                Ok(Response::Event(Ok(answer))) => from_domain::event(pending.shape, answer),
                Ok(Response::Session(Err(reason)) | Response::Event(Err(reason))) => {
                    declined(*reason)
                }
                Ok(
                    Response::Call(_)
                    | Response::Administered(_)
                    | Response::Content(_)
                    | Response::Done,
                )
                | Err(_) => (ResultCode::TOO_BUSY, from_domain::refusal(pending.shape)),
            };
            if result == ResultCode::RATING_FAILED {
                answer.failed = Some(pending.echoed.service_context.clone());
            }
            let identity = self.machine.local().identity();
            write_answer(
                &mut self.out,
                &pending.header,
                &pending.echoed.proxy_info,
                &pending.echoed.session_id,
                identity,
                result,
                &answer,
            );
            self.pending.give_back(pending.echoed);
        }
    }

    fn on_timeout(&mut self) -> bool {
        let now = self.now();
        let late: Vec<u32> = self
            .pushed
            .iter()
            .filter(|(_, pushed)| pushed.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(pushed) = self.pushed.remove(&id) {
                if pushed.tries < PUSH_TRIES_MAX {
                    self.push(pushed.directive, pushed.tries + 1);
                } else {
                    self.directive_done(pushed.directive.id, DirectiveOutcome::Failed);
                }
            }
        }
        !matches!(self.machine.on_timeout(now, &mut self.out), Received::Close(_))
    }
}

/// The next order, or never when the peer is not introduced yet.
async fn next_order(orders: &mut Option<mpsc::Receiver<Directive>>) -> Option<Directive> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}
