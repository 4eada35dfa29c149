//! Orders to switches (RAR, ASR): brought to the connection of the session's peer, repeated until answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_domain::directive::Directive;
use tandem_domain::identifier::PeerId;
use tandem_platform::DirectiveSink;
use tokio::sync::mpsc;

/// Orders that may wait for one connection; what is beyond stays in the outbox until the peer connects anew.
const QUEUE_MAX: usize = 4096;

/// By peer, each with its number, oldest first.
type Connections = HashMap<PeerId, Vec<(u64, mpsc::Sender<Directive>)>>;

/// The connections by peer. An order goes to the newest connection of its peer.
#[derive(Default)]
pub(super) struct Pushes {
    by_peer: Mutex<Connections>,
}

impl Pushes {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn connect(self: &Arc<Self>, peer: PeerId, connection: u64) -> mpsc::Receiver<Directive> {
        let (orders, queue) = mpsc::channel(QUEUE_MAX);
        self.lock().entry(peer).or_default().push((connection, orders));
        queue
    }

    pub fn disconnect(&self, peer: PeerId, connection: u64) {
        if let Some(connections) = self.lock().get_mut(&peer) {
            connections.retain(|(known, _)| *known != connection);
        }
    }
}

impl DirectiveSink for Pushes {
    fn issue(&self, directive: &Directive) {
        let connections = self.lock();
        let newest = connections.get(&directive.peer).and_then(|all| all.last());
        if let Some((_, orders)) = newest {
            // A full queue is not waited for: the order is still in the outbox.
            let _ = orders.try_send(directive.clone());
        }
    }
}
