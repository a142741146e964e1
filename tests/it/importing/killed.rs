//! kill -9 of the importer after each step: after the next run there is exactly one whole recording,
//! and nothing stays behind.

use super::*;
use RecordingFormat::{Presentation, Video};
use std::time::{Duration, Instant};

/// Large enough that the steps take their time.
fn large() -> Recording {
    Recording { slides: 60, size: 12_000_000, ..recording(1, &[Presentation, Video]) }
}

/// Kills the importer in the state it is in, which must be this one, and lets another do the rest.
fn kill_and_finish(import: &Import, importer: Importer, recording: &Recording, state: impl Fn() -> bool) {
    importer.signal("-STOP");
    assert!(state(), "not the state that was waited for\n{}", importer.log());
    importer.kill();
    let _successor = import.importer();
    import.only_this_is_there(recording, "published");
}

/// Lets the importer run for a moment at a time, until it is seen in a state.
fn step_until(importer: &Importer, is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        importer.signal("-STOP");
        if is_so() {
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

impl Import {
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
fn when_it_has_claimed_the_archive() {
    let import = Import::start();
    let recording = large();
    let importer = import.importer();
    eventually("it runs", || importer.logged("importer started") == 1);
    // It is stopped as soon as it holds a claim: the first thing that it does in Postgres.
    import.arrives(&recording);
    assert!(step_until(&importer, || import.claims() == 1), "{}", importer.log());
    kill_and_finish(&import, importer, &recording, || {
        files(&import.path("published")).is_empty() && import.has_archive(&recording)
    });
}

#[test]
fn when_half_is_unpacked() {
    // On a busy machine the moment may be missed: it comes again with the next archive.
    for attempt in 1.. {
        let import = Import::start();
        let recording = large();
        let importer = import.importer();
        import.arrives(&recording);
        let half = || {
            let unpacked = files(&import.path("work"));
            unpacked.len() > 20
                && !unpacked.iter().any(|path| path.ends_with("video-0.m4v"))
                && files(&import.path("published")).is_empty()
                && import.claims() == 1
        };
        if step_until(&importer, || files(&import.path("work")).len() > 20 || !import.has_archive(&recording))
            && half()
        {
            return kill_and_finish(&import, importer, &recording, half);
        }
        assert!(attempt < 5, "it was never seen");
    }
}

#[test]
fn when_all_is_unpacked() {
    let import = Import::start();
    let recording = large();
    let lock = import.postgres.session(&lock_of(&recording));
    let importer = import.importer();
    import.arrives(&recording);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("it waits for the recording's lock", || import.postgres.sql(waiting) == "1");
    importer.signal("-STOP");
    drop(lock);
    kill_and_finish(&import, importer, &recording, || {
        files(&import.path("work")).iter().filter(|path| path.ends_with("metadata.xml")).count() == 2
            && files(&import.path("published")).is_empty()
    });
}

#[test]
fn when_half_is_moved() {
    let import = Import::start();
    // Formats are moved in order of their names, and the second one to another file system.
    let other = TempDir::new().unwrap();
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if device(other.path()) == device(&import.path("work")) {
        return eprintln!("not tested: /dev/shm has no room, and there is no other file system");
    }
    std::os::unix::fs::symlink(other.path(), import.path("published").join("video")).unwrap();
    let recording = Recording { size: 80_000_000, ..large() };
    let importer = import.importer();
    import.arrives(&recording);
    let hidden = || other.path().join(".sl-work").exists();
    eventually("the second format is being copied", hidden);
    kill_and_finish(&import, importer, &recording, || {
        let id = recording.record_id();
        hidden()
            && import.path("published/presentation").join(&id).exists()
            && !other.path().join(&id).exists()
            && !import.is_indexed()
    });
}

#[test]
fn when_all_is_moved_and_nothing_is_committed() {
    let import = Import::start();
    let recording = large();
    let lock = import.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let importer = import.importer();
    import.arrives(&recording);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
    eventually("it waits for the table", || import.postgres.sql(waiting) == "1");
    importer.signal("-STOP");
    drop(lock);
    kill_and_finish(&import, importer, &recording, || {
        import.path("published/video").join(recording.record_id()).exists() && import.has_archive(&recording)
    });
}

#[test]
fn when_it_has_committed_and_the_archive_is_still_there() {
    // The moment is short. Should it be missed, it comes again with the next archive.
    for attempt in 1.. {
        let import = Import::start();
        let recording = large();
        let importer = import.importer();
        let lock = import.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
        import.arrives(&recording);
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
        eventually("it waits for the table", || import.postgres.sql(waiting) == "1");
        importer.signal("-STOP");
        drop(lock);
        // What it has asked for is done by Postgres; the commit is not asked for yet.
        if step_until(&importer, || import.is_indexed() || !import.has_archive(&recording))
            && import.is_indexed()
            && import.has_archive(&recording)
        {
            return kill_and_finish(&import, importer, &recording, || import.has_archive(&recording));
        }
        assert!(attempt < 5, "it was never seen");
    }
}

#[test]
fn an_archive_that_comes_back_after_its_import_changes_nothing() {
    let import = Import::start();
    let recording = recording(1, &[Presentation, Video]);
    let importer = import.importer();
    for _ in 0..3 {
        import.arrives(&recording);
        import.only_this_is_there(&recording, "published");
    }
    eventually("it was imported each time", || importer.logged("imported record_id=") == 3);
}

#[test]
fn what_a_dead_importer_left_of_an_archive_that_is_gone_is_cleared() {
    let import = Import::start();
    let recording = large();
    let lock = import.postgres.session(&lock_of(&recording));
    let importer = import.importer();
    let archive = import.arrives(&recording);
    eventually("it is unpacked", || {
        files(&import.path("work")).iter().filter(|path| path.ends_with("metadata.xml")).count() == 2
    });
    // Somebody alive is not disturbed by one that starts.
    let other = import.importer();
    eventually("the other one runs", || other.logged("importer started") == 1);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!files(&import.path("work")).is_empty());
    other.kill();
    importer.kill();
    fs::remove_file(archive).unwrap();
    drop(lock);
    // And a copy that a dead one was making.
    let hidden = import.path("published/video/.sl-work");
    fs::create_dir_all(hidden.join(format!("{}.new.1", recording.record_id()))).unwrap();
    let _successor = import.importer();
    eventually("the work directory is empty", || entries(&import.path("work")).is_empty());
    eventually("nothing is hidden", || !hidden.exists());
    import.nothing_is_visible();
}

/// Files go before the index says so; whoever is killed in between has left a note.
#[test]
fn files_that_an_unpublishing_moved_before_it_was_killed_come_back() {
    let import = Import::start();
    let recording = recording(1, &[Presentation, Video]);
    let importer = import.importer();
    import.arrives(&recording);
    import.imported(&recording);
    importer.kill();
    let lock = import.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let mut unpublish = import.command();
    unpublish.args(["recordings", "unpublish", &recording.record_id()]);
    let mut unpublish = unpublish.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
    eventually("it waits for the table", || import.postgres.sql(waiting) == "1");
    unpublish.kill().unwrap();
    unpublish.wait().unwrap();
    drop(lock);
    assert!(!import.path("published/video").join(recording.record_id()).exists());
    let _importer = import.importer();
    eventually("the note is gone", || !import.path("published/presentation/.sl-work").exists());
    import.only_this_is_there(&recording, "published");
    import.sl_ok(&["recordings", "verify"]);
}
