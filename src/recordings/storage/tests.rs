//! Local storage, and every state that a kill can leave it in.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

const ID: &str = "0123456789abcdef0123456789abcdef01234567-1767225600000";

struct Shelves {
    published: TempDir,
    unpublished: TempDir,
    work: TempDir,
}

impl Shelves {
    fn new() -> Shelves {
        let [published, unpublished, work] = [(); 3].map(|()| TempDir::new().unwrap());
        Shelves { published, unpublished, work }
    }

    /// The published shelf on another file system than the rest. None if there is only one.
    fn across() -> Option<Shelves> {
        let published = TempDir::new_in("/dev/shm").ok()?;
        let shelves = Shelves { published, ..Shelves::new() };
        let device = |directory: &TempDir| fs::metadata(directory.path()).unwrap().dev();
        if device(&shelves.published) == device(&shelves.work) {
            eprintln!("skipped: /dev/shm and the temporary directory are one file system");
            return None;
        }
        Some(shelves)
    }

    fn storage(&self) -> Storage {
        Storage::local(self.published.path(), self.unpublished.path())
    }

    fn path(&self, shelf: Shelf) -> &Path {
        match shelf {
            Shelf::Published => self.published.path(),
            Shelf::Unpublished => self.unpublished.path(),
        }
    }

    /// A format as an importer unpacks it, identified by `text`.
    fn unpacked(&self, text: &str) -> PathBuf {
        let directory = self.work.path().join(text);
        fs::create_dir_all(directory.join("deep/er")).unwrap();
        fs::write(directory.join("metadata.xml"), text).unwrap();
        fs::write(directory.join("deep/er/file"), text).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.join("deep/link")).unwrap();
        directory
    }

    /// Creates a format at any path of a shelf, bypassing the storage.
    fn lay(&self, shelf: Shelf, at: &str, text: &str) {
        let place = self.path(shelf).join(at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(self.unpacked(text), place)
            .or_else(|_| {
                let place = self.path(shelf).join(at);
                fs::create_dir_all(place.join("deep/er"))?;
                fs::write(place.join("metadata.xml"), text)?;
                fs::write(place.join("deep/er/file"), text)
            })
            .unwrap();
    }

    /// All files on a shelf, hidden or not: path and content.
    fn files(&self, shelf: Shelf) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut todo = vec![self.path(shelf).to_owned()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap().map(|e| e.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else if entry.file_type().unwrap().is_file() {
                    let name = entry.path().strip_prefix(self.path(shelf)).unwrap().display().to_string();
                    files.insert(name, fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        files
    }

    /// Asserts that the shelf has exactly these formats, complete, and nothing else.
    #[track_caller]
    fn holds(&self, shelf: Shelf, formats: &[(&str, &str)]) {
        let expected: BTreeMap<String, String> = formats
            .iter()
            .flat_map(|(format, text)| {
                ["metadata.xml", "deep/er/file"].map(|f| (format!("{format}/{ID}/{f}"), (*text).to_owned()))
            })
            .collect();
        assert_eq!(self.files(shelf), expected, "{shelf:?}");
        for format in fs::read_dir(self.path(shelf)).unwrap() {
            assert!(!format.unwrap().path().join(".sl-work").exists());
        }
    }
}

fn id() -> RecordId {
    RecordId::parse(ID).unwrap()
}

fn format(name: &str) -> FormatName {
    FormatName::parse(name).unwrap()
}

/// Moves a recording and finishes the move.
async fn move_and_finish(storage: &Storage, current: Option<Shelf>, to: Shelf) -> MoveOutcome {
    let shelf_move = storage.move_to_shelf(&id(), current, to).await.unwrap();
    let outcome = shelf_move.outcome;
    storage.finish_move(shelf_move).await;
    outcome
}

#[tokio::test]
async fn put_format_moves_the_directory_onto_the_shelf() {
    let shelves = Shelves::new();
    let from = shelves.unpacked("one");
    shelves.storage().put_format(&from, &id(), &format("video"), Shelf::Unpublished).await.unwrap();
    shelves.holds(Shelf::Unpublished, &[("video", "one")]);
    shelves.holds(Shelf::Published, &[]);
    assert!(!from.exists());
    assert_eq!(shelves.storage().formats(&id()).await.unwrap(), [(format("video"), Shelf::Unpublished)]);
}

#[tokio::test]
async fn put_format_replaces_the_earlier_version_on_either_shelf() {
    for shelf in [Shelf::Published, Shelf::Unpublished] {
        let shelves = Shelves::new();
        shelves.lay(shelf, &format!("video/{ID}"), "before");
        shelves.lay(shelf, &format!("notes/{ID}"), "notes");
        let from = shelves.unpacked("after");
        shelves.storage().put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
        assert!(!from.exists());
        match shelf {
            Shelf::Published => shelves.holds(shelf, &[("video", "after"), ("notes", "notes")]),
            Shelf::Unpublished => {
                shelves.holds(shelf, &[("notes", "notes")]);
                shelves.holds(Shelf::Published, &[("video", "after")]);
            }
        }
    }
}

#[tokio::test]
async fn formats_cross_file_systems_complete_and_no_link_is_followed() {
    let Some(shelves) = Shelves::across() else { return };
    let storage = shelves.storage();
    for text in ["one", "two"] {
        let from = shelves.unpacked(text);
        storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
        shelves.holds(Shelf::Published, &[("video", text)]);
        assert!(!from.exists());
    }
    let link = format!("video/{ID}/deep/link");
    assert_eq!(fs::read_link(shelves.published.path().join(&link)).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(move_and_finish(&storage, None, Shelf::Unpublished).await, MoveOutcome::Moved);
    shelves.holds(Shelf::Unpublished, &[("video", "two")]);
    shelves.holds(Shelf::Published, &[]);
}

#[tokio::test]
async fn move_to_shelf_moves_all_formats_once() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Missing);
    for name in ["presentation", "video"] {
        shelves.lay(Shelf::Unpublished, &format!("{name}/{ID}"), name);
    }
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Moved);
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::AlreadyThere);
    shelves.holds(Shelf::Published, &[("presentation", "presentation"), ("video", "video")]);
    shelves.holds(Shelf::Unpublished, &[]);
}

