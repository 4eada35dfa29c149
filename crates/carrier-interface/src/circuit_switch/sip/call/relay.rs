//! Requests within a call: renegotiation and information go through, refreshes are each leg's own.

use sip_protocol::dialog::Order;
use sip_protocol::fields::RAck;
use sip_protocol::session_timer::{MIN_SE_SECONDS, Refresher, SessionExpires, SessionTimer};
use sip_protocol::status::q850_of;
use sip_protocol::transaction::copy_essentials;
use sip_protocol::{ClientId, Flow, Message, MessageWriter, Method, Name, ServerId};

use tandem_domain::charging::EndCause;

use super::again::Credential;
use super::{Call, Ended, Io, Opening, Side, State};
use crate::circuit_switch::sip::headers;

/// A request of one side on its way to the other.
pub(in super::super) struct Relay {
    from: Side,
    server: ServerId,
    client: ClientId,
    is_invite: bool,
    /// It may renegotiate the media.
    offers: bool,
    request: Box<[u8]>,
    /// Who we are, to a switch that asked.
    credentials: Option<Credential>,
    /// The CSeq of the relayed INVITE, for its ACK.
    cseq: u32,
    /// A 2xx to a relayed INVITE waits for the ACK of who sent it.
    ack_waits: bool,
}

impl Call {
    /// A request of `side` within the call.
    pub fn request(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        server: ServerId,
        message: &Message<'_>,
        bytes: &[u8],
        flow: Flow,
    ) {
        let Some(method) = message.method() else { return };
        if self.state == State::Over && method != Method::Bye {
            return io.transactions.respond_simply(io.now, server, message, 481);
        }
        self.alive_at = None;
        if let Some(dialog) = self.dialog(side) {
            let from = message.from().and_then(|from| from.tag()).unwrap_or_default();
            if *dialog.remote_tag != *from {
                return io.transactions.respond_simply(io.now, server, message, 481);
            }
            if dialog.take(message) == Order::OutOfOrder {
                return io.transactions.respond_simply(io.now, server, message, 500);
            }
            if dialog.keeps_flow {
                // The phone's way to us may have become another one.
                dialog.flow = flow;
            }
        }
        match method {
            Method::Bye => self.bye(io, side, server, message),
            Method::Update if message.body.is_empty() => {
                self.refresh_of_peer(io, side, server, message)
            }
            // Several phones ring: which of them would it be for?
            Method::Update | Method::Info | Method::Message | Method::Notify | Method::Options
                if !self.others.is_empty() =>
            {
                io.transactions.respond_simply(io.now, server, message, 500);
            }
            Method::Invite | Method::Update => {
                if self.relays.iter().any(|relay| relay.offers) || self.offers_again(side) {
                    return io.transactions.respond_simply(io.now, server, message, 491);
                }
                if let Some(dialog) = self.dialog(side) {
                    dialog.refresh_target(message);
                }
                self.pass_on(io, side, server, (message, bytes), None);
            }
            Method::Prack | Method::Info | Method::Message | Method::Notify | Method::Options => {
                self.pass_on(io, side, server, (message, bytes), None);
            }
            // Transfers would move a call out of our sight: refused (standards: 405 or 403 for prepaid).
            Method::Refer => io.transactions.respond_simply(io.now, server, message, 403),
            _ => io.transactions.respond_simply(io.now, server, message, 405),
        }
    }

    /// An UPDATE without a body refreshes this leg only (RFC 4028).
    fn refresh_of_peer(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        server: ServerId,
        message: &Message<'_>,
    ) {
        if let Some(dialog) = self.dialog(side) {
            dialog.refresh_target(message);
        }
        let flow = io.transactions.flow_of(server);
        let asked = SessionExpires::of(message);
        if asked.is_some_and(|asked| asked.seconds < MIN_SE_SECONDS) {
            return io.transactions.respond(io.now, server, 422, |out| {
                let mut response = MessageWriter::response(out, 422);
                copy_essentials(&mut response, message, flow, &[]);
                response.number(Name::MinSe, u64::from(MIN_SE_SECONDS));
                response.finish(&[]);
            });
        }
        self.agree(side, asked, Refresher::Uas);
        let contact = flow.map(|flow| io.local.contact(&flow)).unwrap_or_default();
        io.transactions.respond(io.now, server, 200, |out| {
            let mut response = MessageWriter::response(out, 200);
            copy_essentials(&mut response, message, flow, &[]);
            response.header(Name::Contact, contact);
            if let Some(asked) = asked {
                let refresher = asked.refresher.or(Some(Refresher::Uac));
                let value = SessionExpires { refresher, ..asked }.to_value();
                response.header(Name::SessionExpires, value.as_bytes());
            }
            response.finish(&[]);
        });
        self.refreshed(io.now, side);
        self.arm(io);
    }

