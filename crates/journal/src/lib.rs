//! The journal: what was decided, in order, durable before anybody hears of it.
//!
//! One writer appends batches; each is on the disk as a whole or not at all. Readers follow while it writes.
//! Records are opaque bytes, numbered from 1 without gaps. Files are preallocated segments, recycled when
//! trimmed, so that making a batch durable costs one write and one `fdatasync`, whatever its size. Batches stand in
//! blocks of their own and go past the page cache where the file system lets them: nothing durable is written again.
//!
//! It does not know what a record means, and it keeps one file handle and one offset per segment in memory and, while
//! somebody reads, the last 8 MiB of batches.

mod batch;
mod frame;
mod journal;
mod reader;
mod recent;
mod segment;
mod spare;
mod writer;

pub use batch::Batch;
pub use journal::{AppendError, Journal, JournalOptions, OpenError, TrimError};
pub use reader::{JournalReader, ReadError};

/// A record's place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(u64);

impl Sequence {
    pub const fn new(number: u64) -> Sequence {
        Sequence(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
