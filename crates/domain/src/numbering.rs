//! Numbers as switches and phones write them (RFC 3966, RFC 4694), and what they mean.

use crate::calls::Trunk;
use crate::digits::Digits;

/// Country code and national number together (E.164 section 6.1).
const E164_DIGITS_MAX: usize = 15;
/// So short a number is a service's, such as emergency, and stays as it is.
const SERVICE_DIGITS_MAX: usize = 3;

/// What was dialled, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialled {
    /// In E.164 digits; a service's number or code (`*100#`) as it is.
    pub number: Digits,
    /// As it was dialled, where that is not the number itself.
    pub written: Option<Digits>,
    /// Portability was looked up before: the network that serves the number goes by this one.
    pub routing: Option<Digits>,
}

impl Trunk {
    /// A number as this switch writes it, with the parameters of its URI: `phone-context` says where a local number
    /// is one, `rn` and `npdi` that its portability was looked up.
    pub fn dialled(&self, name: &str, parameters: &str) -> Option<Dialled> {
        let number = self.number(name, parameter(parameters, "phone-context").flatten())?;
        let plain = without_separators(name);
        let written = if plain.starts_with('+') { None } else { Digits::dialled(&plain) };
        let routing = match (parameter(parameters, "rn"), parameter(parameters, "npdi")) {
            (Some(rn), _) => self.number(rn?, parameter(parameters, "rn-context").flatten()),
            // It was looked up, and never was ported.
            (None, Some(_)) => Some(number),
            (None, None) => None,
        };
        let written = written.filter(|written| *written != number);
        let routing = routing.filter(|routing| routing.is_number());
        // Who sets a routing number is believed like who asserts an identity.
        Some(Dialled { number, written, routing: routing.filter(|_| self.is_trusted) })
    }

    fn number(&self, name: &str, context: Option<&str>) -> Option<Digits> {
        let plain = without_separators(name);
        if let Some(global) = plain.strip_prefix('+') {
            return e164(global);
        }
        if plain.contains(['*', '#']) || plain.len() <= SERVICE_DIGITS_MAX {
            return Digits::dialled(&plain);
        }
        let stripped = |prefix: &str| {
            let known = !prefix.is_empty();
            known.then(|| plain.strip_prefix(prefix)).flatten().filter(|rest| !rest.is_empty())
        };
        if let Some(rest) = stripped(&self.international_prefix) {
            return e164(rest);
        }
        let area = context.and_then(|context| context.strip_prefix('+')).map(without_separators);
        let country = match &area {
            Some(area)
                if self.country_code.is_empty() || !area.starts_with(&*self.country_code) =>
            {
                area
            }
            _ => &*self.country_code,
        };
        if let Some(rest) = stripped(&self.national_prefix) {
            return e164(&format!("{country}{rest}"));
        }
        e164(&format!("{}{plain}", area.as_deref().unwrap_or_default()))
    }
}

/// The value of a parameter; it may be there without one.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<Option<&'a str>> {
    parameters.split(';').find_map(|one| {
        let (key, value) =
            one.split_once('=').map_or((one, None), |(key, value)| (key, Some(value)));
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn without_separators(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect()
}

fn e164(digits: &str) -> Option<Digits> {
    let all = digits.bytes().all(|octet| octet.is_ascii_digit());
    (all && digits.len() <= E164_DIGITS_MAX).then(|| digits.parse().ok()).flatten()
}
