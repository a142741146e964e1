//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.

mod backend_faults;
mod bad_input;
mod calls;
mod checksums;
mod listening;
mod logs;
mod odd_ids;
mod redis_faults;
mod stopping;
mod support;
