//! The queries of playback: one index probe for every request. Nothing is cached, so unpublishing, protecting and
//! deleting take effect at once.

use super::{Index, default_state};
use crate::db::DbError;
use crate::recordings::{FormatName, RecordId, Shelf};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// A recording that may be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayableRecording {
    /// Whether playing it takes a token, where protection is enabled.
    pub protected: bool,
}

/// A format of a recording that may be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayableFormat {
    /// See [`PlayableRecording::protected`].
    pub protected: bool,
    /// The address of its player: path and query.
    pub url: String,
}

impl Index {
    /// The state of a recording (`published`, `unpublished`, `deleted`, …) and its shelf. None if the index does
    /// not have it.
    pub async fn state(&self, id: &RecordId) -> Result<Option<(String, Shelf)>, DbError> {
        let id = id.clone();
        let found = self.run_to_completion(move |index| {
            let id = id.clone();
            async move {
                let row: Option<(Option<String>, Option<bool>)> =
                    sqlx::query_as("SELECT state, published FROM recordings WHERE record_id = $1")
                        .bind(id.as_str())
                        .fetch_optional(index.db.pool())
                        .await?;
                Ok(row.map(|(state, published)| {
                    let published = published.unwrap_or(false);
                    (state.unwrap_or_else(|| default_state(published).to_owned()), Shelf::of(published))
                }))
            }
            .boxed()
        });
        found.await
    }

    /// The recording, if it may be played: None if it is unknown, unpublished or deleted.
    pub async fn playable(&self, id: &RecordId) -> Result<Option<PlayableRecording>, DbError> {
        let id = id.clone();
        let found = self.run_to_completion(move |index| {
            let id = id.clone();
            async move {
                let protected: Option<bool> = sqlx::query_scalar(
                    "SELECT coalesce(protected, false) FROM recordings \
                     WHERE record_id = $1 AND published AND coalesce(state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .fetch_optional(index.db.pool())
                .await?;
                Ok(protected.map(|protected| PlayableRecording { protected }))
            }
            .boxed()
        });
        found.await
    }

    /// A format of a recording, if it may be played.
    pub async fn playable_format(
        &self,
        id: &RecordId,
        format: &FormatName,
    ) -> Result<Option<PlayableFormat>, DbError> {
        let (id, format) = (id.clone(), format.clone());
        let found = self.run_to_completion(move |index| {
            let (id, format) = (id.clone(), format.clone());
            async move {
                let row: Option<(bool, Option<String>)> = sqlx::query_as(
                    "SELECT coalesce(r.protected, false), f.url \
                     FROM recordings r JOIN playback_formats f ON f.recording_id = r.id AND f.format = $2 \
                     WHERE r.record_id = $1 AND r.published AND coalesce(r.state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .bind(format.as_str())
                .fetch_optional(index.db.pool())
                .await?;
                Ok(row.and_then(|(protected, url)| Some(PlayableFormat { protected, url: url? })))
            }
            .boxed()
        });
        found.await
    }

    /// Runs a query to completion even if the caller is cancelled. Browsers hang up at every seek in a video; a
    /// connection that is dropped in the middle of a query cannot be used for seconds.
    async fn run_to_completion<T: Send + 'static>(
        &self,
        query: impl Fn(Index) -> BoxFuture<'static, Result<T, DbError>> + Send + Sync + 'static,
    ) -> Result<T, DbError> {
        let index = self.clone();
        let task = tokio::spawn(async move { index.db.run_idempotent(|| query(index.clone())).await });
        match task.await {
            Ok(result) => result,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(DbError::Timeout),
            },
        }
    }
}
