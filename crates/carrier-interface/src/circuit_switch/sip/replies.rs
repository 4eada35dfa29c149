//! What the platform says: decisions, grants, orders; and calls taken up again from its sessions.

use sip_protocol::Millis;
use tandem_domain::charging::Session;
use tandem_domain::command::Response;
use tandem_domain::directive::Order;
use tandem_platform::Unavailable;

use super::call::{Asked, Consent, Ended, State, meter, resume, tag};
use super::engine::{Engine, io};
use super::refusals;

impl Engine {
    /// The answer to a question of a call.
    pub fn replied(
        &mut self,
        now: Millis,
        (id, meter, asked): (u64, usize, Asked),
        reply: Result<Response, Unavailable>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let io = io!(self, now);
        match (asked, reply) {
            (Asked::Place | Asked::Forward, Ok(Response::Call(decision))) => {
                call.decided(io, meter, *decision);
            }
            (Asked::Place | Asked::Forward, _) => {
                if let Some(meter) = call.meters.get_mut(meter) {
                    meter.is_closed = true;
                }
                if io.trunks.is_emergency(call.called) && call.state != State::Over {
                    call.connect_unasked(io);
                } else if call.state != State::Over {
                    call.give_up(io, Some(refusals::OVERLOADED));
                }
            }
            (Asked::Reroute(route), Ok(Response::Session(answer))) => {
                call.rerouted(io, meter, route, Some(answer));
            }
            (Asked::Reroute(route), _) => call.rerouted(io, meter, route, None),
            (Asked::Report, Ok(Response::Session(answer))) => {
                call.reported(io, meter, Some(answer));
            }
            (Asked::Report, _) => call.reported(io, meter, None),
            (Asked::Close, _) => call.closed(meter),
        }
        self.tidy(id);
    }

    /// A VNO's word on a call.
    pub fn consented(&mut self, now: Millis, id: u64, consent: Consent) {
        if let Some(call) = self.calls.get_mut(id) {
            call.consented(io!(self, now), consent);
        }
        self.tidy(id);
    }

    /// An order about a session; false when no such call runs here.
    pub fn ordered(&mut self, now: Millis, key: &[u8], order: &Order) -> bool {
        let Some(tag) = key.strip_prefix(b"sip;") else { return false };
        let tag = tag.split(|octet| *octet == b';').next().unwrap_or_default();
        let known = self.aliases.get(tag).copied();
        let id = known.or_else(|| super::call::Call::of_tag(tag).map(|(id, _)| id));
        let Some(id) = id else { return false };
        let is_its = self.calls.get(id).is_some_and(|call| *call.a.dialog.local_tag == *tag);
        let Some(call) = self.calls.get_mut(id).filter(|_| is_its) else { return false };
        if call.state == State::Over {
            return false;
        }
        match order {
            Order::Abort => call.cut(io!(self, now), Ended::ByOrder),
            Order::Reauthorise(_) => call.reauthorise(io!(self, now)),
        }
        self.tidy(id);
        true
    }

    /// A session whose call another process had: taken up again.
    pub fn take_up(&mut self, now: Millis, session: &Session, alive_at: Millis) -> bool {
        // A line that forwards has a session of its own in the same call.
        let same = tag(session).and_then(|tag| self.aliases.get(tag.as_slice()).copied());
        if let Some(call) = same.and_then(|id| self.calls.get_mut(id)) {
            call.meters.push(meter(session));
            call.arm(io!(self, now));
            return true;
        }
        let id = self.calls.reserve();
        let Some(call) = resume(io!(self, now), id, session, alive_at) else {
            self.calls.remove(id);
            return false;
        };
        self.aliases.insert(call.a.dialog.local_tag.clone(), id);
        if let Some(leg) = &call.b {
            self.aliases.insert(leg.dialog.local_tag.clone(), id);
        }
        self.calls.fill(id, call);
        true
    }
}
