//! One format on one shelf, and the hidden directory in it.

use super::super::StorageError;
use super::Result;
use super::fs_ops::{copy_tree, fail, is_absent, is_occupied, remove, sync_directory, sync_file_system};
use crate::recordings::{FormatName, RecordId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

const HIDDEN: &str = ".sl-work";

/// `{shelf}/{format}`.
pub(super) struct Home {
    pub(super) directory: PathBuf,
    pub(super) format: FormatName,
}

/// Takes a mark away. Nothing there is fine: whoever came next has seen to it.
pub(super) fn unmark(mark: &Path) -> Result<()> {
    match fs::remove_file(mark) {
        Err(error) if !is_absent(&error) => return Err(fail("remove", mark, error)),
        _ => {}
    }
    if let Some(hidden) = mark.parent() {
        let _ = fs::remove_dir(hidden);
    }
    Ok(())
}

/// A name in the hidden directory that nobody has.
fn unique(id: &RecordId, kind: &str) -> String {
    format!("{id}.{kind}.{}", uuid::Uuid::new_v4().simple())
}

impl Home {
    pub(super) fn at(&self, id: &RecordId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    pub(super) fn has(&self, id: &RecordId) -> Result<bool> {
        let path = self.at(id);
        match fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(fail("look at", &path, error)),
        }
    }

    /// The names in the hidden directory. It holds no more than what is under way.
    pub(super) fn hidden(&self) -> Result<Vec<String>> {
        let hidden = self.directory.join(HIDDEN);
        match fs::read_dir(&hidden) {
            Ok(entries) => Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(fail("read", &hidden, error)),
        }
    }

    /// Does something with a new name in the hidden directory, which is there meanwhile: whoever
    /// works on another recording may just have taken it away as empty.
    fn in_hidden<T>(
        &self,
        id: &RecordId,
        kind: &str,
        what: &'static str,
        mut work: impl FnMut(&Path) -> io::Result<T>,
    ) -> Result<T> {
        let hidden = self.directory.join(HIDDEN);
        let path = hidden.join(unique(id, kind));
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&hidden) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(fail("create", &hidden, error));
                }
                _ => {}
            }
            match work(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && !hidden.exists() => {}
                done => return done.map_err(|error| fail(what, &path, error)),
            }
        }
    }

    /// Takes the hidden directory away if it is empty.
    fn tidy(&self) {
        let _ = fs::remove_dir(self.directory.join(HIDDEN));
    }

    /// Notes, safe on disk, that a recording is changing its shelf.
    pub(super) fn mark(&self, id: &RecordId) -> Result<PathBuf> {
        let mark = self.in_hidden(id, "move", "create", |mark| {
            File::create_new(mark)?.sync_all()?;
            Ok(mark.to_owned())
        })?;
        sync_directory(&self.directory.join(HIDDEN))?;
        sync_directory(&self.directory)?;
        Ok(mark)
    }

    /// The notes that say so.
    pub(super) fn marks(&self, id: &RecordId) -> Result<Vec<PathBuf>> {
        let prefix = format!("{id}.move.");
        let names = self.hidden()?.into_iter().filter(|name| name.starts_with(&prefix));
        Ok(names.map(|name| self.directory.join(HIDDEN).join(name)).collect())
    }

    pub(super) fn settle(&self, id: &RecordId) -> Result<()> {
        let prefix = format!("{id}.");
        let mut any = false;
        for name in self.hidden()? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            // Not until the recording is where it belongs: Storage::finish.
            if rest.starts_with("move.") {
                continue;
            }
            any = true;
            let path = self.directory.join(HIDDEN).join(&name);
            if rest.starts_with("old.") && !self.has(id)? {
                // Its successor never came: it is the one that counts.
                match renameat_with(CWD, &path, CWD, self.at(id), RenameFlags::empty()) {
                    Ok(()) => sync_directory(&self.directory)?,
                    Err(error) => return Err(fail("put back", &path, error.into())),
                }
            } else {
                // Out of the way first: whoever made it may still be at it, and must not put half of
                // it into place.
                let gone = self.directory.join(HIDDEN).join(unique(id, "gone"));
                match fs::rename(&path, &gone) {
                    Ok(()) => remove(&gone)?,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(fail("put aside", &path, error)),
                }
            }
        }
        if any {
            self.tidy();
        }
        Ok(())
    }

    /// Puts `from` in the place of what is there. `from` is gone afterwards.
    pub(super) fn replace(&self, from: &Path, id: &RecordId) -> Result<()> {
        match self.swap_in(from, id) {
            Ok(()) => {}
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => {
                let copy = self.copy_in(from, id)?;
                self.swap_in(&copy, id)?;
                remove(&copy)?;
                self.tidy();
            }
            Err(error) => return Err(error),
        }
        remove(from)
    }

    /// Renames `from` to its place. What was there is at `from` afterwards, or gone.
    fn swap_in(&self, from: &Path, id: &RecordId) -> Result<()> {
        let place = self.at(id);
        let failed = |error| fail("move into place", &place, error);
        match fs::rename(from, &place) {
            Ok(()) => return sync_directory(&self.directory),
            Err(error) if is_occupied(&error) => {}
            Err(error) => return Err(failed(error)),
        }
        match renameat_with(CWD, from, CWD, &place, RenameFlags::EXCHANGE) {
            Ok(()) => return sync_directory(&self.directory),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(failed(error.into())),
        }
        self.aside_and_in(from, id)
    }

    /// The same where the file system cannot exchange (NFS). Cut off between the two renames, the
    /// old format is hidden, and put back by whoever comes next.
    fn aside_and_in(&self, from: &Path, id: &RecordId) -> Result<()> {
        let place = self.at(id);
        let old = self.in_hidden(id, "old", "move aside to", |old| {
            fs::rename(&place, old)?;
            Ok(old.to_owned())
        })?;
        fs::rename(from, &place).map_err(|error| fail("move into place", &place, error))?;
        sync_directory(&self.directory)?;
        remove(&old)?;
        self.tidy();
        Ok(())
    }

    /// Puts one file into a format: written and synced beside it, then renamed.
    pub(super) fn write_file(&self, id: &RecordId, name: &str, bytes: &[u8]) -> Result<()> {
        let place = self.at(id);
        let written = self.in_hidden(id, "new", "write", |new| {
            let mut file = File::create_new(new)?;
            let done = file
                .write_all(bytes)
                .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
                .and_then(|()| file.sync_all());
            if done.is_err() {
                let _ = fs::remove_file(new);
            }
            done.map(|()| new.to_owned())
        })?;
        fs::rename(&written, place.join(name)).map_err(|error| fail("write to", &place, error))?;
        self.tidy();
        sync_directory(&place)
    }

    /// Moves a format here from another shelf, where it is whole all the time.
    pub(super) fn take_over(&self, source: &Home, id: &RecordId) -> Result<()> {
        let from = source.at(id);
        match self.swap_in(&from, id) {
            Ok(()) => {}
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => {
                let copy = self.copy_in(&from, id)?;
                self.swap_in(&copy, id)?;
                remove(&copy)?;
                self.tidy();
            }
            Err(error) => return Err(error),
        }
        sync_directory(&self.directory)?;
        // What was copied; or what stood in the new place before, and has changed places with it.
        source.take_out(id)?;
        sync_directory(&source.directory)
    }

    /// A whole copy in the hidden directory, safe on disk.
    fn copy_in(&self, from: &Path, id: &RecordId) -> Result<PathBuf> {
        let copied = self.in_hidden(id, "new", "copy to", |copy| {
            let done = copy_tree(from, copy).and_then(|()| sync_file_system(copy));
            if done.is_err() {
                // A full disk is not made fuller.
                let _ = fs::remove_dir_all(copy);
            }
            done.map(|()| copy.to_owned())
        });
        if copied.is_err() {
            self.tidy();
        }
        copied
    }

    /// Removes a format: first from sight, then from the disk. Whether it was there.
    pub(super) fn take_out(&self, id: &RecordId) -> Result<bool> {
        if !self.has(id)? {
            return Ok(false);
        }
        let place = self.at(id);
        let gone = self.in_hidden(id, "gone", "move aside to", |gone| match fs::rename(&place, gone) {
            Ok(()) => Ok(Some(gone.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound && !place.exists() => Ok(None),
            Err(error) => Err(error),
        })?;
        let Some(gone) = gone else { return Ok(false) };
        sync_directory(&self.directory)?;
        remove(&gone)?;
        self.tidy();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exchange_the_new_format_is_in_place_and_the_old_one_gone() {
        let shelf = tempfile::TempDir::new().unwrap();
        let home = Home { directory: shelf.path().to_owned(), format: FormatName::parse("video").unwrap() };
        let id = RecordId::parse("r1").unwrap();
        for (directory, text) in [("r1", "old"), ("from", "new")] {
            fs::create_dir(shelf.path().join(directory)).unwrap();
            fs::write(shelf.path().join(directory).join("file"), text).unwrap();
        }
        home.aside_and_in(&shelf.path().join("from"), &id).unwrap();
        assert_eq!(fs::read_to_string(home.at(&id).join("file")).unwrap(), "new");
        assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 1);
    }
}
