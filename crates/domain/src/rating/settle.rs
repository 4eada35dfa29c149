//! From an exact price to a charge, and back: fee, minimum, discount, cap, rounding once, cap of the period, tax,
//! in this order.

use super::exact::{Charge, Exact};
use super::rate::Rate;
use super::terms::{PriceListHeader, RoundingRule, Tax, TaxKind};
use crate::money::{Amount, Overflow, Rounding, divide_down};

const BASIS: i128 = 10_000;

/// The terms of a list by which its exact prices become charges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    mode: Rounding,
    /// Millionths in the smallest step of a figure.
    quantum: i128,
    tax: Tax,
    /// What a percentage off leaves, in basis points; 10000 when there is none.
    payable: i128,
    /// Millionths off every charge, and whether they come off before the percentage.
    amount_off: i128,
    amount_off_first: bool,
}

/// Where a leg stands below the caps of its day and month. Figures are as listed: with tax where the list's
/// prices contain it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSoFar {
    /// What it was charged.
    pub charged: Amount,
    /// What it was not charged because of them. Stays so after the period's end.
    pub forgiven: Amount,
    /// What may still be charged in the period, in whole steps of the list's rounding; None: no cap.
    pub room: Option<Amount>,
}

impl CapSoFar {
    /// Nothing more is charged whatever is used.
    pub fn is_reached(&self) -> bool {
        self.room.is_some_and(|room| !room.is_positive())
    }

    /// The most that the leg may have been charged with what comes next.
    fn most(&self) -> Option<i128> {
        let room = i128::from(self.room?.micros().max(0));
        Some(i128::from(self.charged.micros()) + room)
    }
}

/// How far the exact price of a leg may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceiling {
    /// Not even one unit can be paid.
    Nothing,
    AtMost(i128),
    Unlimited,
}

/// Which figure of the charge must stay within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Gross(i128),
    Net(i128),
}

impl Limit {
    pub fn allows(self, charge: &Charge) -> bool {
        match self {
            Limit::Gross(most) => i128::from(charge.gross.micros()) <= most,
            Limit::Net(most) => i128::from(charge.net.micros()) <= most,
        }
    }
}

impl Terms {
    pub fn of(header: &PriceListHeader) -> Terms {
        let RoundingRule { mode, .. } = header.rounding;
        Terms {
            mode,
            quantum: header.rounding.quantum(),
            tax: header.tax,
            payable: BASIS - i128::from(header.discount_basis_points),
            amount_off: i128::from(header.discount_amount.micros()),
            amount_off_first: header.discount_amount_first,
        }
    }

    pub fn settle(
        &self,
        rate: &Rate,
        exact: Exact,
        any_units: bool,
        cap: &CapSoFar,
    ) -> Result<Charge, Overflow> {
        let divisor = self.divisor(rate);
        if !any_units || rate.is_free() {
            let zero = Amount::ZERO;
            return Ok(Charge {
                net: zero,
                tax: zero,
                gross: zero,
                forgiven: zero,
                unrounded: Exact::ZERO,
                divisor,
            });
        }
        let unrounded = self.unrounded(rate, exact, divisor)?;
        let scale = divisor.checked_mul(self.quantum).ok_or(Overflow)?;
        let uncapped = self.mode.divide(unrounded, scale) * self.quantum;
        let owed = uncapped - i128::from(cap.forgiven.micros());
        let listed = cap.most().map_or(owed, |most| owed.min(most));
        let tax = self.tax_on(listed);
        let (net, gross) = match self.tax.kind {
            TaxKind::Exclusive => (listed, listed + tax),
            TaxKind::Inclusive => (listed - tax, listed),
        };
        Ok(Charge {
            net: Amount::from_wide(net)?,
            tax: Amount::from_wide(tax)?,
            gross: Amount::from_wide(gross)?,
            forgiven: Amount::from_wide(uncapped - listed)?,
            unrounded: Exact(unrounded),
            divisor,
        })
    }

    fn divisor(&self, rate: &Rate) -> i128 {
        let per = i128::from(rate.per());
        if self.payable == BASIS { per } else { per * BASIS }
    }

    fn unrounded(&self, rate: &Rate, exact: Exact, divisor: i128) -> Result<i128, Overflow> {
        let price = rate.price();
        let per = i128::from(price.per);
        let mut total = exact.0;
        if !price.setup_fee.is_zero() {
            total =
                total.checked_add(i128::from(price.setup_fee.micros()) * per).ok_or(Overflow)?;
        }
        if price.minimum_charge.is_positive() {
            total = total.max(i128::from(price.minimum_charge.micros()) * per);
        }
        if self.amount_off_first {
            total = self.less_amount_off(total, per)?;
        }
        if self.payable != BASIS {
            total = total.checked_mul(self.payable).ok_or(Overflow)?;
        }
        if !self.amount_off_first {
            total = self.less_amount_off(total, divisor)?;
        }
        if let Some(cap) = price.cap {
            total = total.min(i128::from(cap.micros()).checked_mul(divisor).ok_or(Overflow)?);
        }
        Ok(total)
    }

