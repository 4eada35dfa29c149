//! One call: two dialogs, one charging session, without sockets or clocks.
//!
//! It is held before it rings, metered from the answer, asked about again in silence, cut at the last paid second,
//! and charged once, however it ends.

mod again;
mod charge;
mod consent;
mod end;
mod incoming;
mod originate;
mod outgoing;
mod phones;
mod refresh;
mod relay;
mod resume;
mod vouch;

use std::collections::{HashMap, VecDeque};

use sip_protocol::digest::Credentials;
use sip_protocol::session_timer::SessionTimer;
use sip_protocol::transaction::copy_timestamp;
use sip_protocol::wheel::Wheel;
use sip_protocol::{
    ClientId, Dialog, Flow, Message, MessageWriter, Millis, Name, ServerId, Tokens, Transactions,
};
use stir_protocol::Signer;
use tandem_domain::calls::{Forwarding, Webhook};
use tandem_domain::charging::{CallPlan, EndCause};
use tandem_domain::command::Command;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{LineId, PeerId};
use tandem_domain::routing::Route;

use again::Credential;
pub(super) use charge::Meter;
pub(super) use consent::Consent;
pub(super) use end::Ended;
pub(super) use incoming::{Arrival, Who, dialled, place};
pub(super) use originate::{Order, originate};
pub(super) use relay::Relay;
pub(super) use resume::{meter, note, resume, tag};

use super::refusals::{self, Refusal};
use super::registrar::Registrar;
use super::trunks::Trunks;

/// Longest ringing, all tries together.
const RINGING_MAX: u64 = 180_000;
/// No provisional answer in this time: the next route (standards: 3 to 6 s).
const SILENCE_MAX: u64 = 5_000;
/// All tries together may take so long until something rings.
const POST_DIAL_MAX: u64 = 18_000;
/// Early media without an answer.
const EARLY_MEDIA_MAX: u64 = 120_000;
/// Forwards of one call.
const FORWARDS_MAX: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The first phone of a call that was ordered rings.
    Calling,
    /// The platform decides.
    Authorising,
    /// The VNO is asked.
    Consent,
    /// An INVITE of ours is out.
    Ringing,
    /// The platform prices the next carrier, or a forwarded leg.
    Rerouting,
    Answered,
    /// Signalling is over; the charge is being closed.
    Over,
}

/// Where the B leg can go next.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Carrier(Route),
    /// A registered phone: its contact and the way to it.
    Phone {
        uri: Box<[u8]>,
        flow: Flow,
    },
}

/// The callee, when it is a line of ours.
#[derive(Clone, Debug)]
pub(super) struct Callee {
    pub line: LineId,
    pub forwarding: Forwarding,
}

/// How the caller's leg began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// By its INVITE.
    Taken(ServerId),
    /// By ours: the call was ordered.
    Made(ClientId),
}

pub(super) struct ALeg {
    pub invite: Opening,
    /// The INVITE as it came, or would have come: other legs are made from it until one answers.
    pub request: Box<[u8]>,
    /// What all our answers to it have in common.
    pub essentials: Box<[u8]>,
    /// What those have that make a dialog.
    pub introduction: Box<[u8]>,
    pub has_offer: bool,
    pub supports_timer: bool,
    /// What copies of it that came another way are known by.
    pub merge_key: u64,
    pub dialog: Dialog,
    pub trunk: PeerId,
    pub trusted: bool,
    pub timer: Option<SessionTimer>,
    pub allows_update: bool,
    pub is_acknowledged: bool,
    /// Nothing more is sent there.
    pub hung_up: bool,
}

pub(super) struct BLeg {
    pub invite: ClientId,
    pub dialog: Dialog,
    /// None for a phone.
    pub trunk: Option<PeerId>,
    pub trusted: bool,
    pub started: Millis,
    pub rang: bool,
    pub timer: Option<SessionTimer>,
    pub allows_update: bool,
    /// The ACK waits for the caller's, which carries the answer to a late offer.
    pub ack_waits: bool,
    /// RSeq that the caller sees less RSeq of this leg, known from its first on (RFC 3262).
    pub rseq_shift: Option<i64>,
    /// It said how long its session lives: only an UPDATE or a re-INVITE renews that (RFC 4028).
    pub has_timer: bool,
    /// When it is cut off, should it send media and never answer.
    pub media_until: Option<Millis>,
    /// The INVITE that is out; None after a restart.
    pub tried: Option<Box<again::Tried>>,
}

/// Which question to the platform is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Place,
    Forward,
    Reroute(Route),
    Report,
    Close,
}

