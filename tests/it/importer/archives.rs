//! Ordinary imports.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Screenshare, Video};
use std::io::Write;

#[test]
fn importer_writes_all_metadata_of_archive() {
    let fixture = ImporterFixture::start();
    let _importer = fixture.start_importer();
    let recording = recording(1, &RecordingFormat::ALL);
    fixture.add_archive(&recording);
    fixture.assert_only_recording(&recording, "published");
    let id = recording.record_id();
    let row = fixture.postgres.sql(
        "SELECT record_id, meeting_id, name, published, state, participants, starttime, endtime, protected, \
         publish_updated FROM recordings",
    );
    assert_eq!(
        row,
        format!(
            "{id}|meeting-1|Meeting <1> & more|t|published|4|2026-01-01 00:01:00|2026-01-01 01:01:05.12|f|f"
        )
    );
    let metadata = fixture.postgres.sql("SELECT key, value FROM metadata ORDER BY key");
    assert_eq!(metadata, "bbb-origin|moodle\nbbb-origin-server-name|moodle.example.org\nbbb-recording-tags|");
    let formats = fixture.postgres.sql("SELECT format, url, length FROM playback_formats ORDER BY format");
    let expected = [
        ("notes", format!("/notes/{id}/notes.html")),
        ("podcast", format!("/podcast/{id}/audio.ogg")),
        ("presentation", format!("/playback/presentation/2.3/{id}")),
        ("screenshare", format!("/recording/screenshare/{id}/")),
        ("video", format!("/playback/video/{id}/")),
    ];
    let expected: Vec<_> = expected.iter().map(|(format, url)| format!("{format}|{url}|60")).collect();
    assert_eq!(formats.lines().collect::<Vec<_>>(), expected);
    let thumbnails =
        fixture.postgres.sql("SELECT width, height, alt, sequence FROM thumbnails ORDER BY sequence");
    assert_eq!(thumbnails.lines().count(), 3);
    assert!(thumbnails.starts_with("176|136|Slide 1 of \""), "{thumbnails}");
}

#[test]
fn importer_accepts_every_compression_and_archives_present_at_start() {
    let fixture = ImporterFixture::start();
    let mut recordings = Vec::new();
    for (n, compression) in
        [Compression::None, Compression::Gz, Compression::Zst, Compression::Xz].into_iter().enumerate()
    {
        let recording = recording(n as u64, &[Notes, Podcast]);
        recording.write_archive(&fixture.path("spool"), compression).unwrap();
        recordings.push(recording);
    }
    let importer = fixture.start_importer();
    fixture.assert_only_recordings(&recordings, "published");
    eventually("a line with the totals", || importer.count_logged("archives=4 formats=8") == 1);
}

#[test]
fn import_settings_make_recordings_unpublished_and_protected() {
    let fixture = ImporterFixture::with(&[
        ("RECORDING_IMPORT_UNPUBLISHED", "true"),
        ("PROTECTED_RECORDINGS_ENABLED", "true"),
    ]);
    let _importer = fixture.start_importer();
    let recording = recording(1, &[Notes, Video]);
    fixture.add_archive(&recording);
    fixture.assert_only_recording(&recording, "unpublished");
    assert_eq!(fixture.postgres.sql("SELECT published, state, protected FROM recordings"), "f|unpublished|t");
}

#[test]
fn importer_ignores_file_that_is_still_growing() {
    let fixture = ImporterFixture::start();
    let importer = fixture.start_importer();
    let recording = recording(1, &[Notes]);
    let mut bytes = Vec::new();
    recording.write_tar(&mut bytes).unwrap();
    let name = format!("{}.tar", recording.record_id());
    let mut file = fs::File::create(fixture.path("spool").join(&name)).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first).unwrap();
    file.flush().unwrap();
    // Other archives are not delayed by it.
    let other = super::recording(2, &[Video]);
    fixture.add_archive(&other);
    fixture.wait_until_imported(&other);
    assert_eq!(importer.count_logged("bad archive"), 0, "{}", importer.log());
    assert!(fixture.path("spool").join(&name).exists());
    file.write_all(second).unwrap();
    drop(file);
    fixture.assert_only_recordings(&[recording, other], "published");
}

#[test]
fn reprocessed_recording_is_replaced_and_keeps_client_changes() {
    let fixture = ImporterFixture::start();
    let _importer = fixture.start_importer();
    let first = recording(1, &[Presentation, Video]);
    fixture.add_archive(&first);
    fixture.assert_only_recording(&first, "published");
    // A client unpublishes it.
    let id = first.record_id();
    for format in ["presentation", "video"] {
        fs::create_dir_all(fixture.path("unpublished").join(format)).unwrap();
        fs::rename(
            fixture.path("published").join(format).join(&id),
            fixture.path("unpublished").join(format).join(&id),
        )
        .unwrap();
    }
    fixture
        .postgres
        .sql("UPDATE recordings SET published = false, state = 'unpublished', publish_updated = true");
    // It is processed again, with other slides and a new format.
    let second = Recording { formats: vec![Presentation, Screenshare], slides: 5, seed: 9, ..first.clone() };
    fixture.add_archive(&second);
    eventually("the new format is there", || {
        fixture.indexed_formats(&first) == ["presentation", "screenshare", "video"]
    });
    eventually("the spool is empty", || files(&fixture.path("spool")).is_empty());
    assert_eq!(fixture.postgres.sql("SELECT published, state FROM recordings"), "f|unpublished");
    assert_eq!(files(&fixture.path("published")), [] as [PathBuf; 0]);
    let has_slide = |n: u32| {
        let decks = fixture.path("unpublished").join("presentation").join(&id).join("presentation");
        entries(&decks)[0].join(format!("slide-{n}.png")).exists()
    };
    assert!(has_slide(5), "the new slides are there");
    assert!(fixture.path("unpublished/video").join(&id).join("metadata.xml").exists());
    assert!(fixture.path("unpublished/screenshare").join(&id).join("metadata.xml").exists());
}

#[test]
fn newer_archive_arriving_during_import_is_imported_next() {
    let fixture = ImporterFixture::start();
    let first = recording(1, &[Notes]);
    let lock = fixture
        .postgres
        .session(&format!("BEGIN; SELECT pg_advisory_xact_lock(29548, hashtext('{}'))", first.record_id()));
    let _importer = fixture.start_importer();
    fixture.add_archive(&first);
    eventually("it is unpacked", || !files(&fixture.path("work")).is_empty());
    let second = Recording { formats: vec![Notes, Video], seed: 5, ..first.clone() };
    fixture.add_archive(&second);
    drop(lock);
    fixture.assert_only_recording(&second, "published");
}
