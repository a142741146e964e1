//! Where the state is.

use super::{Env, listen::seconds};
use std::time::Duration;

/// See the fields.
#[derive(Clone)]
pub struct RedisConfig {
    /// REDIS_URL: redis://, rediss:// (TLS), or redis+unix:///path; with ACL user and password.
    pub url: String,
    /// What every key begins with: REDIS_NAMESPACE and a colon, or nothing.
    pub prefix: String,
    /// REDIS_CONNECT_TIMEOUT.
    pub connect_timeout: Duration,
    /// REDIS_RESPONSE_TIMEOUT: an answer later than this is an error; the script may have run.
    pub response_timeout: Duration,
}

impl RedisConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> RedisConfig {
        let url = env.url("REDIS_URL", "redis://127.0.0.1:6379", "where the state is");
        if let Err(error) = redis::Client::open(url.as_str()) {
            let must = format!("must be a redis://, rediss:// or redis+unix:// URL ({error})");
            env.mistake("REDIS_URL", &must);
        }
        // Unlike elsewhere, an empty value says something here: no prefix.
        let namespace = env.namespace();
        RedisConfig {
            url,
            prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}:") },
            connect_timeout: seconds(
                env,
                "REDIS_CONNECT_TIMEOUT",
                1.0,
                "how long to wait for a connection to Redis, seconds",
            ),
            response_timeout: seconds(
                env,
                "REDIS_RESPONSE_TIMEOUT",
                2.0,
                "how long to wait for an answer of Redis, seconds",
            ),
        }
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &super::without_password(&self.url))
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
