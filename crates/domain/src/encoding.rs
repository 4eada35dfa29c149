//! Sequences that mostly hold one item, in the same array form as a `Vec`.

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use smallvec::{Array, SmallVec};

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
