//! Postgres, apart from what the tables mean.
//!
//! - [`Database`]: one small pool of connections for each runtime
//! - `session`: the settings of a session, or of each transaction behind a pooler in transaction mode
//! - [`error`]: errors, and which of them are transient
//! - [`advisory_lock`]: the numbers of all advisory locks
//! - [`migrations`]: `sl migrate`; `required_indexes`: the indexes that it builds

pub mod advisory_lock;
pub mod error;
pub mod migrations;
mod required_indexes;
mod session;

pub use error::DbError;

use crate::config::RecordingsConfig;
use error::is_lost;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use session::Session;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Connections of one runtime, unless the caller needs another number. A request holds one while its query
/// runs.
pub const DEFAULT_CONNECTIONS: u32 = 4;

/// A request waits for Postgres no longer than this, so that an error comes within two seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1800);

/// A statement whose request has timed out must not run on in Postgres, where it would occupy its connection.
const REQUEST_STATEMENT_TIMEOUT: Duration = Duration::from_millis(1700);

/// The same for commands, the importer and callbacks.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(30);

/// One attempt to connect, outside of the pool.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of connections. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    timeout: Duration,
    /// What migrations connect with; None if only a pooler in transaction mode is known.
    migration_options: Option<Box<PgConnectOptions>>,
    keeps_sessions: bool,
}

impl Database {
    /// Connections for requests, each operation limited to 1.8 seconds. Nothing connects yet. None if the
    /// settings name no database. Must be called inside the runtime that will use it.
    pub fn for_requests(config: &RecordingsConfig) -> Option<Database> {
        Database::new(config, REQUEST_TIMEOUT, DEFAULT_CONNECTIONS, Some(REQUEST_STATEMENT_TIMEOUT))
    }

    /// Connections for commands and background work, each operation limited to 30 seconds.
    pub fn for_background(config: &RecordingsConfig, connections: u32) -> Option<Database> {
        Database::new(config, BACKGROUND_TIMEOUT, connections, None)
    }

    fn new(
        config: &RecordingsConfig,
        timeout: Duration,
        connections: u32,
        statement_timeout: Option<Duration>,
    ) -> Option<Database> {
        let database = config.database.clone()?;
        let migration_options = database.migration_options().cloned().map(Box::new);
        let session = Session::new(database.keeps_sessions, statement_timeout);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout.min(Duration::from_secs(5)))
            .idle_timeout(Duration::from_secs(300))
            // A test costs each request a round trip; a lost connection shows when it is used.
            .test_before_acquire(false);
        // sqlx pings a released connection too, but without a limit: after the host of Postgres vanished, every
        // connection would wait to be returned.
        let keeps_sessions = database.keeps_sessions;
        let pool = session.configure(pool).connect_lazy_with(session.options(database.options));
        Some(Database { pool, timeout, migration_options, keeps_sessions })
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
        let connection = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await;
        Ok(connection.map_err(|_| DbError::Timeout)??.close().await?)
    }

    /// Waits until Postgres takes a connection, for at most `attempts` attempts a second apart. A connection of its
    /// own: the pool would repeat a refused one for seconds, and then report a timeout.
    pub async fn wait_until_ready(&self, attempts: u32) -> Result<(), DbError> {
        let mut left = attempts;
        loop {
            match self.try_connect().await {
                Ok(()) => return Ok(()),
                // A refused password or an unknown database stays one.
                Err(DbError::Database(error)) if left <= 1 || !is_lost(&error) => return Err(error.into()),
                Err(failure) if left <= 1 => return Err(failure),
                Err(_) => left -= 1,
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether sessions must be kept (PREPARED_STATEMENT), but a pooler in transaction mode shares them.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn lacks_sessions(&self) -> Result<bool, DbError> {
        match &self.migration_options {
            Some(options) if self.keeps_sessions => Ok(timeout(CONNECT_TIMEOUT, session::is_shared(options))
                .await
                .map_err(|_| DbError::Timeout)??),
            _ => Ok(false),
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
