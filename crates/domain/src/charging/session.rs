//! A charging session: one call, data session or message, from its first request to its usage record.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use super::group::{BurstFee, Group, GroupKey, Wholesale};
use super::request::SessionAnswer;
use crate::digits::Digits;
use crate::encoding;
use crate::identifier::{CarrierId, LineId, PeerId, PriceListVersion, SessionId, SubscriberId};
use crate::service::{Direction, Service};
use crate::time::Timestamp;

/// What kind of use it is, as far as prices and payers look at it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Context {
    #[n(0)]
    pub service: Service,
    #[n(1)]
    pub direction: Direction,
    /// The other party's number, normalised.
    #[n(2)]
    pub destination: Option<Digits>,
    /// MCC and MNC of the network that serves the line.
    #[n(3)]
    pub serving_network: Option<Digits>,
    /// Access point name, for the record only.
    #[n(4)]
    pub access_point: Option<Box<str>>,
    /// An emergency call: never charged, blocked or delayed.
    #[n(5)]
    pub is_emergency: bool,
    /// As the switch gave it: portability was looked up, and the number is served by the network of this one.
    #[n(6)]
    pub routing: Option<Digits>,
    /// What was dialled, where that was not the destination itself.
    #[n(7)]
    pub dialled: Option<Digits>,
    /// Nobody has a price for it, and it needs none.
    #[n(8)]
    #[cbor(default)]
    pub is_unpriced: bool,
    /// The caller's number, normalised, as far as it is known.
    #[n(9)]
    pub origin: Option<Digits>,
}

impl Context {
    /// Nothing more is known of it.
    pub fn new(service: Service, direction: Direction) -> Context {
        Context {
            service,
            direction,
            destination: None,
            serving_network: None,
            access_point: None,
            is_emergency: false,
            routing: None,
            dialled: None,
            is_unpriced: false,
            origin: None,
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum EndCause {
    /// The switch closed it.
    #[n(0)]
    Normal,
    /// The switch closed it after an administrative request of ours.
    #[n(1)]
    Administrative,
    /// No news within the supervision time.
    #[n(2)]
    Lost,
    /// The switch restarted and forgot its sessions.
    #[n(3)]
    PeerRestarted,
    /// The switch closed it because of a fault on its side.
    #[n(4)]
    Fault,
    /// The switch no longer knew the session when we asked for a report.
    #[n(5)]
    UnknownToPeer,
    /// A one-time event: begun and ended at once.
    #[n(6)]
    Event,
    /// A call that was refused before it rang: nothing was used.
    #[n(7)]
    Refused,
}

impl EndCause {
    pub fn name(self) -> &'static str {
        match self {
            EndCause::Normal => "normal",
            EndCause::Administrative => "administrative",
            EndCause::Lost => "lost",
            EndCause::PeerRestarted => "peer_restarted",
            EndCause::Fault => "fault",
            EndCause::UnknownToPeer => "unknown_to_peer",
            EndCause::Event => "event",
            EndCause::Refused => "refused",
        }
    }
}

/// An open charging session. One value: loaded, changed and stored together.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    #[n(0)]
    pub id: SessionId,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub key: Box<[u8]>,
    #[n(2)]
    pub line: LineId,
    #[n(3)]
    pub peer: PeerId,
    #[n(4)]
    pub carrier: CarrierId,
    #[n(5)]
    pub origin_host: Box<str>,
    #[n(6)]
    pub origin_realm: Box<str>,
    #[n(7)]
    pub origin_state: Option<u32>,
    #[n(8)]
    pub context: Context,
    #[n(9)]
    pub opened_at: Timestamp,
    /// When the switch last asked or reported.
    #[n(10)]
    pub heard_at: Timestamp,
    /// Without news by then the session is settled.
    #[n(11)]
    pub supervised_until: Timestamp,
    #[n(12)]
    #[cbor(with = "encoding")]
    pub groups: SmallVec<[Group; 1]>,
    /// The last answers, by request number, for repeats.
    #[n(13)]
    #[cbor(with = "encoding")]
    pub answers: SmallVec<[GivenAnswer; 1]>,
    /// We asked the switch to end it.
    #[n(14)]
    pub ending: bool,
    /// What the interface needs to take a call up again after a restart.
    #[n(15)]
    #[cbor(with = "minicbor::bytes")]
    pub note: Option<Box<[u8]>>,
    /// Request numbers that were overtaken and have not come yet: bit n is the highest number less n + 1.
    #[n(16)]
    #[cbor(default)]
    pub overtaken: u64,
    /// It was opened beyond the VNO's capacity. The first of its groups that is used owes the fee.
    #[n(17)]
    pub burst: Option<BurstFee>,
}

/// An answer that was given, kept for repeats of its request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GivenAnswer {
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub answer: SessionAnswer,
}

