//! Makes batches durable and lets their answers go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tandem_journal::Journal;

use crate::handle::{Readiness, Shared, Unavailable};
use crate::sequencer::{Reply, Work};

/// A sequencer that is gone is missed after this long.
const IDLE_WAIT: Duration = Duration::from_millis(50);

pub(crate) struct Committer {
    pub journal: Journal,
    pub filled: Receiver<Work>,
    pub emptied: Sender<Work>,
    pub shared: Arc<Shared>,
    /// Up to here the books hold everything: the journal may drop it.
    pub trim: Receiver<u64>,
}

impl Committer {
    pub fn run(mut self) {
        let mut failed = false;
        loop {
            let mut work = match self.filled.try_recv() {
                Ok(work) => work,
                Err(TryRecvError::Empty) => {
                    self.shared.to_committer.wait(IDLE_WAIT, || self.filled.is_empty());
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
            };
            failed = failed || !self.append(&mut work);
            if failed {
                refuse(&mut work);
            } else {
                self.release(&mut work);
            }
            work.clear();
            // The sequencer may have gone already.
            let _ = self.emptied.send(work);
            self.shared.to_sequencer.ring();
            if !failed {
                self.trim();
            }
        }
    }

    fn append(&mut self, work: &mut Work) -> bool {
        if work.records.is_empty() {
            return true;
        }
        let (records, bytes) = (work.records.len() as u64, work.records.byte_len() as u64);
        let began = Instant::now();
        match self.journal.append(&mut work.records) {
            Ok(_) => {
                let metrics = &self.shared.metrics;
                metrics.committed_in(began.elapsed());
                metrics.records.fetch_add(records, Ordering::Relaxed);
                metrics.batches.fetch_add(1, Ordering::Relaxed);
                metrics.bytes.fetch_add(bytes, Ordering::Relaxed);
                metrics.sequence.store(work.last_sequence, Ordering::Relaxed);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written: no more work is taken");
                let reason = format!("the journal cannot be written: {error}");
                self.shared.set_readiness(Readiness::NotReady(reason));
                false
            }
        }
    }

    fn release(&self, work: &mut Work) {
        if let Some(registry) = work.registry.take() {
            self.shared.publish(registry);
        }
        if !work.directives.is_empty() {
            let sinks = self.shared.sinks();
            for directive in work.directives.drain(..) {
                sinks.iter().for_each(|sink| sink.issue(&directive));
            }
        }
        for call in work.calls.drain(..) {
            // Nobody may follow at the moment.
            let _ = self.shared.calls.send(call);
        }
        for notification in work.notifications.drain(..) {
            // Without a sender they wait in the state.
            let _ = self.shared.notifications.send(notification);
        }
        let now = Instant::now();
        for reply in work.replies.drain(..) {
            match reply {
                Reply::One(to, response, since) => {
                    self.shared.metrics.answered_in(now - since, 1);
                    // Whoever asked may have gone; the decision stands.
                    let _ = to.send(Ok(response));
                }
                Reply::Many { sink, replies, commands, since } => {
                    self.shared.metrics.answered_in(now - since, replies.len() as u64);
                    let replies = replies.into_iter().map(|(number, reply)| (number, Ok(reply)));
                    sink.deliver(replies.collect(), commands);
                }
                Reply::Read(answer) => answer(),
            }
        }
    }

    fn trim(&mut self) {
        if let Some(up_to) = self.trim.try_iter().last()
            && let Err(error) = self.journal.trim(tandem_journal::Sequence::new(up_to))
        {
            tracing::warn!(%error, "the journal could not be trimmed; it is tried again");
        }
    }
}

/// What was decided is not durable: nobody may hear of it.
fn refuse(work: &mut Work) {
    for reply in work.replies.drain(..) {
        match reply {
            Reply::One(to, _, _) => {
                let _ = to.send(Err(Unavailable::Stopped));
            }
            Reply::Many { sink, replies, commands, .. } => {
                let refusals =
                    replies.into_iter().map(|(number, _)| (number, Err(Unavailable::Stopped)));
                sink.deliver(refusals.collect(), commands);
            }
            // The asker sees its channel close.
            Reply::Read(_) => {}
        }
    }
}
