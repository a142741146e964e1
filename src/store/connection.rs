//! One multiplexed connection to Redis per thread. Nothing connects at the start: a Redis that is
//! down makes requests fail fast, and the first request after its return finds it again.

use super::keys::Keys;
use crate::config::RedisConfig;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError, RedisResult};
use std::time::{Duration, Instant};

/// Redis did not answer, refused, or holds something of another shape.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The error of the connection or of Redis.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// A script answered what it should not; names the script.
    #[error("{0}.lua answered something unexpected")]
    Unexpected(&'static str),
}

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// The state. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    pub(super) keys: Keys,
}

impl Store {
    /// Prepares a connection. Must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// Only for a URL that [`RedisConfig`] would have refused; a Redis that is down is no error.
    pub fn new(config: &RedisConfig) -> StoreResult<Store> {
        let client = redis::Client::open(config.url.as_str())?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout))
            .set_number_of_retries(0)
            .set_min_delay(Duration::from_millis(20));
        Ok(Store {
            connection: ConnectionManager::new_lazy_with_config(client, manager)?,
            keys: Keys::new(&config.prefix),
        })
    }

    /// How keys are spelled here.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The connection, for one command or script.
    pub(super) fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// Runs a pipeline: one round trip.
    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> StoreResult<T> {
        Ok(pipeline.query_async(&mut self.connection()).await?)
    }

    /// Asks Redis whether it is there; returns how long it took to say so.
    pub async fn ping(&self) -> StoreResult<Duration> {
        let begun = Instant::now();
        let _: String = redis::cmd("PING").query_async(&mut self.connection()).await?;
        Ok(begun.elapsed())
    }

    /// Redis' own clock, ms since 1970: the one clock of all replicas.
    pub async fn now_ms(&self) -> StoreResult<u64> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection()).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

/// A connection of its own that fails at once when Redis is not there: for commands that a person
/// waits for.
pub async fn check(config: &RedisConfig) -> RedisResult<()> {
    let client = redis::Client::open(config.url.as_str())?;
    let timeouts = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.response_timeout));
    client.get_multiplexed_async_connection_with_config(&timeouts).await.map(|_| ())
}
