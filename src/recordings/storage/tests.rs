//! The directories, and every state that a kill can leave them in.

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

    /// Published on another file system than the rest; None where there is no second one.
    fn across() -> Option<Shelves> {
        let published = TempDir::new_in("/dev/shm").ok()?;
        let shelves = Shelves { published, ..Shelves::new() };
        let device = |directory: &TempDir| fs::metadata(directory.path()).unwrap().dev();
        if device(&shelves.published) == device(&shelves.work) {
            eprintln!("not tested: /dev/shm and the temporary directory are one file system");
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

    /// A format as an importer unpacked it; `text` tells it from others.
    fn unpacked(&self, text: &str) -> PathBuf {
        let directory = self.work.path().join(text);
        fs::create_dir_all(directory.join("deep/er")).unwrap();
        fs::write(directory.join("metadata.xml"), text).unwrap();
        fs::write(directory.join("deep/er/file"), text).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.join("deep/link")).unwrap();
        directory
    }

    /// Puts a format straight where it belongs, or anywhere else on the shelf.
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

    /// Everything on a shelf that is a file, hidden or not: path and text.
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

    /// Exactly these formats are there, whole, and nothing else.
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

/// A shift and its end.
async fn shift(storage: &Storage, now: Option<Shelf>, to: Shelf) -> Shifted {
    let shift = storage.shift(&id(), now, to).await.unwrap();
    let shifted = shift.shifted;
    storage.finish(shift).await;
    shifted
}

#[tokio::test]
async fn a_format_is_placed_and_its_directory_is_gone_from_where_it_was() {
    let shelves = Shelves::new();
    let from = shelves.unpacked("one");
    shelves.storage().place(&from, &id(), &format("video"), Shelf::Unpublished).await.unwrap();
    shelves.holds(Shelf::Unpublished, &[("video", "one")]);
    shelves.holds(Shelf::Published, &[]);
    assert!(!from.exists());
    assert_eq!(shelves.storage().formats(&id()).await.unwrap(), [(format("video"), Shelf::Unpublished)]);
}

#[tokio::test]
async fn a_format_replaces_the_one_before_on_whichever_shelf_it_is() {
    for shelf in [Shelf::Published, Shelf::Unpublished] {
        let shelves = Shelves::new();
        shelves.lay(shelf, &format!("video/{ID}"), "before");
        shelves.lay(shelf, &format!("notes/{ID}"), "notes");
        let from = shelves.unpacked("after");
        shelves.storage().place(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
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
async fn a_format_crosses_file_systems_with_all_in_it_and_follows_no_links() {
    let Some(shelves) = Shelves::across() else { return };
    let storage = shelves.storage();
    for text in ["one", "two"] {
        let from = shelves.unpacked(text);
        storage.place(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
        shelves.holds(Shelf::Published, &[("video", text)]);
        assert!(!from.exists());
    }
    let link = format!("video/{ID}/deep/link");
    assert_eq!(fs::read_link(shelves.published.path().join(&link)).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(shift(&storage, None, Shelf::Unpublished).await, Shifted::Moved);
    shelves.holds(Shelf::Unpublished, &[("video", "two")]);
    shelves.holds(Shelf::Published, &[]);
}

#[tokio::test]
async fn all_formats_shift_and_shifting_again_does_nothing() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    assert_eq!(shift(&storage, None, Shelf::Published).await, Shifted::Missing);
    for name in ["presentation", "video"] {
        shelves.lay(Shelf::Unpublished, &format!("{name}/{ID}"), name);
    }
    assert_eq!(shift(&storage, None, Shelf::Published).await, Shifted::Moved);
    assert_eq!(shift(&storage, None, Shelf::Published).await, Shifted::AlreadyThere);
    shelves.holds(Shelf::Published, &[("presentation", "presentation"), ("video", "video")]);
    shelves.holds(Shelf::Unpublished, &[]);
}

#[tokio::test]
async fn a_shift_that_was_cut_off_is_finished_by_the_next() {
    let shelves = Shelves::new();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "moved");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "not yet");
    // Across file systems a format is on both shelves for an instant, and one that was there long
    // before must not come back.
    shelves.lay(Shelf::Published, &format!("podcast/{ID}"), "stale");
    shelves.lay(Shelf::Unpublished, &format!("podcast/{ID}"), "right");
    assert_eq!(shift(&shelves.storage(), None, Shelf::Published).await, Shifted::Moved);
    shelves.holds(Shelf::Published, &[("video", "moved"), ("notes", "not yet"), ("podcast", "right")]);
    shelves.holds(Shelf::Unpublished, &[]);
}

#[tokio::test]
async fn a_stale_copy_does_not_replace_what_the_index_means() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "right");
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "stale");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "notes");
    assert_eq!(shift(&storage, Some(Shelf::Published), Shelf::Published).await, Shifted::Moved);
    shelves.holds(Shelf::Published, &[("video", "right"), ("notes", "notes")]);
    shelves.holds(Shelf::Unpublished, &[]);
    // On its way elsewhere, it is the other way round.
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "stale");
    assert_eq!(shift(&storage, Some(Shelf::Published), Shelf::Unpublished).await, Shifted::Moved);
    shelves.holds(Shelf::Unpublished, &[("video", "right"), ("notes", "notes")]);
    shelves.holds(Shelf::Published, &[]);
}

