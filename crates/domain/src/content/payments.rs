//! Payments in memory: open ones, and closed ones for as long as a repeat may still come.

use std::collections::{BTreeMap, VecDeque};

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use super::payment::{Notification, NotificationId, Payment, PaymentId, PaymentOrigin};
use crate::identifier::{ApiClientId, ContentProviderId, LineId, VnoId};
use crate::money::Amount;
use crate::parts::Parts;
use crate::time::Timestamp;

/// A client's own name for a payment.
type Name = Box<[u8]>;

/// The name comes last: that is where names differ.
fn name(client: ApiClientId, text: &str) -> Name {
    let mut bytes = Vec::with_capacity(4 + text.len());
    bytes.extend_from_slice(&client.number().to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.into_boxed_slice()
}

/// Closed payments leave memory [`Payments::KEPT_SECONDS`] after they began, earlier when more than
/// [`Payments::ENTRIES_MAX`] are kept; the books have them all.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    all: Parts<PaymentId, Box<Payment>>,
    /// What must not be used twice: correlators, and references of requests without one.
    correlators: Parts<Name, PaymentId>,
    references: Parts<Name, PaymentId>,
    order: VecDeque<(Timestamp, PaymentId)>,
    /// Those that hold money, by line.
    open: Parts<LineId, SmallVec<[PaymentId; 1]>>,
}

impl Payments {
    pub const KEPT_SECONDS: u64 = 48 * 3600;
    pub const ENTRIES_MAX: usize = 1_000_000;

    pub fn get(&self, id: PaymentId) -> Option<&Payment> {
        self.all.get(&id).map(Box::as_ref)
    }

    pub fn by_correlator(&self, client: ApiClientId, correlator: &str) -> Option<PaymentId> {
        self.correlators.get(&name(client, correlator)).copied()
    }

    pub fn by_reference(&self, client: ApiClientId, reference: &str) -> Option<PaymentId> {
        self.references.get(&name(client, reference)).copied()
    }

    /// Payments of this line that hold money.
    pub fn open_of(&self, line: LineId) -> impl Iterator<Item = &Payment> {
        self.open.get(&line).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub fn values(&self) -> impl Iterator<Item = &Payment> {
        self.all.values().map(Box::as_ref)
    }

    /// Puts a payment in its place; at most two old ones leave for each new one.
    pub(crate) fn put(&mut self, payment: Box<Payment>, now: Timestamp) {
        let id = payment.id;
        self.note_open(&payment);
        if let PaymentOrigin::Client(client) = payment.origin {
            match &payment.correlator {
                Some(correlator) => self.correlators.insert(name(client, correlator), id),
                None => self.references.insert(name(client, &payment.reference), id),
            };
        }
        if self.all.insert(id, payment).is_some() {
            return;
        }
        // One that was called back from the books is young again.
        self.order.push_back((now, id));
        for _ in 0..2 {
            let Some((began, oldest)) = self.order.front().copied() else { return };
            let too_old = began.plus_seconds(Self::KEPT_SECONDS) <= now;
            if !too_old && self.order.len() <= Self::ENTRIES_MAX {
                return;
            }
            self.order.pop_front();
            if self.get(oldest).is_some_and(|payment| payment.state.is_open()) {
                // Its timer will close it; it stands at the end of the queue until then.
                self.order.push_back((now, oldest));
            } else {
                self.forget(oldest);
            }
        }
    }

    fn note_open(&mut self, payment: &Payment) {
        if payment.state.is_open() {
            let open = self.open.get_or_insert_default(payment.line);
            if !open.contains(&payment.id) {
                open.push(payment.id);
            }
        } else if let Some(open) = self.open.get_mut(&payment.line) {
            open.retain(|known| *known != payment.id);
            if open.is_empty() {
                self.open.remove(&payment.line);
            }
        }
    }

    fn forget(&mut self, id: PaymentId) {
        let Some(payment) = self.all.remove(&id) else { return };
        if let PaymentOrigin::Client(client) = payment.origin {
            match payment.correlator {
                Some(correlator) => self.correlators.remove(&name(client, &correlator)),
                None => self.references.remove(&name(client, &payment.reference)),
            };
        }
    }

    pub fn clear(&mut self) {
        *self = Payments::default();
    }
}

/// Sales of one provider to one VNO's subscribers, by calendar month of the VNO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ContentTally {
    #[n(0)]
    pub month: u32,
    /// Net, in the provider's currency.
    #[n(1)]
    pub base: Amount,
    /// What the provider earned, less what refunds took back.
    #[n(2)]
    pub share: Amount,
    #[n(3)]
    pub last_month: u32,
    #[n(4)]
    pub last_share: Amount,
}

impl ContentTally {
    pub fn base_of(&self, month: u32) -> Amount {
        if self.month == month { self.base } else { Amount::ZERO }
    }

    pub fn share_of(&self, month: u32) -> Amount {
        if self.month == month {
            self.share
        } else if self.last_month == month {
            self.last_share
        } else {
            Amount::ZERO
        }
    }

    pub(crate) fn add(&mut self, month: u32, base: Amount, share: Amount) {
        if self.month != month {
            *self = ContentTally {
                month,
                last_month: self.month,
                last_share: self.share,
                ..ContentTally::default()
            };
        }
        self.base = self.base.saturating_add(base);
        self.share = self.share.saturating_add(share);
    }
}

/// Everything about content that changes while it is sold.
#[derive(Clone, Debug, Default)]
pub struct ContentState {
    pub payments: Payments,
    pub tallies: BTreeMap<(ContentProviderId, VnoId), ContentTally>,
    /// Payments ever made, by provider.
    pub payments_made: BTreeMap<ContentProviderId, u64>,
    pub notifications: BTreeMap<NotificationId, Notification>,
    pub notifications_issued: u64,
    /// Signs access tokens; made at the first start.
    pub secret: Option<[u8; 32]>,
}

impl ContentState {
    pub fn tally(&self, provider: ContentProviderId, vno: VnoId) -> ContentTally {
        self.tallies.get(&(provider, vno)).copied().unwrap_or_default()
    }
}
