//! Signs of life: each leg's session timer is its own (RFC 4028), and a leg without one is asked all the same.

use sip_protocol::session_timer::{Refresher, SessionExpires};
use sip_protocol::{ClientId, Message, Method, Name};

use super::again::Credential;
use super::{Call, Ended, Io, Side, State};

impl Call {
    /// Our refresh was answered.
    pub(super) fn own_response(
        &mut self,
        io: &mut Io<'_>,
        side: Side,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let Some(cseq) = message.cseq() else { return };
        if cseq.method == b"INVITE" && (200..300).contains(&message.status()) {
            self.acknowledge_refresh(io, side, client, cseq.number);
        }
        let out = &mut self.refreshing[side as usize];
        if message.status() < 200 || !out.as_ref().is_some_and(|(out, _)| *out == client) {
            return;
        }
        let has_proved = out.take().is_some_and(|(_, credentials)| credentials.is_some());
        if self.state != State::Answered {
            return;
        }
        if !has_proved && let Some(credentials) = self.proof(io, side, message) {
            return self.refresh_as(io, side, Some(credentials));
        }
        if matches!(message.status(), 408 | 481) {
            return self.cut(io, Ended::Dead(side));
        }
        self.alive_at = None;
        self.refreshed(io.now, side);
        self.arm(io);
    }

    /// Is an offer of ours out on this leg?
    pub(super) fn offers_again(&self, side: Side) -> bool {
        self.refreshing[side as usize].is_some() && self.refresh_method(side) == Method::Invite
    }

    /// How a leg is asked for a sign of life. A session timer is renewed by UPDATE or by a re-INVITE that changes nothing;
    /// where there is none, OPTIONS tells as much.
    fn refresh_method(&self, side: Side) -> Method<'static> {
        let (allows_update, has_timer) = match side {
            Side::A => (self.a.allows_update, self.a.supports_timer),
            Side::B => {
                self.b.as_ref().map_or((false, false), |leg| (leg.allows_update, leg.has_timer))
            }
        };
        match (allows_update, has_timer && !self.told[side as usize].is_empty()) {
            (true, _) => Method::Update,
            (false, true) => Method::Invite,
            (false, false) => Method::Options,
        }
    }

    fn acknowledge_refresh(&mut self, io: &mut Io<'_>, side: Side, client: ClientId, cseq: u32) {
        let out = self.refreshing[side as usize].as_ref().filter(|(out, _)| *out == client);
        let credentials = out.and_then(|(_, credentials)| credentials.clone());
        let Some(dialog) = self.dialog(side) else { return };
        let flow = dialog.next_hop();
        let dialog = dialog.clone();
        let via = super::end::ack_via(io, &flow);
        io.transactions.ack(client, flow, |out| {
            let mut ack = dialog.begin(out, Method::Ack, &via, cseq);
            if let Some((name, value)) = &credentials {
                ack.header(*name, value);
            }
            ack.finish(&[]);
        });
    }

    /// Our turn to refresh, or the other side's silence: a sign of life is asked for, or the call is over.
    pub(super) fn refresh(&mut self, io: &mut Io<'_>, side: Side) {
        let Some(timer) = self.timer(side) else { return };
        if !timer.is_ours {
            return self.cut(io, Ended::Dead(side));
        }
        self.refresh_as(io, side, None);
    }

    fn refresh_as(&mut self, io: &mut Io<'_>, side: Side, credentials: Option<Credential>) {
        let Some(timer) = self.timer(side) else { return };
        let method = self.refresh_method(side);
        let id = self.id;
        let told = if method == Method::Invite {
            std::mem::take(&mut self.told[side as usize])
        } else {
            Box::default()
        };
        let Some(dialog) = self.dialog(side) else { return };
        let cseq = dialog.next_cseq();
        let flow = dialog.next_hop();
        let contact = io.local.contact(&flow);
        let sent_by = io.local.sent_by(&flow).as_bytes();
        // In a dialog the one who sends the request is the UAC of it.
        let value =
            SessionExpires { seconds: timer.seconds, refresher: Some(Refresher::Uac) }.to_value();
        let client = io.transactions.request(io.now, flow, sent_by, method, id, |via, out| {
            let mut request = dialog.begin(out, method, via, cseq);
            request.header(Name::Contact, contact);
            if let Some((name, value)) = &credentials {
                request.header(*name, value);
            }
            request.header(Name::Supported, b"timer");
            if method != Method::Options {
                request.header(Name::SessionExpires, value.as_bytes());
            }
            if !told.is_empty() {
                request.header(Name::ContentType, b"application/sdp");
            }
            request.finish(&told);
        });
        self.tell(side, &told);
        self.refreshing[side as usize] = Some((client, credentials));
        self.refreshed(io.now, side);
    }
}
