//! Third-party call control (RFC 3725 section 4.1, flow I): the VNO has a phone of its line called first; once that is
//! picked up, its offer goes to the other party, and the call is one like any other.

use std::collections::VecDeque;

use sip_protocol::dialog::new_call_id;
use sip_protocol::{ClientId, Dialog, Flow, Message, MessageWriter, Method, Millis, Name};
use smallvec::SmallVec;
use tandem_domain::charging::{CallParty, EndCause};
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{Identity, PeerId};

use super::{ALeg, Asked, Call, Io, Opening, RINGING_MAX, SILENCE_MAX, Side, State, Who};
use crate::circuit_switch::sip::headers;

/// The first phone may ring that long; the other party has until the first one's 200 is given up (64 × T1).
const PICK_UP_MAX: u64 = 60_000;
const ANSWER_MAX: u64 = 30_000;

/// A call that the VNO orders.
pub(in super::super) struct Order {
    /// Contact of the phone that is called first, and the way to it.
    pub uri: Box<[u8]>,
    pub flow: Flow,
    /// The access by which it registered.
    pub access: PeerId,
    pub identities: SmallVec<[Identity; 2]>,
    /// The line's own number.
    pub number: Option<Digits>,
    pub called: Digits,
}

/// Rings the first phone. None: its access takes no more calls.
pub(in super::super) fn originate(io: &mut Io<'_>, id: u64, order: Order) -> Option<Box<Call>> {
    if !io.trunks.admit(order.access, io.now, order.called) {
        return None;
    }
    let domain = &io.local.domain;
    let from = format!("<sip:+{}@{domain}>", order.called).into_bytes();
    let to = match order.number {
        Some(number) => format!("<sip:+{number}@{domain}>").into_bytes(),
        None => [b"<", order.uri.as_ref(), b">"].concat(),
    };
    let tag = Call::tag(id, Side::A, &mut io.transactions.tokens);
    let call_id = new_call_id(&mut io.transactions.tokens, &io.local.host);
    let mut dialog = Dialog::calling(&call_id, &tag, &from, &to, &order.uri, order.flow);
    dialog.keeps_flow = true;
    let contact = io.local.contact(&order.flow);
    let sent_by = io.local.sent_by(&order.flow).as_bytes();
    let client =
        io.transactions.request(io.now, order.flow, sent_by, Method::Invite, id, |via, out| {
            let mut invite = MessageWriter::request(out, Method::Invite, &order.uri);
            invite.header(Name::Via, via);
            invite.number(Name::MaxForwards, 70);
            invite.parts(b"From", &[&from, b";tag=", &tag]);
            invite.header(Name::To, &to);
            invite.header(Name::CallId, &call_id);
            invite.cseq(1, Method::Invite);
            invite.header(Name::Contact, contact);
            invite.header(Name::Allow, headers::ALLOW);
            invite.header(Name::UserAgent, headers::SERVER);
            invite.finish(&[]);
        });
    io.counts.placed += 1;
    let mut call = Box::new(Call {
        id,
        state: State::Calling,
        a: ALeg {
            invite: Opening::Made(client),
            request: Box::default(),
            essentials: Box::default(),
            introduction: Box::default(),
            has_offer: true,
            supports_timer: false,
            merge_key: 0,
            dialog,
            trunk: order.access,
            trusted: false,
            timer: None,
            allows_update: false,
            is_acknowledged: false,
            hung_up: false,
        },
        b: None,
        others: Vec::new(),
        phones_said: None,
        targets: VecDeque::new(),
        callee: None,
        meters: Vec::new(),
        called: order.called,
        dialled: None,
        routing: None,
        number: order.number,
        withholds_number: false,
        is_emergency: false,
        seconds_max: 0,
        placed: io.now,
        answered: None,
        alive_at: None,
        diversions: Vec::new(),
        relays: Vec::new(),
        forwards: 0,
        last_rseq: 0,
        trail: "ordered by the VNO".into(),
        last_refusal: None,
        line: None,
        refresh_at: [Millis(u64::MAX); 2],
        told: Default::default(),
        refreshing: [None, None],
        wake_at: Millis(0),
        deadline: io.now.plus(SILENCE_MAX),
        to_answer_in: None,
        who: Who { identities: order.identities, ..Who::default() },
        called_first: order.called,
        own_number: None,
        waiting: None,
        was_asked: false,
        redirects: 0,
        trying_at: None,
    });
    call.arm(io);
    Some(call)
}

