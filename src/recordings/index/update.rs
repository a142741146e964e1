//! updateRecordings: metadata and protection of several recordings in one transaction.

use super::{Index, document};
use crate::db::DbError;
use futures_util::FutureExt;
use std::collections::HashSet;

/// The changes of one updateRecordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingUpdate {
    /// Metadata to set.
    pub set: Vec<(String, String)>,
    /// Keys of metadata to remove.
    pub remove: Vec<String>,
    /// Protect it, or stop protecting it.
    pub protect: Option<bool>,
}

impl Index {
    /// Changes all recordings or none. Returns whether anything changed. If an id is unknown, deleted or given
    /// twice, nothing does.
    pub async fn update(&self, record_ids: &[String], update: &RecordingUpdate) -> Result<bool, DbError> {
        // Postgres stores no text with a NUL.
        let set = update.set.iter().flat_map(|(key, value)| [key, value]);
        if record_ids.iter().chain(set).chain(&update.remove).any(|text| text.contains('\0')) {
            return Ok(false);
        }
        self.db.run_idempotent(|| self.update_once(record_ids, update).boxed()).await
    }

    async fn update_once(&self, record_ids: &[String], update: &RecordingUpdate) -> Result<bool, DbError> {
        let mut transaction = self.db.pool().begin().await?;
        // All updates lock in the order of ids, so that two of them cannot deadlock.
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM recordings WHERE record_id = ANY ($1) AND coalesce(state, '') <> 'deleted' \
             ORDER BY id FOR UPDATE",
        )
        .bind(record_ids)
        .fetch_all(&mut *transaction)
        .await?;
        if ids.is_empty() || ids.len() != record_ids.len() {
            return Ok(false);
        }
        let mut changed = 0i64;
        if !update.set.is_empty() {
            let (keys, values): (Vec<&str>, Vec<&str>) =
                update.set.iter().map(|(key, value)| (key.as_str(), value.as_str())).unzip();
            changed += sqlx::query_scalar::<_, i64>(SET_METADATA)
                .bind(&ids)
                .bind(keys)
                .bind(values)
                .fetch_one(&mut *transaction)
                .await?;
        }
        if !update.remove.is_empty() {
            let removed =
                sqlx::query("DELETE FROM metadata WHERE recording_id = ANY ($1) AND key = ANY ($2)")
                    .bind(&ids)
                    .bind(&update.remove)
                    .execute(&mut *transaction)
                    .await?;
            changed += removed.rows_affected() as i64;
        }
        let set: HashSet<&str> = update.set.iter().map(|(key, _)| key.as_str()).collect();
        sqlx::query(RECORD_REMOVED_KEYS)
            .bind(&ids)
            .bind(&update.remove)
            .bind(set.into_iter().collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        if let Some(protect) = update.protect {
            let done = sqlx::query(
                "UPDATE recordings SET protected = $2 WHERE id = ANY ($1) AND coalesce(protected, false) <> $2",
            )
            .bind(&ids)
            .bind(protect)
            .execute(&mut *transaction)
            .await?;
            changed += done.rows_affected() as i64;
        }
        if !update.set.is_empty() || !update.remove.is_empty() {
            document::write(&mut transaction, &ids).await?;
        }
        transaction.commit().await?;
        Ok(changed > 0)
    }
}

/// Returns the number of changed values. Marks all of them as set by a client (`imported` = false), even if the value
/// is the same: no import may overwrite them.
const SET_METADATA: &str = "WITH wanted AS (SELECT r.id, new.key, new.value \
        FROM unnest($1::bigint[]) AS r (id), unnest($2::text[], $3::text[]) AS new (key, value)), \
    before AS MATERIALIZED (SELECT m.recording_id, m.key, m.value FROM metadata m JOIN wanted w \
        ON m.recording_id = w.id AND m.key = w.key), \
    written AS (INSERT INTO metadata (recording_id, key, value, imported) SELECT id, key, value, false FROM wanted \
        ON CONFLICT (recording_id, key) DO UPDATE SET value = excluded.value, imported = false) \
    SELECT count(*) FROM wanted w LEFT JOIN before b ON b.recording_id = w.id AND b.key = w.key \
        WHERE b.value IS DISTINCT FROM w.value";

/// Records the keys that a client has removed and not set again: no import may add them.
const RECORD_REMOVED_KEYS: &str = "UPDATE recordings SET removed_metadata = nullif(ARRAY( \
        SELECT unnest(coalesce(removed_metadata, '{}') || $2::text[]) EXCEPT SELECT unnest($3::text[]) \
    ), '{}') WHERE id = ANY ($1) AND (cardinality($2::text[]) > 0 OR removed_metadata && $3::text[])";
