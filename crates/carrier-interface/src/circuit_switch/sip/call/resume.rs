//! What of a running call is kept with its charging session, so that another process can take it up again.

use std::collections::VecDeque;
use std::net::SocketAddr;

use minicbor::{Decode, Encode};
use sip_protocol::session_timer::SessionTimer;
use sip_protocol::{ClientId, Dialog, Flow, Millis, ServerId, Transport};
use tandem_domain::charging::Session;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::PeerId;

use super::{ALeg, BLeg, Call, Io, Meter, Opening, Side, State, Who};

#[derive(Encode, Decode)]
struct Note<'a> {
    #[b(0)]
    a: Leg<'a>,
    #[b(1)]
    b: Leg<'a>,
    /// Wall clock, milliseconds.
    #[n(2)]
    answered: i64,
    #[n(3)]
    seconds_max: u32,
}

#[derive(Encode, Decode)]
struct Leg<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    call_id: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    local_tag: &'a [u8],
    #[cbor(b(2), with = "minicbor::bytes")]
    remote_tag: &'a [u8],
    #[cbor(b(3), with = "minicbor::bytes")]
    local: &'a [u8],
    #[cbor(b(4), with = "minicbor::bytes")]
    remote: &'a [u8],
    #[cbor(b(5), with = "minicbor::bytes")]
    target: &'a [u8],
    #[b(6)]
    routes: Vec<&'a minicbor::bytes::ByteSlice>,
    #[n(7)]
    local_cseq: u32,
    #[n(8)]
    remote_cseq: u32,
    #[n(9)]
    transport: u8,
    #[n(10)]
    remote_address: String,
    #[n(11)]
    trunk: Option<PeerId>,
    #[n(12)]
    session_seconds: u32,
    #[n(13)]
    refreshes: bool,
    #[n(14)]
    allows_update: bool,
}

fn leg(
    dialog: &Dialog,
    trunk: Option<PeerId>,
    timer: Option<SessionTimer>,
    allows_update: bool,
) -> Leg<'_> {
    Leg {
        call_id: &dialog.call_id,
        local_tag: &dialog.local_tag,
        remote_tag: &dialog.remote_tag,
        local: &dialog.local,
        remote: &dialog.remote,
        target: &dialog.target,
        routes: dialog.routes.iter().map(|route| route.as_ref().into()).collect(),
        local_cseq: dialog.local_cseq,
        remote_cseq: dialog.remote_cseq,
        transport: dialog.flow.transport as u8,
        remote_address: dialog.flow.remote.to_string(),
        trunk,
        session_seconds: timer.map_or(0, |timer| timer.seconds),
        refreshes: timer.is_some_and(|timer| timer.is_ours),
        allows_update,
    }
}

impl Leg<'_> {
    fn dialog(&self, elapsed_seconds: u32, keeps_flow: bool) -> Option<Dialog> {
        let transport = match self.transport {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            _ => Transport::Tls,
        };
        let remote: SocketAddr = self.remote_address.parse().ok()?;
        Some(Dialog {
            call_id: self.call_id.into(),
            local_tag: self.local_tag.into(),
            remote_tag: self.remote_tag.into(),
            local: self.local.into(),
            remote: self.remote.into(),
            target: self.target.into(),
            routes: self.routes.iter().map(|route| (***route).into()).collect(),
            // Requests sent since are not known: far enough ahead, and still in order however often this happens.
            local_cseq: self.local_cseq.saturating_add(1000 + elapsed_seconds),
            remote_cseq: self.remote_cseq,
            flow: Flow { transport, remote, channel: 0 },
            keeps_flow,
        })
    }

    fn timer(&self) -> Option<SessionTimer> {
        let seconds = self.session_seconds;
        (seconds > 0).then_some(SessionTimer { seconds, is_ours: self.refreshes })
    }
}

/// The call as it can be taken up again.
pub(in super::super) fn note(call: &Call) -> Option<Box<[u8]>> {
    let b = call.b.as_ref()?;
    let answered = call.answered?;
    let note = Note {
        a: leg(&call.a.dialog, Some(call.a.trunk), call.a.timer, call.a.allows_update),
        b: leg(&b.dialog, b.trunk, b.timer, b.allows_update),
        answered: answered.0 as i64,
        seconds_max: call.seconds_max,
    };
    let mut written = Vec::with_capacity(512);
    minicbor::encode(&note, &mut written).ok()?;
    Some(written.into_boxed_slice())
}

