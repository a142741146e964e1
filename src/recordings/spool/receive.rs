//! Receives archives that BBB servers send over HTTP: in one request or in several, resumed where they were
//! cut off. No archive appears in the spool before it is complete.
//!
//! What has arrived is kept beside the archives under a hidden name (`names`) that contains a
//! key of the archive's digest, so that parts of two archives are never mixed. At the end the part is compared
//! with its digest, synced and renamed to `{record_id}.upload.{server}.tar`, which tells the importer where it comes from. Then a note says for a while that this archive was
//! taken, since the sender may not have received the response.

use super::names::{self, UploadedBy};
use super::part_file::PartFile;
use crate::blocking::{BlockingError, run_blocking};
use crate::recordings::RecordId;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks of a body that wait to be written. A chunk is what one read of the connection returns, at most some
/// 70 KB.
const MAX_WAITING_CHUNKS: usize = 16;
/// A part that has not grown for this long is abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why an upload was not completed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Another request is sending the same archive.
    #[error("another request is sending the same archive")]
    Busy,
    /// The upload must be resumed after this many bytes, which have arrived.
    #[error("{0} bytes have arrived: the upload must resume there")]
    Offset(u64),
    /// It is, or becomes, larger than this many bytes.
    #[error("the archive is larger than {0} bytes (RECORDING_UPLOAD_MAX_SIZE)")]
    TooLarge(u64),
    /// All of it arrived, with another digest than announced. Nothing is kept.
    #[error("the SHA-256 of the archive is not the one announced: send it again from the start")]
    Digest,
    /// The archive has no bytes.
    #[error("the archive is empty")]
    Empty,
    /// The disk of the spool is full. What has arrived is kept.
    #[error("the disk of the spool is full")]
    Full,
    /// Another error of the file system.
    #[error("the spool: {0}")]
    Io(#[source] io::Error),
}

impl From<BlockingError> for UploadError {
    fn from(error: BlockingError) -> UploadError {
        UploadError::Io(error.into())
    }
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> UploadError {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => UploadError::Full,
            _ => UploadError::Io(error),
        }
    }
}

/// What a request announces: an archive, and what tells it from other archives of its recording.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The recording.
    pub record_id: RecordId,
    /// The id of the server that sends it.
    pub server: String,
    /// SHA-256 of the whole archive: verified at the end. None only for a sender that asks for the recording's state.
    pub sha256: Option<[u8; 32]>,
    /// Bytes of the whole archive, if the sender announced them.
    pub total: Option<u64>,
    /// When the archive was made, if the sender announced it: the file gets this time, so that a recording that
    /// was deleted since then stays deleted.
    pub packed: Option<SystemTime>,
}

/// How much of an upload has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadProgress {
    /// This many bytes, which are kept.
    Partial(u64),
    /// All of it: the archive is in the spool.
    Complete,
}

/// Where an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveLocation {
    /// In the spool: it waits to be imported.
    Spool,
    /// In failed/.
    Failed,
}

/// Receives uploads into a spool.
#[derive(Debug, Clone)]
pub struct UploadReceiver {
    spool: PathBuf,
    max_bytes: u64,
}

/// An upload in progress. When it is dropped, what has arrived is kept.
#[derive(Debug)]
pub struct IncomingUpload {
    /// None is the regular end of the request.
    chunks: mpsc::Sender<Option<Bytes>>,
    writer: JoinHandle<Result<UploadProgress, UploadError>>,
}

impl UploadReceiver {
    /// `spool`: a directory that exists. `max_bytes`: of one archive.
    pub fn new(spool: impl Into<PathBuf>, max_bytes: u64) -> UploadReceiver {
        UploadReceiver { spool: spool.into(), max_bytes }
    }

    /// Bytes of an unfinished upload that have arrived.
    pub async fn received_bytes(&self, upload: &Upload) -> Result<u64, UploadError> {
        let path = self.part_path(upload);
        run_blocking(move || match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            about => Ok(about?.len()),
        })
        .await
    }

    /// Whether all of this archive was taken, and no new upload of it has begun since.
    pub async fn was_taken(&self, upload: &Upload) -> Result<bool, UploadError> {
        let note = names::taken_note(&self.part_path(upload));
        let has_digest = upload.sha256.is_some();
        run_blocking(move || Ok(has_digest && note.exists())).await
    }

    /// Where the archive of a recording is that this server uploaded, or put into the spool, and that is not yet imported.
    pub async fn locate_archive(&self, upload: &Upload) -> Result<Option<ArchiveLocation>, UploadError> {
        let by = UploadedBy::new(upload.record_id.clone(), &upload.server);
        let accepted = UploadedBy { accepted: true, ..by.clone() };
        let names = [by.archive_name(), accepted.archive_name(), names::usual_archive(&upload.record_id)];
        let spool = self.spool.clone();
        run_blocking(move || {
            let failed = spool.join(names::FAILED_DIRECTORY);
            Ok(if names.iter().any(|name| spool.join(name).exists()) {
                Some(ArchiveLocation::Spool)
            } else if names.iter().any(|name| failed.join(name).exists()) {
                Some(ArchiveLocation::Failed)
            } else {
                None
            })
        })
        .await
    }

    /// Starts to receive an upload after `offset` bytes; 0 starts it over. If `offset` is the total, it needs
    /// no more bytes.
    pub async fn begin(&self, upload: &Upload, offset: u64) -> Result<IncomingUpload, UploadError> {
        let max_bytes = self.max_bytes;
        if upload.total.is_some_and(|total| total > max_bytes) {
            return Err(UploadError::TooLarge(max_bytes));
        }
        let by = UploadedBy::new(upload.record_id.clone(), &upload.server);
        let archive = self.spool.join(by.archive_name());
        let (path, upload) = (self.part_path(upload), upload.clone());
        let part = run_blocking(move || PartFile::open(path, upload, offset)).await?;
        let (chunks, incoming) = mpsc::channel(MAX_WAITING_CHUNKS);
        let writer = tokio::task::spawn_blocking(move || part.receive(incoming, &archive, max_bytes));
        Ok(IncomingUpload { chunks, writer })
    }

    fn part_path(&self, upload: &Upload) -> PathBuf {
        self.spool.join(names::part_file(&upload.record_id, upload.sha256.as_ref()))
    }
}

impl IncomingUpload {
    /// Writes the next bytes. Waits while the disk is slow.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), UploadError> {
        if self.chunks.send(Some(bytes)).await.is_ok() {
            return Ok(());
        }
        // The writer has failed.
        match (&mut self.writer).await {
            Ok(Err(error)) => Err(error),
            _ => Err(UploadError::Io(io::Error::other("the writer has ended too early"))),
        }
    }

    /// Ends the request after its last byte.
    pub async fn finish(self) -> Result<UploadProgress, UploadError> {
        // If this fails, the writer has failed and says why.
        let _ = self.chunks.send(None).await;
        drop(self.chunks);
        self.writer.await.map_err(|error| UploadError::Io(io::Error::other(error)))?
    }
}

/// Removes the parts and notes of abandoned uploads.
pub(crate) fn remove_abandoned(spool: &Path) -> io::Result<()> {
    let is_abandoned = |path: &Path| {
        let modified = fs::symlink_metadata(path).and_then(|about| about.modified()).ok();
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        age.is_some_and(|age| age >= ABANDONED_AFTER)
    };
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        if !names::is_of_upload(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        // Checked again under the lock: the upload may have been resumed.
        if is_abandoned(&path)
            && let Ok(file) = File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(&path)
            && file.try_lock().is_ok()
            && is_abandoned(&path)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
