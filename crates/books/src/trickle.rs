//! Files brought onto the disk little by little.
//!
//! Whatever waits for the same disk, the journal above all, waits behind everything that was handed to it at once.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Handed to the disk at once.
const PIECE: u64 = 512 << 10;
/// A piece that took less had nothing to write.
const NOTHING: Duration = Duration::from_micros(50);

/// A file that something else writes.
#[derive(Debug)]
pub(crate) struct Trickle {
    path: PathBuf,
    /// Opened when it is there, and open from then on.
    file: Option<File>,
}

impl Trickle {
    pub fn new(path: &Path) -> Trickle {
        Trickle { path: path.to_owned(), file: None }
    }

    /// Everything written so far is on the disk afterwards. After each piece the disk is left to others for as long as
    /// the piece took.
    pub fn sync(&mut self) -> io::Result<()> {
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
