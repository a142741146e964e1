//! The files of recordings, in directories or in an S3 bucket.
//!
//! There are two shelves, published and unpublished. A shelf holds the playback formats of recordings; a format is
//! written, moved and deleted as a whole. Which shelf a recording belongs on is recorded in the index, not here.
//!
//! # Crash safety
//!
//! A process may be killed at any instant, and the disk or S3 may fail in the middle of any call. These rules keep
//! the files consistent:
//!
//! - **One writer.** A caller that changes a recording holds its lock in the index ([`Index::lock`]) from the first
//!   change to the commit. Reading needs no lock.
//! - **Whole or absent.** A format is never visible in part. Copies that are not complete and formats that are being
//!   deleted are hidden in a work area, `.sl-work`. (S3 cannot rename, so it promises a little less: see `s3`.)
//! - **Notes.** Where one atomic step is not enough, a note in the work area records the operation before it begins.
//! - **Recover first.** Every public call that changes a recording begins with [`Storage::recover`], which reads
//!   what an interrupted call left in the work area, and completes or undoes it.
//! - **Repeatable.** A call that was interrupted is completed by calling it again with the same arguments.
//!
//! A move to the other shelf spans files and index, which no single commit covers. So it takes two calls:
//! [`Storage::move_to_shelf`] writes a note and moves the files, the caller commits the index, and
//! [`Storage::finish_move`] deletes the note. A note without a process that works on it means that files and index may
//! disagree; [`Storage::leftovers`] finds it, and an importer moves the files to the shelf that the index says.
//!
//! # Interface
//!
//! Recordings and formats are addressed by [`RecordId`], [`FormatName`] and [`Shelf`], and files within a format
//! by name. Apart from the directory that [`Storage::put_format`] takes over, no file system path crosses this
//! interface: S3 has none.
//!
//! - `local`: shelves as directories; `s3`: shelves in a bucket
//! - `stored_file`: opening and reading files for playback
//!
//! [`Index::lock`]: crate::recordings::Index::lock

mod local;
mod s3;
mod stored_file;
#[cfg(test)]
mod tests;

pub use stored_file::{ByteStream, OpenedPath, StoredFile, open_below};

use super::{FormatName, RecordId};
use crate::blocking::{BlockingError, run_blocking};
use crate::config::{RecordingsConfig, S3Config};
use bytes::Bytes;
use local::LocalStorage;
use s3::S3Storage;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Items of [`Storage::list`] that wait for the reader.
const LIST_BUFFER_ITEMS: usize = 256;

/// The storage area of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// Played to everyone who has the link (or a token, for protected recordings).
    Published,
    /// Kept, but not played.
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

    /// The shelf of a recording with this `published` in the index.
    pub fn of(published: bool) -> Shelf {
        if published { Shelf::Published } else { Shelf::Unpublished }
    }
}

/// A recording whose files [`Storage::move_to_shelf`] has moved. Until [`Storage::finish_move`], a note beside
/// its files says that they may be ahead of the index, and [`Storage::leftovers`] lists it.
#[derive(Debug)]
#[must_use = "call finish_move once the index is committed"]
pub struct ShelfMove {
    /// The result.
    pub outcome: MoveOutcome,
    notes: MoveNotes,
}

/// Where the notes of a move are.
#[derive(Debug)]
enum MoveNotes {
    Local(Vec<PathBuf>),
    S3(Vec<object_store::path::Path>),
}

/// The result of [`Storage::move_to_shelf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveOutcome {
    /// At least one format was on the other shelf; all are on the right one now.
    Moved,
    /// All formats were on the right shelf before.
    AlreadyThere,
    /// Neither shelf has a format of the recording.
    Missing,
}

