//! Long work beside the traffic: on threads of its own that give way to everything else.

use std::thread;

use tokio::sync::oneshot;

use crate::handle::Unavailable;

/// How much such a thread gives way (0 = not at all, 19 = to everybody).
const NICENESS: i32 = 19;

/// To be called on the thread itself. Where the system refuses, the thread runs like any other.
pub(crate) fn give_way() {
    let _ = rustix::process::nice(NICENESS);
}

/// Runs long computing work, such as compiling a price list, so that no request waits for it.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unavailable> {
    let (reply, done) = oneshot::channel();
    let run = move || {
        give_way();
        // Whoever asked may have gone.
        let _ = reply.send(work());
    };
    thread::Builder::new()
        .name("background".into())
        .spawn(run)
        .map_err(|_| Unavailable::Overloaded)?;
    done.await.map_err(|_| Unavailable::Stopped)
}
