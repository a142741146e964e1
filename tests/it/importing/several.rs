//! Several importers, and a Postgres that comes and goes.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Video};

#[test]
fn two_importers_take_each_of_a_hundred_archives_once() {
    let import = Import::with(&[("RECORDING_IMPORT_WORKERS", "2")]);
    let importers = [import.importer(), import.importer()];
    for importer in &importers {
        eventually("it runs", || importer.logged("importer started") == 1);
    }
    let recordings: Vec<_> = (0..100).map(|n| recording(n, &[Notes, Podcast])).collect();
    for recording in &recordings {
        import.arrives(recording);
    }
    import.only_these_are_there(&recordings, "published");
    let counts = importers.each_ref().map(|importer| importer.logged("imported record_id="));
    assert_eq!(counts.iter().sum::<usize>(), 100, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    for importer in &importers {
        assert_eq!(importer.logged("WARN"), 0, "{}", importer.log());
    }
}

#[test]
fn a_dead_importers_archive_is_taken_over_by_one_that_runs() {
    let import = Import::start();
    let recording = Recording { slides: 10, size: 5_000_000, ..recording(1, &[Presentation, Video]) };
    let lock = import.postgres.session(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock(29548, hashtext('{}'))",
        recording.record_id()
    ));
    let first = import.importer();
    import.arrives(&recording);
    eventually("it is being imported", || !files(&import.path("work")).is_empty());
    let second = import.importer();
    eventually("the other one runs", || second.logged("importer started") == 1);
    first.kill();
    drop(lock);
    import.only_this_is_there(&recording, "published");
    assert_eq!(second.logged("imported record_id="), 1);
}

#[test]
fn postgres_restarted_in_the_middle_of_an_import() {
    let mut import = Import::start();
    let recording = Recording { size: 1_000_000, ..recording(1, &[Presentation, Video]) };
    let lock = import.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let importer = import.importer();
    let archive = import.arrives(&recording);
    eventually("its files are there", || import.path("published/video").join(recording.record_id()).exists());
    import.postgres.down();
    drop(lock);
    eventually("it waits for Postgres", || importer.logged("index unavailable") > 0);
    assert!(archive.exists());
    import.postgres.up();
    import.only_this_is_there(&recording, "published");
    assert_eq!(importer.logged("bad archive"), 0, "{}", importer.log());
}

#[test]
fn without_postgres_nothing_is_lost_and_nothing_called_bad() {
    let mut import = Import::start();
    import.postgres.down();
    let importer = import.importer();
    let recordings: Vec<_> = (0..5).map(|n| recording(n, &[Notes])).collect();
    for recording in &recordings {
        import.arrives(recording);
    }
    eventually("it waits for Postgres", || importer.logged("index unavailable") > 1);
    assert_eq!(files(&import.path("spool")).len(), 5);
    assert!(files(&import.path("work")).is_empty() && files(&import.path("published")).is_empty());
    import.postgres.up();
    import.only_these_are_there(&recordings, "published");
}
