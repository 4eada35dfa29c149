//! Double entry: every movement of money is a set of postings that sums to zero in each currency.
//!
//! A positive amount is a credit: what the broker's platform owes the account's owner grows.
//! Accounts of subscribers are kept with the subscriber; all others, few, are kept here.

use std::fmt;

use hashbrown::HashMap;
use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::identifier::{AccountId, CarrierId, ContentProviderId, VnoId};
use crate::money::{Amount, Currency, Overflow};

/// One account of the general ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum LedgerAccount {
    /// What a VNO owes its subscriber (negative: what a post-paid subscriber owes).
    #[n(0)]
    Subscriber(#[n(0)] AccountId),
    /// Net retail sales.
    #[n(1)]
    VnoRevenue(#[n(0)] VnoId),
    /// Fees paid for allowances not yet used.
    #[n(2)]
    VnoDeferred(#[n(0)] VnoId),
    /// Paid for and never used.
    #[n(3)]
    VnoBreakage(#[n(0)] VnoId),
    /// The VNO's own money with the broker: the live gate.
    #[n(4)]
    VnoCredit(#[n(0)] VnoId),
    /// Money that came in from, or goodwill given to, subscribers.
    #[n(5)]
    VnoClearing(#[n(0)] VnoId),
    #[n(6)]
    Tax(#[n(0)] VnoId),
    /// Wholesale sales to one VNO.
    #[n(7)]
    BrokerRevenue(#[n(0)] VnoId),
    /// What carrying one VNO's use cost the broker.
    #[n(8)]
    CostOfService(#[n(0)] VnoId),
    /// Money that came in from VNOs.
    #[n(9)]
    BrokerClearing(#[n(0)] VnoId),
    #[n(10)]
    CarrierPayable(#[n(0)] CarrierId),
    #[n(11)]
    ContentProviderPayable(#[n(0)] ContentProviderId),
    /// What content sold to the VNO's subscribers cost the broker: the providers' parts.
    #[n(12)]
    ContentShare(#[n(0)] VnoId),
}

impl LedgerAccount {
    /// The tenant in whose books the account is, if any.
    pub fn vno(self) -> Option<VnoId> {
        match self {
            LedgerAccount::Subscriber(account) => Some(account.vno()),
            LedgerAccount::VnoRevenue(vno)
            | LedgerAccount::VnoDeferred(vno)
            | LedgerAccount::VnoBreakage(vno)
            | LedgerAccount::VnoCredit(vno)
            | LedgerAccount::VnoClearing(vno)
            | LedgerAccount::Tax(vno)
            | LedgerAccount::ContentShare(vno) => Some(vno),
            LedgerAccount::BrokerRevenue(_)
            | LedgerAccount::CostOfService(_)
            | LedgerAccount::BrokerClearing(_)
            | LedgerAccount::CarrierPayable(_)
            | LedgerAccount::ContentProviderPayable(_) => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            LedgerAccount::Subscriber(_) => "subscriber",
            LedgerAccount::VnoRevenue(_) => "vno_revenue",
            LedgerAccount::VnoDeferred(_) => "vno_deferred",
            LedgerAccount::VnoBreakage(_) => "vno_breakage",
            LedgerAccount::VnoCredit(_) => "vno_credit",
            LedgerAccount::VnoClearing(_) => "vno_clearing",
            LedgerAccount::Tax(_) => "tax",
            LedgerAccount::BrokerRevenue(_) => "broker_revenue",
            LedgerAccount::CostOfService(_) => "cost_of_service",
            LedgerAccount::BrokerClearing(_) => "broker_clearing",
            LedgerAccount::CarrierPayable(_) => "carrier_payable",
            LedgerAccount::ContentProviderPayable(_) => "content_provider_payable",
            LedgerAccount::ContentShare(_) => "content_share",
        }
    }
}

/// Part of an entry: money onto (positive) or off one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Posting {
    #[n(0)]
    pub account: LedgerAccount,
    #[n(1)]
    pub currency: Currency,
    #[n(2)]
    pub amount: Amount,
}

/// Postings that belong together; they sum to zero in each currency or do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry(SmallVec<[Posting; 8]>);

impl Entry {
    pub fn new() -> Entry {
        Entry::default()
    }

    /// Moves money from one account to another. Nothing moves when the amount is zero.
    pub fn transfer(
        &mut self,
        from: LedgerAccount,
        to: LedgerAccount,
        currency: Currency,
        amount: Amount,
    ) {
        if amount.is_zero() {
            return;
        }
        self.add(from, currency, amount.negated());
        self.add(to, currency, amount);
    }

    fn add(&mut self, account: LedgerAccount, currency: Currency, amount: Amount) {
        let same =
            |posting: &&mut Posting| posting.account == account && posting.currency == currency;
        match self.0.iter_mut().find(same) {
            Some(posting) => posting.amount = posting.amount.saturating_add(amount),
            None => self.0.push(Posting { account, currency, amount }),
        }
    }

    pub fn postings(&self) -> &[Posting] {
        &self.0
    }

    pub fn into_postings(self) -> Vec<Posting> {
        self.0.into_vec()
    }
}

/// The postings do not sum to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced {
    pub currency: Currency,
    pub off_by: i128,
}

impl fmt::Display for Unbalanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postings in {} are off by {} millionths", self.currency, self.off_by)
    }
}

impl std::error::Error for Unbalanced {}

/// Do the postings sum to zero in each currency?
pub fn check_balanced(postings: &[Posting]) -> Result<(), Unbalanced> {
    for (index, posting) in postings.iter().enumerate() {
        let currency = posting.currency;
        let seen = postings.iter().take(index).any(|earlier| earlier.currency == currency);
        if seen {
            continue;
        }
        let same = postings.iter().filter(|posting| posting.currency == currency);
        let off_by: i128 = same.map(|posting| i128::from(posting.amount.micros())).sum();
        if off_by != 0 {
            return Err(Unbalanced { currency, off_by });
        }
    }
    Ok(())
}

/// Balances of all accounts but the subscribers'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(HashMap<(LedgerAccount, Currency), Amount>);

impl Ledger {
    pub fn balance(&self, account: LedgerAccount, currency: Currency) -> Amount {
        self.0.get(&(account, currency)).copied().unwrap_or_default()
    }

    /// Subscribers' postings are skipped: their buckets hold the same money.
    pub fn post(&mut self, posting: &Posting) -> Result<(), Overflow> {
        if matches!(posting.account, LedgerAccount::Subscriber(_)) {
            return Ok(());
        }
        let balance = self.0.entry((posting.account, posting.currency)).or_default();
        *balance = balance.checked_add(posting.amount)?;
        Ok(())
    }

    /// In the order of the accounts.
    pub fn iter(&self) -> impl Iterator<Item = (LedgerAccount, Currency, Amount)> {
        let all = self.0.iter().map(|((account, currency), amount)| (*account, *currency, *amount));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(account, currency, _)| (*account, *currency));
        all.into_iter()
    }

    pub fn from_balances(balances: impl IntoIterator<Item = Posting>) -> Ledger {
        Ledger(balances.into_iter().map(|p| ((p.account, p.currency), p.amount)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_between_any_accounts_sum_to_zero() {
        let vno = VnoId::new(1);
        let mut entry = Entry::new();
        entry.transfer(
            LedgerAccount::VnoCredit(vno),
            LedgerAccount::BrokerRevenue(vno),
            Currency::EUR,
            Amount::from_micros(70),
        );
        entry.transfer(
            LedgerAccount::CostOfService(vno),
            LedgerAccount::CarrierPayable(CarrierId::new(0)),
            Currency::USD,
            Amount::from_micros(30),
        );
        assert_eq!(check_balanced(entry.postings()), Ok(()));
        assert_eq!(entry.postings().len(), 4);
    }

    #[test]
    fn an_entry_that_loses_money_is_found_out() {
        let vno = VnoId::new(1);
        let one_sided = [Posting {
            account: LedgerAccount::Tax(vno),
            currency: Currency::EUR,
            amount: Amount::from_micros(5),
        }];
        assert_eq!(
            check_balanced(&one_sided),
            Err(Unbalanced { currency: Currency::EUR, off_by: 5 })
        );
    }
}
