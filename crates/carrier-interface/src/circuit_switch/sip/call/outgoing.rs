//! The called side: one try after the other, until one answers or none is left.

use sip_protocol::dialog::new_call_id;
use sip_protocol::session_timer::{MIN_SE_SECONDS, Refresher, SessionExpires, SessionTimer};
use sip_protocol::status::q850_of;
use sip_protocol::{Dialog, Message, MessageWriter, Method, Millis, Name};
use tandem_domain::charging::{Declined, GroupOutcome, Reroute, SessionAnswer};
use tandem_domain::command::Command;
use tandem_domain::routing::{Candidate, Route};

use super::again::{Tried, Way};
use super::{
    Asked, BLeg, Call, EARLY_MEDIA_MAX, Io, POST_DIAL_MAX, SILENCE_MAX, Side, State, Target, phones,
};
use crate::circuit_switch::sip::headers;
use crate::circuit_switch::sip::refusals::{self, Refusal};
use crate::circuit_switch::sip::trunks::Failed;

impl Call {
    /// Goes on to the next target. `is_priced`: the platform decided with this one in mind.
    pub(super) fn try_next(&mut self, io: &mut Io<'_>, is_priced: bool) {
        if io.now.since(self.placed) > self.ringing_max() {
            return self.give_up(io, Some(refusals::RINGS_TOO_LONG));
        }
        match self.targets.pop_front() {
            None => self.give_up(io, None),
            Some(Target::Phone { uri, flow }) => self.ring(io, uri, flow),
            Some(Target::Carrier(route)) => {
                let charged = self.meters.iter().any(|meter| !meter.is_closed);
                if is_priced || !charged || self.is_emergency {
                    return self.try_carrier(io, route);
                }
                let Some(meter) = self.meters.last() else { return self.try_carrier(io, route) };
                self.state = State::Rerouting;
                self.deadline = io.now.plus(SILENCE_MAX);
                let candidate =
                    Candidate { trunk: route.trunk, carrier: route.carrier, quality: 0 };
                let order = Reroute { key: meter.key.clone(), peer: meter.peer, candidate };
                let index = self.meters.len() - 1;
                let command = Command::Reroute(Box::new(order));
                io.asks.push((self.id, index, Asked::Reroute(route), command));
            }
        }
    }

    /// The platform's word on the next carrier.
    pub fn rerouted(
        &mut self,
        io: &mut Io<'_>,
        index: usize,
        route: Route,
        answer: Option<Result<SessionAnswer, Declined>>,
    ) {
        if self.state == State::Over {
            return;
        }
        match answer {
            Some(Ok(answer)) => {
                for group in &answer.groups {
                    if let GroupOutcome::Granted(granted) = &group.outcome {
                        self.meters[index].granted(granted);
                    }
                }
                self.try_carrier(io, route);
            }
            Some(Err(declined)) => {
                self.note(format_args!("{}: {}", io.trunks.name(route.trunk), declined.name()));
                self.try_next(io, false);
            }
            None => self.give_up(io, Some(refusals::OVERLOADED)),
        }
        self.arm(io);
    }

    fn try_carrier(&mut self, io: &mut Io<'_>, route: Route) {
        let waived = if route.is_waived { ", margin waived" } else { "" };
        let Some(trunk) = io.trunks.seize(route.trunk, io.now, self.called) else {
            self.note(format_args!("{}: full or down", io.trunks.name(route.trunk)));
            return self.try_next(io, false);
        };
        let name = io.trunks.name(route.trunk);
        self.note(format_args!("{name} (margin {}{waived})", route.margin));
        let way = Way {
            uri: match self.routing.filter(|_| trunk.takes_routing_numbers) {
                _ if self.is_emergency => format!("sip:{}@{}", self.called, trunk.flow.remote),
                Some(network) => format!(
                    "sip:+{};npdi;rn=+{network}@{};user=phone",
                    self.called, trunk.flow.remote
                ),
                None => format!("sip:+{}@{};user=phone", self.called, trunk.flow.remote),
            }
            .into_bytes(),
            flow: trunk.flow,
            trusted: trunk.trusted,
            session_seconds: trunk.session_seconds,
            is_signed_for: trunk.is_signed_for,
            route: Some(route),
            is_trial: trunk.is_trial,
            takes_reliable: true,
        };
        self.invite(io, way);
    }

    pub(super) fn invite(&mut self, io: &mut Io<'_>, way: Way) {
        let tried = Tried {
            way,
            call_id: new_call_id(&mut io.transactions.tokens, &io.local.host),
            tag: Self::tag(self.id, Side::B, &mut io.transactions.tokens),
            cseq: 1,
            credentials: None,
            strays: Vec::new(),
            least_session_seconds: MIN_SE_SECONDS,
        };
        self.try_way(io, tried);
    }

