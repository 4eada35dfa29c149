//! Questions to the books: lists by cursor, newest first, always within what the asker may see.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter};
use tandem_domain::event::{Profile, Transfer};
use tandem_domain::identifier::{CarrierId, SessionId, SubscriberId, VnoId};
use tandem_domain::ledger::{LedgerAccount, Posting};
use tandem_domain::money::{Amount, Currency};
use tandem_domain::time::Timestamp;
use tandem_domain::usage_record::UsageRecord;

use crate::BooksError;
use crate::rows::{Source, account_columns, account_of, decode, integer, signed, unsigned};

/// Reads from any thread; connections are kept and reused.
#[derive(Clone, Debug)]
pub struct BooksReader {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

const IDLE_MAX: usize = 4;
/// Rows of one answer, at most.
pub const LIMIT_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, Default)]
pub struct UsageFilter {
    pub vno: Option<VnoId>,
    pub subscriber: Option<SubscriberId>,
    pub carrier: Option<CarrierId>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// A usage record and the cursor behind it.
#[derive(Clone, Debug)]
pub struct UsageRow {
    pub cursor: i64,
    pub record: UsageRecord,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct PostingFilter {
    pub account: Option<LedgerAccount>,
    pub vno: Option<VnoId>,
}

#[derive(Clone, Debug)]
pub struct PostingRow {
    pub cursor: i64,
    pub posting: Posting,
    pub at: Timestamp,
    /// The session whose usage record it belongs to; None: a transfer.
    pub session: Option<SessionId>,
}

#[derive(Clone, Debug)]
pub struct TransferRow {
    pub cursor: i64,
    pub transfer: Transfer,
    pub at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct SubscriberRow {
    pub cursor: i64,
    pub id: SubscriberId,
    pub profile: Profile,
}

impl BooksReader {
    pub(crate) fn new(path: PathBuf) -> BooksReader {
        BooksReader { path: Arc::new(path), idle: Arc::default() }
    }

    pub(crate) fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                Connection::open_with_flags(self.path.as_path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
        };
        let answer = ask(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        answer
    }

    /// The last record that the books hold.
    pub fn sequence(&self) -> Result<u64, BooksError> {
        self.with(|connection| {
            let sequence =
                connection.query_row("SELECT value FROM meta WHERE name = 'sequence'", [], |row| {
                    row.get(0)
                });
            Ok(unsigned(sequence?))
        })
    }

