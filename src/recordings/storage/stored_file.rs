//! Opens files of recordings for playback, and reads ranges of them in chunks.
//!
//! The path below a directory comes from a request. [`FilePath`] has refused `..` and the like; this module follows
//! no symbolic link, neither on the way nor at the end, and opens only regular files. It works on threads that may
//! wait for a disk. S3 has no links, and its keys are not interpreted.

use super::s3::Object;
use super::{Shelf, Storage, StorageError, StorageKind, on_local};
use crate::blocking::BlockingError;
use crate::recordings::{FilePath, FormatName, RecordId};
use bytes::Bytes;
use futures_util::{Stream, stream};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes of one read. Two chunks of a file are in memory: one is being sent while the next is read.
const CHUNK_BYTES: u64 = 256 * 1024;

/// The result of opening a path.
#[derive(Debug)]
pub enum OpenedPath {
    /// A regular file.
    File(StoredFile),
    /// A directory.
    Directory,
}

/// A file opened for reading. Its content stays the same even if the file is replaced or deleted meanwhile; in S3,
/// reading fails then.
#[derive(Debug)]
pub struct StoredFile {
    /// Bytes.
    pub size: u64,
    /// Time of the last change, if known.
    pub modified: Option<SystemTime>,
    /// Changes whenever the content does: letters, digits and `-`.
    pub tag: String,
    source: FileSource,
}

#[derive(Debug)]
enum FileSource {
    Local(Arc<File>),
    S3(Object),
}

/// A range of a file in chunks.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send + Sync>>;

impl Storage {
    /// Opens a file of a format on a shelf. None if it does not exist.
    pub async fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<OpenedPath>, StorageError> {
        let (record, name, file) = (id.clone(), format.clone(), path.clone());
        match &*self.0 {
            StorageKind::Local(local) => on_local(local, move |l| l.open(&record, &name, shelf, &file)).await,
            StorageKind::S3(s3) => s3.open(id, format, shelf, path).await,
        }
    }

    /// A URL at which a browser can fetch the file from S3, for a limited time and without any further check;
    /// `download`: the browser saves it instead of showing it. None if `sl` must serve the file.
    pub async fn signed_url(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
        download: bool,
    ) -> Result<Option<String>, StorageError> {
        match &*self.0 {
            StorageKind::Local(_) => Ok(None),
            StorageKind::S3(s3) => s3.signed_url(id, format, shelf, path, download).await,
        }
    }
}

/// Opens a file below any directory with the same rules.
pub async fn open_below(directory: PathBuf, path: FilePath) -> Result<Option<OpenedPath>, StorageError> {
    match spawn_blocking(move || open(&directory, path.as_str())).await {
        Ok(result) => result,
        Err(failure) => Err(task_failed(failure)),
    }
}

/// Opens a path below a directory. The directory itself may be reached through symbolic links.
pub(super) fn open(directory: &Path, path: &str) -> Result<Option<OpenedPath>, StorageError> {
    let failed = |source| StorageError::Io { what: "open", path: directory.join(path), source };
    let file = match open_beneath(directory, path) {
        Ok(file) => File::from(file),
        // NXIO: a socket. LOOP: a symbolic link.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Ok(Some(OpenedPath::Directory));
    }
    if !metadata.is_file() {
        return Ok(None);
    }
    let modified = metadata.modified().ok();
    let age = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let tag = format!("{:x}-{:x}", age.map_or(0, |age: Duration| age.as_nanos()), metadata.len());
    Ok(Some(OpenedPath::File(StoredFile {
        size: metadata.len(),
        modified,
        tag,
        source: FileSource::Local(Arc::new(file)),
    })))
}

/// NONBLOCK: opening a pipe must not wait for its other end.
const READ_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const TRAVERSE_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_beneath(directory: &Path, path: &str) -> rustix::io::Result<OwnedFd> {
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(Errno::NOENT);
    }
    let root = openat(CWD, directory, TRAVERSE_FLAGS, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(&root, path, READ_FLAGS, Mode::empty(), resolve) {
        // Linux before 5.6, or a sandbox that does not know this call.
        Err(Errno::NOSYS | Errno::PERM) => open_by_component(root, path),
        opened => opened,
    }
}

