//! How calls are controlled: trunks to the carriers' circuit switches, and the rules of VNOs and lines.

use minicbor::{Decode, Encode};

use crate::digits::Digits;
use crate::identifier::CarrierId;
use crate::money::Amount;
use crate::period::WeeklyWindow;
use crate::time::Timestamp;

/// How SIP is carried to a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TrunkTransport {
    #[n(0)]
    Udp,
    #[n(1)]
    Tcp,
    #[n(2)]
    Tls,
}

/// A SIP trunk to a carrier's circuit switch, or the access by which subscribers' own phones register.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Trunk {
    /// `address:port` of the switch; of the access, nothing.
    #[n(0)]
    pub address: Box<str>,
    #[n(1)]
    pub transport: TrunkTransport,
    #[n(2)]
    pub is_access: bool,
    /// Asserted identities are believed and sent (RFC 3325).
    #[n(3)]
    pub is_trusted: bool,
    /// Country code of numbers that come without one.
    #[n(4)]
    pub country_code: Box<str>,
    /// What stands before foreign numbers there, such as `00`.
    #[n(5)]
    pub international_prefix: Box<str>,
    /// What stands before numbers of the own country, such as `0`.
    #[n(6)]
    pub national_prefix: Box<str>,
    /// Calls at once; 0 = as many as come.
    #[n(7)]
    pub calls_max: u32,
    /// New calls a second; 0 = as many as come.
    #[n(8)]
    pub calls_per_second_max: u32,
    /// Session-Expires that we ask for (RFC 4028); 0 = no session timer.
    #[n(9)]
    pub session_seconds: u32,
    /// Calls may be sent there (not only taken).
    #[n(10)]
    pub carries_calls: bool,
    /// Phones are asked for MD5 alone: old ones give up at a challenge that they do not know.
    #[n(11)]
    pub md5_only: bool,
    /// Asked for a sign of life (OPTIONS) every half minute; without answers it is taken out.
    #[n(12)]
    pub is_probed: bool,
    /// The name in its certificate; without one, its address.
    #[n(13)]
    pub tls_name: Option<Box<str>>,
    /// For switches that ask who calls (RFC 3261 section 22): their realm is not known before, so the password is
    /// kept as it is.
    #[n(14)]
    pub user: Option<Box<str>>,
    #[n(15)]
    pub password: Option<Box<str>>,
    /// It takes the routing number of ported numbers (`rn`, `npdi`, RFC 4694).
    #[n(16)]
    #[cbor(default)]
    pub takes_routing_numbers: bool,
    /// Headers beyond the usual that go to it as they came.
    #[n(17)]
    #[cbor(default)]
    pub passes: Vec<Box<str>>,
    /// Calls that go there are signed (RFC 8224).
    #[n(18)]
    #[cbor(default)]
    pub is_signed_for: bool,
    /// What is made of signatures of calls that come from there.
    #[n(19)]
    #[cbor(default)]
    pub verification: Verification,
}

/// How much it counts who vouches for a caller's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verification {
    /// Nothing: signatures only pass through.
    #[n(0)]
    #[default]
    Ignored,
    /// The called side is told.
    #[n(1)]
    Told,
    /// Calls that nobody vouches for are refused.
    #[n(2)]
    Required,
}

impl Trunk {
    pub const PASSES_MAX: usize = 32;

    /// To a trusted switch there over UDP, without limits, its numbers as in a country with `00` and `0`.
    pub fn to(address: &str, country_code: &str) -> Trunk {
        Trunk {
            address: address.into(),
            transport: TrunkTransport::Udp,
            is_access: false,
            is_trusted: true,
            country_code: country_code.into(),
            international_prefix: "00".into(),
            national_prefix: "0".into(),
            calls_max: 0,
            calls_per_second_max: 0,
            session_seconds: 1800,
            carries_calls: true,
            md5_only: false,
            is_probed: true,
            tls_name: None,
            user: None,
            password: None,
            takes_routing_numbers: false,
            passes: Vec::new(),
            is_signed_for: false,
            verification: Verification::default(),
        }
    }
}

/// What a line, or all lines of a VNO, may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DestinationRules {
    /// Prefixes that may not be called.
    #[n(0)]
    pub barred: Vec<Digits>,
    /// When there are any: the only prefixes that may be called.
    #[n(1)]
    pub allowed: Vec<Digits>,
}

impl DestinationRules {
    pub const PREFIXES_MAX: usize = 1000;

    pub fn allow(&self, called: Digits) -> bool {
        let matches =
            |prefixes: &[Digits]| prefixes.iter().any(|prefix| called.starts_with(*prefix));
        !matches(&self.barred) && (self.allowed.is_empty() || matches(&self.allowed))
    }
}

/// Rules that hold at certain hours only, on top of the others.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimedRules {
    /// In the VNO's time zone.
    #[n(0)]
    pub window: WeeklyWindow,
    #[n(1)]
    pub destinations: DestinationRules,
}

impl TimedRules {
    pub const ENTRIES_MAX: usize = 100;

    /// Do all rules of this moment allow the number?
    pub fn allow(rules: &[TimedRules], called: Digits, at: Timestamp, time_zone: &str) -> bool {
        let mut now = rules.iter().filter(|rule| rule.window.contains(at, time_zone));
        now.all(|rule| rule.destinations.allow(called))
    }
}

