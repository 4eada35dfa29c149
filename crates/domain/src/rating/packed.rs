//! Rows of a price list as they are journaled: encoded, and compressed since they differ in little.

use super::RateSpec;

/// Before compressed rows. Plain ones, of earlier versions, begin with the head of a CBOR array.
const COMPRESSED: u8 = 0;
/// Octets of rows before they are compressed; a thousand of them are some hundred thousand.
const PLAIN_MAX: usize = 64 << 20;

/// Many rows in few octets.
pub fn pack(rows: &[RateSpec]) -> Vec<u8> {
    let plain = minicbor::to_vec(rows).expect("writing to memory cannot fail");
    let mut packed = vec![COMPRESSED];
    packed.extend(lz4_flex::compress_prepend_size(&plain));
    packed
}

/// The rows of [`pack`].
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<RateSpec>, &'static str> {
    let unreadable = "price rows cannot be read";
    let Some((&COMPRESSED, compressed)) = packed.split_first() else {
        return minicbor::decode(packed).map_err(|_| unreadable);
    };
    let (size, compressed) =
        lz4_flex::block::uncompressed_size(compressed).map_err(|_| unreadable)?;
    if size > PLAIN_MAX {
        return Err(unreadable);
    }
    let plain = lz4_flex::decompress(compressed, size).map_err(|_| unreadable)?;
    minicbor::decode(&plain).map_err(|_| unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Amount;
    use crate::quantity::Unit;
    use crate::rating::Price;
    use crate::service::Service;

    fn rows(micros: &[i64]) -> Vec<RateSpec> {
        let row = |(number, micros): (usize, &i64)| RateSpec {
            service: Service::Voice,
            direction: None,
            prefix: (1 + number).to_string().parse().ok(),
            destination: "somewhere".into(),
            rating_group: None,
            service_identifier: None,
            serving_network: None,
            price: Price::flat(Unit::Seconds, 60, Amount::from_micros(*micros)),
            origin: None,
        };
        micros.iter().enumerate().map(row).collect()
    }

    #[test]
    fn many_rows_take_a_quarter() {
        let micros: Vec<i64> = (0..1000).map(|number| number * 7919 % 900_000).collect();
        let plain = minicbor::to_vec(rows(&micros)).expect("in memory");
        assert!(pack(&rows(&micros)).len() < plain.len() / 4);
    }

    #[test]
    fn rows_of_earlier_versions_are_read() {
        for count in [0, 1, 30, 500] {
            let rows = rows(&vec![20_000; count]);
            let plain = minicbor::to_vec(&rows).expect("in memory");
            assert_eq!(unpack(&plain), Ok(rows));
        }
    }

    proptest! {
        #[test]
        fn packed_rows_are_the_same_afterwards(micros in prop::collection::vec(any::<i64>(), 0..50)) {
            prop_assert_eq!(unpack(&pack(&rows(&micros))), Ok(rows(&micros)));
        }

        #[test]
        fn any_octets_are_rows_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpack(&octets);
            // The size comes first: one that is a lie must not be believed.
            let _ = unpack(&[&[COMPRESSED, 255, 255, 255, 255], &octets[..]].concat());
        }
    }
}
