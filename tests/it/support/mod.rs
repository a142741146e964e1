//! Support for tests: private Redis, Postgres, nginx and S3, simulated servers, replicas of the binary.

pub mod canned_server;
pub mod chromium;
pub mod client;
pub mod nginx;
pub mod pgbouncer;
pub mod pool;
pub mod pool_ext;
pub mod postgres;
pub mod recording_env;
pub mod redis;
pub mod s3;
pub mod snapshot;

pub use canned_server::CannedServer;
pub use client::{Reply, sign};
pub use pgbouncer::PgBouncer;
pub use pool::Pool;
pub use pool_ext::{SHORT_TIMEOUTS, parameter, parameters};
pub use postgres::Postgres;
pub use recording_env::RecordingEnv;
pub use redis::Redis;

use std::time::{Duration, Instant};

/// The project's directory.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Waits until a condition holds; fails the test after thirty seconds, naming the condition.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(Duration::from_secs(30), what, condition);
}

/// The same with a given timeout.
#[track_caller]
pub fn within(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A free port that no other test gets while this process lives. Tests run concurrently: if a port were given
/// up before its server binds it, another test might bind it and get the connections. The port is below the
/// range that the kernel uses for outgoing connections and for port 0.
pub fn free_port() -> u16 {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let first = std::process::id() as u16;
    for n in 0..20_000u16 {
        let port = 12_000 + first.wrapping_mul(37).wrapping_add(n) % 20_000;
        // An abstract socket needs no file and disappears with its process: it is the claim to the port.
        let name = SocketAddr::from_abstract_name(format!("sl-tests-port-{port}")).unwrap();
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(claim);
            return port;
        }
    }
    panic!("no port is free");
}
