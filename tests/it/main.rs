//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod cli;
mod replicas;
mod scripts;
mod clients;
mod support;
mod takeover;
mod tls;