    pub(super) fn try_way(&mut self, io: &mut Io<'_>, tried: Tried) {
        let request = std::mem::take(&mut self.a.request);
        self.invite_like(io, tried, &request);
        self.a.request = request;
        self.arm(io);
    }

    fn invite_like(&mut self, io: &mut Io<'_>, tried: Tried, request: &[u8]) {
        let Ok(invite) = Message::decode(request) else { return };
        let Tried { way, call_id, tag, cseq, credentials, .. } = &tried;
        let (from, to) = self.parties(io, &invite, way);
        let mut dialog = Dialog::calling(call_id, tag, &from, &to, &way.uri, way.flow);
        dialog.local_cseq = *cseq;
        dialog.keeps_flow = way.route.is_none();
        let hops = invite.number(Name::MaxForwards).unwrap_or(70).min(70).saturating_sub(1);
        let supported = headers::supported(&invite, way.takes_reliable);
        let contact = io.local.contact(&way.flow);
        let asserted = self.asserted(io, &invite, way);
        let vouchers = self.vouchers(io, &invite, way);
        let sent_by = io.local.sent_by(&way.flow).as_bytes();
        let trusted = way.trusted && self.a.trusted;
        let passes = io.trunks.passes(way.route.map(|route| route.trunk));
        let id = self.id;
        let client =
            io.transactions.request(io.now, way.flow, sent_by, Method::Invite, id, |via, out| {
                let mut b = MessageWriter::request(out, Method::Invite, &way.uri);
                b.header(Name::Via, via);
                b.number(Name::MaxForwards, hops);
                b.parts(b"From", &[&from, b";tag=", tag]);
                b.header(Name::To, &to);
                b.header(Name::CallId, call_id);
                b.cseq(*cseq, Method::Invite);
                if let Some((name, value)) = credentials {
                    b.header(*name, value);
                }
                b.header(Name::Contact, contact);
                b.header(Name::Allow, headers::ALLOW);
                b.header(Name::Supported, &supported);
                if invite.lists(Name::Require, "100rel") {
                    b.header(Name::Require, b"100rel");
                }
                if way.session_seconds >= MIN_SE_SECONDS {
                    let timer = SessionExpires {
                        seconds: way.session_seconds,
                        refresher: Some(Refresher::Uac),
                    };
                    b.header(Name::SessionExpires, timer.to_value().as_bytes());
                    b.number(Name::MinSe, u64::from(tried.least_session_seconds));
                }
                if let Some((identity, privacy)) = &asserted {
                    b.header(Name::PAssertedIdentity, identity);
                    if *privacy {
                        b.header(Name::Privacy, b"id");
                    }
                }
                b.header(Name::UserAgent, headers::SERVER);
                // The latest comes first.
                for diversion in self.diversions.iter().rev() {
                    b.header(Name::Diversion, diversion.as_bytes());
                }
                for voucher in &vouchers {
                    b.header(Name::Identity, voucher);
                }
                headers::pass(&invite, &mut b, trusted, passes);
                b.finish(invite.body);
            });
        let callee_rings = self.callee.as_ref().and_then(|callee| {
            let seconds = callee.forwarding.no_answer_seconds;
            let seconds = if seconds == 0 { 20 } else { u64::from(seconds) };
            callee.forwarding.no_answer.map(|_| io.now.plus(seconds * 1000))
        });
        self.to_answer_in = callee_rings;
        self.deadline = match way.route {
            Some(_) => io.now.plus(SILENCE_MAX).min(self.placed.plus(POST_DIAL_MAX)),
            None => io.now.plus(SILENCE_MAX),
        };
        self.state = State::Ringing;
        self.b = Some(BLeg {
            invite: client,
            dialog,
            trunk: way.route.map(|route| route.trunk),
            trusted: way.trusted,
            started: io.now,
            rang: false,
            timer: (way.session_seconds > 0)
                .then_some(SessionTimer { seconds: way.session_seconds, is_ours: true }),
            allows_update: false,
            ack_waits: false,
            rseq_shift: None,
            has_timer: false,
            media_until: None,
            tried: Some(Box::new(tried)),
        });
        self.tell(Side::B, invite.body);
    }

    /// An answer to the INVITE that is out.
    pub fn answered_by_b(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        let status = message.status();
        if matches!(self.state, State::Over | State::Answered) {
            // Behind a forking proxy a second phone may answer too: it is thanked and hung up (section 13.2.2.4).
            let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
            if (200..300).contains(&status)
                && let Some(leg) = &mut self.b
                && (self.state == State::Over || *leg.dialog.remote_tag != *tag)
                && leg.tried.as_mut().is_none_or(|tried| tried.is_new_stray(tag))
            {
                Self::hang_up_stray(io, message, leg.dialog.flow);
            }
            return;
        }
        match status {
            // It is being tried: there is time until something has to ring.
            100 => self.deadline = self.deadline.max(self.placed.plus(POST_DIAL_MAX)),
            101..200 => self.progress(io, message),
            200..300 => self.connect(io, message),
            _ => self.refused_by_b(io, message),
        }
        self.arm(io);
    }

