//! What a BBB server may bring by an upload: a pool is not as safe as its worst server. Archives that come by a mounted
//! spool or rsync are not subject to this.

use super::outcome::ImportError;
use crate::recordings::RecordId;
use crate::recordings::index::IndexEntry;
use crate::recordings::spool::UploadedBy;
use crate::recordings::unpack::ArchiveContents;

/// A server may upload the recording that its token names, and no other.
pub(super) fn check_contents(
    contents: &ArchiveContents,
    expected: Option<&RecordId>,
) -> Result<(), ImportError> {
    let Some(expected) = expected else { return Ok(()) };
    match contents.formats.iter().find(|format| format.record_id != *expected) {
        Some(other) => Err(ImportError::Bad(vec![format!(
            "it was uploaded as recording {expected}, but holds recording {} too; nothing was imported",
            other.record_id
        )])),
        None => Ok(()),
    }
}

/// A server may replace what it brought itself. Anything else waits for an operator.
pub(super) fn check_server(upload: &UploadedBy, entry: &IndexEntry) -> Result<(), ImportError> {
    if upload.accepted || entry.first_server.as_deref() == Some(upload.server.as_str()) {
        return Ok(());
    }
    let origin = match &entry.first_server {
        Some(first) => format!("server {first} brought this recording"),
        None => "this recording was not brought by an upload".to_owned(),
    };
    Err(ImportError::Bad(vec![format!(
        "it was uploaded by server {}, but {origin}; nothing was replaced. If it may be replaced: \
         sl recordings retry --accept-server {}",
        upload.server,
        upload.archive_name()
    )]))
}
