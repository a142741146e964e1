//! The archives in the spool, and in `failed/` those that were quarantined.
//!
//! Archives arrive by `mv`, rsync, scp, over NFS. Some are still being written when they are noticed, and a
//! newer one may take the place of one that is being imported: so an archive is compared with what was opened
//! before it is removed.

use super::names::{self, UploadedBy};
use crate::recordings::none_is_fine;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    fn of(file: &fs::Metadata) -> FileStamp {
        FileStamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// The result of [`Spool::retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryResult {
    /// The archive is in the spool again.
    Moved,
    /// The spool already has an archive of that name.
    AlreadyInSpool,
    /// failed/ has no such archive.
    Missing,
    /// It was not uploaded, so there is no server to accept.
    NotUploaded,
}

/// The spool.
#[derive(Debug, Clone)]
pub struct Spool(PathBuf);

impl Spool {
    /// The directory must exist when it is used.
    pub fn new(directory: impl Into<PathBuf>) -> Spool {
        Spool(directory.into())
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The names of all archives, oldest first; those included whose removal was interrupted.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut found: Vec<(SystemTime, String)> = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = names::before_removal(&name).to_owned();
            if names::is_archive(&name)
                && let Ok(about) = entry.metadata()
                && about.is_file()
            {
                found.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), name));
            }
        }
        found.sort();
        found.dedup_by(|a, b| a.1 == b.1);
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    /// Opens an archive. None if it does not exist or is not a regular file.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<(File, FileStamp)>> {
        open_archive(&self.0.join(name))
    }

    /// Undoes an interrupted removal: nothing says whether the hidden archive is the one that was imported.
    /// Only for the holder of the claim.
    pub(crate) fn recover(&self, name: &str) -> io::Result<()> {
        let hidden = self.hidden(name);
        match fs::hard_link(&hidden, self.0.join(name)) {
            // Otherwise a newer archive has arrived, and the hidden one goes.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => none_is_fine(Err(error)),
            _ => none_is_fine(fs::remove_file(&hidden)),
        }
    }

    /// Whether [`Spool::recover`] has something to do.
    pub(crate) fn needs_recovery(&self, name: &str) -> bool {
        fs::symlink_metadata(self.hidden(name)).is_ok()
    }

    /// Removes the archive that was imported; a newer one of that name stays.
    pub(crate) fn remove(&self, name: &str, imported: &FileStamp) -> io::Result<()> {
        if self.hide_if_unchanged(name, imported)? {
            none_is_fine(fs::remove_file(self.hidden(name)))?;
        }
        Ok(())
    }

    /// Hides the archive if it still has this stamp. False if it is gone, or a newer one has taken its place
    /// and stays.
    fn hide_if_unchanged(&self, name: &str, stamp: &FileStamp) -> io::Result<bool> {
        let hidden = self.hidden(name);
        match fs::rename(self.0.join(name), &hidden) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            done => done?,
        }
        // Size and time are compared too: scp writes a newer archive into the same file. A rename keeps both.
        let is_unchanged = FileStamp::of(&fs::symlink_metadata(&hidden)?) == *stamp;
        if !is_unchanged {
            self.recover(name)?;
        }
        Ok(is_unchanged)
    }

    /// Moves an archive to failed/, its reasons beside it. If failed/ has one of that name, this one gets a
    /// number before its name. False if a newer archive has taken its place in the spool, where it stays.
    pub(crate) fn quarantine(&self, name: &str, stamp: &FileStamp, reasons: &[String]) -> io::Result<bool> {
        let failed = self.failed_directory();
        match fs::create_dir(&failed) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !self.hide_if_unchanged(name, stamp)? {
            return Ok(false);
        }
        let new_name = unused_name(&failed, name)?;
        // The reasons come first: an archive in failed/ always has them.
        let unfinished = failed.join(names::unfinished_error_file(name));
        fs::write(&unfinished, reasons.join("\n") + "\n")?;
        fs::rename(&unfinished, failed.join(names::error_file(&new_name)))?;
        fs::rename(self.hidden(name), failed.join(new_name))?;
        Ok(true)
    }

    /// The archives in failed/, by name, with their reasons.
    pub fn failed(&self) -> io::Result<Vec<(String, String)>> {
        let failed = self.failed_directory();
        let entries = match fs::read_dir(&failed) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string()
                && names::is_archive(&name)
            {
                let reasons = fs::read_to_string(failed.join(names::error_file(&name))).unwrap_or_default();
                found.push((name, reasons));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Moves an archive from failed/ back into the spool.
    pub fn retry(&self, name: &str) -> io::Result<RetryResult> {
        self.move_back(name, name)
    }

    /// The same for one that was uploaded, and may now replace the recording of another server.
    pub fn retry_accepted(&self, name: &str) -> io::Result<RetryResult> {
        match UploadedBy::from_archive_name(name) {
            Some(upload) => self.move_back(name, &UploadedBy { accepted: true, ..upload }.archive_name()),
            None => Ok(RetryResult::NotUploaded),
        }
    }

    fn move_back(&self, name: &str, new_name: &str) -> io::Result<RetryResult> {
        let failed = self.failed_directory();
        if !names::is_archive(name) || name.contains('/') {
            return Ok(RetryResult::Missing);
        }
        let from = failed.join(name);
        // A rename would replace an archive of that name.
        match fs::hard_link(&from, self.0.join(new_name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RetryResult::Missing),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(RetryResult::AlreadyInSpool);
            }
            done => done?,
        }
        none_is_fine(fs::remove_file(&from))?;
        none_is_fine(fs::remove_file(failed.join(names::error_file(name))))?;
        Ok(RetryResult::Moved)
    }

    fn failed_directory(&self) -> PathBuf {
        self.0.join(names::FAILED_DIRECTORY)
    }

    fn hidden(&self, name: &str) -> PathBuf {
        self.0.join(names::removing(name))
    }
}

