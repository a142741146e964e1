//! Pages of recordings. Each page is one round trip, including metadata, formats and images.

use super::Index;
use super::document::{self, DOCUMENT};
use super::query::{Cursor, MAX_PAGE_SIZE, RecordingQuery};
use super::timestamp::PgTimestamp;
use crate::db::DbError;
use crate::recordings::Thumbnail;
use futures_util::FutureExt;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// A recording as the index has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// The client's recordID.
    pub record_id: String,
    /// The client's meetingID.
    pub meeting_id: String,
    /// Name of the meeting.
    pub name: Option<String>,
    /// Whether it may be played.
    pub published: bool,
    /// Whether playing it takes a token, where protection is enabled.
    pub protected: bool,
    /// `published`, `unpublished`, `deleted`, …; empty in rows of Scalelite's first years, which only a query for any
    /// state finds.
    pub state: String,
    /// ms since 1970.
    pub start_ms: Option<i64>,
    /// ms since 1970.
    pub end_ms: Option<i64>,
    /// Number of participants of the meeting.
    pub participants: Option<i32>,
    /// Bytes of the raw recording.
    pub raw_size: Option<i64>,
    /// Whether the meeting was a breakout room.
    pub is_breakout: bool,
    /// Of a breakout room: internal meeting id of its parent, and its number among the rooms.
    pub breakout_parent: Option<(String, i32)>,
    /// Record ids of its breakout rooms.
    pub breakout_rooms: Vec<String>,
    /// Sorted by key.
    pub metadata: Vec<(String, String)>,
    /// Sorted by name.
    pub formats: Vec<PlaybackFormat>,
}

/// A playback format as the index has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaybackFormat {
    /// `presentation`, `video`, …
    pub format: String,
    /// Path and query.
    pub url: String,
    /// Minutes.
    pub length: Option<i32>,
    /// ms.
    pub processing_time: Option<i32>,
    /// Bytes.
    pub size: Option<i64>,
    /// In order.
    pub thumbnails: Vec<Thumbnail>,
}

/// Pages of one query, newest recordings first. Holds no connection between pages, so a slow reader keeps none
/// from others; changes made meanwhile may or may not be seen.
#[derive(Debug)]
pub struct RecordingPages {
    index: Index,
    query: RecordingQuery,
    cursor: Option<Cursor>,
    /// Recordings until the query's limit.
    remaining: Option<u32>,
    /// The metadata filters match too many recordings to look up each: scan the newest recordings instead.
    scan_newest: bool,
    done: bool,
}

impl Index {
    /// The recordings that a query matches, page by page.
    pub fn pages(&self, query: RecordingQuery) -> RecordingPages {
        let query = query.without_nul_filters();
        let done = query.matches_nothing() || query.limit == Some(0);
        RecordingPages {
            index: self.clone(),
            remaining: query.limit,
            cursor: None,
            scan_newest: false,
            query,
            done,
        }
    }

    /// The number of recordings that match, regardless of the query's offset and limit.
    pub async fn total(&self, query: &RecordingQuery) -> Result<i64, DbError> {
        let query = query.clone().without_nul_filters();
        if query.matches_nothing() {
            return Ok(0);
        }
        self.db
            .run_idempotent(|| {
                async { Ok(query.total_sql().build_query_scalar().fetch_one(self.db.pool()).await?) }.boxed()
            })
            .await
    }
}

impl RecordingPages {
    /// Whether the last page has been read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next page; empty at the end.
    pub async fn next(&mut self) -> Result<Vec<Recording>, DbError> {
        if self.done {
            return Ok(Vec::new());
        }
        let size = self.remaining.unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE);
        let skip = if self.cursor.is_none() { self.query.offset } else { 0 };
        let columns = columns();
        let mut rows = self.fetch_rows(&columns, skip, size).await?;
        if !self.scan_newest
            && let Some(row) = rows.first()
            && row.try_get("many")?
        {
            self.scan_newest = true;
            rows = self.fetch_rows(&columns, skip, size).await?;
        }
        let mut recordings = Vec::with_capacity(rows.len());
        for row in &rows {
            // A row that only carries `many` has no id.
            if let Some(id) = row.try_get("id")? {
                let start = row.try_get::<Option<_>, _>("starttime")?.unwrap_or(PgTimestamp::INFINITY);
                self.cursor = Some(Cursor { start, id });
                recordings.push(read_recording(row)?);
            }
        }
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(size));
        self.done = recordings.len() < size as usize || self.remaining == Some(0);
        Ok(recordings)
    }

    async fn fetch_rows(&self, columns: &str, skip: u32, size: u32) -> Result<Vec<PgRow>, DbError> {
        let (index, query, cursor, scan_newest) = (&self.index, &self.query, self.cursor, self.scan_newest);
        index
            .db
            .run_idempotent(|| {
                async {
                    let mut sql = query.page_sql(columns, cursor, skip, size, scan_newest);
                    Ok(sql.build().fetch_all(index.db.pool()).await?)
                }
                .boxed()
            })
            .await
    }
}

/// What a page selects of each recording `r`, as [`read_recording`] reads it.
fn columns() -> String {
    format!(
        "r.id, r.record_id, r.meeting_id, r.name, r.published, r.protected, r.state, r.starttime, r.endtime, \
         r.participants, r.raw_size, r.is_breakout, r.breakout_parent, r.breakout_sequence, r.breakout_rooms, \
         coalesce(r.document, {DOCUMENT}) AS document"
    )
}

/// Reads a row of a page. Columns of Scalelite's tables may be NULL. Written by hand: sqlx's derive(FromRow) would
/// do the same, but compiles tokio, rustls and sqlx a second time for its macro.
fn read_recording(row: &PgRow) -> Result<Recording, DbError> {
    let parent: Option<String> = row.try_get("breakout_parent")?;
    let sequence: Option<i32> = row.try_get("breakout_sequence")?;
    let mut recording = Recording {
        record_id: row.try_get::<Option<_>, _>("record_id")?.unwrap_or_default(),
        meeting_id: row.try_get::<Option<_>, _>("meeting_id")?.unwrap_or_default(),
        name: row.try_get("name")?,
        published: row.try_get::<Option<_>, _>("published")?.unwrap_or(false),
        protected: row.try_get::<Option<_>, _>("protected")?.unwrap_or(false),
        state: row.try_get::<Option<_>, _>("state")?.unwrap_or_default(),
        start_ms: row.try_get::<Option<_>, _>("starttime")?.map(PgTimestamp::unix_ms),
        end_ms: row.try_get::<Option<_>, _>("endtime")?.map(PgTimestamp::unix_ms),
        participants: row.try_get("participants")?,
        raw_size: row.try_get("raw_size")?,
        is_breakout: row.try_get::<Option<_>, _>("is_breakout")?.unwrap_or(false),
        breakout_parent: parent.map(|id| (id, sequence.unwrap_or(0))),
        breakout_rooms: row.try_get::<Option<_>, _>("breakout_rooms")?.unwrap_or_default(),
        metadata: Vec::new(),
        formats: Vec::new(),
    };
    document::parse_into(row.try_get("document")?, &mut recording)?;
    Ok(recording)
}
