//! Brings a decision into the state. The same code runs live, at replay and in the books' projection,
//! so what was decided and what is remembered cannot differ.
//!
//! Nothing is decided here: an event that does not fit the state is a damaged journal, never a case to handle.

pub(crate) mod charging;
mod registry;
mod subscribers;

use std::fmt;

use crate::content;
use crate::event::{Event, Record, Remembered};
use crate::ledger::{Entry, Posting};
use crate::state::State;
use crate::time::Timestamp;

pub use registry::compile_staged;

/// The record does not follow from the state: the journal or the books are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent {
    pub sequence: u64,
    pub what: &'static str,
}

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} does not fit the state: {}", self.sequence, self.what)
    }
}

impl std::error::Error for Inconsistent {}

/// Applies one record. Records at or before the state's sequence are skipped: they are in it already.
pub fn apply(state: &mut State, record: Record) -> Result<(), Inconsistent> {
    let Record { sequence, at, events, remember } = record;
    if sequence <= state.sequence {
        return Ok(());
    }
    let fail = |what| Inconsistent { sequence, what };
    if sequence != state.sequence + 1 {
        return Err(fail("a record is missing before it"));
    }
    for event in events {
        apply_event(state, event, at).map_err(fail)?;
    }
    if let Some(Remembered { key, reply }) = remember {
        state.answered.keep(at, key, reply);
    }
    state.sequence = sequence;
    Ok(())
}

fn apply_event(state: &mut State, event: Event, at: Timestamp) -> Result<(), &'static str> {
    match event {
        Event::SessionOpened(session, movements) => charging::open(state, session, &movements, at),
        Event::SessionReported(mut report, movements) => {
            charging::report(state, &mut report, &movements, at)
        }
        Event::SessionClosed(mut closing, movements) => {
            charging::close(state, &mut closing, &movements, at)
        }
        Event::OneTimeCharged(session, movements) => {
            charging::one_time(state, &session, &movements, at)
        }
        Event::SessionRerouted(moved, movements) => charging::reroute(state, *moved, &movements),
        Event::CallRefused(session, _) => charging::refused(state, &session),
        Event::SessionEnding(id) => charging::ending(state, id),
        Event::PeerRestarted(peer, host, origin_state) => {
            state.origin_states.insert((peer, host), origin_state);
            Ok(())
        }
        Event::VnoCreditGate(vno, exhausted) => {
            let tally = state.vnos.get_mut(vno.index()).ok_or("unknown VNO")?;
            tally.credit_exhausted = exhausted;
            Ok(())
        }
        Event::DirectiveIssued(directive) => {
            state.directives_issued = state.directives_issued.max(directive.id.0);
            state.outbox.insert(directive.id, *directive);
            Ok(())
        }
        Event::DirectiveDone(id) => {
            state.outbox.remove(&id);
            Ok(())
        }
        Event::SweepBegun(sweep) => {
            state.sweeps_begun = state.sweeps_begun.max(sweep.id);
            state.sweeps.push(sweep);
            Ok(())
        }
        Event::SweepAdvanced(sweep) => {
            let known = state.sweeps.iter_mut().find(|known| known.id == sweep.id);
            *known.ok_or("unknown sweep")? = sweep;
            Ok(())
        }
        Event::SweepEnded(id) => {
            state.sweeps.retain(|sweep| sweep.id != id);
            Ok(())
        }
        Event::PaymentSet(payment, movements) => {
            content::apply_payment(state, payment, &movements, at)
        }
        Event::NotificationIssued(notification) => {
            content::apply_notification(state, *notification);
            Ok(())
        }
        Event::NotificationDone(id) => {
            state.content.notifications.remove(&id);
            Ok(())
        }
        Event::TokenSecretSet(secret) => {
            content::apply_secret(state, secret);
            Ok(())
        }
        Event::NumbersPorted(numbers) => {
            for (key, network) in numbers {
                match network {
                    Some(network) => state.ported.insert(key, network),
                    None => state.ported.remove(&key),
                };
            }
            Ok(())
        }
        event @ (Event::AgreementSet(..)
        | Event::ContentItemSet(..)
        | Event::SponsorshipSet(..)
        | Event::ApiClientSet(..)
        | Event::VnoSet(..)
        | Event::CarrierSet(..)
        | Event::ContentProviderSet(..)
        | Event::PeerSet(..)
        | Event::OfferSet(..)
        | Event::ScopeDefined(..)
        | Event::ExchangeRateSet(..)
        | Event::ApiKeyIssued(..)
        | Event::ApiKeyRevoked(..)
        | Event::PriceRowsStaged(..)
        | Event::PriceListInstalled(..)
        | Event::PriceListVersionRetired(..)
        | Event::StagingDropped(..)) => registry::apply(state, &event, at),
        event @ (Event::SubscriberCreated(..)
        | Event::SubscriberStanding(..)
        | Event::ProfileChanged(..)
        | Event::LineAdded(..)
        | Event::LineStanding(..)
        | Event::LineBarring(..)
        | Event::PayerRulesSet(..)
        | Event::LineIdentities(..)
        | Event::LineCallsSet(..)
        | Event::LineContentSet(..)
        | Event::ContentSubscriptionSet(..)
        | Event::AccountOpened(..)
        | Event::CreditLimitSet(..)
        | Event::AccountShared(..)
        | Event::SubscriptionSet(..)
        | Event::BucketAdded(..)
        | Event::BucketRemoved(..)
        | Event::MainBalanceExpiry(..)
        | Event::Transferred(..)) => subscribers::apply(state, &event, at),
    }
}

/// Posts an entry to the ledger. Subscribers' parts are in their buckets already.
fn post(state: &mut State, postings: &[Posting]) -> Result<(), &'static str> {
    for posting in postings {
        state.ledger.post(posting).map_err(|_| "a ledger balance overflows")?;
    }
    Ok(())
}

fn post_entry(state: &mut State, entry: &Entry) -> Result<(), &'static str> {
    post(state, entry.postings())
}
