//! Shelves that are directories: `{shelf}/{format}/{record_id}/…`.
//!
//! Each `{shelf}/{format}` has a work directory, `.sl-work`, which only `sl` may enter. Its entries are named
//! `{record_id}.{kind}.{unique}`:
//!
//! - `new`: a copy that is not complete yet
//! - `old`: a format that is being replaced
//! - `gone`: a format that is being deleted
//! - `move`: the note (an empty file) that the recording is moving to the other shelf
//!
//! The work directory is on the same file system as the recordings, so one atomic rename shows or hides a format.
//!
//! - `format_dir`: one format on one shelf; `fs_ops`: copy, delete and sync of directories

mod format_dir;
mod fs_ops;

use super::{MoveNotes, MoveOutcome, OpenedPath, Shelf, ShelfMove, StorageError, stored_file};
use crate::recordings::{FilePath, FormatName, RecordId};
use format_dir::FormatDir;
use fs_ops::{io_error, is_absent, sync_directory};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, StorageError>;

#[derive(Debug)]
pub(super) struct LocalStorage {
    published: PathBuf,
    unpublished: PathBuf,
}

impl LocalStorage {
    pub(super) fn new(published: PathBuf, unpublished: PathBuf) -> LocalStorage {
        LocalStorage { published, unpublished }
    }

    pub(super) fn put_format(
        &self,
        from: &Path,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<()> {
        let format_dir = self.create_format_dir(shelf, format)?;
        format_dir.recover(id)?;
        format_dir.replace(from, id)?;
        let other = self.format_dir(shelf.other(), format);
        other.recover(id)?;
        other.delete(id)?;
        Ok(())
    }

    pub(super) fn move_to_shelf(
        &self,
        id: &RecordId,
        current: Option<Shelf>,
        to: Shelf,
    ) -> Result<ShelfMove> {
        self.recover(id)?;
        let mut sources = Vec::new();
        for format_dir in self.format_dirs(to.other())? {
            if format_dir.contains(id)? {
                sources.push(format_dir);
            }
        }
        // A new note even if there are others: their owner may have just committed, and will delete them.
        let mut notes = self.move_notes(id)?;
        if let Some(source) = sources.first() {
            notes.push(source.write_move_note(id)?);
        }
        let moved = !sources.is_empty();
        for source in sources {
            let target = self.create_format_dir(to, &source.format)?;
            if current == Some(to) && target.contains(id)? {
                source.delete(id)?;
            } else {
                // Delete before moving. If the two were exchanged instead, a kill would leave it to chance which of
                // them counts.
                target.delete(id)?;
                target.move_from(&source, id)?;
            }
        }
        let outcome = if moved {
            MoveOutcome::Moved
        } else if self.format_dirs(to)?.iter().any(|format_dir| format_dir.contains(id).unwrap_or(false)) {
            MoveOutcome::AlreadyThere
        } else {
            MoveOutcome::Missing
        };
        Ok(ShelfMove { outcome, notes: MoveNotes::Local(notes) })
    }

    pub(super) fn finish_move(&self, notes: &[PathBuf]) -> Result<()> {
        notes.iter().try_for_each(|note| format_dir::delete_move_note(note))
    }

    fn move_notes(&self, id: &RecordId) -> Result<Vec<PathBuf>> {
        let mut notes = Vec::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for format_dir in self.format_dirs(shelf)? {
                notes.extend(format_dir.move_notes(id)?);
            }
        }
        Ok(notes)
    }

