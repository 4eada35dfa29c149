//! A second INVITE on the same way: a switch asks who we are, or wants its session to last longer.

use sip_protocol::digest::Challenge;
use sip_protocol::session_timer::MIN_SE_SECONDS;
use sip_protocol::{Flow, Message, Method, Name};
use tandem_domain::identifier::PeerId;
use tandem_domain::routing::Route;

use super::{BLeg, Call, Io};

/// A header that says who we are, and its value.
pub(in super::super) type Credential = (Name, Vec<u8>);

/// What a next target is, as the INVITE needs it.
#[derive(Clone, Debug)]
pub(in super::super) struct Way {
    pub uri: Vec<u8>,
    pub flow: Flow,
    pub trusted: bool,
    /// Session-Expires that we ask for; 0: no session timer.
    pub session_seconds: u32,
    /// Calls that go there are signed.
    pub is_signed_for: bool,
    pub route: Option<Route>,
    /// The call by which a switch is tried out.
    pub is_trial: bool,
    /// Reliable provisional answers may come back (RFC 3262).
    pub takes_reliable: bool,
}

/// An INVITE as it went out.
#[derive(Clone, Debug)]
pub(in super::super) struct Tried {
    pub way: Way,
    pub call_id: Box<[u8]>,
    pub tag: Vec<u8>,
    pub cseq: u32,
    /// Which header, and its value.
    pub credentials: Option<Credential>,
    /// Tags of other branches of a fork that answered and were hung up.
    pub strays: Vec<Box<[u8]>>,
    /// Min-SE: after a 422 what the switch wants (RFC 4028 section 7.3).
    pub least_session_seconds: u32,
}

impl Tried {
    const STRAYS_MAX: usize = 8;

    /// Is this branch of a fork heard of for the first time? More than a few are nobody's fork.
    pub fn is_new_stray(&mut self, tag: &[u8]) -> bool {
        let is_new = self.strays.len() < Self::STRAYS_MAX
            && !self.strays.iter().any(|known| **known == *tag);
        if is_new {
            self.strays.push(tag.into());
        }
        is_new
    }
}

impl BLeg {
    pub fn is_trial(&self) -> bool {
        self.tried.as_ref().is_some_and(|tried| tried.way.is_trial)
    }
}

impl Call {
    /// Sends the INVITE again when what was wrong with it can be made good; false otherwise.
    pub(super) fn another_try(&mut self, io: &mut Io<'_>, message: &Message<'_>) -> bool {
        let tried = self.b.as_ref().and_then(|leg| leg.tried.as_deref());
        let again = tried.and_then(|tried| match message.status() {
            401 | 407 => with_credentials(io, tried, message),
            422 => with_longer_timer(tried, message),
            _ => None,
        });
        let Some(again) = again else { return false };
        let Some(before) = self.b.take() else { return false };
        self.note(message.status());
        let clocks = (self.deadline, self.to_answer_in);
        self.try_way(io, Tried { cseq: again.cseq + 1, ..again });
        if !self.others.is_empty() {
            // The other phones ring on as they did.
            (self.deadline, self.to_answer_in) = clocks;
        }
        if let Some(leg) = &mut self.b {
            // The caller waits since the first.
            leg.started = before.started;
        }
        true
    }
}

/// The credentials that meet a 401 or 407 of the switch: in which header, and its value.
pub(super) fn proof(
    io: &mut Io<'_>,
    peer: PeerId,
    method: Method<'_>,
    uri: &[u8],
    message: &Message<'_>,
) -> Option<Credential> {
    let (asked, answered) = match message.status() {
        401 => (Name::WwwAuthenticate, Name::Authorization),
        407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        _ => return None,
    };
    let challenge = Challenge::strongest(message.all(asked))?;
    let cnonce = io.transactions.tokens.token();
    let login = io.trunks.login(peer)?;
    Some((answered, challenge.meet(login, method.as_bytes(), uri, &cnonce)))
}

/// Met once; once more only when the nonce had become too old.
fn with_credentials(io: &mut Io<'_>, tried: &Tried, message: &Message<'_>) -> Option<Tried> {
    let challenges = message.all(Name::WwwAuthenticate).chain(message.all(Name::ProxyAuthenticate));
    let is_stale = Challenge::strongest(challenges).is_some_and(|one| one.is_stale);
    if tried.credentials.is_some() && !(is_stale && tried.cseq < 3) {
        return None;
    }
    let trunk = tried.way.route.as_ref()?.trunk;
    let credentials = proof(io, trunk, Method::Invite, &tried.way.uri, message)?;
    Some(Tried { credentials: Some(credentials), ..tried.clone() })
}

fn with_longer_timer(tried: &Tried, message: &Message<'_>) -> Option<Tried> {
    let least = u32::try_from(message.number(Name::MinSe)?).ok()?;
    // Once: who wants still more each time wants no call.
    if least <= tried.way.session_seconds || tried.least_session_seconds > MIN_SE_SECONDS {
        return None;
    }
    let way = Way { session_seconds: least, ..tried.way.clone() };
    // A nonce is good for one request: the next challenge is met anew.
    Some(Tried { way, least_session_seconds: least, credentials: None, ..tried.clone() })
}
