//! SIP switches: one that is called and answers, refuses or stays silent, and one that calls as fast as it is told.
//!
//! Plain threads and sockets of their own, so that what they cost can be told apart from what is under test.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sip_protocol::transaction::copy_essentials;
use sip_protocol::{Message, MessageWriter, Method, Name};

pub use crate::callee::Manner;
use crate::callee::{Callee, SDP, held};
use crate::ear::{Ear, Heard, wall_clock};

/// Processor time of the calling thread so far.
fn thread_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// A switch that is called.
pub struct CalledSwitch {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Nanoseconds of processor time.
    busy: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl CalledSwitch {
    pub fn start(address: SocketAddr, manner: Manner) -> io::Result<CalledSwitch> {
        let ear = Ear::bind(address)?;
        let address = ear.socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let busy = Arc::new(AtomicU64::new(0));
        let answered = Arc::new(AtomicU64::new(0));
        let (stopping, counted, calls) = (stop.clone(), busy.clone(), answered.clone());
        let run = move || called(ear, address, manner, &stopping, &counted, &calls);
        let thread = Some(std::thread::Builder::new().name("called".into()).spawn(run)?);
        Ok(CalledSwitch { address, stop, busy, answered, thread })
    }

    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Relaxed))
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for CalledSwitch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn called(
    mut ear: Ear,
    address: SocketAddr,
    manner: Manner,
    stop: &AtomicBool,
    busy: &AtomicU64,
    answered: &AtomicU64,
) {
    let mut buffer = vec![0u8; 65_536];
    let mut callee = Callee::new(manner, format!("<sip:{address}>"));
    let mut rounds = 0u32;
    while !stop.load(Ordering::Relaxed) {
        rounds += 1;
        if rounds.is_multiple_of(256) {
            busy.store(thread_time().as_nanos() as u64, Ordering::Relaxed);
        }
        let Some(Heard { length, from, arrived }) = ear.hear(&mut buffer, SLEEPS_MAX) else {
            if ear.falls_asleep() {
                busy.store(thread_time().as_nanos() as u64, Ordering::Relaxed);
            }
            continue;
        };
        let Ok(message) = Message::decode(&buffer[..length]) else { continue };
        let waited = || wall_clock().saturating_sub(arrived);
        callee.hear(&message, waited, answered, |out| {
            // A datagram that the network drops is sent again by who waits for it.
            let _ = ear.socket.send_to(out, from);
        });
    }
}

/// How a calling switch calls.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// New calls a second; None = as soon as another one ended.
    pub rate: Option<u64>,
    /// Calls under way at once, at most.
    pub calls_max: usize,
    pub duration: Duration,
    /// How long an answered call lasts.
    pub talk: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub placed: u64,
    pub completed: u64,
    /// Refused calls by status.
    pub refused: HashMap<u16, u64>,
    /// Calls that got no answer in time, or were cut by the other side.
    pub lost: u64,
    pub cut: u64,
    pub elapsed: Duration,
    pub busy: Duration,
    /// From INVITE to 180.
    pub heard: Delays,
    /// The same without what both switches took for their parts: from INVITE's leaving the one to its arrival at the
    /// other, and from 180's leaving that to its arrival at the first.
    pub between: Delays,
}

/// In microseconds, unsorted.
#[derive(Clone, Debug, Default)]
pub struct Delays(Vec<u32>);

