//! Proof that books, journal and memory say the same.

use std::fmt;
use std::path::Path;

use tandem_books::{AuditReport, Books, BooksError, audit};
use tandem_domain::state::State;

use crate::handle::{Platform, Unavailable};
use crate::recovery::{Recovered, StartError, recover};

/// The audit could not be made; it says nothing about the books.
#[derive(Debug)]
pub enum AuditError {
    Unavailable(Unavailable),
    Books(BooksError),
    Start(StartError),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the audit could not be made")
    }
}

impl std::error::Error for AuditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            AuditError::Unavailable(error) => error,
            AuditError::Books(error) => error,
            AuditError::Start(error) => error,
        })
    }
}

/// Of a platform at work: the books are loaded anew at one sequence and checked against themselves.
pub(crate) async fn audit_running(platform: &Platform) -> Result<AuditReport, AuditError> {
    let reader = platform.books.clone();
    let (done, report) = tokio::sync::oneshot::channel();
    let run = move || {
        let _ = done.send(audit(&reader).map_err(AuditError::Books));
    };
    std::thread::spawn(run);
    report.await.unwrap_or(Err(AuditError::Unavailable(Unavailable::Stopped)))
}

/// Of a stopped platform's directory: the books are brought up to the journal's end first, then compared with
/// the state that a start would make of both.
pub fn audit_stopped(directory: &Path) -> Result<AuditReport, AuditError> {
    audit_recovered(recover(directory).map_err(AuditError::Start)?, directory)
}

pub(crate) fn audit_recovered(
    recovered: Recovered,
    directory: &Path,
) -> Result<AuditReport, AuditError> {
    let Recovered { journal, books, state } = recovered;
    let reader = books.reader();
    let mut projector = books.into_projector().map_err(AuditError::Books)?;
    crate::follower::catch_up(&mut journal.reader(), &mut projector)
        .map_err(|error| AuditError::Start(StartError::Damaged(error.to_string())))?;
    let mut report = audit(&reader).map_err(AuditError::Books)?;
    drop(projector);
    let path = directory.join("books.sqlite");
    let in_books = Books::open(&path).and_then(|books| books.load()).map_err(AuditError::Books)?;
    compare(&state, &in_books, &mut report);
    Ok(report)
}

/// What the journal's tail makes of the state must be what the books made of it.
fn compare(replayed: &State, in_books: &State, report: &mut AuditReport) {
    if replayed.ledger != in_books.ledger {
        report.find("the ledger in the books is not what the journal adds up to".into());
    }
    if replayed.sessions != in_books.sessions {
        report.find("the open sessions in the books are not those of the journal".into());
    }
    if replayed.vnos != in_books.vnos {
        report.find("the VNOs' tallies in the books are not those of the journal".into());
    }
    for subscriber in replayed.subscribers.iter() {
        if in_books.subscriber(subscriber.id) != Some(subscriber) {
            report
                .find(format!("subscriber {:?} in the books is not the journal's", subscriber.id));
        }
    }
}