/// The same without openat2: opens each component of the path in turn.
fn open_by_component(root: OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let mut at = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { TRAVERSE_FLAGS } else { READ_FLAGS };
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

impl StoredFile {
    pub(super) fn from_s3(
        size: u64,
        modified: Option<SystemTime>,
        tag: String,
        object: Object,
    ) -> StoredFile {
        StoredFile { size, modified, tag, source: FileSource::S3(object) }
    }

    /// Reads a range, which must be within the file: if the file has become shorter, the stream ends with an error.
    pub fn read(self, range: Range<u64>) -> ByteStream {
        match self.source {
            FileSource::Local(file) => Box::pin(read_local(file, range)),
            FileSource::S3(object) => Box::pin(object.read(range)),
        }
    }
}

type ReadTask = JoinHandle<io::Result<Bytes>>;

/// Takes the next chunk from the remaining range. None at its end.
pub(super) fn take_chunk(left: &mut Range<u64>, chunk_bytes: u64) -> Option<Range<u64>> {
    let chunk = left.start..left.end.min(left.start + chunk_bytes);
    left.start = chunk.end;
    (!chunk.is_empty()).then_some(chunk)
}

/// Starts to read the next chunk of the remaining range. None at its end.
fn start_next_read(file: &Arc<File>, left: &mut Range<u64>) -> Option<ReadTask> {
    let chunk = take_chunk(left, CHUNK_BYTES)?;
    let file = file.clone();
    // Allocated on the thread that will free it: the allocator keeps memory that one thread allocates and another
    // frees.
    let buffer = Vec::with_capacity((chunk.end - chunk.start) as usize);
    Some(spawn_blocking(move || read_at(&file, chunk, buffer)))
}

/// Reads the next chunk while one is being sent.
fn read_local(
    file: Arc<File>,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + Sync {
    stream::unfold((file, range, None), |(file, mut range, reading)| async move {
        let reading: ReadTask = match reading {
            Some(reading) => reading,
            None => start_next_read(&file, &mut range)?,
        };
        let result = match reading.await {
            Ok(result) => {
                result.map_err(|source| StorageError::Io { what: "read", path: PathBuf::new(), source })
            }
            Err(failure) => Err(task_failed(failure)),
        };
        let next = match &result {
            Ok(_) => start_next_read(&file, &mut range),
            Err(_) => {
                range.start = range.end;
                None
            }
        };
        Some((result, (file, range, next)))
    })
}

fn read_at(file: &File, chunk: Range<u64>, mut bytes: Vec<u8>) -> io::Result<Bytes> {
    let length = (chunk.end - chunk.start) as usize;
    while bytes.len() < length {
        let at = chunk.start + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file has become shorter")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The vector may have more capacity than requested, and pread fills all of it.
    bytes.truncate(length);
    Ok(Bytes::from(bytes))
}

fn task_failed(failure: tokio::task::JoinError) -> StorageError {
    match failure.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => BlockingError::Stopping.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// `r1` with files, and links to all kinds of targets.
    fn format() -> TempDir {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("r1/deep/er")).unwrap();
        fs::create_dir(path("r2")).unwrap();
        fs::write(path("r1/deep/er/file"), "inside").unwrap();
        fs::write(path("r2/file"), "of another").unwrap();
        symlink("file", path("r1/deep/er/link")).unwrap();
        symlink("deep", path("r1/short")).unwrap();
        symlink("../r2/file", path("r1/other")).unwrap();
        symlink("/etc/passwd", path("r1/passwd")).unwrap();
        symlink("/etc", path("r1/etc")).unwrap();
        symlink("r1", path("r3")).unwrap();
        rustix::fs::mknodat(CWD, path("r1/pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::os::unix::net::UnixListener::bind(path("r1/socket")).unwrap();
        directory
    }

    const NOTHING: [&str; 10] = [
        "r1/deep/er/link",
        "r1/short/er/file",
        "r1/other",
        "r1/passwd",
        "r1/etc/passwd",
        "r3/deep/er/file",
        "r1/none",
        "r1/deep/er/file/below",
        "r1/pipe",
        "r1/socket",
    ];

    #[test]
    fn open_follows_no_link_and_opens_only_regular_files() {
        let directory = format();
        for path in NOTHING {
            assert!(open(directory.path(), path).unwrap().is_none(), "{path}");
        }
        for outside in ["../etc/passwd", "r1/../r2/file", "/etc/passwd", "r1//deep/er/file", "r1/./pipe"] {
            assert!(open(directory.path(), outside).is_ok_and(|found| found.is_none()), "{outside}");
        }
        assert!(matches!(open(directory.path(), "r1/deep").unwrap(), Some(OpenedPath::Directory)));
        let Some(OpenedPath::File(file)) = open(directory.path(), "r1/deep/er/file").unwrap() else {
            panic!()
        };
        assert_eq!(file.size, 6);
        assert!(open(&directory.path().join("none"), "r1/x").unwrap().is_none());
    }

    #[test]
    fn open_by_component_follows_no_link() {
        let directory = format();
        let step = |path: &str| {
            let root = openat(CWD, directory.path(), TRAVERSE_FLAGS, Mode::empty()).unwrap();
            open_by_component(root, path).map(|file| File::from(file).metadata().unwrap().is_file())
        };
        for path in NOTHING {
            assert!(!step(path).unwrap_or(false), "{path}");
        }
        assert_eq!(step("r1/deep/er/file"), Ok(true));
    }

    #[test]
    fn open_enters_a_directory_that_is_a_link_itself() {
        let (directory, elsewhere) = (format(), TempDir::new().unwrap());
        symlink(directory.path(), elsewhere.path().join("video")).unwrap();
        assert!(open(&elsewhere.path().join("video"), "r1/deep/er/file").unwrap().is_some());
    }

    #[tokio::test]
    async fn read_returns_exactly_the_range() {
        let directory = TempDir::new().unwrap();
        let all: Vec<u8> = (0..CHUNK_BYTES * 2 + 777).map(|n| (n % 251) as u8).collect();
        fs::write(directory.path().join("file"), &all).unwrap();
        let size = all.len() as u64;
        for range in
            [0..size, 0..1, size - 1..size, 5..5, CHUNK_BYTES - 1..CHUNK_BYTES + 1, 3..CHUNK_BYTES * 2 + 3]
        {
            let path = FilePath::parse("file").unwrap();
            let found = open_below(directory.path().to_owned(), path).await.unwrap();
            let Some(OpenedPath::File(file)) = found else { panic!() };
            let pieces: Vec<Bytes> = file.read(range.clone()).map(|piece| piece.unwrap()).collect().await;
            assert!(pieces.iter().all(|piece| piece.len() as u64 <= CHUNK_BYTES));
            assert_eq!(pieces.concat(), all[range.start as usize..range.end as usize]);
        }
    }

    #[tokio::test]
    async fn read_fails_if_the_file_has_become_shorter() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![1; CHUNK_BYTES as usize * 4]).unwrap();
        let Some(OpenedPath::File(file)) = open(directory.path(), "file").unwrap() else { panic!() };
        fs::File::options().write(true).open(&path).unwrap().set_len(CHUNK_BYTES + 1).unwrap();
        let pieces: Vec<_> = file.read(0..CHUNK_BYTES * 4).collect().await;
        assert!(pieces.first().unwrap().is_ok() && pieces.last().unwrap().is_err());
    }

    #[test]
    fn tag_changes_with_the_file() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let tag = || match open(directory.path(), "file").unwrap() {
            Some(OpenedPath::File(file)) => file.tag,
            _ => panic!(),
        };
        let write = |text: &str, at: u64| {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(at)).unwrap();
        };
        write("one", 1_000);
        let first = tag();
        assert_eq!(first, tag());
        write("two", 1_001);
        let second = tag();
        write("three", 1_001);
        assert!(first != second && second != tag());
    }
}
