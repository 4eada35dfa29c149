//! A SIP switch that is called over TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sip_protocol::Message;
use sip_protocol::framer::{Front, front};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::callee::Callee;
use crate::switch::Manner;

/// Serves connections for as long as the process runs.
pub struct TlsSwitch {
    pub address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl TlsSwitch {
    pub fn start(config: Arc<ServerConfig>, manner: Manner) -> io::Result<TlsSwitch> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let count = answered.clone();
        std::thread::Builder::new().name("tls-switch".into()).spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (config, count) = (config.clone(), count.clone());
                let callee = Callee::new(manner, format!("<sip:{address};transport=tls>"));
                // A connection that breaks off is the other side's business.
                std::thread::spawn(move || serve(config, stream, callee, &count));
            }
        })?;
        Ok(TlsSwitch { address, answered })
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn serve(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    mut callee: Callee,
    answered: &AtomicU64,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut received = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..count]);
        let mut out = Vec::new();
        while let Ok(Front::Message(length)) = front(&received) {
            if let Ok(message) = Message::decode(&received[..length]) {
                let at_once = || Duration::ZERO;
                callee.hear(&message, at_once, answered, |answer| out.extend_from_slice(answer));
            }
            received.drain(..length);
        }
        stream.write_all(&out)?;
    }
}