    /// Nothing is ever given because of it: what is owed ends at zero, and a credit stays as it is.
    fn less_amount_off(&self, total: i128, divisor: i128) -> Result<i128, Overflow> {
        let amount = self.amount_off.checked_mul(divisor).ok_or(Overflow)?;
        Ok(if total > 0 { total.checked_sub(amount).ok_or(Overflow)?.max(0) } else { total })
    }

    /// The greatest total that is no more than `left` with the amount off.
    fn before_amount_off(&self, left: i128, divisor: i128) -> i128 {
        if left < 0 { left } else { left.saturating_add(self.amount_off.saturating_mul(divisor)) }
    }

    /// On, or contained in, a rounded figure; to the same digits, half-up.
    fn tax_on(&self, listed: i128) -> i128 {
        let rate = i128::from(self.tax.basis_points);
        if rate == 0 {
            return 0;
        }
        let base = match self.tax.kind {
            TaxKind::Exclusive => BASIS,
            TaxKind::Inclusive => BASIS + rate,
        };
        Rounding::HalfUp.divide(listed * rate, base * self.quantum) * self.quantum
    }

    /// The greatest exact price of a leg with billable units whose charge stays within the limit:
    /// [`Terms::settle`] backwards.
    pub fn ceiling(&self, rate: &Rate, limit: Limit, cap: &CapSoFar) -> Ceiling {
        let price = rate.price();
        let divisor = self.divisor(rate);
        let mut listed = self.greatest_listed(limit);
        if cap.most().is_some_and(|most| most <= listed) {
            return Ceiling::Unlimited;
        }
        listed += i128::from(cap.forgiven.micros());
        if let Some(cap) = price.cap {
            let most = self.mode.divide(i128::from(cap.micros()), self.quantum) * self.quantum;
            if most <= listed {
                return Ceiling::Unlimited;
            }
        }
        let per = i128::from(price.per);
        let mut total = self.greatest_rounding_to(listed, divisor);
        if !self.amount_off_first {
            total = self.before_amount_off(total, divisor);
        }
        if self.payable == 0 {
            return if total >= 0 { Ceiling::Unlimited } else { Ceiling::Nothing };
        }
        if self.payable != BASIS {
            total = divide_down(total, self.payable);
        }
        if self.amount_off_first {
            total = self.before_amount_off(total, per);
        }
        if price.minimum_charge.is_positive()
            && total < i128::from(price.minimum_charge.micros()) * per
        {
            return Ceiling::Nothing;
        }
        Ceiling::AtMost(total.saturating_sub(i128::from(price.setup_fee.micros()) * per))
    }

    pub fn whole_steps(&self, amount: Amount) -> Amount {
        let rest = i128::from(amount.micros()).rem_euclid(self.quantum);
        let rest = i64::try_from(rest).unwrap_or(0);
        Amount::from_micros(amount.micros().saturating_sub(rest))
    }

    /// Of what was charged: the figure that the caps of days and months look at.
    pub fn listed(&self, net: Amount, tax: Amount) -> Amount {
        match self.tax.kind {
            TaxKind::Exclusive => net,
            TaxKind::Inclusive => net.saturating_add(tax),
        }
    }

    /// The greatest rounded figure, before tax is set apart, that keeps within the limit.
    fn greatest_listed(&self, limit: Limit) -> i128 {
        let rate = i128::from(self.tax.basis_points);
        let floor = |micros: i128| divide_down(micros, self.quantum) * self.quantum;
        let (estimate, bound) = match (limit, self.tax.kind) {
            (Limit::Gross(gross), TaxKind::Inclusive) => return floor(gross),
            (Limit::Net(net), TaxKind::Exclusive) => return floor(net),
            (Limit::Gross(bound) | Limit::Net(bound), _) if rate == 0 => return floor(bound),
            (Limit::Gross(gross), TaxKind::Exclusive) => {
                (divide_down(gross * BASIS, BASIS + rate), gross)
            }
            (Limit::Net(net), TaxKind::Inclusive) => {
                (divide_down(net * (BASIS + rate), BASIS), net)
            }
        };
        // The tax is rounded by at most half a step, so the answer is at most two steps above the estimate.
        let mut listed = floor(estimate) + 2 * self.quantum;
        let figure = |listed: i128| match self.tax.kind {
            TaxKind::Exclusive => listed + self.tax_on(listed),
            TaxKind::Inclusive => listed - self.tax_on(listed),
        };
        while figure(listed) > bound {
            listed -= self.quantum;
        }
        listed
    }

    /// The greatest numerator over `divisor` that is rounded to no more than `listed`.
    fn greatest_rounding_to(&self, listed: i128, divisor: i128) -> i128 {
        // Below zero (an account of credits for tiers reached) the unrounded figure itself is close enough.
        let is_even = || divide_down(listed, self.quantum) % 2 == 0;
        match self.mode {
            _ if listed < 0 => listed.saturating_mul(divisor),
            Rounding::Up => listed.saturating_mul(divisor),
            Rounding::Down => (listed + self.quantum).saturating_mul(divisor) - 1,
            Rounding::HalfEven if is_even() => {
                (2 * listed + self.quantum).saturating_mul(divisor) / 2
            }
            Rounding::HalfUp | Rounding::HalfEven => {
                ((2 * listed + self.quantum).saturating_mul(divisor) - 1) / 2
            }
        }
    }
}
