//! One recording under its lock. The lock belongs to a transaction: it ends with the commit, with the connection,
//! or when [`LockedRecording`] is dropped, which rolls back.
//!
//! Files move while the lock is held, before the commit, so that the index never lists files that are not there.
//! A process killed in between leaves the files ahead of the index; repeating the change completes it.

use super::{Index, default_state, document};
use crate::callbacks::ready_urls;
use crate::db::DbError;
use crate::db::advisory_lock::Lock;
use crate::recordings::{FormatMetadata, RecordId, Shelf};
use futures_util::FutureExt;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// A lock is awaited until this long before the operation's timeout, so that the caller gets the more specific
/// `Busy`.
const LOCK_TIMEOUT_MARGIN: Duration = Duration::from_millis(300);

/// How to import recordings.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Unpublished, whatever metadata.xml says.
    pub unpublished: bool,
    /// Protected.
    pub protected: bool,
    /// When the archive was made. A recording that a client has deleted since then stays deleted;
    /// without this, the import restores it.
    pub archived: Option<SystemTime>,
}

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The recording.
    pub record_id: RecordId,
    /// The shelf that all its formats belong on. None: a client deleted it after the archive was made. Then
    /// nothing was written, and its files belong on no shelf.
    pub shelf: Option<Shelf>,
    /// Whether the index did not have it before.
    pub new: bool,
}

/// The row of a locked recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    row_id: i64,
    /// See `published` in the responses of getRecordings.
    pub published: bool,
    /// `published`, `unpublished`, `deleted`, …
    pub state: String,
    /// Whether a client has set the publish state.
    publish_updated: bool,
    deleted_at_unix_ms: Option<i64>,
    /// The server whose upload brought it first. None if it came another way.
    pub first_server: Option<String>,
}

impl IndexEntry {
    /// Columns of Scalelite's tables may be NULL.
    fn read(row: &PgRow) -> Result<IndexEntry, sqlx::Error> {
        let published = row.try_get::<Option<_>, _>("published")?.unwrap_or(false);
        let state: Option<String> = row.try_get("state")?;
        Ok(IndexEntry {
            row_id: row.try_get("id")?,
            published,
            state: state.unwrap_or_else(|| default_state(published).to_owned()),
            publish_updated: row.try_get::<Option<_>, _>("publish_updated")?.unwrap_or(false),
            deleted_at_unix_ms: row.try_get("deleted_at_unix_ms")?,
            first_server: row.try_get("first_server")?,
        })
    }

    /// Whether BBB has finished it: only then it can be published.
    pub fn is_processed(&self) -> bool {
        matches!(self.state.as_str(), "published" | "unpublished")
    }

    /// Whether a client has deleted it.
    pub fn is_deleted(&self) -> bool {
        self.state == "deleted"
    }
}

