//! A content provider's shop: a client that signs with its own key, buys through the payment API and hears back at
//! its sink. And the sink itself, over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What the broker answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `code` of a CAMARA error.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// One client of a provider.
pub struct Shop {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Where the broker is reached.
    base: String,
    /// What it calls itself.
    issuer: String,
    client: String,
    key: Ed25519KeyPair,
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Shop {
    /// `base` such as `https://127.0.0.1:8443`; `authority` is who the broker's certificate is by.
    pub fn new(
        base: &str,
        issuer: &str,
        client: &str,
        authority: Option<CertificateDer<'static>>,
    ) -> io::Result<Shop> {
        let mut roots = RootCertStore::empty();
        if let Some(authority) = authority {
            roots.add(authority).map_err(failed)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        Ok(Shop {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base: base.to_owned(),
            issuer: issuer.to_owned(),
            client: client.to_owned(),
            key: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(failed)?,
        })
    }

    /// The same shop, after the broker moved to another address.
    pub fn moved(mut self, base: &str) -> Shop {
        base.clone_into(&mut self.base);
        self
    }

    /// The public key as a JWK set, to be registered.
    pub fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] })
    }

    /// A signed assertion with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"1","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The claims of an assertion by this client about `subject`, used once.
    pub fn claims(&self, subject: &str) -> Value {
        let mut random = [0u8; 16];
        let filled = ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut random);
        filled.expect("the operating system gives random octets");
        let now = seconds();
        json!({
            "iss": self.client, "sub": subject, "aud": self.issuer,
            "iat": now, "exp": now + 60, "jti": URL_SAFE_NO_PAD.encode(random),
        })
    }

    /// The form fields by which this client authenticates.
    pub fn authentication(&self) -> String {
        let assertion = self.sign(&self.claims(&self.client));
        format!(
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
        )
    }

    /// A form to an OAuth endpoint.
    pub async fn form(&self, path: &str, fields: &str) -> io::Result<Answer> {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        self.send(Method::POST, path, &[kind], fields.to_owned()).await
    }

    /// An access token of the client alone, for these scopes (all of its own when empty).
    pub async fn token(&self, scope: &str) -> io::Result<String> {
        let fields = format!(
            "grant_type=client_credentials&scope={}&{}",
            scope.replace(' ', "+"),
            self.authentication()
        );
        let answer = self.form("/oauth2/token", &fields).await?;
        let token = answer.body["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| failed(format!("no token: {} {}", answer.status, answer.body)))
    }

    /// A JSON request with an access token.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        let authorization = format!("Bearer {token}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body.map_or_else(String::new, Value::to_string)).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(failed)?;
        let response = self.http.request(request).await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.map_err(failed)?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body })
    }
}

/// A payment's body: what the user of `phone` is to pay, tax included.
pub fn payment(phone: Option<&str>, amount: &str, name: &str) -> Value {
    let number: serde_json::Number = amount.parse().unwrap_or_else(|_| 0.into());
    let mut transaction = json!({
        "clientCorrelator": name,
        "referenceCode": name,
        "paymentAmount": { "chargingInformation": {
            "amount": number, "currency": "EUR", "description": name, "isTaxIncluded": true,
        }},
    });
    if let Some(phone) = phone {
        transaction["phoneNumber"] = json!(phone);
    }
    json!({ "amountTransaction": transaction })
}

/// What came to a sink.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    /// The head as it came.
    pub head: String,
    pub body: Value,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Listens for notifications, in clear or over TLS, and answers 204.
pub struct Sink {
    pub address: SocketAddr,
    pub heard: mpsc::UnboundedReceiver<Heard>,
    /// What it answers with.
    pub status: Arc<AtomicU16>,
}

impl Sink {
    pub async fn listen(tls: Option<Arc<ServerConfig>>) -> io::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (tell, heard) = mpsc::unbounded_channel();
        let status = Arc::new(AtomicU16::new(204));
        let answer = status.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, tls, answer) = (tell.clone(), tls.clone(), answer.clone());
                tokio::spawn(async move {
                    // A connection that breaks off is the other side's business.
                    let _ = match tls {
                        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                            Ok(stream) => hear(stream, &tell, &answer).await,
                            Err(error) => Err(error),
                        },
                        None => hear(stream, &tell, &answer).await,
                    };
                });
            }
        });
        Ok(Sink { address, heard, status })
    }
}

async fn hear(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    tell: &mpsc::UnboundedSender<Heard>,
    status: &AtomicU16,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let whole = end + 4 + length.unwrap_or(0);
        while bytes.len() < whole {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let body = serde_json::from_slice(&bytes[end + 4..whole]).unwrap_or(Value::Null);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        bytes.drain(..whole);
        let status = status.load(Ordering::Relaxed);
        let answer = format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        // Whoever listened may have gone.
        let _ = tell.send(Heard { path, head, body });
    }
}
