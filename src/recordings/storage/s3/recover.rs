//! Recovery: completes or undoes interrupted operations by their notes. Needs the recording's lock.

use super::S3Storage;
use super::bucket::{Result, object_key, s3_error};
use super::keys::{self, FormatLocation, Note, work_prefix};
use super::upload::MultipartNote;
use crate::recordings::RecordId;
use object_store::Error;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use std::collections::BTreeSet;

/// Limit for reading a note; all notes are shorter.
const MAX_NOTE_BYTES: u64 = 16 * 1024;

impl S3Storage {
    /// See [`Storage::recover`](super::super::Storage::recover).
    pub(in super::super) async fn recover(&self, id: &RecordId) -> Result<()> {
        let notes = self.notes(id).await?;
        let mut staged: BTreeSet<String> = BTreeSet::new();
        for (key, note) in &notes {
            match note {
                Some(Note::Multipart) => self.abort_upload(key).await?,
                Some(Note::Staged(unique)) => drop(staged.insert(unique.clone())),
                _ => {}
            }
        }
        for (_, note) in &notes {
            if let Some(Note::Ready(location, unique)) = note {
                self.install_successor(location, unique).await?;
                staged.remove(unique);
            }
        }
        // Incomplete, so its archive is still in the spool.
        for unique in staged {
            self.delete_staged(id, &unique).await?;
        }
        for (key, note) in &notes {
            if let Some(Note::Partial(location)) = note {
                self.delete_if_partial(location).await?;
                self.bucket.delete(vec![key.clone()]).await?;
            }
        }
        let unknown = notes.into_iter().filter(|(_, note)| note.is_none()).map(|(key, _)| key);
        self.bucket.delete(unknown.collect()).await
    }

    /// See [`Storage::recover_unindexed`](super::super::Storage::recover_unindexed).
    pub(in super::super) async fn recover_unindexed(&self, id: &RecordId) -> Result<()> {
        self.recover(id).await?;
        self.finish_move(self.move_notes(id).await?).await
    }

    async fn notes(&self, id: &RecordId) -> Result<Vec<(Key, Option<Note>)>> {
        let objects = self.bucket.list_below(&work_prefix(id)).await?;
        Ok(objects
            .into_iter()
            .map(|object| {
                let note = Note::parse(id, &object.location);
                (object.location, note)
            })
            .collect())
    }

    /// The notes of a move.
    pub(super) async fn move_notes(&self, id: &RecordId) -> Result<Vec<Key>> {
        let objects = self.bucket.list_below(&work_prefix(id).join("move")).await?;
        Ok(objects.into_iter().map(|object| object.location).collect())
    }

    /// The formats that may be incomplete.
    pub(super) async fn partial_formats(&self, id: &RecordId) -> Result<Vec<FormatLocation>> {
        let objects = self.bucket.list_below(&work_prefix(id).join("half")).await?;
        let notes = objects.iter().filter_map(|object| Note::parse(id, &object.location));
        Ok(notes
            .filter_map(|note| if let Note::Partial(location) = note { Some(location) } else { None })
            .collect())
    }

    /// Replaces a format by its completely staged new version.
    pub(super) async fn install_successor(&self, location: &FormatLocation, unique: &str) -> Result<()> {
        let id = &location.id;
        let from = keys::staging_prefix(id, unique);
        // Without metadata.xml this was done before, and the staged files were being deleted: only the note is left.
        if self.bucket.head(&object_key(&format!("{from}/{}", keys::LAST_FILE))?).await?.is_some() {
            let there = self.bucket.list_below(&location.prefix()).await?;
            let new = self.copy_all(id, &from, &location.prefix()).await?;
            let old = there.into_iter().map(|object| object.location).filter(|key| !new.contains(key));
            self.bucket.delete(old.collect()).await?;
        }
        self.bucket.delete(vec![Note::Ready(location.clone(), unique.to_owned()).key(id)]).await?;
        self.delete_staged(id, unique).await
    }

    async fn delete_staged(&self, id: &RecordId, unique: &str) -> Result<()> {
        let objects = self.bucket.list_below(&keys::staging_prefix(id, unique)).await?;
        self.bucket.delete(objects.into_iter().map(|object| object.location).collect()).await
    }

    /// A format that has its metadata.xml is complete: all of it was written, or none of it was deleted.
    async fn delete_if_partial(&self, location: &FormatLocation) -> Result<()> {
        if self.bucket.head(&location.last_file()?).await?.is_none() {
            let objects = self.bucket.list_below(&location.prefix()).await?;
            self.bucket.delete(objects.into_iter().map(|object| object.location).collect()).await?;
        }
        Ok(())
    }

    /// Aborts a multipart upload, which may be completed or aborted already.
    async fn abort_upload(&self, note: &Key) -> Result<()> {
        let Some(text) = self.bucket.read(note, MAX_NOTE_BYTES).await? else { return Ok(()) };
        if let Ok(MultipartNote { key: of, id }) = serde_json::from_slice(&text) {
            let of = object_key(&of)?;
            match self.bucket.0.abort_multipart(&of, &id).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                // Cleaning up must not block the recording.
                Err(Error::PermissionDenied { .. }) => {
                    tracing::warn!(key = %of, "cannot abort an unfinished upload: s3:AbortMultipartUpload is not permitted")
                }
                Err(error) => return Err(s3_error("abort the upload of", &of, &error)),
            }
        }
        self.bucket.delete(vec![note.clone()]).await
    }
}
