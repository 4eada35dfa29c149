//! The sockets and the task around the engine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sip_protocol::slab::Slab;
use sip_protocol::{Flow, Millis};
use smallvec::SmallVec;
use stir_protocol::CertificateUrl;
use tandem_domain::calls::Webhook;
use tandem_domain::charging::{EndCause, Session, SessionRequest, SessionVerb};
use tandem_domain::command::{Command, Response};
use tandem_domain::digits::Digits;
use tandem_domain::directive::{Directive, DirectiveOutcome};
use tandem_domain::identifier::{Identity, IdentityKind};
use tandem_domain::state::State;
use tandem_http_client::HttpClient;
use tandem_platform::{CallOrder, CallSink, DirectiveSink, Platform, ReplySink, Unavailable};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

use super::call::{Asked, Consent, Local};
use super::certificates::Certificates;
use super::datagrams::Datagrams;
use super::engine::Engine;
use super::proving::{Lookup, Secrets};
use super::stir::Vouchers;
use super::streams::Streams;
use super::webhooks::Webhooks;

/// How the SIP side is run.
#[derive(Clone)]
pub struct SipOptions {
    /// UDP and TCP.
    pub listen: SocketAddr,
    pub tls: Option<(SocketAddr, Arc<ServerConfig>)>,
    /// For connections to switches that want TLS.
    pub tls_client: Option<Arc<ClientConfig>>,
    /// Realm of the phones and host part of numbers.
    pub domain: String,
    /// What peers are told to send to, when that is not the listening address.
    pub advertised: Option<SocketAddr>,
    /// With what calls are signed and judged (RFC 8224).
    pub vouchers: Vouchers,
    /// Fetches certificates for us, where that is not done straight from where they are.
    pub certificate_proxy: Option<SocketAddr>,
}

impl SipOptions {
    pub fn new(listen: SocketAddr) -> SipOptions {
        SipOptions {
            listen,
            tls: None,
            tls_client: None,
            domain: "sip.tandem.example".into(),
            advertised: None,
            vouchers: Vouchers::default(),
            certificate_proxy: None,
        }
    }
}

/// What comes to the engine's task from elsewhere.
pub(super) enum Inbox {
    Frame(Flow, Vec<u8>),
    /// A connection that we wanted could not be made, or broke.
    Broken(Flow),
    Replies(Vec<(u64, Result<Response, Unavailable>)>),
    Directive(Box<Directive>),
    Secrets(Lookup, Result<Secrets, Unavailable>),
    Consent(u64, Consent),
    Certificate(CertificateUrl, Option<(Vec<u8>, u64)>),
    Originate(CallOrder),
}

const INBOX: usize = 65_536;
const TICK: Duration = Duration::from_millis(8);
const RECEIVE_BUFFER: usize = 8 << 20;
/// Ticks between two updates of what is measured: about a second.
const SHOW_EVERY: u32 = 128;

struct Answers(mpsc::UnboundedSender<Inbox>);

impl ReplySink for Answers {
    fn deliver(&self, replies: Vec<(u64, Result<Response, Unavailable>)>) {
        // Bounded by the calls under way; a server that has stopped needs none.
        let _ = self.0.send(Inbox::Replies(replies));
    }
}

impl CallSink for Answers {
    fn originate(&self, order: CallOrder) {
        // A server that has stopped lets the asker's channel close.
        let _ = self.0.send(Inbox::Originate(order));
    }
}

impl DirectiveSink for Answers {
    fn issue(&self, directive: &Directive) {
        if directive.key.starts_with(b"sip;") {
            let _ = self.0.send(Inbox::Directive(Box::new(directive.clone())));
        }
    }
}

/// A running server.
pub struct SipServer {
    pub address: SocketAddr,
    pub tls_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    stopped: tokio::task::JoinHandle<()>,
}

impl SipServer {
    /// Takes nothing more. Running calls stay open: the next start takes them up again.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.stopped.await;
    }
}

/// UDP and TCP on one port. A port that the system chose for datagrams may be taken for connections: then another.
async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries_left = if listen.port() == 0 { 16 } else { 1 };
    loop {
        tries_left -= 1;
        let udp = UdpSocket::bind(listen).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
            tcp => return Ok((udp, tcp?)),
        }
    }
}

