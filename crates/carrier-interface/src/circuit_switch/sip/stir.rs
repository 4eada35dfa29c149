//! Who vouches for a caller's number (RFC 8224): calls of switches are judged before they are placed.

use std::collections::HashMap;
use std::sync::Arc;

use sip_protocol::slab::Slab;
use sip_protocol::{Flow, Message, Millis, Name, ServerId};
use smallvec::SmallVec;
use stir_protocol::{
    Cached, Call, CertificateCache, CertificateUrl, Claims, Extension, Party, Refusal, Signer,
    Statement, Verdict, Verifier,
};
use tandem_domain::calls::{Trunk, Verification};
use tandem_domain::digits::Digits;

use super::call::dialled;
use super::engine::{Engine, Incoming};
use super::trunks::Source;

/// Values of one call that are looked at.
const VALUES_MAX: usize = 8;
/// Calls that wait for certificates.
const WAITING_MAX: usize = 10_000;
/// A certificate that may not be kept is kept for the calls that wait for it.
const AGE_SECONDS_MIN: u64 = 5;

/// With what calls are signed and judged.
#[derive(Clone, Default)]
pub struct Vouchers {
    pub signer: Option<Arc<Signer>>,
    pub verifier: Option<Arc<Verifier>>,
}

/// A call whose certificate is being fetched.
pub(super) struct Waiting {
    pub server: ServerId,
    flow: Flow,
    source: Source,
    bytes: Box<[u8]>,
}

#[derive(Default)]
pub(super) struct Stir {
    pub vouchers: Vouchers,
    cache: CertificateCache,
    pub waiting: Slab<Waiting>,
    /// Who waits for which certificate.
    fetching: HashMap<CertificateUrl, Vec<u64>>,
}

/// A step of the judgement.
enum Step<T> {
    Done(T),
    Fetch(CertificateUrl),
}

impl Stir {
    fn judges(&self, trunk: &Trunk) -> Option<Arc<Verifier>> {
        let verifier = self.vouchers.verifier.clone();
        verifier.filter(|_| trunk.verification != Verification::Ignored && !trunk.is_access)
    }

    fn value(
        &self,
        verifier: &Verifier,
        value: &[u8],
        call: &Call,
        now_seconds: u64,
    ) -> Step<Result<Claims, Refusal>> {
        let unproven = match verifier.examine(value, call, now_seconds) {
            Ok(unproven) => unproven,
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        Step::Done(match self.cache.get(unproven.certificate_url(), now_seconds) {
            Cached::Pem(pem) => unproven.prove(&verifier.anchors, now_seconds, &pem),
            Cached::Failed => Err(Refusal::CertificateUnavailable),
            Cached::Unknown => return Step::Fetch(unproven.certificate_url().clone()),
        })
    }

    /// Whom the call was for before it was sent on to this party, if somebody vouches for that.
    fn diverted_from(
        &self,
        verifier: &Verifier,
        values: &[&[u8]],
        call: &Call,
        now_seconds: u64,
    ) -> Step<Option<Party>> {
        for value in values.iter().filter(|value| Extension::of(value) == Some(Extension::Div)) {
            match self.value(verifier, value, call, now_seconds) {
                Step::Fetch(url) => return Step::Fetch(url),
                Step::Done(Ok(Claims { statement: Statement::Diverted { from }, .. })) => {
                    return Step::Done(Some(from));
                }
                Step::Done(_) => {}
            }
        }
        Step::Done(None)
    }

    /// Is one of the values good? From the present destination back along those that divert (RFC 8946 section 4.2).
    fn judge(
        &self,
        verifier: &Verifier,
        message: &Message<'_>,
        trunk: &Trunk,
        now_seconds: u64,
    ) -> Step<Result<(), Option<Refusal>>> {
        let party = |digits: Option<Digits>| Party::number(&digits?.to_string());
        let to = message.to().and_then(|to| dialled(to.uri, trunk)).map(|to| to.number);
        let called = dialled(message.uri(), trunk).map(|called| called.number);
        let said = said_caller(message, trunk).map(|said| said.number);
        let (Some(orig), Some(dest)) = (party(said), party(called)) else {
            return Step::Done(Err(None));
        };
        let values: SmallVec<[&[u8]; VALUES_MAX]> =
            message.all(Name::Identity).take(VALUES_MAX).collect();
        let mut call = Call { orig, dest };
        for _ in 0..VALUES_MAX {
            match self.diverted_from(verifier, &values, &call, now_seconds) {
                Step::Fetch(url) => return Step::Fetch(url),
                Step::Done(Some(from)) => call.dest = from,
                Step::Done(None) => break,
            }
        }
        let was_sent_on = to != called;
        let mut refusal = None;
        for value in values.iter().filter(|value| Extension::of(value) != Some(Extension::Div)) {
            match self.value(verifier, value, &call, now_seconds) {
                Step::Fetch(url) => return Step::Fetch(url),
                Step::Done(Ok(_)) => return Step::Done(Ok(())),
                // Sent on by somebody who does not say so: it says nothing of a call to here.
                Step::Done(Err(Refusal::OtherDestination)) if was_sent_on => {}
                Step::Done(Err(why)) => refusal = Some(why),
            }
        }
        Step::Done(Err(refusal))
    }
}

/// The number that a message says calls.
pub(super) struct Said {
    pub number: Digits,
    /// It stands in From.
    pub is_shown: bool,
}

/// Asserted by who is trusted, or else in From.
pub(super) fn said_caller(message: &Message<'_>, trunk: &Trunk) -> Option<Said> {
    let number = |value: &[u8]| {
        let uri = sip_protocol::NameAddr::parse(value)?.uri;
        Some(dialled(uri, trunk)?.number).filter(|number| number.is_number())
    };
    let shown = message.header(Name::From).and_then(number);
    let asserted = message.elements(Name::PAssertedIdentity).filter(|_| trunk.is_trusted);
    let asserted = asserted.filter_map(number).next();
    let number = asserted.or(shown)?;
    Some(Said { number, is_shown: shown == Some(number) })
}

impl Engine {
    /// A call of a switch: judged where that is wanted, and placed.
    pub(super) fn arrive(&mut self, now: Millis, incoming: Incoming<'_, '_>) {
        let Incoming { flow, server, message, bytes, ref source } = incoming;
        let called = dialled(message.uri(), &source.trunk).map(|called| called.number);
        let is_emergency = called.is_some_and(|number| self.trunks.is_emergency(number));
        let Some(verifier) = self.stir.judges(&source.trunk).filter(|_| !is_emergency) else {
            return self.place(now, incoming, None);
        };
        let judged = match self.stir.judge(&verifier, message, &source.trunk, now.0 / 1000) {
            Step::Done(judged) => judged,
            Step::Fetch(url) => {
                return self.wait_for(
                    now,
                    url,
                    Waiting { server, flow, source: source.clone(), bytes: bytes.into() },
                );
            }
        };
        if source.trunk.verification == Verification::Required
            && let Err(refusal) = judged
        {
            // Nobody vouches: Use Identity (RFC 8224 section 6.2.2).
            let status = refusal.map_or(428, |refusal| refusal.status().0);
            self.counts.unverified += 1;
            return self.transactions.respond_simply(now, server, message, status);
        }
        let verdict = match judged {
            Ok(()) => Verdict::Passed,
            Err(Some(refusal)) => Verdict::of(&Err(refusal)),
            Err(None) => Verdict::NotValidated,
        };
        self.place(now, incoming, Some(verdict));
    }

