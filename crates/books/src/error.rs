//! What can go wrong with the books. The journal is not touched by any of it.

use std::fmt;
use std::io;

use tandem_domain::apply::Inconsistent;

#[derive(Debug)]
pub enum BooksError {
    Database(rusqlite::Error),
    /// What was written could not be brought onto the disk.
    Disk(io::Error),
    /// Written by a newer version of the program.
    NewerSchema {
        found: i64,
        known: i64,
    },
    /// A row cannot be read.
    Unreadable {
        what: &'static str,
        why: String,
    },
    /// The journal's next record does not follow what the books hold.
    Inconsistent(Inconsistent),
}

impl fmt::Display for BooksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BooksError::Database(error) => write!(f, "the books' database failed: {error}"),
            BooksError::Disk(error) => write!(f, "the books' files failed: {error}"),
            BooksError::NewerSchema { found, known } => {
                write!(f, "the books have schema {found}, this program knows up to {known}")
            }
            BooksError::Unreadable { what, why } => {
                write!(f, "a {what} in the books cannot be read: {why}")
            }
            BooksError::Inconsistent(inconsistent) => {
                write!(f, "the books do not fit the journal: {inconsistent}")
            }
        }
    }
}

impl std::error::Error for BooksError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BooksError::Database(error) => Some(error),
            BooksError::Disk(error) => Some(error),
            BooksError::Inconsistent(inconsistent) => Some(inconsistent),
            BooksError::NewerSchema { .. } | BooksError::Unreadable { .. } => None,
        }
    }
}

impl From<rusqlite::Error> for BooksError {
    fn from(error: rusqlite::Error) -> BooksError {
        BooksError::Database(error)
    }
}

impl From<io::Error> for BooksError {
    fn from(error: io::Error) -> BooksError {
        BooksError::Disk(error)
    }
}

impl From<Inconsistent> for BooksError {
    fn from(inconsistent: Inconsistent) -> BooksError {
        BooksError::Inconsistent(inconsistent)
    }
}