/// Why the storage failed. Transient, except where a variant says otherwise: the disk is full, a mount is gone.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// As in "cannot … PATH".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A shelf's directory does not exist. It is never created, so that recordings do not end up
    /// under the mount point of a disk that is not mounted.
    #[error("{} is not a directory: create it, or mount it", .0.display())]
    NoShelf(PathBuf),
    /// S3 refused, or does not answer.
    #[error("S3: cannot {what} {key}: {why}")]
    S3 {
        /// As in "cannot … KEY".
        what: &'static str,
        /// The object, or the common prefix of several.
        key: String,
        /// The reason.
        why: String,
    },
    /// A file name that no S3 object can have. Permanent.
    #[error("{0:?} cannot be an object's name: it is not UTF-8, too long, or has control characters")]
    BadName(String),
    /// The S3 settings contradict each other. Permanent.
    #[error("S3 cannot be used with these settings: {0}")]
    Setup(String),
}

/// The files of all recordings. Clones share one storage.
#[derive(Debug, Clone)]
pub struct Storage(Arc<StorageKind>);

#[derive(Debug)]
enum StorageKind {
    Local(Arc<LocalStorage>),
    S3(S3Storage),
}

impl Storage {
    /// The storage that the settings describe.
    pub fn new(config: &RecordingsConfig) -> Result<Storage, StorageError> {
        match &config.s3 {
            Some(s3) => Storage::s3(s3),
            None => Ok(Storage::local(&config.publish_dir, &config.unpublish_dir)),
        }
    }

    /// Two directories, local or mounted, with `{format}/{record_id}/…` in each, as BBB lays them out. They may be
    /// on different file systems, and so may single formats (`published/video` a symbolic link to another disk, say).
    pub fn local(publish_dir: impl Into<PathBuf>, unpublish_dir: impl Into<PathBuf>) -> Storage {
        let local = LocalStorage::new(publish_dir.into(), unpublish_dir.into());
        Storage(Arc::new(StorageKind::Local(Arc::new(local))))
    }

    /// A bucket with `published/{format}/{record_id}/…` and `unpublished/…`. Does not connect yet.
    pub fn s3(config: &S3Config) -> Result<Storage, StorageError> {
        Ok(Storage(Arc::new(StorageKind::S3(S3Storage::new(config)?))))
    }

