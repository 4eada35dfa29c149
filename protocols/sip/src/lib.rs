//! SIP (RFC 3261 with 3262, 3311, 3326, 3581, 4028, 6026, 7616, 8760), sans-IO.
//!
//! Messages are read through borrowed views over the received octets: nothing is copied, order, unknown headers and
//! raw values are kept, and any bytes give either a message or a fault with the answer it deserves. Transactions,
//! dialogs and digest are machines driven by messages and time that are handed in; they open no socket and
//! read no clock. It knows nothing of what the calls are for.

pub mod dialog;
pub mod digest;
pub mod fields;
pub mod framer;
pub mod header;
pub mod message;
pub mod method;
pub mod session_timer;
pub mod slab;
pub mod status;
pub mod tokens;
pub mod transaction;
pub mod uri;
pub mod wheel;
pub mod writer;

pub use dialog::Dialog;
pub use fields::{CSeq, NameAddr, Via};
pub use header::Name;
pub use message::{Fault, Header, Message, StartLine};
pub use method::Method;
pub use tokens::Tokens;
pub use transaction::{ClientId, Event, Flow, ServerId, Transactions, Transport};
pub use uri::{Scheme, Uri};
pub use writer::MessageWriter;

/// Monotonic milliseconds from any origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    pub const fn plus(self, millis: u64) -> Millis {
        Millis(self.0.saturating_add(millis))
    }

    pub const fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
