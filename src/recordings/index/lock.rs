//! One recording that nobody else changes meanwhile. Its lock is a transaction's: it goes with the
//! commit, with the connection, or when [`Locked`] is dropped, which undoes everything.
//!
//! Files are moved while the lock is held and before it is committed, so that what the index says is
//! there. Cut off in between, the files are ahead of the index, and doing it again ends well.

use super::{Index, document};
use crate::callbacks::ready_urls;
use crate::db::DbError;
use crate::db::advisory_lock::Lock;
use crate::recordings::{FormatMetadata, RecordId, Shelf};
use futures_util::FutureExt;
use sqlx::{Postgres, Row, Transaction};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// So much sooner than our patience ends, waiting for somebody else does: Busy tells more than Timeout.
const SOONER: Duration = Duration::from_millis(300);

/// How recordings arrive.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// As unpublished, whatever their metadata.xml says.
    pub unpublished: bool,
    /// As protected.
    pub protected: bool,
    /// When the archive was made. A recording that a client has deleted since then stays deleted;
    /// without this, importing brings it back.
    pub archived: Option<SystemTime>,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Of which recording.
    pub record_id: RecordId,
    /// The shelf that its formats belong on, all of them. None: it was deleted after the archive was
    /// made, nothing has been written, and its files belong nowhere.
    pub shelf: Option<Shelf>,
    /// It was not in the index before.
    pub new: bool,
}

/// What the index holds of a recording under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub(super) id: i64,
    /// See `published` in the answers of getRecordings.
    pub published: bool,
    /// `published`, `unpublished`, `deleted`, …
    pub state: String,
    publish_updated: bool,
    /// ms since 1970.
    deleted_at: Option<i64>,
}

impl Held {
    /// Whether a client has deleted it.
    pub fn is_deleted(&self) -> bool {
        self.state == "deleted"
    }
}

/// A recording under its lock.
#[derive(Debug)]
pub struct Locked {
    transaction: Transaction<'static, Postgres>,
    id: RecordId,
    held: Option<Held>,
    patience: Duration,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Index {
    /// Takes a recording's lock, whether the index has the recording or not. Waits for whoever has
    /// it, but not for longer than our patience: [`DbError::Busy`].
    pub async fn lock(&self, id: &RecordId) -> Result<Locked, DbError> {
        let deadline = Instant::now() + self.db.timeout();
        let turn = match &self.lock_slots {
            None => None,
            Some(locks) => timeout_at(deadline - SOONER, locks.clone().acquire_owned())
                .await
                .map_err(|_| DbError::Busy)?
                .ok(),
        };
        let mut locked =
            self.db.run_idempotent_until(deadline, || self.lock_once(id, deadline).boxed()).await?;
        locked._turn = turn;
        Ok(locked)
    }

    async fn lock_once(&self, id: &RecordId, deadline: Instant) -> Result<Locked, DbError> {
        let mut transaction = self.db.pool().begin().await?;
        // 0 would be without end.
        let wait = (deadline - SOONER).saturating_duration_since(Instant::now()).as_millis().max(1);
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(format!("{wait}ms"))
            .execute(&mut *transaction)
            .await?;
        Lock::Recording.acquire(&mut transaction, id.as_str()).await?;
        let row = sqlx::query(
            "SELECT id, published, state, publish_updated, (extract(epoch FROM deleted_at) * 1000)::bigint \
             FROM recordings WHERE record_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let held = match row {
            None => None,
            Some(row) => {
                let published = row.try_get::<Option<bool>, _>(1)?.unwrap_or(false);
                let state = row.try_get::<Option<String>, _>(2)?;
                Some(Held {
                    id: row.try_get(0)?,
                    published,
                    state: state.unwrap_or_else(|| state_of(published).to_owned()),
                    publish_updated: row.try_get::<Option<bool>, _>(3)?.unwrap_or(false),
                    deleted_at: row.try_get(4)?,
                })
            }
        };
        Ok(Locked { transaction, id: id.clone(), held, patience: self.db.timeout(), _turn: None })
    }

    /// Writes the formats of one recording into the index: lock, import, commit. For whoever has put
    /// the files in place already; see [`Locked::import`].
    pub async fn import(
        &self,
        formats: &[FormatMetadata],
        options: ImportOptions,
    ) -> Result<Imported, DbError> {
        let first = formats.first().ok_or(DbError::NotOneRecording)?;
        let mut locked = self.lock(&first.record_id).await?;
        let imported = locked.import(formats, options).await?;
        locked.commit().await?;
        Ok(imported)
    }
}

impl Locked {
    /// Of which recording.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// What the index says of it; None where it has no such recording.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// The shelf that the index says its files are on. None where it has no such recording, or it is
    /// deleted.
    pub fn shelf_now(&self) -> Option<Shelf> {
        self.held.as_ref().filter(|held| !held.is_deleted()).map(|held| Shelf::of(held.published))
    }

