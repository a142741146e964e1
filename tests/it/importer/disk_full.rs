//! A disk that is full while unpacking or publishing: the archive stays, nothing becomes visible, and it is
//! imported once there is space.

use super::*;
use RecordingFormat::{Presentation, Video};

/// A small file system, unmounted when dropped. None where mounting is not permitted.
struct SmallFilesystem(PathBuf);

impl SmallFilesystem {
    fn mount(path: PathBuf) -> Option<SmallFilesystem> {
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output();
        if !output.is_ok_and(|output| output.status.success()) {
            eprintln!("not tested: mounting needs root, and a container that permits it");
            return None;
        }
        Some(SmallFilesystem(path))
    }

    fn grow(&self) {
        let status = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallFilesystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Larger than the small file system, in several formats, of which the first still fits.
fn large_recording() -> Recording {
    Recording { size: 3_000_000, ..recording(1, &[Presentation, Video]) }
}

fn assert_import_waits_for_disk_space(fixture: &ImporterFixture, directory: &str) {
    let Some(filesystem) = SmallFilesystem::mount(fixture.path(directory)) else { return };
    let recording = large_recording();
    let archive = fixture.add_archive(&recording);
    let importer = fixture.start_importer();
    let failures = || importer.count_logged("retry in");
    eventually("the disk is full", || failures() > 0 && importer.count_logged("No space left") > 0);
    assert!(archive.exists());
    fixture.assert_nothing_indexed();
    // Other archives are not delayed.
    let other = super::recording(2, &[RecordingFormat::Notes]);
    fixture.add_archive(&other);
    fixture.wait_until_imported(&other);
    // No partial copy occupies the disk in the meantime.
    eventually("it was tried again", || failures() > 1);
    let hidden =
        || files(&fixture.path("published")).iter().any(|path| path.to_string_lossy().contains(".sl-"));
    eventually("no partial copy is left", || files(&fixture.path("work")).is_empty() && !hidden());
    assert!(archive.exists());
    assert!(fixture.indexed_formats(&recording).is_empty());
    filesystem.grow();
    fixture.assert_only_recordings(&[recording, other], "published");
    assert_eq!(importer.count_logged("bad archive"), 0);
}

#[test]
fn import_is_retried_when_disk_is_full_while_unpacking() {
    assert_import_waits_for_disk_space(&ImporterFixture::start(), "work");
}

#[test]
fn import_is_retried_when_disk_is_full_while_publishing() {
    assert_import_waits_for_disk_space(&ImporterFixture::start(), "published");
}
