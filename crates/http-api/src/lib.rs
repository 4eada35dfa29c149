//! How we serve HTTP: problem details, JSON bodies, keys, idempotency, paging. No business word here.

mod body;
mod idempotency;
mod key;
mod page;
mod problem;
mod server;

pub use body::{BODY_BYTES_MAX, JsonBody};
pub use idempotency::IdempotencyKey;
pub use key::{KEY_PREFIX, bearer, hash_key, new_key, random_u64};
pub use page::{Page, PageQuery};
pub use problem::Problem;
pub use server::{Bound, HttpServer, serve, serve_tls};
