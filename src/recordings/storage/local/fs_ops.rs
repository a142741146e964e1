//! File system operations: copy, delete and sync of directories.

use super::super::StorageError;
use super::Result;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(super) fn io_error(what: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io { what, path: path.to_owned(), source }
}

/// The path does not exist, or leads through a file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A rename failed because its target exists.
pub(super) fn is_occupied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory)
}

/// Deletes a directory with its content, following no links. A missing one is fine.
pub(super) fn delete_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            fs::remove_file(path).map_err(|error| io_error("delete", path, error))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("delete", path, error)),
        _ => Ok(()),
    }
}

/// Syncs the names in a directory to disk.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // Some network file systems refuse: they have nothing to sync.
        Err(error) if error.kind() != ErrorKind::InvalidInput => Err(io_error("sync", path, error)),
        _ => Ok(()),
    }
}

/// Syncs the whole file system of `path` to disk. For a tree of many small files this is many times faster than
/// syncing each.
pub(super) fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

/// Copies a directory with its modes and times. Links are copied as links, never followed. Other kinds of entries
/// (devices, pipes, sockets) do not belong in a recording and are skipped.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let root = from;
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
    // If another process has renamed the source meanwhile to delete it, the copy may be incomplete.
    fs::symlink_metadata(root)?;
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
