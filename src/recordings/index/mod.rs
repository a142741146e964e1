//! The index: Postgres, and nothing but what can be found again in the files. One small pool for
//! each runtime, which connects when it is needed.
//!
//! - [`lock`]: one recording that nobody else changes meanwhile; import, publish, update, delete
//! - [`query`]: what getRecordings asks for, as SQL; [`page`]: its answer as [`Recording`]s
//! - `playable`: what playback asks
//! - `document`: what belongs to a recording, kept with it as one text
//! - [`update`]: metadata and protection, of several recordings at once

mod document;
pub mod lock;
pub mod page;
mod playable;
pub mod query;
mod time;
pub mod update;

pub use lock::{ImportOptions, Imported, Locked};
pub use page::{Pages, PlaybackFormat, Recording};
pub use playable::{Playable, PlayableFormat};
pub use query::{MetaFilter, MetaValue, RecordingQuery};
pub use update::Update;

use crate::config::RecordingsConfig;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Connections of one runtime. A request holds one for as long as a query takes.
const CONNECTIONS: u32 = 4;

/// A request gives up on Postgres after this: an error comes within two seconds.
const PATIENCE: Duration = Duration::from_millis(1800);

/// Recordings that requests of one runtime have locked at once. Whoever has one holds a connection for
/// as long as moving its files takes; the others are for those who read.
const LOCKS: usize = 2;

/// What nobody waits for any more does not go on in Postgres, where it would keep its connection.
const REQUEST_SESSION: &str = "SET statement_timeout = 1700";

/// A connection that comes back must answer within this, or is closed.
const RETURN: Duration = Duration::from_secs(2);

/// What each connection begins with. All queries are index probes whose best plan does not depend on
/// their values: it is made once, and never compiled. What Postgres believes of its tables must not
/// lead it elsewhere either: after a large import it believes that they are small. Keepalives: a host
/// of ours that vanished does not hold its locks for hours.
const SESSION: &str = "SET jit = off; SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
    SET TimeZone = 'UTC'; SET idle_in_transaction_session_timeout = 0; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// Why the index did not do it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Postgres does not answer, or refuses.
    #[error("Postgres: {0}")]
    Database(sqlx::Error),
    /// No answer in time.
    #[error("Postgres does not answer in time")]
    Timeout,
    /// Somebody else is changing that recording, for longer than we wait.
    #[error("somebody else is changing the recording")]
    Busy,
    /// Tables, columns or indexes are missing.
    #[error("the database is not prepared: run `sl migrate` ({0})")]
    NotMigrated(String),
    /// A database that `sl migrate` cannot bring forward.
    #[error("{0}")]
    Schema(String),
    /// Formats of several recordings, or none, where those of one were due.
    #[error("the formats do not belong to one recording")]
    NotOneRecording,
}

impl IndexError {
    /// Whether trying the same again later may help: Postgres is down, busy, not migrated yet. What is
    /// left is wrong data.
    pub fn is_transient(&self) -> bool {
        match self {
            IndexError::Timeout | IndexError::Busy | IndexError::NotMigrated(_) => true,
            IndexError::NotOneRecording | IndexError::Schema(_) => false,
            // Classes of SQLSTATE: data, constraints, program limits (a text too long for an index).
            IndexError::Database(sqlx::Error::Database(error)) => !error
                .code()
                .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
            IndexError::Database(_) => true,
        }
    }
}

impl From<sqlx::Error> for IndexError {
    fn from(error: sqlx::Error) -> IndexError {
        match &error {
            sqlx::Error::PoolTimedOut => IndexError::Timeout,
            sqlx::Error::Database(told) => match told.code().as_deref() {
                // A table, a column, an index that ON CONFLICT needs.
                Some("42P01" | "42703" | "42P10") => IndexError::NotMigrated(told.message().to_owned()),
                Some("55P03") => IndexError::Busy,
                // statement_timeout
                Some("57014") => IndexError::Timeout,
                _ => IndexError::Database(error),
            },
            _ => IndexError::Database(error),
        }
    }
}

/// The index of recordings. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Index {
    pub(crate) pool: PgPool,
    pub(crate) patience: Duration,
    /// None: as many as there are connections.
    locks: Option<Arc<Semaphore>>,
}

impl Index {
    /// Prepares connections for requests; none is made yet. None where the settings name no
    /// database. Must be called inside the runtime that will use it.
    pub fn connect_lazy(config: &RecordingsConfig) -> Option<Index> {
        Index::with(config, PATIENCE, CONNECTIONS)
    }

    /// The same for commands, the importer, and whoever else has more time than a client.
    pub fn patient(config: &RecordingsConfig) -> Option<Index> {
        Index::patient_with(config, CONNECTIONS)
    }

    /// The same with so many connections: who moves files under the lock of a recording holds one
    /// for as long as that takes.
    pub fn patient_with(config: &RecordingsConfig, connections: u32) -> Option<Index> {
        Index::with(config, Duration::from_secs(30).max(PATIENCE), connections)
    }

    fn with(config: &RecordingsConfig, patience: Duration, connections: u32) -> Option<Index> {
        let options = config.database.clone()?;
        let hurried = patience <= PATIENCE;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience.min(Duration::from_secs(5)))
            .idle_timeout(Duration::from_secs(300))
            // A round trip more for each request; a connection that was lost shows all the same.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
                    if hurried {
                        sqlx::raw_sql(REQUEST_SESSION).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            // sqlx waits for an answer too, but without end: where the host of Postgres vanished, all
            // connections would be waiting to come back.
            .after_release(|connection, _| Box::pin(still_there(connection)))
            .connect_lazy_with(options);
        let locks = hurried.then(|| Arc::new(Semaphore::new(LOCKS)));
        Some(Index { pool, patience, locks })
    }

    /// Asks Postgres whether it is there.
    pub async fn ping(&self) -> Result<(), IndexError> {
        self.patiently(|| {
            async { Ok(sqlx::query("SELECT 1").execute(&self.pool).await.map(|_| ())?) }.boxed()
        })
        .await
    }

    /// Waits until Postgres answers: so many attempts, a second apart.
    pub async fn wait(&self, attempts: u32) -> Result<(), IndexError> {
        let mut left = attempts;
        loop {
            match self.ping().await {
                Err(_) if left > 1 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    /// Does it within our patience; again on another connection where one turns out to have been
    /// lost, which is noticed only when it is used. For what may be done twice.
    pub(crate) async fn patiently<'a, T>(
        &'a self,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, IndexError>> + Send,
    ) -> Result<T, IndexError> {
        self.patiently_until(Instant::now() + self.patience, attempt).await
    }

    async fn patiently_until<'a, T>(
        &'a self,
        deadline: Instant,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, IndexError>> + Send,
    ) -> Result<T, IndexError> {
        let all = async {
            let mut lost = 0;
            loop {
                match attempt().await {
                    Err(IndexError::Database(error))
                        if lost <= self.pool.options().get_max_connections() && is_lost(&error) =>
                    {
                        lost += 1
                    }
                    result => return result,
                }
            }
        };
        tokio::time::timeout_at(deadline, all).await.unwrap_or(Err(IndexError::Timeout))
    }
}

async fn still_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(RETURN, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

/// The connection is no more: the server went, or is going.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(told) => told.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
