//! What the interfaces hold: a cheap, cloneable handle.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tandem_books::{AuditReport, BooksError, BooksReader};
use tandem_domain::catalogue::Registry;
use tandem_domain::command::{Command, Response};
use tandem_domain::content::Notification;
use tandem_domain::digits::Digits;
use tandem_domain::directive::Directive;
use tandem_domain::identifier::{Identity, LineId, SessionId};
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_domain::usage_record::UsageRecord;
use tokio::sync::{broadcast, oneshot, watch};

use crate::audit::AuditError;
use crate::bell::Bell;
use crate::calls::{CallEvent, CallOrder, CallSink};
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::{Clock, audit};

/// The platform cannot take or finish this now; nothing is known to have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Too many commands wait already.
    Overloaded,
    /// Stopping, or stopped after a failed append.
    Stopped,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unavailable::Overloaded => "too many requests wait already: try again shortly",
            Unavailable::Stopped => "the platform takes no work at the moment",
        })
    }
}

impl std::error::Error for Unavailable {}

/// Does the platform take work?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady(String),
}

pub type Replies = Vec<(u64, Result<Response, Unavailable>)>;

/// Takes the answers to a batch of commands, each with the number it was submitted under, and the commands themselves:
/// who makes many makes them of those that are over.
/// Called from the committer: it must not block.
pub trait ReplySink: Send + Sync {
    fn deliver(&self, replies: Replies, over: Vec<(u64, Command)>);
}

/// Takes orders to switches as they become durable. Called from the committer: it must not block.
/// What it misses is still pending in the state's outbox.
pub trait DirectiveSink: Send + Sync {
    fn issue(&self, directive: &Directive);
}

pub(crate) type Read = Box<dyn FnOnce(&State, Timestamp) -> Box<dyn FnOnce() + Send> + Send>;

pub(crate) enum Job {
    One { command: Command, reply: oneshot::Sender<Result<Response, Unavailable>>, since: Instant },
    Many { commands: Vec<(u64, Command)>, sink: Arc<dyn ReplySink>, since: Instant },
    Read(Read),
    Stop,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BooksProgress {
    /// The last record in them.
    pub sequence: u64,
    pub follow: bool,
}

/// What the threads and the handles share.
pub(crate) struct Shared {
    pub to_sequencer: Bell,
    pub to_committer: Bell,
    pub registry: RwLock<Arc<Registry>>,
    pub readiness: RwLock<Readiness>,
    pub directive_sinks: Mutex<Vec<Arc<dyn DirectiveSink>>>,
    pub call_sink: Mutex<Option<Arc<dyn CallSink>>>,
    /// Steps of calls, for those who follow them.
    pub calls: broadcast::Sender<CallEvent>,
    /// What is to be told to parties over HTTP, as it becomes durable.
    pub notifications: broadcast::Sender<Notification>,
    /// Takes snapshots out of use.
    pub reaper: Sender<Arc<Registry>>,
    pub metrics: Metrics,
    pub books: watch::Sender<BooksProgress>,
    pub queue_length_max: usize,
}

impl Shared {
    pub fn publish(&self, registry: Arc<Registry>) {
        let mut current = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, registry);
        drop(current);
        // It may be the last to hold a large price list, and dropping that takes its time.
        let _ = self.reaper.send(before);
    }

    /// How far the books are, and whether they go on at the moment.
    pub fn books_hold(&self, sequence: u64, follow: bool) {
        self.metrics.books_sequence.store(sequence, Ordering::Relaxed);
        self.books.send_replace(BooksProgress { sequence, follow });
    }

    pub fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.write().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    pub fn readiness(&self) -> Readiness {
        self.readiness.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn sinks(&self) -> Vec<Arc<dyn DirectiveSink>> {
        self.directive_sinks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
pub struct Platform {
    pub(crate) jobs: Sender<Job>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) books: BooksReader,
    pub(crate) books_patience: Duration,
    pub(crate) clock: Clock,
    pub(crate) threads: Arc<Mutex<Vec<std::thread::JoinHandle<()>>>>,
}

impl Platform {
    /// Asks for a decision; the answer comes when it is durable.
    pub async fn submit(&self, command: Command) -> Result<Response, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(1, Job::One { command, reply, since: Instant::now() })?;
        answer.await.unwrap_or(Err(Unavailable::Stopped))
    }

    /// As [`Platform::submit`], for threads that may wait.
    pub fn submit_blocking(&self, command: Command) -> Result<Response, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(1, Job::One { command, reply, since: Instant::now() })?;
        answer.blocking_recv().unwrap_or(Err(Unavailable::Stopped))
    }

    /// Submits many commands at once; each is answered through `sink` under its number.
    /// An error means that none was taken.
    pub fn submit_many(
        &self,
        commands: Vec<(u64, Command)>,
        sink: Arc<dyn ReplySink>,
    ) -> Result<(), Unavailable> {
        self.enqueue(commands.len(), Job::Many { commands, sink, since: Instant::now() })
    }

    fn enqueue(&self, count: usize, job: Job) -> Result<(), Unavailable> {
        if self.shared.readiness() != Readiness::Ready {
            return Err(Unavailable::Stopped);
        }
        let waiting = &self.shared.metrics.queue_length;
        if waiting.fetch_add(count, Ordering::Relaxed) + count > self.shared.queue_length_max {
            waiting.fetch_sub(count, Ordering::Relaxed);
            self.shared.metrics.overloaded.fetch_add(count as u64, Ordering::Relaxed);
            return Err(Unavailable::Overloaded);
        }
        self.jobs.try_send(job).map_err(|error| {
            waiting.fetch_sub(count, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => Unavailable::Overloaded,
                TrySendError::Disconnected(_) => Unavailable::Stopped,
            }
        })?;
        self.shared.to_sequencer.ring();
        Ok(())
    }

