//! The writer: recovery on opening, appending, trimming.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::Sequence;
use crate::batch::Batch;
use crate::frame::{self, Frame};
use crate::reader::JournalReader;
use crate::recent::Recent;
use crate::segment::{self, FORMAT, HeaderError, SEGMENT_HEADER, Segment};
use crate::spare::Spare;
use crate::writer::Writer;

/// How a journal keeps its files.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Size of a segment file in octets; a larger batch gets a segment of its own size.
    pub segment_bytes: u64,
    /// Trimmed files kept for reuse.
    pub spare_files: usize,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { segment_bytes: 64 << 20, spare_files: 2 }
    }
}

/// The journal cannot be opened. Nothing was changed.
#[derive(Debug)]
pub enum OpenError {
    Io(io::Error),
    /// Another process has it open.
    Locked,
    /// Written by a newer version of the program.
    NewerFormat {
        found: u32,
        known: u32,
    },
    /// Records that were durable cannot be read.
    Corrupt {
        file: PathBuf,
        offset: u64,
        what: &'static str,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io(_) => f.write_str("the journal's files cannot be used"),
            OpenError::Locked => f.write_str("another process has this journal open"),
            OpenError::NewerFormat { found, known } => {
                write!(f, "the journal has format {found}, this program knows up to {known}")
            }
            OpenError::Corrupt { file, offset, what } => {
                write!(f, "the journal is damaged in {} at octet {offset}: {what}", file.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

/// The batch is not durable and will not be: nothing after it may be appended either.
#[derive(Debug)]
pub enum AppendError {
    Io(io::Error),
    /// An earlier append failed.
    Poisoned,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Io(error) => write!(f, "the batch could not be made durable: {error}"),
            AppendError::Poisoned => f.write_str("an earlier append failed"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Old segments could not be given back; all is still there.
#[derive(Debug)]
pub struct TrimError(io::Error);

impl fmt::Display for TrimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "old segments could not be removed: {}", self.0)
    }
}

impl std::error::Error for TrimError {}

/// What readers see of the writer.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub segments: VecDeque<Segment>,
    /// First record still kept; one past the last when there is none.
    pub first: u64,
    pub durable: u64,
    /// Kept while somebody reads.
    pub recent: Recent,
}

impl Progress {
    /// Does the oldest segment hold nothing after `up_to`?
    pub fn can_be_trimmed(&self, up_to: Sequence) -> bool {
        self.segments.get(1).is_some_and(|next| next.first <= up_to.number() + 1)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub progress: Mutex<Progress>,
    pub grown: Condvar,
}

impl Tail {
    pub fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one writer. Dropping it gives the directory free.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    options: JournalOptions,
    tail: Arc<Tail>,
    active: Segment,
    writer: Writer,
    /// Where the next frame goes.
    offset: u64,
    last: u64,
    poisoned: bool,
    next: Next,
    _lock: File,
}

/// The file to go on in when the present one is full.
#[derive(Debug)]
enum Next {
    Unprepared,
    Growing(Spare),
    Ready,
}

impl Journal {
    pub fn open(directory: &Path, options: JournalOptions) -> Result<Journal, OpenError> {
        fs::create_dir_all(directory)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("LOCK"))?;
        lock.try_lock().map_err(|_| OpenError::Locked)?;
        let segments = list(directory)?;
        let mut kept = VecDeque::new();
        let mut end = None;
        let count = segments.len();
        for (index, segment) in segments.into_iter().enumerate() {
            let expected = end.map_or(segment.first, |(_, last): (u64, u64)| last + 1);
            if segment.first != expected {
                return Err(corrupt(&segment, 0, "it does not begin where the one before it ends"));
            }
            end = Some(scan(&segment, index + 1 == count)?);
            kept.push_back(segment);
        }
        let (active, offset, last) = match (kept.back(), end) {
            (Some(active), Some((offset, last))) => (active.clone(), offset, last),
            _ => {
                let segment = fresh(directory, &options, 1, 1, 0)?;
                kept.push_back(segment.clone());
                (segment, SEGMENT_HEADER, 0)
            }
        };
        let first = kept.front().map_or(1, |segment| segment.first);
        let tail = Arc::new(Tail::default());
        let recent = Recent::default();
        *tail.lock() = Progress { segments: kept, first, durable: last, recent };
        let mut journal = Journal {
            directory: directory.to_owned(),
            options,
            tail,
            writer: Writer::open(&active.path)?,
            active,
            offset,
            last,
            poisoned: false,
            next: Next::Unprepared,
            _lock: lock,
        };
        journal.clear_tail()?;
        if journal.active.block != segment::BLOCK {
            journal.turn_over(0)?;
        }
        Ok(journal)
    }

    /// A torn batch is overwritten before anything new is written, so that it can never look whole again. What was found
    /// whole may have been written by a process that ended before it was on the disk: from here on it counts as durable.
    fn clear_tail(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.active.size.saturating_sub(self.offset)).unwrap_or(0);
        let mut head = vec![0u8; left.min(frame::FRAME_HEADER)];
        self.active.file.read_exact_at(&mut head, self.offset)?;
        if head.iter().any(|octet| *octet != 0) {
            head.fill(0);
            self.active.file.write_all_at(&head, self.offset)?;
        }
        self.active.file.sync_data()
    }

    /// Makes the batch durable as a whole; returns the sequence of its last record.
    /// After an error the journal takes nothing more.
    pub fn append(&mut self, batch: &mut Batch) -> Result<Sequence, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        if batch.is_empty() {
            return Ok(Sequence::new(self.last));
        }
        self.write(batch).map_err(|error| {
            self.poisoned = true;
            AppendError::Io(error)
        })
    }

