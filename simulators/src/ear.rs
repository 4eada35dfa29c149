//! By what a simulated switch hears datagrams, and knows when each arrived.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

const RECEIVE_BUFFER: usize = 8 << 20;

/// The clock by which the system says when a datagram arrived.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// While there is traffic a switch looks for it this often. Were it woken for each datagram, waking it would be work
/// of whoever sends: on one machine that is what is under test.
const LOOKS_EVERY: Duration = Duration::from_micros(250);
/// A switch that heard nothing for so many looks sleeps until it is woken.
const QUIET_LOOKS: u32 = 40;

/// A socket, and for how many looks nothing was there.
pub(crate) struct Ear {
    pub socket: UdpSocket,
    quiet_looks: u32,
    stamps: Vec<u8>,
}

/// A datagram: its length, who sent it, and when it arrived, which may be long before anybody looked.
pub(crate) struct Heard {
    pub length: usize,
    pub from: SocketAddr,
    pub arrived: Duration,
}

impl Ear {
    pub fn bind(address: SocketAddr) -> io::Result<Ear> {
        let socket = UdpSocket::bind(address)?;
        // The system may grant less; bursts are then lost and sent again.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Ear { socket, quiet_looks: 0, stamps: nix::cmsg_space!(TimeSpec) })
    }

    /// Nothing was there for so long that the next look waits for something.
    pub fn falls_asleep(&self) -> bool {
        self.quiet_looks == QUIET_LOOKS
    }

    /// What has arrived. If that is nothing: waits until something may have, at most for `longest`.
    pub fn hear(&mut self, buffer: &mut [u8], longest: Duration) -> Option<Heard> {
        if let Some(heard) = self.take(buffer) {
            self.quiet_looks = 0;
            return Some(heard);
        }
        if self.quiet_looks < QUIET_LOOKS {
            self.quiet_looks += 1;
            std::thread::sleep(LOOKS_EVERY.min(longest));
        } else {
            let mut awaited = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let _ = ppoll(&mut awaited, Some(TimeSpec::from(longest)), None);
        }
        None
    }

    fn take(&mut self, buffer: &mut [u8]) -> Option<Heard> {
        let (socket, stamps) = (self.socket.as_raw_fd(), Some(&mut self.stamps[..]));
        let mut parts = [IoSliceMut::new(buffer)];
        let heard =
            recvmsg::<SockaddrStorage>(socket, &mut parts, stamps, MsgFlags::empty()).ok()?;
        let address = heard.address?;
        let from = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(four), _) => SocketAddr::V4((*four).into()),
            (None, six) => SocketAddr::V6((*six?).into()),
        };
        let arrived = heard.cmsgs().ok()?.find_map(|stamp| match stamp {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        });
        Some(Heard { length: heard.bytes, from, arrived: arrived.unwrap_or_else(wall_clock) })
    }
}
