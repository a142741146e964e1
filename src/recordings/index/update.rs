//! Metadata and protection, of several recordings at once.

use super::{Index, document};
use crate::db::DbError;
use futures_util::FutureExt;
use std::collections::HashSet;

/// What updateRecordings asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Metadata to set.
    pub set: Vec<(String, String)>,
    /// Keys of metadata to take away.
    pub remove: Vec<String>,
    /// Whether a token is to be needed.
    pub protect: Option<bool>,
}

impl Index {
    /// Changes recordings, all or none. Whether anything is other than before: not where an id is no
    /// recording (or a deleted one), or is given twice.
    pub async fn update(&self, record_ids: &[String], update: &Update) -> Result<bool, DbError> {
        // No text of Postgres holds a NUL.
        let set = update.set.iter().flat_map(|(key, value)| [key, value]);
        if record_ids.iter().chain(set).chain(&update.remove).any(|text| text.contains('\0')) {
            return Ok(false);
        }
        self.db.run_idempotent(|| self.update_once(record_ids, update).boxed()).await
    }

    async fn update_once(&self, record_ids: &[String], update: &Update) -> Result<bool, DbError> {
        let mut transaction = self.db.pool().begin().await?;
        // In one order, so that two of us do not wait for each other in a circle.
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
            changed += sqlx::query_scalar::<_, i64>(SET)
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
        sqlx::query(REMEMBER)
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

/// Counts what is other than before. What a client has set, no import sets back, even where it is the same.
const SET: &str = "WITH wanted AS (SELECT r.id, new.key, new.value \
        FROM unnest($1::bigint[]) AS r (id), unnest($2::text[], $3::text[]) AS new (key, value)), \
    before AS MATERIALIZED (SELECT m.recording_id, m.key, m.value FROM metadata m JOIN wanted w \
        ON m.recording_id = w.id AND m.key = w.key), \
    written AS (INSERT INTO metadata (recording_id, key, value, imported) SELECT id, key, value, false FROM wanted \
        ON CONFLICT (recording_id, key) DO UPDATE SET value = excluded.value, imported = false) \
    SELECT count(*) FROM wanted w LEFT JOIN before b ON b.recording_id = w.id AND b.key = w.key \
        WHERE b.value IS DISTINCT FROM w.value";

/// Which keys a client has taken away, and not set again.
const REMEMBER: &str = "UPDATE recordings SET removed_metadata = nullif(ARRAY( \
        SELECT unnest(coalesce(removed_metadata, '{}') || $2::text[]) EXCEPT SELECT unnest($3::text[]) \
    ), '{}') WHERE id = ANY ($1) AND (cardinality($2::text[]) > 0 OR removed_metadata && $3::text[])";
