//! Fetches the certificates of those who vouch for callers (RFC 8226), over HTTPS and from public addresses only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST};
use stir_protocol::CertificateUrl;
use stir_protocol::certificate::PEM_LENGTH_MAX;
use tandem_http_client::{HttpClient, send_through};

/// The caller waits meanwhile.
const TIMEOUT: Duration = Duration::from_secs(2);
const AGE_SECONDS_DEFAULT: u64 = 3600;

pub(super) struct Certificates {
    pub client: Arc<HttpClient>,
    pub proxy: Option<SocketAddr>,
}

impl Certificates {
    /// The chain in PEM and how many seconds it may be kept.
    pub async fn fetch(&self, url: &CertificateUrl) -> Option<(Vec<u8>, u64)> {
        let fetched = tokio::time::timeout(TIMEOUT, self.exchange(url)).await.ok().flatten();
        if fetched.is_none() {
            tracing::info!(url = url.as_str(), "a caller's certificate could not be fetched");
        }
        fetched
    }

    async fn exchange(&self, url: &CertificateUrl) -> Option<(Vec<u8>, u64)> {
        let request = Request::get(url.as_str())
            .header(HOST, url.host())
            .header(ACCEPT, "application/pem-certificate-chain")
            .body(Full::new(Bytes::new()))
            .ok()?;
        let response = match self.proxy {
            Some(proxy) => send_through(proxy, request).await.ok()?,
            None => self.client.send(request).await.ok()?,
        };
        if !response.status().is_success() {
            return None;
        }
        let control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let age = control.map_or(AGE_SECONDS_DEFAULT, max_age);
        let body = Limited::new(response.into_body(), PEM_LENGTH_MAX).collect().await.ok()?;
        Some((body.to_bytes().to_vec(), age))
    }
}

/// RFC 9111 section 5.2.2: what a server says nothing of may be kept for an hour.
fn max_age(control: &str) -> u64 {
    let mut directives = control.split(',').map(str::trim);
    if directives.clone().any(|one| one.eq_ignore_ascii_case("no-store")) {
        return 0;
    }
    directives
        .find_map(|one| one.strip_prefix("max-age=")?.parse().ok())
        .unwrap_or(AGE_SECONDS_DEFAULT)
}
