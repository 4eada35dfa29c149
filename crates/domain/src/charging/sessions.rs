//! Open, report and close (RFC 8506 section 8.4, server state machine for session-based credit control).
//!
//! Usage is debited before anything else, whatever the answer; grants come last, so that all groups of one
//! request see each other's money.

use smallvec::SmallVec;

use super::draft::Draft;
use super::emergency::{is_emergency, let_through};
use super::ending::{close_gate, supervised_until};
use super::funds::Charging;
use super::grant::{self, release};
use super::group::{BurstFee, Group, GroupKey, Phase};
use super::named;
use super::rates;
use super::request::{
    Declined, GroupAnswer, GroupOutcome, GroupRequest, SessionAnswer, SessionRequest, SessionVerb,
    TariffChange,
};
use super::session::{Context, EndCause, GivenAnswer, Session};
use super::settle;
use super::wholesale;
use crate::answered::{Reply, RequestKey};
use crate::decide::Decision;
use crate::event::{Event, Movements, Remembered, SessionClosing, SessionReport, SessionRerouted};
use crate::identifier::{CarrierId, Identity, LineId, SessionId};
use crate::party::Standing;
use crate::quantity::Unit;
use crate::service::Service;
use crate::state::State;
use crate::time::Timestamp;

pub(crate) fn decide_session(
    state: &State,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let carrier_of = |peer| state.registry.peer(peer).map(|peer| peer.carrier);
    let Some(owner) = carrier_of(request.peer) else {
        return Decision::refused(Declined::CarrierNotAllowed);
    };
    if let Some(session) = state.session_by_key(&request.key) {
        if carrier_of(session.peer) != Some(owner) {
            return Decision::refused(Declined::UnknownSession);
        }
        if let Some(answer) = session.answered(request.number) {
            return Decision::repeated(Ok(answer.clone()));
        }
        if session.is_stale(request.number) || request.verb == SessionVerb::Open {
            return Decision::refused(Declined::StaleRequest);
        }
        return go_on(state, session, owner, request, now);
    }
    let remembered = state.answered.reply(&RequestKey::of_carrier(owner, &request.key));
    if let Some(Reply::SessionClosed(number, answer)) = remembered {
        return if *number == request.number {
            Decision::repeated(Ok(answer.as_ref().clone()))
        } else {
            Decision::refused(Declined::UnknownSession)
        };
    }
    // A call that runs through us leaves a record; of others only their switch knows.
    if request.call.is_none() && is_emergency(state, &request.identities, &request.context) {
        return Decision::repeated(Ok(let_through(request)));
    }
    match request.verb {
        SessionVerb::Open => {
            let chosen = request.call.as_ref().and_then(|call| call.carrier);
            open(state, chosen.unwrap_or(owner), request, now)
        }
        SessionVerb::Report | SessionVerb::Close(_) => Decision::refused(Declined::UnknownSession),
    }
}

/// The line that all given identities belong to. Unknown ones are passed over when another is known:
/// a gateway may send identities that were never provisioned.
pub(super) fn identify(state: &State, identities: &[Identity]) -> Result<LineId, Declined> {
    let mut found = None;
    for line in identities.iter().filter_map(|identity| state.identities.line(identity)) {
        match found {
            None => found = Some(line),
            Some(known) if known == line => {}
            Some(_) => return Err(Declined::ConflictingIdentities),
        }
    }
    found.ok_or(Declined::UnknownUser)
}

/// Everything a decision about this line looks at.
pub(crate) fn charging<'a>(
    state: &'a State,
    line_id: LineId,
    carrier: CarrierId,
    context: &'a Context,
    now: Timestamp,
) -> Result<Charging<'a>, Declined> {
    let vno = state.registry.vno(line_id.vno()).ok_or(Declined::UnknownUser)?;
    let subscriber = state.subscriber(line_id.subscriber()).ok_or(Declined::UnknownUser)?;
    let line = subscriber.line(line_id).ok_or(Declined::UnknownUser)?;
    Ok(Charging { state, vno, subscriber, line, line_id, carrier, context, now })
}

/// May this line use this service at all?
pub(crate) fn admit_line(charging: &Charging<'_>) -> Result<(), Declined> {
    let state = charging.state;
    if charging.vno.standing != Standing::Active {
        return Err(Declined::VnoSuspended);
    }
    if state.tally(charging.vno.id).is_some_and(|tally| tally.credit_exhausted) {
        return Err(Declined::VnoCreditExhausted);
    }
    if charging.subscriber.standing != Standing::Active {
        return Err(Declined::SubscriberSuspended);
    }
    if charging.line.standing != Standing::Active {
        return Err(Declined::LineSuspended);
    }
    if charging.line.is_barred(charging.context.service) {
        return Err(Declined::Barred);
    }
    Ok(())
}

