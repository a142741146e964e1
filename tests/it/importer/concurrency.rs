//! Several importers at once, and Postgres outages.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Video};

#[test]
fn two_importers_import_100_archives_once_each() {
    let fixture = ImporterFixture::with(&[("RECORDING_IMPORT_WORKERS", "2")]);
    let importers = [fixture.start_importer(), fixture.start_importer()];
    for importer in &importers {
        eventually("it runs", || importer.count_logged("importer started") == 1);
    }
    let recordings: Vec<_> = (0..100).map(|n| recording(n, &[Notes, Podcast])).collect();
    for recording in &recordings {
        fixture.add_archive(recording);
    }
    fixture.assert_only_recordings(&recordings, "published");
    let counts = importers.each_ref().map(|importer| importer.count_logged("imported record_id="));
    assert_eq!(counts.iter().sum::<usize>(), 100, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    for importer in &importers {
        assert_eq!(importer.count_logged("WARN"), 0, "{}", importer.log());
    }
}

#[test]
fn archive_of_killed_importer_is_taken_over() {
    let fixture = ImporterFixture::start();
    let recording = Recording { slides: 10, size: 5_000_000, ..recording(1, &[Presentation, Video]) };
    let lock = fixture.postgres.session(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock(29548, hashtext('{}'))",
        recording.record_id()
    ));
    let first = fixture.start_importer();
    fixture.add_archive(&recording);
    eventually("it is being imported", || !files(&fixture.path("work")).is_empty());
    let second = fixture.start_importer();
    eventually("the other one runs", || second.count_logged("importer started") == 1);
    first.kill();
    drop(lock);
    fixture.assert_only_recording(&recording, "published");
    assert_eq!(second.count_logged("imported record_id="), 1);
}

#[test]
fn import_resumes_after_postgres_restart() {
    let mut fixture = ImporterFixture::start();
    let recording = Recording { size: 1_000_000, ..recording(1, &[Presentation, Video]) };
    let lock = fixture.postgres.session("BEGIN; LOCK TABLE recordings IN SHARE MODE");
    let importer = fixture.start_importer();
    let archive = fixture.add_archive(&recording);
    eventually("its files are there", || {
        fixture.path("published/video").join(recording.record_id()).exists()
    });
    fixture.postgres.down();
    drop(lock);
    eventually("it waits for Postgres", || importer.count_logged("index unavailable") > 0);
    assert!(archive.exists());
    fixture.postgres.up();
    fixture.assert_only_recording(&recording, "published");
    assert_eq!(importer.count_logged("bad archive"), 0, "{}", importer.log());
}

#[test]
fn archives_wait_while_postgres_is_down() {
    let mut fixture = ImporterFixture::start();
    fixture.postgres.down();
    let importer = fixture.start_importer();
    let recordings: Vec<_> = (0..5).map(|n| recording(n, &[Notes])).collect();
    for recording in &recordings {
        fixture.add_archive(recording);
    }
    eventually("it waits for Postgres", || importer.count_logged("index unavailable") > 1);
    assert_eq!(files(&fixture.path("spool")).len(), 5);
    assert!(files(&fixture.path("work")).is_empty() && files(&fixture.path("published")).is_empty());
    fixture.postgres.up();
    fixture.assert_only_recordings(&recordings, "published");
}
