//! The accept loop.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{BODY_BYTES_MAX, Problem};

/// A running server.
pub struct HttpServer {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Takes no more requests. What was submitted is finished by the platform.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // Idle keep-alive connections are not waited for.
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Serves a router; what it does not know is answered with a problem.
pub async fn serve(listen: SocketAddr, router: Router) -> io::Result<HttpServer> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let (stop, mut stopping) = watch::channel(false);
    let router = router
        .fallback(|| async { Problem::not_found("resource") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
    });
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopping.changed().await;
        };
        let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
    });
    Ok(HttpServer { address, stop, task })
}
