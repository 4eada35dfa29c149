//! The sockets and the thread around the engine.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sip_protocol::Millis;
use sip_protocol::slab::Slab;
use smallvec::SmallVec;
use tandem_domain::calls::Webhook;
use tandem_domain::charging::{EndCause, Session, SessionRequest, SessionVerb};
use tandem_domain::command::Command;
use tandem_domain::digits::Digits;
use tandem_domain::directive::{Directive, DirectiveOutcome};
use tandem_domain::identifier::{Identity, IdentityKind};
use tandem_domain::state::State;
use tandem_http_client::HttpClient;
use tandem_platform::Platform;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

use super::call::{Asked, Consent, Local};
use super::certificates::Certificates;
use super::datagrams::Datagrams;
use super::engine::Engine;
use super::inbox::{Inbox, Item, Post};
use super::proving::Lookup;
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

const TICK: Duration = Duration::from_millis(8);
/// Messages of connections taken before anything else has its turn.
const FRAMES_AT_ONCE: usize = 64;
/// Datagrams sent in one round by which it counts as a busy one.
const BUSY_ROUND: usize = 16;
const SOCKET_BUFFER: usize = 8 << 20;
/// Ticks between two updates of what is measured: about a second.
const SHOW_EVERY: u32 = 128;

/// A running server.
pub struct SipServer {
    pub address: SocketAddr,
    pub tls_address: Option<SocketAddr>,
    post: Post,
    stopped: oneshot::Receiver<()>,
}

impl Drop for SipServer {
    fn drop(&mut self) {
        self.post.answer(Item::Stop);
    }
}

impl SipServer {
    /// Takes nothing more. Running calls stay open: the next start takes them up again.
    pub async fn stop(mut self) {
        self.post.answer(Item::Stop);
        let _ = (&mut self.stopped).await;
    }
}

