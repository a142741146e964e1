//! Changes that touch both the files and the index: under the recording's lock, files first.

use super::index::IndexEntry;
use super::{Index, LockedRecording, MoveOutcome, RecordId, Shelf, Storage, StorageError};
use crate::db::DbError;

/// The recordings of a pool that has some: index and files.
#[derive(Debug, Clone)]
pub struct Recordings {
    /// What is where, in Postgres.
    pub index: Index,
    /// The files.
    pub storage: Storage,
}

/// Why a change failed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The index.
    #[error(transparent)]
    Index(#[from] DbError),
    /// The files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The index has it, and no shelf has its files.
    #[error("no shelf has the files of recording {0}")]
    FilesMissing(RecordId),
}

impl Recordings {
    /// Moves a recording to the published shelf, or to the unpublished one. False if there is no such recording,
    /// it is deleted, or it is to be published and is still processed. After an interruption its files may be ahead of the index: a retry completes the
    /// change, and [`Recordings::recover`], which importers call, undoes it.
    pub async fn publish(&self, id: &RecordId, publish: bool) -> Result<bool, ChangeError> {
        let mut locked = self.index.lock(id).await?;
        let Some(now) = locked.current_shelf() else { return Ok(false) };
        if publish && !locked.entry().is_some_and(IndexEntry::is_processed) {
            return Ok(false);
        }
        let shift = self.storage.move_to_shelf(id, Some(now), Shelf::of(publish)).await?;
        // One without formats has nothing to move, and nothing to publish.
        if shift.outcome == MoveOutcome::Missing && (publish || locked.has_formats().await?) {
            return Err(ChangeError::FilesMissing(id.clone()));
        }
        locked.set_published(publish).await?;
        locked.commit().await?;
        self.storage.finish_move(shift).await;
        Ok(true)
    }

    /// Cleans up after an interrupted change: removes hidden files, and moves the others to the shelf that the
    /// index says. False if there is nothing to recover, perhaps because another process has just done it.
    pub async fn recover(&self, locked: LockedRecording) -> Result<bool, ChangeError> {
        let id = locked.id();
        if !self.storage.leftovers().await?.contains(id) {
            return Ok(false);
        }
        match (locked.entry(), locked.current_shelf()) {
            (_, Some(shelf)) => {
                let shift = self.storage.move_to_shelf(id, Some(shelf), shelf).await?;
                // Missing files may be on a disk that is not mounted: then the note stays.
                if shift.outcome != MoveOutcome::Missing {
                    self.storage.finish_move(shift).await;
                }
            }
            (Some(_), None) => drop(self.storage.delete(id).await?),
            // Its archive is still in the spool: the import continues from there.
            (None, None) => self.storage.recover_unindexed(id).await?,
        }
        Ok(true)
    }

    /// Removes a recording's files from both shelves, and from the index all but its own row. False if the
    /// index has no such recording; deleting it twice succeeds.
    pub async fn delete(&self, id: &RecordId) -> Result<bool, ChangeError> {
        let mut locked = self.index.lock(id).await?;
        if locked.entry().is_none() {
            return Ok(false);
        }
        self.storage.delete(id).await?;
        locked.delete().await?;
        locked.commit().await?;
        Ok(true)
    }
}
