//! How calls end: by either side, by the money, by order, by silence.

use sip_protocol::{Dialog, Message, MessageWriter, Method, Name, ServerId};
use tandem_domain::charging::EndCause;
use tandem_domain::identifier::PeerId;

use super::{Call, Io, Side, State};
use crate::circuit_switch::sip::headers;
use crate::circuit_switch::sip::refusals::{self, Refusal};

/// Why we end a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ended {
    NoCredit,
    TooLong,
    ByOrder,
    /// A leg did not answer for its session any more.
    Dead(Side),
}

impl Ended {
    fn reason(self) -> Vec<u8> {
        match self {
            Ended::NoCredit => headers::reason(31, "credit exhausted"),
            Ended::TooLong => headers::reason(31, "maximum duration"),
            Ended::ByOrder => headers::reason(31, "ended by the operator"),
            Ended::Dead(_) => headers::reason(102, "the other side is lost"),
        }
    }

    fn cause(self) -> EndCause {
        match self {
            Ended::NoCredit | Ended::TooLong => EndCause::Normal,
            Ended::ByOrder => EndCause::Administrative,
            Ended::Dead(_) => EndCause::Lost,
        }
    }
}

impl Call {
    /// One side hung up.
    pub fn bye(&mut self, io: &mut Io<'_>, side: Side, server: ServerId, message: &Message<'_>) {
        io.transactions.respond_simply(io.now, server, message, 200);
        if self.state == State::Over {
            return;
        }
        let reason = message.header(Name::Reason).map(<[u8]>::to_vec);
        self.a.hung_up |= side == Side::A;
        if self.answered.is_none() {
            // A BYE in an early dialog (section 15): the caller gives up.
            self.refuse_a(io, refusals::CANCELLED);
            self.cancel_b(io, None);
        } else {
            self.send_bye(io, side.other(), reason.as_deref());
        }
        io.counts.ended += 1;
        self.note(if side == Side::A { "ended by the caller" } else { "ended by the called" });
        self.close(io, EndCause::Normal);
        self.arm(io);
    }

    /// We end the running call on both legs.
    pub fn cut(&mut self, io: &mut Io<'_>, why: Ended) {
        let reason = why.reason();
        match self.state {
            State::Over => return,
            State::Answered => {
                for side in [Side::A, Side::B] {
                    if why != Ended::Dead(side) {
                        self.send_bye(io, side, Some(&reason));
                    }
                }
            }
            _ => {
                self.cancel_b(io, Some(&reason));
                self.refuse_a(io, refusals::BY_THE_VNO);
            }
        }
        io.counts.cut += 1;
        self.note(match why {
            Ended::NoCredit => "cut: credit exhausted",
            Ended::TooLong => "cut: maximum duration",
            Ended::ByOrder => "cut by order",
            Ended::Dead(_) => "ended: a side is lost",
        });
        self.close(io, why.cause());
        self.arm(io);
    }

    pub(super) fn send_bye(&mut self, io: &mut Io<'_>, side: Side, reason: Option<&[u8]>) {
        let id = self.id;
        let trunk = self.trunk(side);
        let Some(dialog) = self.dialog(side) else { return };
        if dialog.remote_tag.is_empty() {
            return;
        }
        let cseq = dialog.next_cseq();
        let flow = dialog.next_hop();
        let sent_by = io.local.sent_by(&flow).as_bytes();
        let client = io.transactions.request(io.now, flow, sent_by, Method::Bye, id, |via, out| {
            let mut bye = dialog.begin(out, Method::Bye, via, cseq);
            if let Some(reason) = reason {
                bye.header(Name::Reason, reason);
            }
            bye.finish(&[]);
        });
        if let Some(trunk) = trunk.filter(|trunk| io.trunks.login(*trunk).is_some()) {
            io.byes.insert(client, (trunk, dialog.clone()));
        }
    }

    /// A switch asks who sends the BYE: it is told, once.
    pub(in super::super) fn bye_again(
        io: &mut Io<'_>,
        peer: PeerId,
        mut dialog: Dialog,
        owner: u64,
        message: &Message<'_>,
    ) {
        let flow = dialog.next_hop();
        let target = dialog.target.clone();
        let proof = super::again::proof(io, peer, Method::Bye, &target, message);
        let Some((name, value)) = proof else { return };
        let cseq = dialog.next_cseq();
        let sent_by = io.local.sent_by(&flow).as_bytes();
        io.transactions.request(io.now, flow, sent_by, Method::Bye, owner, |via, out| {
            let mut bye = dialog.begin(out, Method::Bye, via, cseq);
            bye.header(name, &value);
            bye.finish(&[]);
        });
    }

    /// There is no way left: the caller hears why.
    pub(in super::super) fn give_up(&mut self, io: &mut Io<'_>, refusal: Option<Refusal>) {
        let refusal = refusal.or(self.last_refusal).unwrap_or(refusals::NO_ROUTE);
        self.refuse_a(io, refusal);
        self.close(io, EndCause::Fault);
        self.arm(io);
    }

    /// The process ends: what is not answered yet is given up.
    pub fn leave(&mut self, io: &mut Io<'_>) {
        if !matches!(self.state, State::Answered | State::Over) {
            self.cancel_b(io, None);
            self.note("given up: the switch stops");
            self.give_up(io, Some(refusals::OVERLOADED));
        }
    }

    /// Gives up the INVITEs that are out.
    pub(super) fn cancel_b(&mut self, io: &mut Io<'_>, reason: Option<&[u8]>) {
        if let Some(leg) = &self.b {
            io.transactions.cancel(io.now, leg.invite, reason);
        }
        self.cancel_others(io, reason);
    }

    /// An ACK for a 2xx, and a BYE behind it: nobody waits for this answer any more.
    pub(in super::super) fn hang_up_stray(
        io: &mut Io<'_>,
        response: &Message<'_>,
        flow: sip_protocol::Flow,
    ) {
        let (Some(from), Some(to), Some(contact)) =
            (response.from(), response.to(), response.contact())
        else {
            return;
        };
        let mut dialog = sip_protocol::Dialog::calling(
            response.call_id(),
            from.tag().unwrap_or_default(),
            &from.without_params(),
            &to.without_params(),
            contact.uri,
            flow,
        );
        dialog.keeps_flow = io.trunks.source(&flow).is_some_and(|source| source.trunk.is_access);
        dialog.answered(response);
        let invite_cseq = response.cseq().map_or(1, |cseq| cseq.number);
        dialog.local_cseq = invite_cseq;
        let flow = dialog.next_hop();
        let sent_by = io.local.sent_by(&flow).as_bytes();
        let via = ack_via(io, &flow);
        io.transactions.send(flow, |out| {
            let ack = dialog.begin(out, Method::Ack, &via, invite_cseq);
            ack.finish(&[]);
        });
        let cseq = dialog.next_cseq();
        io.transactions.request(io.now, flow, sent_by, Method::Bye, 0, |via, out| {
            let bye: MessageWriter<'_> = dialog.begin(out, Method::Bye, via, cseq);
            bye.finish(&[]);
        });
    }
}

/// An ACK for a 2xx is a transaction of its own.
pub(super) fn ack_via(io: &mut Io<'_>, flow: &sip_protocol::Flow) -> Vec<u8> {
    let token = io.transactions.tokens.token();
    let mut via = format!(
        "SIP/2.0/{} {};rport;branch=z9hG4bKack",
        flow.transport.name(),
        io.local.sent_by(flow)
    )
    .into_bytes();
    via.extend_from_slice(&token);
    via
}
