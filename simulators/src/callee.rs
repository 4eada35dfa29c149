//! What a called switch does with a call, whatever it is heard by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sip_protocol::transaction::copy_essentials;
use sip_protocol::{Message, MessageWriter, Method, Name};

pub(crate) const SDP: &[u8] = b"v=0\r\no=sim 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";

/// By which a called switch says for how many microseconds it had a call before it told that it rings: whoever
/// called takes them off.
const HELD: &str = "a=held:";

/// What such a description says.
pub(crate) fn held(description: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(description).ok()?;
    let micros = text.lines().find_map(|line| line.strip_prefix(HELD))?;
    micros.trim_end().parse().ok().map(Duration::from_micros)
}

/// What a called switch does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// Refuses every call with this status.
    Refuses(u16),
    /// Refuses this many calls of a hundred.
    RefusesSome(u16, u8),
    Silent,
}

pub(crate) struct Callee {
    manner: Manner,
    contact: String,
    seen: u64,
    out: Vec<u8>,
}

impl Callee {
    pub fn new(manner: Manner, contact: String) -> Callee {
        Callee { manner, contact, seen: 0, out: Vec::with_capacity(2048) }
    }

    /// `waited`: how long the message was with the switch already.
    pub fn hear(
        &mut self,
        message: &Message<'_>,
        waited: impl Fn() -> Duration,
        answered: &AtomicU64,
        mut send: impl FnMut(&[u8]),
    ) {
        let (out, contact) = (&mut self.out, self.contact.as_bytes());
        let mut answer = |status: u16, body: &[u8]| {
            out.clear();
            let mut response = MessageWriter::response(out, status);
            copy_essentials(&mut response, message, None, b"callee");
            response.header(Name::Contact, contact);
            if !body.is_empty() {
                response.header(Name::ContentType, b"application/sdp");
            }
            response.finish(body);
            send(out);
        };
        match message.method() {
            Some(Method::Invite) => {
                self.seen += 1;
                let refused = match self.manner {
                    Manner::Refuses(status) => Some(status),
                    Manner::RefusesSome(status, part) => {
                        (self.seen % 100 < u64::from(part)).then_some(status)
                    }
                    Manner::Answers => None,
                    Manner::Silent => return,
                };
                match refused {
                    Some(status) => answer(status, &[]),
                    None => {
                        answered.fetch_add(1, Ordering::Relaxed);
                        let held = format!("{HELD}{}\r\n", waited().as_micros());
                        answer(180, &[]);
                        answer(200, &[SDP, held.as_bytes()].concat());
                    }
                }
            }
            Some(Method::Ack) | None => {}
            Some(_) => answer(200, &[]),
        }
    }
}