/// Binds the sockets, takes up the calls that run, and serves.
pub async fn serve(platform: Platform, options: SipOptions) -> io::Result<SipServer> {
    let (udp, tcp) = bind(options.listen).await?;
    let address = udp.local_addr()?;
    // The usual buffer holds less than a tenth of a second of busy traffic.
    let _ = socket2::SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BUFFER);
    let tls = match &options.tls {
        Some((listen, config)) => Some((TcpListener::bind(listen).await?, config.clone())),
        None => None,
    };
    let tls_address = tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
    let shown = options.advertised.unwrap_or(address);
    let sent_by = [
        shown.to_string(),
        shown.to_string(),
        tls_address.map_or(shown, |tls| SocketAddr::new(shown.ip(), tls.port())).to_string(),
    ];
    let local = Local::new(shown.ip().to_string(), sent_by, options.domain.clone());
    let (frames, framed) = mpsc::channel(INBOX);
    let (answers, answered) = mpsc::unbounded_channel();
    let streams = Streams::new(frames, options.tls_client.clone());
    let mut listeners = vec![tokio::spawn(streams.clone().accept(tcp, None))];
    if let Some((listener, config)) = tls {
        listeners.push(tokio::spawn(streams.clone().accept(listener, Some(config))));
    }
    let sink = Arc::new(Answers(answers.clone()));
    platform.on_directive(sink.clone());
    platform.on_calls(sink.clone());
    let client = HttpClient::new(&[], false).map_err(io::Error::other)?;
    let client = Arc::new(client);
    let mut task = Task {
        engine: Engine::new(local, secret()),
        platform,
        datagrams: Datagrams::new(udp),
        streams,
        webhooks: Webhooks::new(client.clone()),
        certificates: Arc::new(Certificates { client, proxy: options.certificate_proxy }),
        sink,
        answers,
        pending: Slab::default(),
        commands: Vec::new(),
        started: (Instant::now(), unix_millis()),
    };
    task.engine.stir.vouchers = options.vouchers;
    task.take_up().await;
    let (stop, stopping) = watch::channel(false);
    let stopped = tokio::spawn(async move {
        task.run(framed, answered, stopping).await;
        listeners.iter().for_each(tokio::task::JoinHandle::abort);
    });
    Ok(SipServer { address, tls_address, stop, stopped })
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Random words of the operating system, by way of the standard library's hash seeds.
fn secret() -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    std::array::from_fn(|index| RandomState::new().hash_one((index, Instant::now())))
}

struct Task {
    engine: Engine,
    platform: Platform,
    datagrams: Datagrams,
    streams: Arc<Streams>,
    webhooks: Arc<Webhooks>,
    certificates: Arc<Certificates>,
    sink: Arc<Answers>,
    answers: mpsc::UnboundedSender<Inbox>,
    /// Questions under way: whose they are.
    pending: Slab<(u64, usize, Asked)>,
    commands: Vec<(u64, Command)>,
    started: (Instant, u64),
}

impl Task {
    /// Wall clock at the start, monotonic from there.
    fn now(&self) -> Millis {
        let elapsed = u64::try_from(self.started.0.elapsed().as_millis()).unwrap_or(0);
        Millis(self.started.1 + elapsed)
    }

    async fn run(
        mut self,
        mut framed: mpsc::Receiver<Inbox>,
        mut answered: mpsc::UnboundedReceiver<Inbox>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rounds = 0u32;
        loop {
            tokio::select! {
                _ = stopping.changed() => {
                    self.engine.leave(self.now());
                    return self.flush().await;
                }
                _ = self.datagrams.readable() => {}
                Some(item) = answered.recv() => self.take(item),
                Some(item) = framed.recv() => self.take(item),
                _ = ticks.tick() => {
                    self.use_registry();
                    self.engine.on_time(self.now());
                    rounds += 1;
                    if rounds.is_multiple_of(SHOW_EVERY) {
                        self.platform.show_metrics("sip", self.engine.metrics(self.now()));
                    }
                }
            }
            // Whatever woke us, all that waits is taken: one submission and one burst for all of it.
            while let Ok(item) = answered.try_recv() {
                self.take(item);
            }
            let now = self.now();
            self.datagrams.take(|flow, bytes| self.engine.message(now, flow, bytes));
            self.flush().await;
        }
    }

    fn use_registry(&mut self) {
        let registry = self.platform.registry();
        if self.engine.use_registry(&registry) {
            let trunks = &self.engine.trunks;
            self.streams.know(trunks.hosts(), trunks.tls_names());
        }
    }

    fn take(&mut self, item: Inbox) {
        let now = self.now();
        match item {
            Inbox::Frame(flow, bytes) => self.engine.message(now, flow, &bytes),
            Inbox::Broken(flow) => self.engine.broken(now, flow),
            Inbox::Replies(replies) => {
                for (number, reply) in replies {
                    if let Some(question) = self.pending.remove(number) {
                        self.engine.replied(now, question, reply);
                    }
                }
            }
            Inbox::Directive(directive) => {
                let known = self.engine.ordered(now, &directive.key, &directive.order);
                let outcome = if known {
                    DirectiveOutcome::Accepted
                } else {
                    DirectiveOutcome::UnknownSession
                };
                self.commands.push((0, Command::DirectiveDone(directive.id, outcome)));
            }
            Inbox::Secrets(lookup, secrets) => self.engine.looked_up(now, lookup, secrets),
            Inbox::Consent(call, consent) => self.engine.consented(now, call, consent),
            Inbox::Certificate(url, fetched) => self.engine.fetched(now, &url, fetched),
            Inbox::Originate(order) => {
                let taken = self.engine.originate(now, &order);
                // Whoever asked may have gone; the phone rings all the same.
                let _ = order.taken.send(taken);
            }
        }
    }

