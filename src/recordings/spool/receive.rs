//! Archives that BBB servers send over HTTP, into the spool: in one piece or in several, taken up again
//! where it broke off, and no archive of the spool before it is whole.
//!
//! What has come of one lies beside the archives as `.{record_id}.{key}.sl-part`, a name that importers do
//! not look at. The key says of which file it is a part, so that two different ones are never mixed. Who
//! writes it holds its lock (flock), on whichever replica; it goes with the process. At the end the part
//! is compared with its digest, made safe on disk and renamed to `{record_id}.tar`. Then an empty file
//! `.{record_id}.{key}.sl-taken` says for a while that it was: the sender may not have heard.

use crate::blocking::{BlockingError, run_blocking};
use crate::recordings::{RecordId, none_is_fine};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

const PART: &str = ".sl-part";
const TAKEN: &str = ".sl-taken";
/// The disk is told to begin writing after so many bytes, so that little is left for the end.
const BEGIN_WRITING: u64 = 32 << 20;
/// Pieces that wait to be written. A piece is what came in at once, at most some 70 KB.
const WAITING: usize = 16;
/// A part that nobody has gone on with for so long is given up.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why an upload did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Somebody is sending the same file just now.
    #[error("the same archive is being sent by another request")]
    Busy,
    /// It must go on after so many bytes, which are here.
    #[error("{0} bytes of it are here: it must go on from there")]
    Offset(u64),
    /// It is, or becomes, larger than it may be: so many bytes.
    #[error("an archive may have {0} bytes (RECORDING_UPLOAD_MAX_SIZE)")]
    TooLarge(u64),
    /// All of it came, and it is not what the sender has. Nothing is kept.
    #[error("what has arrived has another SHA-256 than was announced: send it again from the start")]
    Digest,
    /// There is nothing in it.
    #[error("there is nothing in it")]
    Empty,
    /// The disk of the spool is full. What has come is kept.
    #[error("the disk of the spool is full")]
    Full,
    /// Something else of this machine.
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

/// What is sent: an archive, and how to tell it from another one of the same recording.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Of which recording.
    pub record_id: RecordId,
    /// SHA-256 of the whole archive, where the sender knows it: compared at the end.
    pub sha256: Option<[u8; 32]>,
    /// Bytes of the whole archive, where the sender knows them.
    pub total: Option<u64>,
    /// When it was made, where the sender says so: the file gets this time, so that a recording that was
    /// deleted since then stays deleted.
    pub packed: Option<SystemTime>,
}

/// The spool, as those see it who send to it.
#[derive(Debug, Clone)]
pub struct Uploads {
    spool: PathBuf,
    most: u64,
}

/// An upload that is coming in. Dropped, it keeps what has come.
#[derive(Debug)]
pub struct Receiving {
    pieces: mpsc::Sender<Option<Bytes>>,
    writer: JoinHandle<Result<u64, UploadError>>,
}

impl Uploads {
    /// Into a directory, which must be there; archives of at most so many bytes.
    pub fn new(spool: impl Into<PathBuf>, most: u64) -> Uploads {
        Uploads { spool: spool.into(), most }
    }

    /// Bytes that are here of an upload that is not whole.
    pub async fn received(&self, upload: &Upload) -> Result<u64, UploadError> {
        let path = self.part(upload);
        run_blocking(move || match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            about => Ok(about?.len()),
        })
        .await
    }

    /// Whether all of this archive was taken since it was last begun anew.
    pub async fn was_taken(&self, upload: &Upload) -> Result<bool, UploadError> {
        let note = taken(&self.part(upload));
        let named = upload.sha256.is_some();
        run_blocking(move || Ok(named && note.exists())).await
    }

    /// Whether an archive of the recording waits in the spool, and whether one is in failed/.
    pub async fn waiting(&self, id: &RecordId) -> Result<(bool, bool), UploadError> {
        let name = format!("{id}.tar");
        let (spool, failed) = (self.spool.join(&name), self.spool.join("failed").join(&name));
        run_blocking(move || Ok((spool.exists(), failed.exists()))).await
    }

    /// Begins to take in an upload, after so many bytes of it: 0 begins anew. All of them: nothing more need
    /// come.
    pub async fn begin(&self, upload: &Upload, after: u64) -> Result<Receiving, UploadError> {
        if upload.total.is_some_and(|total| total > self.most) {
            return Err(UploadError::TooLarge(self.most));
        }
        let (path, whole, most) = (self.part(upload), self.spool.join(name(upload)), self.most);
        let upload = upload.clone();
        let part = run_blocking(move || Part::open(path, &upload, after)).await?;
        let (pieces, incoming) = mpsc::channel(WAITING);
        let writer = tokio::task::spawn_blocking(move || part.write(incoming, &whole, most));
        Ok(Receiving { pieces, writer })
    }

    fn part(&self, upload: &Upload) -> PathBuf {
        // Half of it tells them apart.
        let key = upload.sha256.map_or_else(|| "unnamed".into(), |digest| hex::encode(&digest[..16]));
        self.spool.join(format!(".{}.{key}{PART}", upload.record_id))
    }
}

/// The note that a part has become an archive.
fn taken(part: &Path) -> PathBuf {
    part.with_extension(&TAKEN[1..])
}

fn name(upload: &Upload) -> String {
    format!("{}.tar", upload.record_id)
}

