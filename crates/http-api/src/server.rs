//! The accept loop, in clear and over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::serve::{Listener, ListenerExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::{BODY_BYTES_MAX, Problem};

/// A running server.
pub struct HttpServer {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl HttpServer {
    /// Takes no more requests. What was submitted is finished by the platform.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // Idle keep-alive connections are not waited for.
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

/// A listening address, not answered yet: for routers that must know it.
pub struct Bound {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Bound {
    pub async fn to(listen: SocketAddr) -> io::Result<Bound> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Bound { address: listener.local_addr()?, listener })
    }

    pub fn serve(self, router: Router) -> HttpServer {
        let listener = self.listener.tap_io(|stream| {
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
        });
        let (stop, task) = run(listener, router);
        HttpServer { address: self.address, stop, tasks: vec![task] }
    }
}

/// Serves a router; what it does not know is answered with a problem.
pub async fn serve(listen: SocketAddr, router: Router) -> io::Result<HttpServer> {
    Ok(Bound::to(listen).await?.serve(router))
}

/// As [`serve`], over TLS.
pub async fn serve_tls(
    listen: SocketAddr,
    router: Router,
    config: Arc<ServerConfig>,
) -> io::Result<HttpServer> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let (ready, accepted) = mpsc::channel(64);
    let greeting = tokio::spawn(greet(listener, TlsAcceptor::from(config), ready));
    let (stop, task) = run(TlsListener { address, accepted }, router);
    Ok(HttpServer { address, stop, tasks: vec![greeting, task] })
}

fn run<L>(listener: L, router: Router) -> (watch::Sender<bool>, JoinHandle<()>)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let router = router
        .fallback(|| async { Problem::not_found("resource") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let (stop, mut stopping) = watch::channel(false);
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopping.changed().await;
        };
        let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
    });
    (stop, task)
}

/// Handshakes under way at once; more wait to be accepted.
const HANDSHAKES_MAX: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

type Greeted = (TlsStream<TcpStream>, SocketAddr);

/// Shakes hands beside each other, so that a slow client delays nobody.
async fn greet(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Greeted>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, from)) = listener.accept().await else {
            // Too many open files, mostly: a moment may help.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            drop(place);
            if let Ok(Ok(stream)) = shaken {
                let _ = ready.send((stream, from)).await;
            }
        });
    }
}

struct TlsListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<Greeted>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Greeted {
        match self.accepted.recv().await {
            Some(greeted) => greeted,
            // The other side of the channel ends with the server.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
