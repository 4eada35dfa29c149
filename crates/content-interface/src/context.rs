//! What the handlers share, and a client's right to ask.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use rustls::pki_types::CertificateDer;
use tandem_domain::command::{Command, Response};
use tandem_domain::content::{ApiClient, ContentCommand, ContentRefusal, Payment, Subject};
use tandem_domain::identifier::{ApiClientId, Identity, IdentityKind, LineId};
use tandem_domain::party::Standing;
use tandem_platform::{Platform, Unavailable};

use crate::error::Error;
use crate::notifications::{self, Deliverer};
use crate::oauth::{Authority, Claims};

/// How the interface is run.
#[derive(Clone, Debug, Default)]
pub struct ContentOptions {
    /// Our name in tokens and assertions: the base URL that clients use.
    pub issuer: String,
    /// Sinks may be on private addresses: for tests, and for houses whose partners are inside.
    pub private_sinks: bool,
    /// Authorities of sinks and webhooks beside the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// The interface cannot begin.
#[derive(Debug)]
pub enum StartError {
    Unavailable(Unavailable),
    Certificate(rustls::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Unavailable(error) => error.fmt(f),
            StartError::Certificate(error) => write!(f, "an authority of sinks: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<Unavailable> for StartError {
    fn from(error: Unavailable) -> StartError {
        StartError::Unavailable(error)
    }
}

#[derive(Clone)]
pub(crate) struct Content(Arc<Inner>);

pub(crate) struct Inner {
    pub platform: Platform,
    pub options: ContentOptions,
    pub authority: Authority,
    pub deliverer: Arc<Deliverer>,
    limits: Mutex<HashMap<ApiClientId, Limit>>,
}

impl std::ops::Deref for Content {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Content {
    pub async fn start(platform: Platform, options: ContentOptions) -> Result<Content, StartError> {
        let mut fresh = [0u8; 32];
        let halves = [0; 4].map(|_: u8| tandem_http_api::random_u64().to_be_bytes());
        fresh.copy_from_slice(&halves.concat());
        // Kept if there was one: tokens outlive a restart.
        let offer = Command::Content(Box::new(ContentCommand::SetSecret(fresh)));
        platform.submit(offer).await?;
        let secret = platform.read(|state, _| state.content.secret).await?.unwrap_or(fresh);
        let authority = Authority::new(&secret, &options.issuer);
        let deliverer = Deliverer::new(&options).map_err(StartError::Certificate)?;
        notifications::start(platform.clone(), deliverer.clone());
        let limits = Mutex::default();
        Ok(Content(Arc::new(Inner { platform, options, authority, deliverer, limits })))
    }

    pub async fn ask(
        &self,
        command: ContentCommand,
    ) -> Result<Result<Box<Payment>, ContentRefusal>, Error> {
        match self.platform.submit(Command::Content(Box::new(command))).await? {
            Response::Content(result) => Ok(result),
            _ => Err(Error::unavailable("the platform answered another question")),
        }
    }

    /// A question to the books, beside the server's threads, once they hold all that was answered before it.
    pub async fn ask_books<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&tandem_books::BooksReader) -> Result<T, tandem_books::BooksError>
        + Send
        + 'static,
    ) -> Result<T, Error> {
        let books = self.platform.books_in_step().await;
        match tokio::task::spawn_blocking(move || ask(&books)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::unavailable("the question to the books was broken off")),
        }
    }

    /// Takes one request out of what the client may ask each second.
    fn admit(&self, client: &ApiClient) -> bool {
        if client.requests_per_second_max == 0 {
            return true;
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits.entry(client.id).or_insert_with(Limit::new);
        limit.take(client.requests_per_second_max, Instant::now())
    }
}

/// Requests in the running second.
struct Limit {
    since: Instant,
    taken: u32,
}

impl Limit {
    fn new() -> Limit {
        Limit { since: Instant::now(), taken: 0 }
    }