pub(super) struct Call {
    pub id: u64,
    pub state: State,
    pub a: ALeg,
    pub b: Option<BLeg>,
    /// Further phones of the called line that ring.
    pub others: Vec<BLeg>,
    /// What those said that will not be picked up: status and cause.
    pub phones_said: Option<(u16, u8)>,
    pub targets: VecDeque<Target>,
    pub callee: Option<Callee>,
    /// Charging sessions: the caller's, and that of a line that forwards.
    pub meters: Vec<Meter>,
    pub called: Digits,
    /// What was dialled, until the platform knows.
    pub dialled: Option<Digits>,
    /// Of a ported number: by which one its network is found.
    pub routing: Option<Digits>,
    pub number: Option<Digits>,
    pub withholds_number: bool,
    pub is_emergency: bool,
    pub seconds_max: u32,
    pub placed: Millis,
    pub answered: Option<Millis>,
    /// Of a call taken up again: the last that is known of it, until a leg gives a sign of life.
    pub alive_at: Option<Millis>,
    /// Lines that sent the call on, and why (RFC 5806).
    pub diversions: Vec<String>,
    pub relays: Vec<Relay>,
    pub forwards: u8,
    pub last_rseq: u32,
    /// What came of every try, for the record.
    pub trail: String,
    /// The last final answer of a B leg, should there be no other way.
    pub last_refusal: Option<Refusal>,
    pub line: Option<LineId>,
    /// When each leg's session timer acts next.
    pub refresh_at: [Millis; 2],
    /// The last description of the media that each leg was told.
    pub told: [Box<[u8]>; 2],
    /// The refresh of ours that is out on each leg, and whether it says who we are.
    pub refreshing: [Option<(ClientId, Option<Credential>)>; 2],
    /// The wheel's entry that counts; earlier ones are stale.
    pub wake_at: Millis,
    pub deadline: Millis,
    /// When a ringing phone's calls go elsewhere.
    pub to_answer_in: Option<Millis>,
    /// Who calls, should the call have to be placed anew, and what is said of it.
    pub who: Who,
    /// The number that was called first.
    pub called_first: Digits,
    /// The paying line's own number.
    pub own_number: Option<Digits>,
    /// What was decided, while the VNO is asked.
    pub waiting: Option<Box<CallPlan>>,
    pub was_asked: bool,
    pub redirects: u8,
    /// When the caller is told that its call is being worked on, unless it has heard more by then.
    pub trying_at: Option<Millis>,
}

/// What calls work with.
pub(super) struct Io<'a> {
    pub now: Millis,
    pub transactions: &'a mut Transactions,
    pub wakes: &'a mut Wheel,
    pub trunks: &'a mut Trunks,
    pub registrar: &'a Registrar,
    pub local: &'a Local,
    /// Questions to the platform: whose, which meter, what.
    pub asks: &'a mut Vec<(u64, usize, Asked, Command)>,
    /// Questions to VNOs: whose call, whom to ask, what.
    pub consents: &'a mut Vec<(u64, Webhook, String)>,
    pub counts: &'a mut Counts,
    pub byes: &'a mut HashMap<ClientId, (PeerId, Dialog)>,
    pub signer: Option<&'a Signer>,
}

/// What this node says of itself.
pub(super) struct Local {
    pub host: String,
    /// `address:port` by transport: UDP, TCP, TLS.
    sent_by: [String; 3],
    contacts: [String; 3],
    pub domain: String,
}

impl Local {
    pub fn new(host: String, sent_by: [String; 3], domain: String) -> Local {
        let [udp, tcp, tls] = &sent_by;
        let contacts = [
            format!("<sip:{udp}>"),
            format!("<sip:{tcp};transport=tcp>"),
            format!("<sip:{tls};transport=tls>"),
        ];
        Local { host, sent_by, contacts, domain }
    }

    pub fn sent_by(&self, flow: &Flow) -> &str {
        &self.sent_by[flow.transport as usize]
    }

    pub fn contact(&self, flow: &Flow) -> &[u8] {
        self.contacts[flow.transport as usize].as_bytes()
    }
}

/// What is counted of calls.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub placed: u64,
    pub answered: u64,
    pub refused: u64,
    pub ended: u64,
    pub cut: u64,
    pub malformed: u64,
    pub unknown_sources: u64,
    /// Refused because nobody vouches for the caller's number.
    pub unverified: u64,
    pub dropped: u64,
}

impl Call {
    /// Our tag of one side: it leads back to this call.
    pub fn tag(id: u64, side: Side, tokens: &mut Tokens) -> Vec<u8> {
        let mut tag = sip_protocol::tokens::hex(id).to_vec();
        tag.push(if side == Side::A { b'a' } else { b'b' });
        tag.extend_from_slice(&tokens.token());
        tag
    }

    /// The call and side that a tag of ours names.
    pub fn of_tag(tag: &[u8]) -> Option<(u64, Side)> {
        let (id, rest) = tag.split_at_checked(16)?;
        let side = match rest.first()? {
            b'a' => Side::A,
            b'b' => Side::B,
            _ => return None,
        };
        Some((sip_protocol::tokens::from_hex(id)?, side))
    }

    /// Keeps what a leg is told of the media: a refresh may have to say it again.
    pub(super) fn tell(&mut self, side: Side, body: &[u8]) {
        if !body.is_empty() && *self.told[side as usize] != *body {
            self.told[side as usize] = body.into();
        }
    }

    /// The switch on that side; None for a phone that is called.
    pub(super) fn trunk(&self, side: Side) -> Option<PeerId> {
        match side {
            Side::A => Some(self.a.trunk),
            Side::B => self.b.as_ref().and_then(|leg| leg.trunk),
        }
    }

