//! Orders to switches (RAR, ASR): brought to the connection of the session's peer, repeated until answered.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diameter_protocol::credit_control::{PushHead, write_abort_session, write_re_auth};
use diameter_protocol::message::Message;
use diameter_protocol::peer::Millis;
use diameter_protocol::{ResultCode, code};
use tandem_domain::command::Command;
use tandem_domain::directive::{Directive, DirectiveId, DirectiveOutcome, Order};
use tandem_domain::identifier::PeerId;
use tandem_platform::DirectiveSink;
use tokio::sync::mpsc;

use super::connection::Connection;

/// Orders that may wait for one connection; what is beyond stays in the outbox until these are gone.
const QUEUE_MAX: usize = 4096;

/// By peer, each with its number, oldest first.
type Connections = HashMap<PeerId, Vec<(u64, mpsc::Sender<Directive>)>>;

/// The connections by peer. An order goes to the newest connection of its peer.
#[derive(Default)]
pub(super) struct Pushes {
    by_peer: Mutex<Connections>,
    /// Peers with orders that found the queue full.
    missed: Mutex<HashSet<PeerId>>,
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

    fn missed(&self) -> MutexGuard<'_, HashSet<PeerId>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Were there orders for this peer that did not fit?
    pub fn take_missed(&self, peer: PeerId) -> bool {
        self.missed().remove(&peer)
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
            if orders.try_send(directive.clone()).is_err() {
                self.missed().insert(directive.peer);
            }
        }
    }
}

/// A push that waits for its answer.
pub(super) struct Pushed {
    pub directive: Directive,
    pub deadline: Millis,
    pub tries: u32,
}

const PUSH_TIMEOUT_MILLIS: u64 = 10_000;

impl Connection {
    pub(super) fn push(&mut self, directive: Directive, tries: u32) {
        let (hop_by_hop, end_to_end) = self.machine.identifiers();
        let head = PushHead {
            session_id: &directive.key,
            origin: self.machine.local().identity(),
            destination_host: &directive.host,
            destination_realm: &directive.realm,
            hop_by_hop,
            end_to_end,
        };
        match directive.order {
            Order::Reauthorise(group) => {
                let rating_group = group.and_then(|group| group.rating_group);
                let service_identifier = group.and_then(|group| group.service_identifier);
                write_re_auth(&mut self.out, &head, rating_group, service_identifier);
            }
            Order::Abort => write_abort_session(&mut self.out, &head),
        }
        let deadline = self.now().plus(PUSH_TIMEOUT_MILLIS);
        self.pushed.insert(hop_by_hop, Pushed { directive, deadline, tries });
    }

    pub(super) fn push_answered(&mut self, message: &Message<'_>) {
        let Some(pushed) = self.pushed.remove(&message.header.hop_by_hop) else { return };
        let result = message.avp(code::RESULT_CODE).and_then(|avp| avp.u32().ok()).map(ResultCode);
        let outcome = match result {
            Some(result) if result.is_success() => DirectiveOutcome::Accepted,
            Some(ResultCode::UNKNOWN_SESSION_ID) => DirectiveOutcome::UnknownSession,
            _ => DirectiveOutcome::Failed,
        };
        self.directive_done(pushed.directive.id, outcome);
    }

    pub(super) fn directive_done(&mut self, id: DirectiveId, outcome: DirectiveOutcome) {
        self.enqueue(Command::DirectiveDone(id, outcome));
        self.submit();
    }
}
