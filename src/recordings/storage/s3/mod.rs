//! Shelves in a bucket: `published/{format}/{record_id}/…`, `unpublished/{format}/{record_id}/…`.
//!
//! S3 cannot rename or exchange. It writes, copies and deletes single objects atomically, nothing more. So every
//! operation on several objects writes a note in the work area, `.sl-work/{record_id}/`, before it begins (`keys`);
//! after a kill, [`S3Storage::recover`] reads the notes and completes or undoes the operation:
//!
//! - **A new format** is uploaded to its location, metadata.xml last. Recovery deletes a part of it that has no
//!   metadata.xml. The index does not have the format yet, so no client sees the part.
//! - **A new version of a format** is staged in the work area first. Once it is complete, it is copied to its
//!   location, and files that it lacks are deleted there; recovery continues from that point. During the copy,
//!   viewers may get a mixture of old and new files.
//! - **Deleting a format** deletes metadata.xml first. Recovery deletes a part that has no metadata.xml.
//! - **A move** copies all formats and then deletes the originals. When a recording is unpublished, its files
//!   disappear a moment before the index says so.
//!
//! - `bucket`: the operations of S3; `http_client`: the connection to it
//! - `upload`: uploads, in parts for large files; `object`: reading for playback; `recover`: the notes

mod bucket;
mod http_client;
mod keys;
mod object;
mod recover;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use object::Object;