/// And on this carrier's network?
pub(super) fn admit(charging: &Charging<'_>) -> Result<(), Declined> {
    if charging.context.is_emergency {
        return Ok(());
    }
    admit_line(charging)?;
    may_carry(charging)
}

/// Is the carrier in service, and open to the VNO's subscribers?
pub(super) fn may_carry(charging: &Charging<'_>) -> Result<(), Declined> {
    if charging.carrier == CarrierId::NOBODY {
        return Ok(());
    }
    let state = charging.state;
    let carrier = state.registry.carrier(charging.carrier);
    let usable = carrier.is_some_and(|carrier| carrier.standing == Standing::Active)
        && charging.vno.may_use(charging.carrier);
    if usable { Ok(()) } else { Err(Declined::CarrierNotAllowed) }
}

fn open(
    state: &State,
    carrier: CarrierId,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let prepared = identify(state, &request.identities)
        .and_then(|line| charging(state, line, carrier, &request.context, now))
        .and_then(|charging| admit(&charging).map(|()| charging));
    let charging = match prepared {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, now);
    work.burst = match wholesale::admit(&charging) {
        Ok(burst) => burst,
        Err(declined) => return Decision::refused(declined),
    };
    let mut answer = work.serve(&[], request, None);
    answer.failure_handling = Some(charging.vno.failure_handling);
    if let Some(declined) = refused_as_a_whole(&answer) {
        let mut decision = Decision::refused(declined);
        decision.events.extend(work.gate_events());
        return decision;
    }
    let opened = state.tally(charging.vno.id).map_or(0, |tally| tally.sessions_opened);
    let session = Session {
        id: SessionId::new(charging.vno.id, opened + 1),
        key: request.key.clone(),
        line: charging.line_id,
        peer: request.peer,
        carrier,
        origin_host: request.origin_host.clone(),
        origin_realm: request.origin_realm.clone(),
        // A session of a host that has said so elsewhere belongs to what it is now.
        origin_state: request.origin_state.or_else(|| {
            let host = (request.peer, request.origin_host.clone());
            state.origin_states.get(&host).copied()
        }),
        context: request.context.clone(),
        opened_at: now,
        heard_at: now,
        supervised_until: supervised_until(&answer, now),
        groups: std::mem::take(&mut work.groups),
        answers: SmallVec::from_buf([GivenAnswer {
            number: request.number,
            answer: answer.clone(),
        }]),
        ending: false,
        note: None,
        overtaken: 0,
        burst: work.burst,
    };
    let gate = work.gate_events();
    let mut decision = Decision::new(Ok(answer));
    decision.events.push(Event::SessionOpened(Box::new(session), work.movements()));
    decision.events.extend(gate);
    decision
}

/// When no group got anything and all for the same reason, the request itself is refused.
fn refused_as_a_whole(answer: &SessionAnswer) -> Option<Declined> {
    let reason = |group: &GroupAnswer| match group.outcome {
        GroupOutcome::Declined(declined) => Some(declined),
        _ => None,
    };
    let first = reason(answer.groups.first()?)?;
    answer.groups.iter().all(|group| reason(group) == Some(first)).then_some(first)
}

fn go_on(
    state: &State,
    session: &Session,
    owner: CarrierId,
    request: &SessionRequest,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    let charging = match charging(state, session.line, session.carrier, &session.context, now) {
        Ok(charging) => charging,
        Err(declined) => return Decision::refused(declined),
    };
    let mut work = Work::new(charging, session.heard_at);
    work.burst = session.burst;
    let answer = work.serve(&session.groups, request, Some(session));
    let gate = work.gate_events();
    let groups = std::mem::take(&mut work.groups);
    let mut decision = Decision::new(Ok(answer.clone()));
    if let SessionVerb::Close(cause) = request.verb {
        let cause = if session.ending { EndCause::Administrative } else { cause };
        let trail = request.call.as_ref().and_then(|call| call.trail.clone());
        let closing = SessionClosing { session: session.id, cause, groups, trail };
        decision.events.push(Event::SessionClosed(Box::new(closing), work.movements()));
        decision.remember = Some(Remembered {
            key: RequestKey::of_carrier(owner, &request.key),
            reply: Reply::SessionClosed(request.number, Box::new(answer)),
        });
    } else {
        let report = SessionReport {
            session: session.id,
            number: request.number,
            groups,
            // What other groups were granted runs on, whatever this answer says.
            supervised_until: supervised_until(&answer, now).max(session.supervised_until),
            answer,
            origin_state: request.origin_state.filter(|state| session.origin_state != Some(*state)),
            note: request.call.as_ref().and_then(|call| call.note.clone()),
        };
        decision.events.push(Event::SessionReported(Box::new(report), work.movements()));
    }
    decision.events.extend(gate);
    decision
}

