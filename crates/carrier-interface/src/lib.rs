//! The carriers' side: their switches speak their own protocols, and every one is brought to the same few verbs.
//!
//! Circuit switches give the *call data signal*; so far they speak SIP.
//! Packet switches give the *call information signal*; so far they speak Diameter (Gy and Ro).

pub mod circuit_switch;
pub mod packet_switch;
