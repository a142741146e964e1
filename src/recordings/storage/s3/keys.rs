//! Keys of the bucket: formats on their shelves, and notes in the work area.

use super::super::Shelf;
use super::bucket::{Result, object_key};
use crate::recordings::{FormatName, RecordId};
use object_store::path::Path;

/// The work area, beside the shelves: notes and staged files by recording.
pub(super) const WORK_ROOT: &str = ".sl-work";

/// The file whose presence says that a format is complete: it is written last and deleted first.
pub(super) const LAST_FILE: &str = "metadata.xml";

pub(super) fn shelf_name(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Published => "published",
        Shelf::Unpublished => "unpublished",
    }
}

/// One format of a recording on a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormatLocation {
    pub(super) shelf: Shelf,
    pub(super) format: FormatName,
    pub(super) id: RecordId,
}

impl FormatLocation {
    pub(super) fn new(shelf: Shelf, format: &FormatName, id: &RecordId) -> FormatLocation {
        FormatLocation { shelf, format: format.clone(), id: id.clone() }
    }

    /// The prefix of all its keys, without the `/`.
    pub(super) fn prefix(&self) -> Path {
        Path::from_iter([shelf_name(self.shelf), self.format.as_str(), self.id.as_str()])
    }

    /// The key of a file of the format.
    pub(super) fn at(&self, path: &str) -> Result<Path> {
        object_key(&format!("{}/{path}", self.prefix()))
    }

    pub(super) fn last_file(&self) -> Result<Path> {
        self.at(LAST_FILE)
    }
}

/// An object in the work area of a recording: an unfinished operation, or a file that belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// The recording is moving to the other shelf: `.sl-work/{id}/move/{unique}`
    Move,
    /// A format is being written or deleted, and may be incomplete: `.sl-work/{id}/half/{shelf}/{format}/{unique}`
    Partial(FormatLocation),
    /// The new version of a format is completely staged at `new/{unique}`:
    /// `.sl-work/{id}/ready/{shelf}/{format}/{unique}`
    Ready(FormatLocation, String),
    /// A multipart upload; the object's content is a `MultipartNote`: `.sl-work/{id}/upload/{unique}`
    Multipart,
    /// A staged file of the new version of a format: `.sl-work/{id}/new/{unique}/{path}`
    Staged(String),
}

pub(super) fn unique_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The work area of a recording.
pub(super) fn work_prefix(id: &RecordId) -> Path {
    Path::from_iter([WORK_ROOT, id.as_str()])
}

/// Where the new version of a format is staged.
pub(super) fn staging_prefix(id: &RecordId, unique: &str) -> Path {
    Path::from_iter([WORK_ROOT, id.as_str(), "new", unique])
}

impl Note {
    /// A new, unique key for such a note; for `Ready` and `Staged`, the key of the staged files' name.
    pub(super) fn key(&self, id: &RecordId) -> Path {
        let work = work_prefix(id);
        let of = |kind: &str, location: &FormatLocation, unique: &str| {
            let names = [kind, shelf_name(location.shelf), location.format.as_str(), unique];
            Path::from_iter([WORK_ROOT, id.as_str()].into_iter().chain(names))
        };
        match self {
            Note::Move => work.join("move").join(unique_name()),
            Note::Partial(location) => of("half", location, &unique_name()),
            Note::Ready(location, unique) => of("ready", location, unique),
            Note::Multipart => work.join("upload").join(unique_name()),
            Note::Staged(unique) => staging_prefix(id, unique),
        }
    }

    /// The meaning of a key in the work area. None if `sl` does not write such keys.
    pub(super) fn parse(id: &RecordId, key: &Path) -> Option<Note> {
        let rest = key.as_ref().strip_prefix(work_prefix(id).as_ref())?.strip_prefix('/')?;
        let mut names = rest.split('/');
        let kind = names.next()?;
        let location = |names: &mut std::str::Split<'_, char>| {
            let shelf = match names.next()? {
                "published" => Shelf::Published,
                "unpublished" => Shelf::Unpublished,
                _ => return None,
            };
            Some(FormatLocation { shelf, format: FormatName::parse(names.next()?)?, id: id.clone() })
        };
        Some(match kind {
            "move" => Note::Move,
            "half" => Note::Partial(location(&mut names)?),
            "ready" => Note::Ready(location(&mut names)?, names.next()?.to_owned()),
            "upload" => Note::Multipart,
            "new" => Note::Staged(names.next()?.to_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_what_key_writes() {
        let id = RecordId::parse("r1").unwrap();
        let location = FormatLocation::new(Shelf::Unpublished, &FormatName::parse("video").unwrap(), &id);
        for note in [
            Note::Move,
            Note::Partial(location.clone()),
            Note::Ready(location, "u1".into()),
            Note::Multipart,
            Note::Staged("u2".into()),
        ] {
            assert_eq!(Note::parse(&id, &note.key(&id)), Some(note));
        }
        for other in [".sl-work/r10/move/x", ".sl-work/r1", ".sl-work/r1/else/x", "published/r1/move/x"] {
            assert_eq!(Note::parse(&id, &Path::parse(other).unwrap()), None, "{other}");
        }
    }
}
