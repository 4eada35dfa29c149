//! HTTP to others: over HTTPS to public addresses only, whatever a URL or the name service says.

mod addresses;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

pub use addresses::is_inside;

const CONNECT: Duration = Duration::from_secs(10);

/// Names lead to public addresses only.
#[derive(Clone)]
struct Resolver {
    inner: GaiResolver,
    allow_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let looking = self.inner.call(name);
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = looking.await?;
            let usable: Vec<SocketAddr> =
                found.filter(|found| allow_private || !addresses::is_private(found.ip())).collect();
            if usable.is_empty() {
                return Err(std::io::Error::other("the name leads to no public address"));
            }
            Ok(usable.into_iter())
        })
    }
}

type Connections = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// The request did not get through; why is the log's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Sends requests. Redirects are not followed.
pub struct HttpClient {
    outside: Connections,
    inside: Connections,
    allow_private: bool,
}

impl HttpClient {
    /// `authorities` are believed beside the public ones. With `allow_private` HTTPS leads inside the house too.
    pub fn new(
        authorities: &[CertificateDer<'static>],
        allow_private: bool,
    ) -> Result<HttpClient, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = |allow_private: bool, allow_http: bool| {
            let mut http = HttpConnector::new_with_resolver(Resolver {
                inner: GaiResolver::new(),
                allow_private,
            });
            http.enforce_http(false);
            http.set_connect_timeout(Some(CONNECT));
            let builder = HttpsConnectorBuilder::new().with_tls_config(config.clone());
            let builder = if allow_http { builder.https_or_http() } else { builder.https_only() };
            Client::builder(TokioExecutor::new()).build(builder.enable_http1().wrap_connector(http))
        };
        let (outside, inside) = (client(allow_private, false), client(true, true));
        Ok(HttpClient { outside, inside, allow_private })
    }

    /// To a URL that somebody outside named.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        // Addresses are no names: the resolver never sees them.
        let is_inside = request.uri().host().is_none_or(is_inside);
        if is_inside && !self.allow_private {
            return Err(Failed);
        }
        self.outside.request(request).await.map_err(|_| Failed)
    }

    /// To a URL that a VNO or the broker set. Plain HTTP, which only the broker can set, also leads inside the house.
    pub async fn send_to_party(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failed> {
        if request.uri().scheme_str() != Some("http") {
            return self.send(request).await;
        }
        self.inside.request(request).await.map_err(|_| Failed)
    }
}

/// By way of a proxy that fetches for us (RFC 9112 section 3.2.2, absolute-form).
pub async fn send_through(
    proxy: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failed> {
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(proxy));
    let stream = connecting.await.map_err(|_| Failed)?.map_err(|_| Failed)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failed)?;
    tokio::spawn(async move {
        // Its end is seen by who waits for the answer.
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(|_| Failed)
}
