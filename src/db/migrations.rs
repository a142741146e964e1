//! `sl migrate`: creates the schema in an empty database, or upgrades Scalelite's schema in place. Several
//! processes may run it at the same time, and be killed at any point: the next run continues.

use super::advisory_lock::MIGRATION_KEY;
use super::required_indexes::{REPLACED_INDEXES, REQUIRED_INDEXES};
use super::{Database, DbError, session};
use sha2::{Digest, Sha384};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use std::time::Duration;
use tracing::{error, info};

/// Tries to get a short lock on a table that is in use, [`LOCK_RETRY_INTERVAL`] apart.
const MAX_LOCK_ATTEMPTS: u32 = 60;

const LOCK_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts to become the only process that migrates.
const MIGRATION_LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// Between two checks of the schema by [`prepare`].
const PREPARE_INTERVAL: Duration = Duration::from_secs(2);

/// See [`accept_first_edition_of_counts`].
const COUNTS_FIRST_EDITION_SHA384: &str = "df4cb6d55cdced1f044d3973057092c6e74ebfe42e65910cb1aab076941ec2cc\
    39a20e415f6c2404546a4a54994d3469";

/// Migrations need a lock that outlasts transactions, and build indexes outside of them.
const NEEDS_SESSION: &str = "migrations need a session of their own, and DATABASE_URL leads to a pooler in transaction \
    mode: set DATABASE_DIRECT_URL to the URL of Postgres itself, and run `sl migrate`";

/// The files in migrations/, in order. Released files are never edited.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "tables", include_str!("../../migrations/0001_tables.sql")),
    (2, "ours", include_str!("../../migrations/0002_ours.sql")),
    (3, "counts", include_str!("../../migrations/0003_counts.sql")),
    (4, "documents", include_str!("../../migrations/0004_documents.sql")),
    (5, "callbacks", include_str!("../../migrations/0005_callbacks.sql")),
    (6, "first_server", include_str!("../../migrations/0006_first_server.sql")),
];

/// The owner of `recordings` needs access to the tables that `sl` adds, even if another role has migrated.
const GRANTS: &str = "DO $$ DECLARE \
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'recordings'::regclass); \
    BEGIN \
    EXECUTE format('GRANT SELECT ON recording_counts, _sqlx_migrations TO %I', owner); \
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON callbacks, callback_urls TO %I', owner); \
    END $$";

/// The newest schema of Scalelite that `sl` can upgrade.
const NEWEST_SCALELITE_SCHEMA: i64 = 20_230_627_141_045;

/// The schema of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// There is no table of recordings.
    Empty,
    /// Scalelite's tables, with the version in schema_migrations.
    Scalelite(i64),
    /// Created by `sl`, but this migration or index is missing.
    Behind(String),
    /// Complete.
    Ready,
}

impl Database {
    /// Inspects the schema of the database.
    pub async fn schema(&self) -> Result<Schema, DbError> {
        let mut connection = self.pool.acquire().await?;
        inspect_schema(&mut connection).await
    }

    /// Creates missing tables, columns and indexes, and reports each step. Locks out other users of the tables for
    /// moments only.
    pub async fn migrate(&self, mut report: impl FnMut(&str)) -> Result<(), DbError> {
        let Some(options) = self.migration_options.as_deref() else {
            return Err(DbError::Schema(NEEDS_SESSION.into()));
        };
        if session::is_shared(options).await? {
            return Err(DbError::Schema(NEEDS_SESSION.into()));
        }
        // A separate connection: its locks end with it.
        let mut connection = PgConnection::connect_with(options).await?;
        let result = migrate(&mut connection, &mut report).await;
        let _ = connection.close().await;
        result
    }
}

