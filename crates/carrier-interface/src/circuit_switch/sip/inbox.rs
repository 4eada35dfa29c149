//! What comes to the engine's thread from elsewhere, and how that thread is woken for it.

use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use sip_protocol::Flow;
use stir_protocol::CertificateUrl;
use tandem_domain::command::{Command, Response};
use tandem_domain::directive::Directive;
use tandem_platform::{CallOrder, CallSink, DirectiveSink, Replies, ReplySink, Unavailable};
use tokio::sync::mpsc;

use super::call::Consent;
use super::proving::{Lookup, Secrets};

pub(super) enum Item {
    Frame(Flow, Vec<u8>),
    /// A connection that we wanted could not be made, or broke.
    Broken(Flow),
    Replies(Vec<(u64, Result<Response, Unavailable>)>),
    Directive(Box<Directive>),
    Secrets(Lookup, Result<Secrets, Unavailable>),
    Consent(u64, Consent),
    Certificate(CertificateUrl, Option<(Vec<u8>, u64)>),
    Originate(CallOrder),
    Stop,
}

/// Messages of connections that wait; more wait in the connections.
const FRAMES_MAX: usize = 65_536;

/// Where others put what is for the engine.
#[derive(Clone)]
pub(super) struct Post {
    frames: mpsc::Sender<Item>,
    answers: mpsc::UnboundedSender<Item>,
    bell: Arc<Bell>,
}

/// Rung only while the thread sleeps: a system call for each answer would cost more than most answers.
struct Bell {
    is_asleep: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.is_asleep.swap(false, Ordering::SeqCst) {
            // Full is as good as rung.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}

impl Post {
    /// From a connection; waits for room. False once the server has stopped.
    pub async fn frame(&self, item: Item) -> bool {
        let is_taken = self.frames.send(item).await.is_ok();
        self.bell.ring();
        is_taken
    }

    /// Answers are bounded by what was asked; a server that has stopped needs none.
    pub fn answer(&self, item: Item) {
        let _ = self.answers.send(item);
        self.bell.ring();
    }
}

impl ReplySink for Post {
    fn deliver(&self, replies: Replies, _: Vec<(u64, Command)>) {
        self.answer(Item::Replies(replies));
    }
}

impl CallSink for Post {
    fn originate(&self, order: CallOrder) {
        // A server that has stopped lets the asker's channel close.
        self.answer(Item::Originate(order));
    }
}

impl DirectiveSink for Post {
    fn issue(&self, directive: &Directive) {
        if directive.key.starts_with(b"sip;") {
            self.answer(Item::Directive(Box::new(directive.clone())));
        }
    }
}

/// The engine's end.
pub(super) struct Inbox {
    frames: mpsc::Receiver<Item>,
    answers: mpsc::UnboundedReceiver<Item>,
    bell: Arc<Bell>,
}

impl Inbox {
    pub fn new() -> io::Result<(Post, Inbox)> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let bell = Arc::new(Bell { is_asleep: AtomicBool::new(false), event });
        let (frames, framed) = mpsc::channel(FRAMES_MAX);
        let (answers, answered) = mpsc::unbounded_channel();
        let post = Post { frames, answers, bell: bell.clone() };
        Ok((post, Inbox { frames: framed, answers: answered, bell }))
    }

    pub fn answer(&mut self) -> Option<Item> {
        self.answers.try_recv().ok()
    }

    pub fn frame(&mut self) -> Option<Item> {
        self.frames.try_recv().ok()
    }

    /// Until there is something here or at the socket, or the time is over.
    pub fn wait(&self, socket: &UdpSocket, longest: Duration) {
        self.bell.is_asleep.store(true, Ordering::SeqCst);
        // Whatever was put in before that store rang no bell.
        fence(Ordering::SeqCst);
        let mut is_rung = false;
        if self.answers.is_empty() && self.frames.is_empty() {
            let mut awaited =
                [PollFd::new(socket, PollFlags::IN), PollFd::new(&self.bell.event, PollFlags::IN)];
            let longest = Timespec::try_from(longest).ok();
            // Interrupted is as good as woken.
            let _ = poll(&mut awaited, longest.as_ref());
            is_rung = !awaited[1].revents().is_empty();
        }
        self.bell.is_asleep.store(false, Ordering::SeqCst);
        if is_rung {
            // Silences it. One who rings late wakes us once for nothing.
            let _ = rustix::io::read(&self.bell.event, &mut [0; 8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn whoever_rings_late_wakes_once_and_no_more() {
        let (post, inbox) = Inbox::new().expect("an inbox");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let longest = Duration::from_millis(50);
        rustix::io::write(&post.bell.event, &1u64.to_ne_bytes()).expect("rung");
        inbox.wait(&socket, Duration::from_secs(60));
        let asleep = Instant::now();
        inbox.wait(&socket, longest);
        assert!(asleep.elapsed() >= longest, "silence lasts");
    }

    #[test]
    fn what_is_put_in_ends_the_wait() {
        let (post, mut inbox) = Inbox::new().expect("an inbox");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let putting = std::thread::spawn(move || {
            while !post.bell.is_asleep.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            post.answer(Item::Stop);
        });
        let (asleep, longest) = (Instant::now(), Duration::from_secs(60));
        inbox.wait(&socket, longest);
        assert!(asleep.elapsed() < longest, "it was rung for");
        assert!(matches!(inbox.answer(), Some(Item::Stop)));
        putting.join().expect("it was put in");
    }
}
