//! Client transactions: INVITE (section 17.1.1, RFC 6026) and all others (17.1.2).

use super::{Flow, LIFE, T1, T2, T4, Transport};
use crate::Millis;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::uri::Uri;
use crate::writer::MessageWriter;

const OVER_TCP: &[u8] = b"SIP/2.0/TCP ";
const OVER_UDP: &[u8] = b"SIP/2.0/UDP ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calling or Trying: nothing came back yet.
    Calling,
    Proceeding,
    Completed,
    /// An INVITE that was answered 2xx; further ones are acknowledged again.
    Accepted,
    Over,
}

pub(super) struct Client {
    pub flow: Flow,
    pub owner: u64,
    state: State,
    is_invite: bool,
    /// Sent again while nothing came; an ACK and a CANCEL are made from it.
    request: Box<[u8]>,
    pub nonce: u64,
    /// Sent again whenever the answer comes again.
    ack: Option<Box<[u8]>>,
    pub due: Millis,
    interval: u64,
    dies: Millis,
    /// Its length alone had it sent over a connection.
    pub is_switched: bool,
    /// A CANCEL that waits for a provisional response.
    cancel_wanted: Option<Box<[u8]>>,
    cancelled: bool,
}

#[derive(Default)]
pub(super) struct Reaction {
    pub send: Option<Box<[u8]>>,
    pub pass: bool,
    pub rearm: bool,
}

#[derive(Default)]
pub(super) struct Fired {
    pub send: Option<Box<[u8]>>,
    pub no_answer: bool,
    pub over: bool,
}

impl Client {
    pub fn new(flow: Flow, is_invite: bool, owner: u64) -> Client {
        Client {
            flow,
            owner,
            state: State::Calling,
            is_invite,
            request: Box::default(),
            nonce: 0,
            ack: None,
            due: Millis(0),
            interval: T1,
            dies: Millis(0),
            is_switched: false,
            cancel_wanted: None,
            cancelled: false,
        }
    }

    pub fn begin(&mut self, now: Millis, request: Box<[u8]>, nonce: u64) {
        (self.request, self.nonce) = (request, nonce);
        self.dies = now.plus(LIFE);
        self.due = if self.flow.transport.is_reliable() { self.dies } else { now.plus(T1) };
    }

    /// Is this connection all it has to be heard by?
    pub fn waits_on(&self, flow: &Flow) -> bool {
        let same = self.flow.transport == flow.transport && self.flow.remote == flow.remote;
        same && flow.transport.is_reliable() && self.state == State::Calling
    }

    /// The request again, as a datagram.
    pub fn over_datagrams(&mut self, now: Millis) -> Box<[u8]> {
        self.is_switched = false;
        self.flow.transport = Transport::Udp;
        self.due = now.plus(T1);
        let length = OVER_TCP.len();
        // The first is ours: it stands on top.
        if let Some(at) = self.request.windows(length).position(|window| window == OVER_TCP) {
            self.request[at..at + length].copy_from_slice(OVER_UDP);
        }
        self.request.clone()
    }