    fn pass_on(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        server: ServerId,
        (message, bytes): (&Message<'_>, &[u8]),
        credentials: Option<Credential>,
    ) {
        let Some(method) = message.method() else { return };
        let id = self.id;
        let passes = io.trunks.passes(self.trunk(side.other()));
        let shift = self.b.as_ref().and_then(|leg| leg.rseq_shift).unwrap_or(0);
        let tried = self.b.as_ref().and_then(|leg| leg.tried.as_ref());
        let invite_cseq = tried.map_or(1, |tried| tried.cseq);
        let timer = self.timer(side.other()).filter(|_| self.state == State::Answered);
        let trusted = self.a.trusted && self.b.as_ref().is_some_and(|leg| leg.trusted);
        let Some(dialog) = self.dialog(side.other()).filter(|dialog| !dialog.remote_tag.is_empty())
        else {
            return io.transactions.respond_simply(io.now, server, message, 481);
        };
        let cseq = dialog.next_cseq();
        let flow = dialog.next_hop();
        let contact = io.local.contact(&flow);
        let sent_by = io.local.sent_by(&flow).as_bytes();
        let rack = message.header(Name::RAck).and_then(RAck::parse);
        let client = io.transactions.request(io.now, flow, sent_by, method, id, |via, out| {
            let mut request = dialog.begin(out, method, via, cseq);
            request.header(Name::Contact, contact);
            if let Some((name, value)) = &credentials {
                request.header(*name, value);
            }
            if let Some(rack) = rack {
                // The other leg's INVITE has a number of its own, and its own count of responses.
                let rseq = i64::from(rack.rseq) - shift;
                request.parts(b"RAck", &[format!("{rseq} {invite_cseq} INVITE").as_bytes()]);
            }
            if let Some(timer) = timer.filter(|_| matches!(method, Method::Invite | Method::Update))
            {
                // It refreshes the other leg's session too; who refreshes there stays the same.
                let refresher = if timer.is_ours { Refresher::Uac } else { Refresher::Uas };
                let value = SessionExpires { seconds: timer.seconds, refresher: Some(refresher) };
                request.header(Name::Supported, b"timer");
                request.header(Name::SessionExpires, value.to_value().as_bytes());
            }
            headers::pass(message, &mut request, trusted, passes);
            request.finish(message.body);
        });
        self.tell(side.other(), message.body);
        self.relays.push(Relay {
            from: side,
            server,
            client,
            is_invite: method == Method::Invite,
            offers: matches!(method, Method::Invite | Method::Update),
            request: bytes.into(),
            credentials,
            cseq,
            ack_waits: false,
        });
    }

    /// An answer to something that we sent within the call.
    pub fn response(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let Some(index) = self.relays.iter().position(|relay| relay.client == client) else {
            return self.own_response(io, side, client, message);
        };
        if status == 100 || self.proved(io, side, index, message) {
            return;
        }
        // What a switch asks of us the other side can neither read nor meet.
        let status = if matches!(status, 401 | 407) { 488 } else { status };
        let trusted = self.a.trusted && self.b.as_ref().is_some_and(|leg| leg.trusted);
        if (200..300).contains(&status)
            && let Some(dialog) = self.dialog(side)
        {
            dialog.refresh_target(message);
        }
        let passes = io.trunks.passes(self.trunk(side.other()));
        let relay = &self.relays[index];
        let (server, is_invite, offers, from) =
            (relay.server, relay.is_invite, relay.offers, relay.from);
        let request = relay.request.clone();
        let agrees = offers && (200..300).contains(&status);
        if let Ok(request) = Message::decode(&request) {
            let asked = SessionExpires::of(&request);
            if agrees {
                self.agree(from, asked, Refresher::Uas);
                self.agree(side, SessionExpires::of(message), Refresher::Uac);
            }
            let timer = self.timer(from).filter(|_| agrees && asked.is_some());
            let flow = io.transactions.flow_of(server);
            let contact = flow.map(|flow| io.local.contact(&flow)).unwrap_or_default();
            io.transactions.respond(io.now, server, status, |out| {
                let mut response = MessageWriter::response(out, status);
                copy_essentials(&mut response, &request, flow, &[]);
                response.header(Name::Contact, contact);
                if let Some(timer) = timer {
                    let refresher = if timer.is_ours { Refresher::Uas } else { Refresher::Uac };
                    let value =
                        SessionExpires { seconds: timer.seconds, refresher: Some(refresher) };
                    if !timer.is_ours {
                        response.header(Name::Require, b"timer");
                    }
                    response.header(Name::SessionExpires, value.to_value().as_bytes());
                }
                headers::pass(message, &mut response, trusted, passes);
                response.finish(message.body);
            });
        }
        if agrees {
            self.tell(from, message.body);
        }
        if status < 200 {
            return;
        }
        self.alive_at = None;
        if is_invite && status < 300 {
            self.relays[index].ack_waits = true;
            for side in [Side::A, Side::B] {
                self.refreshed(io.now, side);
            }
            self.arm(io);
        } else {
            self.relays.remove(index);
        }
        if matches!(status, 408 | 481) {
            self.cut(io, Ended::Dead(side));
        }
    }

    /// A switch asks who sends what we relay: it is told, once.
    fn proved(&mut self, io: &mut Io<'_>, side: Side, index: usize, message: &Message<'_>) -> bool {
        let is_new = self.relays.get(index).is_some_and(|relay| relay.credentials.is_none());
        let Some(credentials) = self.proof(io, side, message).filter(|_| is_new) else {
            return false;
        };
        let relay = self.relays.remove(index);
        if let Ok(request) = Message::decode(&relay.request) {
            let what = (&request, &*relay.request);
            self.pass_on(io, relay.from, relay.server, what, Some(credentials));
        }
        true
    }

    /// What meets the challenge of the switch on that side, if it is one and we can.
    pub(super) fn proof(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        message: &Message<'_>,
    ) -> Option<Credential> {
        let trunk = self.trunk(side)?;
        let method = Method::parse(message.cseq()?.method);
        let target = self.dialog(side)?.target.clone();
        super::again::proof(io, trunk, method, &target, message)
    }

    /// Takes over what the other end of a leg said of its session timer, in a request to us (we are the UAS of it) or
    /// in an answer (we are the UAC).
    fn agree(&mut self, side: Side, said: Option<SessionExpires>, we_are: Refresher) {
        let Some(said) = said else { return };
        let is_ours = said.refresher.unwrap_or(Refresher::Uac) == we_are;
        let timer = SessionTimer { seconds: said.seconds.max(MIN_SE_SECONDS), is_ours };
        match (side, &mut self.b) {
            (Side::A, _) => self.a.timer = Some(timer),
            (Side::B, Some(leg)) => leg.timer = Some(timer),
            (Side::B, None) => {}
        }
    }

    pub(super) fn timer(&self, side: Side) -> Option<SessionTimer> {
        match side {
            Side::A => self.a.timer,
            Side::B => self.b.as_ref().and_then(|leg| leg.timer),
        }
    }

    /// Whoever sent a re-INVITE takes it back: so do we.
    pub(super) fn cancel_relayed(&mut self, io: &mut Io<'_>, invite: ServerId) {
        let relay = self.relays.iter().find(|relay| relay.server == invite && !relay.ack_waits);
        if let Some(relay) = relay {
            io.transactions.cancel(io.now, relay.client, None);
        }
    }

    /// The call is over: what still waits for an answer gets one (RFC 3261 section 15.1.2).
    pub(super) fn drop_relays(&mut self, io: &mut Io<'_>) {
        for relay in std::mem::take(&mut self.relays) {
            if relay.ack_waits {
                io.transactions.acknowledge(relay.server);
            } else if let Ok(request) = Message::decode(&relay.request) {
                io.transactions.respond_simply(io.now, relay.server, &request, 487);
            }
        }
    }

    /// The ACK of a 2xx that we sent on `side`: the initial one, or that of a relayed INVITE.
    pub fn acknowledged(&mut self, io: &mut Io<'_>, side: Side, message: &Message<'_>) {
        let content = message.header(Name::ContentType);
        let waiting = self.relays.iter().position(|relay| relay.from == side && relay.ack_waits);
        if let Some(index) = waiting {
            let relay = self.relays.remove(index);
            io.transactions.acknowledge(relay.server);
            if let Some(dialog) = self.dialog(side.other()) {
                let flow = dialog.next_hop();
                let dialog = dialog.clone();
                let via = super::end::ack_via(io, &flow);
                io.transactions.ack(relay.client, flow, |out| {
                    let mut ack = dialog.begin(out, Method::Ack, &via, relay.cseq);
                    if let Some((name, value)) = &relay.credentials {
                        ack.header(*name, value);
                    }
                    if let Some(content) = content {
                        ack.header(Name::ContentType, content);
                    }
                    ack.finish(message.body);
                });
            }
            return;
        }
        if side == Side::A && !self.a.is_acknowledged {
            self.a.is_acknowledged = true;
            if let Opening::Taken(invite) = self.a.invite {
                io.transactions.acknowledge(invite);
            }
            if self.b.as_ref().is_some_and(|leg| leg.ack_waits) {
                self.ack_b(io, message.body, content);
            }
        }
    }

    /// One of our requests got no answer at all (408), or could not be sent (503).
    pub fn unanswered(&mut self, io: &mut Io<'_>, client: ClientId, status: u16) {
        if self.a.invite == Opening::Made(client) {
            if self.state == State::Calling {
                self.a.hung_up = true;
                self.note("the first phone does not answer");
                self.close(io, EndCause::Fault);
                self.arm(io);
            }
            return;
        }
        if self.turn_to(client) {
            if self.state == State::Ringing {
                self.failed(io, status, q850_of(status), None);
                self.arm(io);
            }
            return;
        }
        if let Some(index) = self.relays.iter().position(|relay| relay.client == client) {
            let relay = self.relays.remove(index);
            if let Ok(request) = Message::decode(&relay.request) {
                io.transactions.respond_simply(io.now, relay.server, &request, 408);
            }
            return self.cut(io, Ended::Dead(relay.from.other()));
        }
        let silent = self
            .refreshing
            .iter()
            .position(|out| out.as_ref().is_some_and(|(out, _)| *out == client));
        if let (State::Answered, Some(index)) = (self.state, silent) {
            self.cut(io, Ended::Dead(if index == 0 { Side::A } else { Side::B }));
        }
    }
}
