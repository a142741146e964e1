//! `sl migrate`: makes the tables of an empty database, or brings one of Scalelite's forward where it
//! stands. Any number may do so at once, and be killed in the middle: the next one goes on.

use super::advisory_lock::MIGRATION_KEY;
use super::{Database, DbError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqlSafeStr};
use std::time::Duration;
use tracing::{error, info};

/// The files in migrations/ that have a number, in order. What has been released is never changed.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "tables", include_str!("../../migrations/0001_tables.sql")),
    (2, "ours", include_str!("../../migrations/0002_ours.sql")),
    (3, "counts", include_str!("../../migrations/0003_counts.sql")),
    (4, "documents", include_str!("../../migrations/0004_documents.sql")),
    (5, "callbacks", include_str!("../../migrations/0005_callbacks.sql")),
];

const INDEXES: &str = include_str!("../../migrations/indexes.sql");

/// Whoever owns the recordings reads what stands beside them, and writes callbacks, though another role has
/// migrated.
const RIGHTS: &str = "DO $$ DECLARE \
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'recordings'::regclass); \
    BEGIN \
    EXECUTE format('GRANT SELECT ON recording_counts, _sqlx_migrations TO %I', owner); \
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON callbacks, callback_urls TO %I', owner); \
    END $$";

/// The last schema of Scalelite that is known here.
const SCALELITE: i64 = 20_230_627_141_045;

/// What stands in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// No table of recordings.
    Empty,
    /// Scalelite's tables, with the version that its schema_migrations tells.
    Scalelite(i64),
    /// Ours, but something is missing: what.
    Behind(String),
    /// All that we need.
    Ready,
}

impl Database {
    /// What stands in the database.
    pub async fn schema(&self) -> Result<Schema, DbError> {
        let mut connection = self.pool.acquire().await?;
        look(&mut connection).await
    }

    /// Makes tables, columns and indexes that are missing; `tell` hears of each step. Nobody is locked
    /// out meanwhile for longer than a moment.
    pub async fn migrate(&self, mut tell: impl FnMut(&str)) -> Result<(), DbError> {
        // A connection of its own, whose locks end with it.
        let options = self.pool.connect_options();
        let mut connection = PgConnection::connect_with(&options).await?;
        let result = migrate(&mut connection, &mut tell).await;
        let _ = connection.close().await;
        result
    }
}

