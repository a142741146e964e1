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
//! S3 has no others. What S3 cannot promise is told in `s3`.

mod local;
mod s3;
mod stored_file;
#[cfg(test)]
mod tests;

pub use stored_file::{Found, Pieces, StoredFile, open_below};

use super::{FormatName, RecordId};
use crate::config::{RecordingsConfig, S3Config};
use bytes::Bytes;
use local::Local;
use s3::S3;
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
    marks: Marks,
}

/// Where the notes of a shift are.
#[derive(Debug)]
enum Marks {
    Local(Vec<PathBuf>),
    S3(Vec<object_store::path::Path>),
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
    /// S3 refused, or does not answer.
    #[error("S3: cannot {what} {key}: {why}")]
    S3 {
        /// As in "cannot … KEY".
        what: &'static str,
        /// Of which object, or what several have in common.
        key: String,
        /// Why.
        why: String,
    },
    /// A file whose name no object can have. This will not pass.
    #[error("{0:?} cannot be an object's name: it is not UTF-8, too long, or has control characters")]
    BadName(String),
    /// The settings of S3 make no sense together.
    #[error("S3 cannot be used as it is set up: {0}")]
    Setup(String),
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
    Local(Arc<Local>),
    S3(S3),
}

impl Storage {
    /// By the settings.
    pub fn new(config: &RecordingsConfig) -> Result<Storage, StorageError> {
        match &config.s3 {
            Some(s3) => Storage::s3(s3),
            None => Ok(Storage::local(&config.publish_dir, &config.unpublish_dir)),
        }
    }

    /// Two directories, of this machine or mounted, with `{format}/{record_id}/…` in each, as BBB
    /// lays them out. They may be on different file systems, and so may single formats (a link to
    /// another disk in the place of `published/video`, say).
    pub fn local(publish_dir: impl Into<PathBuf>, unpublish_dir: impl Into<PathBuf>) -> Storage {
        let local = Local::new(publish_dir.into(), unpublish_dir.into());
        Storage(Arc::new(Kind::Local(Arc::new(local))))
    }

