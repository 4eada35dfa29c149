//! Dialogs (RFC 3261 section 12): what a request within a call needs to know.

use crate::fields::NameAddr;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::tokens::Tokens;
use crate::transaction::Flow;
use crate::uri::Uri;
use crate::writer::MessageWriter;

/// One side's view of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    pub call_id: Box<[u8]>,
    pub local_tag: Box<[u8]>,
    pub remote_tag: Box<[u8]>,
    /// From of our requests, without a tag.
    pub local: Box<[u8]>,
    /// To of our requests, without a tag.
    pub remote: Box<[u8]>,
    /// The other side's Contact.
    pub target: Box<[u8]>,
    pub routes: Vec<Box<[u8]>>,
    pub local_cseq: u32,
    pub remote_cseq: u32,
    pub flow: Flow,
    /// Requests go where those of the other side come from, whatever its Contact says: phones behind an address
    /// translator know no better.
    pub keeps_flow: bool,
}

/// Is a request of the other side in order (section 12.2.2)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    InOrder,
    /// Answer it 500.
    OutOfOrder,
}

impl Dialog {
    /// For the side that was called: from the INVITE, with the tag that we chose.
    pub fn accepting(invite: &Message<'_>, local_tag: &[u8], flow: Flow) -> Option<Dialog> {
        let (from, to) = (invite.from()?, invite.to()?);
        Some(Dialog {
            call_id: invite.call_id().into(),
            local_tag: local_tag.into(),
            remote_tag: from.tag().unwrap_or_default().into(),
            local: to.without_params().into(),
            remote: from.without_params().into(),
            target: invite.contact()?.uri.into(),
            routes: invite.elements(Name::RecordRoute).map(Into::into).collect(),
            local_cseq: 0,
            remote_cseq: invite.cseq()?.number,
            flow,
            keeps_flow: false,
        })
    }

    /// For the side that calls, before any answer: what the INVITE says.
    pub fn calling(
        call_id: &[u8],
        local_tag: &[u8],
        local: &[u8],
        remote: &[u8],
        target: &[u8],
        flow: Flow,
    ) -> Dialog {
        Dialog {
            call_id: call_id.into(),
            local_tag: local_tag.into(),
            remote_tag: Box::default(),
            local: local.into(),
            remote: remote.into(),
            target: target.into(),
            routes: Vec::new(),
            local_cseq: 1,
            remote_cseq: 0,
            flow,
            keeps_flow: false,
        }
    }

    /// A provisional or final answer to our INVITE makes or completes the dialog (section 12.1.2).
    pub fn answered(&mut self, response: &Message<'_>) {
        if let Some(tag) = response.to().and_then(|to| to.tag()) {
            self.remote_tag = tag.into();
        }
        let mut routes: Vec<Box<[u8]>> =
            response.elements(Name::RecordRoute).map(Into::into).collect();
        routes.reverse();
        if !routes.is_empty() || response.status() >= 200 {
            self.routes = routes;
        }
        self.refresh_target(response);
    }

    /// A re-INVITE, an UPDATE or their 2xx may move the other side (section 12.2).
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri.into();
        }
    }

    /// Notes the number of a request of the other side.
    pub fn take(&mut self, request: &Message<'_>) -> Order {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if number < self.remote_cseq {
            return Order::OutOfOrder;
        }
        self.remote_cseq = number;
        Order::InOrder
    }

    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Request-URI and Route headers (section 12.2.1.1), strict routers included.
    pub fn begin<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: Method<'_>,
        via: &[u8],
        cseq: u32,
    ) -> MessageWriter<'o> {
        let first = self.routes.first().and_then(|route| NameAddr::parse(route));
        let is_loose =
            first.and_then(|route| route.parsed_uri()).is_none_or(|uri| uri.param("lr").is_some());
        let mut request = if is_loose {
            let mut request = MessageWriter::request(out, method, &self.target);
            request.header(Name::Via, via);
            for route in &self.routes {
                request.header(Name::Route, route);
            }
            request
        } else {
            let mut request =
                MessageWriter::request(out, method, first.map_or(&self.target, |route| route.uri));
            request.header(Name::Via, via);
            for route in self.routes.iter().skip(1) {
                request.header(Name::Route, route);
            }
            request.parts(b"Route", &[b"<", &self.target, b">"]);
            request
        };
        request.header(Name::MaxForwards, b"70");
        request.parts(b"From", &[&self.local, b";tag=", &self.local_tag]);
        if self.remote_tag.is_empty() {
            request.header(Name::To, &self.remote);
        } else {
            request.parts(b"To", &[&self.remote, b";tag=", &self.remote_tag]);
        }
        request.header(Name::CallId, &self.call_id);
        request.cseq(cseq, method);
        request
    }

    /// Where requests go: the first route or the target when that is an address, else where the dialog came from.
    pub fn next_hop(&self) -> Flow {
        if self.keeps_flow {
            return self.flow;
        }
        let route = self.routes.first().and_then(|route| NameAddr::parse(route));
        let uri = match &route {
            Some(route) => route.parsed_uri(),
            None => Uri::parse(&self.target),
        };
        let address = uri.and_then(|uri| {
            let default = if self.flow.transport == crate::Transport::Tls { 5061 } else { 5060 };
            Some(std::net::SocketAddr::new(uri.address()?, uri.port.unwrap_or(default)))
        });
        match address {
            Some(remote) if !self.flow.transport.is_reliable() => Flow { remote, ..self.flow },
            _ => self.flow,
        }
    }

    /// The key that requests of the other side are found by.
    pub fn key(&self) -> Vec<u8> {
        key(&self.call_id, &self.local_tag)
    }
}

/// Call-ID and our tag name a dialog; the other side's tag is checked on its own.
pub fn key(call_id: &[u8], local_tag: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(call_id.len() + local_tag.len() + 1);
    key.extend_from_slice(call_id);
    key.push(0);
    key.extend_from_slice(local_tag);
    key
}

/// A fresh Call-ID.
pub fn new_call_id(tokens: &mut Tokens, host: &str) -> Box<[u8]> {
    let mut id = tokens.token().to_vec();
    id.push(b'@');
    id.extend_from_slice(host.as_bytes());
    id.into_boxed_slice()
}
