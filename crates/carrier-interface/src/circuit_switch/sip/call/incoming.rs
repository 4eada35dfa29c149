//! The caller's leg: from its INVITE to the platform's decision.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use sip_protocol::session_timer::{MIN_SE_SECONDS, Refresher, SessionExpires, SessionTimer};
use sip_protocol::transaction::copy_essentials;
use sip_protocol::{Dialog, Flow, Message, MessageWriter, Millis, Name, ServerId, Uri};
use smallvec::SmallVec;
use stir_protocol::Verdict;
use tandem_domain::calls::Trunk;
use tandem_domain::charging::{
    CallParty, CallPlan, CallRequest, CallTarget, Declined, EndCause, GroupOutcome,
};
use tandem_domain::command::Command;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{Identity, LineId, PeerId};
use tandem_domain::money::Amount;
use tandem_domain::numbering::Dialled;
use tandem_domain::routing::{ROUTES_MAX, Route};

use super::{
    ALeg, Asked, Call, Callee, FORWARDS_MAX, Io, Meter, Opening, RINGING_MAX, Side, State, Target,
};
use crate::circuit_switch::sip::headers;
use crate::circuit_switch::sip::refusals::{self, Refusal};

/// An INVITE and what is known of where it comes from.
pub(in super::super) struct Arrival<'a, 'm> {
    pub message: &'a Message<'m>,
    pub bytes: &'a [u8],
    pub invite: ServerId,
    pub merge_key: u64,
    pub flow: Flow,
    pub peer: PeerId,
    pub trunk: &'a Trunk,
    pub who: Who,
}

/// Who calls.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Who {
    /// As far as that is believed.
    pub identities: SmallVec<[Identity; 2]>,
    /// The number that the switch says calls, believed or not.
    pub said: Option<Digits>,
    /// It stands in From, for everybody to see.
    pub is_shown: bool,
    /// Does anybody vouch for it? None: nobody was asked.
    pub verdict: Option<Verdict>,
}

/// What a URI says of a number.
pub(in super::super) fn dialled(uri: &[u8], trunk: &Trunk) -> Option<Dialled> {
    if uri.get(..EMERGENCY.len()).is_some_and(|start| start.eq_ignore_ascii_case(EMERGENCY)) {
        let number = "112".parse().ok()?;
        return Some(Dialled { number, written: None, routing: None });
    }
    let uri = Uri::parse(uri)?;
    let name = unescaped(uri.user_name())?;
    trunk.dialled(&name, std::str::from_utf8(uri.telephone_params()).ok()?)
}

/// Milliseconds after which a caller that has heard nothing is told that its call is being worked on (RFC 3261 section
/// 17.2.1). Most have heard more by then.
const TRYING_AFTER: u64 = 200;

/// A session that is never refreshed would never be found dead.
const SESSION_SECONDS_MAX: u32 = 86_400;

/// Emergency calls of phones that know no number for them (RFC 5031).
const EMERGENCY: &[u8] = b"urn:service:sos";

/// With `%23` and its like read (RFC 3261 section 19.1.2): a `#` cannot stand in a URI itself.
fn unescaped(name: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, others @ ..] = rest {
        let (octet, left) = match (first, others) {
            (b'%', [high, low, left @ ..]) => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                (u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?, left)
            }
            _ => (*first, others),
        };
        plain.push(octet);
        rest = left;
    }
    String::from_utf8(plain).ok()
}