    /// A bucket, with `published/{format}/{record_id}/…` and `unpublished/…`. Nobody need be there yet.
    pub fn s3(config: &S3Config) -> Result<Storage, StorageError> {
        Ok(Storage(Arc::new(Kind::S3(S3::new(config)?))))
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
        let (path, record, name) = (from.to_owned(), id.clone(), format.clone());
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |l| l.place(&path, &record, &name, shelf)).await,
            Kind::S3(s3) => s3.place(from, id, format, shelf).await,
        }
    }

    /// Moves all formats of a recording to a shelf. `now`: the shelf that the index says. A format that
    /// is on both is right there, or, where the index does not know, on the one that it is moved from.
    /// Cut off, or followed by no [`Storage::finish`], it stays among the [`Storage::leftovers`].
    pub async fn shift(&self, id: &RecordId, now: Option<Shelf>, to: Shelf) -> Result<Shift, StorageError> {
        let record = id.clone();
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |local| local.shift(&record, now, to)).await,
            Kind::S3(s3) => s3.shift(id, now, to).await,
        }
    }

    /// To be called when the index has committed what it says of a shift; no lock is needed any more.
    /// What cannot be finished is left for [`Storage::leftovers`].
    pub async fn finish(&self, shift: Shift) {
        let finished = match (&*self.0, shift.marks) {
            (Kind::Local(local), Marks::Local(marks)) => {
                if marks.is_empty() {
                    return;
                }
                blocking(local, move |local| local.finish(&marks)).await
            }
            (Kind::S3(s3), Marks::S3(marks)) => s3.finish(marks).await,
            // Of another storage.
            _ => Ok(()),
        };
        if let Err(error) = finished {
            tracing::warn!(%error, "cannot take away the note of a move that is done; an importer will");
        }
    }

    /// Removes a recording from both shelves. How many formats were there.
    pub async fn remove(&self, id: &RecordId) -> Result<usize, StorageError> {
        let record = id.clone();
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |local| local.remove(&record)).await,
            Kind::S3(s3) => s3.remove(id).await,
        }
    }

    /// Removes one format of a recording from a shelf. Whether it was there.
    pub async fn remove_format(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<bool, StorageError> {
        let (record, name) = (id.clone(), format.clone());
        match &*self.0 {
            Kind::Local(local) => {
                blocking(local, move |local| local.remove_format(&record, &name, shelf)).await
            }
            Kind::S3(s3) => s3.remove_format(id, format, shelf).await,
        }
    }

    /// The formats of a recording, by name, each with its shelf.
    pub async fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>, StorageError> {
        let record = id.clone();
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |local| local.formats(&record)).await,
            Kind::S3(s3) => s3.formats(id).await,
        }
    }

    /// The metadata.xml of a format on a shelf, at most `most` bytes of it. None where there is none.
    pub async fn metadata(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        most: u64,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        self.read_file(id, format, shelf, "metadata.xml", most).await
    }

    /// A file that stands directly in a format, at most `most` bytes of it. None where there is none.
    pub(super) async fn read_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        most: u64,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let (record, of, file) = (id.clone(), format.clone(), name.to_owned());
        match &*self.0 {
            Kind::Local(local) => {
                blocking(local, move |local| local.read_file(&record, &of, shelf, &file, most)).await
            }
            Kind::S3(s3) => s3.read_file(id, format, shelf, name, most).await,
        }
    }

    /// Writes a file that stands directly in a format, which is there; replaces the one of that name. It is
    /// there whole or not at all.
    pub(super) async fn write_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let (record, of, file) = (id.clone(), format.clone(), name.to_owned());
        match &*self.0 {
            Kind::Local(local) => {
                blocking(local, move |local| local.write_file(&record, &of, shelf, &file, &bytes)).await
            }
            Kind::S3(s3) => s3.write_file(id, format, shelf, name, bytes).await,
        }
    }

    /// Everything on a shelf, in no order, a few at a time. It may be millions.
    pub fn list(&self, shelf: Shelf) -> mpsc::Receiver<Result<(RecordId, FormatName), StorageError>> {
        let (sender, receiver) = mpsc::channel(256);
        match &*self.0 {
            Kind::Local(local) => {
                let local = local.clone();
                tokio::task::spawn_blocking(move || local.list(shelf, &sender));
            }
            Kind::S3(_) => {
                let kind = self.0.clone();
                tokio::spawn(async move {
                    if let Kind::S3(s3) = &*kind {
                        s3.list(shelf, &sender).await;
                    }
                });
            }
        }
        receiver
    }

    /// Clears what an attempt that was cut off left of a recording, but for the note that it is changing
    /// its shelf. Every call that changes a recording does so first.
    pub async fn settle(&self, id: &RecordId) -> Result<(), StorageError> {
        let record = id.clone();
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |local| local.settle(&record)).await,
            Kind::S3(s3) => s3.settle(id).await,
        }
    }

    /// The same, and the note too: for a recording that the index does not have.
    pub async fn clear(&self, id: &RecordId) -> Result<(), StorageError> {
        let record = id.clone();
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |local| local.clear(&record)).await,
            Kind::S3(s3) => s3.clear(id).await,
        }
    }

    /// The recordings that [`Storage::settle`] has something to do for, that are halfway to another shelf,
    /// or that somebody is working on right now: who holds the lock knows which.
    pub async fn leftovers(&self) -> Result<Vec<RecordId>, StorageError> {
        match &*self.0 {
            Kind::Local(local) => blocking(local, Local::leftovers).await,
            Kind::S3(s3) => s3.leftovers().await,
        }
    }
}

/// The work goes on to its end even if the caller stops waiting.
async fn blocking<T: Send + 'static>(
    local: &Arc<Local>,
    work: impl FnOnce(&Local) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let local = local.clone();
    match tokio::task::spawn_blocking(move || work(&local)).await {
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
