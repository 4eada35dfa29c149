//! The stories: the real program, driven over its sockets only.

mod broker;
mod calls;
mod camara;
mod content;
mod content_access;
mod content_errors;
mod data_sessions;
mod failures;
mod kill;
mod peers;
mod phone;
mod ports;
mod refunds;
mod sip_phones;
mod sipp;
mod statements;
mod telephony;
mod trunks;
mod wholesale;
