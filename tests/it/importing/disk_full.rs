//! A disk that is full while unpacking, or while publishing: the archive stays, nothing is seen, and
//! it is imported as soon as there is room.

use super::*;
use RecordingFormat::{Presentation, Video};

/// A small file system, which goes with the test. None where we may not mount.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Option<Small> {
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output();
        if !output.is_ok_and(|output| output.status.success()) {
            eprintln!("not tested: mounting needs root, and a container that permits it");
            return None;
        }
        Some(Small(path))
    }

    fn grow(&self) {
        let status = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Larger than the small one, in several formats: the first finds room.
fn large() -> Recording {
    Recording { size: 3_000_000, ..recording(1, &[Presentation, Video]) }
}

fn stays_and_comes_later(import: &Import, directory: &str) {
    let Some(small) = Small::mount(import.path(directory)) else { return };
    let recording = large();
    let archive = import.arrives(&recording);
    let importer = import.importer();
    let told = || importer.logged("retry in");
    eventually("the disk is full", || told() > 0 && importer.logged("No space left") > 0);
    assert!(archive.exists());
    import.nothing_is_visible();
    // Others are not held up.
    let other = super::recording(2, &[RecordingFormat::Notes]);
    import.arrives(&other);
    import.imported(&other);
    // Nothing half-done takes the room away in the meantime.
    eventually("it was tried again", || told() > 1);
    let hidden =
        || files(&import.path("published")).iter().any(|path| path.to_string_lossy().contains(".sl-"));
    eventually("nothing half-done is left", || files(&import.path("work")).is_empty() && !hidden());
    assert!(archive.exists());
    assert!(import.indexed(&recording).is_empty());
    small.grow();
    import.only_these_are_there(&[recording, other], "published");
    assert_eq!(importer.logged("bad archive"), 0);
}

#[test]
fn while_unpacking() {
    stays_and_comes_later(&Import::start(), "work");
}

#[test]
fn while_publishing() {
    stays_and_comes_later(&Import::start(), "published");
}