    fn take(&mut self, most: u32, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Limit { since: now, taken: 0 };
        }
        self.taken += 1;
        self.taken <= most
    }
}

/// A request whose token is good: on whose behalf it comes, and for which line.
pub(crate) struct Access {
    pub client: Arc<ApiClient>,
    /// Of a token that was issued for a line.
    pub line: Option<LineId>,
    scopes: Vec<String>,
}

impl FromRequestParts<Content> for Access {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, content: &Content) -> Result<Access, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(Error::unauthenticated)?;
        let now = content.platform.now();
        let claims =
            content.authority.open(token.trim(), now).ok_or_else(Error::unauthenticated)?;
        let Claims { client, line, scopes, .. } = claims;
        let registry = content.platform.registry();
        let client = registry.api_clients.get(ApiClientId::new(client).index()).cloned();
        let client = client.filter(|client| !client.withdrawn);
        let client = client.ok_or_else(Error::unauthenticated)?;
        let provider = registry.content_provider(client.provider);
        if provider.is_none_or(|provider| provider.standing != Standing::Active) {
            return Err(Error::permission_denied("the content provider is suspended"));
        }
        if !content.admit(&client) {
            return Err(Error::too_many_requests());
        }
        let line = line.map(crate::oauth::line_from_bits);
        if let Some(line) = line {
            let (id, asked) = (client.id, scopes.clone());
            let stands = content.platform.read(move |state, _| {
                let own = state.line(line).and_then(|line| line.content.as_deref());
                own.is_some_and(|own| asked.iter().all(|scope| own.consents_to(id, scope)))
            });
            if !stands.await? {
                return Err(Error::permission_denied("the line's owner took the consent back"));
            }
        }
        Ok(Access { client, line, scopes })
    }
}

impl Access {
    pub fn require(&self, scope: &str) -> Result<(), Error> {
        if self.scopes.iter().any(|own| own == scope) && self.client.may_ask_for(scope) {
            Ok(())
        } else {
            Err(Error::permission_denied("the token does not have the scope that this needs"))
        }
    }

    /// The line of the token, or the number of the body: exactly one of them.
    pub fn subject(&self, phone: Option<&str>) -> Result<Subject, Error> {
        let named = phone.map(number).transpose()?;
        match (self.line, named) {
            (Some(line), None) => Ok(Subject::Line(line)),
            (None, Some(number)) => Ok(Subject::Number(number)),
            (Some(_), Some(_)) => Err(Error::unnecessary_identifier()),
            (None, None) => Err(Error::missing_identifier()),
        }
    }

    /// The line that a fact is asked about: one that consented, or whose VNO deals with the provider. Others might as
    /// well not exist.
    pub async fn line(
        &self,
        content: &Content,
        phone: Option<&str>,
        scope: &'static str,
    ) -> Result<LineId, Error> {
        let number = match self.subject(phone)? {
            // Its consent was looked at with the token.
            Subject::Line(line) => return Ok(line),
            Subject::Number(number) => number,
        };
        let (client, provider) = (self.client.id, self.client.provider);
        let found = content.platform.read(move |state, _| {
            let id = state.identities.line(&number)?;
            let rules = state.registry.vno(id.vno())?.content.as_deref();
            let deals = rules
                .is_some_and(|rules| rules.providers.iter().any(|one| one.provider == provider));
            let own = state.line(id)?.content.as_deref();
            let consents = own.is_some_and(|own| own.consents_to(client, scope));
            (deals || consents).then_some(id)
        });
        found.await?.ok_or_else(Error::identifier_not_found)
    }
}

/// `^\+[1-9][0-9]{4,14}$`
fn number(phone: &str) -> Result<Identity, Error> {
    let invalid = || Error::invalid("phoneNumber: expected + and 5 to 15 digits");
    let digits = phone.strip_prefix('+').ok_or_else(invalid)?;
    let is_number = (5..=15).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    if !is_number {
        return Err(invalid());
    }
    Identity::parse(IdentityKind::Msisdn, phone).map_err(|_| invalid())
}
