//! `sl recordings import` and `verify`.

use super::*;
use RecordingFormat::{Notes, Podcast, Presentation, Video};
use serde_json::Value;

#[test]
fn archives_are_imported_by_hand_and_stay_where_they_are() {
    let import = Import::start();
    let elsewhere = TempDir::new().unwrap();
    let recordings = [recording(1, &[Presentation, Video]), recording(2, &[Notes])];
    let paths = recordings
        .each_ref()
        .map(|recording| recording.write_archive(elsewhere.path(), Compression::Zst).unwrap());
    let printed = import.sl_ok(&["recordings", "import", paths[0].to_str().unwrap()]);
    assert_eq!(printed, format!("OK {}: presentation, video\n", recordings[0].record_id()));
    assert!(paths[0].exists());
    // One that is no good does not keep the next from being tried.
    let bad = elsewhere.path().join("bad.tar");
    fs::write(&bad, "no archive").unwrap();
    let args = ["recordings", "import", "--remove", bad.to_str().unwrap(), paths[1].to_str().unwrap()];
    let output = import.sl(&args);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("truncated") && errors.contains("1 of 2 archives"), "{errors}");
    assert!(bad.exists() && !paths[1].exists());
    let output = import.sl(&["recordings", "import", "/nonexistent.tar"]);
    assert_eq!(output.status.code(), Some(1));
    import.only_these_are_there(&recordings, "published");
}

#[test]
fn verify_finds_and_repairs_what_does_not_fit_together() {
    let import = Import::start();
    let [good, moved, lost, forgotten, deleted] = [1, 2, 3, 4, 5].map(|n| recording(n, &[Notes, Podcast]));
    for recording in [&good, &moved, &lost, &forgotten, &deleted] {
        let path = import.arrives(recording);
        import.sl_ok(&["recordings", "import", "--remove", path.to_str().unwrap()]);
    }
    let all = import.sl_ok(&["recordings", "verify"]);
    assert_eq!(all, "5 recordings in the index, 10 formats on the shelves, 0 problems.\n");

    let at = |shelf: &str, recording: &Recording| {
        let directory = import.path(shelf).join("podcast");
        fs::create_dir_all(&directory).unwrap();
        directory.join(recording.record_id())
    };
    fs::rename(at("published", &moved), at("unpublished", &moved)).unwrap();
    fs::remove_dir_all(at("published", &lost)).unwrap();
    import.postgres.sql(&format!(
        "WITH r AS (SELECT id FROM recordings WHERE record_id = '{}'), \
              t AS (DELETE FROM thumbnails WHERE playback_format_id IN \
                  (SELECT f.id FROM playback_formats f JOIN r ON f.recording_id = r.id)), \
              m AS (DELETE FROM metadata WHERE recording_id IN (SELECT id FROM r)) \
         DELETE FROM playback_formats WHERE recording_id IN (SELECT id FROM r)",
        forgotten.record_id()
    ));
    import.postgres.sql(&format!("DELETE FROM recordings WHERE record_id = '{}'", forgotten.record_id()));
    // Deleted, and its files came back from a backup.
    let backup = TempDir::new().unwrap();
    let copied = Command::new("cp").arg("-a").arg(at("published", &deleted)).arg(backup.path()).status();
    assert!(copied.unwrap().success());
    import.sl_ok(&["recordings", "delete", "--yes", &deleted.record_id()]);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(backup.path().join(deleted.record_id()))
        .arg(import.path("published/podcast"))
        .status();
    assert!(copied.unwrap().success());
    let hidden = import.path("published/notes/.sl-work").join(format!("{}.new.1", good.record_id()));
    fs::create_dir_all(hidden).unwrap();

    let problems = |args: &[&str]| {
        let output = import.sl(args);
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
        (&forgotten, "not_indexed"),
        (&forgotten, "not_indexed"),
        (&deleted, "deleted"),
    ]
    .iter()
    .map(|(recording, problem)| (recording.record_id(), (*problem).to_owned()))
    .collect();
    expected.sort();
    assert_eq!(problems(&["recordings", "verify", "--json"]), expected);
    assert_eq!(problems(&["recordings", "verify", "--json", "--repair"]), expected);
    // What is lost is lost.
    assert_eq!(problems(&["recordings", "verify", "--json"]), [(lost.record_id(), "missing".to_owned())]);
    assert_eq!(import.indexed(&forgotten), ["notes", "podcast"]);
    assert!(at("published", &moved).exists() && !at("published", &deleted).exists());
    // Until its archive comes once more.
    let path = import.arrives(&lost);
    import.sl_ok(&["recordings", "import", "--remove", path.to_str().unwrap()]);
    import.sl_ok(&["recordings", "verify"]);
}
