//! The BBB servers of the pool.
//!
//! - [`client`]: one pooled client; signs the very bytes it sends, trusts nothing it receives
//! - [`poll`]: queries every server once a minute; which replica does, and what follows from the results

pub mod client;
pub mod poll;

pub use client::{Payload, ServerCallError, ServerClient, ServerResponse};