    fn write(&mut self, batch: &mut Batch) -> io::Result<Sequence> {
        let records = batch.records();
        let length = self.active.room(batch.frame().len());
        if self.offset + length > self.active.size {
            self.turn_over(length)?;
        }
        let bytes = batch.frame();
        frame::seal(bytes, self.active.number, self.last + 1, records);
        self.writer.write(bytes, self.offset)?;
        self.writer.sync()?;
        self.last += u64::from(records);
        let kept: Option<Arc<[u8]>> =
            (Arc::strong_count(&self.tail) > 1).then(|| Arc::from(&*bytes));
        let mut progress = self.tail.lock();
        progress.durable = self.last;
        if let Some(frame) = kept {
            progress.recent.keep(self.active.number, self.offset, frame);
        }
        drop(progress);
        self.tail.grown.notify_all();
        self.offset += length;
        self.prepare_next();
        Ok(Sequence::new(self.last))
    }

    /// Goes on in a new segment.
    fn turn_over(&mut self, needed: u64) -> io::Result<()> {
        if let Next::Growing(spare) = std::mem::replace(&mut self.next, Next::Unprepared) {
            spare.finish()?;
        }
        let number = self.active.number + 1;
        self.active = fresh(&self.directory, &self.options, number, self.last + 1, needed)?;
        self.writer.go_on_in(&self.active.path)?;
        self.offset = SEGMENT_HEADER;
        self.tail.lock().segments.push_back(self.active.clone());
        Ok(())
    }

    /// The file to go on in grows twice as fast as the present one fills, from a quarter of it on: by then the one
    /// before may have been trimmed, and can serve.
    fn prepare_next(&mut self) {
        let Some(beyond) = self.offset.checked_sub(self.active.size / 4) else { return };
        match &mut self.next {
            Next::Unprepared => self.next = self.begin_next(),
            Next::Growing(spare) => spare.be_at(2 * beyond),
            Next::Ready => {}
        }
    }

    fn begin_next(&self) -> Next {
        let path = self.directory.join(spare_name(self.active.number + 1));
        let recycled = fs::read_dir(&self.directory).ok().and_then(|entries| {
            let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
            names.into_iter().find(|path| is_spare(path))
        });
        if let Some(recycled) = recycled {
            // Where that fails, a new one grows.
            let _ = fs::rename(&recycled, &path);
        }
        let size = self.options.segment_bytes;
        if fs::metadata(&path).is_ok_and(|found| found.len() >= size) {
            return Next::Ready;
        }
        Next::Growing(Spare::begin(path, size))
    }

    /// Gives back the files that hold nothing after `up_to`.
    pub fn trim(&mut self, up_to: Sequence) -> Result<(), TrimError> {
        loop {
            let mut progress = self.tail.lock();
            if !progress.can_be_trimmed(up_to) {
                return Ok(());
            }
            let Some(old) = progress.segments.pop_front() else { return Ok(()) };
            progress.first =
                progress.segments.front().map_or(self.last + 1, |segment| segment.first);
            drop(progress);
            self.retire(&old).map_err(TrimError)?;
        }
    }