    pub(super) fn delete(&self, id: &RecordId) -> Result<usize> {
        self.recover(id)?;
        let mut deleted = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for format_dir in self.format_dirs(shelf)? {
                if format_dir.delete(id)? {
                    deleted.insert(format_dir.format);
                }
            }
        }
        self.finish_move(&self.move_notes(id)?)?;
        Ok(deleted.len())
    }

    pub(super) fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>> {
        let mut found = Vec::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for format_dir in self.format_dirs(shelf)? {
                if format_dir.contains(id)? {
                    found.push((format_dir.format, shelf));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    pub(super) fn read_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>> {
        let path = self.format_dir(shelf, format).path(id).join(name);
        let failed = |error| io_error("read", &path, error);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if is_absent(&error) || error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
            file => file.map_err(failed)?,
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(max_bytes).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    pub(super) fn write_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let format_dir = self.format_dir(shelf, format);
        format_dir.recover(id)?;
        format_dir.write_file(id, name, bytes)
    }

    pub(super) fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<OpenedPath>> {
        stored_file::open(&self.format_dir(shelf, format).directory, &format!("{id}/{}", path.as_str()))
    }

    pub(super) fn list(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) {
        let format_dirs = match self.format_dirs(shelf) {
            Ok(format_dirs) => format_dirs,
            Err(error) => return drop(to.blocking_send(Err(error))),
        };
        for format_dir in format_dirs {
            let entries = match fs::read_dir(&format_dir.directory) {
                Ok(entries) => entries,
                Err(error) => {
                    return drop(to.blocking_send(Err(io_error("read", &format_dir.directory, error))));
                }
            };
            for entry in entries {
                let item = match entry.and_then(|e| Ok((e.file_type()?.is_dir(), e.file_name()))) {
                    Ok((true, name)) => match name.to_str().and_then(RecordId::parse) {
                        Some(id) => Ok((id, format_dir.format.clone())),
                        None => continue,
                    },
                    Ok((false, _)) => continue,
                    Err(error) => Err(io_error("read", &format_dir.directory, error)),
                };
                // The reader has gone.
                if to.blocking_send(item).is_err() {
                    return;
                }
            }
        }
    }

    pub(super) fn recover(&self, id: &RecordId) -> Result<()> {
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for format_dir in self.format_dirs(shelf)? {
                format_dir.recover(id)?;
            }
        }
        Ok(())
    }

    pub(super) fn recover_unindexed(&self, id: &RecordId) -> Result<()> {
        self.recover(id)?;
        self.finish_move(&self.move_notes(id)?)
    }

    pub(super) fn leftovers(&self) -> Result<Vec<RecordId>> {
        let mut ids = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for format_dir in self.format_dirs(shelf)? {
                let names = format_dir.work_names()?;
                ids.extend(names.iter().filter_map(|n| RecordId::parse(n.split('.').next()?)));
            }
        }
        Ok(ids.into_iter().collect())
    }

    fn shelf(&self, shelf: Shelf) -> &Path {
        match shelf {
            Shelf::Published => &self.published,
            Shelf::Unpublished => &self.unpublished,
        }
    }

    fn format_dir(&self, shelf: Shelf, format: &FormatName) -> FormatDir {
        FormatDir { directory: self.shelf(shelf).join(format.as_str()), format: format.clone() }
    }

    /// [`LocalStorage::format_dir`], created if missing.
    fn create_format_dir(&self, shelf: Shelf, format: &FormatName) -> Result<FormatDir> {
        let format_dir = self.format_dir(shelf, format);
        match fs::DirBuilder::new().mode(0o755).create(&format_dir.directory) {
            Ok(()) => sync_directory(self.shelf(shelf))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StorageError::NoShelf(self.shelf(shelf).to_owned()));
            }
            Err(error) => return Err(io_error("create", &format_dir.directory, error)),
        }
        Ok(format_dir)
    }

    /// All formats of a shelf. A format may be a symbolic link to a directory elsewhere.
    fn format_dirs(&self, shelf: Shelf) -> Result<Vec<FormatDir>> {
        let directory = self.shelf(shelf);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            // A pool that never unpublishes needs no such directory. A missing mount shows up when a format is put
            // there.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", directory, error)),
        };
        let mut format_dirs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error("read", directory, error))?;
            let path = entry.path();
            if let Some(format) = entry.file_name().to_str().and_then(FormatName::parse)
                && path.is_dir()
            {
                format_dirs.push(FormatDir { directory: path, format });
            }
        }
        Ok(format_dirs)
    }
}