/// For a process that starts to use the index: says in the log what is wrong with it, and makes the tables
/// of an empty database, where there is nothing to lose and nobody to wait. Scalelite's are left to
/// `sl migrate`. Waits for a Postgres that is not there yet.
pub async fn prepare(db: &Database) {
    let mut told = false;
    loop {
        match db.schema().await {
            Ok(Schema::Ready) => return,
            Ok(Schema::Empty) => match db.migrate(|step| info!("database: {step}")).await {
                Ok(()) => return,
                Err(failure) => error!(%failure, "cannot make the tables of the recordings' index"),
            },
            Ok(behind) => {
                error!(found = ?behind, "the database is not prepared: run `sl migrate`; until then recordings fail");
                return;
            }
            Err(failure) if !std::mem::replace(&mut told, true) => {
                error!(%failure, "Postgres is not there: recordings fail until it is");
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn look(connection: &mut PgConnection) -> Result<Schema, DbError> {
    let there = async |connection: &mut PgConnection, table: &str| {
        sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(connection)
            .await
    };
    if !there(connection, "recordings").await? {
        return Ok(Schema::Empty);
    }
    if !there(connection, "_sqlx_migrations").await? {
        let mut version = 0;
        if there(connection, "schema_migrations").await? {
            version = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT max(version::bigint) FROM schema_migrations WHERE version ~ '^[0-9]+$'",
            )
            .fetch_one(&mut *connection)
            .await?
            .unwrap_or(0);
        }
        return Ok(Schema::Scalelite(version));
    }
    let done: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *connection)
        .await?;
    if let Some((number, name, _)) = MIGRATIONS.iter().find(|(number, ..)| !done.contains(number)) {
        return Ok(Schema::Behind(format!("migration {number}, {name}")));
    }
    for wanted in indexes() {
        if !wanted.is_there(connection).await? {
            return Ok(Schema::Behind(format!("index {}", wanted.name)));
        }
    }
    Ok(Schema::Ready)
}

async fn migrate(connection: &mut PgConnection, tell: &mut impl FnMut(&str)) -> Result<(), DbError> {
    // Waiting inside Postgres would hold a snapshot, for which CREATE INDEX CONCURRENTLY waits.
    let mut told = false;
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(MIGRATION_KEY)
        .fetch_one(&mut *connection)
        .await?
    {
        if !std::mem::replace(&mut told, true) {
            tell("waiting for somebody else who is migrating");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    match look(connection).await? {
        Schema::Ready => return Ok(()),
        Schema::Empty => tell("an empty database"),
        Schema::Behind(what) => tell(&format!("missing: {what}")),
        Schema::Scalelite(version) if version > SCALELITE => {
            return Err(DbError::Schema(format!(
                "the database has Scalelite's schema {version}; {SCALELITE} is the last one known here"
            )));
        }
        Schema::Scalelite(version) => tell(&format!("a database of Scalelite, schema {version}")),
    }
    // Recordings without a state get theirs before migration 3 counts them, which keeps writers waiting.
    tables(connection, &MIGRATIONS[..2], tell).await?;
    states(connection, tell).await?;
    tables(connection, &MIGRATIONS, tell).await?;
    sqlx::raw_sql(RIGHTS).execute(&mut *connection).await?;
    for wanted in indexes() {
        if !wanted.is_there(connection).await? {
            tell(&format!("building {}", wanted.name));
            wanted.build(connection).await?;
        }
    }
    Ok(())
}

/// Databases of Scalelite's first years have recordings without a state. A row that somebody holds is left
/// to migration 3.
async fn states(connection: &mut PgConnection, tell: &mut impl FnMut(&str)) -> Result<(), DbError> {
    // By id, whatever Postgres believes of the table.
    let plan = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";
    sqlx::raw_sql(plan).execute(&mut *connection).await?;
    let mut after = i64::MIN;
    loop {
        let (rows, last) = sqlx::query_as::<_, (i64, Option<i64>)>(
            "WITH held AS (SELECT id FROM recordings WHERE id > $1 AND state IS NULL ORDER BY id LIMIT 1000 \
                 FOR NO KEY UPDATE SKIP LOCKED), \
             written AS (UPDATE recordings r \
                 SET state = CASE WHEN published THEN 'published' ELSE 'unpublished' END \
                 FROM held WHERE r.id = held.id) \
             SELECT count(*), max(id) FROM held",
        )
        .bind(after)
        .fetch_one(&mut *connection)
        .await?;
        let Some(last) = last else { break };
        if after == i64::MIN {
            tell("writing states of recordings that have none");
        }
        after = last;
        if rows < 1000 {
            break;
        }
    }
    let plan = "RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort";
    sqlx::raw_sql(plan).execute(&mut *connection).await?;
    Ok(())
}

async fn tables(
    connection: &mut PgConnection,
    migrations: &[(i64, &'static str, &'static str)],
    tell: &mut impl FnMut(&str),
) -> Result<(), DbError> {
    // A change of a table waits for whoever reads it, and everybody else waits behind it: rather give
    // up soon, and try again.
    sqlx::query("SET lock_timeout = '2s'").execute(&mut *connection).await?;
    let migrations = migrations.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_locking(false);
    // A newer version of this program has been here: what it added does not disturb.
    migrator.set_ignore_missing(true);
    for attempt in 1.. {
        match migrator.run_direct(None, &mut *connection, false).await {
            Ok(()) => break,
            Err(error) => match DbError::from(error) {
                DbError::Busy if attempt < 60 => {
                    tell("a table is in use: trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
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

/// One statement of migrations/indexes.sql.
struct Wanted {
    name: &'static str,
    table: &'static str,
    /// The columns of a unique one: an equal one under another name will do.
    unique: Option<Vec<&'static str>>,
    sql: &'static str,
}

fn indexes() -> impl Iterator<Item = Wanted> {
    INDEXES.split(';').filter_map(|statement| {
        let sql = statement.get(statement.find("CREATE ")?..)?.trim();
        let (_, rest) = sql.split_once("IF NOT EXISTS ")?;
        let mut words = rest.split_whitespace();
        let (name, _, table) = (words.next()?, words.next()?, words.next()?);
        let columns = rest.split_once('(')?.1.trim_end_matches(')').split(',').map(str::trim);
        Some(Wanted { name, table, unique: sql.starts_with("CREATE UNIQUE").then(|| columns.collect()), sql })
    })
}

impl Wanted {
    async fn is_there(&self, connection: &mut PgConnection) -> Result<bool, DbError> {
        let rows = sqlx::query(
            "SELECT c.relname::text, \
                 i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL, \
                 ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (n, place) \
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY place) \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = to_regclass($1) AND i.indisvalid",
        )
        .bind(self.table)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let (name, unique): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
            let columns: Vec<String> = row.try_get(2)?;
            if name == self.name || (unique && self.unique.as_ref().is_some_and(|wanted| *wanted == columns))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn build(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        // What a build that was cut off left is there and of no use.
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
        sqlx::raw_sql(self.sql).execute(&mut *connection).await.map_err(|error| {
            match DbError::from(error) {
                DbError::Database(sqlx::Error::Database(told)) if told.code().as_deref() == Some("23505") => {
                    DbError::Schema(format!("{} has rows twice: {}", self.table, told.message()))
                }
                other => other,
            }
        })?;
        Ok(())
    }
}
