//! Metadata, formats and images of a recording as one JSON text: stored in the recording's row, or built by the
//! query where it is missing; see migrations/0004_documents.sql.

use super::Index;
use super::page::{PlaybackFormat, Recording};
use crate::db::DbError;
use crate::recordings::Thumbnail;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};

/// SQL that builds the document of a row `r` of recordings. [`parse_into`] reads it.
pub(super) const DOCUMENT: &str = "json_build_array( \
    (SELECT coalesce(json_agg(json_build_array(m.key, m.value)), '[]') FROM metadata m WHERE m.recording_id = r.id), \
    (SELECT coalesce(json_agg(json_build_array(f.format, f.url, f.length, f.processing_time, f.size, \
        (SELECT coalesce(json_agg(json_build_array(t.url, t.alt, t.width, t.height) ORDER BY t.sequence), '[]') \
         FROM thumbnails t WHERE t.playback_format_id = f.id))), '[]') \
     FROM playback_formats f WHERE f.recording_id = r.id))::text";

type ImageFields = (Option<String>, Option<String>, Option<i32>, Option<i32>);
type FormatFields = (Option<String>, Option<String>, Option<i32>, Option<i32>, Option<i64>, Vec<ImageFields>);

#[derive(Deserialize)]
struct Document(Vec<(Option<String>, Option<String>)>, Vec<FormatFields>);

/// Fills in metadata, sorted by key, and formats, sorted by name.
pub(super) fn parse_into(text: &str, recording: &mut Recording) -> Result<(), DbError> {
    let Document(metadata, formats) =
        serde_json::from_str(text).map_err(|error| DbError::Database(sqlx::Error::Decode(error.into())))?;
    recording.metadata = metadata
        .into_iter()
        .map(|(key, value)| (key.unwrap_or_default(), value.unwrap_or_default()))
        .collect();
    recording.metadata.sort_unstable();
    recording.formats = formats
        .into_iter()
        .map(|(format, url, length, processing_time, size, images)| PlaybackFormat {
            format: format.unwrap_or_default(),
            url: url.unwrap_or_default(),
            length,
            processing_time,
            size,
            thumbnails: images
                .into_iter()
                .map(|(url, alt, width, height)| Thumbnail {
                    width,
                    height,
                    alt,
                    url: url.unwrap_or_default(),
                })
                .collect(),
        })
        .collect();
    recording.formats.sort_unstable_by(|a, b| a.format.cmp(&b.format));
    Ok(())
}

/// Stores the documents of these recordings. Call it in the transaction that has changed their metadata, formats
/// or images: triggers of those tables have locked the rows by then.
pub(super) async fn write(connection: &mut PgConnection, ids: &[i64]) -> Result<(), sqlx::Error> {
    let sql = format!("UPDATE recordings r SET document = {DOCUMENT} WHERE r.id = ANY ($1)");
    sqlx::query(AssertSqlSafe(sql)).bind(ids).execute(connection).await.map(|_| ())
}

impl Index {
    /// Stores missing documents in batches, and reports how many are done after each. Rows that another
    /// transaction has locked are skipped. Returns the number of documents written.
    pub async fn write_documents(&self, mut report: impl FnMut(u64)) -> Result<u64, DbError> {
        let (mut after, mut written) = (i64::MIN, 0);
        loop {
            let mut transaction = self.db.pool().begin().await?;
            // Lock first: a document must be built from what no other transaction can still change.
            let ids: Vec<i64> = sqlx::query_scalar(
                "SELECT id FROM recordings WHERE id > $1 AND document IS NULL ORDER BY id LIMIT 500 \
                 FOR NO KEY UPDATE SKIP LOCKED",
            )
            .bind(after)
            .fetch_all(&mut *transaction)
            .await?;
            let Some(last) = ids.last() else { return Ok(written) };
            after = *last;
            write(&mut transaction, &ids).await?;
            transaction.commit().await?;
            written += ids.len() as u64;
            report(written);
        }
    }
}
