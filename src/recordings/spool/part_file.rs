//! The file that an upload is written to, until it is complete. Its writer holds its lock (flock), on whichever
//! replica; the lock ends with the process.

use super::names;
use super::receive::{Upload, UploadError, UploadProgress};
use crate::recordings::none_is_fine;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::sync::mpsc;
use tracing::debug;

/// The kernel starts to write to disk each time this much has arrived, so that little is left for the sync at
/// the end.
const WRITEBACK_BYTES: u64 = 32 << 20;
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// An upload's part, locked.
pub(super) struct PartFile {
    file: File,
    path: PathBuf,
    size: u64,
    upload: Upload,
    /// The SHA-256 of what has arrived, if all of it arrives in this request; otherwise it is read again at the
    /// end.
    digest: Option<Sha256>,
    /// Bytes whose writing to disk has been started.
    writeback_started: u64,
}

impl PartFile {
    /// Opens and locks the part. `offset`: bytes of the upload that must be there; 0 starts over.
    pub(super) fn open(path: PathBuf, upload: Upload, offset: u64) -> Result<PartFile, UploadError> {
        let file = open_locked(&path)?;
        let mut part = PartFile {
            size: file.metadata()?.len(),
            digest: (upload.sha256.is_some() && offset == 0).then(Sha256::new),
            writeback_started: offset,
            upload,
            file,
            path,
        };
        if offset == 0 {
            part.file.set_len(0)?;
            part.size = 0;
            none_is_fine(fs::remove_file(names::taken_note(&part.path)))?;
        } else if offset != part.size {
            part.remove_if_empty();
            return Err(UploadError::Offset(part.size));
        }
        part.file.seek(SeekFrom::End(0))?;
        Ok(part)
    }

    /// Writes the chunks as they come, and makes the part an archive once it is complete. A channel that closes
    /// without the final None means that the request was cut off: what has arrived is kept.
    pub(super) fn receive(
        mut self,
        mut chunks: mpsc::Receiver<Option<Bytes>>,
        archive: &Path,
        max_bytes: u64,
    ) -> Result<UploadProgress, UploadError> {
        let total = self.upload.total;
        let max_bytes = total.map_or(max_bytes, |total| total.min(max_bytes));
        loop {
            match chunks.blocking_recv() {
                Some(Some(bytes)) => self.append(&bytes, max_bytes)?,
                Some(None) => break,
                // Cut off, but perhaps after the last byte.
                None if total == Some(self.size) => break,
                None => {
                    self.remove_if_empty();
                    return Ok(UploadProgress::Partial(self.size));
                }
            }
        }
        if self.size == 0 {
            fs::remove_file(&self.path)?;
            return Err(UploadError::Empty);
        }
        if total.is_some_and(|total| self.size < total) {
            return Ok(UploadProgress::Partial(self.size));
        }
        self.finish(archive)?;
        Ok(UploadProgress::Complete)
    }

    fn append(&mut self, bytes: &[u8], max_bytes: u64) -> Result<(), UploadError> {
        if self.size + bytes.len() as u64 > max_bytes {
            // A retry cannot help, so nothing is kept.
            fs::remove_file(&self.path)?;
            return Err(UploadError::TooLarge(max_bytes));
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if self.size - self.writeback_started >= WRITEBACK_BYTES {
            self.start_writeback();
        }
        Ok(())
    }

    /// Verifies the digest, syncs the part and renames it to the archive.
    fn finish(&mut self, archive: &Path) -> Result<(), UploadError> {
        if !self.has_expected_digest()? {
            fs::remove_file(&self.path)?;
            return Err(UploadError::Digest);
        }
        if let Some(packed) = self.upload.packed {
            self.file.set_modified(packed.min(SystemTime::now()))?;
        }
        if let Err(error) = self.file.sync_all() {
            // The kernel may drop what it could not write, and then report success to a second sync.
            let _ = fs::remove_file(&self.path);
            return Err(error.into());
        }
        fs::rename(&self.path, archive)?;
        // The archive is there. The directory is synced as far as its file system can.
        if let Some(spool) = archive.parent()
            && let Err(error) = File::open(spool).and_then(|spool| spool.sync_all())
        {
            debug!(%error, "cannot sync the directory of the spool");
        }
        if self.upload.sha256.is_some() {
            let _ = File::create(names::taken_note(&self.path));
        }
        Ok(())
    }

    fn has_expected_digest(&mut self) -> io::Result<bool> {
        let Some(expected) = self.upload.sha256 else { return Ok(true) };
        let digest = match self.digest.take() {
            Some(digest) => digest,
            None => self.compute_digest()?,
        };
        Ok(digest.finalize()[..] == expected)
    }

    fn compute_digest(&mut self) -> io::Result<Sha256> {
        self.file.seek(SeekFrom::Start(0))?;
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; READ_BUFFER_BYTES]);
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(digest),
                Ok(n) => digest.update(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A hint: does not wait, and a file system that cannot do it is fine.
    fn start_writeback(&mut self) {
        let from = self.writeback_started as libc::off64_t;
        let length = (self.size - self.writeback_started) as libc::off64_t;
        // SAFETY: a hint about a descriptor that is open; no memory is touched.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
        self.writeback_started = self.size;
    }

    /// A part without bytes need not be kept.
    fn remove_if_empty(&self) {
        if self.size == 0 {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open_locked(path: &Path) -> Result<File, UploadError> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(UploadError::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Ok(()) => {}
        }
        let locked = file.metadata()?;
        if !locked.is_file() {
            return Err(UploadError::Io(ErrorKind::InvalidInput.into()));
        }
        // The previous holder of the lock may have finished and renamed the file: then another is opened.
        match fs::symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => return Ok(file),
            _ => {}
        }
    }
}
