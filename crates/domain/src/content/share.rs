//! Who gets what of a sale: the agreement of provider, broker and VNO, and its monthly guarantee.
//!
//! A tiered share is `f(sales of the month so far + this one) − f(so far)`, so the shares of a month add up to
//! the share of its total, in whatever portions it was sold.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use super::{ContentEntry, ContentEntryKind};
use crate::event::{Event, Transfer, TransferKind};
use crate::identifier::{AgreementId, ContentProviderId, VnoId};
use crate::ledger::{Entry, LedgerAccount};
use crate::money::{Amount, Rounding};
use crate::period::{Period, calendar_month};
use crate::state::State;
use crate::time::Timestamp;

/// Up to which monthly sales (net, in the provider's currency) a part applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShareTier {
    /// None: without end.
    #[n(0)]
    pub up_to: Option<Amount>,
    #[n(1)]
    pub basis_points: u16,
}

/// The provider's part of a sale, in the provider's currency.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ProviderShare {
    /// Hundredths of a percent of the net price.
    #[n(0)]
    Percent(#[n(0)] u16),
    /// The same for each sale, never more than the net price.
    #[n(1)]
    Fixed(#[n(0)] Amount),
    /// Each part of the month's sales at its own percentage.
    #[n(2)]
    Tiers(#[n(0)] Vec<ShareTier>),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Agreement {
    #[n(0)]
    pub id: AgreementId,
    #[n(1)]
    pub provider: ContentProviderId,
    #[n(2)]
    pub vno: VnoId,
    #[n(3)]
    pub share: ProviderShare,
    /// The broker's part of the net price, in hundredths of a percent; the rest is the VNO's.
    #[n(4)]
    pub broker_basis_points: u16,
    /// What the provider gets at least in a calendar month of the VNO's time zone.
    #[n(5)]
    pub guarantee: Option<Amount>,
    #[n(6)]
    pub since: Timestamp,
    #[n(7)]
    pub ended: bool,
    /// The last month that was closed, as months since year 0.
    #[n(8)]
    pub closed_month: u32,
}

fn part(amount: Amount, basis_points: u16) -> i128 {
    i128::from(amount.micros()) * i128::from(basis_points)
}

pub(super) fn percent(amount: Amount, basis_points: u16) -> Amount {
    let exact = part(amount, basis_points);
    Amount::from_wide(Rounding::HalfEven.divide(exact, 10_000)).unwrap_or(Amount::ZERO)
}

impl ProviderShare {
    /// Of a sale of `net` after sales of `before` in the same month.
    pub fn of(&self, before: Amount, net: Amount) -> Amount {
        match self {
            ProviderShare::Percent(basis_points) => percent(net, *basis_points),
            ProviderShare::Fixed(amount) => (*amount).min(net),
            ProviderShare::Tiers(tiers) => {
                let after = before.saturating_add(net);
                total(tiers, after).saturating_sub(total(tiers, before))
            }
        }
    }

    /// The most it can be, for reservations.
    pub fn most_of(&self, net: Amount) -> Amount {
        match self {
            ProviderShare::Percent(_) | ProviderShare::Fixed(_) => self.of(Amount::ZERO, net),
            ProviderShare::Tiers(tiers) => {
                let best = tiers.iter().map(|tier| tier.basis_points).max().unwrap_or(0);
                percent(net, best).saturating_add(Amount::from_micros(1)).min(net)
            }
        }
    }

    /// Tiers rise and the last has no end.
    pub fn is_valid(&self) -> bool {
        match self {
            ProviderShare::Percent(basis_points) => *basis_points <= 10_000,
            ProviderShare::Fixed(amount) => !amount.is_negative(),
            ProviderShare::Tiers(tiers) => {
                let rising = tiers.windows(2).all(|pair| match (pair[0].up_to, pair[1].up_to) {
                    (Some(low), Some(high)) => low < high,
                    (Some(_), None) => true,
                    (None, _) => false,
                });
                rising
                    && tiers
                        .first()
                        .is_some_and(|first| first.up_to.is_none_or(Amount::is_positive))
                    && tiers.last().is_some_and(|last| last.up_to.is_none())
                    && tiers.iter().all(|tier| tier.basis_points <= 10_000)
            }
        }
    }
}

/// The share of a month's sales.
fn total(tiers: &[ShareTier], sales: Amount) -> Amount {
    let mut exact = 0i128;
    let mut from = Amount::ZERO;
    for tier in tiers {
        let end = tier.up_to.map_or(sales, |up_to| up_to.min(sales));
        if end > from {
            exact += part(end.saturating_sub(from), tier.basis_points);
            from = end;
        }
    }
    Amount::from_wide(Rounding::HalfEven.divide(exact, 10_000)).unwrap_or(Amount::ZERO)
}

/// When the agreement's running month ends.
pub(crate) fn next_close(
    state: &State,
    agreement: &Agreement,
    now: Timestamp,
) -> Option<Timestamp> {
    let vno = state.registry.vno(agreement.vno)?;
    Some(Period::CalendarMonth.end_after(now, now, &vno.time_zone))
}

/// A month is over: what is missing to the guarantee is posted, and what the provider sponsored is set off.
pub(crate) fn close_month(state: &State, id: AgreementId, now: Timestamp) -> SmallVec<[Event; 1]> {
    let mut events = SmallVec::new();
    let registry = &state.registry;
    let Some(agreement) = registry.agreement(id).filter(|one| !one.ended) else {
        return events;
    };
    let (Some(vno), Some(provider)) =
        (registry.vno(agreement.vno), registry.content_provider(agreement.provider))
    else {
        return events;
    };
    let month = calendar_month(now, &vno.time_zone);
    let mut number = state.tally(vno.id).map_or(0, |tally| tally.transfers);
    let tally = state.content.tally(agreement.provider, agreement.vno);
    if month <= agreement.closed_month + 1 {
        return events;
    }
    // Months that passed while we stood still have their guarantee too.
    for closing in agreement.closed_month + 1..month {
        let earned = tally.share_of(closing);
        let missing = agreement.guarantee.unwrap_or_default().saturating_sub(earned);
        if !missing.is_positive() {
            continue;
        }
        let wholesale =
            super::sale::convert(state, missing, provider.currency, vno.wholesale_currency, now);
        let Ok(wholesale) = wholesale else { continue };
        let mut entry = Entry::new();
        let (from, to) = (
            LedgerAccount::ContentShare(vno.id),
            LedgerAccount::ContentProviderPayable(provider.id),
        );
        entry.transfer(from, to, provider.currency, missing);
        let (from, to) = (LedgerAccount::VnoCredit(vno.id), LedgerAccount::BrokerRevenue(vno.id));
        entry.transfer(from, to, vno.wholesale_currency, wholesale);
        number += 1;
        events.push(Event::Transferred(Box::new(Transfer {
            vno: vno.id,
            number,
            kind: TransferKind::ContentGuarantee,
            postings: entry.into_postings(),
            buckets: SmallVec::new(),
            subscription: None,
            note: None,
            content: Some(Box::new(ContentEntry {
                kind: ContentEntryKind::Guarantee,
                provider: provider.id,
                vno: vno.id,
                line: None,
                payment: None,
                currency: vno.currency,
                net: Amount::ZERO,
                tax: Amount::ZERO,
                merchant_tax: Amount::ZERO,
                share_currency: provider.currency,
                share: missing,
                share_base: Amount::ZERO,
                wholesale_currency: vno.wholesale_currency,
                wholesale,
                month: Some(closing),
            })),
            refunds: None,
        })));
    }
    events.extend(set_off(state, agreement, month, &mut number));
    let closed = Agreement { closed_month: month - 1, ..agreement.clone() };
    events.push(Event::AgreementSet(Box::new(closed)));
    events
}

/// What the provider owes for sponsored traffic is taken off what it is owed; the broker passes it to the VNO.
fn set_off(state: &State, agreement: &Agreement, month: u32, number: &mut u64) -> Vec<Event> {
    let registry = &state.registry;
    let own = registry
        .sponsorships
        .iter()
        .filter(|one| one.provider == agreement.provider && one.vno == agreement.vno);
    let mut accounts: SmallVec<[_; 2]> = own.map(|one| one.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut events = Vec::new();
    for id in accounts {
        let (Some(account), Some(vno)) = (state.account(id), registry.vno(agreement.vno)) else {
            continue;
        };
        let debt = account.money().negated();
        let provider = registry.content_provider(agreement.provider);
        let one_currency = provider.is_some_and(|provider| provider.currency == account.currency)
            && vno.wholesale_currency == account.currency;
        if !debt.is_positive() || !one_currency {
            continue;
        }
        let mut entry = Entry::new();
        let payable = LedgerAccount::ContentProviderPayable(agreement.provider);
        entry.transfer(payable, LedgerAccount::VnoCredit(vno.id), account.currency, debt);
        let (from, to) = (LedgerAccount::VnoClearing(vno.id), LedgerAccount::Subscriber(id));
        entry.transfer(from, to, account.currency, debt);
        *number += 1;
        events.push(Event::Transferred(Box::new(Transfer {
            vno: vno.id,
            number: *number,
            kind: TransferKind::SponsorSetOff,
            postings: entry.into_postings(),
            buckets: SmallVec::from_iter([crate::charging::BucketChange {
                account: id,
                bucket: crate::subscriber::Account::MAIN,
                balance: debt.micros(),
                held: 0,
            }]),
            subscription: None,
            note: None,
            content: Some(Box::new(ContentEntry {
                kind: ContentEntryKind::Sponsored,
                provider: agreement.provider,
                vno: vno.id,
                line: None,
                payment: None,
                currency: account.currency,
                net: Amount::ZERO,
                tax: Amount::ZERO,
                merchant_tax: Amount::ZERO,
                share_currency: account.currency,
                share: debt.negated(),
                share_base: Amount::ZERO,
                wholesale_currency: account.currency,
                wholesale: debt.negated(),
                month: Some(month - 1),
            })),
            refunds: None,
        })));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().expect("an amount")
    }

    #[test]
    fn tiers_add_up_in_whatever_portions_the_month_was_sold() {
        let tiers = ProviderShare::Tiers(vec![
            ShareTier { up_to: Some(amount("10.00")), basis_points: 7000 },
            ShareTier { up_to: None, basis_points: 8000 },
        ]);
        assert!(tiers.is_valid());
        let mut before = Amount::ZERO;
        let mut sum = Amount::ZERO;
        for price in ["3.333333", "0.01", "9.99", "6.666667"] {
            sum = sum.saturating_add(tiers.of(before, amount(price)));
            before = before.saturating_add(amount(price));
        }
        assert_eq!(before, amount("20.00"));
        assert_eq!(sum, amount("15.00"));
        assert_eq!(tiers.of(Amount::ZERO, amount("20.00")), amount("15.00"));
    }

    #[test]
    fn tiers_that_fall_or_end_are_refused() {
        let tier = |up_to: Option<&str>, basis_points| ShareTier {
            up_to: up_to.map(amount),
            basis_points,
        };
        let bad = [
            vec![],
            vec![tier(Some("1.00"), 1)],
            vec![tier(Some("2.00"), 1), tier(Some("1.00"), 1), tier(None, 1)],
            vec![tier(None, 1), tier(None, 1)],
            vec![tier(None, 10_001)],
        ];
        assert!(bad.into_iter().all(|tiers| !ProviderShare::Tiers(tiers).is_valid()));
    }
}
