//! Requests to BBB servers.

use super::Env;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of requests to BBB servers.
#[derive(Debug, Clone)]
pub struct ServerClientConfig {
    /// CONNECT_TIMEOUT.
    pub connect_timeout: Duration,
    /// RESPONSE_TIMEOUT.
    pub response_timeout: Duration,
    /// EXTRA_CA_FILE.
    pub extra_ca_file: Option<PathBuf>,
    /// MAX_ANSWER_SIZE.
    pub max_response_bytes: usize,
    /// MAX_CALLS_PER_SERVER, for each thread.
    pub max_calls: usize,
}

impl ServerClientConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ServerClientConfig {
        ServerClientConfig {
            connect_timeout: env.seconds(
                "CONNECT_TIMEOUT",
                5.0,
                "time limit for connecting to a server, TCP and TLS, seconds",
            ),
            response_timeout: env.seconds(
                "RESPONSE_TIMEOUT",
                10.0,
                "time limit for a server's response, to its last byte, seconds",
            ),
            extra_ca_file: env
                .optional("EXTRA_CA_FILE", "PEM file of certificates to trust in addition to the system's")
                .map(PathBuf::from),
            max_calls: env.number(
                "MAX_CALLS_PER_SERVER",
                256usize,
                |n| *n >= 1,
                "must be a whole number, 1 or more",
                "calls of one worker thread that may wait for one server; more of them fail at once",
            ),
            max_response_bytes: env.number(
                "MAX_ANSWER_SIZE",
                16 * 1024 * 1024usize,
                |n| *n >= 65_536,
                "must be a number of bytes, 65536 or more",
                "maximum size of a server's response, bytes",
            ),
        }
    }
}