/// Where calls to a line go instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Forwarding {
    #[n(0)]
    pub always: Option<Digits>,
    #[n(1)]
    pub busy: Option<Digits>,
    #[n(2)]
    pub no_answer: Option<Digits>,
    /// No phone is registered.
    #[n(3)]
    pub unreachable: Option<Digits>,
    /// How long it rings before `no_answer`; 0 = 20 seconds.
    #[n(4)]
    pub no_answer_seconds: u16,
}

/// What a line's owner set for its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LineCalls {
    /// The user name of digest authentication; its SIP address is an identity of the line.
    #[n(0)]
    pub user: Option<Box<str>>,
    /// HA1 by algorithm name, made from the password when it was set (RFC 7616 section 3.4.2).
    #[n(1)]
    pub secrets: Vec<(Box<str>, Box<str>)>,
    #[n(2)]
    pub destinations: DestinationRules,
    #[n(3)]
    pub forwarding: Forwarding,
    /// Calls of the line at once; 0 = as many as money covers.
    #[n(4)]
    pub calls_max: u16,
    /// Seconds of one call; 0 = as many as money covers.
    #[n(5)]
    pub seconds_max: u32,
    /// Its number is not shown to those it calls.
    #[n(6)]
    pub withholds_number: bool,
    #[n(7)]
    #[cbor(default)]
    pub timed: Vec<TimedRules>,
    /// What the line may spend on calls in a calendar month, with tax.
    #[n(8)]
    pub spend_max: Option<Amount>,
}

impl LineCalls {
    /// What running calls follow when it changes: seconds of one call, and money of a month.
    pub fn limits(&self) -> (u32, Option<Amount>) {
        (self.seconds_max, self.spend_max)
    }
}

/// Asked before a call is connected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Webhook {
    #[n(0)]
    pub url: Box<str>,
    /// Signs every question.
    #[n(1)]
    pub secret: Box<str>,
    #[n(2)]
    pub timeout_millis: u32,
    /// What happens when no usable answer comes in time.
    #[n(3)]
    pub allows_by_default: bool,
}

/// How carriers are ranked for a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum RoutingPolicy {
    #[n(0)]
    #[default]
    LeastCost,
    /// By measured quality, cost deciding among equals.
    #[n(1)]
    Quality,
    /// Each carrier its share of the calls, in hundredths; the rest by cost.
    #[n(2)]
    Share(#[n(0)] Vec<(CarrierId, u8)>),
    /// The carriers in this order as long as they are free.
    #[n(3)]
    Fixed(#[n(0)] Vec<CarrierId>),
    /// First those that were promised more this month than they have carried, the one most behind before the others.
    #[n(4)]
    Commitment,
}

/// How carriers are ranked at certain hours.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoutingHours {
    /// In the VNO's time zone.
    #[n(0)]
    pub window: WeeklyWindow,
    #[n(1)]
    pub policy: RoutingPolicy,
}

/// What a VNO, or the broker for it, set for all its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct VnoCalls {
    #[n(0)]
    pub destinations: DestinationRules,
    /// What is dialled, and what it stands for.
    #[n(1)]
    pub short_codes: Vec<(Digits, Digits)>,
    #[n(2)]
    pub webhook: Option<Webhook>,
    #[n(3)]
    pub routing: RoutingPolicy,
    /// What the broker has to earn in the first minute, in the VNO's wholesale currency; may be negative.
    #[n(4)]
    pub margin_floor: Amount,
    /// Take a route below the floor when there is no other; it is recorded.
    #[n(5)]
    pub waives_margin: bool,
    /// Numbers that are connected at once, without control or charge.
    #[n(6)]
    pub emergency: Vec<Digits>,
    #[n(7)]
    #[cbor(default)]
    pub timed: Vec<TimedRules>,
    /// Calls of all its subscribers at once; 0 = as many as come.
    #[n(8)]
    #[cbor(default)]
    pub calls_max: u32,
    /// Calls of one subscriber at once; 0 = as many as money covers.
    #[n(9)]
    #[cbor(default)]
    pub subscriber_calls_max: u16,
    /// Seconds of one call; 0 = as many as money covers.
    #[n(10)]
    #[cbor(default)]
    pub seconds_max: u32,
    /// What each line may spend on calls in a calendar month, with tax.
    #[n(11)]
    pub spend_max: Option<Amount>,
    /// The first window that is open decides instead of `routing`.
    #[n(12)]
    #[cbor(default)]
    pub routing_hours: Vec<RoutingHours>,
}

impl VnoCalls {
    /// What running calls follow when it changes: seconds of one call, and money of a month.
    pub fn limits(&self) -> (u32, Option<Amount>) {
        (self.seconds_max, self.spend_max)
    }

    /// How carriers are ranked at this moment.
    pub fn routing_at(&self, at: Timestamp, time_zone: &str) -> &RoutingPolicy {
        let mut open = self.routing_hours.iter().filter(|one| one.window.contains(at, time_zone));
        open.next().map_or(&self.routing, |hours| &hours.policy)
    }
}