#[tokio::test]
async fn move_to_shelf_completes_an_interrupted_move() {
    let shelves = Shelves::new();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "moved");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "not yet");
    // Across file systems a format is on both shelves for an instant. A stale copy on the target shelf must not
    // survive.
    shelves.lay(Shelf::Published, &format!("podcast/{ID}"), "stale");
    shelves.lay(Shelf::Unpublished, &format!("podcast/{ID}"), "right");
    assert_eq!(move_and_finish(&shelves.storage(), None, Shelf::Published).await, MoveOutcome::Moved);
    shelves.holds(Shelf::Published, &[("video", "moved"), ("notes", "not yet"), ("podcast", "right")]);
    shelves.holds(Shelf::Unpublished, &[]);
}

#[tokio::test]
async fn move_to_shelf_keeps_the_copy_on_the_shelf_that_the_index_says() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "right");
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "stale");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "notes");
    assert_eq!(move_and_finish(&storage, Some(Shelf::Published), Shelf::Published).await, MoveOutcome::Moved);
    shelves.holds(Shelf::Published, &[("video", "right"), ("notes", "notes")]);
    shelves.holds(Shelf::Unpublished, &[]);
    // In the other direction too.
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "stale");
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::Moved
    );
    shelves.holds(Shelf::Unpublished, &[("video", "right"), ("notes", "notes")]);
    shelves.holds(Shelf::Published, &[]);
}

#[tokio::test]
async fn finish_move_deletes_only_notes_of_its_own_move() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    // The first move is committed, but its note is not deleted yet.
    let first = storage.move_to_shelf(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap();
    let second = storage.move_to_shelf(&id(), Some(Shelf::Unpublished), Shelf::Published).await.unwrap();
    storage.finish_move(first).await;
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "the note of the second move is still there");
    storage.finish_move(second).await;
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn unfinished_moves_are_among_the_leftovers() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    let left = storage.move_to_shelf(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap();
    assert_eq!(left.outcome, MoveOutcome::Moved);
    drop(left);
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.recover(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "recovery does not finish a move");
    // The next move finishes it, even with nothing left to move.
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::AlreadyThere
    );
    assert_eq!(storage.leftovers().await.unwrap(), []);
    drop(storage.move_to_shelf(&id(), Some(Shelf::Unpublished), Shelf::Published).await.unwrap());
    storage.delete(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), []);
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    drop(storage.move_to_shelf(&id(), None, Shelf::Unpublished).await.unwrap());
    storage.recover_unindexed(&id()).await.unwrap();
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[("video", "video")]);
}

