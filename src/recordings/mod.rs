//! Recordings: files in a storage, and Postgres as nothing but their index.
//!
//! - [`change`]: publish, delete: files and index together
//! - [`import`]: from an archive in the spool to a recording
//! - [`index`]: what is where, in Postgres
//! - [`model`]: what a recording is, and the names that may become paths
//! - [`metadata`]: what BBB says of a format, in its metadata.xml
//! - [`spool`]: the directory where archives arrive, by whatever way
//! - [`storage`]: the files, on two shelves
//! - [`text_tracks`]: subtitles and captions
//! - [`unpack`]: archives, which may be hostile
//! - [`verify`]: the index against the storage, both ways
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
pub use index::{ImportOptions, Imported, Index, Locked};
pub use model::{FilePath, FormatMetadata, FormatName, RecordId, Thumbnail};
pub use storage::{Found, Shelf, Shifted, Storage, StorageError, StoredFile};

/// Taking away what is gone already succeeds.
fn none_is_fine(done: std::io::Result<()>) -> std::io::Result<()> {
    done.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
