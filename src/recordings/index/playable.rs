//! What playback asks before it gives anything out: one index probe, for every request. Nothing is
//! remembered in between, so what is unpublished, protected or deleted is so at once.

use super::Index;
use crate::db::DbError;
use crate::recordings::{FormatName, RecordId, Shelf};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Row;

/// A recording that may be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playable {
    /// Only to who came by a link with a token, where protection is enabled.
    pub protected: bool,
}

/// A format of a recording that may be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayableFormat {
    /// See [`Playable::protected`].
    pub protected: bool,
    /// Where its player is: path and query.
    pub url: String,
}

impl Index {
    /// The state of a recording (`published`, `unpublished`, `deleted`, …) and the shelf that it is on. None
    /// where there is none.
    pub async fn state(&self, id: &RecordId) -> Result<Option<(String, Shelf)>, DbError> {
        let id = id.clone();
        let found = self.to_its_end(move |index| {
            let id = id.clone();
            async move {
                let row: Option<(Option<String>, Option<bool>)> =
                    sqlx::query_as("SELECT state, published FROM recordings WHERE record_id = $1")
                        .bind(id.as_str())
                        .fetch_optional(index.db.pool())
                        .await?;
                Ok(row.map(|(state, published)| {
                    let published = published.unwrap_or(false);
                    let state = state.unwrap_or_else(|| super::lock::state_of(published).to_owned());
                    (state, Shelf::of(published))
                }))
            }
            .boxed()
        });
        found.await
    }

    /// Whether a recording may be played, and by whom. None where there is none, and where it is
    /// unpublished or deleted.
    pub async fn playable(&self, id: &RecordId) -> Result<Option<Playable>, DbError> {
        let id = id.clone();
        let found = self.to_its_end(move |index| {
            let id = id.clone();
            async move {
                let row = sqlx::query(
                    "SELECT coalesce(protected, false) FROM recordings \
                     WHERE record_id = $1 AND published AND coalesce(state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .fetch_optional(index.db.pool())
                .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Playable { protected: row.try_get(0)? }))
            }
            .boxed()
        });
        found.await
    }

    /// The same of one of its formats, with where its player is.
    pub async fn playable_format(
        &self,
        id: &RecordId,
        format: &FormatName,
    ) -> Result<Option<PlayableFormat>, DbError> {
        let (id, format) = (id.clone(), format.clone());
        let found = self.to_its_end(move |index| {
            let (id, format) = (id.clone(), format.clone());
            async move {
                let row = sqlx::query(
                    "SELECT coalesce(r.protected, false), f.url \
                     FROM recordings r JOIN playback_formats f ON f.recording_id = r.id AND f.format = $2 \
                     WHERE r.record_id = $1 AND r.published AND coalesce(r.state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .bind(format.as_str())
                .fetch_optional(index.db.pool())
                .await?;
                let Some(row) = row else { return Ok(None) };
                let url: Option<String> = row.try_get(1)?;
                let protected = row.try_get(0)?;
                Ok(url.map(|url| PlayableFormat { protected, url }))
            }
            .boxed()
        });
        found.await
    }

    /// Asks, and hears the answer out even if nobody waits for it any more. Browsers hang up all the time,
    /// whenever somebody seeks in a film; a connection that is left in the middle of a question is of no use
    /// to anybody for seconds.
    async fn to_its_end<T: Send + 'static>(
        &self,
        ask: impl Fn(Index) -> BoxFuture<'static, Result<T, DbError>> + Send + Sync + 'static,
    ) -> Result<T, DbError> {
        let index = self.clone();
        let asking = tokio::spawn(async move { index.db.run_idempotent(|| ask(index.clone())).await });
        match asking.await {
            Ok(result) => result,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(DbError::Timeout),
            },
        }
    }
}
