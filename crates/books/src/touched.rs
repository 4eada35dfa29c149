//! Which aggregates a record is about: these are loaded before it is applied, and written after.

use hashbrown::HashSet;
use tandem_domain::charging::CounterOwner;
use tandem_domain::event::{Event, Movements, Record};
use tandem_domain::identifier::{SessionId, SubscriberId};

#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub subscribers: HashSet<SubscriberId>,
    pub sessions: HashSet<SessionId>,
    /// Parties, offers, keys or price lists changed.
    pub registry: bool,
}

impl Touched {
    pub fn add(&mut self, record: &Record) {
        record.events.iter().for_each(|event| self.add_event(event));
    }

    fn add_movements(&mut self, movements: &Movements) {
        self.subscribers.extend(movements.buckets.iter().map(|change| change.account.subscriber()));
        for counter in &movements.counters {
            if let CounterOwner::Subscriber(id) = counter.owner {
                self.subscribers.insert(id);
            }
        }
    }

    fn add_event(&mut self, event: &Event) {
        match event {
            Event::SubscriberCreated(id, _)
            | Event::SubscriberStanding(id, _)
            | Event::ProfileChanged(id, _)
            | Event::AccountOpened(id, _)
            | Event::SubscriptionSet(id, _) => {
                self.subscribers.insert(*id);
            }
            Event::LineAdded(id, _)
            | Event::LineStanding(id, _)
            | Event::LineBarring(id, _)
            | Event::PayerRulesSet(id, _)
            | Event::LineIdentities(id, _)
            | Event::LineCallsSet(id, _)
            | Event::LineContentSet(id, _)
            | Event::ContentSubscriptionSet(id, _) => {
                self.subscribers.insert(id.subscriber());
            }
            Event::CreditLimitSet(id, _)
            | Event::AccountShared(id, _)
            | Event::BucketAdded(id, _)
            | Event::BucketRemoved(id, _)
            | Event::MainBalanceExpiry(id, _) => {
                self.subscribers.insert(id.subscriber());
            }
            Event::Transferred(transfer) => {
                self.subscribers
                    .extend(transfer.buckets.iter().map(|change| change.account.subscriber()));
                let line = transfer.content.as_ref().and_then(|entry| entry.line);
                self.subscribers.extend(line.map(|line| line.subscriber()));
            }
            Event::PaymentSet(_, movements) => self.add_movements(movements),
            Event::SessionOpened(session, movements) => {
                self.sessions.insert(session.id);
                self.add_movements(movements);
            }
            Event::SessionReported(report, movements) => {
                self.sessions.insert(report.session);
                self.add_movements(movements);
            }
            Event::SessionClosed(closing, movements) => {
                self.sessions.insert(closing.session);
                self.add_movements(movements);
            }
            Event::SessionRerouted(moved, movements) => {
                self.sessions.insert(moved.session);
                self.add_movements(movements);
            }
            Event::OneTimeCharged(_, movements) => self.add_movements(movements),
            Event::SessionEnding(id) => {
                self.sessions.insert(*id);
            }
            Event::VnoSet(_)
            | Event::CarrierSet(_)
            | Event::ContentProviderSet(_)
            | Event::PeerSet(_)
            | Event::OfferSet(_)
            | Event::ScopeDefined(..)
            | Event::ExchangeRateSet(_)
            | Event::ApiKeyIssued(_)
            | Event::ApiKeyRevoked(_)
            | Event::AgreementSet(_)
            | Event::ContentItemSet(_)
            | Event::SponsorshipSet(_)
            | Event::ApiClientSet(_)
            | Event::TokenSecretSet(_) => self.registry = true,
            Event::CallRefused(..)
            | Event::PriceRowsStaged(_)
            | Event::PriceListInstalled(_)
            | Event::PriceListVersionRetired(_)
            | Event::StagingDropped(_)
            | Event::PeerRestarted(..)
            | Event::VnoCreditGate(..)
            | Event::DirectiveIssued(_)
            | Event::DirectiveDone(_)
            | Event::NotificationIssued(_)
            | Event::NumbersPorted(_)
            | Event::NotificationDone(_)
            | Event::SweepBegun(_)
            | Event::SweepAdvanced(_)
            | Event::SweepEnded(_) => {}
        }
    }
}
