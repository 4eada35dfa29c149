#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_domain::event::Record;

fuzz_target!(|bytes: &[u8]| {
    let _ = minicbor::decode::<Record>(bytes);
});