/// The caller's tag of the call behind a charging session; sessions of one call share it.
pub(in super::super) fn tag(session: &Session) -> Option<Vec<u8>> {
    let note: Note<'_> = minicbor::decode(session.note.as_deref()?).ok()?;
    Some(note.a.local_tag.to_vec())
}

/// What is left of a charging session when its call is taken up again.
pub(in super::super) fn meter(session: &Session) -> Meter {
    let last = session.answers.iter().map(|given| given.number).max().unwrap_or(0);
    let (used, granted) =
        session.groups.first().map_or((0, 0), |group| (group.used, group.granted));
    Meter::resumed(&session.key, session.peer, last, used, granted)
}

/// The call behind a charging session; the process before this one lived at least until `alive_at`. Our tags name its old place: the new one learns them.
pub(in super::super) fn resume(
    io: &mut Io<'_>,
    id: u64,
    session: &Session,
    alive_at: Millis,
) -> Option<Box<Call>> {
    let note: Note<'_> = minicbor::decode(session.note.as_deref()?).ok()?;
    let answered = u64::try_from(note.answered).ok().map(Millis);
    let elapsed = answered.map_or(0, |answered| io.now.since(answered) / 1000);
    let elapsed = u32::try_from(elapsed).unwrap_or(0);
    let from_phone = note.a.trunk.is_some_and(|trunk| io.trunks.is_access(trunk));
    let a = note.a.dialog(elapsed, from_phone)?;
    let b = note.b.dialog(elapsed, note.b.trunk.is_none())?;
    let mut call = Box::new(Call {
        id,
        state: State::Answered,
        a: ALeg {
            invite: Opening::Taken(ServerId(0)),
            request: Box::default(),
            essentials: Box::default(),
            introduction: Box::default(),
            has_offer: true,
            supports_timer: false,
            merge_key: 0,
            dialog: a,
            trunk: note.a.trunk?,
            trusted: false,
            timer: note.a.timer(),
            allows_update: note.a.allows_update,
            is_acknowledged: true,
            hung_up: false,
        },
        b: Some(BLeg {
            invite: ClientId(0),
            dialog: b,
            trunk: note.b.trunk,
            trusted: false,
            started: io.now,
            rang: true,
            timer: note.b.timer(),
            allows_update: note.b.allows_update,
            ack_waits: false,
            rseq_shift: None,
            has_timer: false,
            media_until: None,
            tried: None,
        }),
        others: Vec::new(),
        phones_said: None,
        targets: VecDeque::new(),
        callee: None,
        meters: vec![meter(session)],
        called: session.context.destination.unwrap_or_default(),
        dialled: None,
        routing: None,
        number: None,
        withholds_number: false,
        is_emergency: session.context.is_emergency,
        seconds_max: note.seconds_max,
        placed: io.now,
        answered,
        alive_at: Some(alive_at),
        diversions: Vec::new(),
        relays: Vec::new(),
        forwards: 0,
        last_rseq: 0,
        trail: "taken up again after a restart".into(),
        last_refusal: None,
        line: Some(session.line),
        refresh_at: [Millis(u64::MAX); 2],
        told: Default::default(),
        refreshing: [None, None],
        wake_at: Millis(0),
        deadline: Millis(u64::MAX),
        to_answer_in: None,
        who: Who::default(),
        called_first: Digits::default(),
        own_number: None,
        waiting: None,
        was_asked: true,
        redirects: 0,
        trying_at: None,
    });
    // Each leg is asked for a sign of life at once: a call that ended meanwhile ends here too.
    for side in [Side::A, Side::B] {
        call.refresh_at[side as usize] = io.now.plus(500);
        if let Some(dialog) = call.dialog(side)
            && dialog.remote_tag.is_empty()
        {
            return None;
        }
    }
    io.trunks.occupy(call.a.trunk);
    if let Some(trunk) = note.b.trunk {
        io.trunks.occupy(trunk);
    }
    call.arm(io);
    Some(call)
}
