//! Proof that books, journal and memory say the same.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tandem_books::{AuditReport, BooksError, audit};

use crate::handle::{Platform, Unavailable};
use crate::recovery::{StartError, recover};

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

/// Of a stopped platform's directory: the books are brought up to the journal's end first.
pub fn audit_stopped(directory: &Path) -> Result<AuditReport, AuditError> {
    let recovered = recover(directory).map_err(AuditError::Start)?;
    let replayed = Arc::new(recovered.state);
    let reader = recovered.books.reader();
    let mut projector = recovered.books.into_projector();
    crate::follower::catch_up(&recovered.journal.reader(), &mut projector)
        .map_err(|error| AuditError::Start(StartError::Damaged(error.to_string())))?;
    let mut report = audit(&reader).map_err(AuditError::Books)?;
    report.compare(&replayed, &reader).map_err(AuditError::Books)?;
    Ok(report)
}
