//! The names in the spool. Hidden ones (with a leading dot) are never archives: rsync hides what it is
//! writing, and so do we.
//!
//! | name | meaning |
//! | --- | --- |
//! | `NAME.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tar.xz`, `.txz` | an archive |
//! | `.sl-done.NAME` | an archive that is being removed or moved to `failed/` |
//! | `.{record_id}.{key}.sl-part` | an unfinished upload |
//! | `.{record_id}.{key}.sl-taken` | an upload that became an archive; empty |
//! | `failed/NAME`, `failed/NAME.error` | a quarantined archive, and why |
//! | `failed/.sl-NAME.error` | its reasons while they are being written |

use crate::recordings::RecordId;
use std::path::{Path, PathBuf};

const ARCHIVE_ENDINGS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz"];
const REMOVING_PREFIX: &str = ".sl-done.";
const PART_ENDING: &str = "sl-part";
const TAKEN_ENDING: &str = "sl-taken";
/// Bytes of the SHA-256 that tell two archives of one recording apart.
const UPLOAD_KEY_BYTES: usize = 16;

pub(super) const FAILED_DIRECTORY: &str = "failed";

/// Whether a file name is that of an archive.
pub fn is_archive(name: &str) -> bool {
    !name.starts_with('.')
        && ARCHIVE_ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// The name of an archive while it is being removed.
pub(super) fn removing(archive: &str) -> String {
    format!("{REMOVING_PREFIX}{archive}")
}

/// The name that an archive had before its removal began; any other name as it is.
pub(super) fn before_removal(name: &str) -> &str {
    name.strip_prefix(REMOVING_PREFIX).unwrap_or(name)
}

/// The reasons of a quarantined archive, in `failed/`.
pub(super) fn error_file(archive: &str) -> String {
    format!("{archive}.error")
}

/// The same while they are being written.
pub(super) fn unfinished_error_file(archive: &str) -> String {
    format!(".sl-{archive}.error")
}

/// The archive that an upload becomes.
pub(super) fn uploaded_archive(id: &RecordId) -> String {
    format!("{id}.tar")
}

/// The part of an upload that has arrived.
pub(super) fn part_file(id: &RecordId, sha256: Option<&[u8; 32]>) -> String {
    let key = sha256.map_or_else(|| "unnamed".into(), |digest| hex::encode(&digest[..UPLOAD_KEY_BYTES]));
    format!(".{id}.{key}.{PART_ENDING}")
}

/// The note that a part has become an archive.
pub(super) fn taken_note(part_file: &Path) -> PathBuf {
    part_file.with_extension(TAKEN_ENDING)
}

/// Whether a file belongs to an upload: a part or a note.
pub(super) fn is_of_upload(name: &str) -> bool {
    [PART_ENDING, TAKEN_ENDING]
        .iter()
        .any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}
