//! The phones of one line ring together until one is picked up or all have said no.

use sip_protocol::{ClientId, Flow, Message, Name};

use super::again::Way;
use super::{Call, Io, SILENCE_MAX, Target};

/// What phones that are given up hear when another was picked up (RFC 3326): no call was missed.
pub(super) const ELSEWHERE: &[u8] = b"SIP;cause=200;text=\"Call completed elsewhere\"";

/// How much a phone's refusal says about the line: one that is switched off says least.
fn weight(status: u16) -> u8 {
    match status {
        408 | 480 | 503 => 0,
        486 => 2,
        600.. => 3,
        _ => 1,
    }
}

impl Call {
    /// Rings a phone and those that come after it.
    pub(super) fn ring(&mut self, io: &mut Io<'_>, uri: Box<[u8]>, flow: Flow) {
        // Reliable answers are counted by one leg at a time: a caller that insists on them has one phone rung after the
        // other.
        let insists = Message::decode(&self.a.request)
            .is_ok_and(|invite| invite.lists(Name::Require, "100rel"));
        let mut phones = vec![(uri, flow)];
        while let Some(Target::Phone { .. }) = self.targets.front().filter(|_| !insists) {
            if let Some(Target::Phone { uri, flow }) = self.targets.pop_front() {
                phones.push((uri, flow));
            }
        }
        let rings_alone = phones.len() == 1;
        self.phones_said = None;
        for (uri, flow) in phones {
            self.others.extend(self.b.take());
            let way = Way {
                uri: uri.into_vec(),
                flow,
                trusted: false,
                session_seconds: 1800,
                is_signed_for: false,
                route: None,
                is_trial: false,
                takes_reliable: rings_alone,
            };
            self.invite(io, way);
        }
    }

    /// Is this answer to one of the INVITEs that are out? Then it is that leg's turn.
    pub fn turn_to(&mut self, client: ClientId) -> bool {
        let Some(leg) = &mut self.b else { return false };
        if leg.invite == client {
            return true;
        }
        let other = self.others.iter_mut().find(|other| other.invite == client);
        if let Some(other) = other {
            std::mem::swap(leg, other);
            return true;
        }
        false
    }

    /// A phone will not be picked up. None: others still ring; otherwise what all of them said together.
    pub(super) fn word_of_phones(
        &mut self,
        io: &mut Io<'_>,
        status: u16,
        cause: u8,
    ) -> Option<(u16, u8)> {
        let earlier = self.phones_said.take().filter(|said| weight(said.0) >= weight(status));
        let word = earlier.unwrap_or((status, cause));
        // Who declines declines for all (RFC 3261 section 16.7).
        if word.0 < 600
            && let Some(other) = self.others.pop()
        {
            if !other.rang && !self.others.iter().any(|one| one.rang) {
                // The one that rang is gone: those that were silent all along have no longer than any silent phone.
                self.deadline = self.deadline.min(io.now.plus(SILENCE_MAX));
            }
            self.b = Some(other);
            self.phones_said = Some(word);
            return None;
        }
        self.cancel_others(io, None);
        Some(word)
    }

    /// Gives up all phones but the one whose turn it is.
    pub(super) fn cancel_others(&mut self, io: &mut Io<'_>, reason: Option<&[u8]>) {
        for other in self.others.drain(..) {
            io.transactions.cancel(io.now, other.invite, reason);
        }
    }
}
