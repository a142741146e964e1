//! The files of an archive on disk. Each path is made of names that were looked at one by one, below
//! a directory of our own in which nothing is a link; what is there already is remembered here and
//! not asked of the disk.

use super::source::Source;
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

const LONGEST_PATH: usize = 1024;
const LONGEST_NAME: usize = 255;
/// Directories within each other. A presentation has five.
const DEEPEST: usize = 32;
/// A link may lead to a link, and so on, so often.
const MOST_HOPS: usize = 16;
const MOST_NOTES: usize = 20;
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// A member's path: its names, joined by `/`.
type Name = Vec<u8>;

pub(super) struct Tree<'a> {
    into: &'a Path,
    source: &'a Source<'a>,
    present: HashMap<Name, Kind>,
    /// Where each link leads. Copied when all is there.
    links: BTreeMap<Name, Name>,
    formats: BTreeSet<(RecordId, FormatName)>,
    refused: BTreeSet<String>,
    ignored: BTreeSet<String>,
    bytes: u64,
    files: u64,
    buffer: Vec<u8>,
}

fn unsafe_member(path: &[u8], why: &'static str) -> UnpackError {
    let shown: String = String::from_utf8_lossy(path).escape_debug().take(200).collect();
    BadArchive::Member(shown, why).into()
}

/// The names of a member's path; None if it is the root.
fn names(path: &[u8]) -> Result<Option<Vec<&[u8]>>, UnpackError> {
    let refuse = |why| Err(unsafe_member(path, why));
    if path.starts_with(b"/") {
        return refuse("its path is absolute");
    }
    if path.len() > LONGEST_PATH {
        return refuse("its path is too long");
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return refuse("its path has `..`"),
            name if name.len() > LONGEST_NAME => return refuse("its name is too long"),
            name if name.contains(&0) => return refuse("its name has a zero byte"),
            name => names.push(name),
        }
    }
    if names.len() > DEEPEST {
        return refuse("its path is too deep");
    }
    Ok((!names.is_empty()).then_some(names))
}

impl<'a> Tree<'a> {
    pub(super) fn new(into: &'a Path, source: &'a Source<'a>) -> Tree<'a> {
        Tree {
            into,
            source,
            present: HashMap::new(),
            links: BTreeMap::new(),
            formats: BTreeSet::new(),
            refused: BTreeSet::new(),
            ignored: BTreeSet::new(),
            bytes: 0,
            files: 0,
            buffer: vec![0; 256 * 1024],
        }
    }

    /// How many files, links and directories there are.
    pub(super) fn size(&self) -> u64 {
        self.present.len() as u64
    }

    /// Takes one member and reads it to its end.
    pub(super) fn take(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let path = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        // A comment on the whole archive.
        if matches!(kind, EntryType::XGlobalHeader) {
            return self.skip(entry);
        }
        let names = names(&path)?;
        // Old tars say that something is a directory by its name only.
        let is_directory = kind.is_dir() || (kind.is_file() && path.ends_with(b"/"));
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if !is_directory && !is_link && !is_plain(kind) {
            return Err(unsafe_member(&path, "it is neither file, directory nor link"));
        }
        if has_pax_holes(entry, &path)? {
            return Err(unsafe_member(&path, "it has holes, in a form that is not understood"));
        }
        let Some(names) = names else {
            return if is_directory { self.skip(entry) } else { Err(unsafe_member(&path, "it has no name")) };
        };
        if !self.belongs(&names, is_directory, is_link) {
            return self.skip(entry);
        }
        let name = names.join(&b'/');
        if is_directory {
            self.make_directory(&names)?;
            return self.skip(entry);
        }
        self.make_directory(&names[..names.len() - 1])?;
        match self.present.get(&name) {
            Some(Kind::Directory) => return Err(unsafe_member(&path, "it is a directory too")),
            // The later one counts, as for tar.
            Some(Kind::Link) => drop(self.links.remove(&name)),
            Some(Kind::File) => {
                let old = self.at(&name);
                fs::remove_file(&old).map_err(|error| fail("remove", &old, error))?;
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
            self.present.insert(name, Kind::Link);
            self.skip(entry)
        } else {
            self.write(entry, &name)?;
            self.present.insert(name, Kind::File);
            Ok(())
        }
    }

    /// Makes copies of what links lead to, which is all there now.
    pub(super) fn copy_links(&mut self) -> Result<(), UnpackError> {
        for (link, first) in &self.links {
            let mut target = first;
            for _ in 0..MOST_HOPS {
                let Some(next) = self.links.get(target) else { break };
                target = next;
            }
            if self.present.get(target) != Some(&Kind::File) {
                return Err(unsafe_member(link, "it is a link to what is no file of the archive"));
            }
            let (from, to) = (self.at(target), self.at(link));
            let size = fs::symlink_metadata(&from).map_err(|error| fail("look at", &from, error))?.len();
            self.source.grow(size)?;
            // Both are files of ours below a directory without links.
            fs::copy(&from, &to).map_err(|error| fail("write", &to, error))?;
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
            refused: self.refused.into_iter().collect(),
            ignored: self.ignored.into_iter().collect(),
            bytes: self.bytes,
            files: self.files,
        }
    }

    /// Whether a member is part of a format of a recording. What is not is noted, unless it is only
    /// a directory on the way.
    fn belongs(&mut self, names: &[&[u8]], is_directory: bool, is_link: bool) -> bool {
        let text = |name: &[u8]| String::from_utf8_lossy(name).escape_debug().take(150).collect::<String>();
        let as_text = |name| std::str::from_utf8(name).ok();
        let (to, note) = match names {
            [format, record, rest @ ..] if is_directory || is_link || !rest.is_empty() => {
                let known_format = as_text(format).and_then(FormatName::parse);
                let known_record = as_text(record).and_then(RecordId::parse);
                let note = match (known_format, known_record) {
                    (Some(_), Some(_)) if rest.is_empty() && is_link => "a link in a recording's place",
                    (Some(format), Some(record)) => {
                        self.formats.insert((record, format));
                        return true;
                    }
                    (None, _) => "not the name of a format",
                    (_, None) => "not a record id",
                };
                (&mut self.refused, format!("{}/{}: {note}", text(format), text(record)))
            }
            [_] if is_directory => return false,
            _ => (&mut self.ignored, format!("{}: belongs to no recording", text(&names.join(&b'/')))),
        };
        if to.len() < MOST_NOTES {
            to.insert(note);
        }
        false
    }

    fn at(&self, name: &[u8]) -> PathBuf {
        self.into.join(OsStr::from_bytes(name))
    }

    fn make_directory(&mut self, names: &[&[u8]]) -> Result<(), UnpackError> {
        let whole = names.join(&b'/');
        if self.present.get(&whole) == Some(&Kind::Directory) {
            return Ok(());
        }
        for length in 1..=names.len() {
            let name = names[..length].join(&b'/');
            match self.present.get(&name) {
                Some(Kind::Directory) => continue,
                Some(Kind::Link) => return Err(unsafe_member(&whole, "its path passes through a link")),
                Some(Kind::File) => return Err(unsafe_member(&whole, "its path passes through a file")),
                None => {}
            }
            let path = self.at(&name);
            DirBuilder::new()
                .mode(DIRECTORY_MODE)
                .create(&path)
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(DIRECTORY_MODE)))
                .map_err(|error| fail("create", &path, error))?;
            self.present.insert(name, Kind::Directory);
        }
        Ok(())
    }

