//! Segment files: preallocated, numbered, headed by what they hold from where on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::writer::Writer;

/// The header has a block of its own, so that writing frames never touches it.
pub(crate) const SEGMENT_HEADER: u64 = 4096;
const MAGIC: &[u8; 8] = b"TANDEMJ1";
pub(crate) const FORMAT: u32 = 2;
/// Frames begin at whole blocks, so that no write touches a block of an earlier one.
pub(crate) const BLOCK: u64 = 4096;
/// In format 1 they stood closer.
const BLOCK_1: u64 = 8;
/// Written at once: batches that become durable meanwhile wait for it.
pub(crate) const ZEROS: usize = 256 << 10;

/// An open segment. Cloned handles share the file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Counts up over the journal's life; never used twice.
    pub number: u64,
    pub first: u64,
    pub size: u64,
    /// Octets of which a frame takes whole multiples.
    pub block: u64,
    /// For reading; batches are written past it.
    pub file: Arc<File>,
    pub path: PathBuf,
}

pub(crate) enum HeaderError {
    Io(io::Error),
    /// Not a segment, or one whose creation was cut short.
    Invalid,
    Newer(u32),
}

pub(crate) fn name(number: u64) -> String {
    format!("{number:020}.segment")
}

pub(crate) fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".segment")?.parse().ok()
}

/// Makes a file of zeros, or makes an old one longer, without giving it a place in the journal yet. It is left as it is
/// when it must not become longer than it is.
pub(crate) fn preallocate(
    path: &Path,
    size: u64,
    mut may_grow: impl FnMut(u64) -> bool,
) -> io::Result<()> {
    let mut writer = Writer::create(path)?;
    let mut length = writer.len()? / BLOCK * BLOCK;
    if length >= size {
        return Ok(());
    }
    let zeros = vec![0u8; ZEROS];
    while length < size {
        if !may_grow(length) {
            return Ok(());
        }
        let part = usize::try_from(size - length).map_or(ZEROS, |left| left.min(ZEROS));
        writer.write(&zeros[..part], length)?;
        length += part.next_multiple_of(BLOCK as usize) as u64;
    }
    writer.sync_all()
}

impl Segment {
    /// Turns a preallocated file into the segment that begins with `first`.
    pub fn create(directory: &Path, spare: &Path, number: u64, first: u64) -> io::Result<Segment> {
        let path = directory.join(name(number));
        let file = OpenOptions::new().read(true).write(true).open(spare)?;
        let mut header = [0u8; 40];
        header[0..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[16..24].copy_from_slice(&number.to_le_bytes());
        header[24..32].copy_from_slice(&first.to_le_bytes());
        let crc = crc32fast::hash(&header[..32]);
        header[32..36].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        fs::rename(spare, &path)?;
        sync_directory(directory)?;
        read_only_what_is_asked(&file);
        let size = file.metadata()?.len();
        Ok(Segment { number, first, size, block: BLOCK, file: Arc::new(file), path })
    }

    pub fn open(path: &Path) -> Result<Segment, HeaderError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(HeaderError::Io)?;
        read_only_what_is_asked(&file);
        let size = file.metadata().map_err(HeaderError::Io)?.len();
        let mut header = [0u8; 40];
        file.read_exact_at(&mut header, 0).map_err(|_| HeaderError::Invalid)?;
        let word = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        let long = |at: usize| header[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        if &header[0..8] != MAGIC || crc32fast::hash(&header[..32]) != word(32) {
            return Err(HeaderError::Invalid);
        }
        if word(8) > FORMAT {
            return Err(HeaderError::Newer(word(8)));
        }
        let (number, first) = (long(16), long(24));
        let block = if word(8) < FORMAT { BLOCK_1 } else { BLOCK };
        Ok(Segment { number, first, size, block, file: Arc::new(file), path: path.to_owned() })
    }

    /// What a frame of so many octets takes.
    pub fn room(&self, length: usize) -> u64 {
        (length as u64).next_multiple_of(self.block)
    }

    /// All frames, for recovery.
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.size).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Whoever is behind reads what went past the page cache. Read ahead in mebibytes it would hold up the device, and the
/// next batch with it, for milliseconds.
#[allow(unsafe_code)]
fn read_only_what_is_asked(file: &File) {
    // SAFETY: takes a descriptor, which is open for as long as `file` is borrowed, and numbers; touches no memory.
    // Where it fails, reading is as it was.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
