#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_domain::money::Currency;
use tandem_domain::rating::{PriceListHeader, deck};

fuzz_target!(|bytes: &[u8]| {
    let _ = deck::read(bytes, &PriceListHeader::plain("fuzz", Currency::EUR));
});