/// Begins a call and asks the platform about it. An INVITE that cannot be served gets its answer here.
pub(in super::super) fn place(
    io: &mut Io<'_>,
    id: u64,
    arrival: &Arrival<'_, '_>,
) -> Option<Box<Call>> {
    let invite = arrival.message;
    let tag = Call::tag(id, Side::A, &mut io.transactions.tokens);
    let Some(mut dialog) = Dialog::accepting(invite, &tag, arrival.flow) else {
        io.transactions.respond_simply(io.now, arrival.invite, invite, 400);
        return None;
    };
    dialog.keeps_flow = arrival.trunk.is_access;
    let timer = SessionExpires::of(invite);
    let wanted = arrival.trunk.session_seconds;
    let seconds = timer.map_or(wanted, |timer| timer.seconds.min(wanted.max(MIN_SE_SECONDS)));
    // Shorter than the caller stands it may not be (RFC 4028 section 9).
    let least = invite.number(Name::MinSe).and_then(|least| u32::try_from(least).ok());
    let least = least.unwrap_or(0).min(SESSION_SECONDS_MAX);
    let seconds = if seconds > 0 { seconds.max(least) } else { 0 };
    let supports_timer = invite.lists(Name::Supported, "timer");
    let by_them = timer.is_some_and(|timer| timer.refresher == Some(Refresher::Uac));
    let (essentials, introduction) = in_common(io, arrival, &tag);
    let mut call = Box::new(Call {
        id,
        state: State::Authorising,
        a: ALeg {
            invite: Opening::Taken(arrival.invite),
            request: arrival.bytes.into(),
            essentials,
            introduction,
            has_offer: !invite.body.is_empty(),
            supports_timer,
            merge_key: arrival.merge_key,
            dialog,
            trunk: arrival.peer,
            trusted: arrival.trunk.is_trusted,
            timer: (seconds > 0)
                .then_some(SessionTimer { seconds, is_ours: !(supports_timer && by_them) }),
            allows_update: invite.lists(Name::Allow, "UPDATE"),
            is_acknowledged: false,
            hung_up: false,
        },
        b: None,
        others: Vec::new(),
        phones_said: None,
        targets: VecDeque::new(),
        callee: None,
        meters: Vec::new(),
        called: Digits::default(),
        dialled: None,
        routing: None,
        number: None,
        withholds_number: false,
        is_emergency: false,
        seconds_max: 0,
        placed: io.now,
        answered: None,
        alive_at: None,
        diversions: Vec::new(),
        relays: Vec::new(),
        forwards: 0,
        last_rseq: 0,
        trail: String::new(),
        last_refusal: None,
        line: None,
        refresh_at: [Millis(u64::MAX); 2],
        told: Default::default(),
        refreshing: [None, None],
        wake_at: Millis(0),
        deadline: io.now.plus(RINGING_MAX),
        to_answer_in: None,
        who: arrival.who.clone(),
        called_first: Digits::default(),
        own_number: None,
        waiting: None,
        was_asked: false,
        redirects: 0,
        trying_at: io.transactions.unanswered_since(arrival.invite).map(|at| at.plus(TRYING_AFTER)),
    });
    io.counts.placed += 1;
    io.transactions.own(arrival.invite, id);
    if let Err(refusal) = call.check(io, arrival) {
        if let Some(refusal) = refusal {
            call.refuse_a(io, refusal);
        }
        return None;
    }
    call.ask_to_place(io, CallParty::Caller(arrival.who.identities.clone()), Asked::Place);
    call.deadline = io.now.plus(super::SILENCE_MAX);
    call.arm(io);
    Some(call)
}

/// The header lines of every answer, and those of answers that make a dialog: written once, sent many times.
fn in_common(io: &Io<'_>, arrival: &Arrival<'_, '_>, tag: &[u8]) -> (Box<[u8]>, Box<[u8]>) {
    let flow = io.transactions.flow_of(arrival.invite);
    let mut lines = Vec::with_capacity(1024);
    let mut essentials = MessageWriter::headers(&mut lines);
    copy_essentials(&mut essentials, arrival.message, flow, tag);
    essentials.header(Name::Server, headers::SERVER);
    let all_end = lines.len();
    let mut introduction = MessageWriter::headers(&mut lines);
    for route in arrival.message.all(Name::RecordRoute) {
        introduction.header(Name::RecordRoute, route);
    }
    introduction.header(Name::Contact, io.local.contact(&arrival.flow));
    introduction.header(Name::Allow, headers::ALLOW);
    (lines[..all_end].into(), lines[all_end..].into())
}

