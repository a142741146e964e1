//! The files of an archive on disk. Each path consists of names that were checked one by one, below a
//! directory of our own in which nothing is a link; what exists already is known from memory and not from the
//! disk.

use super::meter::ReadMeter;
use super::{ArchiveContents, BadArchive, UnpackError, UnpackedFormat};
use crate::recordings::{FormatName, RecordId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tar::{Entry, EntryType};

const MAX_PATH_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 255;
/// Nested directories. A presentation has five.
const MAX_DEPTH: usize = 32;
/// A link may lead to a link, and so on, this many times.
const MAX_LINK_HOPS: usize = 16;
/// Lines of each kind that are reported.
const MAX_NOTES: usize = 20;
/// Names come from the archive and go to a log: escaped, and cut to these.
const MAX_SHOWN_PATH_CHARS: usize = 200;
const MAX_SHOWN_NAME_CHARS: usize = 150;
const BUFFER_BYTES: usize = 256 * 1024;
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Directory,
    File,
    Link,
}

/// A member's path: its checked names, joined by `/`.
type MemberPath = Vec<u8>;

pub(super) struct UnpackedTree<'a> {
    into: &'a Path,
    meter: &'a ReadMeter<'a>,
    entries: HashMap<MemberPath, EntryKind>,
    /// Where each link leads. Copied once all files are there.
    links: BTreeMap<MemberPath, MemberPath>,
    formats: BTreeSet<(RecordId, FormatName)>,
    rejected: BTreeSet<String>,
    ignored: BTreeSet<String>,
    bytes: u64,
    files: u64,
    buffer: Vec<u8>,
}

fn unsafe_member(path: &[u8], why: &'static str) -> UnpackError {
    let shown: String = String::from_utf8_lossy(path).escape_debug().take(MAX_SHOWN_PATH_CHARS).collect();
    BadArchive::Member(shown, why).into()
}

/// The names of a member's path; None if it is the root.
fn checked_names(path: &[u8]) -> Result<Option<Vec<&[u8]>>, UnpackError> {
    let bad = |why| Err(unsafe_member(path, why));
    if path.starts_with(b"/") {
        return bad("its path is absolute");
    }
    if path.len() > MAX_PATH_BYTES {
        return bad("its path is too long");
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return bad("its path has `..`"),
            name if name.len() > MAX_NAME_BYTES => return bad("its name is too long"),
            name if name.contains(&0) => return bad("its name has a zero byte"),
            name => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return bad("its path is too deep");
    }
    Ok((!names.is_empty()).then_some(names))
}

