//! The peer state machine (RFC 6733 section 5.6) with the watchdog of RFC 3539, for one connection.
//!
//! Call order: feed every whole message to [`Peer::handle`], call [`Peer::on_timeout`] when
//! [`Peer::next_timeout`] has come, send what either appended to `out`. After [`Received::Close`] the
//! connection is to be closed and the machine dropped. Time is handed in as [`Millis`].

use std::net::IpAddr;

use crate::ResultCode;
use crate::code;
use crate::message::{Header, Message};
use crate::writer::{FailedAvp, Identity, MessageWriter, error_answer};

/// Monotonic milliseconds from any origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    pub const fn plus(self, millis: u64) -> Millis {
        Millis(self.0.saturating_add(millis))
    }
}

/// What we say of ourselves.
#[derive(Clone, Debug)]
pub struct LocalNode {
    pub host: String,
    pub realm: String,
    pub addresses: Vec<IpAddr>,
    pub product: String,
    /// Grows with every start that lost session state; ours survive, so it is the journal's first start.
    pub origin_state_id: u32,
}

impl LocalNode {
    pub fn identity(&self) -> Identity<'_> {
        Identity { host: &self.host, realm: &self.realm }
    }
}

/// Time limits in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For the first message of an accepted connection, and for CEA and DPA.
    pub handshake: u64,
    /// Tw of RFC 3539; the caller adds the jitter.
    pub watchdog: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { handshake: 10_000, watchdog: 30_000 }
    }
}

/// States of section 5.6 that a connection can be in once it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// R: accepted, CER not yet seen.
    WaitCer,
    /// R: CER seen; the owner decides.
    Deciding,
    /// I: CER sent (Wait-I-CEA).
    WaitCea,
    /// I-Open and R-Open.
    Open,
    /// DPR sent.
    Closing,
    /// DPA sent, the other side closes.
    Leaving,
    Closed,
}

/// RFC 3539 section 3.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watchdog {
    Okay,
    /// A DWR is unanswered.
    Pending,
    /// And another Tw has passed: requests should go elsewhere.
    Suspect,
}

/// Disconnect-Cause, AVP 273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    Rebooting,
    Busy,
    DoNotWantToTalkToYou,
}

/// What the other side said of itself in CER or CEA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub host: String,
    pub realm: String,
    pub origin_state_id: Option<u32>,
    pub is_relay: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Dealt with here.
    Handled,
    /// CER: call [`Peer::accept`] or [`Peer::reject`].
    Introduced(Capabilities),
    /// We are connected (CEA 2001).
    Opened(Capabilities),
    /// A request for the application.
    Request,
    /// An answer to one of our application requests, by its Hop-by-Hop.
    Answer,
    /// The other side wants to leave; DPA is written.
    Left(Option<DisconnectCause>),
    Close(CloseReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The first message was not what it has to be.
    NotIntroduced,
    HandshakeTimeout,
    Refused(ResultCode),
    WatchdogFailed,
    Disconnected,
}

#[derive(Debug)]
pub struct Peer {
    local: LocalNode,
    timing: Timing,
    state: State,
    watchdog: Watchdog,
    deadline: Millis,
    introduction: Option<Header>,
    next_hop_by_hop: u32,
    next_end_to_end: u32,
}

impl Peer {
    /// For a connection that was accepted.
    pub fn responder(local: LocalNode, timing: Timing, first_identifier: u32, now: Millis) -> Peer {
        Peer::new(local, timing, State::WaitCer, first_identifier, now)
    }

    /// For a connection that was opened; writes the CER.
    pub fn initiator(
        local: LocalNode,
        timing: Timing,
        first_identifier: u32,
        now: Millis,
        out: &mut Vec<u8>,
    ) -> Peer {
        let mut peer = Peer::new(local, timing, State::WaitCea, first_identifier, now);
        let (hop_by_hop, end_to_end) = peer.identifiers();
        let mut cer = MessageWriter::request(
            out,
            code::COMMAND_CAPABILITIES_EXCHANGE,
            0,
            hop_by_hop,
            end_to_end,
        );
        peer.put_capabilities(&mut cer);
        cer.finish();
        peer
    }

