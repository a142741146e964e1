//! Keys: where things are in the bucket, and how what is under way is called.

use super::super::Shelf;
use super::bucket::{Result, key};
use crate::recordings::{FormatName, RecordId};
use object_store::path::Path;

/// Beside the shelves: what is under way, by recording.
pub(super) const WORK: &str = ".sl-work";

/// The file whose presence says that a format is whole: it comes last and goes first.
pub(super) const LAST: &str = "metadata.xml";

pub(super) fn shelf_name(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Published => "published",
        Shelf::Unpublished => "unpublished",
    }
}

/// One format of a recording on a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shelf: Shelf,
    pub(super) format: FormatName,
    pub(super) id: RecordId,
}

impl Place {
    pub(super) fn new(shelf: Shelf, format: &FormatName, id: &RecordId) -> Place {
        Place { shelf, format: format.clone(), id: id.clone() }
    }

    /// What all keys of its objects begin with, before a `/`.
    pub(super) fn prefix(&self) -> Path {
        Path::from_iter([shelf_name(self.shelf), self.format.as_str(), self.id.as_str()])
    }

    /// The key of a file in it.
    pub(super) fn at(&self, path: &str) -> Result<Path> {
        key(&format!("{}/{path}", self.prefix()))
    }

    pub(super) fn last(&self) -> Result<Path> {
        self.at(LAST)
    }
}

/// What is noted of a recording while something is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// It is changing its shelf: `.sl-work/{id}/move/{unique}`
    Move,
    /// A format is coming or going, and may be there by half: `.sl-work/{id}/half/{shelf}/{format}/{unique}`
    Half(Place),
    /// A successor of a format is whole, and waits at `new/{unique}`:
    /// `.sl-work/{id}/ready/{shelf}/{format}/{unique}`
    Ready(Place, String),
    /// An object is being uploaded in parts; the note says which and how:
    /// `.sl-work/{id}/upload/{unique}`
    Upload,
    /// A file of a successor: `.sl-work/{id}/new/{unique}/{path}`
    New(String),
}

pub(super) fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// All that is under way for a recording.
pub(super) fn work(id: &RecordId) -> Path {
    Path::from_iter([WORK, id.as_str()])
}

/// Where a successor waits.
pub(super) fn new(id: &RecordId, unique: &str) -> Path {
    Path::from_iter([WORK, id.as_str(), "new", unique])
}

impl Note {
    /// A key for such a note that nobody has; for `Ready` the one of what is ready.
    pub(super) fn key(&self, id: &RecordId) -> Path {
        let work = work(id);
        let of = |kind: &str, place: &Place, unique: &str| {
            let names = [kind, shelf_name(place.shelf), place.format.as_str(), unique];
            Path::from_iter([WORK, id.as_str()].into_iter().chain(names))
        };
        match self {
            Note::Move => work.join("move").join(unique()),
            Note::Half(place) => of("half", place, &unique()),
            Note::Ready(place, unique) => of("ready", place, unique),
            Note::Upload => work.join("upload").join(unique()),
            Note::New(unique) => new(id, unique),
        }
    }

    /// What an object under way is; None for what nobody of us has put there.
    pub(super) fn parse(id: &RecordId, key: &Path) -> Option<Note> {
        let rest = key.as_ref().strip_prefix(work(id).as_ref())?.strip_prefix('/')?;
        let mut names = rest.split('/');
        let kind = names.next()?;
        let place = |names: &mut std::str::Split<'_, char>| {
            let shelf = match names.next()? {
                "published" => Shelf::Published,
                "unpublished" => Shelf::Unpublished,
                _ => return None,
            };
            Some(Place { shelf, format: FormatName::parse(names.next()?)?, id: id.clone() })
        };
        Some(match kind {
            "move" => Note::Move,
            "half" => Note::Half(place(&mut names)?),
            "ready" => Note::Ready(place(&mut names)?, names.next()?.to_owned()),
            "upload" => Note::Upload,
            "new" => Note::New(names.next()?.to_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let id = RecordId::parse("r1").unwrap();
        let place = Place::new(Shelf::Unpublished, &FormatName::parse("video").unwrap(), &id);
        for note in [
            Note::Move,
            Note::Half(place.clone()),
            Note::Ready(place, "u1".into()),
            Note::Upload,
            Note::New("u2".into()),
        ] {
            assert_eq!(Note::parse(&id, &note.key(&id)), Some(note));
        }
        for other in [".sl-work/r10/move/x", ".sl-work/r1", ".sl-work/r1/else/x", "published/r1/move/x"] {
            assert_eq!(Note::parse(&id, &Path::parse(other).unwrap()), None, "{other}");
        }
    }
}
