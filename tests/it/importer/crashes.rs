//! kill -9 of the importer after each step: the next run leaves exactly one complete recording and no leftovers.

use super::*;
use RecordingFormat::{Presentation, Video};
use std::time::{Duration, Instant};

/// Large enough for each step to take a while.
fn large_recording() -> Recording {
    Recording { slides: 60, size: 12_000_000, ..recording(1, &[Presentation, Video]) }
}

/// Kills the importer, which must be in this state, and lets another one finish.
fn kill_and_finish(
    fixture: &ImporterFixture,
    importer: Importer,
    recording: &Recording,
    state: impl Fn() -> bool,
) {
    importer.signal("-STOP");
    assert!(state(), "the importer left the expected state\n{}", importer.log());
    importer.kill();
    let _successor = fixture.start_importer();
    fixture.assert_only_recording(recording, "published");
}

/// Lets the importer run for a moment at a time until the condition holds; it is stopped then.
fn run_stepwise_until(importer: &Importer, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        importer.signal("-STOP");
        if condition() {
            return true;
        }
        importer.signal("-CONT");
        std::thread::sleep(Duration::from_micros(100));
    }
    false
}

fn lock_of(recording: &Recording) -> String {
    format!("BEGIN; SELECT pg_advisory_xact_lock(29548, hashtext('{}'))", recording.record_id())
}

impl ImporterFixture {
    fn claims(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted";
        self.postgres.sql(sql).parse().unwrap()
    }

    fn has_archive(&self, recording: &Recording) -> bool {
        self.path("spool").join(format!("{}.tar", recording.record_id())).exists()
    }

    fn is_indexed(&self) -> bool {
        self.postgres.sql("SELECT count(*) FROM recordings") == "1"
    }
}

#[test]
fn import_recovers_after_kill_with_archive_claimed() {
    let fixture = ImporterFixture::start();
    let recording = large_recording();
    let importer = fixture.start_importer();
    eventually("it runs", || importer.count_logged("importer started") == 1);
    // Stop it as soon as it holds a claim: the first thing it does in Postgres.
    fixture.add_archive(&recording);
    assert!(run_stepwise_until(&importer, || fixture.claims() == 1), "{}", importer.log());
    kill_and_finish(&fixture, importer, &recording, || {
        files(&fixture.path("published")).is_empty() && fixture.has_archive(&recording)
    });
}

#[test]
fn import_recovers_after_kill_with_half_unpacked() {
    // A busy machine may miss the moment; the next archive gives another chance.
    for attempt in 1.. {
        let fixture = ImporterFixture::start();
        let recording = large_recording();
        let importer = fixture.start_importer();
        fixture.add_archive(&recording);
        let half = || {
            let unpacked = files(&fixture.path("work"));
            unpacked.len() > 20
                && !unpacked.iter().any(|path| path.ends_with("video-0.m4v"))
                && files(&fixture.path("published")).is_empty()
                && fixture.claims() == 1
        };
        if run_stepwise_until(&importer, || {
            files(&fixture.path("work")).len() > 20 || !fixture.has_archive(&recording)
        }) && half()
        {
            return kill_and_finish(&fixture, importer, &recording, half);
        }
        assert!(attempt < 5, "the state was never observed");
    }
}

#[test]
fn import_recovers_after_kill_with_all_unpacked() {
    let fixture = ImporterFixture::start();
    let recording = large_recording();
    let lock = fixture.postgres.session(&lock_of(&recording));
    let importer = fixture.start_importer();
    fixture.add_archive(&recording);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("it waits for the recording's lock", || fixture.postgres.sql(waiting) == "1");
    importer.signal("-STOP");
    drop(lock);
    kill_and_finish(&fixture, importer, &recording, || {
        files(&fixture.path("work")).iter().filter(|path| path.ends_with("metadata.xml")).count() == 2
            && files(&fixture.path("published")).is_empty()
    });
}

#[test]
fn import_recovers_after_kill_with_half_moved() {
    let fixture = ImporterFixture::start();
    // Formats are moved in the order of their names, the second one to another file system.
    let other = TempDir::new().unwrap();
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if device(other.path()) == device(&fixture.path("work")) {
        return eprintln!("not tested: /dev/shm has no room, and there is no other file system");
    }
    std::os::unix::fs::symlink(other.path(), fixture.path("published").join("video")).unwrap();
    let recording = Recording { size: 80_000_000, ..large_recording() };
    let importer = fixture.start_importer();
    fixture.add_archive(&recording);
    let hidden = || other.path().join(".sl-work").exists();
    eventually("the second format is being copied", hidden);
    kill_and_finish(&fixture, importer, &recording, || {
        let id = recording.record_id();
        hidden()
            && fixture.path("published/presentation").join(&id).exists()
            && !other.path().join(&id).exists()
            && !fixture.is_indexed()
    });
}

