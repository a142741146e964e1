//! One multiplexed connection to Redis per thread. It is made with the first request, not at the start:
//! while Redis is down requests fail fast, and the first one after its return connects again.

use super::keys::Keys;
use super::location_cache::LocationCache;
use super::registry::RegistryCache;
use super::scripts::Health;
use crate::config::RedisConfig;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two replacements of a connection to a Redis that has become a replica.
const REPLACE_INTERVAL: Duration = Duration::from_secs(1);

/// Redis did not answer, refused, or holds data of another shape.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The error of the connection or of Redis. Not as a source, whose text would be printed again.
    #[error("Redis: {0}{remedy}", remedy = remedy(.0))]
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

    /// Whether Redis answers, but refuses to write: it is a replica, full, or cannot save its data. Scripts that
    /// write nothing may still work. Redis before 7 wraps the refusal into the error of the script.
    pub fn is_write_refused(&self) -> bool {
        const REFUSALS: [&str; 4] = ["READONLY", "OOM ", "MISCONF", "NOREPLICAS"];
        match self {
            StoreError::Redis(error) => {
                let text = error.to_string();
                let code = error.code().unwrap_or_default();
                REFUSALS.iter().any(|refusal| code == refusal.trim_end() || text.contains(refusal))
            }
            StoreError::UnexpectedReply(_) => false,
        }
    }
}

/// Whether Redis rejects a command for good: it does not know it, or does not allow it. Not while it loads its data,
/// has no master, and so on.
pub(super) fn is_rejected(error: &RedisError) -> bool {
    matches!(error.code(), Some("ERR" | "NOPERM"))
}

/// What an operator can do about an error of Redis.
fn remedy(error: &RedisError) -> &'static str {
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(code, "NOAUTH" | "WRONGPASS") {
        " (REDIS_URL must have the user and password of this Redis: redis://USER:PASSWORD@HOST, or \
         redis://:PASSWORD@HOST)"
    } else if code == "MOVED" || code == "CROSSSLOT" {
        " (REDIS_NAMESPACE must keep all keys in one slot, such as {sl}, and REDIS_URL must name its node)"
    } else {
        ""
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

/// The connection, which can be replaced.
struct Link {
    client: redis::Client,
    settings: ConnectionManagerConfig,
    current: Mutex<Current>,
}

struct Current {
    connection: ConnectionManager,
    /// Grows with every replacement.
    number: u64,
    since: Instant,
}

impl Link {
    fn new(client: redis::Client, settings: ConnectionManagerConfig) -> RedisResult<Link> {
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), settings.clone())?;
        let current = Mutex::new(Current { connection, number: 0, since: Instant::now() });
        Ok(Link { client, settings, current })
    }

    fn current(&self) -> (ConnectionManager, u64) {
        let current = self.lock();
        (current.connection.clone(), current.number)
    }

    /// Replaces the connection of this number by a new one, which connects when it is used. False if it is too
    /// young: the new one would lead to the same Redis.
    fn replace(&self, number: u64) -> bool {
        let mut current = self.lock();
        if current.number != number {
            return true;
        }
        if current.since.elapsed() < REPLACE_INTERVAL {
            return false;
        }
        let new = ConnectionManager::new_lazy_with_config(self.client.clone(), self.settings.clone());
        let Ok(connection) = new else { return false };
        *current = Current { connection, number: number + 1, since: Instant::now() };
        true
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) || error.to_string().contains("READONLY")
}

/// The state. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Store {
    link: Arc<Link>,
    /// A request that failed later than this is not repeated.
    retry_within: Duration,
    pub(super) keys: Keys,
    pub(super) locations: Arc<LocationCache>,
    pub(super) registry: Arc<RegistryCache>,
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
        let registry = Arc::new(RegistryCache::new(keys.clone(), resp3));
        let mut manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout))
            .set_number_of_retries(0);
        if resp3 {
            let (locations, registry) = (locations.clone(), registry.clone());
            manager = manager.set_push_sender(move |push: PushInfo| {
                locations.on_push(&push);
                registry.on_push(&push);
                Ok::<_, SendError>(())
            });
        }
        Ok(Store {
            link: Arc::new(Link::new(client(config, info)?, manager)?),
            retry_within: config.connect_timeout.min(config.response_timeout) / 2,
            keys,
            locations,
            registry,
        })
    }

    /// The names of its keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Sends a request, and once more if the connection turns out to have been lost before: its manager
    /// notices a loss only when a request is sent, and fails that request. A request that may have run
    /// already may be repeated: see `scripts.rs`. The same if this Redis has become a replica: its name may lead
    /// to the new master by now.
    pub(super) async fn send<T: FromRedisValue>(&self, request: Request<'_>) -> StoreResult<T> {
        let begun = Instant::now();
        let (connection, number) = self.link.current();
        match request.send(connection).await {
            // Not if Redis is slow or the attempt to connect hangs: that would double the wait.
            Err(lost) if lost.is_io_error() && begun.elapsed() < self.retry_within => {
                Ok(request.send(self.link.current().0).await?)
            }
            Err(error) if is_read_only(&error) && self.link.replace(number) => {
                // No invalidation will come from the old connection.
                self.locations.clear();
                self.registry.clear();
                Ok(request.send(self.link.current().0).await?)
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

    /// Checks that Redis accepts what requests write: see `lua/health.lua`. Returns the number of servers.
    pub async fn check_writes(&self) -> StoreResult<u64> {
        self.run(&Health {}).await?.number()
    }

    /// Redis' own clock, ms since 1970: the one clock of all replicas.
    pub async fn now_ms(&self) -> StoreResult<u64> {
        let (seconds, micros): (u64, u64) = self.command(&redis::cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

fn client(config: &RedisConfig, info: impl IntoConnectionInfo) -> RedisResult<redis::Client> {
    match &config.tls {
        Some(tls) => redis::Client::build_with_tls(info, tls.clone()),
        None => redis::Client::open(info),
    }
}

/// Connects once to see whether Redis is there, and fails at once if not: for commands that an operator
/// waits for.
pub async fn check(config: &RedisConfig) -> StoreResult<()> {
    let client = client(config, config.url.as_str())?;
    let timeouts = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.response_timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&timeouts).await?;
    // Without a password, connecting succeeds, and the first command fails.
    Ok(redis::cmd("PING").query_async(&mut connection).await?)
}