    /// Is the other request for the user that ours is for? Not known any more once ours was answered.
    pub fn is_for_the_same(&self, other: &Message<'_>) -> bool {
        let user = |uri| Uri::parse(uri).map(|uri| uri.user_name().to_vec());
        let own = Message::decode(&self.request).ok().and_then(|own| user(own.uri()));
        own.is_some() && own == user(other.uri())
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub fn response(&mut self, now: Millis, message: &Message<'_>) -> Reaction {
        let status = message.status();
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..200) => {
                self.state = State::Proceeding;
                if self.is_invite && !self.cancelled {
                    // Nothing to send again; how long it may ring is decided above.
                    self.due = Millis(u64::MAX);
                    self.dies = self.due;
                } else if !self.is_invite {
                    self.interval = T2;
                }
                let cancel = self.cancel_wanted.take();
                let send = cancel.and_then(|reason| self.cancel(now, Some(&reason)));
                // A CANCEL that was sent just now limits what is left.
                Reaction { rearm: send.is_some(), send, pass: true }
            }
            (State::Calling | State::Proceeding, 200..300) if self.is_invite => {
                self.state = State::Accepted;
                self.request = Box::default();
                self.due = now.plus(LIFE);
                Reaction { pass: true, rearm: true, send: None }
            }
            (State::Calling | State::Proceeding, _) if self.is_invite => {
                let ack = self.ack_for(message);
                self.state = State::Completed;
                let keep = if self.flow.transport.is_reliable() { 0 } else { LIFE };
                self.due = now.plus(keep);
                self.ack = Some(ack.clone());
                self.request = Box::default();
                if keep == 0 {
                    self.state = State::Over;
                }
                Reaction { send: Some(ack), pass: true, rearm: keep > 0 }
            }
            (State::Calling | State::Proceeding, _) => {
                let keep = if self.flow.transport.is_reliable() { 0 } else { T4 };
                self.state = if keep == 0 { State::Over } else { State::Completed };
                self.request = Box::default();
                self.due = now.plus(keep);
                Reaction { pass: true, rearm: keep > 0, send: None }
            }
            // The final response again: the ACK again.
            (State::Completed, 300..) => self.acknowledge_again(),
            // That of another branch of a fork is another dialog's (RFC 6026 section 7.2).
            (State::Accepted, 200..300) if self.is_of_another(message) => {
                Reaction { pass: true, ..Reaction::default() }
            }
            (State::Accepted, 200..300) => self.acknowledge_again(),
            _ => Reaction::default(),
        }
    }

    fn acknowledge_again(&self) -> Reaction {
        Reaction { send: self.ack.clone(), ..Reaction::default() }
    }

    /// Was a 2xx with another tag acknowledged already?
    fn is_of_another(&self, message: &Message<'_>) -> bool {
        let acknowledged = self.ack.as_ref().and_then(|ack| Message::decode(ack).ok());
        let tag = |message: &Message<'_>| message.to().and_then(|to| to.tag().map(<[u8]>::to_vec));
        acknowledged.is_some_and(|ack| tag(&ack) != tag(message))
    }

    pub fn acked(&mut self, flow: Flow, bytes: &[u8]) {
        self.flow = flow;
        self.ack = Some(bytes.into());
    }

    /// The ACK that belongs to the INVITE's transaction (section 17.1.1.3).
    fn ack_for(&self, response: &Message<'_>) -> Box<[u8]> {
        let mut out = Vec::with_capacity(512);
        if let Ok(request) = Message::decode(&self.request) {
            let mut ack = MessageWriter::request(&mut out, Method::Ack, request.uri());
            ack.header(Name::Via, request.header(Name::Via).unwrap_or_default());
            for route in request.all(Name::Route) {
                ack.header(Name::Route, route);
            }
            ack.header(Name::MaxForwards, b"70");
            ack.header(Name::From, request.header(Name::From).unwrap_or_default());
            ack.header(Name::To, response.header(Name::To).unwrap_or_default());
            ack.header(Name::CallId, request.call_id());
            ack.cseq(request.cseq().map_or(0, |cseq| cseq.number), Method::Ack);
            ack.finish(&[]);
        }
        out.into_boxed_slice()
    }

    /// The CANCEL to send now; None when it has to wait or comes too late.
    pub fn cancel(&mut self, now: Millis, reason: Option<&[u8]>) -> Option<Box<[u8]>> {
        if !self.is_invite || self.cancelled {
            return None;
        }
        match self.state {
            State::Calling => {
                self.cancel_wanted = Some(reason.unwrap_or_default().into());
                return None;
            }
            State::Proceeding => {}
            _ => return None,
        }
        let request = Message::decode(&self.request).ok()?;
        self.cancelled = true;
        // If no final response comes the INVITE is given up (section 9.1).
        self.due = now.plus(LIFE);
        self.dies = self.due;
        let mut out = Vec::with_capacity(512);
        let mut cancel = MessageWriter::request(&mut out, Method::Cancel, request.uri());
        cancel.header(Name::Via, request.header(Name::Via).unwrap_or_default());
        for route in request.all(Name::Route) {
            cancel.header(Name::Route, route);
        }
        cancel.header(Name::MaxForwards, b"70");
        cancel.header(Name::From, request.header(Name::From).unwrap_or_default());
        cancel.header(Name::To, request.header(Name::To).unwrap_or_default());
        cancel.header(Name::CallId, request.call_id());
        cancel.cseq(request.cseq().map_or(0, |cseq| cseq.number), Method::Cancel);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            cancel.header(Name::Reason, reason);
        }
        cancel.finish(&[]);
        Some(out.into_boxed_slice())
    }

    pub fn fire(&mut self, now: Millis) -> Fired {
        match self.state {
            State::Calling | State::Proceeding if now >= self.dies => {
                self.state = State::Over;
                Fired { no_answer: true, over: true, send: None }
            }
            State::Calling | State::Proceeding => {
                let unlimited = self.is_invite && self.state == State::Calling;
                self.interval =
                    if unlimited { self.interval * 2 } else { (self.interval * 2).min(T2) };
                self.due = now.plus(self.interval).min(self.dies);
                let is_quiet = self.is_invite && self.state == State::Proceeding;
                let repeats = !self.flow.transport.is_reliable() && !is_quiet;
                Fired { send: repeats.then(|| self.request.clone()), ..Fired::default() }
            }
            State::Completed | State::Accepted | State::Over => {
                Fired { over: true, ..Fired::default() }
            }
        }
    }
}
