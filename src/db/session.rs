//! What a session of Postgres is prepared with, in two ways:
//!
//! - A session of our own is prepared once, when it connects.
//! - Behind a pooler in transaction mode (PgBouncer; PREPARED_STATEMENT=false) the sessions of Postgres are shared, and
//!   belong to a client only during a transaction. So a connection of the pool is in a transaction whenever it is in
//!   use: taking it from the pool begins one, with the settings for that transaction alone; returning it rolls it back.
//!   What writes must therefore commit. Statements that an earlier client of the session left behind are deallocated,
//!   since their names would be taken.
//!
//! What else would need a session of one's own: nothing but `sl migrate`, whose lock outlasts transactions, and which
//! builds indexes outside of them. All other advisory locks belong to transactions; nothing uses LISTEN, temporary tables
//! or cursors.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A connection that is returned to the pool must answer within this, or it is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest life of a connection to a pooler, which may remember every statement that was prepared on it.
const POOLED_LIFETIME: Duration = Duration::from_secs(600);

/// Comparisons of two connections by [`is_shared`].
const SHARED_ATTEMPTS: usize = 3;

/// All queries are index probes whose best plan does not depend on their values: plan once, never compile. Table
/// statistics must not change that plan: after a large import Postgres still believes that the tables are small.
const SETTINGS: [(&str, &str); 7] = [
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("TimeZone", "'UTC'"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// A host that vanished must not hold its locks for hours. Behind a pooler, this is a matter of its own settings.
const KEEPALIVES: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "30"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3")];

/// Deallocates the statements of sqlx, and not those that a newer pooler itself has prepared.
const DEALLOCATE: &str = "DO $$ DECLARE statement text; BEGIN \
    FOR statement IN SELECT name FROM pg_prepared_statements WHERE name ~ '^sqlx_s_' LOOP \
        EXECUTE format('DEALLOCATE %I', statement); \
    END LOOP; END $$";

/// How the connections of a pool are prepared.
pub(super) struct Session {
    /// Prepares a session, or begins a transaction in a shared one.
    prepare: Arc<str>,
    is_kept: bool,
}

impl Session {
    /// `is_kept` is false behind a pooler in transaction mode.
    pub(super) fn new(is_kept: bool, statement_timeout: Option<Duration>) -> Session {
        let set = if is_kept { "SET" } else { "SET LOCAL" };
        let mut statements = Vec::new();
        if !is_kept {
            statements.extend(["BEGIN".to_owned(), DEALLOCATE.to_owned()]);
        }
        let keepalives = if is_kept { &KEEPALIVES[..] } else { &[] };
        let settings = SETTINGS.iter().chain(keepalives);
        statements.extend(settings.map(|(name, value)| format!("{set} {name} = {value}")));
        if let Some(timeout) = statement_timeout {
            statements.push(format!("{set} statement_timeout = {}", timeout.as_millis()));
        }
        Session { prepare: statements.join("; ").into(), is_kept }
    }

    /// The options of the pool's connections.
    pub(super) fn options(&self, options: PgConnectOptions) -> PgConnectOptions {
        // A statement that is prepared in one transaction does not exist in the next.
        if self.is_kept { options } else { options.statement_cache_capacity(0) }
    }

    /// Prepares the pool's connections.
    pub(super) fn configure(&self, pool: PgPoolOptions) -> PgPoolOptions {
        let prepare = self.prepare.clone();
        let pool = pool.after_connect(move |connection, _| Box::pin(run(connection, prepare.clone())));
        if self.is_kept {
            return pool.after_release(|connection, _| Box::pin(ping(connection)));
        }
        let prepare = self.prepare.clone();
        pool.max_lifetime(POOLED_LIFETIME)
            .before_acquire(move |connection, _| {
                let prepare = prepare.clone();
                Box::pin(async move { run(connection, prepare).await.map(|()| true) })
            })
            .after_release(|connection, _| Box::pin(roll_back(connection)))
    }
}

async fn run(connection: &mut PgConnection, sql: Arc<str>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

async fn ping(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    in_time(connection.ping()).await.map(|()| true)
}

async fn roll_back(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    in_time(async { sqlx::raw_sql("ROLLBACK").execute(connection).await.map(drop) }).await.map(|()| true)
}

async fn in_time(work: impl Future<Output = Result<(), sqlx::Error>>) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(RELEASE_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

/// Whether one session of Postgres serves two open connections, as a pooler in transaction mode lets it. With other
/// clients at the pooler at the same moment, this may go unnoticed.
pub(super) async fn is_shared(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let mut second = PgConnection::connect_with(options).await?;
    let mut is_shared = false;
    let kept = backend(&mut first).await?;
    for _ in 0..SHARED_ATTEMPTS {
        sqlx::raw_sql("BEGIN").execute(&mut second).await?;
        let other = backend(&mut second).await?;
        // The first one must get another session while the transaction holds this one.
        is_shared |= other == kept || backend(&mut first).await? != kept;
        sqlx::raw_sql("ROLLBACK").execute(&mut second).await?;
    }
    first.close().await?;
    second.close().await?;
    Ok(is_shared)
}

/// The process of Postgres that serves a connection. A prepared statement would fail behind a pooler.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
