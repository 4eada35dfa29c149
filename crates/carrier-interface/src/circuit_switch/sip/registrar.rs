//! Subscribers' phones: where they are (RFC 3261 section 10), and that they are who they say (RFC 7616).

use std::collections::HashMap;
use std::net::SocketAddr;

use sip_protocol::digest::{Algorithm, Credentials, Nonce, Nonces, challenge};
use sip_protocol::transaction::copy_essentials;
use sip_protocol::{Flow, Message, MessageWriter, Millis, Name, NameAddr, ServerId, Tokens};

use super::call::Io;
use super::headers;

const CONTACTS_MAX: usize = 8;
const EXPIRES_DEFAULT: u64 = 3600;
const EXPIRES_MIN: u64 = 30;
const NONCE_SECONDS: u64 = 300;
/// Nonces whose counts are remembered.
const NONCES_MAX: usize = 100_000;
const USERS_MAX: usize = 5_000_000;

struct Binding {
    uri: Box<[u8]>,
    flow: Flow,
    until: Millis,
    call_id: Box<[u8]>,
    cseq: u32,
}

/// What a request from a phone proves.
pub(super) enum Proof {
    /// Ask for (other) credentials.
    Challenge {
        is_stale: bool,
    },
    Proved,
    Wrong,
}

pub(super) struct Registrar {
    realm: String,
    nonces: Nonces,
    counts: HashMap<Box<[u8]>, u64>,
    bindings: HashMap<Box<str>, Vec<Binding>>,
    /// Where phones registered from, and until when that is so.
    addresses: HashMap<SocketAddr, Millis>,
}

