//! The UDP socket: what waits is taken in one go, what is to be sent goes out in bursts of one system call.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, recvfrom, sendmmsg,
};
use sip_protocol::{Flow, Transport};
use smallvec::SmallVec;

/// Datagrams taken before anything else has its turn.
const TAKEN_AT_ONCE: usize = 64;
/// Datagrams of one system call.
const BURST: usize = 64;
/// Keep-alives of phones are a few line ends or zeros.
const KEEP_ALIVE_MAX: usize = 16;
/// So long the network may take to make room before what was to be sent counts as lost.
const SENDING: Duration = Duration::from_millis(20);

pub(super) struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
}

impl Datagrams {
    pub fn new(socket: UdpSocket) -> io::Result<Datagrams> {
        socket.set_write_timeout(Some(SENDING))?;
        Ok(Datagrams { socket, buffer: vec![0; 65_536].into_boxed_slice() })
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Hands over what waits; true when more may wait.
    pub fn take(&mut self, mut message: impl FnMut(Flow, &[u8])) -> bool {
        for _ in 0..TAKEN_AT_ONCE {
            match recvfrom(&self.socket, &mut *self.buffer, RecvFlags::DONTWAIT) {
                Ok((length, _, Some(remote))) if length > KEEP_ALIVE_MAX => {
                    let Ok(remote) = SocketAddr::try_from(remote) else { continue };
                    let flow = Flow { transport: Transport::Udp, remote, channel: 0 };
                    message(flow, &self.buffer[..length]);
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => return false,
                // A peer's port is closed: said for an earlier datagram.
                Err(_) => {}
            }
        }
        true
    }

    /// Sends all, in order. What the network refuses is lost as any datagram may be.
    pub fn send(&self, mut datagrams: &[(SocketAddr, &[u8])]) {
        while !datagrams.is_empty() {
            let some = &datagrams[..datagrams.len().min(BURST)];
            let sent = match burst(&self.socket, some) {
                Ok(count) => count,
                // It takes nothing at the moment: waiting for each of them would be waiting for ever.
                Err(Errno::AGAIN) => return,
                // The first of them cannot be sent.
                Err(_) => 1,
            };
            datagrams = &datagrams[sent..];
        }
    }
}

fn burst(socket: &UdpSocket, datagrams: &[(SocketAddr, &[u8])]) -> Result<usize, Errno> {
    let parts: SmallVec<[(SocketAddrAny, [IoSlice<'_>; 1]); 8]> =
        datagrams.iter().map(|(remote, bytes)| ((*remote).into(), [IoSlice::new(bytes)])).collect();
    let mut controls: SmallVec<[_; 8]> =
        parts.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut headers: SmallVec<[MMsgHdr<'_>; 8]> = parts
        .iter()
        .zip(&mut controls)
        .map(|((remote, bytes), control)| MMsgHdr::new_with_addr(remote, bytes, control))
        .collect();
    sendmmsg(socket, &mut headers, SendFlags::empty())
}