    pub fn dialog(&mut self, side: Side) -> Option<&mut Dialog> {
        match side {
            Side::A => Some(&mut self.a.dialog),
            Side::B => self.b.as_mut().map(|leg| &mut leg.dialog),
        }
    }

    /// Answers the caller's INVITE; `write` adds what is special.
    pub fn answer_a(
        &mut self,
        io: &mut Io<'_>,
        status: u16,
        body: &[u8],
        write: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        let server = match self.a.invite {
            Opening::Taken(server) => server,
            Opening::Made(client) => return self.answer_made(io, client, status, body, write),
        };
        self.trying_at = None;
        let leg = &self.a;
        io.transactions.respond(io.now, server, status, |out| {
            let mut response = MessageWriter::response(out, status);
            response.lines(&leg.essentials);
            if (101..300).contains(&status) {
                response.lines(&leg.introduction);
            }
            write(&mut response);
            response.finish(body);
        });
    }

    pub fn refuse_a(&mut self, io: &mut Io<'_>, refusal: Refusal) {
        io.counts.refused += 1;
        let reason = super::headers::reason(refusal.cause, refusal.text);
        self.answer_a(io, refusal.status, &[], |response| {
            response.header(Name::Reason, &reason);
            if refusal.status == 503 {
                response.number(Name::RetryAfter, 5);
            }
        });
    }

    /// Sets the one timer of the call to what comes first.
    pub fn arm(&mut self, io: &mut Io<'_>) {
        let mut next = match self.state {
            State::Over => io.now.plus(32_000),
            State::Answered => Millis(u64::MAX),
            _ => self.deadline,
        };
        if self.state == State::Answered {
            let at = |at: Option<Millis>| at.unwrap_or(Millis(u64::MAX));
            for meter in &self.meters {
                next = next.min(at(meter.next(self.answered)));
            }
            next = next.min(at(self.cut_by_rule())).min(self.refresh_at[0]).min(self.refresh_at[1]);
        }
        if let Some(forward) = self.to_answer_in.filter(|_| self.state == State::Ringing) {
            next = next.min(forward);
        }
        next = next.min(self.trying_at.unwrap_or(Millis(u64::MAX)));
        if next != self.wake_at && next != Millis(u64::MAX) {
            self.wake_at = next;
            io.wakes.set(next, self.id);
        }
    }

    /// The longest duration that a rule allows.
    fn cut_by_rule(&self) -> Option<Millis> {
        let answered = self.answered?;
        (self.seconds_max > 0).then(|| answered.plus(u64::from(self.seconds_max) * 1000))
    }

    /// Its time has come.
    pub fn wake(&mut self, io: &mut Io<'_>) {
        if self.wake_at > io.now {
            return;
        }
        self.wake_at = Millis(0);
        if self.trying_at.is_some_and(|at| at <= io.now) {
            self.say_trying(io);
            return self.arm(io);
        }
        match self.state {
            State::Authorising if io.trunks.is_emergency(self.called) => self.connect_unasked(io),
            State::Authorising | State::Rerouting | State::Consent => {
                // The platform did not decide in time: nobody waits any longer.
                self.refuse_a(io, refusals::OVERLOADED);
                self.close(io, EndCause::Fault);
            }
            State::Calling => {
                self.note("the first phone was not picked up");
                self.give_up(io, None);
            }
            State::Ringing => self.rang_long_enough(io),
            State::Answered => self.wake_answered(io),
            // Closing was not confirmed: the platform's supervision settles what is left.
            State::Over => self.meters.iter_mut().for_each(|meter| meter.is_closed = true),
        }
        self.arm(io);
    }

    fn say_trying(&mut self, io: &mut Io<'_>) {
        let Opening::Taken(server) = self.a.invite else { return };
        let since = io.transactions.unanswered_since(server).unwrap_or(io.now);
        let waited = io.now.since(since);
        let invite = std::mem::take(&mut self.a.request);
        self.answer_a(io, 100, &[], |response| {
            if let Ok(request) = Message::decode(&invite) {
                copy_timestamp(response, &request, waited);
            }
        });
        self.a.request = invite;
    }

    fn wake_answered(&mut self, io: &mut Io<'_>) {
        if self.cut_by_rule().is_some_and(|cut| cut <= io.now) {
            return self.cut(io, Ended::TooLong);
        }
        if let Some(spent) = self.meters.iter().find(|one| one.is_spent(self.answered, io.now)) {
            let why = spent.ends();
            return self.cut(io, why);
        }
        self.report_due(io);
        for side in [Side::A, Side::B] {
            if self.state == State::Answered && self.refresh_at[side as usize] <= io.now {
                self.refresh(io, side);
            }
        }
    }

    pub fn is_forgotten(&self) -> bool {
        self.state == State::Over && self.meters.iter().all(|meter| meter.is_closed)
    }
}

/// Credentials of a request from a phone, or None.
pub(super) fn credentials<'a>(message: &Message<'a>) -> Option<Credentials<'a>> {
    let all = message.all(Name::Authorization).chain(message.all(Name::ProxyAuthorization));
    all.filter_map(Credentials::parse).next()
}
