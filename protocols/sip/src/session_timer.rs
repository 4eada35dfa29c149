//! Session timers (RFC 4028): who refreshes, how often, and when a call is taken for dead.

use crate::fields;
use crate::header::Name;
use crate::message::Message;

/// Session-Expires below this is refused (422); the lowest the RFC allows.
pub const MIN_SE_SECONDS: u32 = 90;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    Uac,
    Uas,
}

/// What a Session-Expires header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    pub seconds: u32,
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    pub fn of(message: &Message<'_>) -> Option<SessionExpires> {
        let value = message.header(Name::SessionExpires)?;
        let (seconds, params) = match value.iter().position(|octet| *octet == b';') {
            Some(end) => (&value[..end], &value[end + 1..]),
            None => (value, &[][..]),
        };
        let seconds = u32::try_from(fields::number(seconds)?).ok()?;
        let refresher = match fields::param(params, "refresher") {
            Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(SessionExpires { seconds, refresher })
    }

    pub fn to_value(self) -> String {
        match self.refresher {
            Some(Refresher::Uac) => format!("{};refresher=uac", self.seconds),
            Some(Refresher::Uas) => format!("{};refresher=uas", self.seconds),
            None => self.seconds.to_string(),
        }
    }
}

/// The timer of one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    pub seconds: u32,
    /// Do we send the refreshes?
    pub is_ours: bool,
}

impl SessionTimer {
    /// Milliseconds from one refresh to the next action: ours at half the interval; the other side's silence ends the
    /// call a little before the interval is over (section 10).
    pub fn wait_millis(self) -> u64 {
        let interval = u64::from(self.seconds) * 1000;
        if self.is_ours { interval / 2 } else { interval - 32_000.min(interval / 3) }
    }
}
