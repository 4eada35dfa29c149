//! Server transactions: INVITE (section 17.2.1, RFC 6026) and all others (17.2.2).

use super::{Flow, LIFE, T1, T2, T4};
use crate::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Trying or Proceeding.
    Proceeding,
    Completed,
    Confirmed,
    /// An INVITE that was answered 2xx and waits for its ACK.
    Accepted,
    /// And got it.
    Acknowledged,
}

pub(super) struct Server {
    pub flow: Flow,
    pub owner: u64,
    pub key: Box<[u8]>,
    began: Millis,
    state: State,
    is_invite: bool,
    last: Box<[u8]>,
    pub due: Millis,
    interval: u64,
    dies: Millis,
}

pub(super) enum Ack {
    Confirmed(Millis),
    Repeated,
    OfDialog,
}

#[derive(Default)]
pub(super) struct Fired {
    pub send: Option<Box<[u8]>>,
    pub no_ack: bool,
    pub over: bool,
}

impl Server {
    /// Until it is answered nothing is due: how long that may take is decided above.
    pub fn new(now: Millis, flow: Flow, is_invite: bool, key: Box<[u8]>) -> Server {
        let due = Millis(u64::MAX);
        Server {
            flow,
            owner: 0,
            key,
            began: now,
            state: State::Proceeding,
            is_invite,
            last: Box::default(),
            due,
            interval: T1,
            dies: due,
        }
    }

    /// When it came, if it has no answer yet.
    pub fn unanswered_since(&self) -> Option<Millis> {
        (self.is_open() && self.last.is_empty()).then_some(self.began)
    }

    /// May a response still be sent?
    pub fn is_open(&self) -> bool {
        self.state == State::Proceeding
    }

    pub fn responded(&mut self, now: Millis, status: u16, bytes: &[u8]) {
        let reliable = self.flow.transport.is_reliable();
        self.last = bytes.into();
        match (status, self.is_invite) {
            (100..200, _) => {}
            (200..300, true) => {
                self.state = State::Accepted;
                self.dies = now.plus(LIFE);
                self.interval = T1;
                // Sent again on every transport: an ACK may be lost behind the next hop.
                self.due = now.plus(T1);
            }
            (_, true) => {
                self.state = State::Completed;
                self.dies = now.plus(LIFE);
                self.due = if reliable { self.dies } else { now.plus(T1) };
            }
            (_, false) => {
                self.state = State::Completed;
                self.dies = now.plus(if reliable { 0 } else { LIFE });
                self.due = self.dies;
            }
        }
    }

    /// What a repeated request gets.
    pub fn again(&self) -> Option<Box<[u8]>> {
        let answers = matches!(self.state, State::Proceeding | State::Completed);
        (answers && !self.last.is_empty()).then(|| self.last.clone())
    }

    pub fn acknowledged(&mut self, now: Millis) -> Ack {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.last = Box::default();
                let keep = if self.flow.transport.is_reliable() { 0 } else { T4 };
                self.due = now.plus(keep);
                Ack::Confirmed(self.due)
            }
            State::Accepted | State::Acknowledged => Ack::OfDialog,
            State::Proceeding | State::Confirmed => Ack::Repeated,
        }
    }

    pub fn accepted_acknowledged(&mut self) {
        if self.state == State::Accepted {
            self.state = State::Acknowledged;
            self.last = Box::default();
            // The wheel's next firing sees that nothing is to be sent; repeats are absorbed until it dies.
        }
    }

    pub fn fire(&mut self, now: Millis) -> Fired {
        match self.state {
            State::Accepted if now >= self.dies => Fired { no_ack: true, over: true, send: None },
            State::Accepted | State::Completed if self.is_invite && now < self.dies => {
                self.interval = (self.interval * 2).min(T2);
                self.due = now.plus(self.interval).min(self.dies);
                let repeats = self.state == State::Accepted || !self.flow.transport.is_reliable();
                Fired { send: repeats.then(|| self.last.clone()), ..Fired::default() }
            }
            State::Acknowledged if now < self.dies => {
                self.due = self.dies;
                Fired::default()
            }
            _ => Fired { over: true, ..Fired::default() },
        }
    }
}
