//! What playback asks before it gives anything out: one index probe, for every request. Nothing is
//! remembered in between, so what is unpublished, protected or deleted is so at once.

use super::{Index, IndexError};
use crate::recordings::{FormatName, RecordId};
use futures_util::FutureExt;
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
    /// Whether a recording may be played, and by whom. None where there is none, and where it is
    /// unpublished or deleted.
    pub async fn playable(&self, id: &RecordId) -> Result<Option<Playable>, IndexError> {
        self.patiently(|| {
            async {
                let row = sqlx::query(
                    "SELECT coalesce(protected, false) FROM recordings \
                     WHERE record_id = $1 AND published AND coalesce(state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Playable { protected: row.try_get(0)? }))
            }
            .boxed()
        })
        .await
    }

    /// The same of one of its formats, with where its player is.
    pub async fn playable_format(
        &self,
        id: &RecordId,
        format: &FormatName,
    ) -> Result<Option<PlayableFormat>, IndexError> {
        self.patiently(|| {
            async {
                let row = sqlx::query(
                    "SELECT coalesce(r.protected, false), f.url \
                     FROM recordings r JOIN playback_formats f ON f.recording_id = r.id AND f.format = $2 \
                     WHERE r.record_id = $1 AND r.published AND coalesce(r.state, '') <> 'deleted'",
                )
                .bind(id.as_str())
                .bind(format.as_str())
                .fetch_optional(&self.pool)
                .await?;
                let Some(row) = row else { return Ok(None) };
                let url: Option<String> = row.try_get(1)?;
                let protected = row.try_get(0)?;
                Ok(url.map(|url| PlayableFormat { protected, url }))
            }
            .boxed()
        })
        .await
    }
}
