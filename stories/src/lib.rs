//! End-to-end stories: the real program, real sockets, a real journal, peers that see only the wire.
//!
//! The stories are the tests of this package; there is nothing else in it.
