//! Listening for peers, in clear and with TLS (RFC 6733 section 2.1: 3868 and 5658).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use diameter_protocol::peer::{LocalNode, Timing};
use tandem_platform::Platform;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connection::{Connection, Transport};
use super::pushes::Pushes;

/// How the Diameter side is run.
#[derive(Clone)]
pub struct DiameterOptions {
    pub listen: SocketAddr,
    pub tls: Option<(SocketAddr, Arc<ServerConfig>)>,
    pub host: String,
    pub realm: String,
    /// Grows when session state was lost, which ours is not: a constant of the installation.
    pub origin_state_id: u32,
    pub connections_max: usize,
    /// Requests of one connection under way at once; more are answered 3004.
    pub requests_max: usize,
    pub timing: Timing,
    /// Octets of one message, at most.
    pub message_length_max: usize,
}

impl DiameterOptions {
    pub fn new(listen: SocketAddr) -> DiameterOptions {
        DiameterOptions {
            listen,
            tls: None,
            host: "ocs.tandem.example".into(),
            realm: "tandem.example".into(),
            origin_state_id: 1,
            connections_max: 1024,
            requests_max: 16_384,
            timing: Timing::default(),
            message_length_max: 64 << 10,
        }
    }
}

/// What the connections share.
pub(super) struct Common {
    pub platform: Platform,
    pub options: DiameterOptions,
    pub pushes: Arc<Pushes>,
    pub next_connection: AtomicU64,
    pub connections: AtomicUsize,
    pub stopping: watch::Receiver<bool>,
}

impl Common {
    pub fn local_node(&self, address: SocketAddr) -> LocalNode {
        LocalNode {
            host: self.options.host.clone(),
            realm: self.options.realm.clone(),
            addresses: vec![address.ip()],
            product: "Tandem".into(),
            origin_state_id: self.options.origin_state_id,
        }
    }
}

/// A running server. Dropping it stops nothing; [`DiameterServer::stop`] does.
pub struct DiameterServer {
    pub address: SocketAddr,
    pub tls_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    common: Arc<Common>,
}

impl DiameterServer {
    /// Takes no more connections and says good-bye on those that stand (DPR, REBOOTING).
    pub async fn stop(&self) {
        // Nobody listens any more when all connections are gone.
        let _ = self.stop.send(true);
        for _ in 0..100 {
            if self.common.connections.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Binds the sockets and serves them from tasks of the current runtime.
pub async fn serve(platform: Platform, options: DiameterOptions) -> io::Result<DiameterServer> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let tls = match &options.tls {
        Some((listen, config)) => {
            let listener = TcpListener::bind(listen).await?;
            Some((listener, TlsAcceptor::from(config.clone())))
        }
        None => None,
    };
    let tls_address = tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let pushes = Arc::new(Pushes::default());
    platform.on_directive(pushes.clone());
    let common = Arc::new(Common {
        platform,
        options,
        pushes,
        next_connection: AtomicU64::new(1),
        connections: AtomicUsize::new(0),
        stopping,
    });
    tokio::spawn(accept(listener, None, common.clone()));
    if let Some((listener, acceptor)) = tls {
        tokio::spawn(accept(listener, Some(acceptor), common.clone()));
    }
    Ok(DiameterServer { address, tls_address, stop, common })
}

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, common: Arc<Common>) {
    let mut stopping = common.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        match accepted {
            Ok((stream, _))
                if common.connections.load(Ordering::Relaxed) < common.options.connections_max =>
            {
                common.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(take(stream, tls.clone(), common.clone()));
            }
            Ok((_, from)) => tracing::warn!(%from, "too many connections: one is closed at once"),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn take(stream: TcpStream, tls: Option<TlsAcceptor>, common: Arc<Common>) {
    let result = greet(stream, tls, &common).await;
    common.connections.fetch_sub(1, Ordering::Relaxed);
    if let Err(error) = result {
        tracing::info!(%error, "a Diameter connection ended");
    }
}

async fn greet(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    common: &Arc<Common>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let address = stream.local_addr()?;
    match tls {
        None => Connection::new(common.clone(), address, Transport::Clear).run(stream).await,
        Some(acceptor) => {
            let limit = Duration::from_millis(common.options.timing.handshake);
            let stream = tokio::time::timeout(limit, acceptor.accept(stream)).await??;
            Connection::new(common.clone(), address, Transport::Tls).run(stream).await
        }
    }
}