    fn progress(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        let most = self.ringing_max();
        let Some(leg) = &mut self.b else { return };
        leg.dialog.answered(message);
        leg.allows_update |= message.lists(Name::Allow, "UPDATE");
        if !leg.rang {
            leg.rang = true;
            if let Some(trunk) = leg.trunk {
                let after = io.now.since(leg.started);
                let is_trial = leg.is_trial();
                io.trunks.rang(trunk, after, is_trial);
            }
        }
        let is_one_of_many = !self.others.is_empty();
        if is_one_of_many && !message.body.is_empty() {
            // While several phones ring nobody's early media is the caller's: it hears that they ring.
            self.deadline = self.placed.plus(most);
            return self.answer_a(io, 180, &[], |_| {});
        }
        if !message.body.is_empty() && leg.media_until.is_none() {
            leg.media_until = Some(io.now.plus(EARLY_MEDIA_MAX));
        }
        let ringing = self.placed.plus(most);
        self.deadline = leg.media_until.map_or(ringing, |media| media.min(ringing));
        let trusted = leg.trusted && self.a.trusted;
        let reliable = message.lists(Name::Require, "100rel");
        let rseq = message.number(Name::RSeq).filter(|_| reliable);
        let next = i64::from(self.last_rseq) + 1;
        let mapped = rseq.map(|rseq| {
            let first = i64::try_from(rseq).unwrap_or(0);
            // The first leg's numbers are as good as any; later ones go on from there.
            let begin = if next == 1 { first } else { next };
            let shift = *leg.rseq_shift.get_or_insert(begin - first);
            u64::try_from(first + shift).unwrap_or(rseq)
        });
        if let Some(mapped) = mapped {
            self.last_rseq = self.last_rseq.max(mapped as u32);
        }
        let status = message.status();
        self.tell(Side::A, message.body);
        let extra = headers::listed(message, io.trunks.passes(Some(self.a.trunk)));
        self.answer_a(io, status, message.body, |response| {
            if let Some(mapped) = mapped {
                response.header(Name::Require, b"100rel");
                response.number(Name::RSeq, mapped);
            }
            headers::pass(message, response, trusted, &[]);
            headers::write(&extra, response);
        });
    }

    /// The called side answered: from this moment on it costs.
    fn connect(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        let (has_offer, supports_timer) = (self.a.has_offer, self.a.supports_timer);
        self.cancel_others(io, Some(phones::ELSEWHERE));
        // No other leg will be made from it.
        self.a.request = Box::default();
        let Some(leg) = &mut self.b else { return };
        leg.dialog.answered(message);
        leg.allows_update |= message.lists(Name::Allow, "UPDATE");
        leg.timer = match (SessionExpires::of(message), leg.timer) {
            (Some(timer), _) => Some(SessionTimer {
                seconds: timer.seconds.max(MIN_SE_SECONDS),
                is_ours: timer.refresher != Some(Refresher::Uas),
            }),
            (None, ours) => ours,
        };
        leg.has_timer = SessionExpires::of(message).is_some();
        leg.ack_waits = !has_offer;
        let trusted = leg.trusted && self.a.trusted;
        if let Some(trunk) = leg.trunk {
            io.trunks.answered(trunk, leg.rang, leg.is_trial());
        }
        io.counts.answered += 1;
        self.answered = Some(io.now);
        self.state = State::Answered;
        self.to_answer_in = None;
        self.targets.clear();
        if has_offer {
            self.ack_b(io, &[], None);
        }
        self.tell(Side::A, message.body);
        let timer = self.a.timer;
        let extra = headers::listed(message, io.trunks.passes(Some(self.a.trunk)));
        self.answer_a(io, 200, message.body, |response| {
            response.header(Name::Supported, b"timer");
            if let Some(timer) = timer.filter(|_| supports_timer) {
                let refresher = if timer.is_ours { Refresher::Uas } else { Refresher::Uac };
                let value = SessionExpires { seconds: timer.seconds, refresher: Some(refresher) }
                    .to_value();
                if !timer.is_ours {
                    response.header(Name::Require, b"timer");
                }
                response.header(Name::SessionExpires, value.as_bytes());
            }
            headers::pass(message, response, trusted, &[]);
            headers::write(&extra, response);
        });
        self.note("answered");
        for side in [Side::A, Side::B] {
            self.refreshed(io.now, side);
        }
        let resume = super::note(self);
        for index in 0..self.meters.len() {
            self.report(io, index, resume.clone());
        }
    }

