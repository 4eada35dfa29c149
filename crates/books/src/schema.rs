//! Tables, and the steps that lead from one schema to the next. Steps only add.

use rusqlite::Connection;
use tandem_domain::subscriber::Subscriber;

use crate::BooksError;
use crate::load::load_small;
use crate::rows::{Tallies, decode, encode};

const STEPS: &[&str] = &["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('sequence', 0);
    CREATE TABLE registry (kind INTEGER NOT NULL, id INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
    CREATE TABLE price_list (version INTEGER PRIMARY KEY, retired INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE staged (staging INTEGER NOT NULL, position INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (staging, position));
    CREATE TABLE tallies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE subscriber (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE profile (id INTEGER PRIMARY KEY, vno INTEGER NOT NULL, name TEXT, email TEXT, reference TEXT);
    CREATE INDEX profile_by_reference ON profile (vno, reference);
    CREATE TABLE session (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE answer (position INTEGER PRIMARY KEY, key BLOB NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX answer_by_age ON answer (at);
    CREATE TABLE usage_record (
        session INTEGER PRIMARY KEY, vno INTEGER NOT NULL, subscriber INTEGER NOT NULL, line INTEGER NOT NULL,
        carrier INTEGER NOT NULL, service INTEGER NOT NULL, closed_at INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX usage_by_vno ON usage_record (vno, session);
    CREATE INDEX usage_by_subscriber ON usage_record (subscriber, session);
    CREATE TABLE transfer (
        id INTEGER PRIMARY KEY, vno INTEGER NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL,
        at INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (vno, number));
    CREATE TABLE posting (
        id INTEGER PRIMARY KEY, source INTEGER NOT NULL, source_id INTEGER NOT NULL, vno INTEGER NOT NULL,
        kind INTEGER NOT NULL, party INTEGER NOT NULL, currency INTEGER NOT NULL, amount INTEGER NOT NULL,
        at INTEGER NOT NULL);
    CREATE INDEX posting_by_account ON posting (kind, party, id);
    CREATE INDEX posting_by_source ON posting (source, source_id);
", "
    CREATE TABLE payment (
        id INTEGER PRIMARY KEY, provider INTEGER NOT NULL, vno INTEGER NOT NULL, line INTEGER NOT NULL, client INTEGER,
        state INTEGER NOT NULL, merchant TEXT, created_at INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX payment_by_client ON payment (client, created_at);
    CREATE INDEX payment_by_line ON payment (line, id);
    CREATE INDEX payment_by_age ON payment (created_at);
    CREATE INDEX payment_open ON payment (state) WHERE state < 2;
    CREATE TABLE content_entry (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, month INTEGER NOT NULL, kind INTEGER NOT NULL, provider INTEGER NOT NULL, vno INTEGER NOT NULL,
        line INTEGER, payment INTEGER, currency INTEGER NOT NULL, net INTEGER NOT NULL, tax INTEGER NOT NULL,
        merchant_tax INTEGER NOT NULL, share_currency INTEGER NOT NULL, share INTEGER NOT NULL,
        wholesale_currency INTEGER NOT NULL, wholesale INTEGER NOT NULL);
    CREATE INDEX content_entry_by_provider ON content_entry (provider, month);
    CREATE INDEX content_entry_by_vno ON content_entry (vno, month);
    CREATE INDEX content_entry_by_payment ON content_entry (payment);
    CREATE TABLE content_subscription (line INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (line, number)) WITHOUT ROWID;
    CREATE TABLE notification (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
", "
    CREATE TABLE ported (number INTEGER PRIMARY KEY, network BLOB NOT NULL);
", ""];

/// The step after which the tallies count the lines of each VNO.
const LINES_COUNTED: i64 = 4;

pub(crate) fn migrate(connection: &mut Connection) -> Result<(), BooksError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The journal is the truth: after a power cut the books go on from where they were.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "mmap_size", 1i64 << 30)?;
    connection.set_prepared_statement_cache_capacity(64);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(BooksError::NewerSchema { found, known });
    }
    for (step, version) in STEPS.iter().zip(1i64..).filter(|(_, version)| *version > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        if version == LINES_COUNTED {
            count_lines(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Books of before did not count them.
fn count_lines(connection: &Connection) -> Result<(), BooksError> {
    let mut state = load_small(connection)?;
    state.vnos.iter_mut().for_each(|tally| tally.lines = 0);
    let mut statement = connection.prepare("SELECT body FROM subscriber")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_blob().unwrap_or_default();
        let subscriber: Subscriber = decode("subscriber", body)?;
        if let Some(tally) = state.vnos.get_mut(subscriber.id.vno().index()) {
            tally.lines += subscriber.open_lines();
        }
    }
    connection.execute("UPDATE tallies SET body = ?1", [encode(&Tallies::of(&state))])?;
    Ok(())
}