#[tokio::test]
async fn a_note_is_ones_own() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    // The first has committed, and has not taken its note away yet.
    let first = storage.shift(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap();
    let second = storage.shift(&id(), Some(Shelf::Unpublished), Shelf::Published).await.unwrap();
    storage.finish(first).await;
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "the second one's move is noted");
    storage.finish(second).await;
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn a_shift_that_nobody_finishes_is_among_the_leftovers() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    let left = storage.shift(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap();
    assert_eq!(left.shifted, Shifted::Moved);
    drop(left);
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.settle(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "clearing up does not finish it");
    // Whoever moves it next finishes it, even with nothing left to move.
    assert_eq!(shift(&storage, Some(Shelf::Published), Shelf::Unpublished).await, Shifted::AlreadyThere);
    assert_eq!(storage.leftovers().await.unwrap(), []);
    drop(storage.shift(&id(), Some(Shelf::Unpublished), Shelf::Published).await.unwrap());
    storage.remove(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), []);
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "video");
    drop(storage.shift(&id(), None, Shelf::Unpublished).await.unwrap());
    storage.clear(&id()).await.unwrap();
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[("video", "video")]);
}

#[tokio::test]
async fn a_removal_takes_both_shelves() {
    let shelves = Shelves::new();
    shelves.lay(Shelf::Published, &format!("video/{ID}"), "1");
    shelves.lay(Shelf::Unpublished, &format!("video/{ID}"), "2");
    shelves.lay(Shelf::Unpublished, &format!("notes/{ID}"), "3");
    assert_eq!(shelves.storage().remove(&id()).await.unwrap(), 2);
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[]);
    assert_eq!(shelves.storage().remove(&id()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_kill_left_hidden_is_found_and_cleared() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}.new.1"), "half a copy");
    shelves.lay(Shelf::Published, &format!("notes/.sl-work/{ID}.gone.1"), "half deleted");
    // Killed between the two renames: only the old one is whole.
    shelves.lay(Shelf::Unpublished, &format!("podcast/.sl-work/{ID}.old.1"), "old");
    // Killed after them.
    shelves.lay(Shelf::Unpublished, &format!("capture/{ID}"), "new");
    shelves.lay(Shelf::Unpublished, &format!("capture/.sl-work/{ID}.old.1"), "old");
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    let seen: Vec<_> = storage.formats(&id()).await.unwrap().into_iter().map(|(f, _)| f).collect();
    assert_eq!(seen, [format("capture")], "nothing hidden is seen");
    storage.settle(&id()).await.unwrap();
    shelves.holds(Shelf::Published, &[]);
    shelves.holds(Shelf::Unpublished, &[("podcast", "old"), ("capture", "new")]);
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn without_an_exchange_the_old_format_comes_back_or_goes() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}.old.1"), "old");
    let from = shelves.unpacked("new");
    storage.place(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    shelves.holds(Shelf::Published, &[("video", "new")]);
}

#[tokio::test]
async fn another_recordings_work_is_left_alone() {
    let shelves = Shelves::new();
    let storage = shelves.storage();
    shelves.lay(Shelf::Published, &format!("video/.sl-work/{ID}0.new.1"), "somebody else's");
    let from = shelves.unpacked("mine");
    storage.place(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    storage.remove(&id()).await.unwrap();
    assert_eq!(shelves.files(Shelf::Published).len(), 2);
}

#[tokio::test]
async fn a_shelf_that_is_not_there_is_not_made() {
    let shelves = Shelves::new();
    let missing = shelves.work.path().join("not mounted");
    let storage = Storage::local(&missing, shelves.unpublished.path());
    let from = shelves.unpacked("one");
    let error = storage.place(&from, &id(), &format("video"), Shelf::Published).await.unwrap_err();
    assert!(matches!(error, StorageError::NoShelf(ref path) if *path == missing), "{error}");
    assert!(from.join("metadata.xml").exists());
    assert!(!missing.exists());
    assert_eq!(storage.formats(&id()).await.unwrap(), []);
}

#[tokio::test]
async fn a_list_has_recordings_and_nothing_else() {
    let shelves = Shelves::new();
    for name in ["video", "notes"] {
        shelves.lay(Shelf::Published, &format!("{name}/{ID}"), name);
        shelves.lay(Shelf::Published, &format!("{name}/.sl-work/{ID}.gone.1"), name);
    }
    shelves.lay(Shelf::Published, &format!("not a format!/{ID}"), "x");
    shelves.lay(Shelf::Published, "video/not an id!", "x");
    fs::write(shelves.published.path().join("video/a-file"), "x").unwrap();
    // A format whose directory the operator has put elsewhere.
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
