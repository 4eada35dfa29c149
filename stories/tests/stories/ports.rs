//! Ports for programs that are told where to listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the system gives to whoever asks for any, and above those that baresip takes for sound: nobody
/// takes one before the program that it is meant for.
static NEXT: AtomicU16 = AtomicU16::new(20_000);
const END: u16 = 32_000;

/// The first of so many ports in a row that are free for UDP and TCP; each is given once.
pub fn free_ports(count: u16) -> u16 {
    let is_free = |port| {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    };
    loop {
        let first = NEXT.fetch_add(count, Ordering::Relaxed);
        assert!(first < END, "no free ports");
        if (first..first + count).all(is_free) {
            return first;
        }
    }
}

pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)))
}