    pub fn usage_records(
        &self,
        filter: &UsageFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<UsageRow>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT session, body FROM usage_record
                 WHERE session < ?1 AND (?2 IS NULL OR vno = ?2) AND (?3 IS NULL OR subscriber = ?3)
                   AND (?4 IS NULL OR carrier = ?4) AND (?5 IS NULL OR closed_at >= ?5) AND (?6 IS NULL OR closed_at < ?6)
                 ORDER BY session DESC LIMIT ?7",
            )?;
            let bound = [
                Value::Integer(before.unwrap_or(i64::MAX)),
                integer(filter.vno.map(|vno| u64::from(vno.number()))),
                integer(filter.subscriber.map(SubscriberId::to_bits)),
                integer(filter.carrier.map(|carrier| u64::from(carrier.number()))),
                filter.from.map_or(Value::Null, |from| Value::Integer(from.millis())),
                filter.to.map_or(Value::Null, |to| Value::Integer(to.millis())),
                Value::Integer(limit.min(LIMIT_MAX) as i64),
            ];
            let mut rows = statement.query(params_from_iter(bound))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let record = decode("usage record", row.get_ref(1)?.as_blob().unwrap_or_default())?;
                found.push(UsageRow { cursor: row.get(0)?, record });
            }
            Ok(found)
        })
    }

    pub fn usage_record(&self, session: SessionId) -> Result<Option<UsageRecord>, BooksError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM usage_record WHERE session = ?1")?;
            let body: Option<Vec<u8>> =
                statement.query_row([signed(session.to_bits())], |row| row.get(0)).optional()?;
            body.map(|body| decode("usage record", &body)).transpose()
        })
    }

    /// How many sessions have ended.
    pub fn usage_record_count(&self) -> Result<u64, BooksError> {
        self.with(|connection| {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM usage_record", [], |row| row.get(0))?;
            Ok(unsigned(count))
        })
    }

    pub fn postings(
        &self,
        filter: &PostingFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PostingRow>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, kind, party, currency, amount, at, source, source_id FROM posting
                 WHERE id < ?1 AND (?2 IS NULL OR (kind = ?2 AND party = ?3)) AND (?4 IS NULL OR vno = ?4)
                 ORDER BY id DESC LIMIT ?5",
            )?;
            let columns = filter.account.map(account_columns);
            let bound = [
                Value::Integer(before.unwrap_or(i64::MAX)),
                columns.map_or(Value::Null, |(kind, _)| Value::Integer(kind)),
                columns.map_or(Value::Null, |(_, party)| Value::Integer(party)),
                integer(filter.vno.map(|vno| u64::from(vno.number()))),
                Value::Integer(limit.min(LIMIT_MAX) as i64),
            ];
            let mut rows = statement.query(params_from_iter(bound))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(posting_row(row)?);
            }
            Ok(found)
        })
    }

    pub fn transfers(
        &self,
        vno: Option<VnoId>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TransferRow>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, body, at FROM transfer WHERE id < ?1 AND (?2 IS NULL OR vno = ?2) ORDER BY id DESC LIMIT ?3",
            )?;
            let vno = vno.map(|vno| i64::from(vno.number()));
            let mut rows = statement.query(params![before.unwrap_or(i64::MAX), vno, limit.min(LIMIT_MAX) as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let transfer = decode("transfer", row.get_ref(1)?.as_blob().unwrap_or_default())?;
                found.push(TransferRow { cursor: row.get(0)?, transfer, at: Timestamp::from_millis(row.get(2)?) });
            }
            Ok(found)
        })
    }

    /// By a part of name, e-mail or reference.
    pub fn subscribers(
        &self,
        vno: VnoId,
        text: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<SubscriberRow>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, email, reference FROM profile
                 WHERE vno = ?1 AND id < ?2
                   AND (?3 IS NULL OR instr(lower(name), ?3) OR instr(lower(email), ?3) OR instr(lower(reference), ?3))
                 ORDER BY id DESC LIMIT ?4",
            )?;
            let text = text.map(str::to_lowercase);
            let before = before.unwrap_or(i64::MAX);
            let mut rows = statement.query(params![vno.number(), before, text, limit.min(LIMIT_MAX) as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(subscriber_row(row)?);
            }
            Ok(found)
        })
    }

    pub fn profile(&self, id: SubscriberId) -> Result<Option<Profile>, BooksError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, name, email, reference FROM profile WHERE id = ?1")?;
            let mut rows = statement.query([signed(id.to_bits())])?;
            match rows.next()? {
                Some(row) => Ok(Some(subscriber_row(row)?.profile)),
                None => Ok(None),
            }
        })
    }
}

fn subscriber_row(row: &rusqlite::Row<'_>) -> Result<SubscriberRow, BooksError> {
    let text =
        |index| row.get::<_, Option<String>>(index).map(|text| text.map(String::into_boxed_str));
    let cursor: i64 = row.get(0)?;
    let profile = Profile { name: text(1)?, email: text(2)?, reference: text(3)? };
    Ok(SubscriberRow { cursor, id: SubscriberId::from_bits(unsigned(cursor)), profile })
}

fn posting_row(row: &rusqlite::Row<'_>) -> Result<PostingRow, BooksError> {
    let unreadable = |why: &str| BooksError::Unreadable { what: "posting", why: why.into() };
    let account =
        account_of(row.get(1)?, row.get(2)?).ok_or_else(|| unreadable("unknown account"))?;
    let currency =
        Currency::from_number(row.get(3)?).ok_or_else(|| unreadable("unknown currency"))?;
    let source: u8 = row.get(6)?;
    let source_id: i64 = row.get(7)?;
    let session =
        (source == Source::UsageRecord as u8).then(|| SessionId::from_bits(unsigned(source_id)));
    Ok(PostingRow {
        cursor: row.get(0)?,
        posting: Posting { account, currency, amount: Amount::from_micros(row.get(4)?) },
        at: Timestamp::from_millis(row.get(5)?),
        session,
    })
}
