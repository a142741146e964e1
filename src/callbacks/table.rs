//! The table of callbacks and the outcomes of their attempts. All times are by Postgres' clock.
//!
//! A worker claims a callback by pushing `due_at` past the longest possible attempt (its lease); no
//! transaction is open meanwhile. The outcome is written only if no other worker has claimed the callback
//! since.

use crate::db::{Database, DbError};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::time::Duration;
use tokio::time::timeout;

/// A callback that is not delivered within a day has failed.
const RETRY_SECONDS: i64 = 86_400;

/// Days before a delivered callback is deleted.
pub const DELIVERED_DAYS: i32 = 30;
/// Days before a failed callback is deleted.
pub const FAILED_DAYS: i32 = 90;
/// Days before the URL of a recording that was never imported is deleted.
pub const URL_DAYS: i32 = 365;

/// Rows that one statement of a sweep deletes.
const SWEEP_ROWS: i64 = 1000;

/// A callback to deliver now.
#[derive(Debug, Clone)]
pub struct ClaimedCallback {
    /// Its number.
    pub id: i64,
    /// The number of this claim.
    lease: i64,
    /// The recording that is ready.
    pub record_id: String,
    /// The client's meetingID.
    pub meeting_id: String,
    /// The URL to call.
    pub url: String,
    /// Attempts, including this one.
    pub tries: i32,
}

impl ClaimedCallback {
    fn read(row: &PgRow, lease: i64) -> Result<ClaimedCallback, sqlx::Error> {
        Ok(ClaimedCallback {
            id: row.try_get("id")?,
            lease,
            record_id: row.try_get("record_id")?,
            meeting_id: row.try_get("meeting_id")?,
            url: row.try_get("url")?,
            tries: row.try_get("tries")?,
        })
    }
}

/// The state of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackState {
    /// Waiting for its first or next attempt, or in one.
    Pending,
    /// Its receiver has accepted it.
    Delivered,
    /// It will not be retried.
    Failed,
}

impl CallbackState {
    /// As in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            CallbackState::Pending => "pending",
            CallbackState::Delivered => "delivered",
            CallbackState::Failed => "failed",
        }
    }
}

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// The receiver has accepted it.
    Delivered,
    /// It will never succeed.
    Failed,
    /// Retry after this; the callback fails if a day has passed.
    RetryAfter(Duration),
}

/// A callback as `sl callbacks` lists it.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Its number.
    pub id: i64,
    /// `recording-ready`
    pub kind: String,
    /// The recording it is about.
    pub record_id: String,
    /// The client's meetingID.
    pub meeting_id: String,
    /// The URL to call.
    pub url: String,
    /// `pending`, `delivered`, `failed`
    pub state: String,
    /// Attempts so far.
    pub tries: i32,
    /// ms since 1970.
    pub created_ms: i64,
    /// When the next attempt is due, ms since 1970; while claimed, when the claim expires.
    pub due_ms: i64,
    /// A worker is delivering it.
    pub claimed: bool,
    /// When the last attempt began, ms since 1970.
    pub tried_ms: Option<i64>,
    /// When it was delivered or failed, ms since 1970.
    pub finished_ms: Option<i64>,
    /// The outcome of the last attempt.
    pub outcome: Option<String>,
}

impl Callback {
    fn read(row: &PgRow) -> Result<Callback, sqlx::Error> {
        Ok(Callback {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            record_id: row.try_get("record_id")?,
            meeting_id: row.try_get("meeting_id")?,
            url: row.try_get("url")?,
            state: row.try_get("state")?,
            tries: row.try_get("tries")?,
            created_ms: row.try_get("created_ms")?,
            due_ms: row.try_get("due_ms")?,
            claimed: row.try_get("claimed")?,
            tried_ms: row.try_get("tried_ms")?,
            finished_ms: row.try_get("finished_ms")?,
            outcome: row.try_get("outcome")?,
        })
    }
}

/// The table of callbacks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CallbackTable {
    db: Database,
}

impl CallbackTable {
    /// In this database.
    pub fn new(db: Database) -> CallbackTable {
        CallbackTable { db }
    }

    /// Writes in a transaction: behind a pooler in transaction mode, nothing else is kept.
    async fn write<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbError> {
        let mut transaction = self.db.pool().begin().await?;
        let result = statement(&mut transaction).await?;
        transaction.commit().await?;
        Ok(result)
    }

    /// Claims up to `limit` callbacks that are due, for the duration of `lease`.
    pub async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<ClaimedCallback>, DbError> {
        let number: i64 = rand::random();
        let claiming = sqlx::query(
            "UPDATE callbacks SET lease = $3, tries = tries + 1, tried_at = now(), \
                 due_at = now() + $2::float8 * interval '1 second' \
             WHERE id = ANY (ARRAY(SELECT id FROM callbacks WHERE state = 'pending' AND due_at <= now() \
                 ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)) \
             RETURNING id, record_id, meeting_id, url, tries",
        )
        .bind(limit as i64)
        .bind(lease.as_secs_f64())
        .bind(number);
        let claiming = self.write(async |transaction| claiming.fetch_all(transaction).await);
        let rows = timeout(self.db.timeout(), claiming).await.map_err(|_| DbError::Timeout)??;
        Ok(rows.iter().map(|row| ClaimedCallback::read(row, number)).collect::<Result<_, _>>()?)
    }