/// A recording under its lock.
#[derive(Debug)]
pub struct LockedRecording {
    transaction: Transaction<'static, Postgres>,
    id: RecordId,
    entry: Option<IndexEntry>,
    timeout: Duration,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Index {
    /// Locks a recording, whether the index has it or not. Waits for another holder of the lock until shortly
    /// before the timeout, then fails with [`DbError::Busy`].
    pub async fn lock(&self, id: &RecordId) -> Result<LockedRecording, DbError> {
        let deadline = Instant::now() + self.db.timeout();
        let slot = match &self.lock_slots {
            None => None,
            Some(slots) => timeout_at(deadline - LOCK_TIMEOUT_MARGIN, slots.clone().acquire_owned())
                .await
                .map_err(|_| DbError::Busy)?
                .ok(),
        };
        let mut locked =
            self.db.run_idempotent_until(deadline, || self.lock_once(id, deadline).boxed()).await?;
        locked._slot = slot;
        Ok(locked)
    }

    async fn lock_once(&self, id: &RecordId, deadline: Instant) -> Result<LockedRecording, DbError> {
        let mut transaction = self.db.pool().begin().await?;
        let wait = (deadline - LOCK_TIMEOUT_MARGIN).saturating_duration_since(Instant::now());
        // At least 1: 0 means no timeout.
        let wait_ms = wait.as_millis().max(1);
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(format!("{wait_ms}ms"))
            .execute(&mut *transaction)
            .await?;
        Lock::Recording.acquire(&mut transaction, id.as_str()).await?;
        let row = sqlx::query(
            "SELECT id, published, state, publish_updated, first_server, \
                 (extract(epoch FROM deleted_at) * 1000)::bigint AS deleted_at_unix_ms \
             FROM recordings WHERE record_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let entry = row.as_ref().map(IndexEntry::read).transpose()?;
        Ok(LockedRecording { transaction, id: id.clone(), entry, timeout: self.db.timeout(), _slot: None })
    }
}

impl LockedRecording {
    /// The locked recording's id.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// Its row in the index. None if the index does not have it.
    pub fn entry(&self) -> Option<&IndexEntry> {
        self.entry.as_ref()
    }

    /// The shelf of its files according to the index. None if the index does not have it, or it is deleted.
    pub fn current_shelf(&self) -> Option<Shelf> {
        self.entry.as_ref().filter(|entry| !entry.is_deleted()).map(|entry| Shelf::of(entry.published))
    }

    /// The shelf that the files of these formats belong on. None if the recording was deleted after the archive
    /// was made. Changes nothing.
    ///
    /// An import may be killed at any point if it keeps this order: unpack, [`Index::lock`], this,
    /// `Storage::move_to_shelf` for formats that are on the other shelf, `Storage::put_format` for each new format,
    /// [`LockedRecording::import`], [`LockedRecording::commit`], `Storage::finish_move`, and only then remove the
    /// archive. Until the commit, getRecordings shows nothing new; repeating all of it has the same result.
    pub fn target_shelf(&self, formats: &[FormatMetadata], options: ImportOptions) -> Option<Shelf> {
        self.published_after_import(formats, options).map(Shelf::of)
    }

    fn published_after_import(&self, formats: &[FormatMetadata], options: ImportOptions) -> Option<bool> {
        let by_archive = !options.unpublished && formats.iter().any(|format| format.published);
        match &self.entry {
            Some(entry) if entry.is_deleted() => {
                let archived = options.archived.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let stays_deleted = match (archived, entry.deleted_at_unix_ms) {
                    (Some(archived), Some(deleted)) => (archived.as_millis() as i64) < deleted,
                    _ => false,
                };
                (!stays_deleted).then_some(by_archive)
            }
            // A client's decision outlasts imports.
            Some(entry) if entry.publish_updated => Some(entry.published),
            _ => Some(by_archive),
        }
    }

    /// Writes the recording and these formats: adds new ones and replaces existing ones. Keeps the publish state if
    /// a client has set it, and metadata that a client has changed or removed (all metadata that Scalelite wrote:
    /// it does not record its origin). Idempotent. A recording that is new, or was deleted, is announced to the
    /// recording-ready URL of its meeting's create. After [`DbError::Timeout`], drop the lock: nothing else works.
    pub async fn import(
        &mut self,
        formats: &[FormatMetadata],
        options: ImportOptions,
    ) -> Result<Imported, DbError> {
        timeout(self.timeout, self.import_all(formats, options)).await.map_err(|_| DbError::Timeout)?
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
        let new = self.entry.is_none();
        let Some(published) = self.published_after_import(formats, options) else {
            return Ok(Imported { record_id: self.id.clone(), shelf: None, new });
        };
        let rooms: &[String] =
            formats.iter().map(|f| &f.breakout_rooms[..]).find(|rooms| !rooms.is_empty()).unwrap_or_default();
        let parent = formats.iter().find_map(|f| f.breakout_parent.as_ref());
        let id: i64 = sqlx::query_scalar(UPSERT)
            .bind(self.id.as_str())
            .bind(&first.meeting_id)
            .bind(formats.iter().find_map(|f| f.name.as_ref()))
            .bind(published)
            .bind(formats.iter().find_map(|f| f.participants))
            .bind(default_state(published))
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
        self.import_metadata(id, formats).await?;
        for format in formats {
            self.import_format(id, format).await?;
        }
        document::write(&mut self.transaction, &[id]).await?;
        if self.entry.as_ref().is_none_or(IndexEntry::is_deleted) {
            ready_urls::announce(&mut self.transaction, self.id.as_str(), &first.meeting_id).await?;
        }
        Ok(Imported { record_id: self.id.clone(), shelf: Some(Shelf::of(published)), new })
    }

    async fn import_metadata(&mut self, id: i64, formats: &[FormatMetadata]) -> Result<(), DbError> {
        // Where formats differ, the first one wins.
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
        let format_id: i64 = sqlx::query_scalar(
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
        // Scalelite's column is a 32-bit integer: at most 24 days in milliseconds.
        .bind(format.processing_time.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)))
        .bind(format.size)
        .fetch_one(&mut *self.transaction)
        .await?;
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

    /// Records the server whose upload brought it. Call it after [`LockedRecording::import`].
    pub async fn set_first_server(&mut self, server: &str) -> Result<(), DbError> {
        let update = sqlx::query(
            "UPDATE recordings SET first_server = $2 WHERE record_id = $1 AND first_server IS DISTINCT FROM $2",
        )
        .bind(self.id.as_str())
        .bind(server)
        .execute(&mut *self.transaction);
        timeout(self.timeout, update).await.map_err(|_| DbError::Timeout)??;
        Ok(())
    }

    /// Whether the index has any format of it.
    pub async fn has_formats(&mut self) -> Result<bool, DbError> {
        let Some(entry) = &self.entry else { return Ok(false) };
        let query =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM playback_formats WHERE recording_id = $1)")
                .bind(entry.row_id)
                .fetch_one(&mut *self.transaction);
        Ok(timeout(self.timeout, query).await.map_err(|_| DbError::Timeout)??)
    }

    /// Sets the publish state as a client's decision. False if the index does not have the recording, or it is
    /// deleted.
    pub async fn set_published(&mut self, published: bool) -> Result<bool, DbError> {
        let Some(entry) = self.entry.as_ref().filter(|entry| !entry.is_deleted()) else { return Ok(false) };
        let update = sqlx::query(
            "UPDATE recordings SET published = $2, state = $3, publish_updated = true WHERE id = $1",
        )
        .bind(entry.row_id)
        .bind(published)
        .bind(default_state(published))
        .execute(&mut *self.transaction);
        timeout(self.timeout, update).await.map_err(|_| DbError::Timeout)??;
        Ok(true)
    }

    /// Marks it as deleted; deletes its metadata, formats, images and pending recording-ready callbacks. False if
    /// the index does not have it; deleting a deleted recording succeeds.
    pub async fn delete(&mut self) -> Result<bool, DbError> {
        let Some(entry) = &self.entry else { return Ok(false) };
        let deadline = Instant::now() + self.timeout;
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
            let deleting = sqlx::query(statement).bind(entry.row_id).execute(&mut *self.transaction);
            timeout_at(deadline, deleting).await.map_err(|_| DbError::Timeout)??;
        }
        Ok(true)
    }

    /// Commits, and releases the lock.
    pub async fn commit(self) -> Result<(), DbError> {
        timeout(self.timeout, self.transaction.commit()).await.map_err(|_| DbError::Timeout)??;
        Ok(())
    }
}

/// A deleted recording that is imported again starts afresh: earlier decisions of clients no longer count.
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
        publish_updated = coalesce(old.publish_updated AND old.state IS DISTINCT FROM 'deleted', false), \
        raw_size = coalesce(excluded.raw_size, old.raw_size), \
        is_breakout = excluded.is_breakout, \
        breakout_parent = coalesce(excluded.breakout_parent, old.breakout_parent), \
        breakout_sequence = coalesce(excluded.breakout_sequence, old.breakout_sequence), \
        breakout_rooms = coalesce(excluded.breakout_rooms, old.breakout_rooms) \
    RETURNING id";
