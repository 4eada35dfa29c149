//! Telephone numbers in the canonical form of RFC 8224 section 8.3.
//!
//! It only drops what is written for the eye. Making a national number an E.164 number is the caller's business, which
//! knows the numbering plan.

/// Digits without `+`; `*` and `#` of service codes stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TelephoneNumber(String);

impl TelephoneNumber {
    /// Above the 15 digits of E.164: some national numbers are longer.
    pub const LENGTH_MAX: usize = 24;

    /// None: letters or signs that no number has, nothing left, or too long.
    pub fn canonical(text: &str) -> Option<TelephoneNumber> {
        let text = text.trim();
        let text = text.strip_prefix('+').unwrap_or(text);
        let mut number = String::with_capacity(text.len().min(Self::LENGTH_MAX));
        for sign in text.chars() {
            match sign {
                '0'..='9' | '*' | '#' if number.len() < Self::LENGTH_MAX => number.push(sign),
                '-' | '.' | '(' | ')' | ' ' => {}
                _ => return None,
            }
        }
        (!number.is_empty()).then_some(TelephoneNumber(number))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
