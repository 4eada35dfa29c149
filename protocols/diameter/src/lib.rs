//! Diameter (RFC 6733) with credit control (RFC 8506, 3GPP TS 32.299), sans-IO.
//!
//! Messages are read through borrowed views: nothing is copied, order and raw octets are kept, unknown AVPs are
//! carried along, every length is checked, and any bytes give either a message or the answer they deserve.
//! The peer machine is driven by bytes and time that are handed in; it opens no socket and reads no clock.
//!
//! It knows nothing of what the messages are for.

pub mod avp;
pub mod check;
pub mod code;
pub mod credit_control;
pub mod dictionary;
pub mod framer;
pub mod message;
pub mod peer;
pub mod result_code;
pub mod writer;

pub use avp::{Avp, AvpError, Avps};
pub use framer::{Framer, FramingError};
pub use message::{DecodeError, Header, Message};
pub use result_code::ResultCode;
pub use writer::MessageWriter;

/// Seconds between the Diameter epoch (1900-01-01) and the Unix epoch.
pub const EPOCH_OFFSET_SECONDS: u64 = 2_208_988_800;
