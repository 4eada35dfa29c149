//! The rules of the house: who owes whom what, and whether a session may go on.
//!
//! Pure by construction: no sockets, files, clocks, randomness, floats or logging. Time comes in as an
//! argument; a decision goes in as values and comes out as one value.

pub mod access;
pub mod answered;
pub mod apply;
pub mod calls;
pub mod catalogue;
pub mod charging;
pub mod command;
pub mod content;
pub mod decide;
pub mod digits;
pub mod directive;
pub mod encoding;
pub mod event;
pub mod identifier;
pub mod ledger;
pub mod money;
pub mod monthly_fees;
pub mod numbering;
pub mod parts;
pub mod party;
pub mod period;
mod provisioning;
pub mod quantity;
pub mod rating;
pub mod read_ahead;
pub mod routing;
pub mod service;
pub mod state;
pub mod subscriber;
pub mod sweep;
pub mod time;
pub mod timer;
pub mod usage_record;
pub mod wholesale;
