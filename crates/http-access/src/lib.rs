//! What all HTTP interfaces share: who calls and what that key reaches, how a write is carried out, how
//! identifiers, money and identities look in JSON.

mod access;
pub mod identifiers;
pub mod representation;
mod writes;

pub use access::Caller;
pub use writes::{Errors, ask_books, carry_out, submit, unavailable};
