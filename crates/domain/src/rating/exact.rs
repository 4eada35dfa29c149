//! Prices before and after rounding.

use minicbor::data::Type;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use crate::money::{Amount, Overflow};

/// A price without any rounding: millionths of the major unit times the rate's `per`. Only prices of one
/// rate add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(pub(super) i128);

impl Exact {
    pub const ZERO: Exact = Exact(0);

    pub fn checked_add(self, other: Exact) -> Result<Exact, Overflow> {
        self.0.checked_add(other.0).map(Exact).ok_or(Overflow)
    }

    /// Millionths of the major unit are this, divided by the rate's `per`.
    pub fn numerator(self) -> i128 {
        self.0
    }
}

/// One integer when it fits into 64 bits, else the upper and the lower half.
impl<C> Encode<C> for Exact {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match i64::try_from(self.0) {
            Ok(small) => e.i64(small)?.ok(),
            Err(_) => e.array(2)?.i64((self.0 >> 64) as i64)?.u64(self.0 as u64)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Exact {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Exact, decode::Error> {
        if d.datatype()? != Type::Array {
            return d.i64().map(|small| Exact(i128::from(small)));
        }
        if d.array()? != Some(2) {
            return Err(decode::Error::message("expected the two halves of an exact price"));
        }
        let upper = d.i64()?;
        let lower = d.u64()?;
        Ok(Exact(i128::from(upper) << 64 | i128::from(lower)))
    }
}

/// What a leg costs in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    pub net: Amount,
    pub tax: Amount,
    /// Always `net + tax`.
    pub gross: Amount,
    /// What the cap of a day or month took off, as listed: with tax where the list's prices contain it.
    pub forgiven: Amount,
    /// What was rounded: with fee, minimum, discount and the leg's own cap. This numerator …
    pub unrounded: Exact,
    /// … over this, in millionths of the major unit.
    pub divisor: i128,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_prices_of_any_size_survive_storage() {
        for value in
            [0, 1, -1, i128::from(i64::MAX), i128::from(i64::MIN) - 1, i128::MAX, i128::MIN]
        {
            let bytes = minicbor::to_vec(Exact(value)).expect("in memory");
            assert_eq!(minicbor::decode::<Exact>(&bytes).expect("own bytes"), Exact(value));
        }
        assert!(minicbor::decode::<Exact>(&[0x83, 0, 0, 0]).is_err());
    }
}