    /// Acknowledges the 2xx of the called side, with the caller's answer to a late offer if there is one.
    pub(super) fn ack_b(&mut self, io: &mut Io<'_>, body: &[u8], content: Option<&[u8]>) {
        self.tell(Side::B, body);
        let Some(leg) = &mut self.b else { return };
        leg.ack_waits = false;
        let flow = leg.dialog.next_hop();
        let via = super::end::ack_via(io, &flow);
        let (dialog, tried) = (&leg.dialog, &leg.tried);
        io.transactions.ack(leg.invite, flow, |out| {
            let cseq = tried.as_ref().map_or(1, |tried| tried.cseq);
            let mut ack = dialog.begin(out, Method::Ack, &via, cseq);
            if let Some((name, value)) = tried.as_ref().and_then(|one| one.credentials.as_ref()) {
                // The same as in its INVITE (RFC 3261 section 22.1).
                ack.header(*name, value);
            }
            if let Some(content) = content {
                ack.header(Name::ContentType, content);
            }
            ack.finish(body);
        });
    }

    /// A final refusal: another way, another number, or the caller hears it.
    fn refused_by_b(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        if self.another_try(io, message) {
            return;
        }
        let status = message.status();
        let heard = message.all(Name::Reason).find_map(sip_protocol::fields::q850_cause);
        let retry_after = message.number(Name::RetryAfter);
        self.failed(io, status, heard.unwrap_or_else(|| q850_of(status)), retry_after);
    }

    /// No answer at all, or one that refuses.
    pub(super) fn failed(
        &mut self,
        io: &mut Io<'_>,
        status: u16,
        cause: u8,
        retry_after: Option<u64>,
    ) {
        let Some(leg) = self.b.take() else { return };
        // What a switch wants of us, not of the caller, is a fault of this way: another may be open.
        let is_between_us = leg.trunk.is_some() && matches!(status, 300..=399 | 401 | 407 | 422);
        let advances = is_between_us || matches!(status, 408 | 500 | 502 | 503 | 504 | 580);
        self.note(status);
        let (status, cause) = match leg.trunk {
            Some(_) => (status, cause),
            None => match self.word_of_phones(io, status, cause) {
                Some(word) => word,
                None => return,
            },
        };
        let status =
            if is_between_us || (leg.trunk.is_some() && status == 408) { 503 } else { status };
        if let Some(trunk) = leg.trunk {
            let health = Failed { is_fault: advances, rang: leg.rang, is_trial: leg.is_trial() };
            io.trunks.failed(trunk, io.now, health, retry_after);
            io.trunks.release(trunk, leg.is_trial());
        }
        self.last_refusal =
            Some(Refusal { status, cause, text: sip_protocol::status::reason(status) });
        let forwarding = self.callee.as_ref().map(|callee| callee.forwarding.clone());
        let forwarding = forwarding.unwrap_or_default();
        match status {
            486 | 600 if forwarding.busy.is_some() => {
                if let Some(number) = forwarding.busy {
                    self.forward(io, number, "busy");
                }
            }
            // A phone that is silent or gone: the next contact, or the number for that.
            408 | 480 | 503 if leg.trunk.is_none() => {
                match (self.targets.is_empty(), forwarding.unreachable) {
                    (true, Some(number)) => self.forward(io, number, "unreachable"),
                    (true, None) => self.give_up(io, None),
                    (false, _) => self.try_next(io, true),
                }
            }
            _ if advances || (leg.trunk.is_none() && status < 600) => {
                self.try_next(io, leg.trunk.is_none())
            }
            _ => self.give_up(io, None),
        }
    }

    /// Nobody answered within the time that this try has.
    pub(super) fn rang_long_enough(&mut self, io: &mut Io<'_>) {
        let no_answer = self.to_answer_in.is_some_and(|at| at <= io.now);
        let number = self.callee.as_ref().and_then(|callee| callee.forwarding.no_answer);
        if let Some(number) = number.filter(|_| no_answer) {
            self.cancel_b(io, None);
            self.b = None;
            return self.forward(io, number, "no answer");
        }
        if self.deadline > io.now {
            return;
        }
        let mut legs = self.b.iter().chain(&self.others);
        if legs.any(|leg| leg.rang) {
            self.cancel_b(io, None);
            return self.give_up(io, Some(refusals::NO_ANSWER));
        }
        // Silence: this way is closed, another may be open.
        self.cancel_b(io, None);
        self.failed(io, 408, 102, None);
    }

    pub(super) fn refreshed(&mut self, now: Millis, side: Side) {
        let timer = self.timer(side);
        self.refresh_at[side as usize] =
            timer.map_or(Millis(u64::MAX), |timer| now.plus(timer.wait_millis()));
    }
}