    fn retire(&self, old: &Segment) -> io::Result<()> {
        let spares = fs::read_dir(&self.directory)?
            .filter(|entry| entry.as_ref().is_ok_and(|entry| is_spare(&entry.path())))
            .count();
        if spares < self.options.spare_files && old.size == self.options.segment_bytes {
            fs::rename(&old.path, self.directory.join(spare_name(old.number)))?;
        } else {
            fs::remove_file(&old.path)?;
        }
        segment::sync_directory(&self.directory)
    }

    pub fn reader(&self) -> JournalReader {
        JournalReader::new(self.tail.clone())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Next::Growing(spare) = std::mem::replace(&mut self.next, Next::Ready) {
            spare.abandon();
        }
    }
}

fn spare_name(number: u64) -> String {
    format!("{number:020}.spare")
}

fn is_spare(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "spare")
}

/// A new, empty segment, from a spare file when there is one.
fn fresh(
    directory: &Path,
    options: &JournalOptions,
    number: u64,
    first: u64,
    needed: u64,
) -> io::Result<Segment> {
    let spare = directory.join(spare_name(number));
    segment::preallocate(&spare, options.segment_bytes.max(SEGMENT_HEADER + needed), |_| true)?;
    Segment::create(directory, &spare, number, first)
}

fn corrupt(segment: &Segment, offset: u64, what: &'static str) -> OpenError {
    OpenError::Corrupt { file: segment.path.clone(), offset, what }
}

/// The directory's segments, in order.
fn list(directory: &Path) -> Result<Vec<Segment>, OpenError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| segment::number_of(path).is_some())
        .collect();
    paths.sort();
    let mut segments = Vec::with_capacity(paths.len());
    for path in paths {
        match Segment::open(&path) {
            Ok(segment) => segments.push(segment),
            Err(HeaderError::Io(error)) => return Err(OpenError::Io(error)),
            Err(HeaderError::Newer(found)) => {
                return Err(OpenError::NewerFormat { found, known: FORMAT });
            }
            Err(HeaderError::Invalid) => {
                return Err(OpenError::Corrupt {
                    file: path,
                    offset: 0,
                    what: "the segment's header is invalid",
                });
            }
        }
    }
    Ok(segments)
}

/// Checks every frame. Returns where the next one goes, and the last record.
/// Only the last segment may end in a torn batch, and nothing whole may follow that.
fn scan(segment: &Segment, is_last: bool) -> Result<(u64, u64), OpenError> {
    let bytes = segment.read_all()?;
    let mut offset = usize::try_from(SEGMENT_HEADER).unwrap_or(0);
    let mut last = segment.first - 1;
    while let Some(frame) = bytes.get(offset..).and_then(|rest| frame::open(rest, segment.number)) {
        let whole = bytes.get(offset..).is_some_and(|rest| frame::records(&frame, rest, |_, _| {}));
        if frame.first != last + 1 || !whole {
            return Err(corrupt(
                segment,
                offset as u64,
                "the records are not numbered without gaps",
            ));
        }
        last = frame.last();
        offset += usize::try_from(segment.room(frame.len())).unwrap_or(usize::MAX);
    }
    if let Some(later) = whole_frame_after(&bytes, offset, segment, last) {
        return Err(corrupt(segment, offset as u64, later));
    }
    let begun =
        bytes.get(offset..).is_some_and(|rest| frame::claimed_len(rest, segment.number).is_some());
    if !is_last && begun {
        return Err(corrupt(segment, offset as u64, "a batch in the middle is damaged"));
    }
    Ok((offset as u64, last))
}

/// At most the last batch can be torn: a whole one behind it means that durable records were damaged.
fn whole_frame_after(
    bytes: &[u8],
    from: usize,
    segment: &Segment,
    last: u64,
) -> Option<&'static str> {
    let block = usize::try_from(segment.block).unwrap_or(usize::MAX);
    let mut offset = from + block;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        // What was never written is zeros, block after block.
        if rest.starts_with(&ZEROS) {
            offset += ZEROS.len();
            continue;
        }
        let found: Option<Frame> = frame::open(rest, segment.number);
        if found.is_some_and(|frame| frame.first > last) {
            return Some("a batch in the middle is damaged");
        }
        offset += block;
    }
    None
}

const ZEROS: [u8; 4096] = [0; 4096];
