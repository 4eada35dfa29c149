//! The other side of every wire: switches that do not know what they talk to. They see only the protocol.

pub mod gateway;
pub mod random;
pub mod switch;
pub mod traffic;