/// Prices and reserves all legs of an unused session anew, over another carrier.
pub(super) fn reroute(
    session: &Session,
    charging: Charging<'_>,
    now: Timestamp,
) -> Decision<Result<SessionAnswer, Declined>> {
    if session.groups.iter().any(|group| group.used > 0) || session.ending {
        return Decision::refused(Declined::SessionEnding);
    }
    let mut work = Work::new(charging, now);
    for group in &session.groups {
        release(&mut work.draft, &mut group.clone());
    }
    let mut answer = SessionAnswer::default();
    for key in session.groups.iter().map(|group| group.key) {
        let begun = rates::begin(&work.charging, key, now);
        let outcome = match begun {
            Ok(group) => {
                work.groups.push(Group { burst: session.burst, ..group });
                let asked = GroupRequest {
                    key,
                    requested: Some(Default::default()),
                    used: SmallVec::new(),
                    is_final: false,
                };
                work.reserve(&asked, true)
            }
            Err(declined) => GroupOutcome::Declined(declined),
        };
        answer.groups.push(GroupAnswer { key, outcome });
    }
    if let Some(declined) = refused_as_a_whole(&answer) {
        return Decision::refused(declined);
    }
    let gate = work.gate_events();
    let moved = SessionRerouted {
        session: session.id,
        carrier: work.charging.carrier,
        groups: std::mem::take(&mut work.groups),
        supervised_until: supervised_until(&answer, now),
    };
    let mut decision = Decision::new(Ok(answer));
    decision.events.push(Event::SessionRerouted(Box::new(moved), work.movements()));
    decision.events.extend(gate);
    decision
}

/// One request being served.
struct Work<'a> {
    charging: Charging<'a>,
    draft: Draft,
    /// Groups that were touched, as they are now.
    groups: SmallVec<[Group; 1]>,
    /// When the switch last reported: units reported without a tariff mark were used from then on.
    heard_at: Timestamp,
    vno_ran_out: bool,
    /// Of a session beyond the VNO's capacity: each group holds the fee until one of them owes it.
    burst: Option<BurstFee>,
}

