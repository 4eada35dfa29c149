//! Exact money: integers in millionths of a currency's major unit (ISO 4217), never floats.
//!
//! Arithmetic is checked: an overflow is an error of the operation, never a wrapped balance.
//! Every division names its rounding.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// Millionths in one major unit: `Amount(1_500_000)` is 1.50.
pub const MICROS_PER_MAJOR: i64 = 1_000_000;

/// An ISO 4217 alphabetic code, for example `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Currency(#[n(0)] u32);

/// Alphabetic code, ISO 4217 number, digits of the minor unit.
const CURRENCIES: &[(&str, u16, u8)] = &[
    ("AED", 784, 2),
    ("AUD", 36, 2),
    ("BRL", 986, 2),
    ("CAD", 124, 2),
    ("CHF", 756, 2),
    ("CNY", 156, 2),
    ("CZK", 203, 2),
    ("DKK", 208, 2),
    ("EUR", 978, 2),
    ("GBP", 826, 2),
    ("HKD", 344, 2),
    ("HUF", 348, 2),
    ("IDR", 360, 2),
    ("ILS", 376, 2),
    ("INR", 356, 2),
    ("JPY", 392, 0),
    ("KES", 404, 2),
    ("KRW", 410, 0),
    ("KWD", 414, 3),
    ("MXN", 484, 2),
    ("MYR", 458, 2),
    ("NGN", 566, 2),
    ("NOK", 578, 2),
    ("NZD", 554, 2),
    ("PHP", 608, 2),
    ("PLN", 985, 2),
    ("RON", 946, 2),
    ("SAR", 682, 2),
    ("SEK", 752, 2),
    ("SGD", 702, 2),
    ("THB", 764, 2),
    ("TRY", 949, 2),
    ("TWD", 901, 2),
    ("UAH", 980, 2),
    ("USD", 840, 2),
    ("VND", 704, 0),
    ("XDR", 960, 6),
    ("ZAR", 710, 2),
];

impl Currency {
    pub const EUR: Currency = Currency::from_bytes(*b"EUR");
    pub const USD: Currency = Currency::from_bytes(*b"USD");
    pub const GBP: Currency = Currency::from_bytes(*b"GBP");

    const fn from_bytes(code: [u8; 3]) -> Currency {
        Currency((code[0] as u32) << 16 | (code[1] as u32) << 8 | code[2] as u32)
    }

    fn letters(self) -> [u8; 3] {
        [(self.0 >> 16) as u8, (self.0 >> 8) as u8, self.0 as u8]
    }

    fn row(self) -> Option<&'static (&'static str, u16, u8)> {
        let letters = self.letters();
        CURRENCIES.iter().find(|row| row.0.as_bytes() == letters)
    }

    /// The ISO 4217 number, as carried in Diameter's Currency-Code (AVP 425).
    pub fn number(self) -> u16 {
        self.row().map_or(999, |row| row.1)
    }

    /// The currency that has this ISO 4217 number.
    pub fn from_number(number: u16) -> Option<Currency> {
        CURRENCIES.iter().find(|row| row.1 == number).and_then(|row| row.0.parse().ok())
    }

    /// Digits of the minor unit: 2 for EUR, 0 for JPY.
    pub fn minor_digits(self) -> u8 {
        self.row().map_or(2, |row| row.2)
    }
}

/// The text is not the code of a currency that the platform keeps books in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCurrency;

impl fmt::Display for UnknownCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown currency: expected an ISO 4217 code such as EUR")
    }
}

impl std::error::Error for UnknownCurrency {}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Currency, UnknownCurrency> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| UnknownCurrency)?;
        let currency = Currency::from_bytes(code);
        currency.row().map(|_| currency).ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.letters() {
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The result does not fit in 64 bits: no real balance comes near (9.2 trillion major units).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("amount out of range")
    }
}

impl std::error::Error for Overflow {}

/// Millionths of a major unit, in a currency that the context (account, price list) fixes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Amount(#[n(0)] i64);

impl Amount {
    /// The most that one movement may be: a billion in major units.
    pub const LARGEST: Amount = Amount(1_000_000_000 * MICROS_PER_MAJOR);
    /// The most that the administrative movements of one ledger account may add up to; a balance can hold twice that.
    pub const LARGEST_SUM: Amount = Amount(4_000_000_000_000 * MICROS_PER_MAJOR);
    pub const ZERO: Amount = Amount(0);
    pub const MAX: Amount = Amount(i64::MAX);

