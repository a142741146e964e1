//! The directory where archives arrive, and `failed/` in it for those that are no good.
//!
//! Archives come by `mv`, rsync, scp, over NFS. Some are still being written when they are seen, and
//! a newer one of the same name may take the place of one that is just being imported: so what is
//! taken away at the end is compared with what was opened at the beginning.

use crate::recordings::none_is_fine;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const ENDINGS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz"];
const FAILED: &str = "failed";
/// An archive that is being taken away.
const DONE: &str = ".sl-done.";

/// Whether a file's name is that of an archive. Hidden ones are those that rsync is writing.
pub fn is_archive(name: &str) -> bool {
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    changed: (i64, i64),
}

impl FileStamp {
    pub(crate) fn of(file: &fs::Metadata) -> FileStamp {
        FileStamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            changed: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// What became of [`Spool::retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is in the spool again.
    Yes,
    /// One of that name is in the spool already.
    InSpool,
    /// There is none in failed/.
    Missing,
}

/// The spool.
#[derive(Debug, Clone)]
pub struct Spool(PathBuf);

impl Spool {
    /// At a directory, which must be there when it is used.
    pub fn new(directory: impl Into<PathBuf>) -> Spool {
        Spool(directory.into())
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The names of all archives, oldest first.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut found: Vec<(SystemTime, String)> = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // One that was being taken away when its importer died.
            let name = name.strip_prefix(DONE).map(str::to_owned).unwrap_or(name);
            if is_archive(&name)
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

    /// Opens an archive. None if there is none, or something that is no file.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<(File, FileStamp)>> {
        open_archive(&self.0.join(name))
    }

    /// Puts back an archive that was being taken away when its importer died: it cannot be known
    /// any more whether it is the one that was imported. Only for who has the claim.
    pub(crate) fn recover(&self, name: &str) -> io::Result<()> {
        let aside = self.aside(name);
        match fs::hard_link(&aside, self.0.join(name)) {
            // A newer one has come.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => none_is_fine(Err(error)),
            _ => none_is_fine(fs::remove_file(&aside)),
        }
    }

    /// Whether [`Spool::recover`] has something to do.
    pub(crate) fn needs_recovery(&self, name: &str) -> bool {
        fs::symlink_metadata(self.aside(name)).is_ok()
    }

    /// Takes away the archive that was imported; a newer one of that name stays.
    pub(crate) fn remove(&self, name: &str, imported: &FileStamp) -> io::Result<()> {
        if self.put_aside(name, imported)? {
            none_is_fine(fs::remove_file(self.aside(name)))?;
        }
        Ok(())
    }

    /// Puts aside the archive that looks like this. Whether that one was there: another stays.
    fn put_aside(&self, name: &str, tried: &FileStamp) -> io::Result<bool> {
        let aside = self.aside(name);
        match fs::rename(self.0.join(name), &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            done => done?,
        }
        // Size and time count too: scp writes a newer one into the same file. A rename keeps both.
        let same = FileStamp::of(&fs::symlink_metadata(&aside)?) == *tried;
        if !same {
            self.recover(name)?;
        }
        Ok(same)
    }

    /// Puts an archive into failed/, and the reasons beside it. A newer one of that name stays where it
    /// is; one that failed before keeps its name, and this one gets a number before it. Whether it is in
    /// failed/ now.
    pub(crate) fn quarantine(&self, name: &str, tried: &FileStamp, reasons: &[String]) -> io::Result<bool> {
        let failed = self.0.join(FAILED);
        match fs::create_dir(&failed) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !self.put_aside(name, tried)? {
            return Ok(false);
        }
        // Nobody else puts one of this name there: we hold its claim.
        let mut kept = name.to_owned();
        for n in 1u32.. {
            match fs::symlink_metadata(failed.join(&kept)) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            kept = format!("{n}.{name}");
        }
        // The reasons come first: an archive in failed/ always has them.
        let (written, reason) = (failed.join(format!(".sl-{name}.error")), error_file(&failed, &kept));
        fs::write(&written, reasons.join("\n") + "\n")?;
        fs::rename(&written, &reason)?;
        fs::rename(self.aside(name), failed.join(kept))?;
        Ok(true)
    }

    /// The archives in failed/, by name, with the reasons.
    pub fn failed(&self) -> io::Result<Vec<(String, String)>> {
        let failed = self.0.join(FAILED);
        let entries = match fs::read_dir(&failed) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string()
                && is_archive(&name)
            {
                let reason = fs::read_to_string(error_file(&failed, &name)).unwrap_or_default();
                found.push((name, reason));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Puts an archive from failed/ back into the spool.
    pub fn retry(&self, name: &str) -> io::Result<Retried> {
        let failed = self.0.join(FAILED);
        if !is_archive(name) || name.contains('/') {
            return Ok(Retried::Missing);
        }
        let from = failed.join(name);
        // A rename would replace.
        match fs::hard_link(&from, self.0.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Retried::Missing),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Retried::InSpool),
            done => done?,
        }
        none_is_fine(fs::remove_file(&from))?;
        none_is_fine(fs::remove_file(error_file(&failed, name)))?;
        Ok(Retried::Yes)
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.0.join(format!("{DONE}{name}"))
    }
}

fn error_file(failed: &Path, name: &str) -> PathBuf {
    failed.join(format!("{name}.error"))
}

/// Opens a file to import. None if there is none, or something that is no file.
pub(crate) fn open_archive(path: &Path) -> io::Result<Option<(File, FileStamp)>> {
    // A pipe would keep us waiting.
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
    fn archives_are_found_oldest_first_and_nothing_else() {
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
    fn the_archive_that_was_imported_goes_and_a_newer_one_stays() {
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
    fn an_archive_that_was_rewritten_in_place_stays() {
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
    fn an_archive_that_was_being_taken_away_comes_back() {
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
    fn a_bad_archive_waits_in_failed_with_its_reasons() {
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
        assert_eq!(spool.retry("a.tar").unwrap(), Retried::InSpool);
        fs::remove_file(directory.path().join("a.tar")).unwrap();
        assert_eq!(spool.retry("a.tar").unwrap(), Retried::Yes);
        assert_eq!(spool.retry("a.tar").unwrap(), Retried::Missing);
        assert_eq!(spool.retry("../a.tar").unwrap(), Retried::Missing);
        assert_eq!(names(&directory.path().join("failed")), [] as [&str; 0]);
        assert_eq!(spool.list().unwrap(), ["a.tar"]);
    }

    #[test]
    fn a_second_bad_archive_of_a_name_does_not_replace_the_first() {
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
        assert_eq!(spool.retry("1.a.tar").unwrap(), Retried::Yes);
        assert_eq!(spool.list().unwrap(), ["1.a.tar"]);
    }
}
