//! Money while the call runs: metered from the answer, asked for again before it ends, never beyond it.

use sip_protocol::Millis;
use smallvec::SmallVec;
use tandem_domain::charging::{
    CallPart, Context, Declined, EndCause, Granted, GroupKey, GroupOutcome, GroupRequest,
    SessionAnswer, SessionRequest, SessionVerb, TariffChange, UnitCounts, UsedUnits,
};
use tandem_domain::command::Command;
use tandem_domain::identifier::PeerId;
use tandem_domain::service::{Direction, Service};

use super::{Asked, Call, Ended, Io, State};

/// Seconds of what costs nothing.
const WITHOUT_END: u64 = u64::MAX / 1_000_000;
/// The platform settles what it has not heard of for two hours.
const TOLD_EVERY_SECONDS: u64 = 1800;
/// What may be free is asked about until there is an answer.
const ASKED_AGAIN_SECONDS: u64 = 5;

/// One charging session of a call: the caller's, or that of a line that forwards.
#[derive(Clone, Debug)]
pub(in super::super) struct Meter {
    pub key: Box<[u8]>,
    pub peer: PeerId,
    number: u32,
    /// Seconds from the answer on that are paid for.
    pub granted_seconds: u64,
    pub reported_seconds: u64,
    /// Seconds of the last slice.
    slice: u64,
    /// There is no more to be had.
    pub is_final: bool,
    /// It costs nothing; by this second the platform hears that it still runs.
    free_until_told: Option<u64>,
    /// Because the call may last no longer.
    is_time_limit: bool,
    is_waiting: bool,
    /// The platform has opened the session.
    is_open: bool,
    pub is_closed: bool,
    closing: Option<EndCause>,
}

impl Meter {
    pub fn new(key: &[u8], peer: PeerId) -> Meter {
        Meter {
            key: key.into(),
            peer,
            number: 0,
            granted_seconds: 0,
            reported_seconds: 0,
            slice: 0,
            is_final: false,
            free_until_told: None,
            is_time_limit: false,
            is_waiting: false,
            is_open: false,
            is_closed: false,
            closing: None,
        }
    }

    /// As it was when the process stopped. One that was granted nothing was free, or at its end: the platform is
    /// asked at once.
    pub fn resumed(key: &[u8], peer: PeerId, number: u32, reported: u64, granted: u64) -> Meter {
        Meter {
            number,
            reported_seconds: reported,
            granted_seconds: if granted == 0 { WITHOUT_END } else { reported + granted },
            slice: granted,
            free_until_told: (granted == 0).then_some(0),
            is_open: true,
            ..Meter::new(key, peer)
        }
    }

    pub fn granted(&mut self, granted: &Granted) {
        self.free_until_told = None;
        self.granted_seconds = self.reported_seconds + granted.amount;
        self.slice = granted.amount;
        self.is_open = true;
        self.is_final = granted.final_unit.is_some();
        self.is_time_limit = granted.is_time_limit;
    }

    /// Why the call ends when this is spent.
    pub fn ends(&self) -> Ended {
        if self.is_time_limit { Ended::TooLong } else { Ended::NoCredit }
    }

    /// It costs nothing, and is counted all the same.
    pub fn is_free(&mut self) {
        self.granted_seconds = WITHOUT_END;
        self.free_until_told = Some(self.reported_seconds + TOLD_EVERY_SECONDS);
        self.is_open = true;
        self.is_final = false;
    }

    pub(super) fn is_running(&self) -> bool {
        !self.is_closed && self.closing.is_none()
    }

    fn spent_at(&self, answered: Millis) -> Millis {
        answered.plus(self.granted_seconds * 1000)
    }

    /// Early enough that the answer comes before the money ends.
    fn report_at(&self, answered: Millis) -> Millis {
        if let Some(told) = self.free_until_told {
            return answered.plus(told * 1000);
        }
        let lead = (self.slice * 1000 / 5).min(10_000);
        Millis(self.spent_at(answered).0.saturating_sub(lead))
    }

    /// When something has to be done next.
    pub fn next(&self, answered: Option<Millis>) -> Option<Millis> {
        let answered = answered.filter(|_| self.is_running())?;
        let asks = !self.is_final && !self.is_waiting;
        Some(if asks { self.report_at(answered) } else { self.spent_at(answered) })
    }

    pub fn is_spent(&self, answered: Option<Millis>, now: Millis) -> bool {
        let answered = answered.filter(|_| self.is_running());
        answered.is_some_and(|answered| now >= self.spent_at(answered))
    }

    fn request(&mut self, verb: SessionVerb, used: u64, asks: bool) -> SessionRequest {
        self.number += 1;
        let octets = |seconds| UnitCounts { seconds: Some(seconds), ..UnitCounts::default() };
        let report = UsedUnits { counts: octets(used), tariff_change: TariffChange::Indeterminate };
        SessionRequest {
            verb,
            key: self.key.clone(),
            number: self.number,
            peer: self.peer,
            origin_host: Box::default(),
            origin_realm: Box::default(),
            origin_state: None,
            identities: SmallVec::new(),
            context: Context::new(Service::Voice, Direction::Originating),
            groups: SmallVec::from_iter([GroupRequest {
                key: GroupKey::default(),
                requested: asks.then(UnitCounts::default),
                used: (used > 0).then_some(report).into_iter().collect(),
                is_final: !asks,
            }]),
            call: None,
        }
    }
}

