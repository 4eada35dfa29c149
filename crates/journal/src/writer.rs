//! The file that batches are written to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::segment::BLOCK;

const ALIGNMENT: usize = BLOCK as usize;

/// Writes whole blocks, past the page cache where the file system can: what is synced at once gains nothing from it.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    /// The system wants blocks at addresses that are multiples of their size.
    buffer: Vec<u8>,
}

impl Writer {
    pub fn open(path: &Path) -> io::Result<Writer> {
        Ok(Writer { file: direct(path, false)?, buffer: Vec::new() })
    }

    pub fn create(path: &Path) -> io::Result<Writer> {
        Ok(Writer { file: direct(path, true)?, buffer: Vec::new() })
    }

    pub fn go_on_in(&mut self, path: &Path) -> io::Result<()> {
        self.file = direct(path, false)?;
        Ok(())
    }

    /// With zeros to the end of the last block.
    pub fn write(&mut self, frame: &[u8], offset: u64) -> io::Result<()> {
        let length = frame.len().next_multiple_of(ALIGNMENT);
        if self.buffer.len() < length + ALIGNMENT {
            self.buffer.resize((length + ALIGNMENT).next_power_of_two(), 0);
        }
        let start = self.buffer.as_ptr().align_offset(ALIGNMENT);
        let blocks = &mut self.buffer[start..start + length];
        blocks[..frame.len()].copy_from_slice(frame);
        blocks[frame.len()..].fill(0);
        self.file.write_all_at(blocks, offset)
    }

    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What was written is durable afterwards.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn direct(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(create);
    let direct = options.clone().custom_flags(libc::O_DIRECT).open(path);
    match direct {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => options.open(path),
        opened => opened,
    }
}
