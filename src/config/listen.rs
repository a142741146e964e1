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

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bind::Tcp(address) => write!(f, "tcp://{address}"),
            Bind::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Owner and group may connect.
const DEFAULT_SOCKET_MODE: u32 = 0o660;

/// The longest path of a socket that Linux takes, without the final NUL.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Settings of the HTTP front end.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// BIND and PORT.
    pub bind: Bind,
    /// BIND_MODE: the permissions of a unix socket; connecting needs write permission.
    pub socket_mode: u32,
    /// BIND_GROUP: the group of a unix socket, name or number. None is the group of nginx, if it is known and we may
    /// give the socket to it.
    pub socket_group: Option<String>,
    /// WORKER_THREADS. Each has its own connections.
    pub workers: usize,
    /// SHUTDOWN_GRACE.
    pub shutdown_grace: Duration,
    /// HEADER_TIMEOUT. It also counts between two requests of a connection, so it must be longer than nginx
    /// keeps idle connections (60 s).
    pub header_timeout: Duration,
    /// BODY_TIMEOUT.
    pub body_timeout: Duration,
    /// MAX_CONNECTIONS, of all threads together. Each may hold 128 KB of an unfinished request head.
    pub max_connections: usize,
}

impl ListenConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ListenConfig {
        let must = "must be a port number from 1 to 65535";
        let port = env.number("PORT", 3000u16, |port| *port > 0, must, "TCP port to listen on");
        let bind = env.parsed(
            "BIND",
            &format!("tcp://0.0.0.0:{port}"),
            parse_bind,
            "address to listen at: tcp://host:port or unix:///path",
        );
        let (bind, mode_of_url) = bind.unwrap_or((Bind::Tcp(format!("0.0.0.0:{port}")), None));
        let mode = env.parsed(
            "BIND_MODE",
            &format!("{:04o}", mode_of_url.unwrap_or(DEFAULT_SOCKET_MODE)),
            octal_mode,
            "permissions of a unix socket, octal; connecting takes write permission",
        );
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
        ListenConfig {
            bind,
            socket_mode: mode.unwrap_or(DEFAULT_SOCKET_MODE),
            socket_group: env.optional(
                "BIND_GROUP",
                "group of a unix socket, name or number (default: www-data or nginx, if it exists and we may)",
            ),
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
            max_connections: env.number(
                "MAX_CONNECTIONS",
                10_000usize,
                |n| (1..=1_000_000).contains(n),
                "must be a number of connections from 1 to 1000000",
                "open connections of a replica; more get status 503",
            ),
        }
    }
}

/// The address, and the permissions that a URL of Puma's gives to a unix socket.
fn parse_bind(text: &str) -> Result<(Bind, Option<u32>), String> {
    let (without_options, options) = text.split_once('?').unwrap_or((text, ""));
    if let Some(path) = without_options.strip_prefix("unix://") {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err("must be unix:///path, with three slashes and an absolute path".into());
        }
        if path.len() > MAX_SOCKET_PATH_BYTES {
            return Err(format!(
                "must have a path of at most {MAX_SOCKET_PATH_BYTES} bytes: Linux takes no more"
            ));
        }
        let option = |name| {
            let mut pairs = options.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| octal_mode(value)).transpose()
        };
        let (mode, umask) = (option("mode")?, option("umask")?);
        return Ok((Bind::Unix(PathBuf::from(path)), mode.or(umask.map(|umask| 0o777 & !umask))));
    }
    if without_options.starts_with("ssl://") {
        return Err("must be tcp://host:port or unix:///path: TLS is for nginx".into());
    }
    let address = without_options.strip_prefix("tcp://").unwrap_or("");
    match address.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            Err("must have an IPv6 address in brackets: tcp://[::]:3000".into())
        }
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
            Ok((Bind::Tcp(address.to_owned()), None))
        }
        _ => Err("must be tcp://host:port or unix:///path".into()),
    }
}

fn octal_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("must be octal permissions such as 0660".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_is_read_as_puma_reads_it() {
        for (text, bind, mode) in [
            ("tcp://0.0.0.0:3000", Bind::Tcp("0.0.0.0:3000".into()), None),
            ("tcp://[::]:80?low_latency=true", Bind::Tcp("[::]:80".into()), None),
            ("unix:///run/sl.sock", Bind::Unix("/run/sl.sock".into()), None),
            ("unix:///run/sl.sock?umask=0117", Bind::Unix("/run/sl.sock".into()), Some(0o660)),
            ("unix:///run/sl.sock?umask=0111&mode=0600", Bind::Unix("/run/sl.sock".into()), Some(0o600)),
        ] {
            assert_eq!(parse_bind(text), Ok((bind, mode)), "{text}");
        }
        let long = format!("unix:///{}", "a".repeat(107));
        for text in [
            "0.0.0.0:3000",
            "tcp://:3000",
            "tcp://::1:3000",
            "tcp://localhost",
            "tcp://localhost:3000/",
            "http://localhost:3000",
            "ssl://0.0.0.0:443",
            "unix://run/sl.sock",
            "unix:///run/",
            "unix:///run/sl.sock?umask=9",
            &long,
        ] {
            assert!(parse_bind(text).unwrap_err().starts_with("must "), "{text}");
        }
    }
}
