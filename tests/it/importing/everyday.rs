//! What happens every day.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Screenshare, Video};
use std::io::Write;

#[test]
fn an_archive_becomes_a_recording_with_all_that_its_metadata_say() {
    let import = Import::start();
    let _importer = import.importer();
    let recording = recording(1, &RecordingFormat::ALL);
    import.arrives(&recording);
    import.only_this_is_there(&recording, "published");
    let id = recording.record_id();
    let row = import.postgres.sql(
        "SELECT record_id, meeting_id, name, published, state, participants, starttime, endtime, protected, \
         publish_updated FROM recordings",
    );
    assert_eq!(
        row,
        format!(
            "{id}|meeting-1|Meeting <1> & more|t|published|4|2026-01-01 00:01:00|2026-01-01 01:01:05.12|f|f"
        )
    );
    let metadata = import.postgres.sql("SELECT key, value FROM metadata ORDER BY key");
    assert_eq!(metadata, "bbb-origin|moodle\nbbb-origin-server-name|moodle.example.org\nbbb-recording-tags|");
    let formats = import.postgres.sql("SELECT format, url, length FROM playback_formats ORDER BY format");
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
        import.postgres.sql("SELECT width, height, alt, sequence FROM thumbnails ORDER BY sequence");
    assert_eq!(thumbnails.lines().count(), 3);
    assert!(thumbnails.starts_with("176|136|Slide 1 of \""), "{thumbnails}");
}

#[test]
fn every_packing_is_taken_and_what_was_there_before_the_start_too() {
    let import = Import::start();
    let mut recordings = Vec::new();
    for (n, compression) in
        [Compression::None, Compression::Gz, Compression::Zst, Compression::Xz].into_iter().enumerate()
    {
        let recording = recording(n as u64, &[Notes, Podcast]);
        recording.write_archive(&import.path("spool"), compression).unwrap();
        recordings.push(recording);
    }
    let importer = import.importer();
    import.only_these_are_there(&recordings, "published");
    eventually("a line with the totals", || importer.logged("archives=4 formats=8") == 1);
}

#[test]
fn settings_decide_how_recordings_arrive() {
    let import =
        Import::with(&[("RECORDING_IMPORT_UNPUBLISHED", "true"), ("PROTECTED_RECORDINGS_ENABLED", "true")]);
    let _importer = import.importer();
    let recording = recording(1, &[Notes, Video]);
    import.arrives(&recording);
    import.only_this_is_there(&recording, "unpublished");
    assert_eq!(import.postgres.sql("SELECT published, state, protected FROM recordings"), "f|unpublished|t");
}

#[test]
fn a_file_that_is_still_growing_is_left_alone() {
    let import = Import::start();
    let importer = import.importer();
    let recording = recording(1, &[Notes]);
    let mut bytes = Vec::new();
    recording.write_tar(&mut bytes).unwrap();
    let name = format!("{}.tar", recording.record_id());
    let mut file = fs::File::create(import.path("spool").join(&name)).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first).unwrap();
    file.flush().unwrap();
    // Others are not held up by it.
    let other = super::recording(2, &[Video]);
    import.arrives(&other);
    import.imported(&other);
    assert_eq!(importer.logged("bad archive"), 0, "{}", importer.log());
    assert!(import.path("spool").join(&name).exists());
    file.write_all(second).unwrap();
    drop(file);
    import.only_these_are_there(&[recording, other], "published");
}

#[test]
fn a_recording_that_comes_again_is_replaced_and_what_clients_said_of_it_stays() {
    let import = Import::start();
    let _importer = import.importer();
    let first = recording(1, &[Presentation, Video]);
    import.arrives(&first);
    import.only_this_is_there(&first, "published");
    // A client unpublishes it.
    let id = first.record_id();
    for format in ["presentation", "video"] {
        fs::create_dir_all(import.path("unpublished").join(format)).unwrap();
        fs::rename(
            import.path("published").join(format).join(&id),
            import.path("unpublished").join(format).join(&id),
        )
        .unwrap();
    }
    import
        .postgres
        .sql("UPDATE recordings SET published = false, state = 'unpublished', publish_updated = true");
    // It is processed once more, with other slides, and a format that is new.
    let second = Recording { formats: vec![Presentation, Screenshare], slides: 5, seed: 9, ..first.clone() };
    import.arrives(&second);
    eventually("the new format is there", || {
        import.indexed(&first) == ["presentation", "screenshare", "video"]
    });
    eventually("the spool is empty", || files(&import.path("spool")).is_empty());
    assert_eq!(import.postgres.sql("SELECT published, state FROM recordings"), "f|unpublished");
    assert_eq!(files(&import.path("published")), [] as [PathBuf; 0]);
    let slides = |n: u32| {
        let decks = import.path("unpublished").join("presentation").join(&id).join("presentation");
        entries(&decks)[0].join(format!("slide-{n}.png")).exists()
    };
    assert!(slides(5), "the new slides are there");
    assert!(import.path("unpublished/video").join(&id).join("metadata.xml").exists());
    assert!(import.path("unpublished/screenshare").join(&id).join("metadata.xml").exists());
}

#[test]
fn a_newer_archive_that_comes_during_an_import_is_imported_after_it() {
    let import = Import::start();
    let first = recording(1, &[Notes]);
    let lock = import
        .postgres
        .session(&format!("BEGIN; SELECT pg_advisory_xact_lock(29548, hashtext('{}'))", first.record_id()));
    let _importer = import.importer();
    import.arrives(&first);
    eventually("it is unpacked", || !files(&import.path("work")).is_empty());
    let second = Recording { formats: vec![Notes, Video], seed: 5, ..first.clone() };
    import.arrives(&second);
    drop(lock);
    import.only_this_is_there(&second, "published");
}
