//! Reading what is durable, while the writer goes on.

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::Sequence;
use crate::frame::{self, FRAME_HEADER};
use crate::journal::Tail;
use crate::segment::{SEGMENT_HEADER, Segment};

/// The records cannot be read.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// They were trimmed.
    Trimmed {
        first: Sequence,
    },
    Corrupt {
        segment: u64,
        offset: u64,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "the journal cannot be read: {error}"),
            ReadError::Trimmed { first } => write!(f, "the journal begins at record {first}"),
            ReadError::Corrupt { segment, offset } => {
                write!(f, "segment {segment} of the journal is damaged at octet {offset}")
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// A place in the journal from which reading goes on without searching.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    next: u64,
}

/// Follows the journal. Clones read independently.
#[derive(Clone, Debug)]
pub struct JournalReader {
    tail: Arc<Tail>,
    place: Option<Place>,
    buffer: Vec<u8>,
}

impl JournalReader {
    pub(crate) fn new(tail: Arc<Tail>) -> JournalReader {
        JournalReader { tail, place: None, buffer: Vec::new() }
    }

    /// The first record that is kept (one past the last when there is none).
    pub fn first(&self) -> Sequence {
        Sequence::new(self.tail.lock().first)
    }

    pub fn last_durable(&self) -> Sequence {
        Sequence::new(self.tail.lock().durable)
    }

    /// Would trimming up to there give anything back?
    pub fn can_be_trimmed(&self, up_to: Sequence) -> bool {
        self.tail.lock().can_be_trimmed(up_to)
    }

    /// Waits until something after `sequence` is durable, or the time is up.
    pub fn wait_beyond(&self, sequence: Sequence, timeout: Duration) -> Sequence {
        let progress = self.tail.lock();
        let waited = self.tail.grown.wait_timeout_while(progress, timeout, |progress| {
            progress.durable <= sequence.number()
        });
        Sequence::new(waited.unwrap_or_else(PoisonError::into_inner).0.durable)
    }

    /// Hands over records from `from` on, whole batches until about `bytes_max` octets, and returns the record to
    /// ask for next. Records before `from` in its batch are passed over.
    pub fn read(
        &mut self,
        from: Sequence,
        bytes_max: usize,
        each: &mut dyn FnMut(Sequence, &[u8]),
    ) -> Result<Sequence, ReadError> {
        let durable = self.last_durable().number();
        let mut next = from.number();
        let mut taken = 0usize;
        while next <= durable && taken < bytes_max {
            let (segment, mut offset, mut at) = self.locate(next)?;
            let end = self.end_of(&segment);
            while at <= durable.min(end) && taken < bytes_max {
                let frame = self.load(&segment, offset)?;
                let whole = frame::records(&frame, &self.buffer, |sequence, record| {
                    if sequence >= next {
                        taken += record.len() + 4;
                        each(Sequence::new(sequence), record);
                    }
                });
                if !whole || frame.first != at {
                    return Err(ReadError::Corrupt { segment: segment.number, offset });
                }
                at = frame.last() + 1;
                next = next.max(at);
                offset += segment.room(frame.len());
                self.place = Some(Place { segment: segment.number, offset, next: at });
            }
        }
        Ok(Sequence::new(next))
    }

    /// The segment that holds `next`, an offset in it to read from, and the record that stands there.
    fn locate(&self, next: u64) -> Result<(Segment, u64, u64), ReadError> {
        let progress = self.tail.lock();
        let holding = progress.segments.iter().rev().find(|segment| segment.first <= next);
        let Some(segment) = holding else {
            return Err(ReadError::Trimmed { first: Sequence::new(progress.first) });
        };
        let known =
            self.place.filter(|place| place.segment == segment.number && place.next <= next);
        let (offset, at) =
            known.map_or((SEGMENT_HEADER, segment.first), |place| (place.offset, place.next));
        Ok((segment.clone(), offset, at))
    }

    /// The last record that the segment can hold.
    fn end_of(&self, segment: &Segment) -> u64 {
        let progress = self.tail.lock();
        let following = progress.segments.iter().find(|other| other.number == segment.number + 1);
        following.map_or(u64::MAX, |following| following.first - 1)
    }

    fn load(&mut self, segment: &Segment, offset: u64) -> Result<frame::Frame, ReadError> {
        let damaged = || ReadError::Corrupt { segment: segment.number, offset };
        // The writer waits for this lock: nothing more is done under it.
        let recent = self.tail.lock().recent.get(segment.number, offset);
        if let Some(frame) = recent {
            self.buffer.clear();
            self.buffer.extend_from_slice(&frame);
            return frame::open(&self.buffer, segment.number).ok_or_else(damaged);
        }
        let mut head = [0u8; FRAME_HEADER];
        segment.file.read_exact_at(&mut head, offset).map_err(ReadError::Io)?;
        let length = frame::claimed_len(&head, segment.number).ok_or_else(damaged)?;
        if offset + length as u64 > segment.size {
            return Err(damaged());
        }
        self.buffer.resize(length, 0);
        segment.file.read_exact_at(&mut self.buffer, offset).map_err(ReadError::Io)?;
        frame::open(&self.buffer, segment.number).ok_or_else(damaged)
    }
}
