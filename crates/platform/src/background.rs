//! Long work beside the traffic: on threads of its own that give way to everything else.

use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::handle::Unavailable;

/// Held by whoever works in the background.
static TURN: Mutex<()> = Mutex::new(());

/// One after the other: together they would fill a small machine, and then the disk's answers come late too, where
/// what brings them needs a processor itself, as in a virtual machine.
pub(crate) fn in_turn<T>(work: impl FnOnce() -> T) -> T {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// To be called on the thread itself. Where the system refuses, the thread runs like any other.
///
/// A low priority alone is not enough: such a thread still keeps its processor to the end of its slice, and whoever
/// becomes ready meanwhile, a finished sync above all, waits for milliseconds. An idle one makes room at once.
#[allow(unsafe_code)]
pub(crate) fn give_way() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads `parameters`, which outlives the call, and changes nothing but the calling thread's policy.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}

/// Runs long computing work, such as compiling a price list, so that no request waits for it.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unavailable> {
    let (reply, done) = oneshot::channel();
    let run = move || {
        give_way();
        // Whoever asked may have gone.
        let _ = reply.send(in_turn(work));
    };
    thread::Builder::new()
        .name("background".into())
        .spawn(run)
        .map_err(|_| Unavailable::Overloaded)?;
    done.await.map_err(|_| Unavailable::Stopped)
}
