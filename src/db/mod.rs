//! Postgres, apart from what the tables mean.
//!
//! - [`Database`]: one small pool of connections for each runtime
//! - [`error`]: errors, and which of them are transient
//! - [`advisory_lock`]: the numbers of all advisory locks
//! - [`migrations`]: `sl migrate`; `required_indexes`: the indexes that it builds

pub mod advisory_lock;
pub mod error;
pub mod migrations;
mod required_indexes;

pub use error::DbError;

use crate::config::RecordingsConfig;
use error::is_lost;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Connections of one runtime, unless the caller needs another number. A request holds one while its query
/// runs.
pub const DEFAULT_CONNECTIONS: u32 = 4;

/// A request waits for Postgres no longer than this, so that an error comes within two seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1800);

/// The same for commands, the importer and callbacks.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(30);

/// Limit of one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A statement whose request has timed out must not run on in Postgres, where it would occupy its connection.
const REQUEST_SESSION: &str = "SET statement_timeout = 1700";

/// A connection that is returned to the pool must answer within this, or it is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of every session. All queries are index probes whose best plan does not depend on their values:
/// plan once, never compile. Table statistics must not change that plan: after a large import Postgres still
/// believes that the tables are small. Keepalives: a host that vanished must not hold its locks for hours.
const SESSION: &str = "SET jit = off; SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
    SET TimeZone = 'UTC'; SET idle_in_transaction_session_timeout = 0; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// A pool of connections. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    timeout: Duration,
}

impl Database {
    /// Connections for requests, each operation limited to 1.8 seconds. Nothing connects yet. None if the
    /// settings name no database. Must be called inside the runtime that will use it.
    pub fn for_requests(config: &RecordingsConfig) -> Option<Database> {
        Database::new(config, REQUEST_TIMEOUT, DEFAULT_CONNECTIONS, Some(REQUEST_SESSION))
    }

    /// Connections for commands and background work, each operation limited to 30 seconds.
    pub fn for_background(config: &RecordingsConfig, connections: u32) -> Option<Database> {
        Database::new(config, BACKGROUND_TIMEOUT, connections, None)
    }

    fn new(
        config: &RecordingsConfig,
        timeout: Duration,
        connections: u32,
        extra_session: Option<&'static str>,
    ) -> Option<Database> {
        let options = config.database.clone()?.options;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout.min(Duration::from_secs(5)))
            .idle_timeout(Duration::from_secs(300))
            // A test costs each request a round trip; a lost connection shows when it is used.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
                    if let Some(session) = extra_session {
                        sqlx::raw_sql(session).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            // sqlx pings too, but without a limit: after the host of Postgres vanished, every connection
            // would wait to be returned.
            .after_release(|connection, _| Box::pin(ping_released(connection)))
            .connect_lazy_with(options);
        Some(Database { pool, timeout })
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The limit of one operation.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Checks that Postgres answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.run_idempotent(|| {
            async { Ok(sqlx::query("SELECT 1").execute(&self.pool).await.map(|_| ())?) }.boxed()
        })
        .await
    }

    /// Connects once, apart from the pool, which would try again until its timeout and then not say why.
    pub async fn try_connect(&self) -> Result<(), DbError> {
        let options = self.pool.connect_options();
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
        let connection = connect.await.map_err(|_| DbError::Timeout)??;
        let _ = connection.close().await;
        Ok(())
    }

    /// Waits until Postgres accepts a connection, for at most `attempts` attempts a second apart. Fails at once
    /// if another attempt cannot succeed: a wrong password, no such database.
    pub async fn wait_until_ready(&self, attempts: u32) -> Result<(), DbError> {
        let mut left = attempts;
        loop {
            match self.try_connect().await {
                Err(failure) if left > 1 && !failure.is_refusal() => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    /// Runs an operation within the timeout, and runs it again if its connection turns out to be lost, which
    /// shows only when it is used. The operation may run twice.
    pub async fn run_idempotent<'a, T>(
        &'a self,
        operation: impl Fn() -> BoxFuture<'a, Result<T, DbError>> + Send,
    ) -> Result<T, DbError> {
        self.run_idempotent_until(Instant::now() + self.timeout, operation).await
    }

    /// The same, until `deadline`.
    pub async fn run_idempotent_until<'a, T>(
        &'a self,
        deadline: Instant,
        operation: impl Fn() -> BoxFuture<'a, Result<T, DbError>> + Send,
    ) -> Result<T, DbError> {
        let attempts = async {
            let mut lost = 0;
            loop {
                match operation().await {
                    // Every connection of the pool may be lost.
                    Err(DbError::Database(error))
                        if lost <= self.pool.options().get_max_connections() && is_lost(&error) =>
                    {
                        lost += 1
                    }
                    result => return result,
                }
            }
        };
        tokio::time::timeout_at(deadline, attempts).await.unwrap_or(Err(DbError::Timeout))
    }
}

async fn ping_released(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
        Ok(pong) => pong.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}
