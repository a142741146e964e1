//! How we speak to BBB servers.

use super::{Env, listen::seconds};
use std::path::PathBuf;
use std::time::Duration;

/// See the fields.
#[derive(Debug, Clone)]
pub struct ServerClientConfig {
    /// CONNECT_TIMEOUT: TCP and TLS together.
    pub connect_timeout: Duration,
    /// RESPONSE_TIMEOUT: from sending the request to the last byte of the answer.
    pub response_timeout: Duration,
    /// EXTRA_CA_FILE: PEM certificates trusted beside the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// MAX_ANSWER_SIZE: the largest answer of a server taken in, bytes.
    pub max_response_bytes: usize,
}

impl ServerClientConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ServerClientConfig {
        ServerClientConfig {
            connect_timeout: seconds(
                env,
                "CONNECT_TIMEOUT",
                5.0,
                "how long to wait for a connection to a server, seconds",
            ),
            response_timeout: seconds(
                env,
                "RESPONSE_TIMEOUT",
                10.0,
                "how long to wait for a server's whole answer, seconds",
            ),
            extra_ca_file: env
                .optional("EXTRA_CA_FILE", "PEM file of certificates trusted beside the system's")
                .map(PathBuf::from),
            max_response_bytes: env.number(
                "MAX_ANSWER_SIZE",
                16 * 1024 * 1024usize,
                |n| *n >= 65_536,
                "must be a number of bytes, 65536 or more",
                "largest answer of a server taken in, bytes",
            ),
        }
    }
}