impl Call {
    /// Reports what was used and asks for more, where it is time.
    pub(super) fn report_due(&mut self, io: &mut Io<'_>) {
        let Some(answered) = self.answered else { return };
        for index in 0..self.meters.len() {
            let meter = &self.meters[index];
            let is_due = meter.is_running()
                && !meter.is_final
                && !meter.is_waiting
                && io.now >= meter.report_at(answered);
            if is_due {
                self.report(io, index, None);
            }
        }
    }

    pub(super) fn report(&mut self, io: &mut Io<'_>, index: usize, note: Option<Box<[u8]>>) {
        let known = self.alive_at.unwrap_or(io.now);
        let elapsed = self.answered.map_or(0, |answered| known.since(answered) / 1000);
        let meter = &mut self.meters[index];
        if !meter.is_running() {
            return;
        }
        let used = elapsed.min(meter.granted_seconds).saturating_sub(meter.reported_seconds);
        meter.reported_seconds += used;
        meter.is_waiting = true;
        let mut request = meter.request(SessionVerb::Report, used, true);
        if note.is_some() {
            request.call = Some(Box::new(CallPart { note, ..CallPart::default() }));
        }
        io.asks.push((self.id, index, Asked::Report, Command::Session(Box::new(request))));
    }

    /// Asks at once whether the money still covers it, or covers more.
    pub fn reauthorise(&mut self, io: &mut Io<'_>) {
        if self.state != State::Answered {
            return;
        }
        for index in 0..self.meters.len() {
            self.meters[index].is_final = false;
            self.report(io, index, None);
        }
        self.arm(io);
    }

    /// The platform's word on a report.
    pub fn reported(
        &mut self,
        io: &mut Io<'_>,
        index: usize,
        answer: Option<Result<SessionAnswer, Declined>>,
    ) {
        let Some(meter) = self.meters.get_mut(index) else { return };
        meter.is_waiting = false;
        let outcome = answer.and_then(|answer| match answer {
            Ok(answer) => answer.groups.into_iter().next().map(|group| group.outcome),
            Err(declined) => Some(GroupOutcome::Declined(declined)),
        });
        match outcome {
            Some(GroupOutcome::Granted(granted)) if granted.amount > 0 => meter.granted(&granted),
            _ if self.is_emergency => meter.is_free(),
            Some(GroupOutcome::Free | GroupOutcome::Noted) => {
                // It costs nothing from here on.
                meter.is_free();
            }
            Some(refused) => {
                // What was reserved is given back: only what was reported is paid for.
                meter.granted_seconds = meter.reported_seconds;
                meter.free_until_told = None;
                meter.is_final = true;
                meter.is_time_limit = refused == GroupOutcome::Declined(Declined::TimeLimit);
            }
            // No answer at all: what was granted is still reserved, and ends when it ends.
            None => {
                meter.is_final = meter.free_until_told.is_none();
                meter.free_until_told =
                    meter.free_until_told.map(|_| meter.reported_seconds + ASKED_AGAIN_SECONDS);
            }
        }
        let meter = &self.meters[index];
        if self.state == State::Answered && meter.is_spent(self.answered, io.now) {
            let why = meter.ends();
            self.cut(io, why);
        }
        self.arm(io);
    }

    /// Ends the charge: once, up to the last second that was paid for.
    pub(super) fn close(&mut self, io: &mut Io<'_>, cause: EndCause) {
        self.state = State::Over;
        // Of a call that was lost with the process before this one, nothing after its last sign of life.
        let known = self.alive_at.unwrap_or(io.now);
        let seconds = self.answered.map_or(0, |answered| known.since(answered).div_ceil(1000));
        if let (Some(answered), Some(trunk)) =
            (self.answered, self.b.as_ref().and_then(|leg| leg.trunk))
        {
            io.trunks.talked(trunk, known.since(answered));
        }
        self.drop_relays(io);
        // A cut comes with the tick after its moment: that is not the subscriber's time.
        let seconds =
            if self.seconds_max > 0 { seconds.min(u64::from(self.seconds_max)) } else { seconds };
        let trail: Option<Box<str>> = (!self.trail.is_empty()).then(|| self.trail.as_str().into());
        for index in 0..self.meters.len() {
            let meter = &mut self.meters[index];
            // What is not decided yet is closed when the decision is there.
            if !meter.is_running() || !meter.is_open {
                continue;
            }
            meter.closing = Some(cause);
            let used = seconds.min(meter.granted_seconds).saturating_sub(meter.reported_seconds);
            meter.reported_seconds += used;
            let mut request = meter.request(SessionVerb::Close(cause), used, false);
            request.call = Some(Box::new(CallPart { trail: trail.clone(), ..CallPart::default() }));
            io.asks.push((self.id, index, Asked::Close, Command::Session(Box::new(request))));
        }
    }

    /// The charge is closed. What the platform could not take now its supervision settles later.
    pub fn closed(&mut self, index: usize) {
        if let Some(meter) = self.meters.get_mut(index) {
            meter.is_closed = true;
        }
    }
}