use super::{MoveNotes, MoveOutcome, Shelf, ShelfMove, StorageError};
use crate::blocking::run_blocking;
use crate::config::S3Config;
use crate::recordings::{FormatName, RecordId};
use bucket::{Bucket, MAX_PARALLEL_REQUESTS, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use keys::{FormatLocation, LAST_FILE, Note, WORK_ROOT, shelf_name};
use object_store::ObjectMeta;
use object_store::path::Path as Key;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// The largest object that S3 copies with one request.
const MAX_COPY_BYTES: u64 = 5 << 30;

/// A bucket with recordings.
#[derive(Debug)]
pub(super) struct S3Storage {
    bucket: Arc<Bucket>,
    /// Limits the parts of files in memory.
    parts_in_memory: Semaphore,
    max_copy_bytes: u64,
    /// Lifetime of signed URLs. None: browsers get all files from `sl`.
    url_expires: Option<Duration>,
}

fn ownership_lost(id: &RecordId) -> StorageError {
    let why = "the recording's lock was lost, and another process has recovered it meanwhile".to_owned();
    StorageError::S3 { what: "move", key: id.to_string(), why }
}

impl S3Storage {
    pub(super) fn new(config: &S3Config) -> Result<S3Storage> {
        Ok(S3Storage {
            bucket: Arc::new(Bucket::new(config)?),
            parts_in_memory: Semaphore::new(upload::MAX_PARTS_IN_MEMORY),
            max_copy_bytes: MAX_COPY_BYTES,
            url_expires: config.redirect.then_some(config.url_expires),
        })
    }

    pub(super) async fn put_format(
        &self,
        from: &Path,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<()> {
        self.recover(id).await?;
        let location = FormatLocation::new(shelf, format, id);
        let directory = from.to_owned();
        let files = run_blocking(move || upload::list_files(&directory)).await?;
        if self.bucket.any_below(&location.prefix()).await? {
            let unique = keys::unique_name();
            self.upload(id, files, &keys::staging_prefix(id, &unique)).await?;
            self.write_note(id, &Note::Ready(location.clone(), unique.clone())).await?;
            self.install_successor(&location, &unique).await?;
        } else {
            let partial = self.write_note(id, &Note::Partial(location.clone())).await?;
            self.upload(id, files, &location.prefix()).await?;
            self.bucket.delete(vec![partial]).await?;
        }
        self.delete_at(&FormatLocation::new(shelf.other(), format, id)).await?;
        let directory = from.to_owned();
        run_blocking(move || match std::fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::Io { what: "delete", path: directory, source })
            }
            _ => Ok(()),
        })
        .await
    }

    pub(super) async fn move_to_shelf(
        &self,
        id: &RecordId,
        current: Option<Shelf>,
        to: Shelf,
    ) -> Result<ShelfMove> {
        self.recover(id).await?;
        let sources = self.locations(id, to.other()).await?;
        let targets = self.locations(id, to).await?;
        // A new note even if there are others: their owner may have just committed, and will delete them.
        let mut notes = self.move_notes(id).await?;
        let mut own_note = None;
        if !sources.is_empty() {
            let note = self.write_note(id, &Note::Move).await?;
            own_note = Some(note.clone());
            notes.push(note);
        }
        for source in &sources {
            let target = FormatLocation { shelf: to, ..source.clone() };
            let is_there = targets.contains(&target);
            if current == Some(to) && is_there {
                continue;
            }
            if is_there {
                self.delete_at(&target).await?;
            }
            let partial = self.write_note(id, &Note::Partial(target.clone())).await?;
            self.copy_all(id, &source.prefix(), &target.prefix()).await?;
            self.check_ownership(id, own_note.as_ref()).await?;
            if self.contents(source).await? != self.contents(&target).await? {
                return Err(ownership_lost(id));
            }
            self.bucket.delete(vec![partial]).await?;
        }
        for source in &sources {
            self.check_ownership(id, own_note.as_ref()).await?;
            self.delete_at(source).await?;
        }
        let outcome = match (sources.is_empty(), targets.is_empty()) {
            (false, _) => MoveOutcome::Moved,
            (true, false) => MoveOutcome::AlreadyThere,
            (true, true) => MoveOutcome::Missing,
        };
        Ok(ShelfMove { outcome, notes: MoveNotes::S3(notes) })
    }

    /// Copying may take minutes. If the lock was lost meanwhile (Postgres was restarted), its next holder has
    /// recovered the recording and deleted our note. Then we must not delete anything more.
    async fn check_ownership(&self, id: &RecordId, note: Option<&Key>) -> Result<()> {
        match note {
            Some(note) if self.bucket.head(note).await?.is_none() => Err(ownership_lost(id)),
            _ => Ok(()),
        }
    }

    /// The files of a format: names within it, and sizes.
    async fn contents(&self, location: &FormatLocation) -> Result<BTreeSet<(String, u64)>> {
        let prefix = location.prefix();
        let objects = self.bucket.list_below(&prefix).await?;
        let within = |key: &str| key.strip_prefix(prefix.as_ref()).unwrap_or(key).to_owned();
        Ok(objects.into_iter().map(|object| (within(object.location.as_ref()), object.size)).collect())
    }

    pub(super) async fn finish_move(&self, notes: Vec<Key>) -> Result<()> {
        self.bucket.delete(notes).await
    }

    pub(super) async fn delete(&self, id: &RecordId) -> Result<usize> {
        self.recover(id).await?;
        let mut deleted = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for location in self.locations(id, shelf).await? {
                self.delete_at(&location).await?;
                deleted.insert(location.format);
            }
        }
        self.finish_move(self.move_notes(id).await?).await?;
        Ok(deleted.len())
    }

    pub(super) async fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>> {
        let (published, unpublished) =
            tokio::try_join!(self.locations(id, Shelf::Published), self.locations(id, Shelf::Unpublished))?;
        let mut found: Vec<FormatLocation> = published.into_iter().chain(unpublished).collect();
        // An incomplete format does not count.
        for partial in self.partial_formats(id).await? {
            if found.contains(&partial) && self.bucket.head(&partial.last_file()?).await?.is_none() {
                found.retain(|location| *location != partial);
            }
        }
        found.sort_by(|a, b| a.format.cmp(&b.format));
        Ok(found.into_iter().map(|location| (location.format, location.shelf)).collect())
    }

    pub(super) async fn read_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>> {
        self.bucket.read(&FormatLocation::new(shelf, format, id).at(name)?, max_bytes).await
    }

    pub(super) async fn write_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        bytes: Bytes,
    ) -> Result<()> {
        self.bucket.put(&FormatLocation::new(shelf, format, id).at(name)?, bytes).await
    }

    pub(super) async fn list(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) {
        if let Err(error) = self.list_all(shelf, to).await {
            // If the reader has gone, the error has no addressee.
            let _ = to.send(Err(error)).await;
        }
    }

    async fn list_all(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) -> Result<()> {
        for format in self.shelf_formats(shelf).await? {
            let prefix = Key::from_iter([shelf_name(shelf), format.as_str()]);
            let mut from = None;
            loop {
                let page = self.bucket.page(&prefix, from).await?;
                for id in page.directories.iter().filter_map(|name| RecordId::parse(name)) {
                    if to.send(Ok((id, format.clone()))).await.is_err() {
                        return Ok(());
                    }
                }
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    pub(super) async fn leftovers(&self) -> Result<Vec<RecordId>> {
        let names = self.bucket.directories(&Key::from_iter([WORK_ROOT])).await?;
        Ok(names.iter().filter_map(|name| RecordId::parse(name)).collect())
    }

    async fn shelf_formats(&self, shelf: Shelf) -> Result<Vec<FormatName>> {
        let names = self.bucket.directories(&Key::from_iter([shelf_name(shelf)])).await?;
        Ok(names.iter().filter_map(|name| FormatName::parse(name)).collect())
    }

    /// The formats of a recording on a shelf, complete or not.
    async fn locations(&self, id: &RecordId, shelf: Shelf) -> Result<Vec<FormatLocation>> {
        let formats = self.shelf_formats(shelf).await?;
        stream::iter(formats)
            .map(|format| async move {
                let location = FormatLocation::new(shelf, &format, id);
                Ok(self.bucket.any_below(&location.prefix()).await?.then_some(location))
            })
            .buffered(MAX_PARALLEL_REQUESTS)
            .try_filter_map(|location| std::future::ready(Ok(location)))
            .try_collect()
            .await
    }

    /// Writes a note. Returns its key.
    async fn write_note(&self, id: &RecordId, note: &Note) -> Result<Key> {
        let key = note.key(id);
        self.bucket.put(&key, Bytes::new()).await?;
        Ok(key)
    }

    /// Deletes a format. False if it was not there.
    async fn delete_at(&self, location: &FormatLocation) -> Result<bool> {
        let objects = self.bucket.list_below(&location.prefix()).await?;
        if objects.is_empty() {
            return Ok(false);
        }
        let partial = self.write_note(&location.id, &Note::Partial(location.clone())).await?;
        self.delete_all(location, objects).await?;
        self.bucket.delete(vec![partial]).await?;
        Ok(true)
    }

    async fn delete_all(&self, location: &FormatLocation, objects: Vec<ObjectMeta>) -> Result<()> {
        let last = location.last_file()?;
        self.bucket.delete(vec![last.clone()]).await?;
        let others = objects.into_iter().map(|object| object.location).filter(|key| *key != last);
        self.bucket.delete(others.collect()).await
    }

    /// Copies everything below one prefix to another, metadata.xml last. Returns the keys of the copies.
    async fn copy_all(&self, id: &RecordId, from: &Key, to: &Key) -> Result<BTreeSet<Key>> {
        let mut pairs = Vec::new();
        for object in self.bucket.list_below(from).await? {
            let rest = object.location.as_ref().strip_prefix(from.as_ref()).unwrap_or_default();
            let target = bucket::object_key(&format!("{to}{rest}"))?;
            pairs.push((object, target));
        }
        let last = bucket::object_key(&format!("{to}/{LAST_FILE}"))?;
        let keys = pairs.iter().map(|(_, target)| target.clone()).collect();
        let (end, others): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(_, target)| *target == last);
        for group in [others, end] {
            stream::iter(group)
                .map(|(object, target)| async move {
                    self.copy(id, &object.location, &target, object.size).await
                })
                .buffer_unordered(MAX_PARALLEL_REQUESTS)
                .try_collect::<()>()
                .await?;
        }
        Ok(keys)
    }
}