impl Delays {
    fn add(&mut self, delay: Duration) {
        self.0.push(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// In thousandths.
    pub fn quantile(&mut self, thousandths: usize) -> Duration {
        self.0.sort_unstable();
        let rank = (self.0.len() * thousandths / 1000).min(self.0.len().saturating_sub(1));
        Duration::from_micros(u64::from(*self.0.get(rank).unwrap_or(&0)))
    }
}

impl Outcome {
    pub fn failed(&self) -> u64 {
        self.lost + self.refused.values().sum::<u64>()
    }

    /// Takes over what another run brought.
    pub fn add(&mut self, other: Outcome) {
        self.placed += other.placed;
        self.completed += other.completed;
        self.lost += other.lost;
        self.cut += other.cut;
        self.elapsed += other.elapsed;
        self.busy += other.busy;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Calling,
    Talking,
    Ending,
}

struct Call {
    stage: Stage,
    since: Instant,
    sent_again: u32,
    number: u64,
    to: Vec<u8>,
    target: Vec<u8>,
    placed: Duration,
    /// How long after that its 180 arrived.
    rang: Option<Duration>,
}

/// A switch that calls.
pub struct CallingSwitch {
    ear: Ear,
    address: SocketAddr,
    server: SocketAddr,
    next: u64,
    /// The caller's number and the called one, by the number of the call.
    parties: Box<dyn Fn(u64) -> (String, String) + Send>,
}

static SWITCHES: AtomicU64 = AtomicU64::new(0);

const RESEND: Duration = Duration::from_millis(500);
/// A paced call is placed about this much late at most.
const PACING: Duration = Duration::from_micros(200);
const SLEEPS_MAX: Duration = Duration::from_millis(10);
const GIVE_UP: Duration = Duration::from_secs(10);

impl CallingSwitch {
    pub fn bind(
        address: SocketAddr,
        server: SocketAddr,
        parties: impl Fn(u64) -> (String, String) + Send + 'static,
    ) -> io::Result<CallingSwitch> {
        let ear = Ear::bind(address)?;
        let address = ear.socket.local_addr()?;
        // Calls of one that takes the place of another are no repeats of its calls.
        let next = SWITCHES.fetch_add(1, Ordering::Relaxed) << 32;
        Ok(CallingSwitch { ear, address, server, next, parties: Box::new(parties) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn send(&self, out: &[u8]) {
        let _ = self.ear.socket.send_to(out, self.server);
    }

    fn invite(&self, number: u64) -> Vec<u8> {
        let (caller, called) = (self.parties)(number);
        let mut out = Vec::with_capacity(1024);
        let uri = format!("sip:{called}@{}", self.server);
        let mut invite = MessageWriter::request(&mut out, Method::Invite, uri.as_bytes());
        self.head(&mut invite, number, "i", format!("<{uri}>").as_bytes(), &caller);
        invite.cseq(1, Method::Invite);
        invite.parts(b"Contact", &[format!("<sip:{}>", self.address).as_bytes()]);
        invite.header(Name::ContentType, b"application/sdp");
        invite.finish(SDP);
        out
    }

    fn head(
        &self,
        writer: &mut MessageWriter<'_>,
        number: u64,
        branch: &str,
        to: &[u8],
        caller: &str,
    ) {
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}{number}", self.address);
        writer.header(Name::Via, via.as_bytes());
        writer.number(Name::MaxForwards, 70);
        let from = format!("<sip:{caller}@{}>;tag=t{number}", self.address);
        writer.header(Name::From, from.as_bytes());
        writer.header(Name::To, to);
        writer.header(Name::CallId, format!("c{number}@{}", self.address).as_bytes());
    }

    fn within(&self, call: &Call, method: Method<'_>, cseq: u32, branch: &str) -> Vec<u8> {
        let (caller, _) = (self.parties)(call.number);
        let mut out = Vec::with_capacity(512);
        let mut request = MessageWriter::request(&mut out, method, &call.target);
        self.head(&mut request, call.number, branch, &call.to, &caller);
        request.cseq(cseq, method);
        request.finish(&[]);
        out
    }

    /// Calls for as long as the pace says, then ends what still runs.
    pub fn run(&mut self, pace: Pace) -> Outcome {
        let started = Instant::now();
        let busy = thread_time();
        let mut outcome = Outcome::default();
        let mut calls: HashMap<u64, Call> = HashMap::new();
        let mut looked_after = started;
        let mut buffer = vec![0u8; 65_536];
        loop {
            let now = Instant::now();
            let over = now - started >= pace.duration;
            if over && calls.is_empty() {
                break;
            }
            if !over {
                self.place(&pace, started, now, &mut calls, &mut outcome);
            }
            self.hear(&mut buffer, &mut calls, &mut outcome, &pace);
            if now - looked_after >= Duration::from_millis(2) {
                looked_after = now;
                self.look_after(&mut calls, &mut outcome, &pace, now);
            }
        }
        outcome.elapsed = started.elapsed().min(pace.duration);
        outcome.busy = thread_time() - busy;
        outcome
    }

    fn place(
        &mut self,
        pace: &Pace,
        started: Instant,
        now: Instant,
        calls: &mut HashMap<u64, Call>,
        outcome: &mut Outcome,
    ) {
        let due = match pace.rate {
            Some(rate) => (now - started).as_micros() as u64 * rate / 1_000_000,
            None => u64::MAX,
        };
        let mut burst = 0;
        while outcome.placed < due && calls.len() < pace.calls_max && burst < 64 {
            let number = self.next;
            self.next += 1;
            burst += 1;
            outcome.placed += 1;
            let call = Call {
                stage: Stage::Calling,
                since: Instant::now(),
                sent_again: 0,
                number,
                to: Vec::new(),
                target: Vec::new(),
                placed: Duration::ZERO,
                rang: None,
            };
            let invite = self.invite(number);
            let placed = wall_clock();
            self.send(&invite);
            calls.insert(number, Call { placed, ..call });
        }
    }

    /// Takes what is there; waits a moment if that is nothing.
    fn hear(
        &mut self,
        buffer: &mut [u8],
        calls: &mut HashMap<u64, Call>,
        outcome: &mut Outcome,
        pace: &Pace,
    ) {
        let longest = if pace.rate.is_some() { PACING } else { SLEEPS_MAX };
        for _ in 0..64 {
            let Some(heard) = self.ear.hear(buffer, longest) else { return };
            let Ok(message) = Message::decode(&buffer[..heard.length]) else { continue };
            self.message(&message, &heard, calls, outcome, pace);
        }
    }

    fn message(
        &self,
        message: &Message<'_>,
        heard: &Heard,
        calls: &mut HashMap<u64, Call>,
        outcome: &mut Outcome,
        pace: &Pace,
    ) {
        let number = std::str::from_utf8(message.call_id())
            .ok()
            .and_then(|id| id.strip_prefix('c')?.split('@').next()?.parse::<u64>().ok());
        if let Some(method) = message.method() {
            if method != Method::Ack {
                let mut out = Vec::with_capacity(512);
                let mut response = MessageWriter::response(&mut out, 200);
                copy_essentials(&mut response, message, None, b"sim");
                response.finish(&[]);
                let _ = self.ear.socket.send_to(&out, heard.from);
            }
            if method == Method::Bye
                && let Some(number) = number
                && calls.remove(&number).is_some()
            {
                outcome.cut += 1;
            }
            return;
        }
        let Some(call) = number.and_then(|number| calls.get_mut(&number)) else { return };
        let number = call.number;
        let is_invite = message.cseq().is_some_and(|cseq| cseq.method == b"INVITE");
        match (call.stage, message.status()) {
            (Stage::Calling, 101..200) if call.rang.is_none() => {
                call.rang = Some(heard.arrived.saturating_sub(call.placed));
                outcome.heard.add(call.since.elapsed());
            }
            (Stage::Calling, 200..300) if is_invite => {
                if let (Some(rang), Some(held)) = (call.rang, held(message.body)) {
                    outcome.between.add(rang.saturating_sub(held));
                }
                call.to = message.header(Name::To).unwrap_or_default().to_vec();
                call.target =
                    message.contact().map(|contact| contact.uri.to_vec()).unwrap_or_default();
                call.stage = Stage::Talking;
                call.since = Instant::now();
                let ack = self.within(call, Method::Ack, 1, "a");
                self.send(&ack);
                if pace.talk.is_zero() {
                    call.stage = Stage::Ending;
                    let bye = self.within(call, Method::Bye, 2, "b");
                    self.send(&bye);
                }
            }
            (Stage::Talking, 200..300) if is_invite => {
                let ack = self.within(call, Method::Ack, 1, "a");
                self.send(&ack);
            }
            (Stage::Calling, 300..) => {
                *outcome.refused.entry(message.status()).or_default() += 1;
                call.to = message.header(Name::To).unwrap_or_default().to_vec();
                call.target = format!("sip:{}", self.server).into_bytes();
                // The ACK of a refusal belongs to the INVITE: same branch.
                let ack = self.within(call, Method::Ack, 1, "i");
                self.send(&ack);
                calls.remove(&number);
            }
            (Stage::Ending, 200..) if !is_invite => {
                outcome.completed += 1;
                calls.remove(&number);
            }
            _ => {}
        }
    }

    fn look_after(
        &self,
        calls: &mut HashMap<u64, Call>,
        outcome: &mut Outcome,
        pace: &Pace,
        now: Instant,
    ) {
        let mut gone = Vec::new();
        for call in calls.values_mut() {
            let age = now.saturating_duration_since(call.since);
            match call.stage {
                Stage::Talking if age >= pace.talk => {
                    call.stage = Stage::Ending;
                    call.since = now;
                    call.sent_again = 0;
                    let bye = self.within(call, Method::Bye, 2, "b");
                    self.send(&bye);
                }
                Stage::Talking => {}
                _ if age >= GIVE_UP => gone.push(call.number),
                Stage::Calling if call.rang.is_some() => {}
                Stage::Calling | Stage::Ending if age >= RESEND * (1 << call.sent_again.min(4)) => {
                    call.sent_again += 1;
                    let again = match call.stage {
                        Stage::Calling => self.invite(call.number),
                        _ => self.within(call, Method::Bye, 2, "b"),
                    };
                    self.send(&again);
                }
                Stage::Calling | Stage::Ending => {}
            }
        }
        outcome.lost += gone.len() as u64;
        gone.iter().for_each(|number| drop(calls.remove(number)));
    }
}
