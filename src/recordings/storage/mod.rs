//! The files of recordings. Two shelves, published and unpublished; on a shelf each recording has
//! its playback formats, and each format is moved, replaced and removed as a whole.
//!
//! Whoever changes a recording's files holds its lock in the index meanwhile. Then all of this can
//! be killed at any instant and done again:
//!
//! - a format is on its shelf whole or not at all; what is being copied or deleted is hidden
//! - what an earlier attempt left is cleared before anything else is done to the recording
//!   ([`Storage::settle`]), and [`Storage::leftovers`] says which recordings have such things, or have
//!   left a shelf and nobody knows whether the index says so
//! - each call that was cut off finishes when it is made again
//!
//! Apart from what [`Storage::place`] takes in, no path crosses this interface but names within a format:
//! S3 has none.

mod local;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Found, Pieces, StoredFile, open_below};

use super::{FormatName, RecordId};
use local::Local;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where a recording can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// Played to whoever has the link (or a token, where recordings are protected).
    Published,
    /// Kept, but played to nobody.
    Unpublished,
}

impl Shelf {
    /// The other one.
    pub fn other(self) -> Shelf {
        match self {
            Shelf::Published => Shelf::Unpublished,
            Shelf::Unpublished => Shelf::Published,
        }
    }

    /// The shelf of a recording whose index says so.
    pub fn of(published: bool) -> Shelf {
        if published { Shelf::Published } else { Shelf::Unpublished }
    }
}

/// A recording that [`Storage::shift`] has moved. Until [`Storage::finish`], a note beside its files
/// says that they may be ahead of the index: [`Storage::leftovers`] tells of it.
#[derive(Debug)]
#[must_use = "finish it when the index says so too"]
pub struct Shift {
    /// What came of it.
    pub shifted: Shifted,
    marks: Vec<PathBuf>,
}

/// What came of [`Storage::shift`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shifted {
    /// At least one format was on the other shelf; all are on the right one now.
    Moved,
    /// All of it was there before.
    AlreadyThere,
    /// No shelf has anything of it.
    Missing,
}

/// Why the storage could not do it. All of it may pass: the disk is full, a mount is gone.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// As in "cannot … PATH".
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A shelf's directory does not exist. It is never created, so that recordings do not end up
    /// under the mount point of a disk that is not mounted.
    #[error("{} is no directory: create it, or mount it", .0.display())]
    NoShelf(PathBuf),
}

impl StorageError {
    /// The disk, or the quota on it, is full.
    pub fn is_full(&self) -> bool {
        let StorageError::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The files of all recordings. Clones share one storage.
#[derive(Debug, Clone)]
pub struct Storage(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Local(Local),
}

impl Storage {
    /// Two directories, of this machine or mounted, with `{format}/{record_id}/…` in each, as BBB
    /// lays them out. They may be on different file systems, and so may single formats (a link to
    /// another disk in the place of `published/video`, say).
    pub fn local(publish_dir: impl Into<PathBuf>, unpublish_dir: impl Into<PathBuf>) -> Storage {
        Storage(Arc::new(Kind::Local(Local::new(publish_dir.into(), unpublish_dir.into()))))
    }

    /// Puts one format, a directory whose files are safe on disk, on a shelf; replaces what is
    /// there, and takes it off the other shelf. Afterwards `from` is gone. Cut off at any instant,
    /// either the old format is on the shelf or the new one, and `from` may still be there.
    pub async fn place(
        &self,
        from: &Path,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<(), StorageError> {
        let (from, id, format) = (from.to_owned(), id.clone(), format.clone());
        self.blocking(move |local| local.place(&from, &id, &format, shelf)).await
    }

    /// Moves all formats of a recording to a shelf. `now`: the shelf that the index says. A format that
    /// is on both is right there, or, where the index does not know, on the one that it is moved from.
    /// Cut off, or followed by no [`Storage::finish`], it stays among the [`Storage::leftovers`].
    pub async fn shift(&self, id: &RecordId, now: Option<Shelf>, to: Shelf) -> Result<Shift, StorageError> {
        let id = id.clone();
        self.blocking(move |local| local.shift(&id, now, to)).await
    }

    /// To be called when the index has committed what it says of a shift; no lock is needed any more.
    /// What cannot be finished is left for [`Storage::leftovers`].
    pub async fn finish(&self, shift: Shift) {
        if shift.marks.is_empty() {
            return;
        }
        if let Err(error) = self.blocking(move |local| local.finish(&shift.marks)).await {
            tracing::warn!(%error, "cannot take away the note of a move that is done; an importer will");
        }
    }

    /// Removes a recording from both shelves. How many formats were there.
    pub async fn remove(&self, id: &RecordId) -> Result<usize, StorageError> {
        let id = id.clone();
        self.blocking(move |local| local.remove(&id)).await
    }

    /// Removes one format of a recording from a shelf. Whether it was there.
    pub async fn remove_format(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<bool, StorageError> {
        let (id, format) = (id.clone(), format.clone());
        self.blocking(move |local| local.remove_format(&id, &format, shelf)).await
    }

    /// The formats of a recording, by name, each with its shelf.
    pub async fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>, StorageError> {
        let id = id.clone();
        self.blocking(move |local| local.formats(&id)).await
    }

    /// The metadata.xml of a format on a shelf, at most `most` bytes of it. None where there is none.
    pub async fn metadata(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        most: u64,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let (id, format) = (id.clone(), format.clone());
        self.blocking(move |local| local.metadata(&id, &format, shelf, most)).await
    }

    /// Everything on a shelf, in no order, a few at a time. It may be millions.
    pub fn list(&self, shelf: Shelf) -> mpsc::Receiver<Result<(RecordId, FormatName), StorageError>> {
        let (sender, receiver) = mpsc::channel(256);
        let kind = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let Kind::Local(local) = &*kind;
            local.list(shelf, &sender);
        });
        receiver
    }

    /// Clears what an attempt that was cut off left of a recording, but for the note that it is changing
    /// its shelf. Every call that changes a recording does so first.
    pub async fn settle(&self, id: &RecordId) -> Result<(), StorageError> {
        let id = id.clone();
        self.blocking(move |local| local.settle(&id)).await
    }

    /// The same, and the note too: for a recording that the index does not have.
    pub async fn clear(&self, id: &RecordId) -> Result<(), StorageError> {
        let id = id.clone();
        self.blocking(move |local| local.clear(&id)).await
    }

    /// The recordings that [`Storage::settle`] has something to do for, that are halfway to another shelf,
    /// or that somebody is working on right now: who holds the lock knows which.
    pub async fn leftovers(&self) -> Result<Vec<RecordId>, StorageError> {
        self.blocking(Local::leftovers).await
    }

    /// The work goes on to its end even if the caller stops waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Local) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let kind = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let Kind::Local(local) = &*kind;
            work(local)
        });
        match done.await {
            Ok(result) => result,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StorageError::Io {
                    what: "finish",
                    path: PathBuf::new(),
                    source: io::Error::other("this process is stopping"),
                }),
            },
        }
    }
}
