//! Keeps the books up with the journal, and lets the journal drop what the books hold.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use tandem_books::Projector;
use tandem_domain::event::Record;
use tandem_journal::{JournalReader, Sequence};

use crate::background::{give_way, in_turn};
use crate::handle::Shared;

const BATCH_BYTES_MAX: usize = 4 << 20;
const WAIT: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(1);
const TRIM_EVERY: Duration = Duration::from_secs(1);
/// After a transaction the next may gather for so long for each of its records: whoever reads the books sees a single
/// change at once, and under load what many records have in common is written once.
const GATHER_EACH: Duration = Duration::from_micros(250);
const GATHER_MAX: Duration = Duration::from_secs(5);
/// When somebody waits for a record: then so long.
const HURRIED_EACH: Duration = Duration::from_micros(25);
const HURRIED_MAX: Duration = Duration::from_millis(500);
/// So many are taken in before it ends, while they are still in memory.
const ENOUGH: u64 = 4096;
/// So many make a transaction that gathers no more: what they are about is held in memory until it ends.
const TRANSACTION_MAX: u64 = 65_536;
const LOOK: Duration = Duration::from_millis(5);

/// What a thread runs.
pub(crate) type Run = Box<dyn FnOnce() + Send>;

/// How the books follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// With what others leave of the processors.
    Leisurely,
    /// Like everybody else: where nothing is left they would never catch up, and the journal would grow without end.
    Pressing,
}

pub(crate) struct Follower {
    pub reader: JournalReader,
    pub projector: Projector,
    pub trim: Sender<u64>,
    pub shared: Arc<Shared>,
    pub stopping: Arc<AtomicBool>,
    /// Records: further behind, they press on until they are not half as far behind.
    pub far_behind: u64,
}

