//! What the tests stand on: a private Redis, simulated servers, replicas of the binary.

pub mod canned;
pub mod client;
pub mod extra;
pub mod nginx;
pub mod pool;
pub mod redis;
pub mod snapshot;

pub use canned::Canned;
pub use client::{Reply, sign};
pub use extra::{QUICK, parameter, parameters};
pub use pool::Pool;
pub use redis::Redis;

use std::time::{Duration, Instant};

/// The project's directory.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Waits until something is so; fails the test after ten seconds, saying what never was.
#[track_caller]
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(10), what, is_so);
}

/// The same, within a time of its own.
#[track_caller]
pub fn within(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
