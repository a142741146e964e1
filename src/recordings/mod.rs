//! Recordings: files in a storage, and Postgres as nothing but their index.
//!
//! - [`types`]: what a recording is, and the names that may become paths
//! - [`change`]: publish, delete: files and index together
//! - [`import`]: from an archive in the spool to a recording
//! - [`index`]: what is where, in Postgres
//! - [`metadata`]: what BBB says of a format, in its metadata.xml
//! - [`storage`]: the files, on two shelves
//! - [`text_tracks`]: subtitles and captions
//! - [`unpack`]: archives, which may be hostile
//! - [`upload`]: archives that come over HTTP, into the spool
//! - [`verify`]: the index against the storage, both ways
pub mod change;
pub mod import;
pub mod index;
pub mod metadata;
pub mod storage;
pub mod text_tracks;
pub mod types;
pub mod unpack;
pub mod upload;
pub mod verify;

pub use change::{ChangeError, Recordings};
pub use index::{ImportOptions, Imported, Index, IndexError, Locked};
pub use storage::{Found, Shelf, Shifted, Storage, StorageError, StoredFile};
pub use types::{FilePath, FormatMetadata, FormatName, RecordId, Thumbnail};

/// Taking away what is gone already succeeds.
fn none_is_fine(done: std::io::Result<()>) -> std::io::Result<()> {
    done.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
