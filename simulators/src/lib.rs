//! The other side of every wire: switches and shops that do not know what they talk to. They see only the protocol.

pub mod authority;
mod callee;
mod ear;
pub mod gateway;
pub mod random;
pub mod shop;
pub mod switch;
pub mod tls_switch;
pub mod traffic;
