//! Follows the journal: many records in one transaction, idempotent by their sequence.
//!
//! The aggregates that the records are about are loaded from their rows, the records are applied by the same code that
//! runs live, and what changed is written back at the end: the books are an exact checkpoint, never a blurred one, and
//! cost the sequencer nothing.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use tandem_domain::answered::Answered;
use tandem_domain::apply::apply;
use tandem_domain::charging::Session;
use tandem_domain::event::Record;
use tandem_domain::identifier::{SessionId, SubscriberId};
use tandem_domain::state::State;
use tandem_domain::subscriber::Subscriber;
use tandem_domain::time::Timestamp;

use crate::BooksError;
use crate::checkpoint::Checkpoint;
use crate::load::load_small;
use crate::rows::{Tallies, decode, encode, signed};
use crate::touched::Touched;
use crate::write::{write_aggregates, write_event, write_registry};

#[derive(Debug)]
pub struct Projector {
    connection: Connection,
    /// Complete but for subscribers, sessions, indices and answers, which come and go with each transaction.
    state: State,
    checkpoint: Checkpoint,
    open: Option<Taken>,
}

/// What the open transaction holds.
#[derive(Debug)]
struct Taken {
    /// The state goes back to it when the transaction fails.
    before: State,
    touched: Touched,
    records: u64,
    /// When the last of them was decided.
    at: Timestamp,
}

impl Projector {
    pub(crate) fn new(mut connection: Connection, path: &Path) -> Result<Projector, BooksError> {
        let state = load_small(&connection)?;
        let checkpoint = Checkpoint::new(&mut connection, path)?;
        Ok(Projector { connection, state, checkpoint, open: None })
    }

    /// The last record that the books hold.
    pub fn sequence(&self) -> u64 {
        self.open.as_ref().map_or(self.state.sequence, |taken| taken.before.sequence)
    }

    /// The last record taken in; the books hold it after [`Projector::commit`].
    pub fn taken_in(&self) -> u64 {
        self.state.sequence
    }

    /// Adds records to a transaction that [`Projector::commit`] ends. Those the books hold already are passed over.
    /// After an error nothing of the transaction is left.
    pub fn take_in(&mut self, records: Vec<Record>) -> Result<(), BooksError> {
        let mut taken = match self.open.take() {
            Some(taken) => taken,
            None => {
                self.checkpoint.finish(&self.connection)?;
                self.connection.execute_batch("BEGIN")?;
                let before = self.state.clone();
                Taken { before, touched: Touched::default(), records: 0, at: Timestamp::ZERO }
            }
        };
        if let Err(error) = self.project_all(records, &mut taken) {
            self.roll_back(taken);
            return Err(error);
        }
        self.open = Some(taken);
        Ok(())
    }

    /// The books hold all that was taken in afterwards. After an error in it nothing of the transaction is left; only
    /// that the log could not be kept short is told after it.
    pub fn commit(&mut self) -> Result<(), BooksError> {
        let Some(taken) = self.open.take() else { return Ok(()) };
        if let Err(error) = self.write_and_commit(&taken) {
            self.roll_back(taken);
            return Err(error);
        }
        self.evict();
        self.checkpoint.keep_log_short(&self.connection)
    }

    fn roll_back(&mut self, taken: Taken) {
        self.state = taken.before;
        // After some errors SQLite has done it itself, and then says that there is none to roll back.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    /// So much was projected since it was last made durable that it should be again.
    pub fn is_durability_due(&self) -> bool {
        self.checkpoint.is_due()
    }

    /// Brings what was projected onto the disk itself: a commit alone may be lost with the power.
    /// False while a reader keeps the write-ahead log from being emptied.
    pub fn make_durable(&mut self) -> Result<bool, BooksError> {
        self.commit()?;
        self.checkpoint.run(&self.connection)
    }

    fn project_all(&mut self, records: Vec<Record>, taken: &mut Taken) -> Result<(), BooksError> {
        let (transaction, state, touched) = (&self.connection, &mut self.state, &mut taken.touched);
        for record in records {
            if record.sequence <= state.sequence {
                continue;
            }
            let known = (touched.subscribers.len(), touched.sessions.len());
            touched.add(&record);
            if known != (touched.subscribers.len(), touched.sessions.len()) {
                fetch(transaction, state, &record)?;
            }
            for event in &record.events {
                write_event(transaction, state, event, record.at)?;
            }
            if let Some(remembered) = &record.remember {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![
                        signed(record.sequence),
                        remembered.key.0.as_ref(),
                        record.at.millis(),
                        encode(&remembered.reply)
                    ])?;
            }
            (taken.records, taken.at) = (taken.records + 1, record.at);
            apply(state, record)?;
        }
        Ok(())
    }