    fn new(
        local: LocalNode,
        timing: Timing,
        state: State,
        first_identifier: u32,
        now: Millis,
    ) -> Peer {
        Peer {
            local,
            timing,
            state,
            watchdog: Watchdog::Okay,
            deadline: now.plus(timing.handshake),
            introduction: None,
            next_hop_by_hop: first_identifier,
            next_end_to_end: first_identifier,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn local(&self) -> &LocalNode {
        &self.local
    }

    /// Requests should go to another peer while this one does not answer its watchdog.
    pub fn is_suspect(&self) -> bool {
        self.watchdog == Watchdog::Suspect
    }

    /// Fresh Hop-by-Hop and End-to-End identifiers for a request of ours.
    pub fn identifiers(&mut self) -> (u32, u32) {
        let pair = (self.next_hop_by_hop, self.next_end_to_end);
        self.next_hop_by_hop = self.next_hop_by_hop.wrapping_add(1);
        self.next_end_to_end = self.next_end_to_end.wrapping_add(1);
        pair
    }

    pub fn next_timeout(&self) -> Millis {
        self.deadline
    }

    pub fn handle(&mut self, now: Millis, message: &Message<'_>, out: &mut Vec<u8>) -> Received {
        let header = message.header;
        if self.state == State::Open {
            // Anything heard shows that the peer lives (RFC 3539 section 3.4.1).
            self.deadline = now.plus(self.timing.watchdog);
            self.watchdog = Watchdog::Okay;
        }
        match (self.state, header.command, header.is_request()) {
            (State::WaitCer, code::COMMAND_CAPABILITIES_EXCHANGE, true) => {
                self.introduced(message, out)
            }
            (State::WaitCea, code::COMMAND_CAPABILITIES_EXCHANGE, false) => {
                self.answered(now, message)
            }
            (State::WaitCer | State::WaitCea | State::Deciding, ..) => {
                self.close(CloseReason::NotIntroduced)
            }
            (State::Closed, ..) => Received::Close(CloseReason::Disconnected),
            (State::Closing, code::COMMAND_DISCONNECT_PEER, false) => {
                self.close(CloseReason::Disconnected)
            }
            (_, code::COMMAND_DEVICE_WATCHDOG, true) => {
                let mut answer = MessageWriter::answer(out, &header, ResultCode::SUCCESS);
                answer.u32(code::RESULT_CODE, ResultCode::SUCCESS.0);
                self.put_origin(&mut answer);
                answer.u32(code::ORIGIN_STATE_ID, self.local.origin_state_id);
                answer.finish();
                Received::Handled
            }
            (_, code::COMMAND_DEVICE_WATCHDOG, false) => Received::Handled,
            (State::Open, code::COMMAND_DISCONNECT_PEER, true) => self.left(now, message, out),
            // A second CER on an open connection (section 5.6.4 leaves it to us): say again what we are.
            (State::Open, code::COMMAND_CAPABILITIES_EXCHANGE, true) => {
                self.write_cea(&header, ResultCode::SUCCESS, None, out);
                Received::Handled
            }
            (_, _, true) if header.application == code::APPLICATION_BASE => {
                self.refuse(message, ResultCode::COMMAND_UNSUPPORTED, out);
                Received::Handled
            }
            (State::Open, _, true) => Received::Request,
            (State::Open | State::Closing | State::Leaving, _, false) => Received::Answer,
            // While parting, new requests are sent to somebody else.
            (State::Closing | State::Leaving, _, true) => {
                self.refuse(message, ResultCode::UNABLE_TO_DELIVER, out);
                Received::Handled
            }
        }
    }

    /// Answers a request with an error.
    pub fn refuse(&self, message: &Message<'_>, result: ResultCode, out: &mut Vec<u8>) {
        error_answer(
            out,
            &message.header,
            Some(message),
            self.local.identity(),
            result,
            None,
            None,
        );
    }

    fn introduced(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Received {
        self.introduction = Some(message.header);
        let Some(capabilities) = capabilities(message) else {
            let missing = if message.avp(code::ORIGIN_HOST).is_none() {
                code::ORIGIN_HOST
            } else {
                code::ORIGIN_REALM
            };
            self.write_cea(
                &message.header,
                ResultCode::MISSING_AVP,
                Some(FailedAvp::Missing(missing)),
                out,
            );
            return self.close(CloseReason::Refused(ResultCode::MISSING_AVP));
        };
        if !has_common_application(message) {
            return self.reject(ResultCode::NO_COMMON_APPLICATION, out);
        }
        self.state = State::Deciding;
        Received::Introduced(capabilities)
    }

    /// The peer in [`Received::Introduced`] may talk to us.
    pub fn accept(&mut self, now: Millis, out: &mut Vec<u8>) {
        if let Some(cer) = self.introduction.take() {
            self.write_cea(&cer, ResultCode::SUCCESS, None, out);
            self.state = State::Open;
            self.deadline = now.plus(self.timing.watchdog);
        }
    }

    /// The peer may not talk to us: 3010 for one we do not know, 5017 for one that has to use TLS.
    pub fn reject(&mut self, result: ResultCode, out: &mut Vec<u8>) -> Received {
        if let Some(cer) = self.introduction.take() {
            self.write_cea(&cer, result, None, out);
        }
        self.close(CloseReason::Refused(result))
    }

    fn answered(&mut self, now: Millis, message: &Message<'_>) -> Received {
        let result = message.avp(code::RESULT_CODE).and_then(|avp| avp.u32().ok()).map(ResultCode);
        match (result, capabilities(message)) {
            (Some(result), Some(capabilities)) if result.is_success() => {
                self.state = State::Open;
                self.deadline = now.plus(self.timing.watchdog);
                Received::Opened(capabilities)
            }
            (result, _) => {
                self.close(CloseReason::Refused(result.unwrap_or(ResultCode::MISSING_AVP)))
            }
        }
    }

    fn left(&mut self, now: Millis, message: &Message<'_>, out: &mut Vec<u8>) -> Received {
        let mut answer = MessageWriter::answer(out, &message.header, ResultCode::SUCCESS);
        answer.u32(code::RESULT_CODE, ResultCode::SUCCESS.0);
        self.put_origin(&mut answer);
        answer.finish();
        self.state = State::Leaving;
        self.deadline = now.plus(self.timing.handshake);
        let cause = message.avp(code::DISCONNECT_CAUSE).and_then(|avp| avp.u32().ok());
        Received::Left(cause.and_then(|cause| match cause {
            0 => Some(DisconnectCause::Rebooting),
            1 => Some(DisconnectCause::Busy),
            2 => Some(DisconnectCause::DoNotWantToTalkToYou),
            _ => None,
        }))
    }

    /// Says good-bye (DPR); the connection closes when the answer has come or the time is up.
    pub fn disconnect(&mut self, now: Millis, cause: DisconnectCause, out: &mut Vec<u8>) {
        if self.state != State::Open {
            return;
        }
        let (hop_by_hop, end_to_end) = self.identifiers();
        let mut dpr =
            MessageWriter::request(out, code::COMMAND_DISCONNECT_PEER, 0, hop_by_hop, end_to_end);
        self.put_origin(&mut dpr);
        dpr.u32(code::DISCONNECT_CAUSE, cause as u32);
        dpr.finish();
        self.state = State::Closing;
        self.deadline = now.plus(self.timing.handshake);
    }

    /// To be called when [`Peer::next_timeout`] has come.
    pub fn on_timeout(&mut self, now: Millis, out: &mut Vec<u8>) -> Received {
        if now < self.deadline {
            return Received::Handled;
        }
        match (self.state, self.watchdog) {
            (State::WaitCer | State::WaitCea | State::Deciding, _) => {
                self.close(CloseReason::HandshakeTimeout)
            }
            (State::Closing | State::Leaving | State::Closed, _) => {
                self.close(CloseReason::Disconnected)
            }
            (State::Open, Watchdog::Okay) => {
                let (hop_by_hop, end_to_end) = self.identifiers();
                let mut dwr = MessageWriter::request(
                    out,
                    code::COMMAND_DEVICE_WATCHDOG,
                    0,
                    hop_by_hop,
                    end_to_end,
                );
                self.put_origin(&mut dwr);
                dwr.u32(code::ORIGIN_STATE_ID, self.local.origin_state_id);
                dwr.finish();
                self.watchdog = Watchdog::Pending;
                self.deadline = now.plus(self.timing.watchdog);
                Received::Handled
            }
            (State::Open, Watchdog::Pending) => {
                self.watchdog = Watchdog::Suspect;
                self.deadline = now.plus(self.timing.watchdog);
                Received::Handled
            }
            (State::Open, Watchdog::Suspect) => self.close(CloseReason::WatchdogFailed),
        }
    }

    fn close(&mut self, reason: CloseReason) -> Received {
        self.state = State::Closed;
        Received::Close(reason)
    }

    fn put_origin(&self, message: &mut MessageWriter<'_>) {
        message.text(code::ORIGIN_HOST, &self.local.host);
        message.text(code::ORIGIN_REALM, &self.local.realm);
    }

    fn write_cea(
        &self,
        cer: &Header,
        result: ResultCode,
        failed: Option<FailedAvp<'_>>,
        out: &mut Vec<u8>,
    ) {
        let mut cea = MessageWriter::answer(out, cer, result);
        cea.u32(code::RESULT_CODE, result.0);
        self.put_capabilities(&mut cea);
        if let Some(failed) = &failed {
            cea.failed_avp(failed);
        }
        cea.finish();
    }

    /// Clients differ in where they look for the application: it is said in every place that is allowed.
    fn put_capabilities(&self, message: &mut MessageWriter<'_>) {
        self.put_origin(message);
        for address in &self.local.addresses {
            message.ip(code::HOST_IP_ADDRESS, *address);
        }
        message.u32(code::VENDOR_ID, 0);
        message.text(code::PRODUCT_NAME, &self.local.product);
        message.u32(code::ORIGIN_STATE_ID, self.local.origin_state_id);
        message.u32(code::SUPPORTED_VENDOR_ID, code::VENDOR_3GPP);
        message.u32(code::AUTH_APPLICATION_ID, code::APPLICATION_CREDIT_CONTROL);
        message.u32(code::INBAND_SECURITY_ID, 0);
        message.group(code::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
            group.u32(code::VENDOR_ID, code::VENDOR_3GPP);
            group.u32(code::AUTH_APPLICATION_ID, code::APPLICATION_CREDIT_CONTROL);
        });
        message.u32(code::FIRMWARE_REVISION, 1);
    }
}

/// Both connected at once: does the connection that we opened survive? (Section 5.6.4: the higher host keeps
/// the one it accepted.)
pub fn keeps_opened_connection(local_host: &str, remote_host: &str) -> bool {
    local_host.to_ascii_lowercase().as_bytes() < remote_host.to_ascii_lowercase().as_bytes()
}

fn capabilities(message: &Message<'_>) -> Option<Capabilities> {
    let text =
        |code| message.avp(code).and_then(|avp| avp.text().ok()).filter(|text| !text.is_empty());
    let origin_state = message.avp(code::ORIGIN_STATE_ID).and_then(|avp| avp.u32().ok());
    Some(Capabilities {
        host: text(code::ORIGIN_HOST)?.to_ascii_lowercase(),
        realm: text(code::ORIGIN_REALM)?.to_ascii_lowercase(),
        origin_state_id: origin_state,
        is_relay: applications(message).any(|application| application == code::APPLICATION_RELAY),
    })
}

fn applications<'a>(message: &Message<'a>) -> impl Iterator<Item = u32> + 'a {
    let is_application =
        |code| code == code::AUTH_APPLICATION_ID || code == code::ACCT_APPLICATION_ID;
    message
        .avps()
        .map_while(Result::ok)
        .flat_map(move |avp| {
            let inside = (avp.code == code::VENDOR_SPECIFIC_APPLICATION_ID).then(|| avp.members());
            let inside = inside.into_iter().flatten().map_while(Result::ok);
            let own = is_application(avp.code).then_some(avp);
            own.into_iter().chain(inside.filter(move |avp| is_application(avp.code)))
        })
        .filter_map(|avp| avp.u32().ok())
}

fn has_common_application(message: &Message<'_>) -> bool {
    applications(message).any(|application| {
        matches!(application, code::APPLICATION_CREDIT_CONTROL | code::APPLICATION_RELAY)
    })
}
