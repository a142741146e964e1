//! The poll: each server is queried for its meetings. Its response sets the server's load, renews and
//! releases its meetings, and adopts those without a record.
//!
//! - [`poller`]: what a poll works with; [`server`]: one server
//! - `adoption`: meetings without a record, and meetings on two servers
//! - [`round`]: all servers once, the brake, and servers that are abandoned
//! - `warnings`: what operators must know of the pool
//! - [`suspects`]: servers whose last request or poll failed, polled outside the round
//! - [`lease`]: which replica polls, round after round

mod adoption;
pub mod lease;
pub mod poller;
pub mod round;
pub mod server;
pub mod suspects;
mod warnings;

pub use poller::{PollError, Poller};
pub use round::Round;
