//! The one thread that decides: drain, decide, apply, hand over. It never waits for the disk while there is
//! work and a place to put it: while one batch syncs, the next is decided.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};
use tandem_domain::apply::apply;
use tandem_domain::catalogue::Registry;
use tandem_domain::command::{Command, Response};
use tandem_domain::content::Notification;
use tandem_domain::decide::{Decision, decide};
use tandem_domain::directive::Directive;
use tandem_domain::encoding::Octets;
use tandem_domain::event::{Event, Record};
use tandem_domain::ledger::check_balanced;
use tandem_domain::read_ahead;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_journal::Batch;
use tokio::sync::oneshot;

use crate::Clock;
use crate::calls::{CallEvent, steps};
use crate::handle::{Job, Readiness, ReplySink, Shared, Unavailable};

/// Decisions of one journal batch, with everything that leaves once it is durable.
#[derive(Default)]
pub(crate) struct Work {
    pub records: Batch,
    pub last_sequence: u64,
    pub replies: Vec<Reply>,
    pub directives: Vec<Directive>,
    pub calls: Vec<CallEvent>,
    pub notifications: Vec<Notification>,
    pub registry: Option<Arc<Registry>>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty() && self.registry.is_none()
    }

    pub fn clear(&mut self) {
        self.records.clear();
        self.replies.clear();
        self.directives.clear();
        self.calls.clear();
        self.notifications.clear();
        self.registry = None;
    }
}

pub(crate) enum Reply {
    One(oneshot::Sender<Result<Response, Unavailable>>, Response, Instant),
    Many {
        sink: Arc<dyn ReplySink>,
        replies: Vec<(u64, Response)>,
        commands: Vec<(u64, Command)>,
        since: Instant,
    },
    Read(Box<dyn FnOnce() + Send>),
}

/// Records in one batch; more wait for the next.
const BATCH_RECORDS_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Timers and sweep steps between two looks at the queue.
const TIMERS_AT_ONCE: usize = 256;
const IDLE_WAIT: Duration = Duration::from_millis(50);

pub(crate) struct Sequencer {
    pub state: State,
    pub jobs: Receiver<Job>,
    /// Full batches to the committer; it takes one at a time.
    pub filled: Sender<Work>,
    /// Empty batches back from it.
    pub emptied: Receiver<Work>,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    pub work: Work,
    pub published: Arc<Registry>,
    pub last_now: Timestamp,
}

