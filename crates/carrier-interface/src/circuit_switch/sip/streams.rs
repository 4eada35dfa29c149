//! Connections: TCP and TLS, accepted and opened, each with a bounded queue.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sip_protocol::framer::{Front, front};
use sip_protocol::{Flow, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::inbox::{Item, Post};

/// Messages that wait for one connection.
const QUEUE: usize = 1024;
const CONNECTIONS_MAX: usize = 10_000;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Of hosts that are no switch's, and of which no phone has registered yet.
const STRANGERS_MAX: usize = 2_000;
/// Of those, from one address; of an IPv6 network, from its /64.
const STRANGERS_PER_HOST_MAX: usize = 64;
/// A connection without a sign of life is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// So long a phone has to say who it is.
const STRANGE: Duration = Duration::from_secs(30);

type Queue = mpsc::Sender<Vec<u8>>;

#[derive(Default)]
struct Open {
    queues: HashMap<u64, (Transport, SocketAddr, Queue)>,
    /// Connections of which nobody is known.
    strangers: HashMap<u64, IpAddr>,
    by_remote: HashMap<(Transport, SocketAddr), u64>,
}

/// All connections of one server.
pub(super) struct Streams {
    open: Mutex<Open>,
    next: AtomicU64,
    post: Post,
    /// Where connections run.
    runtime: Handle,
    client: Option<Arc<ClientConfig>>,
    /// Whom the other side's certificate has to name, where that is not its address.
    names: Mutex<HashMap<SocketAddr, ServerName<'static>>>,
    /// Hosts of switches.
    hosts: Mutex<HashSet<IpAddr>>,
}

impl Streams {
    /// To be called on the runtime where connections are to run.
    pub fn new(post: Post, client: Option<Arc<ClientConfig>>) -> Arc<Streams> {
        let open = Mutex::new(Open::default());
        let names = Mutex::default();
        let hosts = Mutex::default();
        let runtime = Handle::current();
        Arc::new(Streams { open, next: AtomicU64::new(1), post, runtime, client, names, hosts })
    }

    /// Takes over where switches are, and what their certificates have to say.
    pub fn know<'a>(
        &self,
        hosts: impl Iterator<Item = IpAddr>,
        names: impl Iterator<Item = (SocketAddr, &'a str)>,
    ) {
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = hosts.collect();
        let readable = |name: &str| ServerName::try_from(name.to_owned()).ok();
        let names = names.filter_map(|(remote, name)| Some((remote, readable(name)?))).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn name(&self, remote: SocketAddr) -> ServerName<'static> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&remote).cloned().unwrap_or_else(|| ServerName::from(remote.ip()))
    }

    /// A phone has registered over the connection: it may stay.
    pub fn welcome(&self, channel: u64) {
        self.lock().strangers.remove(&channel);
    }

    fn is_host(&self, remote: SocketAddr) -> bool {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).contains(&remote.ip())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message on its way. What finds its queue full is dropped: the transaction will try again or fail.
    pub fn send(self: &Arc<Streams>, flow: &Flow, bytes: &[u8]) {
        let mut open = self.lock();
        let by_remote = open.by_remote.get(&(flow.transport, flow.remote)).copied();
        let channel = open.queues.contains_key(&flow.channel).then_some(flow.channel).or(by_remote);
        if let Some((_, _, queue)) = channel.and_then(|id| open.queues.get(&id)) {
            let _ = queue.try_send(bytes.to_vec());
            return;
        }
        if open.queues.len() >= CONNECTIONS_MAX {
            return;
        }
        let (id, waiting) = self.register(&mut open, flow.transport, flow.remote);
        if let Some((_, _, queue)) = open.queues.get(&id) {
            let _ = queue.try_send(bytes.to_vec());
        }
        drop(open);
        let (streams, flow) = (self.clone(), *flow);
        self.runtime.spawn(async move {
            if let Err(error) = streams.connect(id, flow, waiting).await {
                tracing::info!(%error, remote = %flow.remote, "a SIP connection could not be opened or broke");
            }
            streams.forget(id);
            // A server that has stopped needs no word of it.
            let _ = streams.post.frame(Item::Broken(flow)).await;
        });
    }

    fn register(
        &self,
        open: &mut Open,
        transport: Transport,
        remote: SocketAddr,
    ) -> (u64, mpsc::Receiver<Vec<u8>>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (queue, waiting) = mpsc::channel(QUEUE);
        open.queues.insert(id, (transport, remote, queue));
        open.by_remote.insert((transport, remote), id);
        (id, waiting)
    }

    fn forget(&self, id: u64) {
        let mut open = self.lock();
        open.strangers.remove(&id);
        if let Some((transport, remote, _)) = open.queues.remove(&id)
            && open.by_remote.get(&(transport, remote)) == Some(&id)
        {
            open.by_remote.remove(&(transport, remote));
        }
    }

    async fn connect(
        self: &Arc<Streams>,
        id: u64,
        flow: Flow,
        waiting: mpsc::Receiver<Vec<u8>>,
    ) -> std::io::Result<()> {
        let stream = tokio::time::timeout(HANDSHAKE, TcpStream::connect(flow.remote)).await??;
        stream.set_nodelay(true)?;
        let flow = Flow { channel: id, ..flow };
        if flow.transport == Transport::Tcp {
            return self.exchange(stream, flow, waiting).await;
        }
        let client = self.client.clone().ok_or(std::io::ErrorKind::Unsupported)?;
        let name = self.name(flow.remote);
        let connecting = TlsConnector::from(client).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE, connecting).await??;
        self.exchange(stream, flow, waiting).await
    }

    /// Serves a listening socket until the task is dropped.
    pub async fn accept(self: Arc<Streams>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let acceptor = tls.map(TlsAcceptor::from);
        loop {
            let Ok((stream, remote)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let is_strange = !self.is_host(remote);
            let mut open = self.lock();
            let host = host_of(remote);
            let same = || open.strangers.values().filter(|known| **known == host).count();
            if open.queues.len() >= CONNECTIONS_MAX
                || (is_strange
                    && (open.strangers.len() >= STRANGERS_MAX || same() >= STRANGERS_PER_HOST_MAX))
            {
                continue;
            }
            let (id, waiting) = self.register(&mut open, transport, remote);
            if is_strange {
                open.strangers.insert(id, host);
            }
            drop(open);
            let (streams, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let flow = Flow { transport, remote, channel: id };
                let result = match acceptor {
                    None => streams.exchange(stream, flow, waiting).await,
                    Some(acceptor) => {
                        match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => streams.exchange(stream, flow, waiting).await,
                            _ => Ok(()),
                        }
                    }
                };
                if let Err(error) = result {
                    tracing::debug!(%error, %remote, "a SIP connection ended");
                }
                streams.forget(id);
            });
        }
    }

    /// Both directions, until either side closes or the stream is out of step.
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        flow: Flow,
        mut waiting: mpsc::Receiver<Vec<u8>>,
    ) -> std::io::Result<()> {
        let mut received = Vec::with_capacity(8192);
        let introduction = tokio::time::sleep(STRANGE);
        tokio::pin!(introduction);
        let mut is_new = true;
        loop {
            tokio::select! {
                () = &mut introduction, if is_new => {
                    is_new = false;
                    if self.lock().strangers.contains_key(&flow.channel) {
                        return Ok(());
                    }
                }
                read = tokio::time::timeout(IDLE, stream.read_buf(&mut received)) => {
                    if read?? == 0 {
                        return Ok(());
                    }
                    loop {
                        let length = match front(&received) {
                            Ok(Front::Message(length)) => {
                                let message = Item::Frame(flow, received[..length].to_vec());
                                if !self.post.frame(message).await {
                                    return Ok(());
                                }
                                length
                            }
                            Ok(Front::Skip(length)) => length,
                            Ok(Front::Ping(length)) => {
                                stream.write_all(b"\r\n").await?;
                                length
                            }
                            Ok(Front::Incomplete) => break,
                            // Where the next message begins cannot be known any more.
                            Err(_) => return Ok(()),
                        };
                        received.drain(..length);
                    }
                }
                bytes = waiting.recv() => match bytes {
                    Some(bytes) => stream.write_all(&bytes).await?,
                    None => return Ok(()),
                },
            }
        }
    }
}

fn host_of(remote: SocketAddr) -> IpAddr {
    match remote.ip() {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into())
        }
        other => other,
    }
}
