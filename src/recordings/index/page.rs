//! Pages of recordings: one round trip each, whatever belongs to them.

use super::query::{Cursor, PAGE, RecordingQuery};
use super::time::Time;
use super::{Index, IndexError};
use crate::recordings::Thumbnail;
use futures_util::FutureExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;

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

/// All that belongs to `r`, a page of recordings: rows of four kinds with the same columns. Values stand in
/// the order in which `assemble` reads them.
const WITH_ALL: &str = ", f AS MATERIALIZED (SELECT * FROM playback_formats f WHERE f.recording_id = ANY (ARRAY(SELECT id FROM r))) \
    SELECT 0 AS kind, r.id AS owner, r.record_id::text AS a, r.meeting_id::text AS b, r.name::text AS c, \
        r.state::text AS d, r.breakout_parent AS e, r.participants AS i, r.breakout_sequence AS j, \
        NULL::integer AS k, r.raw_size AS l, NULL::bigint AS m, r.starttime AS s, r.endtime AS t, \
        r.published AS u, r.protected AS v, r.is_breakout AS w, r.breakout_rooms AS x FROM r \
    UNION ALL SELECT 1, m.recording_id, m.key, m.value, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
        NULL, NULL, NULL, NULL FROM metadata m WHERE m.recording_id = ANY (ARRAY(SELECT id FROM r)) \
    UNION ALL SELECT 2, f.recording_id, f.format, f.url, NULL, NULL, NULL, f.length, f.processing_time, NULL, \
        f.size, f.id, NULL, NULL, NULL, NULL, NULL, NULL FROM f \
    UNION ALL SELECT 3, t.playback_format_id, t.url, t.alt, NULL, NULL, NULL, t.width, t.height, t.sequence, \
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
        FROM thumbnails t WHERE t.playback_format_id = ANY (ARRAY(SELECT id FROM f))";

/// Pages, one after the other, newest recordings first. Holds no connection between them, so whoever
/// reads slowly keeps nobody waiting; what changes meanwhile may or may not be seen.
#[derive(Debug)]
pub struct Pages {
    index: Index,
    query: RecordingQuery,
    cursor: Option<Cursor>,
    left: Option<u32>,
    done: bool,
}

impl Index {
    /// The recordings that a query asks for, page by page.
    pub fn pages(&self, query: RecordingQuery) -> Pages {
        let done = query.is_hopeless() || query.limit == Some(0);
        Pages { index: self.clone(), left: query.limit, cursor: None, query, done }
    }

