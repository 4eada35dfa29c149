//! Packet switches: gateways and call servers that ask before they let units through.

pub mod diameter;
