//! The VNO's own word on a call, asked before it is connected.

use sip_protocol::Millis;
use tandem_domain::charging::{CallParty, CallPlan, EndCause};
use tandem_domain::digits::Digits;

use sip_protocol::status::status_of;

use super::{Asked, Call, Io, State};
use crate::circuit_switch::sip::refusals::{self, Refusal};

/// What the VNO's application says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Consent {
    Allow {
        /// Shown instead of the line's own number.
        caller: Option<Digits>,
        seconds_max: Option<u32>,
    },
    Refuse {
        cause: Option<u8>,
    },
    Redirect(Digits),
}

impl Consent {
    pub const ALLOW: Consent = Consent::Allow { caller: None, seconds_max: None };
}

impl Call {
    /// Asks, when the VNO wants to be asked; true when the answer has to be waited for.
    pub(super) fn asks_vno(&mut self, io: &mut Io<'_>, plan: &CallPlan) -> bool {
        let Some(webhook) = plan.webhook.clone().filter(|_| !self.was_asked) else { return false };
        self.was_asked = true;
        self.state = State::Consent;
        // The application's own time-out comes first; this is for an answer that is lost here.
        self.deadline = io.now.plus(u64::from(webhook.timeout_millis) + 1_000);
        self.waiting = Some(Box::new(plan.clone()));
        let caller = plan.number.map(|number| format!("+{number}"));
        let body = serde_json::json!({
            "type": "call.placed",
            "call": String::from_utf8_lossy(&self.a.dialog.local_tag),
            "caller": caller,
            "called": format!("+{}", plan.called),
        });
        io.consents.push((self.id, webhook, body.to_string()));
        true
    }

    /// The answer, or what stands for it when none came in time.
    pub fn consented(&mut self, io: &mut Io<'_>, consent: Consent) {
        let Some(plan) = self.waiting.take().filter(|_| self.state == State::Consent) else {
            return;
        };
        match consent {
            Consent::Allow { caller, seconds_max } => {
                self.number = caller.or(self.number);
                if let Some(seconds) = seconds_max.filter(|seconds| *seconds > 0) {
                    let others = if self.seconds_max == 0 { u32::MAX } else { self.seconds_max };
                    self.seconds_max = seconds.min(others);
                }
                self.deadline = io.now.plus(super::POST_DIAL_MAX);
                self.go_to(io, plan.target);
            }
            Consent::Refuse { cause } => {
                self.note("refused by the VNO");
                let cause = cause.unwrap_or(refusals::BY_THE_VNO.cause);
                let status = status_of(cause);
                self.give_up(io, Some(Refusal { cause, status, ..refusals::BY_THE_VNO }));
            }
            Consent::Redirect(number) => self.redirect(io, number),
        }
        self.arm(io);
    }

    /// Another number is called, priced and paid for like the first would have been.
    fn redirect(&mut self, io: &mut Io<'_>, number: Digits) {
        let called = self.called;
        self.note(format_args!("{called}: redirected by the VNO to {number}"));
        self.close(io, EndCause::Normal);
        self.state = State::Rerouting;
        self.deadline = Millis(io.now.0 + super::SILENCE_MAX);
        (self.called, self.routing) = (number, None);
        self.redirects += 1;
        let party = CallParty::Caller(self.who.identities.clone());
        self.ask_to_place(io, party, Asked::Place);
    }
}
