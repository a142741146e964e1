//! Shelves that are directories: `{shelf}/{format}/{record_id}/…`.
//!
//! Beside the recordings of a format lies `.sl-work`, closed to others, with what is on its way in
//! or out: `{record_id}.{kind}.{unique}`. `new` is a copy that is not whole yet, `old` a format
//! that makes place for its successor, `gone` one that is being deleted. Being in the same
//! directory, they are on the same file system, and a rename is all that makes them seen or unseen.

use super::{Found, Shelf, Shifted, StorageError, read};
use crate::recordings::{FilePath, FormatName, RecordId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

const HIDDEN: &str = ".sl-work";

type Result<T> = std::result::Result<T, StorageError>;

#[derive(Debug)]
pub(super) struct Local {
    published: PathBuf,
    unpublished: PathBuf,
}

/// `{shelf}/{format}`.
struct Home {
    directory: PathBuf,
    format: FormatName,
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

    pub(super) fn shift(&self, id: &RecordId, to: Shelf) -> Result<Shifted> {
        self.settle(id)?;
        let mut moved = false;
        for source in self.homes(to.other())? {
            if source.has(id)? {
                self.make_home(to, &source.format)?.take_over(&source, id)?;
                moved = true;
            }
        }
        if moved {
            return Ok(Shifted::Moved);
        }
        for home in self.homes(to)? {
            if home.has(id)? {
                return Ok(Shifted::AlreadyThere);
            }
        }
        Ok(Shifted::Missing)
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

    pub(super) fn metadata(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        most: u64,
    ) -> Result<Option<Vec<u8>>> {
        let path = self.home(shelf, format).at(id).join("metadata.xml");
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

    pub(super) fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<Found>> {
        read::open(&self.home(shelf, format).directory, &format!("{id}/{}", path.as_str()))
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

/// A name in the hidden directory that nobody has.
fn unique(id: &RecordId, kind: &str) -> String {
    format!("{id}.{kind}.{}", uuid::Uuid::new_v4().simple())
}

impl Home {
    fn at(&self, id: &RecordId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    fn has(&self, id: &RecordId) -> Result<bool> {
        let path = self.at(id);
        match fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(fail("look at", &path, error)),
        }
    }

    /// The names in the hidden directory. It holds no more than what is under way.
    fn hidden(&self) -> Result<Vec<String>> {
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

    fn settle(&self, id: &RecordId) -> Result<()> {
        let prefix = format!("{id}.");
        let mut any = false;
        for name in self.hidden()? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
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
    fn replace(&self, from: &Path, id: &RecordId) -> Result<()> {
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

    /// Moves a format here from another shelf, where it is whole all the time.
    fn take_over(&self, source: &Home, id: &RecordId) -> Result<()> {
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
    fn take_out(&self, id: &RecordId) -> Result<bool> {
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

fn fail(what: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io { what, path: path.to_owned(), source }
}

/// Not there, or a file where a directory would lead to it.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A rename found something in its place.
fn is_occupied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory)
}

/// Removes a directory and all in it, following no links. Nothing there is fine.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            fs::remove_file(path).map_err(|error| fail("remove", path, error))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fail("remove", path, error)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory safe.
fn sync_directory(path: &Path) -> Result<()> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // Some network file systems cannot, since they have nothing to sync.
        Err(error) if error.kind() != ErrorKind::InvalidInput => Err(fail("sync", path, error)),
        _ => Ok(()),
    }
}

/// Makes everything on the file system of `path` safe. For a tree of many small files this is many
/// times faster than a sync of each.
fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

/// Copies a directory with its modes and times. Links are copied as links, never followed; what is
/// neither file, directory nor link has no place in a recording and is left out.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut todo = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = todo.pop() {
        fs::create_dir(&to)?;
        fs::set_permissions(&to, fs::symlink_metadata(&from)?.permissions())?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                todo.push((entry.path(), copy));
            } else if kind.is_file() {
                copy_file(&entry.path(), &copy)?;
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, copy)?;
            }
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(from)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).open(to)?;
    io::copy(&mut source, &mut copy)?;
    let about = source.metadata()?;
    copy.set_permissions(about.permissions())?;
    if let Ok(modified) = about.modified() {
        copy.set_modified(modified)?;
    }
    Ok(())
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
