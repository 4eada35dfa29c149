//! How records are written: a writer made for short pieces, and sequences that mostly hold one item, in the same array
//! form as a `Vec`.

use std::convert::Infallible;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use smallvec::{Array, SmallVec};

/// Appends to a buffer. Nearly all that is written is a number of one to nine octets: these are stored where they stand
/// in place of a call for each.
pub struct Octets<'a>(pub &'a mut Vec<u8>);

impl Write for Octets<'_> {
    type Error = Infallible;

    #[inline(always)]
    fn write_all(&mut self, octets: &[u8]) -> Result<(), Infallible> {
        match *octets {
            [one] => self.0.push(one),
            [one, two] => self.0.extend_from_slice(&[one, two]),
            [one, two, three, four] => self.0.extend_from_slice(&[one, two, three, four]),
            _ => self.0.extend_from_slice(octets),
        }
        Ok(())
    }
}

pub fn encode<A, C, W>(
    items: &SmallVec<A>,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), encode::Error<W::Error>>
where
    A: Array,
    A::Item: Encode<C>,
    W: Write,
{
    e.array(items.len() as u64)?;
    items.iter().try_for_each(|item| item.encode(e, ctx))
}

pub fn decode<'b, A, C>(d: &mut Decoder<'b>, ctx: &mut C) -> Result<SmallVec<A>, decode::Error>
where
    A: Array,
    A::Item: Decode<'b, C>,
{
    let length = d.array()?.ok_or_else(|| decode::Error::message("array of unknown length"))?;
    (0..length).map(|_| A::Item::decode(d, ctx)).collect()
}
