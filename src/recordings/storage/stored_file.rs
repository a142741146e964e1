//! Reading the files of recordings, for playback: any part of one, a piece at a time.
//!
//! A file is opened below a directory by names that come from outside. [`FilePath`] has refused `..` and
//! the like; here no link is followed, neither in the middle of the way nor at its end, and nothing is
//! given out that is not a plain file. All of it happens on threads that may wait for a disk. In S3 there
//! are no links, and a name is a name.

use super::s3::Object;
use super::{Kind, Shelf, Storage, StorageError, blocking};
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

/// What is read at once. Two such pieces of a file are in memory, one being sent and one being read.
const PIECE: u64 = 256 * 1024;

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File(StoredFile),
    /// A directory.
    Directory,
}

/// A file that is open for reading. It stays what it is, even if it is replaced or removed meanwhile;
/// in S3, reading fails then.
#[derive(Debug)]
pub struct StoredFile {
    /// Bytes.
    pub size: u64,
    /// When it was written, where that is known.
    pub modified: Option<SystemTime>,
    /// Another one whenever the bytes are others: letters, digits and `-`.
    pub tag: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Local(Arc<File>),
    S3(Object),
}

/// A part of a file, as it is read.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send + Sync>>;

impl Storage {
    /// Opens a file of a format on a shelf. None where there is none.
    pub async fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<Found>, StorageError> {
        let (record, name, file) = (id.clone(), format.clone(), path.clone());
        match &*self.0 {
            Kind::Local(local) => blocking(local, move |l| l.open(&record, &name, shelf, &file)).await,
            Kind::S3(s3) => s3.open(id, format, shelf, path).await,
        }
    }

    /// Where a browser fetches a file itself, for a while and without any further check; `saved`: and keeps
    /// it instead of showing it. None where it is to get the file from us.
    pub async fn signed_url(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
        saved: bool,
    ) -> Result<Option<String>, StorageError> {
        match &*self.0 {
            Kind::Local(_) => Ok(None),
            Kind::S3(s3) => s3.signed_url(id, format, shelf, path, saved).await,
        }
    }
}

/// Opens a file below any directory, in the same way.
pub async fn open_below(directory: PathBuf, path: FilePath) -> Result<Option<Found>, StorageError> {
    match spawn_blocking(move || open(&directory, path.as_str())).await {
        Ok(result) => result,
        Err(failure) => Err(lost(failure)),
    }
}

/// Opens what is below a directory, which may itself be reached through links.
pub(super) fn open(directory: &Path, path: &str) -> Result<Option<Found>, StorageError> {
    let failed = |source| StorageError::Io { what: "open", path: directory.join(path), source };
    let file = match descend(directory, path) {
        Ok(file) => File::from(file),
        // A socket cannot be opened; a link is not followed.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error.into())),
    };
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Ok(Some(Found::Directory));
    }
    if !about.is_file() {
        return Ok(None);
    }
    let modified = about.modified().ok();
    let age = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let tag = format!("{:x}-{:x}", age.map_or(0, |age: Duration| age.as_nanos()), about.len());
    Ok(Some(Found::File(StoredFile {
        size: about.len(),
        modified,
        tag,
        source: Source::Local(Arc::new(file)),
    })))
}

/// A pipe does not make us wait for its other end.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn descend(directory: &Path, path: &str) -> rustix::io::Result<OwnedFd> {
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(Errno::NOENT);
    }
    let root = openat(CWD, directory, PASS, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(&root, path, READ, Mode::empty(), resolve) {
        // Linux before 5.6, or a sandbox that does not know this call.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, path),
        opened => opened,
    }
}

