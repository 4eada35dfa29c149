//! What every answer takes over from its request, and where it goes.

use std::net::{IpAddr, SocketAddr};

use super::Flow;
use crate::header::Name;
use crate::message::Message;

/// Where the answer goes (section 18.2.2, RFC 3581): the connection, or the address the request came from.
pub(super) fn response_flow(flow: Flow, message: &Message<'_>) -> Flow {
    let Some(via) = message.top_via() else { return flow };
    if flow.transport.is_reliable() || crate::fields::param(via.params, "rport").is_some() {
        return flow;
    }
    // Without rport the port is the one in Via; the address stays the one it came from.
    let port = via.port.unwrap_or(5060);
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow }
}

/// Via (with received and rport), From, To with a tag, Call-ID and CSeq of the request (section 8.2.6.2).
/// `flow`: None when the request came from where its Via says.
pub fn copy_essentials(
    response: &mut crate::writer::MessageWriter<'_>,
    request: &Message<'_>,
    flow: Option<Flow>,
    tag: &[u8],
) {
    let mut is_top = true;
    for value in request.all(Name::Via) {
        if let (true, Some(flow)) = (is_top, flow) {
            let stamped = stamped_via(value, flow);
            response.header(Name::Via, &stamped);
        } else {
            response.header(Name::Via, value);
        }
        is_top = false;
    }
    response.header(Name::From, request.header(Name::From).unwrap_or_default());
    let to = request.header(Name::To).unwrap_or_default();
    let has_tag = request.to().is_some_and(|to| to.tag().is_some());
    if has_tag || tag.first().is_none_or(|octet| *octet == 0) {
        response.header(Name::To, to);
    } else {
        response.parts(b"To", &[to, b";tag=", tag]);
    }
    response.header(Name::CallId, request.call_id());
    response.header(Name::CSeq, request.header(Name::CSeq).unwrap_or_default());
}

/// The Timestamp of a request that is being tried, with the seconds that it waited (section 8.2.6.1).
pub fn copy_timestamp(
    response: &mut crate::writer::MessageWriter<'_>,
    request: &Message<'_>,
    waited_millis: u64,
) {
    let said = request.header(Name::Timestamp).unwrap_or_default();
    let Some(sent) = said.split(u8::is_ascii_whitespace).next().filter(|sent| !sent.is_empty())
    else {
        return;
    };
    let waited = format!(" {}.{:03}", waited_millis / 1000, waited_millis % 1000);
    response.parts(b"Timestamp", &[sent, waited.as_bytes()]);
}

/// The top Via with `received` and a filled `rport` where they are due.
fn stamped_via(value: &[u8], flow: Flow) -> Vec<u8> {
    let Some(via) = crate::fields::list(value).next().and_then(crate::Via::parse) else {
        return value.to_vec();
    };
    let said = std::str::from_utf8(via.host).unwrap_or_default();
    let said = said.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let wants_port = crate::fields::param(via.params, "rport").is_some_and(<[u8]>::is_empty);
    if !wants_port && said == Ok(flow.remote.ip()) {
        return value.to_vec();
    }
    let address = flow.remote.ip().to_string();
    let mut stamped = Vec::with_capacity(value.len() + 48);
    let text = String::from_utf8_lossy(value);
    let filled =
        if wants_port { replace_rport(&text, flow.remote.port()) } else { text.into_owned() };
    // Further elements of the same line stay behind the first.
    let (first, rest) = match filled.split_once(',') {
        Some((first, rest)) => (first.to_owned(), Some(rest.to_owned())),
        None => (filled, None),
    };
    stamped.extend_from_slice(first.as_bytes());
    stamped.extend_from_slice(b";received=");
    stamped.extend_from_slice(address.as_bytes());
    if let Some(rest) = rest {
        stamped.push(b',');
        stamped.extend_from_slice(rest.as_bytes());
    }
    stamped
}

fn replace_rport(text: &str, port: u16) -> String {
    let lower = text.to_ascii_lowercase();
    let bare = lower.match_indices(";rport").find(|(at, found)| {
        let after = lower[at + found.len()..].trim_start();
        after.is_empty() || after.starts_with(';') || after.starts_with(',')
    });
    match bare {
        Some((at, found)) => {
            let end = at + found.len();
            format!("{}={port}{}", &text[..end], &text[end..])
        }
        None => text.to_owned(),
    }
}
