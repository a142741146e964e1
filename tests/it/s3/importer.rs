//! The importer with S3: ordinary imports, kills, and a failing network.

use super::*;
use crate::importer::{Importer, ImporterFixture, entries, recording};
use crate::support::eventually;
use RecordingFormat::{Notes, Presentation, Screenshare, Video};
use sl_sim::{Recording, RecordingFormat};
use std::process::Command;

fn importer_fixture(bucket: &Bucket, more: &[(&str, &str)]) -> ImporterFixture {
    let variables = bucket.variables();
    let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend(more);
    ImporterFixture::with(&variables)
}

/// The files of a recording as the system's tar unpacks them.
fn expected(recording: &Recording, shelf: &str) -> BTreeMap<String, Vec<u8>> {
    let (directory, mut bytes) = (TempDir::new().unwrap(), Vec::new());
    recording.write_tar(&mut bytes).unwrap();
    let archive = directory.path().join("archive.tar");
    std::fs::write(&archive, bytes).unwrap();
    assert!(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(directory.path())
            .status()
            .unwrap()
            .success()
    );
    std::fs::remove_file(archive).unwrap();
    let files = crate::support::s3::tree(directory.path());
    files.into_iter().map(|(name, bytes)| (format!("{shelf}/{name}"), bytes)).collect()
}

/// Asserts that the spool is empty and that the bucket holds this recording once, complete, and nothing else.
#[track_caller]
fn assert_only_recording(fixture: &ImporterFixture, bucket: &Bucket, recording: &Recording, shelf: &str) {
    eventually("the spool and the work directory are empty", || {
        let left = std::fs::read_dir(fixture.path("spool"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().is_file());
        left.count() == 0 && entries(&fixture.path("work")).is_empty()
    });
    fixture.wait_until_imported(recording);
    assert_eq!(fixture.postgres.sql("SELECT count(*) FROM recordings"), "1");
    let expected = expected(recording, shelf);
    eventually("nothing else is in the bucket", || bucket.keys().len() == expected.len());
    let found = bucket.objects();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(found == expected, "the keys are right but the contents are not");
    assert_eq!(bucket.unfinished_uploads(), 0);
    assert_eq!(entries(&fixture.path("published")).len() + entries(&fixture.path("unpublished")).len(), 0);
}

/// A recording whose video is uploaded in several parts.
fn large_recording() -> Recording {
    Recording { slides: 30, size: 40_000_000, ..recording(1, &[Presentation, Video]) }
}

#[test]
fn importer_writes_recording_to_bucket() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[("RECORDING_IMPORT_UNPUBLISHED", "true")]);
    let importer = fixture.start_importer();
    let recording = recording(1, &RecordingFormat::ALL);
    fixture.add_archive(&recording);
    assert_only_recording(&fixture, &bucket, &recording, "unpublished");
    assert!(!importer.log().contains(crate::support::s3::SECRET_KEY));
}

#[test]
fn reimported_recording_is_replaced_in_bucket() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    let _importer = fixture.start_importer();
    let first = Recording { slides: 9, ..recording(1, &[Presentation, Video]) };
    fixture.add_archive(&first);
    assert_only_recording(&fixture, &bucket, &first, "published");
    let second = Recording { slides: 4, formats: vec![Presentation, Screenshare, Video], seed: 9, ..first };
    fixture.add_archive(&second);
    fixture.wait_until_imported(&second);
    assert_only_recording(&fixture, &bucket, &second, "published");
}

#[test]
fn archive_with_invalid_object_name_is_quarantined() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    let good = recording(1, &[Notes]);
    let (directory, mut bytes) = (TempDir::new().unwrap(), Vec::new());
    good.write_tar(&mut bytes).unwrap();
    let archive = directory.path().join("bad.tar");
    std::fs::write(&archive, bytes).unwrap();
    let place = directory.path().join("notes").join(good.record_id());
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("two\nlines"), "x").unwrap();
    let member = format!("notes/{}/two\nlines", good.record_id());
    let status =
        Command::new("tar").arg("-rf").arg(&archive).arg("-C").arg(directory.path()).arg(member).status();
    assert!(status.unwrap().success());
    fixture.add_spool_file("bad.tar", &std::fs::read(archive).unwrap());
    let importer = fixture.start_importer();
    eventually("it is in failed/", || fixture.path("spool").join("failed/bad.tar.error").exists());
    let error = std::fs::read_to_string(fixture.path("spool").join("failed/bad.tar.error")).unwrap();
    assert!(error.contains("cannot be an object's name"), "{error}");
    fixture.assert_nothing_indexed();
    eventually("nothing is left in the bucket", || bucket.keys().is_empty() || importer.log().is_empty());
}

fn kill_during_upload(fixture: &ImporterFixture, bucket: &Bucket, importer: Importer, before: u64) {
    eventually("some of it is uploaded", || bucket.network.passed() > before + 14_000_000);
    importer.kill();
    assert!(!bucket.keys().is_empty(), "killed before the upload");
    assert!(fixture.path("spool").read_dir().unwrap().count() > 0, "killed after the import");
}

#[test]
fn import_recovers_after_kill_during_upload() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    let recording = large_recording();
    fixture.add_archive(&recording);
    kill_during_upload(&fixture, &bucket, fixture.start_importer(), 0);
    fixture.assert_nothing_indexed();
    assert!(bucket.unfinished_uploads() > 0, "a video upload must be in progress");
    let _successor = fixture.start_importer();
    assert_only_recording(&fixture, &bucket, &recording, "published");
}

#[test]
fn kill_during_replacement_keeps_old_recording_visible() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    let importer = fixture.start_importer();
    let first = recording(1, &[Presentation, Video]);
    fixture.add_archive(&first);
    assert_only_recording(&fixture, &bucket, &first, "published");
    let second = Recording { seed: 5, ..large_recording() };
    let before = bucket.network.passed();
    fixture.add_archive(&second);
    kill_during_upload(&fixture, &bucket, importer, before);
    let on_shelf: BTreeMap<_, _> =
        bucket.objects().into_iter().filter(|(key, _)| key.starts_with("published/video/")).collect();
    let old: BTreeMap<_, _> = expected(&first, "published")
        .into_iter()
        .filter(|(key, _)| key.starts_with("published/video/"))
        .collect();
    assert!(on_shelf == old, "the visible recording must not change yet");
    let _successor = fixture.start_importer();
    assert_only_recording(&fixture, &bucket, &second, "published");
}

#[test]
fn import_survives_repeated_network_failures() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    let recording = large_recording();
    // No part of the video gets through until the network stops cutting connections.
    bucket.network.cut_after(3_000_000, 40);
    fixture.add_archive(&recording);
    let importer = fixture.start_importer();
    eventually("an attempt has failed", || importer.count_logged("import failed") > 0);
    fixture.assert_nothing_indexed();
    assert_only_recording(&fixture, &bucket, &recording, "published");
    assert_eq!(bucket.network.cuts(), 40);
}

#[test]
fn archives_wait_while_s3_is_down() {
    let bucket = Bucket::start();
    let fixture = importer_fixture(&bucket, &[]);
    bucket.network.set_down(true);
    let recording = recording(1, &[Notes, Video]);
    fixture.add_archive(&recording);
    let importer = fixture.start_importer();
    eventually("an attempt has failed", || importer.count_logged("import failed") > 0);
    fixture.assert_nothing_indexed();
    bucket.network.set_down(false);
    assert_only_recording(&fixture, &bucket, &recording, "published");
}