/// The same, name by name.
fn step_by_step(root: OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let mut at = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { PASS } else { READ };
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

impl StoredFile {
    pub(super) fn in_s3(size: u64, modified: Option<SystemTime>, tag: String, object: Object) -> StoredFile {
        StoredFile { size, modified, tag, source: Source::S3(object) }
    }

    /// These bytes of it. The range must be within the file: the stream ends with an error where the
    /// file turns out to be shorter.
    pub fn read(self, range: Range<u64>) -> Pieces {
        match self.source {
            Source::Local(file) => Box::pin(local(file, range)),
            Source::S3(object) => Box::pin(object.read(range)),
        }
    }
}

type Reading = JoinHandle<io::Result<Bytes>>;

/// Begins to read the next piece of what is left.
fn begin(file: &Arc<File>, left: &mut Range<u64>) -> Option<Reading> {
    let piece = left.start..left.end.min(left.start + PIECE);
    if piece.is_empty() {
        return None;
    }
    left.start = piece.end;
    let file = file.clone();
    // Made here, where it will be given back: the allocator keeps what one thread makes and another frees.
    let room = Vec::with_capacity((piece.end - piece.start) as usize);
    Some(spawn_blocking(move || read_at(&file, piece, room)))
}

/// While a piece is being sent, the next one is being read.
fn local(
    file: Arc<File>,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + Sync {
    stream::unfold((file, range, None), |(file, mut range, reading)| async move {
        let reading: Reading = match reading {
            Some(reading) => reading,
            None => begin(&file, &mut range)?,
        };
        let result = match reading.await {
            Ok(result) => {
                result.map_err(|source| StorageError::Io { what: "read", path: PathBuf::new(), source })
            }
            Err(failure) => Err(lost(failure)),
        };
        let next = match &result {
            Ok(_) => begin(&file, &mut range),
            Err(_) => {
                range.start = range.end;
                None
            }
        };
        Some((result, (file, range, next)))
    })
}

fn read_at(file: &File, piece: Range<u64>, mut bytes: Vec<u8>) -> io::Result<Bytes> {
    let length = (piece.end - piece.start) as usize;
    while bytes.len() < length {
        let at = piece.start + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has become shorter")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // It may have had room for more.
    bytes.truncate(length);
    Ok(Bytes::from(bytes))
}

fn lost(failure: tokio::task::JoinError) -> StorageError {
    match failure.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => StorageError::Io {
            what: "finish",
            path: PathBuf::new(),
            source: io::Error::other("this process is stopping"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// `r1` with files, and links to everywhere.
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
    fn no_link_is_followed_and_only_files_are_given_out() {
        let directory = format();
        for path in NOTHING {
            assert!(open(directory.path(), path).unwrap().is_none(), "{path}");
        }
        for outside in ["../etc/passwd", "r1/../r2/file", "/etc/passwd", "r1//deep/er/file", "r1/./pipe"] {
            assert!(open(directory.path(), outside).is_ok_and(|found| found.is_none()), "{outside}");
        }
        assert!(matches!(open(directory.path(), "r1/deep").unwrap(), Some(Found::Directory)));
        let Some(Found::File(file)) = open(directory.path(), "r1/deep/er/file").unwrap() else { panic!() };
        assert_eq!(file.size, 6);
        assert!(open(&directory.path().join("none"), "r1/x").unwrap().is_none());
    }

    #[test]
    fn the_same_without_openat2() {
        let directory = format();
        let step = |path: &str| {
            let root = openat(CWD, directory.path(), PASS, Mode::empty()).unwrap();
            step_by_step(root, path).map(|file| File::from(file).metadata().unwrap().is_file())
        };
        for path in NOTHING {
            assert!(!step(path).unwrap_or(false), "{path}");
        }
        assert_eq!(step("r1/deep/er/file"), Ok(true));
    }

    #[test]
    fn a_directory_that_is_a_link_itself_is_entered() {
        let (directory, elsewhere) = (format(), TempDir::new().unwrap());
        symlink(directory.path(), elsewhere.path().join("video")).unwrap();
        assert!(open(&elsewhere.path().join("video"), "r1/deep/er/file").unwrap().is_some());
    }

    #[tokio::test]
    async fn any_part_is_read_and_no_more() {
        let directory = TempDir::new().unwrap();
        let all: Vec<u8> = (0..PIECE * 2 + 777).map(|n| (n % 251) as u8).collect();
        fs::write(directory.path().join("file"), &all).unwrap();
        let size = all.len() as u64;
        for range in [0..size, 0..1, size - 1..size, 5..5, PIECE - 1..PIECE + 1, 3..PIECE * 2 + 3] {
            let path = FilePath::parse("file").unwrap();
            let found = open_below(directory.path().to_owned(), path).await.unwrap();
            let Some(Found::File(file)) = found else { panic!() };
            let pieces: Vec<Bytes> = file.read(range.clone()).map(|piece| piece.unwrap()).collect().await;
            assert!(pieces.iter().all(|piece| piece.len() as u64 <= PIECE));
            assert_eq!(pieces.concat(), all[range.start as usize..range.end as usize]);
        }
    }

    #[tokio::test]
    async fn a_file_that_becomes_shorter_ends_in_an_error() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![1; PIECE as usize * 4]).unwrap();
        let Some(Found::File(file)) = open(directory.path(), "file").unwrap() else { panic!() };
        fs::File::options().write(true).open(&path).unwrap().set_len(PIECE + 1).unwrap();
        let pieces: Vec<_> = file.read(0..PIECE * 4).collect().await;
        assert!(pieces.first().unwrap().is_ok() && pieces.last().unwrap().is_err());
    }

    #[test]
    fn the_tag_changes_with_the_file() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let tag = || match open(directory.path(), "file").unwrap() {
            Some(Found::File(file)) => file.tag,
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
