//! `{shelf}/{format}`: the recordings of one format on one shelf, and its work directory.

use super::super::StorageError;
use super::Result;
use super::fs_ops::{
    copy_tree, delete_tree, io_error, is_absent, is_occupied, sync_directory, sync_file_system,
};
use crate::recordings::{FormatName, RecordId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

const WORK_DIR: &str = ".sl-work";

/// `{shelf}/{format}`
pub(super) struct FormatDir {
    pub(super) directory: PathBuf,
    pub(super) format: FormatName,
}

/// Deletes the note of a move. A missing one is fine: a later call has recovered the recording.
pub(super) fn delete_move_note(note: &Path) -> Result<()> {
    match fs::remove_file(note) {
        Err(error) if !is_absent(&error) => return Err(io_error("delete", note, error)),
        _ => {}
    }
    if let Some(work_dir) = note.parent() {
        let _ = fs::remove_dir(work_dir);
    }
    Ok(())
}

/// A new name in the work directory.
fn unique_name(id: &RecordId, kind: &str) -> String {
    format!("{id}.{kind}.{}", uuid::Uuid::new_v4().simple())
}

impl FormatDir {
    pub(super) fn path(&self, id: &RecordId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    pub(super) fn contains(&self, id: &RecordId) -> Result<bool> {
        let path = self.path(id);
        match fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io_error("inspect", &path, error)),
        }
    }

    /// The names in the work directory: operations in progress or interrupted.
    pub(super) fn work_names(&self) -> Result<Vec<String>> {
        let work_dir = self.directory.join(WORK_DIR);
        match fs::read_dir(&work_dir) {
            Ok(entries) => Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(io_error("read", &work_dir, error)),
        }
    }

    /// Runs `work` on a new path in the work directory, which exists by then. Retries if a process that works on
    /// another recording has just deleted the directory as empty.
    fn with_work_path<T>(
        &self,
        id: &RecordId,
        kind: &str,
        what: &'static str,
        mut work: impl FnMut(&Path) -> io::Result<T>,
    ) -> Result<T> {
        let work_dir = self.directory.join(WORK_DIR);
        let path = work_dir.join(unique_name(id, kind));
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&work_dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(io_error("create", &work_dir, error));
                }
                _ => {}
            }
            match work(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && !work_dir.exists() => {}
                done => return done.map_err(|error| io_error(what, &path, error)),
            }
        }
    }

    fn remove_work_dir_if_empty(&self) {
        let _ = fs::remove_dir(self.directory.join(WORK_DIR));
    }

    /// Writes and syncs the note that a recording is moving to the other shelf.
    pub(super) fn write_move_note(&self, id: &RecordId) -> Result<PathBuf> {
        let note = self.with_work_path(id, "move", "create", |note| {
            File::create_new(note)?.sync_all()?;
            Ok(note.to_owned())
        })?;
        sync_directory(&self.directory.join(WORK_DIR))?;
        sync_directory(&self.directory)?;
        Ok(note)
    }

    /// The notes of [`FormatDir::write_move_note`].
    pub(super) fn move_notes(&self, id: &RecordId) -> Result<Vec<PathBuf>> {
        let prefix = format!("{id}.move.");
        let names = self.work_names()?.into_iter().filter(|name| name.starts_with(&prefix));
        Ok(names.map(|name| self.directory.join(WORK_DIR).join(name)).collect())
    }

    /// See [`Storage::recover`](super::super::Storage::recover).
    pub(super) fn recover(&self, id: &RecordId) -> Result<()> {
        let prefix = format!("{id}.");
        let mut any = false;
        for name in self.work_names()? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            // Only Storage::finish_move deletes it, once the index agrees.
            if rest.starts_with("move.") {
                continue;
            }
            any = true;
            let path = self.directory.join(WORK_DIR).join(&name);
            if rest.starts_with("old.") && !self.contains(id)? {
                // Its replacement never got into place, so the old version is the valid one.
                match renameat_with(CWD, &path, CWD, self.path(id), RenameFlags::empty()) {
                    Ok(()) => sync_directory(&self.directory)?,
                    Err(error) => return Err(io_error("put back", &path, error.into())),
                }
            } else {
                // Rename before deleting: a process that has lost its lock may still be writing it, and must not
                // move a partly deleted copy into place.
                let gone = self.directory.join(WORK_DIR).join(unique_name(id, "gone"));
                match fs::rename(&path, &gone) {
                    Ok(()) => delete_tree(&gone)?,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(io_error("set aside", &path, error)),
                }
            }
        }
        if any {
            self.remove_work_dir_if_empty();
        }
        Ok(())
    }

    /// Moves `from` into place and deletes what was there. `from` is gone afterwards.
    pub(super) fn replace(&self, from: &Path, id: &RecordId) -> Result<()> {
        match self.install(from, id) {
            Ok(()) => {}
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => {
                let copy = self.copy_to_work_dir(from, id)?;
                self.install(&copy, id)?;
                delete_tree(&copy)?;
                self.remove_work_dir_if_empty();
            }
            Err(error) => return Err(error),
        }
        delete_tree(from)
    }

    /// Renames `from` into place. What was there is at `from` afterwards, or gone.
    fn install(&self, from: &Path, id: &RecordId) -> Result<()> {
        let place = self.path(id);
        let failed = |error| io_error("move into place", &place, error);
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
        self.replace_without_exchange(from, id)
    }

    /// [`FormatDir::install`] on a file system that cannot exchange two names (NFS). If interrupted between the two
    /// renames, the old format is hidden, and [`FormatDir::recover`] puts it back.
    fn replace_without_exchange(&self, from: &Path, id: &RecordId) -> Result<()> {
        let place = self.path(id);
        let old = self.with_work_path(id, "old", "move aside to", |old| {
            fs::rename(&place, old)?;
            Ok(old.to_owned())
        })?;
        fs::rename(from, &place).map_err(|error| io_error("move into place", &place, error))?;
        sync_directory(&self.directory)?;
        delete_tree(&old)?;
        self.remove_work_dir_if_empty();
        Ok(())
    }

    /// Writes one file of a format: written and synced in the work directory, then renamed into place.
    pub(super) fn write_file(&self, id: &RecordId, name: &str, bytes: &[u8]) -> Result<()> {
        let place = self.path(id);
        let written = self.with_work_path(id, "new", "write", |new| {
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
        fs::rename(&written, place.join(name)).map_err(|error| io_error("write to", &place, error))?;
        self.remove_work_dir_if_empty();
        sync_directory(&place)
    }

    /// Moves a format here from the other shelf. It is complete on one of the two shelves at any time.
    pub(super) fn move_from(&self, source: &FormatDir, id: &RecordId) -> Result<()> {
        let from = source.path(id);
        match self.install(&from, id) {
            Ok(()) => {}
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => {
                let copy = self.copy_to_work_dir(&from, id)?;
                self.install(&copy, id)?;
                delete_tree(&copy)?;
                self.remove_work_dir_if_empty();
            }
            Err(error) => return Err(error),
        }
        sync_directory(&self.directory)?;
        // The original of a copy; or what was here before, which has been exchanged with it.
        source.delete(id)?;
        sync_directory(&source.directory)
    }

    /// Makes a complete, synced copy in the work directory.
    fn copy_to_work_dir(&self, from: &Path, id: &RecordId) -> Result<PathBuf> {
        let copied = self.with_work_path(id, "new", "copy to", |copy| {
            let done = copy_tree(from, copy).and_then(|()| sync_file_system(copy));
            if done.is_err() {
                // Do not leave a full disk fuller than before.
                let _ = fs::remove_dir_all(copy);
            }
            done.map(|()| copy.to_owned())
        });
        if copied.is_err() {
            self.remove_work_dir_if_empty();
        }
        copied
    }

    /// Deletes a format: hides it with a rename, then deletes it from the disk. False if it was not there.
    pub(super) fn delete(&self, id: &RecordId) -> Result<bool> {
        if !self.contains(id)? {
            return Ok(false);
        }
        let place = self.path(id);
        let gone =
            self.with_work_path(id, "gone", "move aside to", |gone| match fs::rename(&place, gone) {
                Ok(()) => Ok(Some(gone.to_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound && !place.exists() => Ok(None),
                Err(error) => Err(error),
            })?;
        let Some(gone) = gone else { return Ok(false) };
        sync_directory(&self.directory)?;
        delete_tree(&gone)?;
        self.remove_work_dir_if_empty();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exchange_the_new_format_is_in_place_and_the_old_one_gone() {
        let shelf = tempfile::TempDir::new().unwrap();
        let format_dir =
            FormatDir { directory: shelf.path().to_owned(), format: FormatName::parse("video").unwrap() };
        let id = RecordId::parse("r1").unwrap();
        for (directory, text) in [("r1", "old"), ("from", "new")] {
            fs::create_dir(shelf.path().join(directory)).unwrap();
            fs::write(shelf.path().join(directory).join("file"), text).unwrap();
        }
        format_dir.replace_without_exchange(&shelf.path().join("from"), &id).unwrap();
        assert_eq!(fs::read_to_string(format_dir.path(&id).join("file")).unwrap(), "new");
        assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 1);
    }
}
