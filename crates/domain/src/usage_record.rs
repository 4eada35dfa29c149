//! The usage record (CDR): what was used, and what every party owes for it, explained to the last digit.

use minicbor::{Decode, Encode};

use crate::charging::{Declined, EndCause, Group, Session};
use crate::ledger::{Entry, Posting};
use crate::money::{Amount, Money};
use crate::time::Timestamp;

/// A session that is over. Its rating groups name price lists, versions, rates, bands, buckets and exact sums.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UsageRecord {
    /// As it was at its end.
    #[n(0)]
    pub session: Session,
    #[n(1)]
    pub closed_at: Timestamp,
    #[n(2)]
    pub cause: EndCause,
    /// Of a call: each way that was tried and what came of it.
    #[n(3)]
    pub trail: Option<Box<str>>,
    /// Of a call that was refused: why.
    #[n(4)]
    pub declined: Option<Declined>,
    /// Of a one-time event: units that refunds gave back.
    #[n(5)]
    #[cbor(default)]
    pub refunded: u64,
}

impl UsageRecord {
    pub fn of(
        mut session: Session,
        closed_at: Timestamp,
        cause: EndCause,
        trail: Option<Box<str>>,
    ) -> UsageRecord {
        session.answers.clear();
        session.note = None;
        UsageRecord { session, closed_at, cause, trail, declined: None, refunded: 0 }
    }

    /// A call that was refused at this moment.
    pub fn refused(session: Session, declined: Declined) -> UsageRecord {
        let declined = Some(declined);
        let (closed_at, cause) = (session.opened_at, EndCause::Refused);
        UsageRecord { declined, ..UsageRecord::of(session, closed_at, cause, None) }
    }

    /// All money that the session moved, on every leg.
    pub fn postings(&self) -> Vec<Posting> {
        postings(&self.session)
    }

    pub fn retail_net(&self) -> Amount {
        sum(&self.session, Group::retail_net)
    }

    pub fn retail_gross(&self) -> Amount {
        sum(&self.session, Group::retail_gross)
    }

    pub fn wholesale(&self) -> Option<Money> {
        let currency = self.session.groups.iter().find_map(Group::wholesale_currency)?;
        Some(Money::new(sum(&self.session, Group::wholesale_net), currency))
    }

    pub fn cost(&self) -> Option<Money> {
        let first = self.session.groups.iter().find_map(|group| group.cost.as_ref())?;
        let of = |group: &Group| group.cost.as_ref().map_or(Amount::ZERO, |leg| leg.meter.net);
        Some(Money::new(sum(&self.session, of), first.currency))
    }
}

/// What a session has moved since it began.
pub fn postings(session: &Session) -> Vec<Posting> {
    let mut entry = Entry::new();
    let (vno, carrier) = (session.id.vno(), session.carrier);
    session.groups.iter().for_each(|group| group.post_since(None, &mut entry, vno, carrier));
    entry.into_postings()
}

fn sum(session: &Session, of: impl Fn(&Group) -> Amount) -> Amount {
    session.groups.iter().fold(Amount::ZERO, |sum, group| sum.saturating_add(of(group)))
}
