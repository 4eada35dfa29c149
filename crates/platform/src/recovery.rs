//! From files to a running platform: the books' checkpoint, then the journal's tail.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use tandem_books::{Books, BooksError};
use tandem_domain::apply::apply;
use tandem_domain::catalogue::Registry;
use tandem_domain::event::Record;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_journal::{Journal, JournalOptions, Sequence};

use tokio::sync::{broadcast, watch};

use crate::Options;
use crate::background::{give_way, in_turn};
use crate::bell::Bell;
use crate::committer::Committer;
use crate::follower::{Follower, Run};
use crate::handle::{Platform, Readiness, Shared};
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, Work};

/// The platform cannot start on this directory.
#[derive(Debug)]
pub enum StartError {
    Directory(std::io::Error),
    Journal(tandem_journal::OpenError),
    Books(BooksError),
    /// The journal begins after what the books hold.
    Gap {
        books: u64,
        journal_from: u64,
    },
    /// The books hold more than the journal: it was replaced or lost.
    JournalBehind {
        books: u64,
        journal: u64,
    },
    Damaged(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Directory(_) => f.write_str("the data directory cannot be used"),
            StartError::Journal(_) => f.write_str("the journal cannot be opened"),
            StartError::Books(_) => f.write_str("the books cannot be opened"),
            StartError::Gap { books, journal_from } => {
                write!(f, "the books end at record {books}, the journal begins at {journal_from}")
            }
            StartError::JournalBehind { books, journal } => {
                write!(
                    f,
                    "the books hold record {books}, the journal ends at {journal}: it is not theirs"
                )
            }
            StartError::Damaged(what) => write!(f, "the journal is damaged: {what}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Directory(error) => Some(error),
            StartError::Journal(error) => Some(error),
            StartError::Books(error) => Some(error),
            _ => None,
        }
    }
}

/// Journal, books and the state they add up to.
pub(crate) struct Recovered {
    pub journal: Journal,
    pub books: Books,
    pub state: State,
}

const READ_BYTES: usize = 8 << 20;

pub(crate) fn recover(directory: &Path) -> Result<Recovered, StartError> {
    recover_with(directory, JournalOptions::default())
}

pub(crate) fn recover_with(
    directory: &Path,
    options: JournalOptions,
) -> Result<Recovered, StartError> {
    std::fs::create_dir_all(directory).map_err(StartError::Directory)?;
    let journal =
        Journal::open(&directory.join("journal"), options).map_err(StartError::Journal)?;
    let books = Books::open(&directory.join("books.sqlite")).map_err(StartError::Books)?;
    let mut state = books.load().map_err(StartError::Books)?;
    replay(&journal, &mut state)?;
    Ok(Recovered { journal, books, state })
}

/// Applies what the journal holds beyond the state.
fn replay(journal: &Journal, state: &mut State) -> Result<(), StartError> {
    let mut reader = journal.reader();
    let last = reader.last_durable().number();
    if last < state.sequence {
        return Err(StartError::JournalBehind { books: state.sequence, journal: last });
    }
    let first = reader.first().number();
    if last > state.sequence && first > state.sequence + 1 {
        return Err(StartError::Gap { books: state.sequence, journal_from: first });
    }
    while state.sequence < last {
        let from = Sequence::new(state.sequence + 1);
        let mut damage = None;
        let mut each = |sequence: Sequence, bytes: &[u8]| {
            if damage.is_some() {
                return;
            }
            let applied = minicbor::decode::<Record>(bytes)
                .map_err(|error| format!("record {}: {error}", sequence.number()))
                .and_then(|record| apply(state, record).map_err(|error| error.to_string()));
            damage = applied.err();
        };
        reader
            .read(from, READ_BYTES, &mut each)
            .map_err(|error| StartError::Damaged(error.to_string()))?;
        if let Some(damage) = damage {
            return Err(StartError::Damaged(damage));
        }
    }
    Ok(())
}

/// Steps of calls kept for a slow listener.
const CALL_EVENTS: usize = 4096;
const NOTIFICATIONS_WAITING_MAX: usize = 4096;

/// Recovers and starts the threads.
pub fn start(options: Options) -> Result<Platform, StartError> {
    let Recovered { journal, books, state } = recover(&options.directory)?;
    let reader = journal.reader();
    let (reaper, outdated) = crossbeam_channel::unbounded();
    // Ends when nobody holds the platform any more.
    thread::Builder::new()
        .name("reaper".into())
        .spawn(move || {
            give_way();
            outdated.into_iter().for_each(|registry: Arc<Registry>| in_turn(|| drop(registry)));
        })
        .map_err(StartError::Directory)?;
    let shared = Arc::new(Shared {
        to_sequencer: Bell::default(),
        to_committer: Bell::default(),
        reaper,
        calls: broadcast::channel(CALL_EVENTS).0,
        registry: RwLock::new(state.registry.clone()),
        readiness: RwLock::new(Readiness::Ready),
        directive_sinks: Mutex::new(Vec::new()),
        call_sink: Mutex::new(None),
        notifications: broadcast::channel(NOTIFICATIONS_WAITING_MAX).0,
        metrics: Metrics::default(),
        books: watch::Sender::default(),
        queue_length_max: options.queue_length_max,
    });
    shared.metrics.sequence.store(state.sequence, Ordering::Relaxed);
    let (jobs, incoming) = crossbeam_channel::bounded(options.queue_length_max);
    let (filled, to_commit) = crossbeam_channel::bounded(1);
    let (emptied, free) = crossbeam_channel::bounded(2);
    let (trim, trims) = crossbeam_channel::bounded(16);
    // Two batches: one syncs while the other is decided.
    let _ = emptied.send(Work::default());
    let stopping = Arc::new(AtomicBool::new(false));
    let sequencer = Sequencer {
        published: state.registry.clone(),
        state,
        jobs: incoming,
        filled,
        emptied: free,
        shared: shared.clone(),
        clock: options.clock.clone(),
        work: Work::default(),
        last_now: Timestamp::ZERO,
    };
    let committer =
        Committer { journal, filled: to_commit, emptied, shared: shared.clone(), trim: trims };
    let books_reader = books.reader();
    let mut threads = Vec::new();
    let spawn = |name: &str, run: Run| {
        thread::Builder::new().name(name.into()).spawn(run).map_err(StartError::Directory)
    };
    threads.push(spawn("sequencer", Box::new(watched(shared.clone(), move || sequencer.run())))?);
    let books_stop = stopping.clone();
    threads.push(spawn(
        "committer",
        Box::new(watched(shared.clone(), move || {
            committer.run();
            books_stop.store(true, Ordering::Release);
        })),
    )?);
    if options.follow_books {
        let projector = books.into_projector().map_err(StartError::Books)?;
        shared.books_hold(projector.sequence(), true);
        let follower = Follower {
            reader,
            projector,
            trim,
            shared: shared.clone(),
            stopping,
            far_behind: options.books_far_behind,
        };
        for (name, run) in follower.threads() {
            threads.push(spawn(name, run)?);
        }
    }
    Ok(Platform {
        jobs,
        shared,
        books: books_reader,
        books_patience: options.books_patience,
        clock: options.clock,
        threads: Arc::new(Mutex::new(threads)),
    })
}

/// A thread that dies of a broken invariant takes the house's readiness with it, in plain words.
fn watched(shared: Arc<Shared>, run: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send {
    move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            shared
                .set_readiness(Readiness::NotReady("an internal check failed: see the log".into()));
        }
    }
}