impl Sequencer {
    pub fn run(mut self) {
        let mut stopping = false;
        while !stopping {
            let wait = if self.work.is_empty() && self.state.sweeps.is_empty() {
                IDLE_WAIT
            } else {
                Duration::ZERO
            };
            let wait = wait.min(self.until_next_timer());
            if !wait.is_zero() {
                self.shared.to_sequencer.wait(wait, || self.jobs.is_empty());
            }
            // While the committer is busy all that waits joins one batch; once it is free it gets what there is.
            while !stopping && !self.is_full() && (self.work.is_empty() || self.emptied.is_empty())
            {
                match self.jobs.try_recv() {
                    Ok(job) => stopping = self.take(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => stopping = true,
                }
            }
            self.run_timers();
            if !self.hand_over(stopping) {
                return;
            }
            self.publish_counts();
        }
        let Sequencer { filled, shared, .. } = self;
        drop(filled);
        shared.to_committer.ring();
    }

    fn is_full(&self) -> bool {
        self.work.records.len() >= BATCH_RECORDS_MAX
            || self.work.records.byte_len() >= BATCH_BYTES_MAX
    }

    /// Wall time that never runs backwards.
    fn now(&mut self) -> Timestamp {
        self.last_now = self.last_now.max((self.clock)());
        self.last_now
    }

    fn until_next_timer(&mut self) -> Duration {
        let Some(next) = self.state.timers.next() else {
            return IDLE_WAIT;
        };
        let millis = next.millis().saturating_sub(self.now().millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Serves one job; true when it is time to stop.
    pub fn take(&mut self, job: Job) -> bool {
        let now = self.now();
        let taken = match job {
            Job::One { command, reply, since } => {
                let response = self.serve(&command, now);
                self.work.replies.push(Reply::One(reply, response, since));
                1
            }
            Job::Many { commands, sink, since } => {
                let count = commands.len();
                let mut replies = Vec::with_capacity(count);
                for some in commands.chunks(read_ahead::COMMANDS_MAX) {
                    read_ahead::read_ahead(&self.state, some.iter().map(|(_, command)| command));
                    replies.extend(
                        some.iter().map(|(number, command)| (*number, self.serve(command, now))),
                    );
                }
                self.work.replies.push(Reply::Many { sink, replies, commands, since });
                count
            }
            Job::Read(read) => {
                let answer = read(&self.state, now);
                self.work.replies.push(Reply::Read(answer));
                1
            }
            Job::Stop => return true,
        };
        self.shared.metrics.queue_length.fetch_sub(taken, Ordering::Relaxed);
        false
    }

    fn serve(&mut self, command: &Command, now: Timestamp) -> Response {
        let decision = decide(&self.state, command, now);
        self.shared.metrics.count(&decision.response);
        self.commit(decision, now)
    }

    /// Adds a decision to the batch and applies it.
    fn commit(&mut self, mut decision: Decision, now: Timestamp) -> Response {
        if let Some((at, key)) = decision.rearm.take() {
            self.state.timers.arm(at, key);
        }
        if decision.is_pure_reply() {
            return decision.response;
        }
        let (response, record) = decision.into_record(self.state.sequence + 1, now);
        self.check(&record);
        if self.shared.calls.receiver_count() > 0 {
            steps(&self.state, &record, &mut self.work.calls);
        }
        self.work.records.push(|bytes| {
            minicbor::encode(&record, Octets(bytes)).expect("writing to memory cannot fail");
        });
        self.work.last_sequence = record.sequence;
        self.work.directives.extend(record.events.iter().filter_map(|event| match event {
            Event::DirectiveIssued(directive) => Some(directive.as_ref().clone()),
            _ => None,
        }));
        self.work.notifications.extend(record.events.iter().filter_map(|event| match event {
            Event::NotificationIssued(notification) => Some(notification.as_ref().clone()),
            _ => None,
        }));
        if let Err(inconsistent) = apply(&mut self.state, record) {
            // The state may hold half a decision: nothing may build on it.
            panic!("a decision does not fit the state it was made from: {inconsistent}");
        }
        if !Arc::ptr_eq(&self.published, &self.state.registry) {
            self.published = self.state.registry.clone();
            self.work.registry = Some(self.published.clone());
        }
        response
    }

    /// Money that would come from nowhere stops the house rather than enter the books.
    fn check(&self, record: &Record) {
        for event in &record.events {
            if let Event::Transferred(transfer) = event
                && let Err(unbalanced) = check_balanced(&transfer.postings)
            {
                panic!("refusing to write an entry that does not balance: {unbalanced}");
            }
        }
    }

    pub fn run_timers(&mut self) {
        let now = self.now();
        for _ in 0..TIMERS_AT_ONCE {
            let Some(key) = self.state.timers.pop_due(now) else { break };
            self.serve(&Command::Timer(key), now);
        }
        if !self.state.sweeps.is_empty() {
            self.serve(&Command::Sweep, now);
        }
    }

    /// Gives the batch to the committer when it is free; waits for it when the batch is full or it is time to stop.
    /// False when the committer has stopped.
    fn hand_over(&mut self, stopping: bool) -> bool {
        if self.work.is_empty() {
            return true;
        }
        let must_wait = stopping || self.is_full();
        let empty = if must_wait {
            self.emptied.recv().ok()
        } else {
            match self.emptied.try_recv() {
                Ok(empty) => Some(empty),
                Err(TryRecvError::Empty) => {
                    // Batch N syncs; let N+1 grow, but not at the price of a hot loop.
                    let is_quiet = || self.jobs.is_empty() && self.emptied.is_empty();
                    self.shared.to_sequencer.wait(IDLE_WAIT, is_quiet);
                    return true;
                }
                Err(TryRecvError::Disconnected) => None,
            }
        };
        let Some(empty) = empty else {
            return self.committer_gone();
        };
        let filled = std::mem::replace(&mut self.work, empty);
        match self.filled.try_send(filled) {
            Ok(()) => {
                self.shared.to_committer.ring();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.committer_gone(),
        }
    }

    fn committer_gone(&self) -> bool {
        if self.shared.readiness() == Readiness::Ready {
            self.shared.set_readiness(Readiness::NotReady("the journal has stopped".into()));
        }
        false
    }

    fn publish_counts(&self) {
        let metrics = &self.shared.metrics;
        metrics.open_sessions.store(self.state.sessions.len() as u64, Ordering::Relaxed);
        metrics.subscribers.store(self.state.subscribers.len() as u64, Ordering::Relaxed);
    }
}
