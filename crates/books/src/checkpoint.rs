//! What was projected brought onto the disk, little by little.
//!
//! Whatever waits for the same disk, the journal above all, waits behind everything that was handed to it at once.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;

use crate::BooksError;

/// A log of so many pages should be emptied: 128 MiB.
const LOG_PAGES_DUE: u32 = 32_768;
/// One of so many is, whether somebody asks for it or not.
const LOG_PAGES_MAX: u32 = 65_536;
/// Handed to the disk at once.
const PIECE: u64 = 512 << 10;
/// A large database is asked for in larger pieces, most of which have nothing to write.
const PIECES_MAX: u64 = 4096;
/// A piece that took less had nothing to write.
const NOTHING: Duration = Duration::from_micros(50);

/// To be dropped after the connection, and when no other of the process is needed any more: their locks on the database
/// end with the first closing of one of its files.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    log: Trickle,
    database: Trickle,
    /// In the write-ahead log after the last commit.
    log_pages: Arc<AtomicU32>,
    /// Pages of the log were moved into the database and may not be on the disk there.
    has_moved: bool,
    /// A failed sync is told once, and what it lost may look written afterwards: only a new start reads the log again.
    has_failed: bool,
}

impl Checkpoint {
    pub fn new(connection: &mut Connection, path: &Path) -> Result<Checkpoint, BooksError> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = log_pages.clone();
        // Takes the place of SQLite's own checkpoints, which hand everything to the disk at once.
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (log, database) = (Trickle::new(Path::new(&log)), Trickle::new(path));
        // The process before may have ended right after a move.
        Ok(Checkpoint { log, database, log_pages, has_moved: true, has_failed: false })
    }

    pub fn is_due(&self) -> bool {
        self.log_pages.load(Ordering::Relaxed) >= LOG_PAGES_DUE
    }

    /// To be called after a commit.
    pub fn keep_log_short(&mut self, connection: &Connection) -> Result<(), BooksError> {
        if self.log_pages.load(Ordering::Relaxed) >= LOG_PAGES_MAX {
            self.run(connection)?;
        }
        Ok(())
    }

    /// As SQLite itself would: the log, from it the database, and before the log is written from its beginning again
    /// the database too. False while a reader keeps the log from being emptied.
    pub fn run(&mut self, connection: &Connection) -> Result<bool, BooksError> {
        self.finish(connection)?;
        let synced = self.log.sync();
        self.noted(connection, synced)?;
        self.has_moved = true;
        connection.pragma_update(None, "synchronous", "OFF")?;
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let (logged, moved) = moved?;
        self.finish(connection)?;
        Ok(logged == moved)
    }

    /// What a run left over that did not come to its end. To be called before anything is written.
    pub fn finish(&mut self, connection: &Connection) -> Result<(), BooksError> {
        if self.has_failed {
            let message = "an earlier sync failed: the books go on after a new start";
            return Err(io::Error::other(message).into());
        }
        if self.has_moved {
            let synced = self.database.sync();
            self.noted(connection, synced)?;
            self.has_moved = false;
        }
        Ok(())
    }

    fn noted(&mut self, connection: &Connection, synced: io::Result<()>) -> Result<(), BooksError> {
        let Err(error) = synced else { return Ok(()) };
        self.has_failed = true;
        // The log is what is left.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Err(error.into())
    }
}

/// A file that something else writes.
#[derive(Debug)]
struct Trickle {
    path: PathBuf,
    /// Opened when it is there, and open from then on.
    file: Option<File>,
}

impl Trickle {
    fn new(path: &Path) -> Trickle {
        Trickle { path: path.to_owned(), file: None }
    }

    /// Everything written so far is on the disk afterwards. After each piece the disk is left to others for as long as
    /// the piece took.
    fn sync(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                // Nothing was written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => none.insert(opened?),
            },
        };
        let length = file.metadata()?.len();
        let piece = PIECE.max(length / PIECES_MAX);
        let mut offset = 0;
        while offset < length {
            let began = Instant::now();
            write_out(file, offset, piece)?;
            let taken = began.elapsed();
            if taken > NOTHING {
                std::thread::sleep(taken);
            }
            offset += piece;
        }
        file.sync_data()
    }
}

#[allow(unsafe_code)]
fn write_out(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let number = |octets| i64::try_from(octets).map_err(io::Error::other);
    let (offset, length) = (number(offset)?, number(length)?);
    // SAFETY: takes a descriptor, which is open for as long as `file` is borrowed, and numbers; touches no memory.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
