//! The books: what the journal adds up to, kept in SQLite.
//!
//! They are the copy that can be searched (usage records, postings, transfers, subscribers) and the checkpoint
//! from which a start begins. They follow the journal record by record and hold a sequence; what they hold can
//! always be made again. Only this crate knows SQL.

mod audit;
mod checkpoint;
mod content;
mod error;
mod load;
mod projector;
mod queries;
mod rows;
mod schema;
mod touched;
mod write;

pub use audit::{AuditReport, audit};
pub use content::{PaymentFilter, StatementFilter, StatementRow};
pub use error::BooksError;
pub use projector::Projector;
pub use queries::{
    BooksReader, PostingFilter, PostingRow, SubscriberRow, TransferRow, UsageFilter, UsageRow,
};

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tandem_domain::state::State;

/// The books, opened for writing. There is one writer.
#[derive(Debug)]
pub struct Books {
    path: PathBuf,
    connection: Connection,
}

impl Books {
    /// Opens or creates them, and brings an older schema up to date.
    pub fn open(path: &Path) -> Result<Books, BooksError> {
        let mut connection = Connection::open(path)?;
        schema::migrate(&mut connection)?;
        Ok(Books { path: path.to_owned(), connection })
    }

    pub fn reader(&self) -> BooksReader {
        BooksReader::new(self.path.clone())
    }

    pub fn into_projector(self) -> Result<Projector, BooksError> {
        Projector::new(self.connection, &self.path)
    }

    /// The state at the books' sequence.
    pub fn load(&self) -> Result<State, BooksError> {
        load::load(&self.connection)
    }
}
