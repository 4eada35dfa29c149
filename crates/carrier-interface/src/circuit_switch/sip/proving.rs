//! A phone proves who it is: what it sends waits until the platform has said what its password is checked by.

use sip_protocol::{Flow, Message, Method, Millis, ServerId, Tokens};
use smallvec::SmallVec;
use tandem_domain::identifier::{Identity, IdentityKind};
use tandem_platform::Unavailable;

use super::call::credentials;
use super::call::{Who, dialled};
use super::engine::{Engine, Incoming, io};
use super::registrar::{Proof, Registrar};
use super::trunks::Source;

/// A request of a phone whose password is being looked up.
pub(super) struct Looked {
    pub server: ServerId,
    flow: Flow,
    source: Source,
    pub bytes: Box<[u8]>,
    user: Box<str>,
}

/// A user whose secrets are wanted; the answer comes back under the number.
pub(super) struct Lookup {
    pub number: u64,
    pub address: Identity,
}

/// Stored secrets by algorithm.
pub(super) type Secrets = Vec<(Box<str>, Box<str>)>;

impl Engine {
    /// A phone has to prove who it is; its secrets are with the platform.
    pub(super) fn look_up(&mut self, now: Millis, incoming: Incoming<'_, '_>) {
        let Incoming { flow, server, message, bytes, source } = incoming;
        let status = if message.method() == Some(Method::Register) { 401 } else { 407 };
        let Some(given) = credentials(message) else {
            return self.registrar.challenge(io!(self, now), server, message, status, false);
        };
        if let Err(proof) = self.registrar.screen(&given, now) {
            let is_stale = matches!(proof, Proof::Challenge { is_stale: true });
            return self.registrar.challenge(io!(self, now), server, message, status, is_stale);
        }
        let user = String::from_utf8_lossy(given.user).into_owned();
        let address = format!("sip:{user}@{}", self.local.domain);
        let Ok(address) = Identity::parse(IdentityKind::SipAddress, &address) else {
            return self.transactions.respond_simply(now, server, message, 403);
        };
        let number = self.looked.insert(Looked {
            server,
            flow,
            source,
            bytes: bytes.into(),
            user: user.into(),
        });
        self.lookups.push(Lookup { number, address });
    }

    /// The secrets of a user, none for one that is not known, or that nobody could say.
    pub fn looked_up(
        &mut self,
        now: Millis,
        lookup: Lookup,
        secrets: Result<Secrets, Unavailable>,
    ) {
        let Some(looked) = self.looked.remove(lookup.number) else { return };
        let Ok(message) = Message::decode(&looked.bytes) else { return };
        let Some(given) = credentials(&message) else { return };
        let method = message.method().unwrap_or(Method::Register);
        let status = if method == Method::Register { 401 } else { 407 };
        let called = dialled(message.uri(), &looked.source.trunk).map(|dialled| dialled.number);
        let is_emergency = method == Method::Invite
            && called.is_some_and(|number| self.trunks.is_emergency(number));
        let proof = match secrets {
            Ok(secrets) => self.registrar.prove(&given, &secrets, method.as_bytes()),
            // Nobody can say who calls, and for this call nobody needs to.
            Err(_) if is_emergency => Proof::Proved,
            Err(_) => return self.transactions.respond_simply(now, looked.server, &message, 503),
        };
        match proof {
            Proof::Proved => {}
            Proof::Challenge { is_stale } => {
                let server = looked.server;
                return self.registrar.challenge(
                    io!(self, now),
                    server,
                    &message,
                    status,
                    is_stale,
                );
            }
            Proof::Wrong => {
                return self.transactions.respond_simply(now, looked.server, &message, 403);
            }
        }
        if method == Method::Register {
            let mut registrar =
                std::mem::replace(&mut self.registrar, Registrar::new("", Tokens::new([0, 0])));
            registrar.register(io!(self, now), looked.server, &message, &looked.user, looked.flow);
            self.registrar = registrar;
            if looked.flow.transport.is_reliable() {
                self.welcomed.push(looked.flow.channel);
            }
            return;
        }
        if looked.flow.transport.is_reliable() {
            self.welcomed.push(looked.flow.channel);
        }
        let who = Who { identities: SmallVec::from_iter([lookup.address]), ..Who::default() };
        let Looked { server, flow, source, ref bytes, .. } = looked;
        self.place_for(now, Incoming { flow, server, message: &message, bytes, source }, who);
    }
}
