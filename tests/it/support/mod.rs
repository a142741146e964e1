//! What the tests stand on: a private Redis, simulated servers, replicas of the binary.

pub mod canned;
pub mod chromium;
pub mod client;
pub mod extra;
pub mod library;
pub mod nginx;
pub mod pool;
pub mod postgres;
pub mod redis;
pub mod s3;
pub mod snapshot;

pub use canned::Canned;
pub use client::{Reply, sign};
pub use extra::{QUICK, parameter, parameters};
pub use library::Library;
pub use pool::Pool;
pub use postgres::Postgres;
pub use redis::Redis;

use std::time::{Duration, Instant};

/// The project's directory.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Waits until something is so; fails the test after thirty seconds, saying what never was.
#[track_caller]
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(30), what, is_so);
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

/// A port that is free, and that no other test gets as long as this process lives: tests run at once,
/// and whoever let go of a port before somebody else binds it would talk to a stranger. Below the
/// range that the kernel gives to outgoing connections and to port 0.
pub fn free_port() -> u16 {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let first = std::process::id() as u16;
    for n in 0..20_000u16 {
        let port = 12_000 + first.wrapping_mul(37).wrapping_add(n) % 20_000;
        // A name without a file that ends with its process: whoever holds it holds the port.
        let name = SocketAddr::from_abstract_name(format!("sl-tests-port-{port}")).unwrap();
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(claim);
            return port;
        }
    }
    panic!("no port is free");
}
