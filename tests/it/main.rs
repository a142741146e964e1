//! Integration tests: the running binary, real Redis, the simulated BBB servers over TCP.
//!
//! Every test starts its own Redis, servers and replicas on free ports, and stops them.

mod calls;
mod support;
