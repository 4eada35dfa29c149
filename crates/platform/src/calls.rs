//! What calls go through, as others may follow it: told when it is durable.

use tandem_domain::digits::Digits;
use tandem_domain::event::{Event, Record};
use tandem_domain::identifier::{LineId, SessionId};
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    Placed,
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

/// The calls' steps in a record, seen before it is applied.
pub(crate) fn steps(state: &State, record: &Record, tell: &mut Vec<CallEvent>) {
    for event in &record.events {
        let (id, stage, groups) = match event {
            Event::SessionOpened(session, _) if session.context.service == Service::Voice => {
                tell.push(CallEvent {
                    session: session.id,
                    line: session.line,
                    destination: session.context.destination,
                    stage: CallStage::Placed,
                    at: record.at,
                    seconds: 0,
                });
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
