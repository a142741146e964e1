//! Pages of recordings: one round trip each, whatever belongs to them.

use super::Index;
use super::document::{self, DOCUMENT};
use super::query::{Cursor, PAGE, RecordingQuery};
use super::time::Time;
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
    /// Whether a token is needed for that, where protection is enabled.
    pub protected: bool,
    /// `published`, `unpublished`, `deleted`, …
    pub state: String,
    /// ms since 1970.
    pub start_ms: Option<i64>,
    /// ms since 1970.
    pub end_ms: Option<i64>,
    /// People who were there.
    pub participants: Option<i32>,
    /// Bytes of the raw recording.
    pub raw_size: Option<i64>,
    /// It is of a breakout room.
    pub is_breakout: bool,
    /// Of a breakout room: its parent's internal meeting id, its place among the rooms.
    pub breakout_parent: Option<(String, i32)>,
    /// Record ids of its breakout rooms.
    pub breakout_rooms: Vec<String>,
    /// By key.
    pub metadata: Vec<(String, String)>,
    /// By name.
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

/// Pages, one after the other, newest recordings first. Holds no connection between them, so whoever
/// reads slowly keeps nobody waiting; what changes meanwhile may or may not be seen.
#[derive(Debug)]
pub struct Pages {
    index: Index,
    query: RecordingQuery,
    cursor: Option<Cursor>,
    left: Option<u32>,
    /// Its metadata filters match too much to look up each.
    walk: bool,
    done: bool,
}

impl Index {
    /// The recordings that a query asks for, page by page.
    pub fn pages(&self, query: RecordingQuery) -> Pages {
        let query = query.sound();
        let done = query.is_hopeless() || query.limit == Some(0);
        Pages { index: self.clone(), left: query.limit, cursor: None, walk: false, query, done }
    }

    /// How many recordings there are, whatever the query's offset and limit.
    pub async fn total(&self, query: &RecordingQuery) -> Result<i64, DbError> {
        let query = query.clone().sound();
        if query.is_hopeless() {
            return Ok(0);
        }
        self.db
            .run_idempotent(|| {
                async { Ok(query.total().build_query_scalar().fetch_one(self.db.pool()).await?) }.boxed()
            })
            .await
    }
}

impl Pages {
    /// Whether there are no more.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next recordings; none at the end.
    pub async fn next(&mut self) -> Result<Vec<Recording>, DbError> {
        if self.done {
            return Ok(Vec::new());
        }
        let size = self.left.unwrap_or(PAGE).min(PAGE);
        let skip = if self.cursor.is_none() { self.query.offset } else { 0 };
        let columns = columns();
        let mut rows = self.rows(&columns, skip, size).await?;
        if !self.walk
            && let Some(row) = rows.first()
            && row.try_get(MANY)?
        {
            self.walk = true;
            rows = self.rows(&columns, skip, size).await?;
        }
        let mut recordings = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(id) = row.try_get(0)? {
                let (cursor, recording) = recording(id, row)?;
                self.cursor = Some(cursor);
                recordings.push(recording);
            }
        }
        self.left = self.left.map(|left| left.saturating_sub(size));
        self.done = recordings.len() < size as usize || self.left == Some(0);
        Ok(recordings)
    }

    async fn rows(&self, columns: &str, skip: u32, size: u32) -> Result<Vec<PgRow>, DbError> {
        let (index, query, cursor, walk) = (&self.index, &self.query, self.cursor, self.walk);
        index
            .db
            .run_idempotent(|| {
                async {
                    let mut sql = query.page(columns, cursor, skip, size, walk);
                    Ok(sql.build().fetch_all(index.db.pool()).await?)
                }
                .boxed()
            })
            .await
    }
}

/// The column after those of [`columns`]: see [`RecordingQuery::page`].
const MANY: usize = 16;

/// What a page has of each recording `r`, in the order in which [`recording`] reads it.
fn columns() -> String {
    format!(
        "r.id, r.record_id, r.meeting_id, r.name, r.published, r.protected, r.state, r.starttime, r.endtime, \
         r.participants, r.raw_size, r.is_breakout, r.breakout_parent, r.breakout_sequence, r.breakout_rooms, \
         coalesce(r.document, {DOCUMENT})"
    )
}

fn recording(id: i64, row: &PgRow) -> Result<(Cursor, Recording), DbError> {
    let published = row.try_get::<Option<bool>, _>(4)?.unwrap_or(false);
    let state: Option<String> = row.try_get(6)?;
    let (start, end): (Option<Time>, Option<Time>) = (row.try_get(7)?, row.try_get(8)?);
    let parent: Option<String> = row.try_get(12)?;
    let cursor = Cursor { start: start.unwrap_or(Time::NEVER), id };
    let mut recording = Recording {
        record_id: text(row, 1)?,
        meeting_id: text(row, 2)?,
        name: row.try_get(3)?,
        published,
        protected: row.try_get::<Option<bool>, _>(5)?.unwrap_or(false),
        state: state.unwrap_or_else(|| super::lock::state_of(published).to_owned()),
        start_ms: start.map(Time::unix_ms),
        end_ms: end.map(Time::unix_ms),
        participants: row.try_get(9)?,
        raw_size: row.try_get(10)?,
        is_breakout: row.try_get::<Option<bool>, _>(11)?.unwrap_or(false),
        breakout_parent: match parent {
            Some(parent) => Some((parent, row.try_get::<Option<i32>, _>(13)?.unwrap_or(0))),
            None => None,
        },
        breakout_rooms: row.try_get::<Option<Vec<String>>, _>(14)?.unwrap_or_default(),
        metadata: Vec::new(),
        formats: Vec::new(),
    };
    document::read(row.try_get(15)?, &mut recording)?;
    Ok((cursor, recording))
}

/// A text; empty where there is none.
fn text(row: &PgRow, column: usize) -> Result<String, DbError> {
    Ok(row.try_get::<Option<String>, _>(column)?.unwrap_or_default())
}
