//! The callbacks that wait for their receivers, and what came of them. Postgres' clock is the only one.
//!
//! Whoever delivers one takes it in hand: it is put off for as long as a try lasts at most (its lease), and
//! no transaction is held meanwhile. What comes of the try is written only if nobody else has taken it in
//! hand since.

use crate::db::{Database, DbError};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::Duration;
use tokio::time::timeout;

/// Seconds that a callback is tried for.
const A_DAY: i64 = 86_400;

/// Days that a delivered callback is shown for.
pub const DELIVERED_DAYS: i32 = 30;
/// Days that a failed one is.
pub const FAILED_DAYS: i32 = 90;
/// Days that a URL is kept for a recording that has not come.
pub const URL_DAYS: i32 = 365;

/// What nobody needs any more goes so many at a time.
const SWEEP: i64 = 1000;

/// One that is to be delivered now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its number.
    pub id: i64,
    lease: i64,
    /// Which recording is ready.
    pub record_id: String,
    /// The client's meetingID.
    pub meeting_id: String,
    /// Whom to tell.
    pub url: String,
    /// Tries, this one included.
    pub tries: i32,
}

/// Where a callback stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackState {
    /// It is being tried.
    Pending,
    /// Its receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

impl CallbackState {
    /// As it stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            CallbackState::Pending => "pending",
            CallbackState::Delivered => "delivered",
            CallbackState::Failed => "failed",
        }
    }
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It will never do.
    Failed,
    /// Again after this; failed once the day is over.
    Again(Duration),
}

/// One of them, for whoever looks.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Its number.
    pub id: i64,
    /// `recording-ready`
    pub kind: String,
    /// Which recording it is about.
    pub record_id: String,
    /// The client's meetingID.
    pub meeting_id: String,
    /// Whom to tell.
    pub url: String,
    /// `pending`, `delivered`, `failed`
    pub state: String,
    /// So far.
    pub tries: i32,
    /// ms since 1970.
    pub created_ms: i64,
    /// ms since 1970; while it is in hand, when that ends at the latest.
    pub due_ms: i64,
    /// Somebody is delivering it.
    pub in_hand: bool,
    /// ms since 1970.
    pub tried_ms: Option<i64>,
    /// ms since 1970.
    pub finished_ms: Option<i64>,
    /// What came of the last try.
    pub outcome: Option<String>,
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

    /// Takes some that are due in hand, for so long.
    pub async fn claim(&self, most: usize, lease: Duration) -> Result<Vec<Claimed>, DbError> {
        let number: i64 = rand::random();
        let claiming = sqlx::query(
            "UPDATE callbacks SET lease = $3, tries = tries + 1, tried_at = now(), \
                 due_at = now() + $2::float8 * interval '1 second' \
             WHERE id = ANY (ARRAY(SELECT id FROM callbacks WHERE state = 'pending' AND due_at <= now() \
                 ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)) \
             RETURNING id, record_id, meeting_id, url, tries",
        )
        .bind(most as i64)
        .bind(lease.as_secs_f64())
        .bind(number)
        .fetch_all(self.db.pool());
        let rows = timeout(self.db.timeout(), claiming).await.map_err(|_| DbError::Timeout)??;
        let claimed = |row: PgRow| {
            Ok(Claimed {
                id: row.try_get(0)?,
                lease: number,
                record_id: row.try_get(1)?,
                meeting_id: row.try_get(2)?,
                url: row.try_get(3)?,
                tries: row.try_get(4)?,
            })
        };
        rows.into_iter().map(claimed).collect()
    }

    /// Writes what came of a try. The state now; None if it is not ours any more.
    pub async fn record_outcome(
        &self,
        claimed: &Claimed,
        verdict: &Verdict,
        outcome: &str,
    ) -> Result<Option<String>, DbError> {
        let (state, again) = match verdict {
            Verdict::Delivered => ("delivered", 0.0),
            Verdict::Failed => ("failed", 0.0),
            Verdict::Again(after) => ("pending", after.as_secs_f64()),
        };
        let settling = sqlx::query_scalar(
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
        .bind(again)
        .bind(A_DAY)
        .fetch_optional(self.db.pool());
        Ok(timeout(self.db.timeout(), settling).await.map_err(|_| DbError::Timeout)??)
    }

    /// The newest of them, in this state or any.
    pub async fn list(
        &self,
        state: Option<CallbackState>,
        limit: Option<u32>,
    ) -> Result<Vec<Callback>, DbError> {
        let rows = sqlx::query(
            "SELECT id, kind, record_id, meeting_id, url, state, tries, lease IS NOT NULL AND due_at > now(), outcome, \
                 (extract(epoch FROM created_at) * 1000)::bigint, (extract(epoch FROM due_at) * 1000)::bigint, \
                 (extract(epoch FROM tried_at) * 1000)::bigint, (extract(epoch FROM finished_at) * 1000)::bigint \
             FROM callbacks WHERE $1::text IS NULL OR state = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(state.map(CallbackState::as_str))
        .bind(limit.map(i64::from))
        .fetch_all(self.db.pool())
        .await?;
        let read = |row: PgRow| {
            Ok(Callback {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                record_id: row.try_get(2)?,
                meeting_id: row.try_get(3)?,
                url: row.try_get(4)?,
                state: row.try_get(5)?,
                tries: row.try_get(6)?,
                in_hand: row.try_get(7)?,
                outcome: row.try_get(8)?,
                created_ms: row.try_get(9)?,
                due_ms: row.try_get(10)?,
                tried_ms: row.try_get(11)?,
                finished_ms: row.try_get(12)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Has these tried from now on, for another day, whatever became of them; None: all that have failed.
    /// What is in hand just now stays there. The numbers of those that it was done for.
    pub async fn retry(&self, ids: Option<&[i64]>) -> Result<Vec<i64>, DbError> {
        Ok(sqlx::query_scalar(
            "UPDATE callbacks SET state = 'pending', began_at = now(), due_at = now(), lease = NULL, tries = 0, \
                 finished_at = NULL \
             WHERE (id = ANY ($1) OR ($1 IS NULL AND state = 'failed')) \
                 AND NOT (state = 'pending' AND lease IS NOT NULL AND due_at > now()) \
             RETURNING id",
        )
        .bind(ids)
        .fetch_all(self.db.pool())
        .await?)
    }

    /// Forgets these. The numbers of those that were there.
    pub async fn delete(&self, ids: &[i64]) -> Result<Vec<i64>, DbError> {
        Ok(sqlx::query_scalar("DELETE FROM callbacks WHERE id = ANY ($1) RETURNING id")
            .bind(ids)
            .fetch_all(self.db.pool())
            .await?)
    }

    /// Forgets what is over for long: see [`DELIVERED_DAYS`] and its neighbours.
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
                let gone =
                    sqlx::query(statement).bind(days).bind(SWEEP).bind(what).execute(self.db.pool()).await?;
                if (gone.rows_affected() as i64) < SWEEP {
                    break;
                }
            }
        }
        Ok(())
    }
}
