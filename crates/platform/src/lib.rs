//! The machine room: one sequencer that decides and applies, one committer that makes durable and answers,
//! one follower that keeps the books.
//!
//! Commands come in from the interfaces and are decided one after another against the state in memory. Their
//! events are journaled in batches; while one batch syncs the next is decided. Answers leave only when their
//! batch is durable. After a failed append nothing more is taken: memory may be ahead of the truth.
//!
//! What it does not do: no protocol, no SQL, no rule of charging.

mod audit;
mod background;
mod bell;
mod calls;
mod committer;
mod follower;
mod handle;
mod metrics;
mod recovery;
mod sequencer;
#[cfg(test)]
mod simulated;

pub use audit::{AuditError, audit_stopped};
pub use background::in_background;
pub use calls::{CallEvent, CallOrder, CallSink, CallStage};
pub use handle::{DirectiveSink, Platform, Readiness, Replies, ReplySink, Unavailable};
pub use metrics::{LatencySnapshot, Metrics, MetricsSnapshot};
pub use recovery::{StartError, start};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::time::Timestamp;

/// Where the wall time comes from; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Wall time of the operating system.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since_epoch.map_or(0, |duration| duration.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    })
}

/// How a platform is run.
#[derive(Clone)]
pub struct Options {
    /// Holds `journal/` and `books.sqlite`.
    pub directory: PathBuf,
    pub clock: Clock,
    /// Commands that may wait for the sequencer; more are refused at once.
    pub queue_length_max: usize,
    /// Keep the books up while running. Without it the journal grows and restarts take longer: for measurements.
    pub follow_books: bool,
    /// So long whoever asks the books waits for them to hold what was answered before.
    pub books_patience: Duration,
    /// Records: books further behind no longer leave the processors to others.
    pub books_far_behind: u64,
}

impl Options {
    pub fn new(directory: impl Into<PathBuf>) -> Options {
        Options {
            directory: directory.into(),
            clock: system_clock(),
            queue_length_max: 65_536,
            follow_books: true,
            books_patience: Duration::from_secs(2),
            books_far_behind: 500_000,
        }
    }
}
