//! Administrative writes: parties, prices, offers, subscribers, money in and out.
//!
//! A role sees its own tenant only: what belongs to another does not exist for it.

mod content;
mod lines;
mod money;
mod parties;
mod prices;
mod renewals;
mod subscribers;
mod subscriptions;

use smallvec::SmallVec;

use crate::access::Role;
use crate::answered::Reply;
use crate::charging;
use crate::command::{Administer, Administration, Noun, Receipt, Refused};
use crate::decide::Decision;
use crate::directive::Order;
use crate::event::{Event, Remembered};
use crate::identifier::{SessionId, VnoId};
use crate::state::State;
use crate::time::Timestamp;

pub(crate) use renewals::decide_due;

type Events = SmallVec<[Event; 1]>;
type Outcome = Result<(Receipt, Events), Refused>;

/// What a write is decided from.
#[derive(Clone, Copy)]
struct Desk<'a> {
    state: &'a State,
    role: Role,
    now: Timestamp,
}

pub(crate) fn decide(
    state: &State,
    administration: &Administration,
    now: Timestamp,
) -> Decision<Result<Receipt, Refused>> {
    if let Some((key, fingerprint)) = &administration.idempotency
        && let Some(Reply::Receipt(receipt, first)) = state.answered.reply(key)
    {
        return Decision::repeated(if first == fingerprint {
            Ok(receipt.clone())
        } else {
            Err(Refused::KeyReused)
        });
    }
    let desk = Desk { state, role: administration.role, now };
    match desk.carry_out(&administration.order) {
        Ok((receipt, events)) => {
            let mut decision = Decision::new(Ok(receipt.clone()));
            decision.events = events;
            decision.remember = administration.idempotency.as_ref().map(|(key, fingerprint)| {
                Remembered { key: key.clone(), reply: Reply::Receipt(receipt, *fingerprint) }
            });
            decision
        }
        Err(refused) => Decision::new(Err(refused)),
    }
}

impl Desk<'_> {
    fn carry_out(&self, order: &Administer) -> Outcome {
        match order {
            Administer::CreateVno(_)
            | Administer::ChangeVno(..)
            | Administer::CreateCarrier { .. }
            | Administer::ChangeCarrier { .. }
            | Administer::CreateContentProvider { .. }
            | Administer::ChangeContentProvider { .. }
            | Administer::SetPeer { .. }
            | Administer::IssueApiKey { .. }
            | Administer::RevokeApiKey(_) => self.parties(order),
            Administer::StageRows { .. }
            | Administer::DropStaging(_)
            | Administer::InstallPriceList(_)
            | Administer::SetExchangeRate(_)
            | Administer::PublishOffer(_)
            | Administer::WithdrawOffer(_) => self.prices(order),
            Administer::CreateSubscriber(_)
            | Administer::ChangeSubscriber { .. }
            | Administer::OpenAccount { .. }
            | Administer::ChangeAccount { .. } => self.subscribers(order),
            Administer::AddLine(subscriber, line) => self.add_line(*subscriber, line),
            Administer::ChangeLine(line, change) => self.change_line(*line, change),
            Administer::SetLineCalls(line, calls) => self.set_line_calls(*line, calls),
            Administer::Subscribe { subscriber, offer, account } => {
                self.subscribe(*subscriber, *offer, *account)
            }
            Administer::CancelSubscription { id, at_once } => self.cancel(*id, *at_once),
            Administer::TopUp { .. }
            | Administer::Adjust { .. }
            | Administer::Deposit { .. }
            | Administer::ChargeVno { .. } => self.money(order),
            Administer::EndSession(id) => self.end_session(*id),
            Administer::PortNumbers(numbers) => self.port_numbers(numbers),
            Administer::SetAgreement { .. }
            | Administer::PublishContentItem(_)
            | Administer::WithdrawContentItem(_)
            | Administer::SetApiClient { .. }
            | Administer::SetSponsorship { .. }
            | Administer::EndSponsorship(_)
            | Administer::SetLineContent { .. }
            | Administer::SetConsent { .. }
            | Administer::BuyContent { .. }
            | Administer::SubscribeToContent { .. }
            | Administer::CancelContentSubscription { .. } => self.content(order),
        }
    }

    fn broker_only(&self) -> Result<(), Refused> {
        if self.role == Role::Broker { Ok(()) } else { Err(Refused::Forbidden) }
    }

    /// May this role act for the VNO? What is another's looks as if it were not there.
    fn acts_for(&self, vno: VnoId, noun: Noun) -> Result<(), Refused> {
        match self.role {
            Role::Broker => Ok(()),
            Role::Vno(own) if own == vno => Ok(()),
            Role::Vno(_) => Err(Refused::NotFound(noun)),
            Role::Carrier(_) | Role::ContentProvider(_) => Err(Refused::Forbidden),
        }
    }

    fn end_session(&self, id: SessionId) -> Outcome {
        self.acts_for(id.vno(), Noun::Session)?;
        let session = self.state.sessions.get(&id).ok_or(Refused::NotFound(Noun::Session))?;
        if session.context.is_emergency {
            return Err(Refused::WrongState("an emergency call is ended by those who talk"));
        }
        let mut events = Events::new();
        if !session.ending {
            events.push(Event::SessionEnding(id));
            events.push(charging::directive(self.state, 0, session, Order::Abort, self.now));
        }
        Ok((Receipt::Done, events))
    }
}

fn invalid(field: &'static str, reason: &str) -> Refused {
    Refused::Invalid { field, reason: reason.into() }
}

fn done(event: Event) -> (Receipt, Events) {
    (Receipt::Done, SmallVec::from_iter([event]))
}
