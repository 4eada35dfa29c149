//! Diameter credit control (RFC 8506) as 3GPP uses it: Gy from packet gateways, Ro from call and message servers.
//!
//! Thin shells around the peer machine of `diameter-protocol`: sockets, the peer table, the translation to the
//! platform's commands and back. One task for each connection; no connection can disturb another.

mod connection;
mod from_domain;
mod pushes;
mod refunds;
mod server;
mod spare;
mod to_domain;
mod waiting;

pub use from_domain::result_code;
pub use server::{DiameterOptions, DiameterServer, serve};
