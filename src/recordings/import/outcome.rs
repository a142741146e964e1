//! Results of an import: the report, the errors, and what one attempt means for the archive.

use super::queue::Sighting;
use crate::blocking::BlockingError;
use crate::db::DbError;
use crate::recordings::unpack::{BadArchive, UnpackError};
use crate::recordings::{RecordId, StorageError};

/// What was imported from an archive.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// The recordings, each with the formats that were in the archive.
    pub recordings: Vec<(RecordId, Vec<String>)>,
    /// Bytes of all files, those of rejected formats included.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Formats that were rejected, one line each. The others were imported.
    pub errors: Vec<String>,
    /// Files that belong to no recording.
    pub ignored: Vec<String>,
}

/// Why an archive was not imported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive is bad: a retry cannot help. The reasons, one line each.
    #[error("{}", .0.join("; "))]
    Bad(Vec<String>),
    /// The archive ends too early. It may still be being written.
    #[error("{0}")]
    Truncated(String),
    /// Another importer has claimed it.
    #[error("another importer has claimed it")]
    Busy,
    /// There is no such file.
    #[error("there is no such file")]
    Gone,
    /// The index is unavailable: transient, and the same for every archive.
    #[error("{0}")]
    Index(#[source] DbError),
    /// Transient, for example a full disk.
    #[error("{0}")]
    Transient(String),
    /// [`UnpackControl::stop`](crate::recordings::unpack::UnpackControl::stop) was called, or the process is
    /// stopping.
    #[error("the import was stopped")]
    Stopped,
}

impl From<DbError> for ImportError {
    fn from(error: DbError) -> ImportError {
        match error.is_transient() {
            // Only this recording is locked for long: that must not pause the imports of others.
            true if matches!(error, DbError::Busy) => ImportError::Transient(error.to_string()),
            true => ImportError::Index(error),
            false => ImportError::Bad(vec![format!("the index rejects it: {error}")]),
        }
    }
}

/// Only claims use Postgres directly.
impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> ImportError {
        ImportError::Index(error.into())
    }
}

impl From<StorageError> for ImportError {
    fn from(error: StorageError) -> ImportError {
        match error {
            StorageError::BadName(_) => ImportError::Bad(vec![error.to_string()]),
            error => ImportError::Transient(error.to_string()),
        }
    }
}

impl From<UnpackError> for ImportError {
    fn from(error: UnpackError) -> ImportError {
        match error {
            UnpackError::Bad(bad @ BadArchive::Truncated(_)) => ImportError::Truncated(bad.to_string()),
            UnpackError::Bad(bad) => ImportError::Bad(vec![bad.to_string()]),
            UnpackError::Io { .. } => ImportError::Transient(error.to_string()),
            UnpackError::Stopped => ImportError::Stopped,
        }
    }
}

impl From<BlockingError> for ImportError {
    fn from(error: BlockingError) -> ImportError {
        match error {
            BlockingError::Stopping => ImportError::Stopped,
            BlockingError::Panicked => ImportError::Transient(error.to_string()),
        }
    }
}

/// The result of one attempt at an archive of the spool.
pub(super) enum ArchiveOutcome {
    /// The archive is no longer there.
    Gone,
    /// It is still being written, or may be.
    Incomplete(Sighting),
    /// Another importer has claimed it.
    Busy,
    /// It was imported and removed.
    Imported(ImportReport),
    /// It is in failed/, for these reasons.
    Quarantined(Vec<String>),
    /// A retry may succeed.
    Postponed(ImportError),
}

impl From<ImportError> for ArchiveOutcome {
    fn from(error: ImportError) -> ArchiveOutcome {
        match error {
            ImportError::Busy => ArchiveOutcome::Busy,
            ImportError::Gone => ArchiveOutcome::Gone,
            ImportError::Bad(reasons) => ArchiveOutcome::Quarantined(reasons),
            error => ArchiveOutcome::Postponed(error),
        }
    }
}
