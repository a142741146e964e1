//! The BBB servers of the pool, seen from here.
//!
//! - [`client`]: one pooled client; signs the very bytes it sends, trusts nothing it gets
//! - [`poll`]: what every server is asked once a minute, who asks, and what comes of it

pub mod client;
pub mod poll;

pub use client::{Payload, Reply, ServerCallError, ServerClient};
