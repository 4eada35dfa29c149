//! The file that a journal goes on in, made of zeros while the one before it fills.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::segment;

#[derive(Debug)]
pub(crate) struct Spare {
    thread: JoinHandle<io::Result<()>>,
    pace: Arc<Pace>,
    asked: u64,
}

#[derive(Debug, Default)]
struct Pace {
    /// So many octets should be there by now.
    due: AtomicU64,
    is_abandoned: AtomicBool,
}

impl Spare {
    pub fn begin(path: PathBuf, size: u64) -> Spare {
        let pace = Arc::new(Pace::default());
        let its_pace = pace.clone();
        let thread = thread::spawn(move || grow(&path, size, &its_pace));
        Spare { thread, pace, asked: 0 }
    }

    /// So many octets should be there by now.
    pub fn be_at(&mut self, due: u64) {
        if due >= self.asked + segment::ZEROS as u64 {
            self.asked = due;
            self.pace.due.store(due, Ordering::Release);
            self.thread.thread().unpark();
        }
    }

    /// All of it is there afterwards.
    pub fn finish(self) -> io::Result<()> {
        self.pace.due.store(u64::MAX, Ordering::Release);
        self.end()
    }

    /// What is not there yet is made when it is needed.
    pub fn abandon(self) {
        self.pace.is_abandoned.store(true, Ordering::Release);
        let _ = self.end();
    }

    fn end(self) -> io::Result<()> {
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| io::Error::other("preparing the next segment failed"))?
    }
}

fn grow(path: &Path, size: u64, pace: &Pace) -> io::Result<()> {
    segment::preallocate(path, size, |length| {
        while length >= pace.due.load(Ordering::Acquire) {
            if pace.is_abandoned.load(Ordering::Acquire) {
                return false;
            }
            thread::park();
        }
        !pace.is_abandoned.load(Ordering::Acquire)
    })
}
