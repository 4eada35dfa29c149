//! What was projected brought onto the disk, little by little.
//!
//! Whatever waits for the same disk, the journal above all, waits behind everything that was handed to it at once.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::BooksError;

/// Above it a commit empties the write-ahead log by itself; until then [`Checkpoint::run`] does.
const LOG_PAGES_MAX: i64 = 65_536;
/// Handed to the disk at once.
const PIECE: u64 = 512 << 10;
/// A piece that took less had nothing to write.
const NOTHING: Duration = Duration::from_micros(50);

/// To be dropped after the connection, whose locks end with the first closing of a file.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    log: Trickle,
    database: Trickle,
    /// Pages of the log were moved into the database and may not be on the disk there.
    has_moved: bool,
}

impl Checkpoint {
    pub fn new(connection: &Connection, path: &Path) -> Result<Checkpoint, BooksError> {
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (log, database) = (Trickle::new(Path::new(&log)), Trickle::new(path));
        Ok(Checkpoint { log, database, has_moved: false })
    }

    /// As SQLite itself would: the log, from it the database, and before the log is written from its beginning again
    /// the database too. False while a reader keeps the log from being emptied.
    pub fn run(&mut self, connection: &Connection) -> Result<bool, BooksError> {
        self.log.sync()?;
        self.has_moved = true;
        connection.pragma_update(None, "synchronous", "OFF")?;
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let (logged, moved) = moved?;
        self.finish()?;
        Ok(logged == moved)
    }

    /// What a failed run left over. To be called before anything is written.
    pub fn finish(&mut self) -> Result<(), BooksError> {
        if self.has_moved {
            self.database.sync()?;
            self.has_moved = false;
        }
        Ok(())
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
        let mut offset = 0;
        while offset < file.metadata()?.len() {
            let began = Instant::now();
            write_out(file, offset)?;
            let taken = began.elapsed();
            if taken > NOTHING {
                std::thread::sleep(taken);
            }
            offset += PIECE;
        }
        file.sync_data()
    }
}

#[allow(unsafe_code)]
fn write_out(file: &File, offset: u64) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: takes a descriptor, which is open for as long as `file` is borrowed, and numbers; touches no memory.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, PIECE as i64, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
