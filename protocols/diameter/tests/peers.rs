//! Two peers in one loop with their own time.

use diameter_protocol::message::Message;
use diameter_protocol::peer::{
    CloseReason, DisconnectCause, LocalNode, Millis, Peer, Received, State, Timing,
    keeps_opened_connection,
};
use diameter_protocol::{Framer, MessageWriter, ResultCode, code};

fn node(host: &str) -> LocalNode {
    LocalNode {
        host: host.into(),
        realm: "example".into(),
        addresses: vec!["127.0.0.1".parse().expect("an address")],
        product: "test".into(),
        origin_state_id: 3,
    }
}

/// Feeds all messages to a peer; returns what it made of them.
fn feed(peer: &mut Peer, now: Millis, bytes: &[u8], out: &mut Vec<u8>) -> Vec<Received> {
    let mut received = Vec::new();
    let mut rest = bytes;
    while let Ok(Some(length)) = Framer::default().front(rest) {
        let message = Message::decode(&rest[..length]).expect("a message");
        received.push(peer.handle(now, &message, out));
        rest = &rest[length..];
    }
    received
}

/// A gateway and a server that know each other.
fn introduced() -> (Peer, Peer) {
    let (mut to_server, mut to_gateway) = (Vec::new(), Vec::new());
    let mut gateway =
        Peer::initiator(node("pgw.example"), Timing::default(), 1, Millis(0), &mut to_server);
    let mut server = Peer::responder(node("ocs.example"), Timing::default(), 1, Millis(0));
    let received = feed(&mut server, Millis(1), &to_server, &mut to_gateway);
    assert!(
        matches!(&received[..], [Received::Introduced(who)] if who.host == "pgw.example" && who.origin_state_id == Some(3))
    );
    server.accept(Millis(1), &mut to_gateway);
    let received = feed(&mut gateway, Millis(2), &to_gateway, &mut Vec::new());
    assert!(matches!(&received[..], [Received::Opened(who)] if who.host == "ocs.example"));
    (gateway, server)
}

#[test]
fn two_peers_introduce_themselves_and_part() {
    let (mut gateway, mut server) = introduced();
    assert_eq!((gateway.state(), server.state()), (State::Open, State::Open));
    let (mut dpr, mut dpa) = (Vec::new(), Vec::new());
    gateway.disconnect(Millis(3), DisconnectCause::Rebooting, &mut dpr);
    assert_eq!(
        feed(&mut server, Millis(4), &dpr, &mut dpa),
        [Received::Left(Some(DisconnectCause::Rebooting))]
    );
    assert_eq!(
        feed(&mut gateway, Millis(5), &dpa, &mut Vec::new()),
        [Received::Close(CloseReason::Disconnected)]
    );
}

#[test]
fn a_silent_peer_is_asked_then_suspected_then_left() {
    let (mut gateway, mut server) = introduced();
    let mut out = Vec::new();
    let first = server.next_timeout();
    assert_eq!(server.on_timeout(first, &mut out), Received::Handled);
    assert!(!out.is_empty(), "a watchdog request");
    // A peer that answers is in good standing again.
    let mut answer = Vec::new();
    feed(&mut gateway, first, &out, &mut answer);
    assert_eq!(feed(&mut server, first, &answer, &mut Vec::new()), [Received::Handled]);
    for expected in [false, true] {
        let at = server.next_timeout();
        assert_eq!(server.on_timeout(at, &mut Vec::new()), Received::Handled);
        assert_eq!(server.is_suspect(), expected);
    }
    let at = server.next_timeout();
    assert_eq!(
        server.on_timeout(at, &mut Vec::new()),
        Received::Close(CloseReason::WatchdogFailed)
    );
}

#[test]
fn the_first_message_has_to_be_an_introduction() {
    let mut server = Peer::responder(node("ocs.example"), Timing::default(), 1, Millis(0));
    let mut dwr = Vec::new();
    MessageWriter::request(&mut dwr, code::COMMAND_DEVICE_WATCHDOG, 0, 1, 1).finish();
    let mut out = Vec::new();
    assert_eq!(
        feed(&mut server, Millis(1), &dwr, &mut out),
        [Received::Close(CloseReason::NotIntroduced)]
    );
    assert!(out.is_empty());
    let mut late = Peer::responder(node("ocs.example"), Timing::default(), 1, Millis(0));
    assert_eq!(late.on_timeout(Millis(9_999), &mut out), Received::Handled);
    assert_eq!(
        late.on_timeout(Millis(10_000), &mut out),
        Received::Close(CloseReason::HandshakeTimeout)
    );
}

#[test]
fn strangers_and_those_without_a_common_application_are_refused() {
    let mut cer = Vec::new();
    Peer::initiator(node("pgw.example"), Timing::default(), 1, Millis(0), &mut cer);
    let mut server = Peer::responder(node("ocs.example"), Timing::default(), 1, Millis(0));
    let mut out = Vec::new();
    feed(&mut server, Millis(1), &cer, &mut out);
    let refused = server.reject(ResultCode::UNKNOWN_PEER, &mut out);
    assert_eq!(refused, Received::Close(CloseReason::Refused(ResultCode::UNKNOWN_PEER)));
    let answer = Message::decode(&out).expect("a CEA");
    assert_eq!(answer.avp(code::RESULT_CODE).and_then(|avp| avp.u32().ok()), Some(3010));

    let mut cer = Vec::new();
    let mut message =
        MessageWriter::request(&mut cer, code::COMMAND_CAPABILITIES_EXCHANGE, 0, 1, 1);
    message.text(code::ORIGIN_HOST, "hss.example");
    message.text(code::ORIGIN_REALM, "example");
    message.u32(code::AUTH_APPLICATION_ID, 16_777_251);
    message.finish();
    let mut server = Peer::responder(node("ocs.example"), Timing::default(), 1, Millis(0));
    let refused = feed(&mut server, Millis(1), &cer, &mut Vec::new());
    assert_eq!(refused, [Received::Close(CloseReason::Refused(ResultCode::NO_COMMON_APPLICATION))]);
}

#[test]
fn unknown_base_commands_are_answered_and_disturb_nothing() {
    let (_, mut server) = introduced();
    let mut request = Vec::new();
    MessageWriter::request(&mut request, 999, 0, 5, 6).finish();
    let mut out = Vec::new();
    assert_eq!(feed(&mut server, Millis(9), &request, &mut out), [Received::Handled]);
    let answer = Message::decode(&out).expect("an answer");
    assert_eq!(answer.avp(code::RESULT_CODE).and_then(|avp| avp.u32().ok()), Some(3001));
    assert_eq!(server.state(), State::Open);
}

#[test]
fn when_both_connect_at_once_one_connection_survives() {
    assert!(keeps_opened_connection("a.example", "B.example"));
    assert!(!keeps_opened_connection("b.example", "A.example"));
}
