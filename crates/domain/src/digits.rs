//! A string of up to 24 decimal digits in one machine word and a half: numbers are compared and walked, never parsed twice.

use std::fmt;
use std::str::FromStr;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// Decimal digits, leading zeros kept. E.164 numbers come without `+`. Service codes have `*` and `#` too.
///
/// Packed four bits a digit below the length in the top octet, so equality and hashing are one comparison.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digits(u128);

impl Digits {
    pub const LENGTH_MAX: usize = 24;
    const LENGTH_SHIFT: u32 = 120;
    /// As telephone BCD has them (TS 29.002, TBCD-STRING).
    const STAR: u8 = 10;
    const HASH: u8 = 11;

    fn shift(index: usize) -> usize {
        Self::LENGTH_SHIFT as usize - 4 * (index + 1)
    }

    pub fn len(self) -> usize {
        (self.0 >> Self::LENGTH_SHIFT) as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The digit at `index` from the left, if there is one.
    pub fn digit(self, index: usize) -> Option<u8> {
        if index >= self.len() {
            return None;
        }
        Some((self.0 >> Self::shift(index)) as u8 & 0x0f)
    }

    /// Up to sixteen digits from `place` on, four bits each from the top; zeros behind the last.
    pub fn packed_from(self, place: usize) -> u64 {
        let above = 128 - Self::LENGTH_SHIFT as usize + 4 * place.min(Self::LENGTH_MAX);
        ((self.0 << above) >> 64) as u64
    }

    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..self.len()).filter_map(move |index| self.digit(index))
    }

    pub fn starts_with(self, prefix: Digits) -> bool {
        prefix.len() <= self.len() && prefix.iter().zip(self.iter()).all(|(a, b)| a == b)
    }

    /// What a keypad gives: digits, and the `*` and `#` of service codes.
    pub fn dialled(text: &str) -> Option<Digits> {
        if text.is_empty() || text.len() > Self::LENGTH_MAX {
            return None;
        }
        let mut packed = (text.len() as u128) << Self::LENGTH_SHIFT;
        for (index, octet) in text.bytes().enumerate() {
            let key = match octet {
                b'0'..=b'9' => octet - b'0',
                b'*' => Self::STAR,
                b'#' => Self::HASH,
                _ => return None,
            };
            packed |= u128::from(key) << Self::shift(index);
        }
        Some(Digits(packed))
    }

    /// Is it a number, and no service code?
    pub fn is_number(self) -> bool {
        self.iter().all(|digit| digit < 10)
    }

    /// The digits as one number with a leading 1, for strings of at most 17 digits: a compact, unique key.
    pub fn to_key(self) -> Option<u64> {
        if self.len() > 17 || !self.is_number() {
            return None;
        }
        Some(self.iter().fold(1u64, |key, digit| key * 10 + u64::from(digit)))
    }
}

/// Not 1 to 24 decimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDigits;

impl fmt::Display for InvalidDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid number: expected 1 to 24 decimal digits")
    }
}

impl std::error::Error for InvalidDigits {}

impl FromStr for Digits {
    type Err = InvalidDigits;

    /// Accepts one leading `+`.
    fn from_str(text: &str) -> Result<Digits, InvalidDigits> {
        let bytes = text.strip_prefix('+').unwrap_or(text).as_bytes();
        if bytes.is_empty()
            || bytes.len() > Self::LENGTH_MAX
            || !bytes.iter().all(u8::is_ascii_digit)
        {
            return Err(InvalidDigits);
        }
        let packed = bytes.iter().enumerate().fold(0u128, |packed, (index, byte)| {
            packed | u128::from(byte - b'0') << Self::shift(index)
        });
        Ok(Digits(packed | (bytes.len() as u128) << Self::LENGTH_SHIFT))
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; Self::LENGTH_MAX];
        let keys = self.iter().zip(&mut text).map(|(digit, place)| {
            *place = match digit {
                Self::STAR => b'*',
                Self::HASH => b'#',
                digit => b'0' + digit,
            }
        });
        let length = keys.count();
        f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<C> Encode<C> for Digits {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let used = 1 + self.len().div_ceil(2);
        e.bytes(&self.0.to_be_bytes()[..used.min(13)])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Digits {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Digits, decode::Error> {
        let bytes = d.bytes()?;
        let mut packed = [0u8; 16];
        let target = packed
            .get_mut(..bytes.len())
            .ok_or_else(|| decode::Error::message("digits too long"))?;
        target.copy_from_slice(bytes);
        let digits = Digits(u128::from_be_bytes(packed));
        if digits.len() > Self::LENGTH_MAX {
            return Err(decode::Error::message("digits too long"));
        }
        Ok(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_keep_leading_zeros_and_round_trip_through_text_and_bytes() {
        for text in ["0", "00491", "4915112345678", "123456789012345678901234"] {
            let digits: Digits = text.parse().expect("digits");
            assert_eq!(digits.to_string(), text);
            assert_eq!(digits.len(), text.len());
            let bytes = minicbor::to_vec(digits).expect("in memory");
            assert_eq!(minicbor::decode::<Digits>(&bytes).expect("own bytes"), digits);
        }
        assert_eq!("+491".parse::<Digits>(), "491".parse());
        assert!(
            ["", "+", "12a", "1234567890123456789012345"]
                .iter()
                .all(|t| t.parse::<Digits>().is_err())
        );
    }

    #[test]
    fn a_number_starts_with_its_prefixes_only() {
        let number: Digits = "4930901820".parse().expect("digits");
        for (prefix, expected) in
            [("49", true), ("4930901820", true), ("50", false), ("49309018201", false)]
        {
            assert_eq!(number.starts_with(prefix.parse().expect("digits")), expected, "{prefix}");
        }
    }

    #[test]
    fn keys_of_numbers_that_differ_only_in_leading_zeros_differ() {
        let key = |text: &str| text.parse::<Digits>().expect("digits").to_key();
        assert_ne!(key("01"), key("1"));
        assert_eq!(key("123456789012345678"), None);
    }
}
