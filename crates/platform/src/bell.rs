//! Wakes a thread that sleeps for want of work, and costs next to nothing while it does not: whoever works on a busy
//! machine has neither to spin for work nor to be told of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

/// For one thread that waits, and any that ring.
#[derive(Default)]
pub(crate) struct Bell {
    is_awaited: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Bell {
    /// Sleeps until somebody rings, or for `longest`, unless there is something to do. It may wake for nothing.
    pub fn wait(&self, longest: Duration, is_quiet: impl FnOnce() -> bool) {
        self.thread.get_or_init(std::thread::current);
        self.is_awaited.store(true, Ordering::SeqCst);
        // Whoever put in work before that store did not ring.
        fence(Ordering::SeqCst);
        if is_quiet() {
            std::thread::park_timeout(longest);
        }
        self.is_awaited.store(false, Ordering::SeqCst);
    }

    /// To be called after the work was put where the thread looks for it.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.is_awaited.load(Ordering::Relaxed)
            && self.is_awaited.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}
