//! One multiplexed connection to Redis per thread. It is made with the first request, not at the start:
//! while Redis is down requests fail fast, and the first one after its return connects again.

use super::keys::Keys;
use super::location_cache::LocationCache;
use crate::config::RedisConfig;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo,
    RedisError, RedisResult, ScriptInvocation,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Redis did not answer, refused, or holds data of another shape.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The error of the connection or of Redis. Not as a source, whose text would be printed again.
    #[error("Redis: {0}")]
    Redis(RedisError),
    /// A script returned what its contract does not have; its name.
    #[error("lua/{0}.lua returned an unexpected reply")]
    UnexpectedReply(&'static str),
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> StoreError {
        StoreError::Redis(error)
    }
}

impl StoreError {
    /// Whether Redis asks for a password, and REDIS_URL has none.
    pub fn lacks_password(&self) -> bool {
        matches!(self, StoreError::Redis(error) if error.code() == Some("NOAUTH"))
    }
}

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// One round trip.
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(&self, mut to: ConnectionManager) -> RedisResult<T> {
        match self {
            Request::Command(command) => command.query_async(&mut to).await,
            Request::Pipeline(pipeline) => pipeline.query_async(&mut to).await,
            Request::Script(script) => script.invoke_async(&mut to).await,
        }
    }
}

/// The state. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    /// A request that failed later than this is not repeated.
    retry_within: Duration,
    pub(super) keys: Keys,
    pub(super) locations: Arc<LocationCache>,
}

impl Store {
    /// Prepares a connection. Must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// Only for a URL that [`RedisConfig`] would have refused, not if Redis is down.
    pub fn new(config: &RedisConfig) -> StoreResult<Store> {
        let mut info = config.url.as_str().into_connection_info()?;
        // `?protocol=resp2` is for a proxy in front of Redis that does not speak RESP3.
        if !config.url.contains("protocol=") {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            info = info.set_redis_settings(settings);
        }
        let resp3 = info.redis_settings().protocol() == ProtocolVersion::RESP3;
        let keys = Keys::new(&config.prefix);
        let locations = Arc::new(LocationCache::new(keys.clone(), resp3));
        let mut manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout))
            .set_number_of_retries(0);
        if resp3 {
            let locations = locations.clone();
            manager = manager.set_push_sender(move |push: PushInfo| {
                locations.on_push(&push);
                Ok::<_, SendError>(())
            });
        }
        Ok(Store {
            connection: ConnectionManager::new_lazy_with_config(redis::Client::open(info)?, manager)?,
            retry_within: config.connect_timeout.min(config.response_timeout) / 2,
            keys,
            locations,
        })
    }

    /// The names of its keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Sends a request, and once more if the connection turns out to have been lost before: its manager
    /// notices a loss only when a request is sent, and fails that request. A request that may have run
    /// already may be repeated: see `scripts.rs`.
    pub(super) async fn send<T: FromRedisValue>(&self, request: Request<'_>) -> StoreResult<T> {
        let begun = Instant::now();
        match request.send(self.connection.clone()).await {
            // Not if Redis is slow or the attempt to connect hangs: that would double the wait.
            Err(lost) if lost.is_io_error() && begun.elapsed() < self.retry_within => {
                Ok(request.send(self.connection.clone()).await?)
            }
            result => Ok(result?),
        }
    }

    /// Runs a command: one round trip.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> StoreResult<T> {
        self.send(Request::Command(command)).await
    }

    /// Runs a pipeline: one round trip.
    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> StoreResult<T> {
        self.send(Request::Pipeline(pipeline)).await
    }

    /// Checks that Redis answers; returns how long the answer took.
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

/// Connects once to see whether Redis is there, and fails at once if not: for commands that an operator
/// waits for.
pub async fn check(config: &RedisConfig) -> StoreResult<()> {
    let client = redis::Client::open(config.url.as_str())?;
    let timeouts = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.response_timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&timeouts).await?;
    // Without a password, connecting succeeds, and the first command fails.
    Ok(redis::cmd("PING").query_async(&mut connection).await?)
}