impl<'a> Work<'a> {
    fn new(charging: Charging<'a>, heard_at: Timestamp) -> Work<'a> {
        Work {
            charging,
            draft: Draft::default(),
            groups: SmallVec::new(),
            heard_at,
            vno_ran_out: false,
            burst: None,
        }
    }

    fn serve(
        &mut self,
        known: &[Group],
        request: &SessionRequest,
        session: Option<&Session>,
    ) -> SessionAnswer {
        let closing = matches!(request.verb, SessionVerb::Close(_));
        let mut answer = SessionAnswer::default();
        let mut faults: SmallVec<[Option<Declined>; 1]> = SmallVec::new();
        for asked in &request.groups {
            // Before the first group nothing has changed yet.
            let before = (!self.groups.is_empty())
                .then(|| (self.draft.clone(), self.group(asked.key).cloned()));
            let fault = self.take_report(known, asked).err();
            if fault.is_some() {
                // What could not be charged in full is not charged in part. An earlier report of the same group
                // in this request stays.
                let (draft, group) = before.unwrap_or_default();
                self.draft = draft;
                self.groups.retain(|group| group.key != asked.key);
                self.groups.extend(group);
            }
            faults.push(fault);
        }
        if closing {
            for group in known {
                self.touch(known, group.key);
            }
            for group in &mut self.groups {
                release(&mut self.draft, group);
                group.phase = Phase::Idle;
            }
        }
        let may_go_on = match session {
            Some(session) if session.ending => Err(Declined::SessionEnding),
            _ => admit(&self.charging),
        };
        for (asked, fault) in request.groups.iter().zip(faults) {
            let outcome = match fault {
                Some(declined) => GroupOutcome::Declined(declined),
                None if closing || asked.requested.is_none() => GroupOutcome::Noted,
                None => match may_go_on {
                    Ok(()) => self.reserve(asked, session.is_none()),
                    Err(declined) => GroupOutcome::Declined(declined),
                },
            };
            answer.groups.push(GroupAnswer { key: asked.key, outcome });
        }
        answer
    }

    fn group(&self, key: GroupKey) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == key)
    }

    /// Brings a known group into this request's work.
    fn touch(&mut self, known: &[Group], key: GroupKey) -> bool {
        if self.groups.iter().any(|group| group.key == key) {
            return true;
        }
        let Some(found) = known.iter().find(|group| group.key == key) else { return false };
        self.groups.push(found.clone());
        true
    }

    /// Debits what the switch says was used, after giving back what was reserved for it.
    fn take_report(&mut self, known: &[Group], asked: &GroupRequest) -> Result<(), Declined> {
        if !self.touch(known, asked.key) {
            if asked.used.is_empty() && asked.requested.is_none() {
                return Ok(());
            }
            if known.len() + self.groups.len() >= Session::GROUPS_MAX {
                return Err(Declined::TooManyGroups);
            }
            let mut group = match asked.named_money() {
                Some(named) => {
                    let money = named::money(&self.charging, named);
                    named::begin(&self.charging, asked.key, money.currency)
                }
                None => rates::begin(&self.charging, asked.key, self.charging.now)?,
            };
            if !rates::is_free(&self.charging, &group) {
                group.burst = self.burst;
                self.groups.push(group);
            } else if self.charging.context.service == Service::Voice {
                // It costs nobody anything; how long it lasted is recorded, and may be limited.
                self.groups.push(Group { wholesale: None, cost: None, content: None, ..group });
            } else {
                return Ok(());
            }
        }
        let is_owed = known.iter().chain(&self.groups).any(Group::owes_burst);
        let Some(group) = self.groups.iter_mut().find(|group| group.key == asked.key) else {
            return Ok(());
        };
        release(&mut self.draft, group);
        group.phase = Phase::Idle;
        // Once for the session.
        group.burst = group.burst.filter(|burst| burst.is_owed || !is_owed);
        let reported_at = group.reported_at.unwrap_or(self.heard_at);
        for used in &asked.used {
            if group.unit == Unit::Money {
                named::report(&self.charging, &mut self.draft, group, &used.counts)?;
                continue;
            }
            if rates::is_free(&self.charging, group) {
                let units = used.counts.of(group.unit).unwrap_or(0);
                group.used = group.used.saturating_add(units);
                continue;
            }
            let units = match used.counts.of(group.unit) {
                Some(units) => units,
                None if used.counts.is_empty() => 0,
                None => return Err(Declined::UnitMismatch),
            };
            let used_at = match used.tariff_change {
                TariffChange::Before | TariffChange::Indeterminate => reported_at,
                TariffChange::After => self.charging.now,
            };
            settle::use_units(&self.charging, &mut self.draft, group, units, used_at)?;
        }
        group.granted = 0;
        group.reported_at = rates::switches(&self.charging, group).then_some(self.charging.now);
        Ok(())
    }

    fn reserve(&mut self, asked: &GroupRequest, is_opening: bool) -> GroupOutcome {
        let Some(group) = self.groups.iter_mut().find(|group| group.key == asked.key) else {
            return GroupOutcome::Free;
        };
        let requested = asked.requested.unwrap_or_default();
        let (charging, draft) = (&self.charging, &mut self.draft);
        // Asked for twice in one request: once is what it gets.
        release(draft, group);
        let outcome = if group.unit == Unit::Money {
            named::reserve(charging, draft, group, &requested)
        } else if rates::is_free(charging, group) {
            grant::for_free(charging, group)
        } else {
            grant::reserve(charging, draft, group, requested, is_opening)
        };
        self.vno_ran_out |= outcome == GroupOutcome::Declined(Declined::VnoCreditExhausted);
        outcome
    }

    fn movements(self) -> Movements {
        self.draft.movements()
    }

    /// When the VNO's own money ended: close the gate and have its sessions ended.
    fn gate_events(&self) -> SmallVec<[Event; 2]> {
        let vno = self.charging.vno.id;
        let state = self.charging.state;
        let open = state.tally(vno).is_some_and(|tally| !tally.credit_exhausted);
        // What is left in its pools is paid for: only what goes beyond them is refused.
        let lives_on_pools = wholesale::has_pools(&self.charging);
        let closes = self.vno_ran_out && open && !lives_on_pools;
        if closes { close_gate(state, vno) } else { SmallVec::new() }
    }
}