/// Prepares the database when a process starts: waits for Postgres, creates the schema in an empty database,
/// where there is nothing to lose and no one to lock out, and logs what is missing otherwise. Upgrading
/// Scalelite's schema is left to `sl migrate`.
pub async fn prepare(db: &Database) {
    let mut logged = false;
    loop {
        if let Ok(true) = db.lacks_sessions().await {
            error!(
                "DATABASE_URL leads to a pooler in transaction mode (PgBouncer): set PREPARED_STATEMENT=false, or use \
                 session pooling; recording calls fail until then"
            );
            return;
        }
        match db.schema().await {
            Ok(Schema::Ready) => return,
            Ok(Schema::Empty) => match db.migrate(|step| info!("database: {step}")).await {
                Ok(()) => return,
                Err(failure) => error!(%failure, "cannot create the tables of the recordings index"),
            },
            Ok(behind) => {
                error!(found = ?behind, "the database is not prepared: run `sl migrate`; recording calls fail until then");
                return;
            }
            Err(failure) if !std::mem::replace(&mut logged, true) => {
                // The pool's timeout does not say why.
                let failure = db.try_connect().await.err().unwrap_or(failure);
                error!(%failure, "Postgres is unavailable: recording calls fail until it is back");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PREPARE_INTERVAL).await;
    }
}

async fn inspect_schema(connection: &mut PgConnection) -> Result<Schema, DbError> {
    let table_exists = async |connection: &mut PgConnection, table: &str| {
        sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(connection)
            .await
    };
    if !table_exists(connection, "recordings").await? {
        return Ok(Schema::Empty);
    }
    if !table_exists(connection, "_sqlx_migrations").await? {
        let mut version = 0;
        if table_exists(connection, "schema_migrations").await? {
            version = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT max(version::bigint) FROM schema_migrations WHERE version ~ '^[0-9]+$'",
            )
            .fetch_one(&mut *connection)
            .await?
            .unwrap_or(0);
        }
        return Ok(Schema::Scalelite(version));
    }
    let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *connection)
        .await?;
    if let Some((number, name, _)) = MIGRATIONS.iter().find(|(number, ..)| !applied.contains(number)) {
        return Ok(Schema::Behind(format!("migration {number}, {name}")));
    }
    for index in &REQUIRED_INDEXES {
        if !index.exists(connection).await? {
            return Ok(Schema::Behind(format!("index {}", index.name)));
        }
    }
    Ok(Schema::Ready)
}

async fn migrate(connection: &mut PgConnection, report: &mut impl FnMut(&str)) -> Result<(), DbError> {
    // Poll for the lock. Waiting for it inside Postgres would hold a snapshot, and the CREATE INDEX CONCURRENTLY of
    // the lock's holder waits for all snapshots.
    let mut reported = false;
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(MIGRATION_KEY)
        .fetch_one(&mut *connection)
        .await?
    {
        if !std::mem::replace(&mut reported, true) {
            report("waiting for another process that is migrating");
        }
        tokio::time::sleep(MIGRATION_LOCK_INTERVAL).await;
    }
    match inspect_schema(connection).await? {
        Schema::Ready => return Ok(()),
        Schema::Empty => report("the database is empty"),
        Schema::Behind(what) => report(&format!("missing: {what}")),
        Schema::Scalelite(version) if version > NEWEST_SCALELITE_SCHEMA => {
            return Err(DbError::Schema(format!(
                "the database has Scalelite's schema {version}, which is newer than {NEWEST_SCALELITE_SCHEMA}, the \
                 newest that this version can upgrade"
            )));
        }
        Schema::Scalelite(version) => report(&format!("a database of Scalelite, schema {version}")),
    }
    accept_first_edition_of_counts(connection).await?;
    run_migrations(connection, &MIGRATIONS, report).await?;
    sqlx::raw_sql(GRANTS).execute(&mut *connection).await?;
    for index in &REQUIRED_INDEXES {
        if !index.exists(connection).await? {
            report(&format!("building {}", index.name));
            index.build(connection).await?;
        }
    }
    for name in REPLACED_INDEXES {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Migration 3 was edited once, before the first release: it set the state of recordings that had none, which made
/// recordings visible that Scalelite hides. Where its first edition was applied, there is nothing left to do, and no
/// record of which states it set.
async fn accept_first_edition_of_counts(connection: &mut PgConnection) -> Result<(), DbError> {
    let table_exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if table_exists {
        let (number, _, sql) = MIGRATIONS[2];
        sqlx::query(
            "UPDATE _sqlx_migrations SET checksum = $2 WHERE version = $1 AND checksum = decode($3, 'hex')",
        )
        .bind(number)
        .bind(&Sha384::digest(sql)[..])
        .bind(COUNTS_FIRST_EDITION_SHA384)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn run_migrations(
    connection: &mut PgConnection,
    migrations: &[(i64, &'static str, &'static str)],
    report: &mut impl FnMut(&str),
) -> Result<(), DbError> {
    // ALTER TABLE waits for all current users of the table, and all new ones queue behind it. So give up soon, and
    // retry.
    sqlx::query("SET lock_timeout = '2s'").execute(&mut *connection).await?;
    let migrations = migrations.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_locking(false);
    // Migrations of a newer version of `sl` do no harm.
    migrator.set_ignore_missing(true);
    for attempt in 1u32.. {
        match migrator.run_direct(None, &mut *connection, false).await {
            Ok(()) => break,
            Err(error) => match DbError::from(error) {
                DbError::Busy if attempt < MAX_LOCK_ATTEMPTS => {
                    report("a table is in use: retrying");
                    tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
                }
                error => return Err(error),
            },
        }
    }
    sqlx::query("SET lock_timeout = 0").execute(&mut *connection).await?;
    Ok(())
}

impl From<sqlx::migrate::MigrateError> for DbError {
    fn from(error: sqlx::migrate::MigrateError) -> DbError {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => DbError::from(error),
            other => DbError::Schema(other.to_string()),
        }
    }
}
