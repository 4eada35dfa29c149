#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_protocol::digest::Credentials;
use sip_protocol::framer::front;
use sip_protocol::{CSeq, Message, NameAddr, Uri, Via};

fuzz_target!(|bytes: &[u8]| {
    let _ = front(bytes);
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(unreadable) => match unreadable.message {
            Some(message) => *message,
            None => return,
        },
    };
    let _ = (message.top_via(), message.cseq(), message.contact(), Uri::parse(message.uri()));
    for header in message.headers() {
        let _ = NameAddr::parse(header.value).map(|address| (address.tag(), address.parsed_uri()));
        let _ = (Via::parse(header.value), CSeq::parse(header.value));
        let _ = Credentials::parse(header.value);
        let _ = sip_protocol::fields::list(header.value).count();
    }
});
