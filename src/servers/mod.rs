//! The BBB servers of the pool.
//!
//! - [`client`]: one pooled client; signs the very bytes it sends, trusts nothing it receives
//! - [`fan_out`]: a query of all servers that several requests share; `in_flight`: calls that wait for each server
//! - [`poll`]: queries every server once a minute; which replica does, and what follows from the results

pub mod client;
pub mod fan_out;
mod in_flight;
pub mod poll;

pub use client::{Payload, ServerCallError, ServerClient, ServerResponse};