    fn write_and_commit(&mut self, taken: &Taken) -> Result<(), BooksError> {
        let (transaction, state) = (&self.connection, &self.state);
        write_aggregates(transaction, state, &taken.touched)?;
        if taken.touched.registry {
            write_registry(transaction, state)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO tallies VALUES (1, ?1)")?
            .execute([encode(&Tallies::of(state))])?;
        transaction
            .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'sequence'")?
            .execute([signed(state.sequence)])?;
        prune_answers(transaction, taken, state.sequence)?;
        transaction.execute_batch("COMMIT")?;
        Ok(())
    }

    /// Memory stays flat: what came from rows goes when it is written.
    fn evict(&mut self) {
        self.state.subscribers = Default::default();
        self.state.identities = Default::default();
        self.state.sessions.clear();
        self.state.sessions_in_order.clear();
        self.state.session_keys.clear();
        self.state.sessions_of.clear();
        self.state.answered = Answered::default();
        self.state.timers = Default::default();
        self.state.content.payments.clear();
        self.state.ported.clear();
    }
}

/// Loads what the record is about, unless it is there already or is made by the record.
fn fetch(transaction: &Connection, state: &mut State, record: &Record) -> Result<(), BooksError> {
    let mut needed = Touched::default();
    needed.add(record);
    for id in needed
        .subscribers
        .iter()
        .filter(|id| state.subscriber(**id).is_none())
        .copied()
        .collect::<Vec<_>>()
    {
        if let Some(subscriber) = fetch_subscriber(transaction, id)? {
            state.admit_subscriber(Box::new(subscriber));
        }
    }
    for id in needed
        .sessions
        .iter()
        .filter(|id| !state.sessions.contains_key(*id))
        .copied()
        .collect::<Vec<_>>()
    {
        if let Some(session) = fetch_session(transaction, id)? {
            state.admit_session(Box::new(session));
        }
    }
    Ok(())
}

fn fetch_subscriber(
    transaction: &Connection,
    id: SubscriberId,
) -> Result<Option<Subscriber>, BooksError> {
    let mut statement = transaction.prepare_cached("SELECT body FROM subscriber WHERE id = ?1")?;
    let body: Option<Vec<u8>> =
        statement.query_row([signed(id.to_bits())], |row| row.get(0)).optional()?;
    body.map(|body| decode("subscriber", &body)).transpose()
}

fn fetch_session(transaction: &Connection, id: SessionId) -> Result<Option<Session>, BooksError> {
    let mut statement = transaction.prepare_cached("SELECT body FROM session WHERE id = ?1")?;
    let body: Option<Vec<u8>> =
        statement.query_row([signed(id.to_bits())], |row| row.get(0)).optional()?;
    body.map(|body| decode("session", &body)).transpose()
}

/// Records between two looks at how many answers are kept.
const COUNT_EVERY: u64 = 65_536;

/// As [`Answered`] forgets them.
fn prune_answers(transaction: &Connection, taken: &Taken, last: u64) -> Result<(), BooksError> {
    let oldest = taken.at.plus_millis(-1000 * i64::try_from(Answered::LIFE_SECONDS).unwrap_or(0));
    transaction.prepare_cached("DELETE FROM answer WHERE at < ?1")?.execute([oldest.millis()])?;
    if last % COUNT_EVERY >= taken.records {
        return Ok(());
    }
    let most = i64::try_from(Answered::ENTRIES_MAX).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "DELETE FROM answer WHERE position <=
             (SELECT position FROM answer ORDER BY position DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([most])?;
    Ok(())
}
