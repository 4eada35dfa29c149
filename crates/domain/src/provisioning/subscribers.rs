//! Subscribers and their accounts.

use super::{Desk, Events, Outcome, invalid};
use crate::charging;
use crate::command::{Administer, NewSubscriber, Noun, Receipt, Refused};
use crate::event::Event;
use crate::identifier::{AccountId, LineId, SubscriberId};
use crate::money::Amount;
use crate::party::Standing;
use crate::subscriber::Account;

const ACCOUNTS_MAX: usize = 32;

impl Desk<'_> {
    pub(super) fn subscribers(&self, order: &Administer) -> Outcome {
        match order {
            Administer::CreateSubscriber(new) => self.create_subscriber(new),
            Administer::ChangeSubscriber { id, standing, profile } => {
                let known = self.own_subscriber(*id)?;
                let mut events = Events::new();
                if let Some(profile) = profile {
                    events.push(Event::ProfileChanged(*id, profile.clone()));
                }
                if let Some(standing) = standing {
                    if known.standing == Standing::Active && *standing != Standing::Active {
                        events.extend(charging::abort(
                            self.state,
                            *id,
                            |s| s.line.subscriber() == *id,
                            self.now,
                        ));
                    }
                    events.push(Event::SubscriberStanding(*id, *standing));
                }
                Ok((Receipt::Done, events))
            }
            Administer::OpenAccount { subscriber, currency, credit_limit, shared } => {
                let known = self.own_subscriber(*subscriber)?;
                let last = known.accounts.iter().map(|account| account.number).max().unwrap_or(0);
                if known.accounts.len() >= ACCOUNTS_MAX {
                    return Err(Refused::WrongState("the subscriber has 32 accounts"));
                }
                let vno = self
                    .state
                    .registry
                    .vno(subscriber.vno())
                    .ok_or(Refused::NotFound(Noun::Vno))?;
                let currency = currency.unwrap_or(vno.currency);
                let mut account = Account::new(last + 1, currency, limit(*credit_limit)?);
                account.shared = *shared;
                let id = AccountId::new(*subscriber, account.number);
                let mut events = Events::new();
                events.push(Event::AccountOpened(*subscriber, Box::new(account)));
                Ok((Receipt::Account(id), events))
            }
            Administer::ChangeAccount { id, credit_limit, shared } => {
                self.change_account(*id, *credit_limit, *shared)
            }
            _ => Err(Refused::Forbidden),
        }
    }

    fn create_subscriber(&self, new: &NewSubscriber) -> Outcome {
        self.acts_for(new.vno, Noun::Vno)?;
        let vno = self.state.registry.vno(new.vno).ok_or(Refused::NotFound(Noun::Vno))?;
        let tally = self.state.tally(new.vno).ok_or(Refused::NotFound(Noun::Vno))?;
        if new.lines.len() > usize::from(u8::MAX) {
            return Err(invalid("lines", "at most 255"));
        }
        let id = SubscriberId::new(new.vno, tally.subscribers_created + 1);
        let account = Account::new(1, vno.currency, limit(new.credit_limit)?);
        let mut events = Events::new();
        events.push(Event::SubscriberCreated(id, Box::new(new.profile.clone())));
        events.push(Event::AccountOpened(id, Box::new(account.clone())));
        for (line, number) in new.lines.iter().zip(1u8..) {
            self.line_events(LineId::new(id, number), line, &mut events)?;
        }
        let mut spending = account;
        let offers = new.offers.iter().copied().chain(vno.default_offer);
        for (offer, number) in offers.zip(1u8..) {
            let own = self.sellable(offer, new.vno)?;
            self.begin_subscription(id, &mut spending, number, own, &mut events)?;
        }
        Ok((Receipt::Subscriber(id), events))
    }

    fn change_account(
        &self,
        id: AccountId,
        credit_limit: Option<Amount>,
        shared: Option<bool>,
    ) -> Outcome {
        let account = self.own_account(id)?;
        let mut events = Events::new();
        if let Some(new) = credit_limit {
            events.push(Event::CreditLimitSet(id, limit(new)?));
            if new > account.credit_limit {
                events.extend(charging::reauthorise(self.state, id.subscriber(), false, self.now));
            }
        }
        if let Some(shared) = shared {
            events.push(Event::AccountShared(id, shared));
        }
        Ok((Receipt::Done, events))
    }

    pub(super) fn own_account(&self, id: AccountId) -> Result<&Account, Refused> {
        self.acts_for(id.vno(), Noun::Account)?;
        self.state.account(id).ok_or(Refused::NotFound(Noun::Account))
    }
}

fn limit(amount: Amount) -> Result<Amount, Refused> {
    if amount.is_negative() {
        Err(invalid("credit_limit", "must not be negative"))
    } else {
        Ok(amount)
    }
}