/// The name itself, or with the first number before it that is not taken. It stays unused until the caller
/// takes it: the caller holds the claim of this name.
fn unused_name(failed: &Path, name: &str) -> io::Result<String> {
    let mut candidate = name.to_owned();
    for n in 1u32.. {
        match fs::symlink_metadata(failed.join(&candidate)) {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
            Ok(_) => candidate = format!("{n}.{name}"),
        }
    }
    Ok(candidate)
}

/// Opens a file to import. None if it does not exist or is not a regular file.
pub(crate) fn open_archive(path: &Path) -> io::Result<Option<(File, FileStamp)>> {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    Ok(about.is_file().then(|| (file, FileStamp::of(&about))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn spool() -> (TempDir, Spool) {
        let directory = TempDir::new().unwrap();
        let spool = Spool::new(directory.path());
        (directory, spool)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn list_returns_only_archives_oldest_first() {
        let (directory, spool) = spool();
        for name in [
            "b.tar",
            "a.tar.gz",
            "c.tgz",
            ".hidden.tar",
            ".tar",
            "x.txt",
            "d.tar.zst",
            "e.tar.xz",
            ".sl-done.f.tar",
        ] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("dir.tar")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link.tar")).unwrap();
        let old = File::open(directory.path().join("e.tar.xz")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let list = spool.list().unwrap();
        assert_eq!(list[0], "e.tar.xz");
        assert_eq!(list.len(), 6, "{list:?}");
        assert!(spool.open("link.tar").unwrap().is_none());
        assert!(spool.open("dir.tar").unwrap().is_none());
        assert!(spool.open("none.tar").unwrap().is_none());
    }

    #[test]
    fn remove_and_quarantine_keep_a_newer_archive() {
        let (directory, spool) = spool();
        let path = directory.path().join("a.tar");
        fs::write(&path, "old").unwrap();
        let (_file, stamp) = spool.open("a.tar").unwrap().unwrap();
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        spool.remove("a.tar", &stamp).unwrap();
        assert!(!spool.quarantine("a.tar", &stamp, &["bad".into()]).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let (_file, stamp) = spool.open("a.tar").unwrap().unwrap();
        spool.remove("a.tar", &stamp).unwrap();
        spool.remove("a.tar", &stamp).unwrap();
        assert_eq!(names(directory.path()), ["failed"]);
    }

    #[test]
    fn remove_keeps_an_archive_rewritten_in_place() {
        let (directory, spool) = spool();
        let path = directory.path().join("a.tar");
        fs::write(&path, "old").unwrap();
        let (_file, stamp) = spool.open("a.tar").unwrap().unwrap();
        fs::write(&path, "newer").unwrap();
        assert!(!spool.quarantine("a.tar", &stamp, &["bad".into()]).unwrap());
        assert_eq!(spool.failed().unwrap(), []);
        spool.remove("a.tar", &stamp).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn recover_restores_an_archive_unless_a_newer_one_arrived() {
        let (directory, spool) = spool();
        fs::write(directory.path().join(".sl-done.a.tar"), "a").unwrap();
        assert_eq!(spool.list().unwrap(), ["a.tar"]);
        assert!(spool.needs_recovery("a.tar"));
        spool.recover("a.tar").unwrap();
        assert_eq!(names(directory.path()), ["a.tar"]);
        // Unless a newer one has come.
        fs::write(directory.path().join(".sl-done.a.tar"), "older").unwrap();
        spool.recover("a.tar").unwrap();
        assert_eq!(names(directory.path()), ["a.tar"]);
        assert_eq!(fs::read_to_string(directory.path().join("a.tar")).unwrap(), "a");
        spool.recover("a.tar").unwrap();
    }

    #[test]
    fn quarantined_archive_keeps_its_reasons_until_retry() {
        let (directory, spool) = spool();
        assert_eq!(spool.failed().unwrap(), []);
        fs::write(directory.path().join("a.tar"), "a").unwrap();
        let (_file, stamp) = spool.open("a.tar").unwrap().unwrap();
        assert!(spool.quarantine("a.tar", &stamp, &["one".into(), "two".into()]).unwrap());
        assert_eq!(names(directory.path()), ["failed"]);
        assert_eq!(names(&directory.path().join("failed")), ["a.tar", "a.tar.error"]);
        assert_eq!(spool.failed().unwrap(), [("a.tar".into(), "one\ntwo\n".into())]);
        assert_eq!(spool.list().unwrap(), [] as [&str; 0]);
        fs::write(directory.path().join("a.tar"), "newer").unwrap();
        assert_eq!(spool.retry("a.tar").unwrap(), RetryResult::AlreadyInSpool);
        fs::remove_file(directory.path().join("a.tar")).unwrap();
        assert_eq!(spool.retry("a.tar").unwrap(), RetryResult::Moved);
        assert_eq!(spool.retry("a.tar").unwrap(), RetryResult::Missing);
        assert_eq!(spool.retry("../a.tar").unwrap(), RetryResult::Missing);
        assert_eq!(names(&directory.path().join("failed")), [] as [&str; 0]);
        assert_eq!(spool.list().unwrap(), ["a.tar"]);
    }

    #[test]
    fn quarantine_numbers_archives_of_the_same_name() {
        let (directory, spool) = spool();
        for (content, reason) in [("one", "first"), ("two", "second"), ("three", "third")] {
            fs::write(directory.path().join("a.tar"), content).unwrap();
            let (_file, stamp) = spool.open("a.tar").unwrap().unwrap();
            spool.quarantine("a.tar", &stamp, &[reason.into()]).unwrap();
        }
        let failed = spool.failed().unwrap();
        let expected = [("1.a.tar", "second\n"), ("2.a.tar", "third\n"), ("a.tar", "first\n")];
        assert_eq!(failed, expected.map(|(name, why)| (name.to_owned(), why.to_owned())));
        assert_eq!(fs::read_to_string(directory.path().join("failed/a.tar")).unwrap(), "one");
        assert_eq!(spool.retry("1.a.tar").unwrap(), RetryResult::Moved);
        assert_eq!(spool.list().unwrap(), ["1.a.tar"]);
    }
}
