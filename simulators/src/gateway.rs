//! A Diameter client with one connection: a packet gateway (Gy) or a call or message server (Ro).
//!
//! Answers re-authorisation and abort requests as a gateway would, and hands them on.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diameter_protocol::credit_control::{
    CreditControlResult, RequestHead, write_push_answer, write_request,
};
use diameter_protocol::message::Message;
use diameter_protocol::peer::{LocalNode, Millis, Peer, Received, Timing};
use diameter_protocol::{Framer, ResultCode, code};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// What the server asked of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    ReAuth(String),
    Abort(String),
}

type Waiting = Arc<Mutex<HashMap<u32, oneshot::Sender<CreditControlResult>>>>;

/// A connected gateway. Clones share the connection.
#[derive(Clone)]
pub struct Gateway {
    host: String,
    realm: String,
    out: mpsc::UnboundedSender<Vec<u8>>,
    machine: Arc<Mutex<Peer>>,
    waiting: Waiting,
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Gateway {
    /// Connects and introduces itself; the receiver gets what the server asks.
    pub async fn connect(
        server: SocketAddr,
        host: &str,
        realm: &str,
        origin_state_id: u32,
    ) -> io::Result<(Gateway, mpsc::UnboundedReceiver<Push>)> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Gateway::over(stream, local, host, realm, origin_state_id).await
    }

    /// The same over a stream that stands already, such as one of TLS.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        local: SocketAddr,
        host: &str,
        realm: &str,
        origin_state_id: u32,
    ) -> io::Result<(Gateway, mpsc::UnboundedReceiver<Push>)> {
        let node = LocalNode {
            host: host.into(),
            realm: realm.into(),
            addresses: vec![local.ip()],
            product: "Simulated gateway".into(),
            origin_state_id,
        };
        let mut cer = Vec::new();
        let first_identifier = u32::from(local.port()) << 12;
        let machine =
            Peer::initiator(node, Timing::default(), first_identifier, Millis(0), &mut cer);
        let (mut read, write) = tokio::io::split(stream);
        let (out, outgoing) = mpsc::unbounded_channel();
        let machine = Arc::new(Mutex::new(machine));
        tokio::spawn(send_all(write, outgoing));
        let _ = out.send(cer);
        let rest = introduce(&mut read, &machine).await?;
        let (pushes, pushed) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let gateway = Gateway { host: host.into(), realm: realm.into(), out, machine, waiting };
        tokio::spawn(receive(read, rest, gateway.clone(), pushes));
        Ok((gateway, pushed))
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Sends a request, identifiers filled in, and waits for its answer.
    pub async fn ask(&self, head: &RequestHead<'_>) -> io::Result<CreditControlResult> {
        let (answer, answered) = oneshot::channel();
        let (hop_by_hop, end_to_end) =
            self.machine.lock().unwrap_or_else(PoisonError::into_inner).identifiers();
        let mut bytes = Vec::with_capacity(512);
        write_request(&mut bytes, &RequestHead { hop_by_hop, end_to_end, ..*head });
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(hop_by_hop, answer);
        self.out.send(bytes).map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(io::ErrorKind::ConnectionReset.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn send_all(
    mut write: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    while let Some(mut bytes) = outgoing.recv().await {
        while let Ok(more) = outgoing.try_recv() {
            bytes.extend_from_slice(&more);
        }
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Waits for the CEA; returns what came behind it.
async fn introduce(
    read: &mut (impl AsyncRead + Unpin),
    machine: &Mutex<Peer>,
) -> io::Result<Vec<u8>> {
    let framer = Framer::default();
    let mut buffer = Vec::new();
    loop {
        if read.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let Some(length) = framer.front(&buffer).map_err(io::Error::other)? else { continue };
        let rest = buffer.split_off(length);
        let message =
            Message::decode(&buffer).map_err(|_| io::Error::other("the CEA cannot be read"))?;
        let mut out = Vec::new();
        let received = machine.lock().unwrap_or_else(PoisonError::into_inner).handle(
            Millis(0),
            &message,
            &mut out,
        );
        return match received {
            Received::Opened(_) => Ok(rest),
            other => Err(io::Error::other(format!("the server refuses the connection: {other:?}"))),
        };
    }
}

async fn receive(
    mut read: impl AsyncRead + Unpin,
    mut buffer: Vec<u8>,
    gateway: Gateway,
    pushes: mpsc::UnboundedSender<Push>,
) {
    let framer = Framer::default();
    loop {
        let mut at = 0;
        while let Ok(Some(length)) = framer.front(&buffer[at..]) {
            if let Ok(message) = Message::decode(&buffer[at..at + length]) {
                gateway.take(&message, &pushes);
            }
            at += length;
        }
        buffer.drain(..at);
        match read.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => break,
        }
    }
    // Whoever still waits learns that nothing comes any more.
    gateway.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Gateway {
    fn take(&self, message: &Message<'_>, pushes: &mpsc::UnboundedSender<Push>) {
        let mut out = Vec::new();
        let received = self.machine.lock().unwrap_or_else(PoisonError::into_inner).handle(
            Millis(0),
            message,
            &mut out,
        );
        match received {
            Received::Answer => {
                let waiting = self
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&message.header.hop_by_hop);
                if let (Some(waiting), Some(result)) = (waiting, CreditControlResult::read(message))
                {
                    let _ = waiting.send(result);
                }
            }
            Received::Request => {
                let session = message
                    .avp(code::SESSION_ID)
                    .and_then(|avp| avp.text().ok())
                    .unwrap_or_default();
                let (push, result) = match message.header.command {
                    code::COMMAND_RE_AUTH => {
                        (Push::ReAuth(session.into()), ResultCode::LIMITED_SUCCESS)
                    }
                    _ => (Push::Abort(session.into()), ResultCode::SUCCESS),
                };
                let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
                write_push_answer(&mut out, message, machine.local().identity(), result);
                let _ = pushes.send(push);
            }
            _ => {}
        }
        if !out.is_empty() {
            let _ = self.out.send(out);
        }
    }
}