impl Registrar {
    pub fn new(realm: &str, seal: Tokens) -> Registrar {
        Registrar {
            realm: realm.to_owned(),
            nonces: Nonces::new(seal, NONCE_SECONDS),
            counts: HashMap::new(),
            bindings: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Has a phone registered from there?
    pub fn knows(&self, flow: &Flow, now: Millis) -> bool {
        self.addresses.get(&flow.remote).is_some_and(|until| *until > now)
    }

    fn remember(&mut self, remote: SocketAddr, now: Millis, until: Millis) {
        if self.addresses.len() >= USERS_MAX {
            self.addresses.retain(|_, until| *until > now);
        }
        if self.addresses.len() < USERS_MAX {
            let known = self.addresses.entry(remote).or_insert(until);
            *known = (*known).max(until);
        }
    }

    /// Where the user's phones are, the newest first.
    pub fn contacts(&self, user: &str, now: Millis) -> Vec<(Box<[u8]>, Flow)> {
        let bindings = self.bindings.get(user).map_or(&[][..], Vec::as_slice);
        let live = bindings.iter().rev().filter(|binding| binding.until > now);
        live.map(|binding| (binding.uri.clone(), binding.flow)).collect()
    }

    /// Is the nonce worth looking up a password for?
    pub fn screen(&self, credentials: &Credentials<'_>, now: Millis) -> Result<(), Proof> {
        if credentials.realm != self.realm.as_bytes() {
            return Err(Proof::Challenge { is_stale: false });
        }
        match self.nonces.check(credentials.nonce, now.0 / 1000) {
            Nonce::Fresh => Ok(()),
            Nonce::Stale => Err(Proof::Challenge { is_stale: true }),
            Nonce::Foreign => Err(Proof::Challenge { is_stale: false }),
        }
    }

    /// Checks the response against the stored secrets; a nonce count may be used once.
    pub fn prove(
        &mut self,
        credentials: &Credentials<'_>,
        secrets: &[(Box<str>, Box<str>)],
        method: &[u8],
    ) -> Proof {
        let named = secrets.iter().find(|(name, _)| **name == *credentials.algorithm.name());
        let proved = named.is_some_and(|(_, ha1)| credentials.prove(ha1, method));
        if !proved {
            return Proof::Wrong;
        }
        let Some(count) = credentials.nonce_count() else { return Proof::Proved };
        if self.counts.len() >= NONCES_MAX {
            self.counts.clear();
        }
        let last = self.counts.entry(credentials.nonce.into()).or_insert(0);
        if count <= *last {
            return Proof::Challenge { is_stale: true };
        }
        *last = count;
        Proof::Proved
    }

    /// 401 or 407 with one challenge for each algorithm, the strongest first (RFC 8760).
    pub fn challenge(
        &self,
        io: &mut Io<'_>,
        server: ServerId,
        request: &Message<'_>,
        status: u16,
        is_stale: bool,
    ) {
        let algorithms =
            if io.trunks.access_is_old() { &[Algorithm::Md5][..] } else { &Algorithm::ALL[..] };
        let nonce = self.nonces.issue(io.now.0 / 1000, io.transactions.tokens.draw());
        let flow = io.transactions.flow_of(server);
        let tag = io.transactions.tokens.token();
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        io.transactions.respond(io.now, server, status, |out| {
            let mut response = MessageWriter::response(out, status);
            copy_essentials(&mut response, request, flow, &tag);
            for algorithm in algorithms {
                let value = challenge(&self.realm, &nonce, *algorithm, is_stale);
                response.header(name, value.as_bytes());
            }
            response.finish(&[]);
        });
    }

    /// A REGISTER of a user who proved to be it.
    pub fn register(
        &mut self,
        io: &mut Io<'_>,
        server: ServerId,
        request: &Message<'_>,
        user: &str,
        flow: Flow,
    ) {
        if let Err(status) = self.bind(io.now, request, user, flow) {
            let (back, tag) = (io.transactions.flow_of(server), io.transactions.tokens.token());
            return io.transactions.respond(io.now, server, status, |out| {
                let mut response = MessageWriter::response(out, status);
                copy_essentials(&mut response, request, back, &tag);
                if status == 423 {
                    response.number(Name::MinExpires, EXPIRES_MIN);
                }
                response.finish(&[]);
            });
        }
        let back = io.transactions.flow_of(server);
        let tag = io.transactions.tokens.token();
        let bindings = self.bindings.get(user).map_or(&[][..], Vec::as_slice);
        let now = io.now;
        io.transactions.respond(now, server, 200, |out| {
            let mut response = MessageWriter::response(out, 200);
            copy_essentials(&mut response, request, back, &tag);
            for binding in bindings {
                let left = (binding.until.since(now) / 1000).to_string();
                response.parts(b"Contact", &[b"<", &binding.uri, b">;expires=", left.as_bytes()]);
            }
            response.header(Name::Server, headers::SERVER);
            response.finish(&[]);
        });
    }

    fn bind(
        &mut self,
        now: Millis,
        request: &Message<'_>,
        user: &str,
        flow: Flow,
    ) -> Result<(), u16> {
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let expires = request.number(Name::Expires).unwrap_or(EXPIRES_DEFAULT);
        if self.bindings.len() >= USERS_MAX && !self.bindings.contains_key(user) {
            return Err(503);
        }
        let bindings = self.bindings.entry(user.into()).or_default();
        bindings.retain(|binding| binding.until > now);
        if request.header(Name::Contact).is_some_and(|contact| contact.trim_ascii() == b"*") {
            if expires != 0 {
                return Err(400);
            }
            self.bindings.remove(user);
            return Ok(());
        }
        for element in request.elements(Name::Contact) {
            let contact = NameAddr::parse(element).ok_or(400u16)?;
            let seconds = sip_protocol::fields::param(contact.params, "expires")
                .and_then(sip_protocol::fields::number)
                .unwrap_or(expires)
                .min(86_400);
            let known = bindings.iter().position(|binding| *binding.uri == *contact.uri);
            if let Some(index) = known {
                let binding = &bindings[index];
                // An older request of the same phone came late (section 10.3).
                if *binding.call_id == *request.call_id() && cseq <= binding.cseq {
                    return Err(500);
                }
                bindings.remove(index);
            }
            if seconds == 0 {
                continue;
            }
            if seconds < EXPIRES_MIN {
                return Err(423);
            }
            if bindings.len() >= CONTACTS_MAX {
                bindings.remove(0);
            }
            bindings.push(Binding {
                uri: contact.uri.into(),
                flow,
                until: now.plus(seconds * 1000),
                call_id: request.call_id().into(),
                cseq,
            });
        }
        match bindings.iter().map(|binding| binding.until).max() {
            Some(until) => self.remember(flow.remote, now, until),
            None => {
                self.bindings.remove(user);
            }
        }
        Ok(())
    }
}
