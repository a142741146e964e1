//! The servers as their clients see them: over TCP.

mod calls;
mod client;
mod control;
mod faults;
