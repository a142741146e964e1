//! The names in the spool. Hidden ones (with a leading dot) are never archives: rsync hides what it is
//! writing, and so do we.
//!
//! | name | meaning |
//! | --- | --- |
//! | `NAME.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tar.xz`, `.txz` | an archive |
//! | `{record_id}.upload.{server}.tar` | an archive that this server has uploaded |
//! | `{record_id}.accepted.{server}.tar` | the same after an operator has accepted that it replaces another's recording |
//! | `.sl-done.NAME` | an archive that is being removed or moved to `failed/` |
//! | `.{record_id}.{key}.sl-part` | an unfinished upload |
//! | `.{record_id}.{key}.sl-taken` | an upload that became an archive; empty |
//! | `failed/NAME`, `failed/NAME.error` | a quarantined archive, and why |
//! | `failed/.sl-NAME.error` | its reasons while they are being written |

use crate::recordings::RecordId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const ARCHIVE_ENDINGS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz"];
const REMOVING_PREFIX: &str = ".sl-done.";
const PART_ENDING: &str = "sl-part";
const TAKEN_ENDING: &str = "sl-taken";
/// Bytes of the SHA-256 that tell two archives of one recording apart.
const UPLOAD_KEY_BYTES: usize = 16;

const UPLOADED: &str = ".upload.";
const ACCEPTED: &str = ".accepted.";
const UPLOAD_ENDING: &str = ".tar";
/// Of a server's id as it is in a name: it fits into a file name beside the longest record id.
const MAX_SERVER_BYTES: usize = 90;

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

/// Who uploaded an archive, as its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedBy {
    /// The recording of the token that the server had.
    pub record_id: RecordId,
    /// The server's id in the pool; of a very long id, a digest.
    pub server: String,
    /// An operator has accepted that this server replaces a recording that another one brought.
    pub accepted: bool,
}

impl UploadedBy {
    /// A new upload.
    pub fn new(record_id: RecordId, server: &str) -> UploadedBy {
        let server = if encoded_server(server).map(str::len).sum::<usize>() <= MAX_SERVER_BYTES {
            server.to_owned()
        } else {
            format!("sha256-{}", hex::encode(&Sha256::digest(server)[..UPLOAD_KEY_BYTES]))
        };
        UploadedBy { record_id, server, accepted: false }
    }

    /// What the name of an archive says. None if it was not uploaded.
    pub fn from_archive_name(name: &str) -> Option<UploadedBy> {
        let name = name.strip_suffix(UPLOAD_ENDING)?;
        // A number may be before it, from failed/. Record ids have no dots.
        let (before, server, accepted) = [(UPLOADED, false), (ACCEPTED, true)]
            .iter()
            .filter_map(|(mark, accepted)| name.split_once(mark).map(|(id, server)| (id, server, *accepted)))
            .min_by_key(|(before, ..)| before.len())?;
        let record_id = RecordId::parse(before.rsplit('.').next()?)?;
        let server = percent_decode_str(server).decode_utf8().ok()?.into_owned();
        Some(UploadedBy { record_id, server, accepted })
    }

    /// The name of its archive.
    pub fn archive_name(&self) -> String {
        let mark = if self.accepted { ACCEPTED } else { UPLOADED };
        format!("{}{mark}{}{UPLOAD_ENDING}", self.record_id, encoded_server(&self.server))
    }
}

fn encoded_server(id: &str) -> PercentEncode<'_> {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    utf8_percent_encode(id, PLAIN)
}

/// The name under which a server that shares the spool's file system puts the archive of a recording.
pub(super) fn usual_archive(id: &RecordId) -> String {
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

/// The record id of an unfinished upload.
pub(super) fn record_id_of_part(name: &str) -> Option<RecordId> {
    let (id, _key) = name.strip_prefix('.')?.strip_suffix(PART_ENDING)?.strip_suffix('.')?.split_once('.')?;
    RecordId::parse(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_name_says_which_server_uploaded_it() {
        let id = RecordId::parse("r-1").unwrap();
        let long = "x".repeat(91);
        for server in
            ["bbb1.example.org", "2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7", "a/b .upload.c", "..", "ü", &long]
        {
            for accepted in [false, true] {
                let upload = UploadedBy { accepted, ..UploadedBy::new(id.clone(), server) };
                let name = upload.archive_name();
                assert!(is_archive(&name) && !name.contains('/') && name.len() <= 255, "{name}");
                assert_eq!(UploadedBy::from_archive_name(&name), Some(upload.clone()));
                assert_eq!(UploadedBy::from_archive_name(&format!("2.{name}")), Some(upload));
            }
        }
        let name = UploadedBy::new(id, "bbb1.example.org").archive_name();
        assert_eq!(name, "r-1.upload.bbb1.example.org.tar");
        for other in
            ["r-1.tar", "r-1.upload.tar", "x y.upload.s.tar", "r-1.upload.s.tar.gz", "r-1.uploads.s.tar"]
        {
            assert_eq!(UploadedBy::from_archive_name(other), None, "{other}");
        }
        assert_eq!(record_id_of_part(".r-1.0011.sl-part").unwrap().as_str(), "r-1");
        assert_eq!(record_id_of_part("r-1.tar"), None);
    }
}