impl Session {
    /// Answers kept for repeats; a switch has at most a few requests of one session on their way.
    pub const ANSWERS_MAX: usize = 4;
    /// Rating groups one session may have.
    pub const GROUPS_MAX: usize = 64;

    pub fn group(&self, key: GroupKey) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == key)
    }

    /// The answer already given to this request number.
    pub fn answered(&self, number: u32) -> Option<&SessionAnswer> {
        self.answers.iter().find(|given| given.number == number).map(|given| &given.answer)
    }

    pub(super) fn highest_number(&self) -> Option<u32> {
        self.answers.iter().map(|given| given.number).max()
    }

    /// The bit of the number that is so far behind the highest.
    pub(super) fn overtaken_by(behind: u32) -> u64 {
        behind.checked_sub(1).and_then(|bit| 1u64.checked_shl(bit)).unwrap_or(0)
    }

    /// The numbers that may still come once the highest is so much higher.
    fn overtaken_after(overtaken: u64, ahead: u32) -> u64 {
        let between = match ahead {
            0..=64 => Self::overtaken_by(ahead).saturating_sub(1),
            _ => u64::MAX,
        };
        overtaken.checked_shl(ahead).unwrap_or(0) | between
    }

    /// Of a session with one answer: there was another before it, up to the number `last`.
    pub(super) fn goes_on_after(&mut self, last: u32, overtaken: u64) {
        let ahead = self.highest_number().and_then(|highest| highest.checked_sub(last));
        self.overtaken = ahead.map_or(0, |ahead| Self::overtaken_after(overtaken, ahead));
    }

    /// Behind the highest number and not among those that are still to come: it was answered, and the answer
    /// is no longer known.
    pub fn is_stale(&self, number: u32) -> bool {
        let behind = self.highest_number().and_then(|highest| highest.checked_sub(number));
        behind.is_some_and(|behind| self.overtaken & Self::overtaken_by(behind) == 0)
    }

    pub fn remember(&mut self, number: u32, answer: SessionAnswer) {
        if let Some(highest) = self.highest_number() {
            match number.checked_sub(highest) {
                None => self.overtaken &= !Self::overtaken_by(highest - number),
                // Those in between are still to come; the highest before is not.
                Some(ahead) => self.overtaken = Self::overtaken_after(self.overtaken, ahead),
            }
        }
        if self.answers.len() >= Self::ANSWERS_MAX {
            let oldest = self.answers.iter().enumerate().min_by_key(|(_, given)| given.number);
            if let Some((index, _)) = oldest {
                self.answers.swap_remove(index);
            }
        }
        self.answers.push(GivenAnswer { number, answer });
    }

    /// Is a price of this version part of it?
    pub fn uses(&self, version: PriceListVersion) -> bool {
        self.groups.iter().any(|group| {
            let wholesale = match &group.wholesale {
                Some(Wholesale::Rated(leg)) => Some(leg.rate),
                _ => None,
            };
            let cost = group.cost.as_ref().map(|leg| leg.rate);
            [group.retail, wholesale, cost].iter().flatten().any(|rate| rate.version == version)
        })
    }

    /// Subscribers whose accounts or lines the session is about: the line's own and all payers'.
    pub fn subscribers(&self) -> SmallVec<[SubscriberId; 2]> {
        let mut all: SmallVec<[SubscriberId; 2]> = SmallVec::new();
        all.push(self.line.subscriber());
        for payer in self.groups.iter().flat_map(|group| group.payers.iter()) {
            let subscriber = payer.account.subscriber();
            if !all.contains(&subscriber) {
                all.push(subscriber);
            }
        }
        all
    }
}