    /// The shelf that the files of these formats belong on; None where the recording was deleted
    /// after the archive was made. Changes nothing.
    ///
    /// The order of an import that can be cut off anywhere: unpack, [`Index::lock`], this,
    /// `Storage::shift` where other formats are on the other shelf, `Storage::place` for each
    /// format, [`Locked::import`], [`Locked::commit`], `Storage::finish`, and only then remove the archive. Until the
    /// commit, getRecordings tells of nothing new; doing it all again ends the same.
    pub fn shelf(&self, formats: &[FormatMetadata], options: ImportOptions) -> Option<Shelf> {
        self.published_after(formats, options).map(Shelf::of)
    }

    fn published_after(&self, formats: &[FormatMetadata], options: ImportOptions) -> Option<bool> {
        let arriving = !options.unpublished && formats.iter().any(|format| format.published);
        match &self.held {
            Some(held) if held.is_deleted() => {
                let archived = options.archived.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let stays = match (archived, held.deleted_at) {
                    (Some(archived), Some(deleted)) => (archived.as_millis() as i64) < deleted,
                    _ => false,
                };
                (!stays).then_some(arriving)
            }
            // A client has said where it is to be.
            Some(held) if held.publish_updated => Some(held.published),
            _ => Some(arriving),
        }
    }

    /// Writes the recording and these formats: new ones are added, those that are there replaced.
    /// Kept are the publish state, where a client has set it, and metadata that a client has
    /// changed or taken away (all of it, where Scalelite wrote it: it does not say who did). Doing it
    /// twice is doing it once. A recording that was not there before, or was deleted, is announced to the
    /// URL that came with its meeting's create. After [`DbError::Timeout`], there is nothing to do but drop it.
    pub async fn import(
        &mut self,
        formats: &[FormatMetadata],
        options: ImportOptions,
    ) -> Result<Imported, DbError> {
        let patience = self.patience;
        timeout(patience, self.import_all(formats, options)).await.map_err(|_| DbError::Timeout)?
    }

    async fn import_all(
        &mut self,
        formats: &[FormatMetadata],
        options: ImportOptions,
    ) -> Result<Imported, DbError> {
        let first = formats.first().ok_or(DbError::NotOneRecording)?;
        if formats.iter().any(|format| format.record_id != self.id) {
            return Err(DbError::NotOneRecording);
        }
        let new = self.held.is_none();
        let Some(published) = self.published_after(formats, options) else {
            return Ok(Imported { record_id: self.id.clone(), shelf: None, new });
        };
        let rooms: &[String] =
            formats.iter().map(|f| &f.breakout_rooms[..]).find(|rooms| !rooms.is_empty()).unwrap_or_default();
        let parent = formats.iter().find_map(|f| f.breakout_parent.as_ref());
        let row = sqlx::query(UPSERT)
            .bind(self.id.as_str())
            .bind(&first.meeting_id)
            .bind(formats.iter().find_map(|f| f.name.as_ref()))
            .bind(published)
            .bind(formats.iter().find_map(|f| f.participants))
            .bind(state_of(published))
            .bind(formats.iter().find_map(|f| f.start_ms))
            .bind(formats.iter().find_map(|f| f.end_ms))
            .bind(options.protected)
            .bind(formats.iter().find_map(|f| f.raw_size))
            .bind(formats.iter().any(|f| f.is_breakout))
            .bind(parent.map(|(id, _)| id))
            .bind(parent.map(|(_, sequence)| *sequence))
            .bind((!rooms.is_empty()).then_some(rooms))
            .fetch_one(&mut *self.transaction)
            .await?;
        let id: i64 = row.try_get(0)?;
        self.import_metadata(id, formats).await?;
        for format in formats {
            self.import_format(id, format).await?;
        }
        document::write(&mut self.transaction, &[id]).await?;
        if self.held.as_ref().is_none_or(Held::is_deleted) {
            ready_urls::announce(&mut self.transaction, self.id.as_str(), &first.meeting_id).await?;
        }
        Ok(Imported { record_id: self.id.clone(), shelf: Some(Shelf::of(published)), new })
    }