    /// Runs a short read on the sequencer. The value comes when all that it could have seen is durable.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(1, Job::Read(deferred(read, reply)))?;
        answer.await.map_err(|_| Unavailable::Stopped)
    }

    /// As [`Platform::read`], for threads that may wait.
    pub fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(1, Job::Read(deferred(read, reply)))?;
        answer.blocking_recv().map_err(|_| Unavailable::Stopped)
    }

    /// The current snapshot of parties, offers and prices.
    pub fn registry(&self) -> Arc<Registry> {
        self.shared.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The books as they are, which may be seconds behind.
    pub fn books(&self) -> &BooksReader {
        &self.books
    }

    pub fn readiness(&self) -> Readiness {
        self.shared.readiness()
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        self.shared.metrics.prometheus()
    }

    /// Adds what an interface measures of itself, in the same form; it replaces what the interface said before.
    pub fn show_metrics(&self, interface: &'static str, text: String) {
        let shown = &self.shared.metrics.interfaces;
        shown.lock().unwrap_or_else(PoisonError::into_inner).insert(interface, text);
    }

    /// The books once they hold all that was answered so far: what somebody did he finds there. Books that do not come
    /// that far in [`Options::books_patience`], or do not follow, are given as they are.
    ///
    /// [`Options::books_patience`]: crate::Options::books_patience
    pub async fn books_in_step(&self) -> BooksReader {
        let metrics = &self.shared.metrics;
        let answered = metrics.sequence.load(Ordering::Relaxed);
        metrics.books_wanted.fetch_max(answered, Ordering::Relaxed);
        let mut progress = self.shared.books.subscribe();
        let in_step = progress.wait_for(|books| !books.follow || books.sequence >= answered);
        // Either way they are what there is.
        let _ = tokio::time::timeout(self.books_patience, in_step).await;
        self.books.clone()
    }

    /// Of a session that is over, with all that was answered before. Books that lag are [`Unavailable::Overloaded`].
    pub async fn usage_record(
        &self,
        session: SessionId,
    ) -> Result<Option<UsageRecord>, Unavailable> {
        let answered = self.shared.metrics.sequence.load(Ordering::Relaxed);
        let books = self.books_in_step().await;
        let read = move || {
            let is_in_step = books.sequence()? >= answered;
            Ok((is_in_step, books.usage_record(session)?))
        };
        let read: Result<_, BooksError> =
            tokio::task::spawn_blocking(read).await.map_err(|_| Unavailable::Stopped)?;
        match read {
            Ok((true, record)) => Ok(record),
            Ok((false, _)) => Err(Unavailable::Overloaded),
            Err(error) => {
                tracing::error!(%error, "the books cannot be read");
                Err(Unavailable::Stopped)
            }
        }
    }

    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        self.shared.metrics.snapshot()
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Checks books, journal and memory against each other while work goes on.
    pub async fn audit(&self) -> Result<AuditReport, AuditError> {
        audit::audit_running(self).await
    }

    /// The steps of all calls from now on, as they become durable.
    pub fn call_events(&self) -> broadcast::Receiver<CallEvent> {
        self.shared.calls.subscribe()
    }

    /// Notifications from now on, as they become durable. Those that were issued before, or are missed by a slow
    /// receiver, are pending in the state.
    pub fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.shared.notifications.subscribe()
    }

    pub fn on_calls(&self, sink: Arc<dyn CallSink>) {
        *self.shared.call_sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }

    /// Has a call placed between a phone of this line and a number. False: no phone of the line can be called.
    pub async fn originate(
        &self,
        line: LineId,
        identities: Vec<Identity>,
        user: Box<str>,
        called: Digits,
    ) -> Result<bool, Unavailable> {
        let (taken, answer) = oneshot::channel();
        let sink = self.shared.call_sink.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sink = sink.ok_or(Unavailable::Stopped)?;
        sink.originate(CallOrder { line, identities, user, called, taken });
        answer.await.map_err(|_| Unavailable::Stopped)
    }

    pub fn on_directive(&self, sink: Arc<dyn DirectiveSink>) {
        self.shared.directive_sinks.lock().unwrap_or_else(PoisonError::into_inner).push(sink);
    }

    /// Finishes what was taken, brings the books up to date and stops. Settles nothing, loses nothing.
    pub fn stop(&self) {
        self.shared.set_readiness(Readiness::NotReady("stopping".into()));
        // A full queue drains: the sequencer still runs.
        let _ = self.jobs.send(Job::Stop);
        self.shared.to_sequencer.ring();
        let threads: Vec<_> =
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the platform ended by a panic");
            }
        }
    }
}

/// A read whose value is sent when its batch is durable.
fn deferred<T: Send + 'static>(
    read: impl FnOnce(&State, Timestamp) -> T + Send + 'static,
    reply: oneshot::Sender<T>,
) -> Read {
    Box::new(move |state, now| {
        let value = read(state, now);
        Box::new(move || {
            // Whoever asked may have gone.
            let _ = reply.send(value);
        })
    })
}