    /// How many recordings there are, whatever the query's offset and limit.
    pub async fn total(&self, query: &RecordingQuery) -> Result<i64, IndexError> {
        if query.is_hopeless() {
            return Ok(0);
        }
        self.patiently(|| {
            async { Ok(query.total().build_query_scalar().fetch_one(&self.pool).await?) }.boxed()
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
    pub async fn next(&mut self) -> Result<Vec<Recording>, IndexError> {
        if self.done {
            return Ok(Vec::new());
        }
        let size = self.left.unwrap_or(PAGE).min(PAGE);
        let skip = if self.cursor.is_none() { self.query.offset } else { 0 };
        let (index, query, cursor) = (&self.index, &self.query, self.cursor);
        let rows = index
            .patiently(|| {
                async {
                    let mut sql = query.page(cursor, skip, size);
                    sql.push(WITH_ALL);
                    Ok(sql.build().fetch_all(&index.pool).await?)
                }
                .boxed()
            })
            .await?;
        let (recordings, last) = assemble(&rows)?;
        self.cursor = last.or(self.cursor);
        self.left = self.left.map(|left| left.saturating_sub(size));
        self.done = recordings.len() < size as usize || self.left == Some(0);
        Ok(recordings)
    }
}

/// The rows in any order. Returns the recordings, newest first, and where they end.
fn assemble(rows: &[PgRow]) -> Result<(Vec<Recording>, Option<Cursor>), IndexError> {
    let mut found: Vec<(Cursor, Recording)> = Vec::new();
    let mut parts: [Vec<(i64, &PgRow)>; 3] = Default::default();
    for row in rows {
        let (kind, owner): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        match kind {
            0 => {
                let start: Option<Time> = row.try_get(12)?;
                found.push((
                    Cursor { start: start.unwrap_or(Time::NEVER), id: owner },
                    recording(row, start)?,
                ));
            }
            1..=3 => parts[kind as usize - 1].push((owner, row)),
            _ => {}
        }
    }
    found.sort_unstable_by_key(|(at, _)| std::cmp::Reverse((at.start, at.id)));
    let places: HashMap<i64, usize> = found.iter().enumerate().map(|(n, (at, _))| (at.id, n)).collect();
    let [metadata, formats, mut images] = parts;
    for (owner, row) in metadata {
        if let Some(&n) = places.get(&owner) {
            found[n].1.metadata.push((text(row, 2)?, text(row, 3)?));
        }
    }
    let mut format_places: HashMap<i64, (usize, usize)> = HashMap::with_capacity(formats.len());
    for (owner, row) in formats {
        if let Some(&n) = places.get(&owner) {
            let all = &mut found[n].1.formats;
            format_places.insert(row.try_get(11)?, (n, all.len()));
            all.push(PlaybackFormat {
                format: text(row, 2)?,
                url: text(row, 3)?,
                length: row.try_get(7)?,
                processing_time: row.try_get(8)?,
                size: row.try_get(10)?,
                thumbnails: Vec::new(),
            });
        }
    }
    images.sort_by_cached_key(|(_, row)| row.try_get::<Option<i32>, _>(9).ok().flatten());
    for (owner, row) in images {
        if let Some(&(n, format)) = format_places.get(&owner) {
            found[n].1.formats[format].thumbnails.push(Thumbnail {
                width: row.try_get(7)?,
                height: row.try_get(8)?,
                alt: row.try_get(3)?,
                url: text(row, 2)?,
            });
        }
    }
    let last = found.last().map(|(at, _)| *at);
    let finish = |(_, mut recording): (Cursor, Recording)| {
        recording.metadata.sort_unstable();
        recording.formats.sort_unstable_by(|a, b| a.format.cmp(&b.format));
        recording
    };
    Ok((found.into_iter().map(finish).collect(), last))
}

fn recording(row: &PgRow, start: Option<Time>) -> Result<Recording, IndexError> {
    let published = row.try_get::<Option<bool>, _>(14)?.unwrap_or(false);
    let parent: Option<String> = row.try_get(6)?;
    let end: Option<Time> = row.try_get(13)?;
    let state: Option<String> = row.try_get(5)?;
    Ok(Recording {
        record_id: text(row, 2)?,
        meeting_id: text(row, 3)?,
        name: row.try_get(4)?,
        published,
        protected: row.try_get::<Option<bool>, _>(15)?.unwrap_or(false),
        state: state.unwrap_or_else(|| super::lock::state_of(published).to_owned()),
        start_ms: start.map(Time::unix_ms),
        end_ms: end.map(Time::unix_ms),
        participants: row.try_get(7)?,
        raw_size: row.try_get(10)?,
        is_breakout: row.try_get::<Option<bool>, _>(16)?.unwrap_or(false),
        breakout_parent: match parent {
            Some(parent) => Some((parent, row.try_get::<Option<i32>, _>(8)?.unwrap_or(0))),
            None => None,
        },
        breakout_rooms: row.try_get::<Option<Vec<String>>, _>(17)?.unwrap_or_default(),
        metadata: Vec::new(),
        formats: Vec::new(),
    })
}

/// A text; empty where there is none.
fn text(row: &PgRow, column: usize) -> Result<String, IndexError> {
    Ok(row.try_get::<Option<String>, _>(column)?.unwrap_or_default())
}