    async fn import_metadata(&mut self, id: i64, formats: &[FormatMetadata]) -> Result<(), DbError> {
        // Of formats that differ the first one counts.
        let mut pairs = BTreeMap::new();
        for (key, value) in formats.iter().flat_map(|format| &format.metadata) {
            pairs.entry(key.as_str()).or_insert(value.as_str());
        }
        sqlx::query(
            "INSERT INTO metadata (recording_id, key, value, imported) \
             SELECT r.id, new.key, new.value, true \
             FROM recordings r, unnest($2::text[], $3::text[]) AS new (key, value) \
             WHERE r.id = $1 AND NOT new.key = ANY (coalesce(r.removed_metadata, '{}')) \
             ON CONFLICT (recording_id, key) DO UPDATE SET value = excluded.value WHERE metadata.imported",
        )
        .bind(id)
        .bind(pairs.keys().copied().collect::<Vec<_>>())
        .bind(pairs.values().copied().collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    async fn import_format(&mut self, id: i64, format: &FormatMetadata) -> Result<(), DbError> {
        let row = sqlx::query(
            "INSERT INTO playback_formats (recording_id, format, url, length, processing_time, size) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (recording_id, format) DO UPDATE SET url = excluded.url, length = excluded.length, \
                 processing_time = excluded.processing_time, size = excluded.size \
             RETURNING id",
        )
        .bind(id)
        .bind(format.format.as_str())
        .bind(&format.url)
        .bind(format.length)
        // Scalelite's column is an integer: 24 days of milliseconds.
        .bind(format.processing_time.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)))
        .bind(format.size)
        .fetch_one(&mut *self.transaction)
        .await?;
        let format_id: i64 = row.try_get(0)?;
        sqlx::query("DELETE FROM thumbnails WHERE playback_format_id = $1")
            .bind(format_id)
            .execute(&mut *self.transaction)
            .await?;
        let images = &format.thumbnails;
        if images.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO thumbnails (playback_format_id, width, height, alt, url, sequence) \
             SELECT $1, new.* FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::int[]) AS new",
        )
        .bind(format_id)
        .bind(images.iter().map(|image| image.width).collect::<Vec<_>>())
        .bind(images.iter().map(|image| image.height).collect::<Vec<_>>())
        .bind(images.iter().map(|image| image.alt.as_deref()).collect::<Vec<_>>())
        .bind(images.iter().map(|image| image.url.as_str()).collect::<Vec<_>>())
        .bind((0..images.len() as i32).collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Writes that it is published, or not, and that a client said so. Whether the index has it.
    pub async fn set_published(&mut self, published: bool) -> Result<bool, DbError> {
        let Some(held) = self.held.as_ref().filter(|held| !held.is_deleted()) else { return Ok(false) };
        let update = sqlx::query(
            "UPDATE recordings SET published = $2, state = $3, publish_updated = true WHERE id = $1",
        )
        .bind(held.id)
        .bind(published)
        .bind(state_of(published))
        .execute(&mut *self.transaction);
        timeout(self.patience, update).await.map_err(|_| DbError::Timeout)??;
        Ok(true)
    }

    /// Writes that it is deleted; its metadata, formats and images go, and nobody is told any more that it
    /// is ready. Whether the index has it: deleting what is deleted succeeds.
    pub async fn delete(&mut self) -> Result<bool, DbError> {
        let Some(held) = &self.held else { return Ok(false) };
        let deadline = Instant::now() + self.patience;
        for statement in [
            "DELETE FROM thumbnails WHERE playback_format_id IN \
                 (SELECT id FROM playback_formats WHERE recording_id = $1)",
            "DELETE FROM playback_formats WHERE recording_id = $1",
            "DELETE FROM metadata WHERE recording_id = $1",
            "DELETE FROM callbacks WHERE state = 'pending' AND kind = 'recording-ready' \
                 AND record_id = (SELECT record_id FROM recordings WHERE id = $1)",
            "UPDATE recordings SET state = 'deleted', published = false, removed_metadata = NULL, \
                 deleted_at = coalesce(CASE WHEN state = 'deleted' THEN deleted_at END, now() AT TIME ZONE 'UTC') \
             WHERE id = $1",
        ] {
            let deleting = sqlx::query(statement).bind(held.id).execute(&mut *self.transaction);
            timeout_at(deadline, deleting).await.map_err(|_| DbError::Timeout)??;
        }
        Ok(true)
    }

    /// Makes it so, and lets go.
    pub async fn commit(self) -> Result<(), DbError> {
        timeout(self.patience, self.transaction.commit()).await.map_err(|_| DbError::Timeout)??;
        Ok(())
    }
}

/// A deleted recording that comes back begins anew: nothing that a client had said of it counts.
const UPSERT: &str = "INSERT INTO recordings AS old (record_id, meeting_id, name, published, participants, state, \
        starttime, endtime, protected, publish_updated, raw_size, is_breakout, breakout_parent, \
        breakout_sequence, breakout_rooms) \
    VALUES ($1, $2, $3, $4, $5, $6, timestamp 'epoch' + $7::bigint * interval '1 millisecond', \
        timestamp 'epoch' + $8::bigint * interval '1 millisecond', $9, false, $10, $11, $12, $13, $14) \
    ON CONFLICT (record_id) DO UPDATE SET \
        meeting_id = excluded.meeting_id, \
        name = coalesce(excluded.name, old.name), \
        published = excluded.published, \
        participants = coalesce(excluded.participants, old.participants), \
        state = excluded.state, \
        starttime = coalesce(excluded.starttime, old.starttime), \
        endtime = coalesce(excluded.endtime, old.endtime), \
        deleted_at = NULL, \
        protected = CASE WHEN old.state = 'deleted' THEN excluded.protected ELSE old.protected END, \
        publish_updated = coalesce(old.publish_updated AND old.state <> 'deleted', false), \
        raw_size = coalesce(excluded.raw_size, old.raw_size), \
        is_breakout = excluded.is_breakout, \
        breakout_parent = coalesce(excluded.breakout_parent, old.breakout_parent), \
        breakout_sequence = coalesce(excluded.breakout_sequence, old.breakout_sequence), \
        breakout_rooms = coalesce(excluded.breakout_rooms, old.breakout_rooms) \
    RETURNING id";

pub(super) fn state_of(published: bool) -> &'static str {
    if published { "published" } else { "unpublished" }
}
