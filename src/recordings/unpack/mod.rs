//! Unpacking an archive of recordings into a directory of one's own, trusting nothing in it.
//!
//! A member's path is `{format}/{record_id}/…`, relative, of plain names. Whatever else it is called
//! never becomes a path: absolute ones, `..`, and what would lead through a link are refused, and
//! the archive with them. So are devices and pipes. Links become copies of the file that they lead
//! to, which must be in the archive too, so that nothing that comes out is a link. Owners and modes
//! are ours. Count, size and ratio have limits, which hold while unpacking and not after it.
//!
//! - `source`: the bytes of the tar, counted, out of whatever it is compressed with
//! - `tree`: the files on disk

mod source;
#[cfg(test)]
mod tests;
mod tree;

use super::{FormatName, RecordId};
use source::Source;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tree::Tree;

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Members: files, directories, links.
    pub members: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes unpacked for each byte of the archive. Counts from 64 MiB on.
    pub ratio: u64,
}

/// Below this nothing is a bomb, however well it was compressed.
const RATIO_COUNTS_FROM: u64 = 64 * 1024 * 1024;

/// What is wrong with an archive. It will not get better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// A member that has no business in a recording.
    #[error("unsafe member {0}: {1}")]
    Member(String, &'static str),
    /// One of the limits.
    #[error("more than {0} {1}")]
    Limit(u64, &'static str),
    /// Not an archive, or a damaged one.
    #[error("not readable: {0}")]
    Damaged(String),
    /// It ends too early. Perhaps the rest is still to come.
    #[error("broken off after {0} bytes")]
    Truncated(u64),
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is to blame.
    #[error(transparent)]
    Bad(#[from] BadArchive),
    /// The disk is, or the network: it may pass.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// As in "cannot … PATH".
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// [`UnpackControl::stop`] was called.
    #[error("told to stop")]
    Stopped,
}

/// One format of one recording, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFormat {
    /// Name of the directory that it is in, which metadata.xml must repeat.
    pub record_id: RecordId,
    /// Likewise.
    pub format: FormatName,
    /// Where it is now.
    pub path: PathBuf,
}

/// What was in an archive.
#[derive(Debug, Default)]
pub struct ArchiveContents {
    /// By record id and format.
    pub formats: Vec<UnpackedFormat>,
    /// Formats or recordings whose names cannot be: a line each, at most 20. Nothing of them was
    /// unpacked.
    pub refused: Vec<String>,
    /// Files that belong to no recording, likewise.
    pub ignored: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// Shared with whoever watches an archive being unpacked.
#[derive(Debug, Default)]
pub struct UnpackControl {
    read: AtomicU64,
    stop: AtomicBool,
}

impl UnpackControl {
    /// Bytes of the archive that were read.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Makes the unpacking end soon, with [`UnpackError::Stopped`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Unpacks `archive`, read from its beginning, into the empty directory `into`. When this returns,
/// all is safe on disk. After an error `into` holds whatever it got to.
pub fn unpack(
    archive: &File,
    into: &Path,
    limits: &Limits,
    control: &UnpackControl,
) -> Result<ArchiveContents, UnpackError> {
    let (source, reader) = Source::open(archive, limits, control)?;
    let source = &source;
    let mut tree = Tree::new(into, source);
    let mut tar = tar::Archive::new(reader);
    let mut entries = tar.entries().map_err(|error| source.explain(&error))?;
    let mut members = 0;
    loop {
        source.expect_header();
        let before = source.plain();
        let Some(entry) = entries.next() else {
            // The end is at least one block of zeros.
            if source.plain() < before + 512 {
                return Err(source.truncated());
            }
            break;
        };
        let mut entry = entry.map_err(|error| source.explain(&error))?;
        source.expect_data();
        members += 1;
        tree.take(&mut entry)?;
        // A long path makes directories that no member names.
        if members.max(tree.size()) > limits.members {
            return Err(BadArchive::Limit(limits.members, "members").into());
        }
    }
    source.drain(tar.into_inner())?;
    tree.copy_links()?;
    let contents = tree.finish();
    let fail = |source| UnpackError::Io { what: "sync", path: into.to_owned(), source };
    // One call for the whole file system: many times faster than a sync of each of many files.
    rustix::fs::syncfs(File::open(into).map_err(fail)?).map_err(|error| fail(error.into()))?;
    Ok(contents)
}