    /// Writes the outcome of an attempt. Returns the new state; None if the claim was lost.
    pub async fn record_outcome(
        &self,
        claimed: &ClaimedCallback,
        next: &NextStep,
        outcome: &str,
    ) -> Result<Option<String>, DbError> {
        let (state, retry_after) = match next {
            NextStep::Delivered => ("delivered", 0.0),
            NextStep::Failed => ("failed", 0.0),
            NextStep::RetryAfter(delay) => ("pending", delay.as_secs_f64()),
        };
        let writing = sqlx::query_scalar(
            "UPDATE callbacks c SET lease = NULL, outcome = $4, state = new.state, \
                 finished_at = CASE WHEN new.state <> 'pending' THEN now() END, \
                 due_at = least(now() + $5::float8 * interval '1 second', ends) \
             FROM (SELECT id, began_at + $6 * interval '1 second' AS ends, \
                     CASE WHEN $3 = 'pending' AND now() >= began_at + $6 * interval '1 second' \
                         THEN 'failed' ELSE $3 END AS state \
                 FROM callbacks WHERE id = $1) new \
             WHERE c.id = $1 AND new.id = c.id AND c.lease = $2 RETURNING c.state",
        )
        .bind(claimed.id)
        .bind(claimed.lease)
        .bind(state)
        .bind(outcome)
        .bind(retry_after)
        .bind(RETRY_SECONDS);
        let writing = self.write(async |transaction| writing.fetch_optional(transaction).await);
        timeout(self.db.timeout(), writing).await.map_err(|_| DbError::Timeout)?
    }

    /// Callbacks in this state or any, newest first.
    pub async fn list(
        &self,
        state: Option<CallbackState>,
        limit: Option<u32>,
    ) -> Result<Vec<Callback>, DbError> {
        let rows = sqlx::query(
            "SELECT id, kind, record_id, meeting_id, url, state, tries, outcome, \
                 lease IS NOT NULL AND due_at > now() AS claimed, \
                 (extract(epoch FROM created_at) * 1000)::bigint AS created_ms, \
                 (extract(epoch FROM due_at) * 1000)::bigint AS due_ms, \
                 (extract(epoch FROM tried_at) * 1000)::bigint AS tried_ms, \
                 (extract(epoch FROM finished_at) * 1000)::bigint AS finished_ms \
             FROM callbacks WHERE $1::text IS NULL OR state = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(state.map(CallbackState::as_str))
        .bind(limit.map(i64::from))
        .fetch_all(self.db.pool())
        .await?;
        Ok(rows.iter().map(Callback::read).collect::<Result<_, _>>()?)
    }

    /// Retries these from now on, for another day, whatever their state; None: all that have failed. Leaves
    /// those that are claimed alone. Returns the numbers of those that will be retried.
    pub async fn retry(&self, ids: Option<&[i64]>) -> Result<Vec<i64>, DbError> {
        let retrying = sqlx::query_scalar(
            "UPDATE callbacks SET state = 'pending', began_at = now(), due_at = now(), lease = NULL, tries = 0, \
                 finished_at = NULL \
             WHERE (id = ANY ($1) OR ($1 IS NULL AND state = 'failed')) \
                 AND NOT (state = 'pending' AND lease IS NOT NULL AND due_at > now()) \
             RETURNING id",
        )
        .bind(ids);
        self.write(async |transaction| retrying.fetch_all(transaction).await).await
    }

    /// Deletes these. Returns the numbers of those that existed.
    pub async fn delete(&self, ids: &[i64]) -> Result<Vec<i64>, DbError> {
        let deleting = sqlx::query_scalar("DELETE FROM callbacks WHERE id = ANY ($1) RETURNING id").bind(ids);
        self.write(async |transaction| deleting.fetch_all(transaction).await).await
    }

    /// Deletes what is too old: see [`DELIVERED_DAYS`], [`FAILED_DAYS`], [`URL_DAYS`].
    pub async fn sweep(&self) -> Result<(), DbError> {
        let finished = "DELETE FROM callbacks WHERE id = ANY (ARRAY(SELECT id FROM callbacks \
            WHERE state <> 'pending' AND state = $3 AND finished_at < now() - $1 * interval '1 day' LIMIT $2))";
        let urls = "DELETE FROM callback_urls WHERE internal_meeting_id = ANY (ARRAY( \
            SELECT internal_meeting_id FROM callback_urls \
            WHERE $3 <> '' AND noted_at < now() - $1 * interval '1 day' LIMIT $2))";
        for (statement, days, what) in [
            (finished, DELIVERED_DAYS, "delivered"),
            (finished, FAILED_DAYS, "failed"),
            (urls, URL_DAYS, "urls"),
        ] {
            loop {
                let deleting = sqlx::query(statement).bind(days).bind(SWEEP_ROWS).bind(what);
                let deleted = self.write(async |transaction| deleting.execute(transaction).await).await?;
                if (deleted.rows_affected() as i64) < SWEEP_ROWS {
                    break;
                }
            }
        }
        Ok(())
    }
}
