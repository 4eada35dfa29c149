#![no_main]

use diameter_protocol::check::{Strictness, check};
use diameter_protocol::credit_control::{CreditControlRequest, CreditControlResult};
use diameter_protocol::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else { return };
    let _ = check(&message, Strictness::Lenient);
    let _ = CreditControlResult::read(&message);
    if let Ok(request) = CreditControlRequest::read(&message) {
        let _ = request.requested();
        for group in request.groups().map_while(Result::ok) {
            let _ = group.used().count();
        }
    }
});
