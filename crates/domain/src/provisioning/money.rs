//! Money in and out outside of charging: top-ups, adjustments, deposits and charges of VNOs.

use smallvec::SmallVec;

use super::{Desk, Events, Outcome, invalid};
use crate::charging::{self, BucketChange};
use crate::command::{Administer, Noun, Receipt, Refused};
use crate::event::{Event, Transfer, TransferKind};
use crate::identifier::{AccountId, VnoId};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Money};
use crate::monthly_fees::{self, FeeAccount};
use crate::party::Vno;
use crate::subscriber::{Account, Subscription, SubscriptionState};
use crate::time::Timestamp;

impl Desk<'_> {
    pub(super) fn money(&self, order: &Administer) -> Outcome {
        match order {
            Administer::TopUp { account, money, expires, note } => {
                if !money.amount.is_positive() {
                    return Err(invalid("amount", "must be above zero"));
                }
                let (receipt, mut events) =
                    self.credit(*account, *money, TransferKind::TopUp, note)?;
                if let Some(expires) = expires {
                    events.push(Event::MainBalanceExpiry(*account, seconds(*expires, self.now)?));
                }
                events.extend(self.retry_unpaid(*account));
                events.extend(charging::reauthorise(
                    self.state,
                    account.subscriber(),
                    false,
                    self.now,
                ));
                Ok((receipt, events))
            }
            Administer::Adjust { account, money, note } => {
                let (receipt, mut events) =
                    self.credit(*account, *money, TransferKind::Adjustment, note)?;
                if money.amount.is_positive() {
                    events.extend(charging::reauthorise(
                        self.state,
                        account.subscriber(),
                        false,
                        self.now,
                    ));
                }
                Ok((receipt, events))
            }
            Administer::Deposit { vno, money, note } => self.deposit(*vno, *money, note),
            Administer::ChargeVno { vno, money, note } => self.charge_vno(*vno, *money, note),
            _ => Err(Refused::Forbidden),
        }
    }

    /// Money onto (or, negative, off) the main balance.
    fn credit(
        &self,
        id: AccountId,
        money: Money,
        kind: TransferKind,
        note: &Option<Box<str>>,
    ) -> Outcome {
        let account = self.own_account(id)?;
        if money.currency != account.currency {
            return Err(invalid("currency", "is not the account's"));
        }
        let too_large = |_| invalid("amount", "the balance would be out of range");
        self.within_range(LedgerAccount::VnoClearing(id.vno()), money)?;
        let balance = account.money().checked_add(money.amount).map_err(too_large)?;
        let free =
            balance.saturating_add(account.credit_limit).saturating_sub(account.held_money());
        if money.amount.is_negative() && free.is_negative() {
            return Err(Refused::InsufficientBalance);
        }
        let vno = id.vno();
        let mut entry = Entry::new();
        let (from, to) = (LedgerAccount::VnoClearing(vno), LedgerAccount::Subscriber(id));
        entry.transfer(from, to, money.currency, money.amount);
        let change = BucketChange {
            account: id,
            bucket: Account::MAIN,
            balance: money.amount.micros(),
            held: 0,
        };
        let number = self.next_transfer(vno)?;
        let transfer = Transfer {
            vno,
            number,
            kind,
            postings: entry.into_postings(),
            buckets: SmallVec::from_iter([change]),
            subscription: None,
            note: note.clone(),
            content: None,
            refunds: None,
        };
        let receipt =
            Receipt::Transfer { vno, number, balance: Money::new(balance, money.currency) };
        Ok((receipt, SmallVec::from_iter([Event::Transferred(Box::new(transfer))])))
    }

    /// Renewals that could not be paid are tried again at once.
    fn retry_unpaid(&self, account: AccountId) -> Events {
        let subscriber = self.state.subscriber(account.subscriber());
        let subscriptions =
            subscriber.into_iter().flat_map(|subscriber| subscriber.subscriptions.iter());
        subscriptions
            .filter(|one| one.state == SubscriptionState::Unpaid && one.account == account.number())
            .map(|one| {
                let again = Subscription { renews_at: Some(self.now), ..one.clone() };
                Event::SubscriptionSet(account.subscriber(), again)
            })
            .collect()
    }

    fn deposit(&self, id: VnoId, money: Money, note: &Option<Box<str>>) -> Outcome {
        self.broker_only()?;
        let vno = self.state.registry.vno(id).ok_or(Refused::NotFound(Noun::Vno))?;
        if money.currency != vno.wholesale_currency {
            return Err(invalid("currency", "is not that of the VNO's account with the broker"));
        }
        if money.amount.is_zero() {
            return Err(invalid("amount", "must not be zero"));
        }
        let balance = self.state.vno_balance(id).checked_add(money.amount);
        let balance =
            balance.map_err(|_| invalid("amount", "the balance would be out of range"))?;
        self.within_range(LedgerAccount::BrokerClearing(id), money)?;
        let mut entry = Entry::new();
        let (from, to) = (LedgerAccount::BrokerClearing(id), LedgerAccount::VnoCredit(id));
        entry.transfer(from, to, money.currency, money.amount);
        let number = self.next_transfer(id)?;
        let transfer = Transfer {
            vno: id,
            number,
            kind: TransferKind::VnoDeposit,
            postings: entry.into_postings(),
            buckets: SmallVec::new(),
            subscription: None,
            note: note.clone(),
            content: None,
            refunds: None,
        };
        let mut events = Events::new();
        events.push(Event::Transferred(Box::new(transfer)));
        events.extend(charging::reopen_gate(self.state, vno, money.amount));
        let receipt =
            Receipt::Transfer { vno: id, number, balance: Money::new(balance, money.currency) };
        Ok((receipt, events))
    }

    /// It is owed whether or not there is money for it.
    fn charge_vno(&self, id: VnoId, money: Money, note: &Option<Box<str>>) -> Outcome {
        self.broker_only()?;
        let vno = self.state.registry.vno(id).ok_or(Refused::NotFound(Noun::Vno))?;
        if money.currency != vno.wholesale_currency {
            return Err(invalid("currency", "is not that of the VNO's account with the broker"));
        }
        if !money.amount.is_positive() {
            return Err(invalid("amount", "must be above zero"));
        }
        self.within_range(LedgerAccount::BrokerRevenue(id), money)?;
        let balance = self.state.vno_balance(id).saturating_sub(money.amount);
        let number = self.next_transfer(id)?;
        let kind = TransferKind::VnoCharge;
        let transfer = monthly_fees::charge(vno, number, kind, money.amount, note.clone());
        let receipt =
            Receipt::Transfer { vno: id, number, balance: Money::new(balance, money.currency) };
        let mut events = Events::new();
        events.push(Event::Transferred(Box::new(transfer)));
        // It is no use that counts towards the minimum or the maximum.
        if let Some(fees) = vno.fees {
            let fees =
                FeeAccount { revenue_then: fees.revenue_then.saturating_add(money.amount), ..fees };
            events.push(Event::VnoSet(Box::new(Vno { fees: Some(fees), ..vno.clone() })));
        }
        Ok((receipt, events))
    }

    /// Neither one amount nor all of an account's together may come near what a balance can hold.
    fn within_range(&self, counter_account: LedgerAccount, money: Money) -> Result<(), Refused> {
        let sum = self.state.ledger.balance(counter_account, money.currency);
        let is_small = |amount: Amount, most: Amount| amount <= most && amount >= most.negated();
        if !is_small(money.amount, Amount::LARGEST) {
            return Err(invalid("amount", "at most 1,000,000,000.00"));
        }
        if is_small(sum.saturating_sub(money.amount), Amount::LARGEST_SUM)
            && is_small(sum.saturating_add(money.amount), Amount::LARGEST_SUM)
        {
            Ok(())
        } else {
            Err(invalid("amount", "all money of the VNO together would be out of range"))
        }
    }

    fn next_transfer(&self, vno: VnoId) -> Result<u64, Refused> {
        let tally = self.state.tally(vno).ok_or(Refused::NotFound(Noun::Vno))?;
        Ok(tally.transfers + 1)
    }
}

fn seconds(at: Timestamp, now: Timestamp) -> Result<u32, Refused> {
    let valid = if at > now { u32::try_from(at.seconds()).ok() } else { None };
    valid.ok_or_else(|| invalid("expires", "must lie in the future, before 2106"))
}

/// The part `numerator / denominator` of an amount, rounded down.
pub(super) fn part(amount: Amount, numerator: u64, denominator: u64) -> Amount {
    let wide = i128::from(amount.micros()) * i128::from(numerator) / i128::from(denominator.max(1));
    Amount::from_wide(wide).unwrap_or(amount)
}
