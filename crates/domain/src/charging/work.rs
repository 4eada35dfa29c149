//! One request of a session at work: usage is debited first, grants come last.

use smallvec::SmallVec;

use super::draft::Draft;
use super::ending::close_gate;
use super::funds::Charging;
use super::grant::{self, release};
use super::group::{BurstFee, Group, GroupKey, Phase};
use super::named;
use super::rates;
use super::request::{
    Declined, GroupAnswer, GroupOutcome, GroupRequest, SessionAnswer, SessionRequest, SessionVerb,
    TariffChange,
};
use super::session::Session;
use super::sessions::admit;
use super::settle;
use super::wholesale;
use crate::event::{Event, Movements};
use crate::quantity::Unit;
use crate::service::Service;
use crate::time::Timestamp;

/// One request being served.
pub(super) struct Work<'a> {
    pub charging: Charging<'a>,
    pub draft: Draft,
    /// Groups that were touched, as they are now.
    pub groups: SmallVec<[Group; 1]>,
    /// When the switch last reported: units reported without a tariff mark were used from then on.
    heard_at: Timestamp,
    /// When it was granted what it reports, where its group does not know.
    pub granted_at: Timestamp,
    vno_ran_out: bool,
    /// Of a session beyond the VNO's capacity: each group holds the fee until one of them owes it.
    pub burst: Option<BurstFee>,
}

impl<'a> Work<'a> {
    pub(super) fn new(charging: Charging<'a>, heard_at: Timestamp) -> Work<'a> {
        Work {
            charging,
            draft: Draft::default(),
            groups: SmallVec::new(),
            heard_at,
            granted_at: heard_at,
            vno_ran_out: false,
            burst: None,
        }
    }

    pub(super) fn serve(
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

    pub(super) fn has_used(&self) -> bool {
        self.groups.iter().any(|group| group.used > 0)
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
        let granted_at = group.reported_at.unwrap_or(self.granted_at);
        let charging = Charging { granted_at, ..self.charging };
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
            settle::use_units(&charging, &mut self.draft, group, units, used_at)?;
        }
        group.granted = 0;
        let depends = rates::depends_on_time(&self.charging, group);
        group.reported_at = depends.then_some(self.charging.now);
        Ok(())
    }

    pub(super) fn reserve(&mut self, asked: &GroupRequest, is_opening: bool) -> GroupOutcome {
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

    pub(super) fn movements(self) -> Movements {
        self.draft.movements()
    }

    /// When the VNO's own money ended: close the gate and have its sessions ended.
    pub(super) fn gate_events(&self) -> Vec<Event> {
        let vno = self.charging.vno.id;
        let state = self.charging.state;
        let open = state.tally(vno).is_some_and(|tally| !tally.credit_exhausted);
        // What is left in its pools is paid for: only what goes beyond them is refused.
        let lives_on_pools = wholesale::has_pools(&self.charging);
        let closes = self.vno_ran_out && open && !lives_on_pools;
        if closes { close_gate(state, vno).into() } else { Vec::new() }
    }
}
