//! The connection to Redis.

use super::Env;
use std::time::Duration;

/// Settings of the connection to Redis.
#[derive(Clone)]
pub struct RedisConfig {
    /// REDIS_URL: redis://, rediss:// (TLS), or redis+unix:///path; may have an ACL user and password.
    pub url: String,
    /// The prefix of every key: REDIS_NAMESPACE and a colon, or nothing.
    pub prefix: String,
    /// REDIS_CONNECT_TIMEOUT.
    pub connect_timeout: Duration,
    /// REDIS_RESPONSE_TIMEOUT. After a timeout, the script may have run.
    pub response_timeout: Duration,
}

impl RedisConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> RedisConfig {
        let url = env.url("REDIS_URL", "redis://127.0.0.1:6379", "URL of the Redis with the pool's state");
        if let Err(error) = redis::Client::open(url.as_str()) {
            let must = format!("must be a redis://, rediss:// or redis+unix:// URL ({error})");
            env.mistake("REDIS_URL", &must);
        }
        // Unlike elsewhere, an empty value differs from an unset one: it means no prefix.
        let namespace = env.namespace();
        RedisConfig {
            url,
            prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}:") },
            connect_timeout: env.seconds(
                "REDIS_CONNECT_TIMEOUT",
                1.0,
                "time limit for connecting to Redis, seconds",
            ),
            response_timeout: env.seconds(
                "REDIS_RESPONSE_TIMEOUT",
                2.0,
                "time limit for a response of Redis, seconds",
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
