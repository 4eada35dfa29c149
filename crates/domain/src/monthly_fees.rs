//! What a VNO owes the broker by the calendar month, whatever its subscribers use: a fee for the platform, a fee for
//! each line, and what its use lacks to a minimum (take or pay); and what it gets back above a maximum.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::charging::reopen_gate;
use crate::event::{Event, Transfer, TransferKind};
use crate::identifier::VnoId;
use crate::ledger::{Entry, LedgerAccount};
use crate::money::Amount;
use crate::party::{Standing, Vno};
use crate::period::{Period, calendar_month};
use crate::state::State;
use crate::time::Timestamp;

/// In the VNO's wholesale currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MonthlyFees {
    #[n(0)]
    pub platform: Amount,
    /// For each line that is not closed when the month ends.
    #[n(1)]
    pub line: Amount,
    /// What use and content bring the broker at least.
    #[n(2)]
    pub minimum: Amount,
    /// What use and content bring the broker at most. None: as much as they do.
    #[n(3)]
    pub maximum: Option<Amount>,
    /// Is a month's shortfall set off against what the next month's use brings above the minimum?
    #[n(4)]
    #[cbor(default)]
    pub rolls_over: bool,
}

impl MonthlyFees {
    pub fn amounts(&self) -> impl Iterator<Item = Amount> {
        [self.platform, self.line, self.minimum].into_iter().chain(self.maximum)
    }
}

/// The fees of one VNO, and how far they are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeeAccount {
    #[n(0)]
    pub fees: MonthlyFees,
    /// The first full month, as [`calendar_month`] counts them.
    #[n(1)]
    pub first_month: u32,
    #[n(2)]
    pub closed_month: u32,
    /// The broker's revenue from the VNO when that month was closed.
    #[n(3)]
    pub revenue_then: Amount,
    /// That month's shortfall, where it rolls over.
    #[n(4)]
    #[cbor(default)]
    pub carried: Amount,
}

impl FeeAccount {
    /// Fees that begin with the first full month after `now`.
    pub(crate) fn begin(state: &State, vno: &Vno, fees: MonthlyFees, now: Timestamp) -> FeeAccount {
        let month = calendar_month(now, &vno.time_zone);
        FeeAccount {
            fees,
            first_month: month + 1,
            closed_month: month - 1,
            revenue_then: revenue(state, vno),
            carried: Amount::ZERO,
        }
    }
}

fn revenue(state: &State, vno: &Vno) -> Amount {
    state.ledger.balance(LedgerAccount::BrokerRevenue(vno.id), vno.wholesale_currency)
}

/// When the month that runs at `now` ends.
pub(crate) fn next_close(vno: &Vno, now: Timestamp) -> Timestamp {
    Period::CalendarMonth.end_after(now, now, &vno.time_zone)
}

/// Charges the months that are over. Nothing when none is.
pub(crate) fn close_months(state: &State, id: VnoId, now: Timestamp) -> SmallVec<[Event; 1]> {
    let mut events = SmallVec::new();
    let Some((vno, account)) = state.registry.vno(id).and_then(|vno| Some((vno, vno.fees?))) else {
        return events;
    };
    let month = calendar_month(now, &vno.time_zone);
    if month <= account.closed_month + 1 {
        return events;
    }
    let lines = state.tally(id).map_or(0, |tally| tally.lines);
    let mut used = revenue(state, vno).saturating_sub(account.revenue_then);
    let mut charged = Amount::ZERO;
    let mut number = state.tally(id).map_or(0, |tally| tally.transfers);
    let first = match vno.standing {
        // Who is closed when a month ends owes nothing for it.
        Standing::Closed => month,
        _ => account.first_month.max(account.closed_month + 1),
    };
    let fees = account.fees;
    let mut carried = account.carried;
    for closing in first..month {
        let short = at_least_zero(fees.minimum.saturating_sub(used));
        let above = at_least_zero(used.saturating_sub(fees.minimum));
        let set_off = carried.min(above);
        let owed_for_use = used.saturating_sub(set_off);
        let beyond = fees.maximum.map_or(Amount::ZERO, |most| owed_for_use.saturating_sub(most));
        carried = if fees.rolls_over { short } else { Amount::ZERO };
        // What a standstill of ours put together counts once.
        used = Amount::ZERO;
        let name = format!("{:04}-{:02}", (closing - 1) / 12, (closing - 1) % 12 + 1);
        let line_fees = fees.line.saturating_mul(lines);
        for (kind, amount, note) in [
            (TransferKind::PlatformFee, fees.platform, name.clone()),
            (TransferKind::LineFees, line_fees, format!("{name}, {lines} lines")),
            (TransferKind::MinimumShortfall, short, name.clone()),
            (TransferKind::ShortfallCredit, set_off.negated(), name.clone()),
            (TransferKind::MaximumCredit, at_least_zero(beyond).negated(), name),
        ] {
            let amount = amount.min(Amount::LARGEST);
            if amount.is_zero() {
                continue;
            }
            number += 1;
            charged = charged.saturating_add(amount);
            events.push(owed(vno, number, kind, amount, note));
        }
    }
    let account = FeeAccount {
        closed_month: month - 1,
        revenue_then: revenue(state, vno).saturating_add(charged),
        carried,
        ..account
    };
    events.push(Event::VnoSet(Box::new(Vno { fees: Some(account), ..vno.clone() })));
    events.extend(reopen_gate(state, vno, charged.negated()));
    events
}

fn at_least_zero(amount: Amount) -> Amount {
    amount.max(Amount::ZERO)
}

fn owed(vno: &Vno, number: u64, kind: TransferKind, amount: Amount, note: String) -> Event {
    Event::Transferred(Box::new(charge(vno, number, kind, amount, Some(note.into()))))
}

/// Moves what the VNO owes the broker; negative, what it gets back.
pub(crate) fn charge(
    vno: &Vno,
    number: u64,
    kind: TransferKind,
    amount: Amount,
    note: Option<Box<str>>,
) -> Transfer {
    let mut entry = Entry::new();
    let (from, to) = (LedgerAccount::VnoCredit(vno.id), LedgerAccount::BrokerRevenue(vno.id));
    entry.transfer(from, to, vno.wholesale_currency, amount);
    Transfer {
        vno: vno.id,
        number,
        kind,
        postings: entry.into_postings(),
        buckets: SmallVec::new(),
        subscription: None,
        note,
        content: None,
        refunds: None,
    }
}
