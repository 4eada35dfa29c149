//! What calls go through, as others may follow it: told when it is durable.

use tandem_domain::charging::Session;
use tandem_domain::digits::Digits;
use tandem_domain::event::{Event, Record};
use tandem_domain::identifier::{Identity, LineId, SessionId};
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tokio::sync::oneshot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    Placed,
    /// It was refused before it rang.
    Refused,
    /// Used seconds were charged, or the next ones reserved.
    Charged,
    Ended,
}

/// One step of one call.
#[derive(Clone, Copy, Debug)]
pub struct CallEvent {
    pub session: SessionId,
    pub line: LineId,
    pub destination: Option<Digits>,
    pub stage: CallStage,
    pub at: Timestamp,
    pub seconds: u64,
}

/// A call that a VNO orders: first this line's phone is called, then the other party.
pub struct CallOrder {
    pub line: LineId,
    /// What names the line to the charging machine, its numbers first.
    pub identities: Vec<Identity>,
    /// The user name under which its phones register.
    pub user: Box<str>,
    pub called: Digits,
    /// Hears whether the phone is being called.
    pub taken: oneshot::Sender<bool>,
}

/// Places calls that are ordered. Called from any thread: it must not block.
pub trait CallSink: Send + Sync {
    fn originate(&self, order: CallOrder);
}

/// The calls' steps in a record, seen before it is applied.
pub(crate) fn steps(state: &State, record: &Record, tell: &mut Vec<CallEvent>) {
    for event in &record.events {
        let begun = |session: &Session, stage| CallEvent {
            session: session.id,
            line: session.line,
            destination: session.context.destination,
            stage,
            at: record.at,
            seconds: 0,
        };
        let (id, stage, groups) = match event {
            Event::SessionOpened(session, _) if session.context.service == Service::Voice => {
                tell.push(begun(session, CallStage::Placed));
                continue;
            }
            Event::CallRefused(session, _) => {
                tell.push(begun(session, CallStage::Refused));
                continue;
            }
            Event::SessionReported(report, _) => {
                (report.session, CallStage::Charged, &report.groups)
            }
            Event::SessionClosed(closing, _) => {
                (closing.session, CallStage::Ended, &closing.groups)
            }
            _ => continue,
        };
        let Some(session) = state.sessions.get(&id) else { continue };
        if session.context.service == Service::Voice {
            tell.push(CallEvent {
                session: id,
                line: session.line,
                destination: session.context.destination,
                stage,
                at: record.at,
                seconds: groups.iter().map(|group| group.used).sum(),
            });
        }
    }
}