#[test]
fn import_recovers_after_kill_with_all_moved_and_nothing_committed() {
    let fixture = ImporterFixture::start();
    let recording = large_recording();
    let lock = fixture.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let importer = fixture.start_importer();
    fixture.add_archive(&recording);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
    eventually("it waits for the table", || fixture.postgres.sql(waiting) == "1");
    importer.signal("-STOP");
    drop(lock);
    kill_and_finish(&fixture, importer, &recording, || {
        fixture.path("published/video").join(recording.record_id()).exists()
            && fixture.has_archive(&recording)
    });
}

#[test]
fn import_recovers_after_kill_with_commit_done_and_archive_present() {
    // The moment is short; if it is missed, the next archive gives another chance.
    for attempt in 1.. {
        let fixture = ImporterFixture::start();
        let recording = large_recording();
        let importer = fixture.start_importer();
        let lock = fixture.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
        fixture.add_archive(&recording);
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
        eventually("it waits for the table", || fixture.postgres.sql(waiting) == "1");
        importer.signal("-STOP");
        drop(lock);
        // Postgres completes the pending statement; COMMIT has not been sent yet.
        if run_stepwise_until(&importer, || fixture.is_indexed() || !fixture.has_archive(&recording))
            && fixture.is_indexed()
            && fixture.has_archive(&recording)
        {
            return kill_and_finish(&fixture, importer, &recording, || fixture.has_archive(&recording));
        }
        assert!(attempt < 5, "the state was never observed");
    }
}

#[test]
fn reappearing_archive_changes_nothing() {
    let fixture = ImporterFixture::start();
    let recording = recording(1, &[Presentation, Video]);
    let importer = fixture.start_importer();
    for _ in 0..3 {
        fixture.add_archive(&recording);
        fixture.assert_only_recording(&recording, "published");
    }
    eventually("it was imported each time", || importer.count_logged("imported record_id=") == 3);
}

#[test]
fn leftovers_of_killed_importer_are_cleared_when_archive_is_gone() {
    let fixture = ImporterFixture::start();
    let recording = large_recording();
    let lock = fixture.postgres.session(&lock_of(&recording));
    let importer = fixture.start_importer();
    let archive = fixture.add_archive(&recording);
    eventually("it is unpacked", || {
        files(&fixture.path("work")).iter().filter(|path| path.ends_with("metadata.xml")).count() == 2
    });
    // A starting importer does not touch the work of a running one.
    let other = fixture.start_importer();
    eventually("the other one runs", || other.count_logged("importer started") == 1);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!files(&fixture.path("work")).is_empty());
    other.kill();
    importer.kill();
    fs::remove_file(archive).unwrap();
    drop(lock);
    // And a copy that a dead importer was making.
    let hidden = fixture.path("published/video/.sl-work");
    fs::create_dir_all(hidden.join(format!("{}.new.1", recording.record_id()))).unwrap();
    let _successor = fixture.start_importer();
    eventually("the work directory is empty", || entries(&fixture.path("work")).is_empty());
    eventually("nothing is hidden", || !hidden.exists());
    fixture.assert_nothing_indexed();
}

/// Files move before the index changes; a process killed in between has left a note.
#[test]
fn killed_unpublish_is_rolled_back() {
    let fixture = ImporterFixture::start();
    let recording = recording(1, &[Presentation, Video]);
    let importer = fixture.start_importer();
    fixture.add_archive(&recording);
    fixture.wait_until_imported(&recording);
    importer.kill();
    let lock = fixture.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let mut unpublish = fixture.command();
    unpublish.args(["recordings", "unpublish", &recording.record_id()]);
    let mut unpublish = unpublish.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
    eventually("it waits for the table", || fixture.postgres.sql(waiting) == "1");
    unpublish.kill().unwrap();
    unpublish.wait().unwrap();
    drop(lock);
    assert!(!fixture.path("published/video").join(recording.record_id()).exists());
    let _importer = fixture.start_importer();
    eventually("the note is gone", || !fixture.path("published/presentation/.sl-work").exists());
    fixture.assert_only_recording(&recording, "published");
    fixture.sl_ok(&["recordings", "verify"]);
}
