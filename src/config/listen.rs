//! Where and how we listen.

use super::Env;
use std::path::PathBuf;
use std::time::Duration;

/// BIND, or all addresses at PORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// `tcp://host:port`
    Tcp(String),
    /// `unix:///path`
    Unix(PathBuf),
}

/// See the fields.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// BIND and PORT.
    pub bind: Bind,
    /// WORKER_THREADS: threads that serve requests, each with its own connections.
    pub workers: usize,
    /// SHUTDOWN_GRACE: how long a stop waits for requests that have begun.
    pub shutdown_grace: Duration,
    /// HEADER_TIMEOUT: a connection that brings no whole request head for so long is closed. Counts
    /// between requests too, so it must be above what nginx keeps idle connections for (60 s).
    pub header_timeout: Duration,
    /// BODY_TIMEOUT: a request body must be whole after this.
    pub body_timeout: Duration,
}

impl ListenConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ListenConfig {
        let port = env.number("PORT", 3000u16, |_| true, "must be a port number", "TCP port to listen on");
        let bind = env.parsed(
            "BIND",
            &format!("tcp://0.0.0.0:{port}"),
            parse_bind,
            "where to listen: tcp://host:port or unix:///path",
        );
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        ListenConfig {
            bind: bind.unwrap_or(Bind::Tcp(format!("0.0.0.0:{port}"))),
            workers: env.number(
                "WORKER_THREADS",
                cores.min(16),
                |n| (1..=256).contains(n),
                "must be a number of threads from 1 to 256",
                "threads that serve requests (default: the cores, at most 16)",
            ),
            shutdown_grace: seconds(
                env,
                "SHUTDOWN_GRACE",
                30.0,
                "how long a stop waits for requests that have begun, seconds",
            ),
            header_timeout: seconds(
                env,
                "HEADER_TIMEOUT",
                75.0,
                "a connection without a whole request head for so long is closed, seconds",
            ),
            body_timeout: seconds(
                env,
                "BODY_TIMEOUT",
                60.0,
                "a request body must be whole after this, seconds",
            ),
        }
    }
}

/// A time span in seconds, fractions allowed, above 0.
pub(super) fn seconds(env: &mut Env<'_>, name: &'static str, default: f64, about: &'static str) -> Duration {
    let value = env.number(
        name,
        default,
        |s: &f64| *s > 0.0 && *s <= 31_536_000.0,
        "must be a number of seconds above 0",
        about,
    );
    Duration::from_secs_f64(value)
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