    fn write(&mut self, entry: &mut Entry<'_, impl Read>, name: &[u8]) -> Result<(), UnpackError> {
        let path = self.at(name);
        let failed = |error| fail("write", &path, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        let size = entry.size();
        let written = self.copy(entry, Some((&mut file, &path)))?;
        // The crate takes the end of the archive for the end of the member.
        if written != size {
            return Err(self.source.truncated());
        }
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        // What browsers compare: the same on every import of the same archive.
        if let Some(modified) = modified(entry) {
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
                Err(error) => return Err(self.source.explain(&error)),
            };
            self.source.grow(n as u64)?;
            if let Some((file, path)) = &mut to {
                file.write_all(&self.buffer[..n]).map_err(|error| fail("write", path, error))?;
            }
            written += n as u64;
        }
    }
}

fn is_plain(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse)
}

/// GNU tar's newer forms of sparse files: the crate would take the map of the holes for content.
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

/// Where a symbolic link leads: relative to its directory, `..` at the beginning only (further on it
/// would depend on what is a link), and within its format of its recording.
fn symlink_target(link: &[&[u8]], target: &[u8]) -> Result<Name, UnpackError> {
    let refuse = |why| Err(unsafe_member(&link.join(&b'/'), why));
    let mut names: Vec<&[u8]> = link[..link.len() - 1].to_vec();
    let mut began = false;
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return refuse("it is a link to an absolute path, or to none");
    }
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if began => return refuse("it is a link with `..` inside"),
            // Format and record id stay.
            b".." if names.len() <= 2 => return refuse("it is a link out of its format"),
            b".." => drop(names.pop()),
            name => {
                began = true;
                names.push(name);
            }
        }
    }
    Ok(names.join(&b'/'))
}

/// A hard link's target is a member's path.
fn hard_link_target(target: &[u8]) -> Result<Name, UnpackError> {
    match names(target)? {
        Some(names) => Ok(names.join(&b'/')),
        None => Err(unsafe_member(target, "it is a link to nothing")),
    }
}

/// When the file was last changed, if that can be.
fn modified(entry: &Entry<'_, impl Read>) -> Option<SystemTime> {
    let seconds = entry.header().mtime().ok().filter(|seconds| *seconds > 0)?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (time <= SystemTime::now()).then_some(time)
}

fn fail(what: &'static str, path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Io { what, path: path.to_owned(), source }
}
