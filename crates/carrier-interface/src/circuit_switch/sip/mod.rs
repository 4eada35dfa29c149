//! SIP: a signalling back-to-back user agent between subscribers' phones, carriers' trunks and the platform.
//!
//! `engine` gives every message its place; `call` is one call, without sockets or clocks; `trunks` knows the
//! carriers' switches and `measured` how well they do; `registrar` the subscribers' phones, `proving` their passwords; `server` and `streams` own the
//! sockets.

mod call;
mod certificates;
mod datagrams;
mod engine;
mod headers;
mod inbox;
mod measured;
mod probes;
mod proving;
mod refusals;
mod registrar;
mod replies;
mod server;
mod shown;
mod stir;
mod streams;
#[cfg(test)]
mod tests;
mod trunks;
mod webhooks;

pub use server::{SipOptions, SipServer, serve};
pub use stir::Vouchers;
