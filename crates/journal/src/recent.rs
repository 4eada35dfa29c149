//! The latest frames in memory: a reader that keeps up does not ask the disk for what went past the page cache.

use std::collections::VecDeque;
use std::sync::Arc;

/// Some seconds of full load.
const BYTES_MAX: usize = 32 << 20;

#[derive(Debug)]
struct Kept {
    segment: u64,
    offset: u64,
    frame: Arc<[u8]>,
}

/// In the order of writing.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    frames: VecDeque<Kept>,
    bytes: usize,
}

impl Recent {
    pub fn keep(&mut self, segment: u64, offset: u64, frame: Arc<[u8]>) {
        while self.bytes + frame.len() > BYTES_MAX {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.bytes -= oldest.frame.len();
        }
        self.bytes += frame.len();
        self.frames.push_back(Kept { segment, offset, frame });
    }

    /// The frame that begins there, if it is one of these.
    pub fn get(&self, segment: u64, offset: u64) -> Option<Arc<[u8]>> {
        let key = |kept: &Kept| (kept.segment, kept.offset);
        let index = self.frames.binary_search_by_key(&(segment, offset), key).ok()?;
        self.frames.get(index).map(|kept| kept.frame.clone())
    }
}
