//! Tests over TCP.

mod calls;
mod client;
mod control;
mod faults;
mod versions;