    /// Questions to the platform, messages to the network.
    async fn flush(&mut self) {
        loop {
            for (call, meter, asked, command) in self.engine.asks.drain(..) {
                let number = self.pending.insert((call, meter, asked));
                self.commands.push((number, command));
            }
            if self.commands.is_empty() {
                break;
            }
            let commands = std::mem::take(&mut self.commands);
            let numbers: Vec<u64> = commands.iter().map(|(number, _)| *number).collect();
            let Err(unavailable) = self.platform.submit_many(commands, self.sink.clone()) else {
                break;
            };
            let now = self.now();
            for question in numbers.into_iter().filter_map(|number| self.pending.remove(number)) {
                self.engine.replied(now, question, Err(unavailable));
            }
        }
        self.engine.welcomed.drain(..).for_each(|channel| self.streams.welcome(channel));
        for lookup in self.engine.lookups.drain(..) {
            tokio::spawn(look_up(self.platform.clone(), self.answers.clone(), lookup));
        }
        for url in self.engine.fetches.drain(..) {
            let (certificates, answers) = (self.certificates.clone(), self.answers.clone());
            tokio::spawn(async move {
                let fetched = certificates.fetch(&url).await;
                // A server that has stopped needs no answer.
                let _ = answers.send(Inbox::Certificate(url, fetched));
            });
        }
        for (call, webhook, body) in self.engine.consents.drain(..) {
            let (webhooks, answers) = (self.webhooks.clone(), self.answers.clone());
            let platform = self.platform.clone();
            tokio::spawn(async move {
                let mut consent = webhooks.ask(&webhook, call, body).await;
                if let Consent::Allow { caller: Some(number), .. } = consent
                    && !is_its(&platform, &webhook, number).await
                {
                    consent = webhooks.default(&webhook);
                }
                // A server that has stopped needs no answer.
                let _ = answers.send(Inbox::Consent(call, consent));
            });
        }
        let mut datagrams = Vec::new();
        for (flow, bytes) in self.engine.transactions.outgoing() {
            if flow.transport.is_reliable() {
                self.streams.send(flow, bytes);
            } else {
                datagrams.push((flow.remote, bytes));
            }
        }
        self.datagrams.send(&datagrams).await;
        self.engine.transactions.sent();
    }

    /// Calls that another process had: taken up again where that is possible, otherwise closed as they stand.
    async fn take_up(&mut self) {
        self.use_registry();
        let sessions = self.platform.read(|state: &State, _| {
            // The last that the process before this one is known to have heard of anything.
            let alive_at = state.sessions.values().map(|one| one.heard_at).max();
            let ours = state.sessions.values().filter(|one| one.key.starts_with(b"sip;"));
            let ours = ours.map(|one| one.as_ref().clone()).collect::<Vec<Session>>();
            (ours, alive_at.map_or(0, |at| u64::try_from(at.millis()).unwrap_or(0)))
        });
        let now = self.now();
        let (sessions, alive_at) = sessions.await.unwrap_or_default();
        for session in sessions {
            let is_known = session.note.is_some();
            if !is_known || !self.engine.take_up(now, &session, Millis(alive_at)) {
                self.commands.push((0, Command::Session(Box::new(closing(&session)))));
            }
        }
        let pending = self.platform.read(|state: &State, _| {
            let ours = state.outbox.values().filter(|one| one.key.starts_with(b"sip;"));
            ours.cloned().collect::<Vec<Directive>>()
        });
        for directive in pending.await.unwrap_or_default() {
            self.take(Inbox::Directive(Box::new(directive)));
        }
        self.flush().await;
    }
}

/// Ends a session whose call is gone: what was reported stays charged.
fn closing(session: &Session) -> SessionRequest {
    let last = session.answers.iter().map(|given| given.number).max().unwrap_or(0);
    SessionRequest {
        verb: SessionVerb::Close(EndCause::Lost),
        key: session.key.clone(),
        number: last + 1000,
        peer: session.peer,
        origin_host: session.origin_host.clone(),
        origin_realm: Box::default(),
        origin_state: None,
        identities: SmallVec::new(),
        context: session.context.clone(),
        groups: SmallVec::new(),
        call: None,
    }
}

/// Is the number one of the VNO that set this application? Others' are not its to show.
async fn is_its(platform: &Platform, webhook: &Webhook, number: Digits) -> bool {
    let webhook = webhook.clone();
    let is_its = platform.read(move |state: &State, _| {
        let line = state.identities.line(&Identity::number(IdentityKind::Msisdn, number))?;
        let calls = state.registry.vno(line.vno())?.calls.as_deref()?;
        Some(calls.webhook.as_ref() == Some(&webhook))
    });
    is_its.await.ok().flatten().unwrap_or(false)
}

async fn look_up(platform: Platform, answers: mpsc::UnboundedSender<Inbox>, lookup: Lookup) {
    let address = lookup.address.clone();
    let secrets = platform.read(move |state: &State, _| {
        let line = state.identities.line(&address)?;
        let calls = state.subscriber(line.subscriber())?.line(line)?.calls.as_deref()?;
        Some(calls.secrets.clone())
    });
    let secrets = secrets.await.map(Option::unwrap_or_default);
    // A server that has stopped needs no answer.
    let _ = answers.send(Inbox::Secrets(lookup, secrets));
}