    fn wait_for(&mut self, now: Millis, url: CertificateUrl, waiting: Waiting) {
        let (server, bytes) = (waiting.server, waiting.bytes.clone());
        let Ok(message) = Message::decode(&bytes) else { return };
        if self.stir.waiting.len() >= WAITING_MAX {
            return self.transactions.respond_simply(now, server, &message, 503);
        }
        // Fetching may take longer than a caller waits.
        self.transactions.respond_simply(now, server, &message, 100);
        let number = self.stir.waiting.insert(waiting);
        let all = self.stir.fetching.entry(url.clone()).or_default();
        if all.is_empty() {
            self.fetches.push(url);
        }
        all.push(number);
    }

    /// The certificate, with how long it may be kept, or that there is none.
    pub fn fetched(&mut self, now: Millis, url: &CertificateUrl, fetched: Option<(Vec<u8>, u64)>) {
        let seconds = now.0 / 1000;
        match fetched {
            Some((pem, age)) => self.stir.cache.put(url, &pem, seconds, age.max(AGE_SECONDS_MIN)),
            None => self.stir.cache.put_failure(url, seconds),
        }
        for number in self.stir.fetching.remove(url).unwrap_or_default() {
            let Some(Waiting { server, flow, source, bytes }) = self.stir.waiting.remove(number)
            else {
                continue;
            };
            if let Ok(message) = Message::decode(&bytes) {
                let message = &message;
                self.arrive(now, Incoming { flow, server, message, bytes: &bytes, source });
            }
        }
    }

    /// An INVITE is taken back before anything came of it.
    pub(super) fn cancel_waiting(&mut self, now: Millis, invite: ServerId) {
        let judged = self.stir.waiting.iter().find(|(_, one)| one.server == invite);
        let judged = judged.map(|(number, _)| number);
        let proved = self.looked.iter().find(|(_, one)| one.server == invite);
        let proved = proved.map(|(number, _)| number);
        let bytes = judged
            .and_then(|number| self.stir.waiting.remove(number).map(|one| one.bytes))
            .or_else(|| proved.and_then(|number| self.looked.remove(number).map(|one| one.bytes)));
        if let Some(bytes) = bytes
            && let Ok(message) = Message::decode(&bytes)
        {
            self.transactions.respond_simply(now, invite, &message, 487);
        }
    }
}
