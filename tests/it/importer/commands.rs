//! `sl recordings import` and `verify`.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Video};
use serde_json::Value;

#[test]
fn import_command_imports_archives_and_keeps_them() {
    let fixture = ImporterFixture::start();
    let elsewhere = TempDir::new().unwrap();
    let recordings = [recording(1, &[Presentation, Video]), recording(2, &[Notes])];
    let paths = recordings
        .each_ref()
        .map(|recording| recording.write_archive(elsewhere.path(), Compression::Zst).unwrap());
    let printed = fixture.sl_ok(&["recordings", "import", paths[0].to_str().unwrap()]);
    assert_eq!(printed, format!("OK {}: presentation, video\n", recordings[0].record_id()));
    assert!(paths[0].exists());
    // A bad archive does not stop the next one.
    let bad = elsewhere.path().join("bad.tar");
    fs::write(&bad, "no archive").unwrap();
    let args = ["recordings", "import", "--remove", bad.to_str().unwrap(), paths[1].to_str().unwrap()];
    let output = fixture.sl(&args);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("truncated") && errors.contains("1 of 2 archives"), "{errors}");
    assert!(bad.exists() && !paths[1].exists());
    let output = fixture.sl(&["recordings", "import", "/nonexistent.tar"]);
    assert_eq!(output.status.code(), Some(1));
    fixture.assert_only_recordings(&recordings, "published");
}

#[test]
fn verify_finds_and_repairs_inconsistencies() {
    let fixture = ImporterFixture::start();
    let [good, moved, lost, unindexed, deleted] = [1, 2, 3, 4, 5].map(|n| recording(n, &[Notes, Podcast]));
    for recording in [&good, &moved, &lost, &unindexed, &deleted] {
        let path = fixture.add_archive(recording);
        fixture.sl_ok(&["recordings", "import", "--remove", path.to_str().unwrap()]);
    }
    let all = fixture.sl_ok(&["recordings", "verify"]);
    assert_eq!(all, "5 recordings in the index, 10 formats on the shelves, 0 problems.\n");

    let format_dir = |shelf: &str, recording: &Recording| {
        let directory = fixture.path(shelf).join("podcast");
        fs::create_dir_all(&directory).unwrap();
        directory.join(recording.record_id())
    };
    fs::rename(format_dir("published", &moved), format_dir("unpublished", &moved)).unwrap();
    fs::remove_dir_all(format_dir("published", &lost)).unwrap();
    fixture.postgres.sql(&format!(
        "WITH r AS (SELECT id FROM recordings WHERE record_id = '{}'), \
              t AS (DELETE FROM thumbnails WHERE playback_format_id IN \
                  (SELECT f.id FROM playback_formats f JOIN r ON f.recording_id = r.id)), \
              m AS (DELETE FROM metadata WHERE recording_id IN (SELECT id FROM r)) \
         DELETE FROM playback_formats WHERE recording_id IN (SELECT id FROM r)",
        unindexed.record_id()
    ));
    fixture.postgres.sql(&format!("DELETE FROM recordings WHERE record_id = '{}'", unindexed.record_id()));
    // Deleted, then its files were restored from a backup.
    let backup = TempDir::new().unwrap();
    let copied =
        Command::new("cp").arg("-a").arg(format_dir("published", &deleted)).arg(backup.path()).status();
    assert!(copied.unwrap().success());
    fixture.sl_ok(&["recordings", "delete", "--yes", &deleted.record_id()]);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(backup.path().join(deleted.record_id()))
        .arg(fixture.path("published/podcast"))
        .status();
    assert!(copied.unwrap().success());
    let hidden = fixture.path("published/notes/.sl-work").join(format!("{}.new.1", good.record_id()));
    fs::create_dir_all(hidden).unwrap();

    let problems = |args: &[&str]| {
        let output = fixture.sl(args);
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut list: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| (f["record_id"].as_str().unwrap().to_owned(), f["problem"].as_str().unwrap().to_owned()))
            .collect();
        list.sort();
        list
    };
    let mut expected: Vec<_> = [
        (&good, "leftover"),
        (&moved, "wrong_shelf"),
        (&lost, "missing"),
        (&unindexed, "not_indexed"),
        (&unindexed, "not_indexed"),
        (&deleted, "deleted"),
    ]
    .iter()
    .map(|(recording, problem)| (recording.record_id(), (*problem).to_owned()))
    .collect();
    expected.sort();
    assert_eq!(problems(&["recordings", "verify", "--json"]), expected);
    assert_eq!(problems(&["recordings", "verify", "--json", "--repair"]), expected);
    // Lost files cannot be repaired.
    assert_eq!(problems(&["recordings", "verify", "--json"]), [(lost.record_id(), "missing".to_owned())]);
    assert_eq!(fixture.indexed_formats(&unindexed), ["notes", "podcast"]);
    assert!(format_dir("published", &moved).exists() && !format_dir("published", &deleted).exists());
    // Only importing its archive again repairs that.
    let path = fixture.add_archive(&lost);
    fixture.sl_ok(&["recordings", "import", "--remove", path.to_str().unwrap()]);
    fixture.sl_ok(&["recordings", "verify"]);
}