impl Call {
    /// The first phone says something to our INVITE.
    pub fn answered_by_a(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        let status = message.status();
        if self.state != State::Calling {
            // It hung up on us, or we on it, while the answer was on its way; or a second phone answers too.
            let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
            let is_second =
                !self.a.dialog.remote_tag.is_empty() && *self.a.dialog.remote_tag != *tag;
            if (200..300).contains(&status)
                && (is_second || (self.state == State::Over && !self.a.hung_up))
            {
                Self::hang_up_stray(io, message, self.a.dialog.flow);
            }
            return;
        }
        match status {
            100..200 => self.deadline = self.placed.plus(PICK_UP_MAX),
            200..300 => self.picked_up(io, message),
            _ => {
                self.note(format_args!("the first phone refused: {status}"));
                self.a.hung_up = true;
                self.close(io, EndCause::Fault);
            }
        }
        self.arm(io);
    }

    fn picked_up(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        self.a.dialog.answered(message);
        self.a.allows_update = message.lists(Name::Allow, "UPDATE");
        if message.body.is_empty() {
            self.note("the first phone made no offer");
            return self.give_up(io, None);
        }
        self.a.request = self.as_if_it_called(io, message);
        self.state = State::Authorising;
        self.placed = io.now;
        self.deadline = io.now.plus(SILENCE_MAX);
        self.ask_to_place(io, CallParty::Caller(self.who.identities.clone()), Asked::Place);
    }

    /// The INVITE that the first phone would have sent: what the other leg is made from.
    fn as_if_it_called(&self, io: &Io<'_>, message: &Message<'_>) -> Box<[u8]> {
        let mut bytes = Vec::new();
        let uri = format!("sip:+{}@{}", self.called, io.local.domain);
        let contact = io.local.contact(&self.a.dialog.flow);
        let mut invite = MessageWriter::request(&mut bytes, Method::Invite, uri.as_bytes());
        invite.header(Name::Via, b"SIP/2.0/UDP invalid;branch=z9hG4bKnone");
        invite.number(Name::MaxForwards, 70);
        invite.parts(b"From", &[&self.a.dialog.remote, b";tag=", &self.a.dialog.remote_tag]);
        invite.parts(b"To", &[b"<", uri.as_bytes(), b">"]);
        invite.header(Name::CallId, &self.a.dialog.call_id);
        invite.cseq(1, Method::Invite);
        invite.header(Name::Contact, contact);
        headers::pass(message, &mut invite, false, &[]);
        invite.finish(message.body);
        bytes.into_boxed_slice()
    }

    /// What would be the answer to the caller's INVITE is, on this leg, the ACK of its 200, or its end.
    pub(super) fn answer_made(
        &mut self,
        io: &mut Io<'_>,
        client: ClientId,
        status: u16,
        body: &[u8],
        write: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        if status < 200 {
            return;
        }
        if self.state == State::Calling {
            self.a.hung_up = true;
            return io.transactions.cancel(io.now, client, None);
        }
        if self.a.hung_up || self.a.is_acknowledged {
            return;
        }
        let mut answer = Vec::new();
        let mut headers = MessageWriter::response(&mut answer, status);
        write(&mut headers);
        headers.finish(&[]);
        let lines = answer.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
        let mut content = lines.filter_map(|line| line.strip_prefix(b"Content-Type:"));
        let content = content.next().map(|kind| kind.trim_ascii().to_vec());
        let flow = self.a.dialog.next_hop();
        let via = super::end::ack_via(io, &flow);
        let dialog = &self.a.dialog;
        io.transactions.ack(client, flow, |out| {
            let mut ack = dialog.begin(out, Method::Ack, &via, 1);
            if let Some(content) = content.filter(|_| !body.is_empty()) {
                ack.header(Name::ContentType, &content);
            }
            ack.finish(body);
        });
        self.a.is_acknowledged = true;
        if status >= 300 {
            self.send_bye(io, Side::A, None);
        }
    }

    /// Neither party may keep the other waiting for longer than their transactions last.
    pub(super) fn ringing_max(&self) -> u64 {
        match self.a.invite {
            Opening::Made(_) => ANSWER_MAX,
            Opening::Taken(_) => RINGING_MAX,
        }
    }
}