#[tokio::test]
async fn delete_deletes_from_both_shelves() {
    let shelves = Shelves::new();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "1");
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "2");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "3");
    assert_eq!(shelves.storage().delete(&id()).await.unwrap(), 2);
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[]);
    assert_eq!(shelves.storage().delete(&id()).await.unwrap(), 0);
}

#[tokio::test]
async fn recover_cleans_up_the_work_directories() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}.new.1"), "half a copy");
    shelves.lay(Shelf::Published, &format!("notes/.sl-work/{ID}.gone.1"), "half deleted");
    // Killed between the two renames: only the old version is complete.
    shelves.lay(Shelf::Unpublished, &format!("podcast/.sl-work/{ID}.old.1"), "old");
    // Killed after them.
    shelves.lay(Shelf::Unpublished, &format!("capture/{ID}"), "new");
    shelves.lay(Shelf::Unpublished, &format!("capture/.sl-work/{ID}.old.1"), "old");
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    let seen: Vec<_> = storage.formats(&id()).await.unwrap().into_iter().map(|(f, _)| f).collect();
    assert_eq!(seen, [format("capture")], "the work directories are hidden");
    storage.recover(&id()).await.unwrap();
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[("podcast", "old"), ("capture", "new")]);
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn put_format_replaces_an_old_version_that_is_set_aside() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}.old.1"), "old");
    let from = shelves.unpacked("new");
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    shelves.holds(Shelf::Published, &[("video", "new")]);
}

#[tokio::test]
async fn recover_leaves_other_recordings_alone() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}0.new.1"), "of another recording");
    let from = shelves.unpacked("mine");
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    storage.delete(&id()).await.unwrap();
    assert_eq!(shelves.files(Shelf::Published).len(), 2);
}

#[tokio::test]
async fn put_format_does_not_create_a_missing_shelf() {
    let shelves = Shelves::new();
    let missing = shelves.work.path().join("not mounted");
    let storage = Storage::local(&missing, shelves.unpublished.path());
    let from = shelves.unpacked("one");
    let error = storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap_err();
    assert!(matches!(error, StorageError::NoShelf(ref path) if *path == missing), "{error}");
    assert!(from.join("metadata.xml").exists());
    assert!(!missing.exists());
    assert_eq!(storage.formats(&id()).await.unwrap(), []);
}

#[tokio::test]
async fn list_contains_only_recordings() {
    let shelves = Shelves::new();
    for name in ["video", "notes"] {
        shelves.lay(Shelf::Published, &format!("{name}/{ID}"), name);
        shelves.lay(Shelf::Published, &format!("{name}/.sl-work/{ID}.gone.1"), name);
    }
    shelves.lay(Shelf::Published, &format!("not a format!/{ID}"), "x");
    shelves.lay(Shelf::Published, "video/not an id!", "x");
    fs::write(shelves.published.path().join("video/a-file"), "x").unwrap();
    // A format whose directory is a link to another place.
    let elsewhere = TempDir::new().unwrap();
    fs::create_dir(elsewhere.path().join("r2")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), shelves.published.path().join("podcast")).unwrap();
    std::os::unix::fs::symlink("/tmp", elsewhere.path().join("a-link-is-no-recording")).unwrap();
    let mut list = shelves.storage().list(Shelf::Published);
    let mut found = Vec::new();
    while let Some(item) = list.recv().await {
        let (id, format) = item.unwrap();
        found.push(format!("{format}/{id}"));
    }
    found.sort();
    assert_eq!(found, [format!("notes/{ID}"), "podcast/r2".into(), format!("video/{ID}")]);
}