impl Call {
    /// What forbids a call before anybody is asked. None: it is answered already.
    fn check(&mut self, io: &mut Io<'_>, arrival: &Arrival<'_, '_>) -> Result<(), Option<Refusal>> {
        let invite = arrival.message;
        let unsupported = headers::unsupported(invite);
        if !unsupported.is_empty() {
            self.answer_a(io, 420, &[], |response| {
                response.header(Name::Unsupported, &unsupported);
            });
            return Err(None);
        }
        if SessionExpires::of(invite).is_some_and(|timer| timer.seconds < MIN_SE_SECONDS) {
            self.answer_a(io, 422, &[], |response| {
                response.number(Name::MinSe, u64::from(MIN_SE_SECONDS));
            });
            return Err(None);
        }
        if invite.number(Name::MaxForwards) == Some(0) {
            return Err(Some(Refusal { status: 483, ..refusals::LOOP }));
        }
        let diverted = invite
            .elements(Name::Diversion)
            .count()
            .max(invite.elements(Name::HistoryInfo).count());
        if diverted > usize::from(FORWARDS_MAX) {
            return Err(Some(refusals::LOOP));
        }
        let dialled = dialled(invite.uri(), arrival.trunk).ok_or(Some(refusals::NOT_A_NUMBER))?;
        (self.called, self.called_first) = (dialled.number, dialled.number);
        self.dialled = dialled.written;
        self.routing = dialled.routing;
        if !io.trunks.admit(arrival.peer, io.now, self.called) {
            return Err(Some(refusals::TOO_MANY_CALLS));
        }
        Ok(())
    }

    pub(super) fn ask_to_place(&mut self, io: &mut Io<'_>, party: CallParty, asked: Asked) {
        let mut key = b"sip;".to_vec();
        key.extend_from_slice(&self.a.dialog.local_tag);
        let earlier = self.forwards + self.redirects;
        if earlier > 0 {
            key.extend_from_slice(format!(";{earlier}").as_bytes());
        }
        let request = CallRequest {
            key: key.into_boxed_slice(),
            peer: self.a.trunk,
            origin_host: io.local.host.as_str().into(),
            party,
            called: self.called,
            caller: self.who.said.or(self.own_number),
            dialled: self.dialled.take(),
            routing: self.routing.take(),
            candidates: io.trunks.candidates(io.now, self.called),
            draw: (io.transactions.tokens.draw() % 100) as u8,
        };
        let meter = Meter::new(&request.key, self.a.trunk);
        self.meters.push(meter);
        let index = self.meters.len() - 1;
        io.asks.push((self.id, index, asked, Command::Call(Box::new(request))));
    }

    /// The platform decided about the call, or about a forwarded leg of it.
    pub fn decided(&mut self, io: &mut Io<'_>, meter: usize, decision: Result<CallPlan, Declined>) {
        let plan = match decision {
            Ok(plan) => plan,
            Err(declined) => {
                self.meters[meter].is_closed = true;
                let called = self.called;
                self.note(format_args!("{called}: {}", declined.name()));
                if self.state != State::Over {
                    self.give_up(io, Some(refusals::of(declined)));
                }
                return;
            }
        };
        let first = plan.charge.as_ref().and_then(|answer| answer.groups.first());
        match first.map(|group| &group.outcome) {
            Some(GroupOutcome::Granted(granted)) => self.meters[meter].granted(granted),
            Some(GroupOutcome::Free) => self.meters[meter].is_free(),
            // No session was opened.
            _ => self.meters[meter].is_closed = true,
        }
        if self.state == State::Over {
            return self.close(io, EndCause::Normal);
        }
        if matches!(self.state, State::Ringing | State::Answered) {
            // An emergency call that did not wait for this.
            return self.arm(io);
        }
        self.line = self.line.or(plan.payer);
        self.called = plan.called;
        self.routing = plan.routing;
        self.is_emergency = plan.is_emergency;
        for route in &plan.below_floor {
            let name = io.trunks.name(route.trunk);
            self.note(format_args!("{name} (margin {}: below the floor)", route.margin));
        }
        if self.forwards == 0 {
            (self.number, self.own_number) = (plan.number, plan.number);
            self.withholds_number = plan.withholds_number;
        }
        if self.asks_vno(io, &plan) {
            return self.arm(io);
        }
        self.deadline = io.now.plus(super::POST_DIAL_MAX);
        self.go_to(io, plan.target);
        self.arm(io);
    }