    /// Puts a format on a shelf, replaces an earlier version of it, and deletes it from the other shelf. `from` is a
    /// directory whose files are synced to disk; afterwards it is gone. If interrupted, the shelf has either the
    /// old version or the new one, and `from` may still exist.
    pub async fn put_format(
        &self,
        from: &Path,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<(), StorageError> {
        let (path, record, name) = (from.to_owned(), id.clone(), format.clone());
        match &*self.0 {
            StorageKind::Local(local) => {
                on_local(local, move |l| l.put_format(&path, &record, &name, shelf)).await
            }
            StorageKind::S3(s3) => s3.put_format(from, id, format, shelf).await,
        }
    }

    /// Moves all formats of a recording to a shelf. `current` is the recording's shelf according to the index.
    /// If both shelves have a format, the copy on `current` is kept; without `current`, the copy that is moved.
    /// If interrupted, or not followed by [`Storage::finish_move`], the recording stays among the
    /// [`Storage::leftovers`].
    pub async fn move_to_shelf(
        &self,
        id: &RecordId,
        current: Option<Shelf>,
        to: Shelf,
    ) -> Result<ShelfMove, StorageError> {
        let record = id.clone();
        match &*self.0 {
            StorageKind::Local(local) => {
                on_local(local, move |local| local.move_to_shelf(&record, current, to)).await
            }
            StorageKind::S3(s3) => s3.move_to_shelf(id, current, to).await,
        }
    }

    /// Deletes the notes of a move. Call it once the index has committed the new shelf; it needs no lock. If it
    /// fails, the recording stays among the [`Storage::leftovers`].
    pub async fn finish_move(&self, shelf_move: ShelfMove) {
        let finished = match (&*self.0, shelf_move.notes) {
            (StorageKind::Local(local), MoveNotes::Local(notes)) => {
                if notes.is_empty() {
                    return;
                }
                on_local(local, move |local| local.finish_move(&notes)).await
            }
            (StorageKind::S3(s3), MoveNotes::S3(notes)) => s3.finish_move(notes).await,
            // Notes of another storage.
            _ => Ok(()),
        };
        if let Err(error) = finished {
            tracing::warn!(%error, "cannot delete the note of a completed move; an importer will delete it");
        }
    }

    /// Deletes a recording from both shelves. Returns how many formats it had.
    pub async fn delete(&self, id: &RecordId) -> Result<usize, StorageError> {
        let record = id.clone();
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, move |local| local.delete(&record)).await,
            StorageKind::S3(s3) => s3.delete(id).await,
        }
    }

    /// The formats of a recording with their shelves, sorted by name.
    pub async fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>, StorageError> {
        let record = id.clone();
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, move |local| local.formats(&record)).await,
            StorageKind::S3(s3) => s3.formats(id).await,
        }
    }

    /// The first `max_bytes` of the metadata.xml of a format on a shelf. None if there is none.
    pub async fn read_metadata(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        self.read_file(id, format, shelf, "metadata.xml", max_bytes).await
    }

    /// The first `max_bytes` of a file in the top directory of a format. None if there is none.
    pub(super) async fn read_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let (record, format_name, file) = (id.clone(), format.clone(), name.to_owned());
        match &*self.0 {
            StorageKind::Local(local) => {
                let read =
                    move |l: &LocalStorage| l.read_file(&record, &format_name, shelf, &file, max_bytes);
                on_local(local, read).await
            }
            StorageKind::S3(s3) => s3.read_file(id, format, shelf, name, max_bytes).await,
        }
    }

    /// Writes a file in the top directory of an existing format, atomically; replaces one of that name.
    pub(super) async fn write_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let (record, format_name, file) = (id.clone(), format.clone(), name.to_owned());
        match &*self.0 {
            StorageKind::Local(local) => {
                let write = move |l: &LocalStorage| l.write_file(&record, &format_name, shelf, &file, &bytes);
                on_local(local, write).await
            }
            StorageKind::S3(s3) => s3.write_file(id, format, shelf, name, bytes).await,
        }
    }

    /// Streams everything on a shelf, unordered. It may be millions of formats.
    pub fn list(&self, shelf: Shelf) -> mpsc::Receiver<Result<(RecordId, FormatName), StorageError>> {
        let (sender, receiver) = mpsc::channel(LIST_BUFFER_ITEMS);
        match &*self.0 {
            StorageKind::Local(local) => {
                let local = local.clone();
                tokio::task::spawn_blocking(move || local.list(shelf, &sender));
            }
            StorageKind::S3(_) => {
                let kind = self.0.clone();
                tokio::spawn(async move {
                    if let StorageKind::S3(s3) = &*kind {
                        s3.list(shelf, &sender).await;
                    }
                });
            }
        }
        receiver
    }

    /// Completes or undoes what interrupted calls left of a recording, except for the note of a move, which only a
    /// finished move may delete. Every call that changes a recording does this first.
    pub async fn recover(&self, id: &RecordId) -> Result<(), StorageError> {
        let record = id.clone();
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, move |local| local.recover(&record)).await,
            StorageKind::S3(s3) => s3.recover(id).await,
        }
    }

    /// [`Storage::recover`] for a recording that the index does not have: deletes the note of a move too.
    pub async fn recover_unindexed(&self, id: &RecordId) -> Result<(), StorageError> {
        let record = id.clone();
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, move |local| local.recover_unindexed(&record)).await,
            StorageKind::S3(s3) => s3.recover_unindexed(id).await,
        }
    }

    /// Recordings with something in the work area: left by an interrupted call, between two shelves, or being changed
    /// right now. The holder of the recording's lock knows which.
    pub async fn leftovers(&self) -> Result<Vec<RecordId>, StorageError> {
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, LocalStorage::leftovers).await,
            StorageKind::S3(s3) => s3.leftovers().await,
        }
    }
}

/// Runs work on local directories to completion, even if the caller is cancelled.
async fn on_local<T: Send + 'static>(
    local: &Arc<LocalStorage>,
    work: impl FnOnce(&LocalStorage) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let local = local.clone();
    run_blocking(move || work(&local)).await
}

impl From<BlockingError> for StorageError {
    fn from(error: BlockingError) -> StorageError {
        StorageError::Io { what: "finish", path: PathBuf::new(), source: error.into() }
    }
}
