//! Lines: identities, standing, barring, payer rules.

use smallvec::SmallVec;

use super::{Desk, Events, Outcome, invalid};
use crate::calls::{DestinationRules, LineCalls, TimedRules};
use crate::charging;
use crate::command::{LineChange, NewLine, NewPayerRule, Noun, Receipt, Refused};
use crate::event::Event;
use crate::identifier::{AccountId, Identity, LineId, SubscriberId};
use crate::party::Standing;
use crate::subscriber::{PayerRule, Subscriber};

const IDENTITIES_MAX: usize = 16;
const PAYER_RULES_MAX: usize = 32;

impl Desk<'_> {
    pub(super) fn add_line(&self, id: SubscriberId, new: &NewLine) -> Outcome {
        let subscriber = self.own_subscriber(id)?;
        let last = subscriber.lines.iter().map(|line| line.number).max().unwrap_or(0);
        let number =
            last.checked_add(1).ok_or(Refused::WrongState("the subscriber has 255 lines"))?;
        let line = LineId::new(id, number);
        let mut events = Events::new();
        self.line_events(line, new, &mut events)?;
        Ok((Receipt::Line(line), events))
    }

    /// The events that make a new line; identities must be free and accounts reachable.
    pub(super) fn line_events(
        &self,
        id: LineId,
        new: &NewLine,
        events: &mut Events,
    ) -> Result<(), Refused> {
        let identities = self.free_identities(&new.identities, None, events)?;
        events.push(Event::LineAdded(id, identities));
        if !new.payer_rules.is_empty() {
            let rules = self.payer_rules(id.subscriber(), &new.payer_rules, events)?;
            events.push(Event::PayerRulesSet(id, rules));
        }
        Ok(())
    }

    fn free_identities(
        &self,
        wanted: &[Identity],
        owner: Option<LineId>,
        events: &Events,
    ) -> Result<SmallVec<[Identity; 2]>, Refused> {
        if wanted.is_empty() || wanted.len() > IDENTITIES_MAX {
            return Err(invalid("identities", "expected 1 to 16"));
        }
        let in_this_request = |identity: &Identity| {
            events.iter().any(
                |event| matches!(event, Event::LineAdded(_, taken) if taken.contains(identity)),
            )
        };
        for (index, identity) in wanted.iter().enumerate() {
            let holder = self.state.identities.line(identity);
            let doubled = wanted.iter().take(index).any(|earlier| earlier == identity);
            if doubled
                || in_this_request(identity)
                || holder.is_some_and(|line| Some(line) != owner)
            {
                return Err(Refused::AlreadyExists(Noun::Identity));
            }
        }
        Ok(wanted.iter().cloned().collect())
    }

    fn payer_rules(
        &self,
        subscriber: SubscriberId,
        rules: &[NewPayerRule],
        events: &mut Events,
    ) -> Result<Vec<PayerRule>, Refused> {
        if rules.len() > PAYER_RULES_MAX {
            return Err(invalid("payer_rules", "at most 32"));
        }
        let mut next_scope = self.state.registry.scopes.len().max(1);
        next_scope +=
            events.iter().filter(|event| matches!(event, Event::ScopeDefined(..))).count();
        let mut kept = Vec::with_capacity(rules.len());
        for rule in rules {
            self.may_be_charged(subscriber, rule.account)?;
            let scope = self.scope(&rule.scope, &mut next_scope, events)?;
            kept.push(PayerRule { account: rule.account, scope, pays: rule.pays });
        }
        Ok(kept)
    }

    /// An own account, or a shared one of the same VNO. The first account of a new subscriber is made with it.
    fn may_be_charged(&self, subscriber: SubscriberId, account: AccountId) -> Result<(), Refused> {
        let not_found = Refused::NotFound(Noun::Account);
        if account.vno() != subscriber.vno() {
            return Err(not_found);
        }
        if account.subscriber() == subscriber {
            let exists = self.state.account(account).is_some() || account.number() == 1;
            return exists.then_some(()).ok_or(not_found);
        }
        let shared = self.state.account(account).is_some_and(|account| account.shared);
        shared.then_some(()).ok_or(not_found)
    }

    pub(super) fn change_line(&self, id: LineId, change: &LineChange) -> Outcome {
        let subscriber = self.own_subscriber(id.subscriber())?;
        let line = subscriber.line(id).ok_or(Refused::NotFound(Noun::Line))?;
        let mut events = Events::new();
        if let Some(identities) = &change.identities {
            let identities = self.free_identities(identities, Some(id), &events)?;
            events.push(Event::LineIdentities(id, identities));
        }
        if let Some(rules) = &change.payer_rules {
            let rules = self.payer_rules(id.subscriber(), rules, &mut events)?;
            events.push(Event::PayerRulesSet(id, rules));
            events.extend(charging::reauthorise(self.state, id.subscriber(), true, self.now));
        }
        let mut blocked = 0u8;
        if let Some(barred) = &change.barred {
            let bits = barred.iter().fold(0u8, |bits, service| bits | 1 << *service as u8);
            blocked = bits & !line.barred;
            events.push(Event::LineBarring(id, bits));
        }
        if let Some(standing) = change.standing {
            if line.standing == Standing::Active && standing != Standing::Active {
                blocked = u8::MAX;
            }
            events.push(Event::LineStanding(id, standing));
        }
        if blocked != 0 {
            let concerns = |session: &charging::Session| {
                session.line == id && blocked & (1 << session.context.service as u8) != 0
            };
            events.extend(charging::abort(self.state, id.subscriber(), concerns, self.now));
        }
        Ok((Receipt::Done, events))
    }

    /// A new call reads them; running calls of destinations that are barred now are ended, and the limits of the
    /// others change.
    pub(super) fn set_line_calls(&self, id: LineId, calls: &LineCalls) -> Outcome {
        let subscriber = self.own_subscriber(id.subscriber())?;
        let line = subscriber.line(id).ok_or(Refused::NotFound(Noun::Line))?;
        let lists = [&calls.destinations.barred, &calls.destinations.allowed];
        if lists.iter().any(|list| list.len() > DestinationRules::PREFIXES_MAX) {
            return Err(invalid("destinations", "at most 1000 prefixes"));
        }
        if calls.timed.len() > TimedRules::ENTRIES_MAX {
            return Err(invalid("timed", "at most 100"));
        }
        let mut events = Events::new();
        events.push(Event::LineCallsSet(id, Box::new(calls.clone())));
        let concerns = |session: &charging::Session| {
            let called = session.context.destination;
            session.line == id && called.is_some_and(|called| !calls.destinations.allow(called))
        };
        events.extend(charging::abort(self.state, id.subscriber(), concerns, self.now));
        let before = line.calls.as_deref().map(LineCalls::limits).unwrap_or_default();
        if before != calls.limits() {
            let is_order = |event: &&Event| matches!(event, Event::DirectiveIssued(_));
            let earlier = events.iter().filter(is_order).count();
            events.extend(charging::limit_calls(self.state, id, earlier, self.now));
        }
        Ok((Receipt::Done, events))
    }

    /// A subscriber that this role may act for.
    pub(super) fn own_subscriber(&self, id: SubscriberId) -> Result<&Subscriber, Refused> {
        self.acts_for(id.vno(), Noun::Subscriber)?;
        let known = self.state.subscriber(id).filter(|s| s.standing != Standing::Closed);
        known.ok_or(Refused::NotFound(Noun::Subscriber))
    }
}
