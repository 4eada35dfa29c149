//! The UDP socket: what waits is taken in one go, what is to be sent goes out in bursts of one system call.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use sip_protocol::{Flow, Transport};
use smallvec::SmallVec;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams taken before anything else has its turn.
const TAKEN_AT_ONCE: usize = 64;
/// Datagrams of one system call.
const BURST: usize = 64;
/// Keep-alives of phones are a few line ends or zeros.
const KEEP_ALIVE_MAX: usize = 16;

pub(super) struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
}

impl Datagrams {
    pub fn new(socket: UdpSocket) -> Datagrams {
        Datagrams { socket, buffer: vec![0; 65_536].into_boxed_slice() }
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Hands over what waits, if anything does.
    pub fn take(&mut self, mut message: impl FnMut(Flow, &[u8])) {
        for _ in 0..TAKEN_AT_ONCE {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, remote)) if length > KEEP_ALIVE_MAX => {
                    let flow = Flow { transport: Transport::Udp, remote, channel: 0 };
                    message(flow, &self.buffer[..length]);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A peer's port is closed: said for an earlier datagram.
                Err(_) => {}
            }
        }
    }

    /// Sends all, in order. What the network refuses is lost as any datagram may be.
    pub async fn send(&self, mut datagrams: &[(SocketAddr, &[u8])]) {
        while !datagrams.is_empty() {
            let burst = || burst(&self.socket, &datagrams[..datagrams.len().min(BURST)]);
            let sent = match self.socket.try_io(Interest::WRITABLE, burst) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.socket.writable().await.is_err() {
                        return;
                    }
                    0
                }
                // The first of them cannot be sent.
                Err(_) => 1,
            };
            datagrams = &datagrams[sent..];
        }
    }
}

fn burst(socket: &UdpSocket, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    let parts: SmallVec<[(SocketAddrAny, [IoSlice<'_>; 1]); 8]> =
        datagrams.iter().map(|(remote, bytes)| ((*remote).into(), [IoSlice::new(bytes)])).collect();
    let mut controls: SmallVec<[_; 8]> =
        parts.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut headers: SmallVec<[MMsgHdr<'_>; 8]> = parts
        .iter()
        .zip(&mut controls)
        .map(|((remote, bytes), control)| MMsgHdr::new_with_addr(remote, bytes, control))
        .collect();
    Ok(sendmmsg(socket, &mut headers, SendFlags::empty())?)
}
