//! Requested-, Used- and Granted-Service-Unit (RFC 8506 sections 8.17 to 8.19).

use crate::avp::{Avp, AvpError};
use crate::code;
use crate::writer::MessageWriter;

/// Units side by side, as a Service-Unit AVP holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    pub seconds: Option<u32>,
    pub total_octets: Option<u64>,
    pub input_octets: Option<u64>,
    pub output_octets: Option<u64>,
    pub service_specific: Option<u64>,
    pub money: Option<DecimalMoney>,
}

/// `digits × 10^exponent` of a currency by its ISO 4217 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalMoney {
    pub digits: i64,
    pub exponent: i32,
    pub currency: Option<u32>,
}

/// Tariff-Change-Usage, AVP 452.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TariffChange {
    Before,
    After,
    Indeterminate,
}

impl Units {
    /// Octets to rate: the total where it is said, else uplink and downlink together.
    pub fn octets(&self) -> Option<u64> {
        self.total_octets.or(match (self.input_octets, self.output_octets) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        })
    }

    /// Reads a Service-Unit group, with its Tariff-Change-Usage.
    pub fn read<'a>(group: &Avp<'a>) -> Result<(Units, Option<TariffChange>), (Avp<'a>, AvpError)> {
        let mut units = Units::default();
        let mut change = None;
        for avp in group.members() {
            let avp = avp.map_err(|_| (*group, AvpError::Length))?;
            let fault = |error| (avp, error);
            match avp.code {
                code::CC_TIME => units.seconds = Some(avp.u32().map_err(fault)?),
                code::CC_TOTAL_OCTETS => units.total_octets = Some(avp.u64().map_err(fault)?),
                code::CC_INPUT_OCTETS => units.input_octets = Some(avp.u64().map_err(fault)?),
                code::CC_OUTPUT_OCTETS => units.output_octets = Some(avp.u64().map_err(fault)?),
                code::CC_SERVICE_SPECIFIC_UNITS => {
                    units.service_specific = Some(avp.u64().map_err(fault)?)
                }
                code::CC_MONEY => units.money = Some(DecimalMoney::read(&avp).map_err(fault)?),
                code::TARIFF_CHANGE_USAGE => {
                    change = Some(match avp.u32().map_err(fault)? {
                        0 => TariffChange::Before,
                        1 => TariffChange::After,
                        2 => TariffChange::Indeterminate,
                        _ => return Err((avp, AvpError::Value)),
                    });
                }
                _ => {}
            }
        }
        Ok((units, change))
    }

    pub(super) fn write(&self, message: &mut MessageWriter<'_>) {
        if let Some(seconds) = self.seconds {
            message.u32(code::CC_TIME, seconds);
        }
        if let Some(money) = self.money {
            message.group(code::CC_MONEY, |group| money.write(group));
        }
        for (code, value) in [
            (code::CC_TOTAL_OCTETS, self.total_octets),
            (code::CC_INPUT_OCTETS, self.input_octets),
            (code::CC_OUTPUT_OCTETS, self.output_octets),
            (code::CC_SERVICE_SPECIFIC_UNITS, self.service_specific),
        ] {
            if let Some(value) = value {
                message.u64(code, value);
            }
        }
    }
}

impl DecimalMoney {
    /// From CC-Money, Cost-Information or Remaining-Balance, which share their members.
    pub fn read(group: &Avp<'_>) -> Result<DecimalMoney, AvpError> {
        let value = group.member(code::UNIT_VALUE).ok_or(AvpError::Value)?;
        let digits = value.member(code::VALUE_DIGITS).ok_or(AvpError::Value)?.i64()?;
        let exponent = value.member(code::EXPONENT).map_or(Ok(0), |avp| avp.i32())?;
        let currency = group.member(code::CURRENCY_CODE).map(|avp| avp.u32()).transpose()?;
        Ok(DecimalMoney { digits, exponent, currency })
    }

    /// In millionths of the major unit, if it is a whole number of them.
    pub fn micros(&self) -> Option<i64> {
        let shift = self.exponent.checked_add(6)?;
        if self.digits == 0 {
            return Some(0);
        }
        let power = 10i64.checked_pow(shift.unsigned_abs())?;
        if shift >= 0 {
            self.digits.checked_mul(power)
        } else {
            (self.digits % power == 0).then_some(self.digits / power)
        }
    }

    pub fn from_micros(micros: i64, currency: u32) -> DecimalMoney {
        let (mut digits, mut exponent) = (micros, -6);
        while exponent < 0 && digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        DecimalMoney { digits, exponent, currency: Some(currency) }
    }

    pub(super) fn write(&self, message: &mut MessageWriter<'_>) {
        message.group(code::UNIT_VALUE, |value| {
            value.i64(code::VALUE_DIGITS, self.digits);
            value.i32(code::EXPONENT, self.exponent);
        });
        if let Some(currency) = self.currency {
            message.u32(code::CURRENCY_CODE, currency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_or_refused() {
        let money = |digits, exponent| DecimalMoney { digits, exponent, currency: None }.micros();
        assert_eq!(money(150, -2), Some(1_500_000));
        assert_eq!(money(2, 0), Some(2_000_000));
        assert_eq!(money(15, -7), None);
        assert_eq!(money(10, -7), Some(1));
        assert_eq!(money(i64::MAX, 3), None);
        assert_eq!(money(1, i32::MAX), None);
        assert_eq!(DecimalMoney::from_micros(1_500_000, 978).digits, 15);
        assert_eq!(DecimalMoney::from_micros(0, 978).exponent, 0);
    }
}
