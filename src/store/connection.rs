//! One multiplexed connection to Redis per thread. Nothing connects at the start: a Redis that is
//! down makes requests fail fast, and the first request after its return finds it again.

use super::keys::Keys;
use super::location_cache::Lookups;
use crate::config::RedisConfig;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo,
    RedisError, RedisResult, ScriptInvocation,
};
use std::sync::Arc;
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

/// One round trip.
pub(super) enum Question<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl Question<'_> {
    async fn put<T: FromRedisValue>(&self, mut to: ConnectionManager) -> RedisResult<T> {
        match self {
            Question::Command(command) => command.query_async(&mut to).await,
            Question::Pipeline(pipeline) => pipeline.query_async(&mut to).await,
            Question::Script(script) => script.invoke_async(&mut to).await,
        }
    }
}

/// The state. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    patience: Duration,
    pub(super) keys: Keys,
    pub(super) lookups: Arc<Lookups>,
}

impl Store {
    /// Prepares a connection. Must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// Only for a URL that [`RedisConfig`] would have refused; a Redis that is down is no error.
    pub fn new(config: &RedisConfig) -> StoreResult<Store> {
        let mut info = config.url.as_str().into_connection_info()?;
        // A URL that names a protocol means it: `?protocol=resp2` for what stands before Redis and
        // does not know the newer one.
        if !config.url.contains("protocol=") {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            info = info.set_redis_settings(settings);
        }
        let resp3 = info.redis_settings().protocol() == ProtocolVersion::RESP3;
        let keys = Keys::new(&config.prefix);
        let lookups = Arc::new(Lookups::new(keys.clone(), resp3));
        let mut manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout))
            .set_number_of_retries(0);
        if resp3 {
            let lookups = lookups.clone();
            manager = manager.set_push_sender(move |push: PushInfo| {
                lookups.told(&push);
                Ok::<_, SendError>(())
            });
        }
        Ok(Store {
            connection: ConnectionManager::new_lazy_with_config(redis::Client::open(info)?, manager)?,
            patience: config.connect_timeout.min(config.response_timeout) / 2,
            keys,
            lookups,
        })
    }

    /// How keys are spelled here.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts a question; once more where the connection turns out to have been
    /// lost before. Its manager notices a loss only when somebody asks, and tells that one of it.
    /// What may have run already may be repeated: see `scripts.rs`.
    pub(super) async fn ask<T: FromRedisValue>(&self, question: Question<'_>) -> StoreResult<T> {
        let begun = Instant::now();
        match question.put(self.connection.clone()).await {
            // A Redis that is slow, or a connection attempt that hangs, is not asked twice.
            Err(lost) if lost.is_io_error() && begun.elapsed() < self.patience => {
                Ok(question.put(self.connection.clone()).await?)
            }
            result => Ok(result?),
        }
    }

    /// Runs a command: one round trip.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> StoreResult<T> {
        self.ask(Question::Command(command)).await
    }

    /// Runs a pipeline: one round trip.
    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> StoreResult<T> {
        self.ask(Question::Pipeline(pipeline)).await
    }

    /// Asks Redis whether it is there; returns how long it took to say so.
    pub async fn ping(&self) -> StoreResult<Duration> {
        let begun = Instant::now();
        let _: String = self.command(&redis::cmd("PING")).await?;
        Ok(begun.elapsed())
    }

    /// Redis' own clock, ms since 1970: the one clock of all replicas.
    pub async fn now_ms(&self) -> StoreResult<u64> {
        let (seconds, micros): (u64, u64) = self.command(&redis::cmd("TIME")).await?;
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
