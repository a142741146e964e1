//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod callbacks;
mod calls;
mod checksums;
mod cli;
mod clients;
mod connections;
mod failover;
mod holds;
mod importer;
mod in_flight;
mod index;
mod load_accounting;
mod log_output;
mod logs;
mod malformed_requests;
mod meeting_ids;
mod nginx;
mod odd_attendees;
mod playback;
mod poll_lease;
mod rebuild;
mod redis_faults;
mod redis_settings;
mod replicas;
mod s3;
mod scalelite_redis;
mod scripts;
mod server_bounds;
mod server_faults;
mod server_health;
mod shutdown;
mod slow_clients;
mod support;
mod tls;
mod unsigned_bodies;
mod uploads;
