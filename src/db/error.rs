//! Errors of Postgres, sorted by what may be done about them.

/// Why a query or a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Postgres is unreachable, or refused the statement.
    #[error("Postgres: {0}")]
    Database(sqlx::Error),
    /// No result within the timeout.
    #[error("Postgres did not answer in time")]
    Timeout,
    /// Another process held the lock for longer than we wait.
    #[error("the recording is locked by another process")]
    Busy,
    /// Tables, columns or indexes are missing.
    #[error("the database is not prepared: run `sl migrate` ({0})")]
    NotMigrated(String),
    /// A schema that `sl migrate` cannot upgrade.
    #[error("{0}")]
    Schema(String),
    /// The formats of one import must belong to one recording, and there must be at least one.
    #[error("the formats do not belong to one recording")]
    NotOneRecording,
}

impl DbError {
    /// Whether a retry may succeed: Postgres is down, busy or not migrated yet. Everything else is
    /// wrong data.
    pub fn is_transient(&self) -> bool {
        match self {
            DbError::Timeout | DbError::Busy | DbError::NotMigrated(_) => true,
            DbError::NotOneRecording | DbError::Schema(_) => false,
            // Classes of SQLSTATE: data, constraints, program limits (a text too long for an index).
            DbError::Database(sqlx::Error::Database(error)) => !error
                .code()
                .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
            DbError::Database(_) => true,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> DbError {
        match &error {
            sqlx::Error::PoolTimedOut => DbError::Timeout,
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                // A table, a column, an index that ON CONFLICT needs.
                Some("42P01" | "42703" | "42P10") => DbError::NotMigrated(refusal.message().to_owned()),
                Some("55P03") => DbError::Busy,
                // statement_timeout
                Some("57014") => DbError::Timeout,
                _ => DbError::Database(error),
            },
            _ => DbError::Database(error),
        }
    }
}

/// Whether the connection is lost: the server is gone, or shutting down.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
