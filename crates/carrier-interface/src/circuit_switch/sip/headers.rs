//! Which headers cross from one leg to the other.

use sip_protocol::{Header, Message, MessageWriter, Name};
use smallvec::SmallVec;

pub const ALLOW: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REGISTER";
pub const SERVER: &[u8] = b"Tandem";

/// Passed on as they are, in requests and responses alike.
const PASSED: &[Name] = &[
    Name::ContentType,
    Name::ContentEncoding,
    Name::ContentDisposition,
    Name::MimeVersion,
    Name::Subject,
    Name::Date,
    Name::Diversion,
    Name::HistoryInfo,
    Name::Accept,
    Name::AcceptLanguage,
    Name::AlertInfo,
    Name::CallInfo,
    Name::Organization,
    Name::Priority,
    Name::InfoPackage,
    Name::RecvInfo,
    Name::Event,
    Name::SubscriptionState,
    Name::Warning,
    Name::ErrorInfo,
    Name::Reason,
];

/// Only between switches that trust each other (RFC 3324).
const TRUSTED: &[Name] =
    &[Name::PChargingVector, Name::PAccessNetworkInfo, Name::UserToUser, Name::Geolocation];

/// Extensions that work through us.
const RELAYED: &[&str] = &["100rel", "timer", "norefersub", "histinfo", "privacy"];

/// `passes`: what the switch that it goes to takes beside.
pub fn pass(from: &Message<'_>, to: &mut MessageWriter<'_>, trusted: bool, passes: &[Box<str>]) {
    for header in from.headers() {
        if PASSED.contains(&header.name) || (trusted && TRUSTED.contains(&header.name)) {
            to.header(header.name, header.value);
        }
    }
    write(&listed(from, passes), to);
}

pub fn write(headers: &[Header<'_>], to: &mut MessageWriter<'_>) {
    for header in headers {
        to.raw(header.raw_name, header.value);
    }
}

/// Headers that we know nothing of, and the switch's profile does.
pub fn listed<'m>(from: &Message<'m>, passes: &[Box<str>]) -> SmallVec<[Header<'m>; 2]> {
    if passes.is_empty() {
        return SmallVec::new();
    }
    let unknown = from.headers().iter().filter(|header| header.name == Name::Other);
    let is_listed =
        |name: &[u8]| passes.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name));
    unknown.filter(|header| is_listed(header.raw_name)).copied().collect()
}

/// What of Supported goes on to the other side; session timers are each leg's own matter.
pub fn supported(from: &Message<'_>, takes_reliable: bool) -> Vec<u8> {
    let mut list = b"timer".to_vec();
    let relayed = RELAYED.iter().filter(|token| takes_reliable || **token != "100rel");
    for token in relayed.filter(|token| **token != "timer") {
        if from.lists(Name::Supported, token) || from.lists(Name::Require, token) {
            list.extend_from_slice(b", ");
            list.extend_from_slice(token.as_bytes());
        }
    }
    list
}

/// Required extensions that do not work through us, to be named in Unsupported (420).
pub fn unsupported(request: &Message<'_>) -> Vec<u8> {
    let required = request.elements(Name::Require).chain(request.elements(Name::ProxyRequire));
    let unknown = required
        .filter(|token| !RELAYED.iter().any(|known| token.eq_ignore_ascii_case(known.as_bytes())));
    unknown.collect::<Vec<_>>().join(&b", "[..])
}

/// A Reason with an ISUP cause (RFC 3326).
pub fn reason(cause: u8, text: &str) -> Vec<u8> {
    format!("Q.850;cause={cause};text=\"{text}\"").into_bytes()
}