/// Removes parts in a spool that nobody goes on with.
pub(crate) fn sweep(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.ends_with(PART) && !name.ends_with(TAKEN) {
            continue;
        }
        let age = |path: &Path| {
            let modified = fs::symlink_metadata(path).and_then(|about| about.modified()).ok()?;
            SystemTime::now().duration_since(modified).ok()
        };
        let path = entry.path();
        if age(&path).is_some_and(|age| age >= ABANDONED)
            && let Ok(file) = File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(&path)
            && file.try_lock().is_ok()
            && age(&path).is_some_and(|age| age >= ABANDONED)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

impl Receiving {
    /// The next bytes. Waits while the disk is slow.
    pub async fn piece(&mut self, bytes: Bytes) -> Result<(), UploadError> {
        if self.pieces.send(Some(bytes)).await.is_ok() {
            return Ok(());
        }
        // It has ended before its time.
        match (&mut self.writer).await {
            Ok(Err(error)) => Err(error),
            _ => Err(UploadError::Io(io::Error::other("the writer has gone"))),
        }
    }

    /// All of this request has come. How many bytes are here now, or None if that was all: the archive is
    /// in the spool.
    pub async fn end(self) -> Result<Option<u64>, UploadError> {
        // Gone: the writer says why.
        let _ = self.pieces.send(None).await;
        drop(self.pieces);
        let size = self.writer.await.map_err(|error| UploadError::Io(io::Error::other(error)))??;
        Ok((size != WHOLE).then_some(size))
    }
}

/// No part has so many bytes.
const WHOLE: u64 = u64::MAX;

/// A part that is locked.
struct Part {
    file: File,
    path: PathBuf,
    size: u64,
    total: Option<u64>,
    packed: Option<SystemTime>,
    is_named: bool,
    /// What it must be, and, where all of it came in one go, what it is so far.
    digest: Option<([u8; 32], Option<Sha256>)>,
    /// So much of it was given to the disk.
    begun: u64,
}

impl Part {
    fn open(path: PathBuf, upload: &Upload, after: u64) -> Result<Part, UploadError> {
        let file = loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(UploadError::Busy),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Ok(()) => {}
            }
            // Whoever held it may have finished, and renamed it.
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(UploadError::Io(ErrorKind::InvalidInput.into()));
            }
            match fs::symlink_metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (about.dev(), about.ino()) => break file,
                _ => {}
            }
        };
        let mut part = Part {
            size: file.metadata()?.len(),
            digest: upload.sha256.map(|expected| (expected, (after == 0).then(Sha256::new))),
            total: upload.total,
            packed: upload.packed,
            is_named: upload.sha256.is_some(),
            begun: after,
            file,
            path,
        };
        if after == 0 {
            part.file.set_len(0)?;
            part.size = 0;
            none_is_fine(fs::remove_file(taken(&part.path)))?;
        } else if after != part.size {
            let size = part.size;
            part.unless_empty();
            return Err(UploadError::Offset(size));
        }
        io::Seek::seek(&mut part.file, io::SeekFrom::End(0))?;
        Ok(part)
    }

    fn write(
        mut self,
        mut incoming: mpsc::Receiver<Option<Bytes>>,
        whole: &Path,
        most: u64,
    ) -> Result<u64, UploadError> {
        let most = self.total.map_or(most, |total| total.min(most));
        loop {
            match incoming.blocking_recv() {
                Some(Some(bytes)) => {
                    if self.size + bytes.len() as u64 > most {
                        // It will not get better.
                        fs::remove_file(&self.path)?;
                        return Err(UploadError::TooLarge(most));
                    }
                    self.file.write_all(&bytes)?;
                    self.size += bytes.len() as u64;
                    if let Some((_, Some(digest))) = &mut self.digest {
                        digest.update(&bytes);
                    }
                    self.begin_writing();
                }
                Some(None) => break,
                // Broken off, but perhaps after the last byte.
                None if self.total == Some(self.size) => break,
                None => {
                    self.unless_empty();
                    return Ok(self.size);
                }
            }
        }
        if self.size == 0 {
            fs::remove_file(&self.path)?;
            return Err(UploadError::Empty);
        }
        if self.total.is_some_and(|total| self.size < total) {
            return Ok(self.size);
        }
        if !self.is_what_was_meant()? {
            fs::remove_file(&self.path)?;
            return Err(UploadError::Digest);
        }
        if let Some(packed) = self.packed {
            self.file.set_modified(packed.min(SystemTime::now()))?;
        }
        if let Err(error) = self.file.sync_all() {
            // What the kernel could not write it may forget, and a second attempt would succeed all the same.
            let _ = fs::remove_file(&self.path);
            return Err(error.into());
        }
        fs::rename(&self.path, whole)?;
        // It is there. Names are made safe as well as the file system can.
        if let Some(spool) = whole.parent()
            && let Err(error) = File::open(spool).and_then(|spool| spool.sync_all())
        {
            debug!(%error, "the spool's directory cannot be synced");
        }
        if self.is_named {
            let _ = File::create(taken(&self.path));
        }
        Ok(WHOLE)
    }

    /// Looks at all of it once more where it came in pieces.
    fn is_what_was_meant(&mut self) -> io::Result<bool> {
        let Some((expected, digest)) = self.digest.take() else { return Ok(true) };
        let digest = match digest {
            Some(digest) => digest,
            None => {
                io::Seek::seek(&mut self.file, io::SeekFrom::Start(0))?;
                let (mut digest, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
                loop {
                    match self.file.read(&mut buffer) {
                        Ok(0) => break digest,
                        Ok(n) => digest.update(&buffer[..n]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        };
        Ok(digest.finalize()[..] == expected)
    }

    /// Does not wait for it, and does not mind where it is not possible.
    fn begin_writing(&mut self) {
        if self.size - self.begun < BEGIN_WRITING {
            return;
        }
        let (from, length) = (self.begun as libc::off64_t, (self.size - self.begun) as libc::off64_t);
        // SAFETY: a hint about a descriptor that is open; no memory is touched.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
        self.begun = self.size;
    }

    /// Nothing has come: no file need say so.
    fn unless_empty(&self) {
        if self.size == 0 {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
