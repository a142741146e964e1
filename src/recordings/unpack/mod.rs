//! Unpacks an archive of recordings into an empty directory, trusting nothing in it.
//!
//! A member's path is `{format}/{record_id}/…`, relative, of plain names. No other path is ever used: an
//! absolute one, `..`, or one that passes through a link makes the whole archive bad; so do devices and pipes.
//! Links become copies of the file that they lead to, which must be in the archive too, so that nothing
//! unpacked is a link. Owners and modes are ours. Count, size and ratio are limited while unpacking, not
//! after it.
//!
//! - `meter`: reads the tar from whatever it is compressed with, and counts its bytes
//! - `tree`: the files on disk

mod meter;
#[cfg(test)]
mod tests;
mod tree;

use super::{FormatName, RecordId};
use meter::ReadMeter;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tree::UnpackedTree;

/// What an archive may contain.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Members: files, directories, links.
    pub max_members: u64,
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Bytes unpacked for each byte of the archive. Applies from 64 MiB on.
    pub max_ratio: u64,
}

/// Below this an archive is no bomb, however well it was compressed.
const MIN_BYTES_FOR_RATIO: u64 = 64 * 1024 * 1024;
/// The end of a tar is at least one block of zeros.
const TAR_BLOCK_BYTES: u64 = 512;

/// What is wrong with an archive. A retry cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// A member that must not be in a recording.
    #[error("unsafe member {0}: {1}")]
    Member(String, &'static str),
    /// It exceeds one of the limits.
    #[error("more than {0} {1}")]
    Limit(u64, &'static str),
    /// Not an archive, or a damaged one.
    #[error("unreadable: {0}")]
    Damaged(String),
    /// It ends too early. The rest may still arrive.
    #[error("truncated after {0} bytes")]
    Truncated(u64),
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is bad.
    #[error(transparent)]
    Bad(#[from] BadArchive),
    /// The disk or the network failed: transient.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// As in "cannot … PATH".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// [`UnpackControl::stop`] was called.
    #[error("unpacking was stopped")]
    Stopped,
}

/// One unpacked format of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFormat {
    /// From the directory's name; metadata.xml must repeat it.
    pub record_id: RecordId,
    /// Likewise.
    pub format: FormatName,
    /// Where it was unpacked.
    pub path: PathBuf,
}

/// What was in an archive.
#[derive(Debug, Default)]
pub struct ArchiveContents {
    /// By record id and format.
    pub formats: Vec<UnpackedFormat>,
    /// Formats or recordings with invalid names, one line each, at most 20. They were not unpacked.
    pub rejected: Vec<String>,
    /// Files that belong to no recording, likewise.
    pub ignored: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// Watches and stops an unpacking from another thread.
#[derive(Debug, Default)]
pub struct UnpackControl {
    bytes_read: AtomicU64,
    is_stopped: AtomicBool,
}

impl UnpackControl {
    /// Bytes of the archive that were read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Makes the unpacking end soon, with [`UnpackError::Stopped`].
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn set_bytes_read(&self, bytes: u64) {
        self.bytes_read.store(bytes, Ordering::Relaxed);
    }
}

/// Unpacks `archive`, read from its beginning, into the empty directory `into`. When this returns, everything
/// is synced to disk. After an error `into` contains what was unpacked before it.
pub fn unpack(
    archive: &File,
    into: &Path,
    limits: &UnpackLimits,
    control: &UnpackControl,
) -> Result<ArchiveContents, UnpackError> {
    let (meter, reader) = ReadMeter::open(archive, limits, control)?;
    let meter = &meter;
    let mut tree = UnpackedTree::new(into, meter);
    let mut tar = tar::Archive::new(reader);
    let mut entries = tar.entries().map_err(|error| meter.explain(&error))?;
    let mut members = 0;
    loop {
        meter.begin_header();
        let before = meter.tar_bytes();
        let Some(entry) = entries.next() else {
            if meter.tar_bytes() < before + TAR_BLOCK_BYTES {
                return Err(meter.truncated());
            }
            break;
        };
        let mut entry = entry.map_err(|error| meter.explain(&error))?;
        meter.end_header();
        members += 1;
        tree.unpack_member(&mut entry)?;
        // A long path creates directories that are no members.
        if members.max(tree.entry_count()) > limits.max_members {
            return Err(BadArchive::Limit(limits.max_members, "members").into());
        }
    }
    meter.read_trailer(tar.into_inner())?;
    tree.copy_links()?;
    let contents = tree.finish();
    let fail = |source| UnpackError::Io { what: "sync", path: into.to_owned(), source };
    // One call for the whole file system is many times faster than a sync of each of many files.
    rustix::fs::syncfs(File::open(into).map_err(fail)?).map_err(|error| fail(error.into()))?;
    Ok(contents)
}
