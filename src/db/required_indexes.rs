//! The database indexes of the recordings tables, one for each kind of query. `sl migrate` builds those that are
//! missing or whose build was interrupted, one by one with CREATE INDEX CONCURRENTLY, which blocks neither readers
//! nor writers, but cannot run in a transaction or together with other statements. The test below has the statements
//! as they can be run by hand.

use super::DbError;
use sqlx::{AssertSqlSafe, PgConnection};

/// An index that `sl migrate` builds. Scalelite must go on working with it.
pub(super) struct RequiredIndex {
    pub(super) name: &'static str,
    table: &'static str,
    /// Names, or expressions in parentheses; with operator class and order.
    columns: &'static [&'static str],
    /// Indexes only rows that meet this condition; empty: all rows.
    condition: &'static str,
    unique: bool,
}

/// Indexes of earlier versions, which [`REQUIRED_INDEXES`] has replaced.
pub(super) const REPLACED_INDEXES: [&str; 2] = ["sl_recordings_meeting", "sl_recordings_state"];

pub(super) const REQUIRED_INDEXES: [RequiredIndex; 10] = [
    // Scalelite has some of the unique ones under other names; `exists` accepts them.
    RequiredIndex {
        name: "sl_recordings_record_id",
        table: "recordings",
        columns: &["record_id"],
        condition: "",
        unique: true,
    },
    RequiredIndex {
        name: "sl_metadata_recording_key",
        table: "metadata",
        columns: &["recording_id", "key"],
        condition: "",
        unique: true,
    },
    RequiredIndex {
        name: "sl_formats_recording_format",
        table: "playback_formats",
        columns: &["recording_id", "format"],
        condition: "",
        unique: true,
    },
    // Record ids by prefix.
    RequiredIndex {
        name: "sl_recordings_prefix",
        table: "recordings",
        columns: &["record_id text_pattern_ops"],
        condition: "",
        unique: false,
    },
    // The newest recordings of a meeting, and of a state. There is no index for the newest of all: Postgres would
    // use it for a state too, and read it to its end if no recording is in that state.
    RequiredIndex {
        name: "sl_recordings_meeting_newest",
        table: "recordings",
        columns: &["meeting_id", "(coalesce(starttime, 'infinity'::timestamp)) DESC", "id DESC"],
        condition: "",
        unique: false,
    },
    RequiredIndex {
        name: "sl_recordings_state_newest",
        table: "recordings",
        columns: &["state", "(coalesce(starttime, 'infinity'::timestamp)) DESC", "id DESC"],
        condition: "",
        unique: false,
    },
    // The newest recordings without a state: the index on state finds them, but not in their order.
    RequiredIndex {
        name: "sl_recordings_stateless_newest",
        table: "recordings",
        columns: &["(coalesce(starttime, 'infinity'::timestamp)) DESC", "id DESC"],
        condition: "state IS NULL",
        unique: false,
    },
    // Recordings by a metadata value, or its prefix.
    RequiredIndex {
        name: "sl_metadata_value",
        table: "metadata",
        columns: &["key", "left(value, 256) text_pattern_ops", "recording_id"],
        condition: "",
        unique: false,
    },
    // Images of a format.
    RequiredIndex {
        name: "sl_thumbnails_format",
        table: "thumbnails",
        columns: &["playback_format_id", "sequence"],
        condition: "",
        unique: false,
    },
    // Scalelite's recording-ready URLs by the client's meetingID.
    RequiredIndex {
        name: "sl_callback_data_meeting",
        table: "callback_data",
        columns: &["meeting_id"],
        condition: "",
        unique: false,
    },
];

impl RequiredIndex {
    /// Whether a valid index of this name exists; for a unique one, an equal unique index under any name.
    pub(super) async fn exists(&self, connection: &mut PgConnection) -> Result<bool, DbError> {
        let existing: Vec<(String, bool, Vec<String>)> = sqlx::query_as(
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
        Ok(existing.iter().any(|(name, unique, columns)| {
            name == self.name || (*unique && self.unique && columns == self.columns)
        }))
    }

    /// Builds the index.
    pub(super) async fn build(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        // An interrupted build leaves an invalid index of this name.
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
        sqlx::raw_sql(AssertSqlSafe(self.create_sql())).execute(&mut *connection).await.map_err(|error| {
            match DbError::from(error) {
                // unique_violation
                DbError::Database(sqlx::Error::Database(refusal))
                    if refusal.code().as_deref() == Some("23505") =>
                {
                    DbError::Schema(format!("{} has duplicate rows: {}", self.table, refusal.message()))
                }
                other => other,
            }
        })?;
        Ok(())
    }

    fn create_sql(&self) -> String {
        format!(
            "CREATE {}INDEX CONCURRENTLY IF NOT EXISTS {} ON {} ({}){}",
            if self.unique { "UNIQUE " } else { "" },
            self.name,
            self.table,
            self.columns.join(", "),
            if self.condition.is_empty() { String::new() } else { format!(" WHERE {}", self.condition) }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and definitions are in the databases of releases.
    #[test]
    fn create_sql_never_changes() {
        let statements: Vec<String> = REQUIRED_INDEXES.iter().map(RequiredIndex::create_sql).collect();
        insta::assert_snapshot!(statements.join("\n"), @r"
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_record_id ON recordings (record_id)
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_recording_key ON metadata (recording_id, key)
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_formats_recording_format ON playback_formats (recording_id, format)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_prefix ON recordings (record_id text_pattern_ops)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_meeting_newest ON recordings (meeting_id, (coalesce(starttime, 'infinity'::timestamp)) DESC, id DESC)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_state_newest ON recordings (state, (coalesce(starttime, 'infinity'::timestamp)) DESC, id DESC)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_stateless_newest ON recordings ((coalesce(starttime, 'infinity'::timestamp)) DESC, id DESC) WHERE state IS NULL
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_value ON metadata (key, left(value, 256) text_pattern_ops, recording_id)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_thumbnails_format ON thumbnails (playback_format_id, sequence)
        CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_callback_data_meeting ON callback_data (meeting_id)
        ");
    }
}