impl Follower {
    /// What leads the books, with the names of the threads: a thread that gave way cannot take that back, so that
    /// another leads them when they have to press on.
    pub fn threads(mut self) -> [(&'static str, Run); 2] {
        let (to_pressing, pressing) = bounded::<Follower>(1);
        let (to_leisurely, leisurely) = bounded(1);
        let leisurely = move || {
            give_way();
            while let Some(late) = self.run(Pace::Leisurely) {
                tracing::warn!("the books are far behind: they press on");
                late.shared.metrics.books_pressed.fetch_add(1, Ordering::Relaxed);
                if to_pressing.send(late).is_err() {
                    return;
                }
                let Ok(in_step) = leisurely.recv() else { return };
                self = in_step;
            }
        };
        let pressing = move || {
            for late in pressing {
                let Some(in_step) = late.run(Pace::Pressing) else { return };
                // The other is gone only when a check of its own failed.
                let _ = to_leisurely.send(in_step);
            }
        };
        [("books", Box::new(leisurely)), ("books-late", Box::new(pressing))]
    }

    /// Until told to stop, and then until the books hold all that is durable; or until it is time for the other pace:
    /// then it comes back.
    fn run(mut self, pace: Pace) -> Option<Follower> {
        let mut done = self.projector.sequence();
        let mut trimmed = done;
        let mut next_trim = Instant::now();
        let (mut gather_until, mut hurried_until) = (Instant::now(), Instant::now());
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            let durable = self.reader.last_durable().number();
            if durable <= done {
                if stopping {
                    return None;
                }
                self.reader.wait_beyond(Sequence::new(done), WAIT);
                continue;
            }
            let behind = durable - done;
            if pace == Pace::Leisurely && behind > self.far_behind
                || pace == Pace::Pressing && behind <= self.far_behind / 2
            {
                return Some(self);
            }
            let is_due = self.gather(done, gather_until, hurried_until);
            let followed = match pace {
                Pace::Leisurely => in_turn(|| self.follow(done, is_due)),
                Pace::Pressing => self.follow(done, is_due),
            };
            match followed {
                Ok(reached) if reached == done => {}
                Ok(reached) => {
                    let records = u32::try_from(reached - done).unwrap_or(u32::MAX);
                    let now = Instant::now();
                    gather_until = now + GATHER_MAX.min(GATHER_EACH.saturating_mul(records));
                    hurried_until = now + HURRIED_MAX.min(HURRIED_EACH.saturating_mul(records));
                    done = reached;
                    self.shared.books_hold(done, true);
                    if done > trimmed && Instant::now() >= next_trim {
                        next_trim = Instant::now() + TRIM_EVERY;
                        if self.let_go(done) {
                            trimmed = done;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the books cannot be written: charging goes on, they catch up later");
                    done = self.projector.sequence();
                    self.shared.books_hold(done, false);
                    if stopping {
                        return None;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// The last record that somebody waits for.
    fn wanted(&self) -> u64 {
        self.shared.metrics.books_wanted.load(Ordering::Relaxed)
    }

    /// Waits until there is enough to take in, or until the transaction is due to end: true.
    fn gather(&self, done: u64, until: Instant, hurried_until: Instant) -> bool {
        let taken_in = self.projector.taken_in();
        loop {
            let is_wanted = self.wanted() > done;
            let until = if is_wanted { until.min(hurried_until) } else { until };
            if Instant::now() >= until || self.stopping.load(Ordering::Acquire) {
                return true;
            }
            if self.reader.last_durable().number() >= taken_in + ENOUGH {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Takes a batch of records in, and ends the transaction if it is large, or due and holds what waits or is waited
    /// for. Returns the last record that the books hold.
    fn follow(&mut self, done: u64, is_due: bool) -> Result<u64, Box<dyn Error>> {
        let durable = self.reader.last_durable().number();
        let wanted = self.wanted();
        let result = take_in(&mut self.reader, &mut self.projector);
        let taken_in = self.projector.taken_in();
        let has_all = taken_in >= durable || (wanted > done && taken_in >= wanted);
        if result.is_err() || taken_in >= done + TRANSACTION_MAX || (is_due && has_all) {
            self.projector.commit()?;
        }
        result.map(|()| self.projector.sequence())
    }

    /// The journal may drop what the books hold for good. They are brought onto the disk when that gives something
    /// back, not more often: what is written twice until then goes there once.
    fn let_go(&mut self, done: u64) -> bool {
        if !self.reader.can_be_trimmed(Sequence::new(done)) && !self.projector.is_durability_due() {
            return false;
        }
        match self.projector.make_durable() {
            // The committer trims when it comes to it; only the newest mark matters.
            Ok(true) => self.trim.try_send(done).is_ok(),
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(%error, "the books could not be brought onto the disk; it is tried again");
                false
            }
        }
    }
}

/// Brings the books up to the end of the journal.
pub(crate) fn catch_up(
    reader: &mut JournalReader,
    projector: &mut Projector,
) -> Result<(), Box<dyn Error>> {
    while projector.taken_in() < reader.last_durable().number() {
        take_in(reader, projector)?;
        if projector.taken_in() >= projector.sequence() + TRANSACTION_MAX {
            projector.commit()?;
        }
    }
    Ok(projector.commit()?)
}

/// One batch of records into the open transaction, as far as they can be read.
fn take_in(reader: &mut JournalReader, projector: &mut Projector) -> Result<(), Box<dyn Error>> {
    let mut records = Vec::new();
    let mut unreadable = None;
    let read = reader.read(
        Sequence::new(projector.taken_in() + 1),
        BATCH_BYTES_MAX,
        &mut |sequence, bytes| match minicbor::decode::<Record>(bytes) {
            Ok(record) => records.push(record),
            Err(error) => unreadable = Some(format!("record {}: {error}", sequence.number())),
        },
    );
    projector.take_in(records)?;
    read?;
    unreadable.map_or(Ok(()), |unreadable| Err(unreadable.into()))
}
