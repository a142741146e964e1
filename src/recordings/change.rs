//! Changes that touch both the files and the index: under the recording's lock, files first.

use super::{Index, Locked, RecordId, Shelf, Shifted, Storage, StorageError};
use crate::db::DbError;

/// Where recordings are, in a pool that has some.
#[derive(Debug, Clone)]
pub struct Recordings {
    /// What is where.
    pub index: Index,
    /// The files.
    pub storage: Storage,
}

/// Why a recording was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The index.
    #[error(transparent)]
    Index(#[from] DbError),
    /// The files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It is in the index, and its files are on no shelf.
    #[error("the files of the recording {0} are on no shelf")]
    FilesMissing(RecordId),
}

impl Recordings {
    /// Puts a recording on the published shelf, or on the other one. Whether there is one: not if it
    /// is deleted. Cut off in between, its files are ahead of the index: doing it again ends well, and so does
    /// [`Recordings::recover`], which importers call.
    pub async fn publish(&self, id: &RecordId, publish: bool) -> Result<bool, ChangeError> {
        let mut locked = self.index.lock(id).await?;
        let Some(now) = locked.shelf_now() else { return Ok(false) };
        let shift = self.storage.shift(id, Some(now), Shelf::of(publish)).await?;
        if shift.shifted == Shifted::Missing {
            return Err(ChangeError::FilesMissing(id.clone()));
        }
        locked.set_published(publish).await?;
        locked.commit().await?;
        self.storage.finish(shift).await;
        Ok(true)
    }

    /// Finishes what a change that was cut off has left: clears what is hidden, and moves the files to
    /// where the index says. Whether there was anything; not if somebody has just done it.
    pub async fn recover(&self, locked: Locked) -> Result<bool, ChangeError> {
        let id = locked.id();
        if !self.storage.leftovers().await?.contains(id) {
            return Ok(false);
        }
        match (locked.held(), locked.shelf_now()) {
            (_, Some(shelf)) => {
                let shift = self.storage.shift(id, Some(shelf), shelf).await?;
                // Files that are nowhere may be on a disk that is not mounted.
                if shift.shifted != Shifted::Missing {
                    self.storage.finish(shift).await;
                }
            }
            (Some(_), None) => drop(self.storage.remove(id).await?),
            // Its archive is still there, and brings it into the index.
            (None, None) => self.storage.clear(id).await?,
        }
        Ok(true)
    }

    /// Removes a recording's files from both shelves, and all but its own row from the index. Whether
    /// there is one: deleting what is deleted succeeds.
    pub async fn delete(&self, id: &RecordId) -> Result<bool, ChangeError> {
        let mut locked = self.index.lock(id).await?;
        if locked.held().is_none() {
            return Ok(false);
        }
        self.storage.remove(id).await?;
        locked.delete().await?;
        locked.commit().await?;
        Ok(true)
    }
}