impl<'a> UnpackedTree<'a> {
    pub(super) fn new(into: &'a Path, meter: &'a ReadMeter<'a>) -> UnpackedTree<'a> {
        UnpackedTree {
            into,
            meter,
            entries: HashMap::new(),
            links: BTreeMap::new(),
            formats: BTreeSet::new(),
            rejected: BTreeSet::new(),
            ignored: BTreeSet::new(),
            bytes: 0,
            files: 0,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Files, links and directories.
    pub(super) fn entry_count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Unpacks one member, read to its end.
    pub(super) fn unpack_member(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let path = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        // Attributes of the whole archive.
        if matches!(kind, EntryType::XGlobalHeader) {
            return self.skip(entry);
        }
        let names = checked_names(&path)?;
        // In old tars only the name says that a member is a directory.
        let is_directory = kind.is_dir() || (kind.is_file() && path.ends_with(b"/"));
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if !is_directory && !is_link && !is_file(kind) {
            return Err(unsafe_member(&path, "it is neither file, directory nor link"));
        }
        if has_pax_holes(entry, &path)? {
            return Err(unsafe_member(&path, "it has holes in an unsupported format"));
        }
        let Some(names) = names else {
            return if is_directory { self.skip(entry) } else { Err(unsafe_member(&path, "it has no name")) };
        };
        if !self.is_in_recording(&names, is_directory, is_link) {
            return self.skip(entry);
        }
        let name = names.join(&b'/');
        if is_directory {
            self.create_directory(&names)?;
            return self.skip(entry);
        }
        self.create_directory(&names[..names.len() - 1])?;
        match self.entries.get(&name) {
            Some(EntryKind::Directory) => return Err(unsafe_member(&path, "it is a directory as well")),
            // The later of two members wins, as for tar.
            Some(EntryKind::Link) => drop(self.links.remove(&name)),
            Some(EntryKind::File) => {
                let old = self.disk_path(&name);
                fs::remove_file(&old).map_err(|error| io_error("remove", &old, error))?;
            }
            None => {}
        }
        if is_link {
            let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
            let target = match kind {
                EntryType::Symlink => symlink_target(&names, &target)?,
                _ => hard_link_target(&target)?,
            };
            self.links.insert(name.clone(), target);
            self.entries.insert(name, EntryKind::Link);
            self.skip(entry)
        } else {
            self.write_file(entry, &name)?;
            self.entries.insert(name, EntryKind::File);
            Ok(())
        }
    }

    /// Copies the file that each link leads to. To be called after the last member.
    pub(super) fn copy_links(&mut self) -> Result<(), UnpackError> {
        for (link, first) in &self.links {
            let mut target = first;
            for _ in 0..MAX_LINK_HOPS {
                let Some(next) = self.links.get(target) else { break };
                target = next;
            }
            if self.entries.get(target) != Some(&EntryKind::File) {
                return Err(unsafe_member(
                    link,
                    "it is a link to something that is not a file of the archive",
                ));
            }
            let (from, to) = (self.disk_path(target), self.disk_path(link));
            let size = fs::symlink_metadata(&from).map_err(|error| io_error("read", &from, error))?.len();
            self.meter.count_file_bytes(size)?;
            // Both paths are ours, below a directory without links.
            fs::copy(&from, &to).map_err(|error| io_error("write", &to, error))?;
            self.bytes += size;
            self.files += 1;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> ArchiveContents {
        let formats = self.formats.into_iter().map(|(record_id, format)| {
            let path = self.into.join(format.as_str()).join(record_id.as_str());
            UnpackedFormat { record_id, format, path }
        });
        ArchiveContents {
            formats: formats.collect(),
            rejected: self.rejected.into_iter().collect(),
            ignored: self.ignored.into_iter().collect(),
            bytes: self.bytes,
            files: self.files,
        }
    }

    /// Whether a member is part of a format of a recording. Any other is noted, unless it is a directory above
    /// the recordings.
    fn is_in_recording(&mut self, names: &[&[u8]], is_directory: bool, is_link: bool) -> bool {
        let text = |name: &[u8]| {
            String::from_utf8_lossy(name).escape_debug().take(MAX_SHOWN_NAME_CHARS).collect::<String>()
        };
        let as_text = |name| std::str::from_utf8(name).ok();
        let (to, note) = match names {
            [format, record, rest @ ..] if is_directory || is_link || !rest.is_empty() => {
                let known_format = as_text(format).and_then(FormatName::parse);
                let known_record = as_text(record).and_then(RecordId::parse);
                let note = match (known_format, known_record) {
                    (Some(_), Some(_)) if rest.is_empty() && is_link => "a link in place of a recording",
                    (Some(format), Some(record)) => {
                        self.formats.insert((record, format));
                        return true;
                    }
                    (None, _) => "not a format name",
                    (_, None) => "not a record id",
                };
                (&mut self.rejected, format!("{}/{}: {note}", text(format), text(record)))
            }
            [_] if is_directory => return false,
            _ => (&mut self.ignored, format!("{}: not part of a recording", text(&names.join(&b'/')))),
        };
        if to.len() < MAX_NOTES {
            to.insert(note);
        }
        false
    }

    fn disk_path(&self, name: &[u8]) -> PathBuf {
        self.into.join(OsStr::from_bytes(name))
    }

    fn create_directory(&mut self, names: &[&[u8]]) -> Result<(), UnpackError> {
        let path = names.join(&b'/');
        if self.entries.get(&path) == Some(&EntryKind::Directory) {
            return Ok(());
        }
        for length in 1..=names.len() {
            let name = names[..length].join(&b'/');
            match self.entries.get(&name) {
                Some(EntryKind::Directory) => continue,
                Some(EntryKind::Link) => return Err(unsafe_member(&path, "its path passes through a link")),
                Some(EntryKind::File) => return Err(unsafe_member(&path, "its path passes through a file")),
                None => {}
            }
            let disk_path = self.disk_path(&name);
            DirBuilder::new()
                .mode(DIRECTORY_MODE)
                .create(&disk_path)
                .and_then(|()| fs::set_permissions(&disk_path, Permissions::from_mode(DIRECTORY_MODE)))
                .map_err(|error| io_error("create", &disk_path, error))?;
            self.entries.insert(name, EntryKind::Directory);
        }
        Ok(())
    }

    fn write_file(&mut self, entry: &mut Entry<'_, impl Read>, name: &[u8]) -> Result<(), UnpackError> {
        let path = self.disk_path(name);
        let failed = |error| io_error("write", &path, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        let size = entry.size();
        let written = self.copy(entry, Some((&mut file, &path)))?;
        // The tar crate mistakes the end of the archive for the end of the member.
        if written != size {
            return Err(self.meter.truncated());
        }
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        // Browsers compare it for their cache: it must be the same on every import of the archive.
        if let Some(modified) = modified_time(entry) {
            file.set_modified(modified).map_err(failed)?;
        }
        self.bytes += written;
        self.files += 1;
        Ok(())
    }

    fn skip(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), UnpackError> {
        self.copy(entry, None).map(drop)
    }

    fn copy(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        mut to: Option<(&mut File, &Path)>,
    ) -> Result<u64, UnpackError> {
        let mut written = 0;
        loop {
            let n = match entry.read(&mut self.buffer) {
                Ok(0) => return Ok(written),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.meter.explain(&error)),
            };
            self.meter.count_file_bytes(n as u64)?;
            if let Some((file, path)) = &mut to {
                file.write_all(&self.buffer[..n]).map_err(|error| io_error("write", path, error))?;
            }
            written += n as u64;
        }
    }
}

fn is_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse)
}

/// GNU tar's newer formats of sparse files: the tar crate would unpack the map of the holes as content.
fn has_pax_holes(entry: &mut Entry<'_, impl Read>, path: &[u8]) -> Result<bool, UnpackError> {
    let unreadable = |_| unsafe_member(path, "its header cannot be read");
    let Some(extensions) = entry.pax_extensions().map_err(unreadable)? else { return Ok(false) };
    for extension in extensions {
        if extension.map_err(unreadable)?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a symbolic link leads. It must be relative, with `..` at the beginning only (further on its meaning
/// would depend on other links), and stay within its format of its recording.
fn symlink_target(link: &[&[u8]], target: &[u8]) -> Result<MemberPath, UnpackError> {
    let bad = |why| Err(unsafe_member(&link.join(&b'/'), why));
    let mut names: Vec<&[u8]> = link[..link.len() - 1].to_vec();
    let mut has_name = false;
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return bad("it is a link to an absolute path, or to nothing");
    }
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if has_name => return bad("it is a link with `..` after a name"),
            // Format and record id cannot be left.
            b".." if names.len() <= 2 => return bad("it is a link out of its format"),
            b".." => drop(names.pop()),
            name => {
                has_name = true;
                names.push(name);
            }
        }
    }
    Ok(names.join(&b'/'))
}

/// Where a hard link leads: the path of another member.
fn hard_link_target(target: &[u8]) -> Result<MemberPath, UnpackError> {
    match checked_names(target)? {
        Some(names) => Ok(names.join(&b'/')),
        None => Err(unsafe_member(target, "it is a link to nothing")),
    }
}

/// When the file was last modified; None if it is not set or in the future.
fn modified_time(entry: &Entry<'_, impl Read>) -> Option<SystemTime> {
    let seconds = entry.header().mtime().ok().filter(|seconds| *seconds > 0)?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (time <= SystemTime::now()).then_some(time)
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Io { what, path: path.to_owned(), source }
}
