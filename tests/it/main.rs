//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod accounting;
mod backend_faults;
mod bad_input;
mod callbacks;
mod calls;
mod checksums;
mod cli;
mod clients;
mod failover;
mod health;
mod importing;
mod index;
mod leases;
mod listening;
mod logs;
mod nginx;
mod odd_ids;
mod playback;
mod redis_faults;
mod replicas;
mod s3;
mod scripts;
mod slow_clients;
mod stopping;
mod support;
mod takeover;
mod tls;
mod uploads;
