//! Any Identity header value: read, or refused by a reason.
#![no_main]

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    if let Ok((identity, claims)) = stir_protocol::read(value) {
        let written = identity.to_string();
        let (_, again) = stir_protocol::read(written.as_bytes()).expect("our own is readable");
        assert_eq!(claims, again);
    }
});
