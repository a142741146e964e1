//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what a test cannot go on without

mod calls;
mod clients;
mod support;