    /// An emergency call goes out though nobody can say anything about it.
    pub(in super::super) fn connect_unasked(&mut self, io: &mut Io<'_>) {
        self.is_emergency = true;
        self.note("connected before the platform answered");
        let routes =
            io.trunks.candidates(io.now, self.called).into_iter().take(ROUTES_MAX).map(|one| {
                Route {
                    trunk: one.trunk,
                    carrier: one.carrier,
                    margin: Amount::ZERO,
                    is_waived: false,
                }
            });
        self.deadline = io.now.plus(super::POST_DIAL_MAX);
        self.go_to(io, CallTarget::Carriers(routes.collect()));
        self.arm(io);
    }

    pub(super) fn go_to(&mut self, io: &mut Io<'_>, target: CallTarget) {
        match target {
            CallTarget::Carriers(routes) => {
                self.callee = None;
                self.targets = routes.into_iter().map(Target::Carrier).collect();
                let is_priced = true;
                self.try_next(io, is_priced);
            }
            CallTarget::Line { line, user, forwarding } => {
                self.ring_line(io, line, user, forwarding);
            }
        }
    }

    fn ring_line(
        &mut self,
        io: &mut Io<'_>,
        line: LineId,
        user: Option<Box<str>>,
        forwarding: tandem_domain::calls::Forwarding,
    ) {
        let always = forwarding.always;
        let unreachable = forwarding.unreachable;
        self.callee = Some(Callee { line, forwarding });
        if let Some(number) = always {
            return self.forward(io, number, "always");
        }
        let contacts = user.map(|user| io.registrar.contacts(&user, io.now)).unwrap_or_default();
        self.targets =
            contacts.into_iter().map(|(uri, flow)| Target::Phone { uri, flow }).collect();
        match (self.targets.is_empty(), unreachable) {
            (true, Some(number)) => self.forward(io, number, "unreachable"),
            (true, None) => self.give_up(io, Some(refusals::UNREACHABLE)),
            (false, _) => self.try_next(io, true),
        }
    }

    /// The called line sends the call on, and pays for that.
    pub(super) fn forward(&mut self, io: &mut Io<'_>, number: Digits, why: &str) {
        let Some(callee) = self.callee.take() else {
            return self.give_up(io, None);
        };
        self.forwards += 1;
        if self.forwards > FORWARDS_MAX {
            return self.give_up(io, Some(refusals::LOOP));
        }
        let called = self.called;
        self.note(format_args!("{called}: forwarded ({why}) to {number}"));
        let domain = &io.local.domain;
        let reason = match why {
            "busy" => "user-busy",
            "no answer" => "no-answer",
            "always" => "unconditional",
            other => other,
        };
        self.diversions.push(format!("<sip:+{}@{domain}>;reason={reason}", self.called));
        (self.called, self.routing) = (number, None);
        self.targets.clear();
        self.to_answer_in = None;
        self.state = State::Rerouting;
        self.deadline = io.now.plus(super::SILENCE_MAX);
        self.answer_a(io, 181, &[], |_| {});
        self.ask_to_place(io, CallParty::Forwarder(callee.line), Asked::Forward);
    }

    pub(super) fn note(&mut self, what: impl fmt::Display) {
        let gap = if self.trail.is_empty() { "" } else { "; " };
        // A String takes all that is written to it.
        let _ = write!(self.trail, "{gap}{what}");
    }

    /// The caller hung up before the answer, or a side takes a re-INVITE back.
    pub fn cancelled(&mut self, io: &mut Io<'_>, invite: ServerId) {
        if self.a.invite != Opening::Taken(invite) {
            return self.cancel_relayed(io, invite);
        }
        if matches!(self.state, State::Answered | State::Over) {
            return;
        }
        self.refuse_a(io, refusals::CANCELLED);
        self.cancel_b(io, None);
        self.note("cancelled by the caller");
        self.close(io, EndCause::Normal);
        self.arm(io);
    }
}
