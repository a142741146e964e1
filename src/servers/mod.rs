//! The BBB servers of the pool.
//!
//! - [`client`]: one pooled client; signs the very bytes it sends, trusts nothing it receives
//! - [`body`]: the body of a response within its limits; [`call_error`]: why a call has no response
//! - [`fan_out`]: a query of all servers that several requests share; `in_flight`: calls that wait for each server
//! - [`poll`]: queries every server once a minute; which replica does, and what follows from the results

mod body;
mod call_error;
pub mod client;
pub mod fan_out;
mod in_flight;
pub mod poll;

pub use call_error::ServerCallError;
pub use client::{Payload, ServerClient, ServerResponse};
