//! The HTTP front end: where it listens, threads, time limits.

use super::Env;
use std::path::PathBuf;
use std::time::Duration;

/// The address to listen at: BIND, or all addresses at PORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// `tcp://host:port`
    Tcp(String),
    /// `unix:///path`
    Unix(PathBuf),
}

/// Settings of the HTTP front end.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// BIND and PORT.
    pub bind: Bind,
    /// WORKER_THREADS. Each has its own connections.
    pub workers: usize,
    /// SHUTDOWN_GRACE.
    pub shutdown_grace: Duration,
    /// HEADER_TIMEOUT. It also counts between two requests of a connection, so it must be longer than nginx
    /// keeps idle connections (60 s).
    pub header_timeout: Duration,
    /// BODY_TIMEOUT.
    pub body_timeout: Duration,
}

impl ListenConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ListenConfig {
        let port = env.number("PORT", 3000u16, |_| true, "must be a port number", "TCP port to listen on");
        let bind = env.parsed(
            "BIND",
            &format!("tcp://0.0.0.0:{port}"),
            parse_bind,
            "address to listen at: tcp://host:port or unix:///path",
        );
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        ListenConfig {
            bind: bind.unwrap_or(Bind::Tcp(format!("0.0.0.0:{port}"))),
            workers: env.number(
                "WORKER_THREADS",
                cores.min(16),
                |n| (1..=256).contains(n),
                "must be a number of threads from 1 to 256",
                "threads that serve requests (default: number of cores, at most 16)",
            ),
            shutdown_grace: env.seconds(
                "SHUTDOWN_GRACE",
                30.0,
                "how long a stop waits for requests in flight, seconds",
            ),
            header_timeout: env.seconds(
                "HEADER_TIMEOUT",
                75.0,
                "time limit for the head of a request; then the connection is closed, seconds",
            ),
            body_timeout: env.seconds("BODY_TIMEOUT", 60.0, "time limit for the body of a request, seconds"),
        }
    }
}

fn parse_bind(text: &str) -> Result<Bind, String> {
    let without_options = text.split('?').next().unwrap_or(text);
    if let Some(path) = without_options.strip_prefix("unix://") {
        if path.is_empty() {
            return Err("must be unix:///path with a path".into());
        }
        return Ok(Bind::Unix(PathBuf::from(path)));
    }
    let address = without_options.strip_prefix("tcp://").unwrap_or("");
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(Bind::Tcp(address.to_owned()))
        }
        _ => Err("must be tcp://host:port or unix:///path".into()),
    }
}