/// UDP and TCP on one port. A port that the system chose for datagrams may be taken for connections: then another.
async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries_left = if listen.port() == 0 { 16 } else { 1 };
    loop {
        tries_left -= 1;
        let udp = UdpSocket::bind(listen)?;
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
    let _ = socket2::SockRef::from(&udp).set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket2::SockRef::from(&udp).set_send_buffer_size(SOCKET_BUFFER);
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
    let (post, inbox) = Inbox::new()?;
    let streams = Streams::new(post.clone(), options.tls_client.clone());
    // They end when the set of them is dropped.
    let mut listeners = JoinSet::new();
    listeners.spawn(streams.clone().accept(tcp, None));
    if let Some((listener, config)) = tls {
        listeners.spawn(streams.clone().accept(listener, Some(config)));
    }
    let answers = Arc::new(post.clone());
    platform.on_directive(answers.clone());
    platform.on_calls(answers.clone());
    let client = HttpClient::new(&[], false).map_err(io::Error::other)?;
    let client = Arc::new(client);
    let mut serving = Serving {
        engine: Engine::new(local, secret()),
        platform,
        datagrams: Datagrams::new(udp)?,
        streams,
        webhooks: Webhooks::new(client.clone()),
        certificates: Arc::new(Certificates { client, proxy: options.certificate_proxy }),
        post: answers,
        pending: Slab::default(),
        commands: Vec::new(),
        started: (Instant::now(), unix_millis()),
        runtime: Handle::current(),
    };
    serving.engine.stir.vouchers = options.vouchers;
    serving.take_up().await;
    let (done, stopped) = oneshot::channel();
    // Calls have a thread of their own: no other task delays them, and none is woken by them.
    std::thread::Builder::new().name("sip".into()).spawn(move || {
        serving.run(inbox);
        drop(listeners);
        // Nobody may wait for it.
        let _ = done.send(());
    })?;
    Ok(SipServer { address, tls_address, post, stopped })
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

struct Serving {
    engine: Engine,
    platform: Platform,
    datagrams: Datagrams,
    streams: Arc<Streams>,
    webhooks: Arc<Webhooks>,
    certificates: Arc<Certificates>,
    post: Arc<Post>,
    /// Questions under way: whose they are.
    pending: Slab<(u64, usize, Asked)>,
    commands: Vec<(u64, Command)>,
    started: (Instant, u64),
    /// Where everything runs that is not a call.
    runtime: Handle,
}

impl Serving {
    /// Wall clock at the start, monotonic from there.
    fn now(&self) -> Millis {
        let elapsed = u64::try_from(self.started.0.elapsed().as_millis()).unwrap_or(0);
        Millis(self.started.1 + elapsed)
    }

    fn run(mut self, mut inbox: Inbox) {
        let mut next_tick = Instant::now();
        let mut rounds = 0u32;
        let mut has_more = true;
        loop {
            if !has_more {
                let longest = next_tick.saturating_duration_since(Instant::now());
                inbox.wait(self.datagrams.socket(), longest);
            }
            // Whatever woke us, all that waits is taken: one submission and one burst for all of it.
            while let Some(item) = inbox.answer() {
                if self.take(item) {
                    self.flush();
                    return;
                }
            }
            for item in std::iter::from_fn(|| inbox.frame()).take(FRAMES_AT_ONCE) {
                self.take(item);
            }
            let now = self.now();
            has_more = self.datagrams.take(|flow, bytes| self.engine.message(now, flow, bytes));
            if next_tick <= Instant::now() {
                next_tick = Instant::now() + TICK;
                rounds += 1;
                self.on_tick(rounds);
            }
            let sent = self.flush();
            if sent < BUSY_ROUND {
                // Whoever was handed something may go first: that costs least while there is little to do.
                std::thread::yield_now();
            }
        }
    }

    fn on_tick(&mut self, rounds: u32) {
        self.use_registry();
        let now = self.now();
        self.engine.on_time(now);
        if rounds.is_multiple_of(SHOW_EVERY) {
            self.platform.show_metrics("sip", self.engine.metrics(now));
        }
    }

    fn use_registry(&mut self) {
        let registry = self.platform.registry();
        if self.engine.use_registry(&registry) {
            let trunks = &self.engine.trunks;
            self.streams.know(trunks.hosts(), trunks.tls_names());
        }
    }

    /// True when it is time to stop.
    fn take(&mut self, item: Item) -> bool {
        let now = self.now();
        match item {
            Item::Frame(flow, bytes) => self.engine.message(now, flow, &bytes),
            Item::Broken(flow) => self.engine.broken(now, flow),
            Item::Replies(replies) => {
                for (number, reply) in replies {
                    if let Some(question) = self.pending.remove(number) {
                        self.engine.replied(now, question, reply);
                    }
                }
            }
            Item::Directive(directive) => {
                let known = self.engine.ordered(now, &directive.key, &directive.order);
                let outcome = if known {
                    DirectiveOutcome::Accepted
                } else {
                    DirectiveOutcome::UnknownSession
                };
                self.commands.push((0, Command::DirectiveDone(directive.id, outcome)));
            }
            Item::Secrets(lookup, secrets) => self.engine.looked_up(now, lookup, secrets),
            Item::Consent(call, consent) => self.engine.consented(now, call, consent),
            Item::Certificate(url, fetched) => self.engine.fetched(now, &url, fetched),
            Item::Originate(order) => {
                let taken = self.engine.originate(now, &order);
                // Whoever asked may have gone; the phone rings all the same.
                let _ = order.taken.send(taken);
            }
            Item::Stop => {
                self.engine.leave(now);
                return true;
            }
        }
        false
    }

    /// Questions to the platform, messages to the network. How many of those were datagrams.
    fn flush(&mut self) -> usize {
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
            let Err(unavailable) = self.platform.submit_many(commands, self.post.clone()) else {
                break;
            };
            let now = self.now();
            for question in numbers.into_iter().filter_map(|number| self.pending.remove(number)) {
                self.engine.replied(now, question, Err(unavailable));
            }
        }
        self.engine.welcomed.drain(..).for_each(|channel| self.streams.welcome(channel));
        for lookup in self.engine.lookups.drain(..) {
            self.runtime.spawn(look_up(self.platform.clone(), self.post.clone(), lookup));
        }
        for url in self.engine.fetches.drain(..) {
            let (certificates, post) = (self.certificates.clone(), self.post.clone());
            self.runtime.spawn(async move {
                let fetched = certificates.fetch(&url).await;
                post.answer(Item::Certificate(url, fetched));
            });
        }
        for (call, webhook, body) in self.engine.consents.drain(..) {
            let (webhooks, post) = (self.webhooks.clone(), self.post.clone());
            let platform = self.platform.clone();
            self.runtime.spawn(async move {
                let mut consent = webhooks.ask(&webhook, call, body).await;
                if let Consent::Allow { caller: Some(number), .. } = consent
                    && !is_its(&platform, &webhook, number).await
                {
                    consent = webhooks.default(&webhook);
                }
                post.answer(Item::Consent(call, consent));
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
        self.datagrams.send(&datagrams);
        let sent = datagrams.len();
        self.engine.transactions.sent();
        sent
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
            self.take(Item::Directive(Box::new(directive)));
        }
        self.flush();
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

async fn look_up(platform: Platform, post: Arc<Post>, lookup: Lookup) {
    let address = lookup.address.clone();
    let secrets = platform.read(move |state: &State, _| {
        let line = state.identities.line(&address)?;
        let calls = state.subscriber(line.subscriber())?.line(line)?.calls.as_deref()?;
        Some(calls.secrets.clone())
    });
    let secrets = secrets.await.map(Option::unwrap_or_default);
    post.answer(Item::Secrets(lookup, secrets));
}
