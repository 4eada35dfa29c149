//! Emergency calls over switches that charge them: never charged, blocked or delayed.

use super::request::{GroupAnswer, GroupOutcome, GroupRequest, SessionAnswer, SessionRequest};
use super::session::Context;
use super::sessions::identify;
use crate::identifier::{Identity, LineId};
use crate::service::{Direction, Service};
use crate::state::State;

/// By the switch's word, or because the line's VNO knows the number as one.
pub(super) fn is_emergency(state: &State, identities: &[Identity], context: &Context) -> bool {
    let calls = |line: LineId| state.registry.vno(line.vno())?.calls.as_deref();
    let outgoing = context.direction != Direction::Terminating;
    context.is_emergency
        || context
            .destination
            .filter(|_| outgoing && context.service == Service::Voice)
            .is_some_and(|called| {
                let rules = identify(state, identities).ok().and_then(calls);
                rules.is_some_and(|rules| rules.emergency.contains(&called))
            })
}

/// Emergency calls pass without control or charge, from their first request to their last.
pub(super) fn let_through(request: &SessionRequest) -> SessionAnswer {
    let free = |group: &GroupRequest| GroupAnswer { key: group.key, outcome: GroupOutcome::Free };
    SessionAnswer { groups: request.groups.iter().map(free).collect(), failure_handling: None }
}
