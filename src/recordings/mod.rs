//! Recordings: files in a storage, and an index of them in Postgres.
//!
//! - [`change`]: publish, delete: files and index together
//! - [`import`]: from an archive in the spool to a recording
//! - [`index`]: which recordings there are, in Postgres
//! - [`model`]: recordings, formats, and names that may become paths
//! - [`metadata`]: the metadata.xml that BBB writes for each format
//! - [`spool`]: the directory where archives arrive
//! - [`storage`]: the files, on two shelves: published and unpublished
//! - [`text_tracks`]: subtitles and captions
//! - [`unpack`]: archives, which may be hostile
//! - [`verify`]: compares the index with the storage, in both directions

pub mod change;
pub mod import;
pub mod index;
pub mod metadata;
pub mod model;
pub mod spool;
pub mod storage;
pub mod text_tracks;
pub mod unpack;
pub mod verify;

pub use change::{ChangeError, Recordings};
pub use index::{ImportOptions, Imported, Index, LockedRecording};
pub use model::{FilePath, FormatMetadata, FormatName, RecordId, Thumbnail};
pub use storage::{MoveOutcome, OpenedPath, Shelf, Storage, StorageError, StoredFile};

/// Removing a file that is already gone succeeds.
fn none_is_fine(done: std::io::Result<()>) -> std::io::Result<()> {
    done.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
