//! Circuit switches: calls, decided before they are connected, watched while they run, cut when the money ends.

pub mod sip;