    pub const fn from_micros(micros: i64) -> Amount {
        Amount(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Narrows the result of 128-bit arithmetic.
    pub fn from_wide(micros: i128) -> Result<Amount, Overflow> {
        i64::try_from(micros).map(Amount).map_err(|_| Overflow)
    }

    pub fn checked_add(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_add(other.0).map(Amount).ok_or(Overflow)
    }

    pub fn checked_sub(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_sub(other.0).map(Amount).ok_or(Overflow)
    }

    pub fn saturating_add(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }

    pub fn saturating_mul(self, count: u64) -> Amount {
        Amount(self.0.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    pub fn saturating_sub(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
    }

    pub fn negated(self) -> Amount {
        Amount(self.0.saturating_neg())
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for Amount {
    /// Decimal major units with at least two digits: `1.50`, `-0.000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (major, mut fraction) =
            (magnitude / MICROS_PER_MAJOR as u64, magnitude % MICROS_PER_MAJOR as u64);
        let mut digits = 6;
        while digits > 2 && fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        f.pad(&format!("{sign}{major}.{fraction:0digits$}"))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a decimal number with at most six digits after the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAmount;

impl fmt::Display for InvalidAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid amount: expected a decimal number with at most 6 digits after the point, such as 1.50")
    }
}

impl std::error::Error for InvalidAmount {}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Amount, InvalidAmount> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 6 || whole.len() > 13 {
            return Err(InvalidAmount);
        }
        let whole: i128 = whole.parse().map_err(|_| InvalidAmount)?;
        let fraction: i128 = format!("{fraction:0<6}").parse().map_err(|_| InvalidAmount)?;
        let micros = whole * i128::from(MICROS_PER_MAJOR) + fraction;
        Amount::from_wide(if negative { -micros } else { micros }).map_err(|_| InvalidAmount)
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Money {
    #[n(0)]
    pub amount: Amount,
    #[n(1)]
    pub currency: Currency,
}

impl Money {
    pub const fn new(amount: Amount, currency: Currency) -> Money {
        Money { amount, currency }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Quotient towards zero, and remainder.
fn divide(numerator: i128, denominator: i128) -> (i128, i128) {
    // Nearly always both are small, and a division of 64 bits takes a fraction of the time.
    match (i64::try_from(numerator), i64::try_from(denominator)) {
        (Ok(small), Ok(by)) if by > 0 => (i128::from(small / by), i128::from(small % by)),
        _ => {
            let quotient = numerator / denominator;
            (quotient, numerator - quotient * denominator)
        }
    }
}

/// The greatest whole number that is not above `numerator / denominator`. The denominator is positive.
pub(crate) fn divide_down(numerator: i128, denominator: i128) -> i128 {
    let (quotient, remainder) = divide(numerator, denominator);
    quotient - i128::from(remainder < 0)
}

/// How a quotient becomes a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Rounding {
    /// To nearest, halves away from zero.
    #[n(0)]
    HalfUp,
    /// To nearest, halves to the even neighbour.
    #[n(1)]
    HalfEven,
    /// Away from zero.
    #[n(2)]
    Up,
    /// Towards zero.
    #[n(3)]
    Down,
}

impl Rounding {
    /// `numerator / denominator`, rounded. The denominator is positive.
    pub fn divide(self, numerator: i128, denominator: i128) -> i128 {
        debug_assert!(denominator > 0, "a rate is per a positive quantity");
        let (quotient, remainder) = divide(numerator, denominator);
        let remainder = remainder.abs();
        if remainder == 0 {
            return quotient;
        }
        let away = match self {
            Rounding::Up => true,
            Rounding::Down => false,
            Rounding::HalfUp => remainder * 2 >= denominator,
            Rounding::HalfEven => {
                remainder * 2 > denominator || (remainder * 2 == denominator && quotient % 2 != 0)
            }
        };
        if away { quotient + numerator.signum() } else { quotient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_and_print_as_decimal_major_units() {
        for (text, micros, printed) in [
            ("1.5", 1_500_000, "1.50"),
            ("0.000001", 1, "0.000001"),
            ("-12", -12_000_000, "-12.00"),
            ("10.00", 10_000_000, "10.00"),
        ] {
            let amount: Amount = text.parse().expect("valid");
            assert_eq!(amount.micros(), micros);
            assert_eq!(amount.to_string(), printed);
        }
        for bad in ["", ".5", "1.", "1e3", "1.0000001", "+1", "--1", "99999999999999"] {
            assert_eq!(bad.parse::<Amount>(), Err(InvalidAmount), "{bad}");
        }
    }

    #[test]
    fn every_rounding_mode_treats_halves_as_its_name_says() {
        for (mode, expected) in [
            (Rounding::HalfUp, [1, 2, -2, 1]),
            (Rounding::HalfEven, [0, 2, -2, 1]),
            (Rounding::Up, [1, 2, -2, 1]),
            (Rounding::Down, [0, 1, -1, 0]),
        ] {
            let seen = [(1, 2), (3, 2), (-3, 2), (2, 3)].map(|(n, d)| mode.divide(n, d));
            assert_eq!(seen, expected, "{mode:?}");
        }
    }

    #[test]
    fn currencies_are_known_by_code_and_by_number() {
        assert_eq!("EUR".parse(), Ok(Currency::EUR));
        assert_eq!(Currency::from_number(840), Some(Currency::USD));
        assert_eq!(Currency::USD.number(), 840);
        assert_eq!("XXX".parse::<Currency>(), Err(UnknownCurrency));
        assert_eq!("eur".parse::<Currency>(), Err(UnknownCurrency));
    }
}
