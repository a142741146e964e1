//! Shelves that are directories: `{shelf}/{format}/{record_id}/…`.
//!
//! Beside the recordings of a format lies `.sl-work`, closed to others, with what is on its way in
//! or out: `{record_id}.{kind}.{unique}`. `new` is a copy that is not whole yet, `old` a format
//! that makes place for its successor, `gone` one that is being deleted. Being in the same
//! directory, they are on the same file system, and a rename is all that makes them seen or unseen.
//! `move`, an empty file, says that the recording is changing its shelf.
//!
//! - `format_dir`: one format on one shelf; `fs_ops`: directories, as the system has them

mod format_dir;
mod fs_ops;

use super::{Found, Marks, Shelf, Shift, Shifted, StorageError, stored_file};
use crate::recordings::{FilePath, FormatName, RecordId};
use format_dir::Home;
use fs_ops::{fail, is_absent, sync_directory};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, StorageError>;

#[derive(Debug)]
pub(super) struct Local {
    published: PathBuf,
    unpublished: PathBuf,
}

impl Local {
    pub(super) fn new(published: PathBuf, unpublished: PathBuf) -> Local {
        Local { published, unpublished }
    }

    pub(super) fn place(&self, from: &Path, id: &RecordId, format: &FormatName, shelf: Shelf) -> Result<()> {
        let home = self.make_home(shelf, format)?;
        home.settle(id)?;
        home.replace(from, id)?;
        let other = self.home(shelf.other(), format);
        other.settle(id)?;
        other.take_out(id)?;
        Ok(())
    }

    pub(super) fn shift(&self, id: &RecordId, now: Option<Shelf>, to: Shelf) -> Result<Shift> {
        self.settle(id)?;
        let mut sources = Vec::new();
        for home in self.homes(to.other())? {
            if home.has(id)? {
                sources.push(home);
            }
        }
        // One of our own: those that are there may be taken away by whoever has just committed.
        let mut marks = self.marks(id)?;
        if let Some(source) = sources.first() {
            marks.push(source.mark(id)?);
        }
        let moved = !sources.is_empty();
        for source in sources {
            let target = self.make_home(to, &source.format)?;
            if now == Some(to) && target.has(id)? {
                source.take_out(id)?;
            } else {
                // Gone before the other one comes: changing places, a kill would leave it to chance which of
                // the two is taken for the right one.
                target.take_out(id)?;
                target.take_over(&source, id)?;
            }
        }
        let shifted = if moved {
            Shifted::Moved
        } else if self.homes(to)?.iter().any(|home| home.has(id).unwrap_or(false)) {
            Shifted::AlreadyThere
        } else {
            Shifted::Missing
        };
        Ok(Shift { shifted, marks: Marks::Local(marks) })
    }

    pub(super) fn finish(&self, marks: &[PathBuf]) -> Result<()> {
        marks.iter().try_for_each(|mark| format_dir::unmark(mark))
    }

    fn marks(&self, id: &RecordId) -> Result<Vec<PathBuf>> {
        let mut marks = Vec::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for home in self.homes(shelf)? {
                marks.extend(home.marks(id)?);
            }
        }
        Ok(marks)
    }

    pub(super) fn remove(&self, id: &RecordId) -> Result<usize> {
        self.settle(id)?;
        let mut removed = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for home in self.homes(shelf)? {
                if home.take_out(id)? {
                    removed.insert(home.format);
                }
            }
        }
        self.finish(&self.marks(id)?)?;
        Ok(removed.len())
    }

    pub(super) fn remove_format(&self, id: &RecordId, format: &FormatName, shelf: Shelf) -> Result<bool> {
        let home = self.home(shelf, format);
        home.settle(id)?;
        home.take_out(id)
    }

    pub(super) fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>> {
        let mut found = Vec::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for home in self.homes(shelf)? {
                if home.has(id)? {
                    found.push((home.format, shelf));
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
        most: u64,
    ) -> Result<Option<Vec<u8>>> {
        let path = self.home(shelf, format).at(id).join(name);
        let failed = |error| fail("read", &path, error);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if is_absent(&error) || error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
            file => file.map_err(failed)?,
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
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
        let home = self.home(shelf, format);
        home.settle(id)?;
        home.write_file(id, name, bytes)
    }

    pub(super) fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<Found>> {
        stored_file::open(&self.home(shelf, format).directory, &format!("{id}/{}", path.as_str()))
    }

    pub(super) fn list(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) {
        let homes = match self.homes(shelf) {
            Ok(homes) => homes,
            Err(error) => return drop(to.blocking_send(Err(error))),
        };
        for home in homes {
            let entries = match fs::read_dir(&home.directory) {
                Ok(entries) => entries,
                Err(error) => return drop(to.blocking_send(Err(fail("read", &home.directory, error)))),
            };
            for entry in entries {
                let item = match entry.and_then(|e| Ok((e.file_type()?.is_dir(), e.file_name()))) {
                    Ok((true, name)) => match name.to_str().and_then(RecordId::parse) {
                        Some(id) => Ok((id, home.format.clone())),
                        None => continue,
                    },
                    Ok((false, _)) => continue,
                    Err(error) => Err(fail("read", &home.directory, error)),
                };
                // Nobody reads on.
                if to.blocking_send(item).is_err() {
                    return;
                }
            }
        }
    }

    pub(super) fn settle(&self, id: &RecordId) -> Result<()> {
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for home in self.homes(shelf)? {
                home.settle(id)?;
            }
        }
        Ok(())
    }

    pub(super) fn clear(&self, id: &RecordId) -> Result<()> {
        self.settle(id)?;
        self.finish(&self.marks(id)?)
    }

    pub(super) fn leftovers(&self) -> Result<Vec<RecordId>> {
        let mut ids = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for home in self.homes(shelf)? {
                let names = home.hidden()?;
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

    fn home(&self, shelf: Shelf, format: &FormatName) -> Home {
        Home { directory: self.shelf(shelf).join(format.as_str()), format: format.clone() }
    }

    /// The same, and it exists.
    fn make_home(&self, shelf: Shelf, format: &FormatName) -> Result<Home> {
        let home = self.home(shelf, format);
        match fs::DirBuilder::new().mode(0o755).create(&home.directory) {
            Ok(()) => sync_directory(self.shelf(shelf))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StorageError::NoShelf(self.shelf(shelf).to_owned()));
            }
            Err(error) => return Err(fail("create", &home.directory, error)),
        }
        Ok(home)
    }

    /// All formats of a shelf. A format may be a link to a directory elsewhere.
    fn homes(&self, shelf: Shelf) -> Result<Vec<Home>> {
        let directory = self.shelf(shelf);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            // Publishing nothing, one needs no shelf for what is unpublished. A mount that is gone
            // shows where a format is put there.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail("read", directory, error)),
        };
        let mut homes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| fail("read", directory, error))?;
            let path = entry.path();
            if let Some(format) = entry.file_name().to_str().and_then(FormatName::parse)
                && path.is_dir()
            {
                homes.push(Home { directory: path, format });
            }
        }
        Ok(homes)
    }
}
