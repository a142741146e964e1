//! What an attempt that was cut off has left, by its notes. Only for who holds the recording's lock.

use super::S3;
use super::bucket::{Result, fail, key};
use super::keys::{self, Note, Place, work};
use super::upload::Unfinished;
use crate::recordings::RecordId;
use object_store::Error;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use std::collections::BTreeSet;

/// A note is no longer than this.
const NOTE: u64 = 16 * 1024;

impl S3 {
    /// Finishes or undoes what is under way for a recording, but for a move.
    pub(in super::super) async fn settle(&self, id: &RecordId) -> Result<()> {
        let notes = self.notes(id).await?;
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        for (key, note) in &notes {
            match note {
                Some(Note::Upload) => self.give_up(key).await?,
                Some(Note::New(unique)) => drop(waiting.insert(unique.clone())),
                _ => {}
            }
        }
        for (_, note) in &notes {
            if let Some(Note::Ready(place, unique)) = note {
                self.bring_in(place, unique).await?;
                waiting.remove(unique);
            }
        }
        // Not whole: its archive is still there.
        for unique in waiting {
            self.discard(id, &unique).await?;
        }
        for (key, note) in &notes {
            if let Some(Note::Half(place)) = note {
                self.drop_half(place).await?;
                self.bucket.delete(vec![key.clone()]).await?;
            }
        }
        let strange = notes.into_iter().filter(|(_, note)| note.is_none()).map(|(key, _)| key);
        self.bucket.delete(strange.collect()).await
    }

    /// The same, and the notes of a move too.
    pub(in super::super) async fn clear(&self, id: &RecordId) -> Result<()> {
        self.settle(id).await?;
        self.finish(self.moves(id).await?).await
    }

    async fn notes(&self, id: &RecordId) -> Result<Vec<(Key, Option<Note>)>> {
        let objects = self.bucket.below(&work(id)).await?;
        Ok(objects
            .into_iter()
            .map(|object| {
                let note = Note::parse(id, &object.location);
                (object.location, note)
            })
            .collect())
    }

    /// The notes of a move.
    pub(super) async fn moves(&self, id: &RecordId) -> Result<Vec<Key>> {
        let objects = self.bucket.below(&work(id).join("move")).await?;
        Ok(objects.into_iter().map(|object| object.location).collect())
    }

    /// The formats that may be there by half.
    pub(super) async fn halves(&self, id: &RecordId) -> Result<Vec<Place>> {
        let objects = self.bucket.below(&work(id).join("half")).await?;
        let notes = objects.iter().filter_map(|object| Note::parse(id, &object.location));
        Ok(notes.filter_map(|note| if let Note::Half(place) = note { Some(place) } else { None }).collect())
    }

    /// Puts a successor that is whole in the place of what is there.
    pub(super) async fn bring_in(&self, place: &Place, unique: &str) -> Result<()> {
        let id = &place.id;
        let from = keys::new(id, unique);
        // Half of it may be deleted already, where this was done before and only its note is left.
        if self.bucket.head(&key(&format!("{from}/{}", keys::LAST))?).await?.is_some() {
            let there = self.bucket.below(&place.prefix()).await?;
            let new = self.copy_all(id, &from, &place.prefix()).await?;
            let old = there.into_iter().map(|object| object.location).filter(|key| !new.contains(key));
            self.bucket.delete(old.collect()).await?;
        }
        self.bucket.delete(vec![Note::Ready(place.clone(), unique.to_owned()).key(id)]).await?;
        self.discard(id, unique).await
    }

    async fn discard(&self, id: &RecordId, unique: &str) -> Result<()> {
        let objects = self.bucket.below(&keys::new(id, unique)).await?;
        self.bucket.delete(objects.into_iter().map(|object| object.location).collect()).await
    }

    /// What has its metadata.xml is whole: it had all come, or nothing of it had gone.
    async fn drop_half(&self, place: &Place) -> Result<()> {
        if self.bucket.head(&place.last()?).await?.is_none() {
            let objects = self.bucket.below(&place.prefix()).await?;
            self.bucket.delete(objects.into_iter().map(|object| object.location).collect()).await?;
        }
        Ok(())
    }

    /// Gives up an upload in parts. It may be done, or given up before.
    async fn give_up(&self, note: &Key) -> Result<()> {
        let Some(text) = self.bucket.read(note, NOTE).await? else { return Ok(()) };
        if let Ok(Unfinished { key: of, id }) = serde_json::from_slice(&text) {
            let of = key(&of)?;
            match self.bucket.0.abort_multipart(&of, &id).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                // Nothing of ours must wait for somebody to be allowed to clear up.
                Err(Error::PermissionDenied { .. }) => {
                    tracing::warn!(key = %of, "an unfinished upload cannot be given up: s3:AbortMultipartUpload")
                }
                Err(error) => return Err(fail("give up the upload of", &of, &error)),
            }
        }
        self.bucket.delete(vec![note.clone()]).await
    }
}
