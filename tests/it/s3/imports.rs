//! The importer on S3: every day, killed, and with a network that breaks.

use super::*;
use crate::importing::{Import, Importer, entries, recording};
use crate::support::eventually;
use RecordingFormat::{Notes, Presentation, Screenshare, Video};
use sl_sim::{Recording, RecordingFormat};
use std::process::Command;

fn on(bucket: &Bucket, more: &[(&str, &str)]) -> Import {
    let variables = bucket.variables();
    let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend(more);
    Import::with(&variables)
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

/// The spool is empty, and this is in the bucket once, whole, and nothing else anywhere.
#[track_caller]
fn only_this_is_there(import: &Import, bucket: &Bucket, recording: &Recording, shelf: &str) {
    eventually("the spool and the work directory are empty", || {
        let left =
            std::fs::read_dir(import.path("spool")).unwrap().filter(|e| e.as_ref().unwrap().path().is_file());
        left.count() == 0 && entries(&import.path("work")).is_empty()
    });
    import.imported(recording);
    assert_eq!(import.postgres.sql("SELECT count(*) FROM recordings"), "1");
    let expected = expected(recording, shelf);
    eventually("nothing else is in the bucket", || bucket.keys().len() == expected.len());
    let found = bucket.objects();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(found == expected, "the keys are right, and what is in them is not");
    assert_eq!(bucket.unfinished(), 0);
    assert_eq!(entries(&import.path("published")).len() + entries(&import.path("unpublished")).len(), 0);
}

/// A film that takes several parts.
fn large() -> Recording {
    Recording { slides: 30, size: 40_000_000, ..recording(1, &[Presentation, Video]) }
}

#[test]
fn an_archive_becomes_a_recording_in_the_bucket() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[("RECORDING_IMPORT_UNPUBLISHED", "true")]);
    let importer = import.importer();
    let recording = recording(1, &RecordingFormat::ALL);
    import.arrives(&recording);
    only_this_is_there(&import, &bucket, &recording, "unpublished");
    assert!(!importer.log().contains(crate::support::s3::SECRET_KEY));
}

#[test]
fn a_recording_that_comes_again_is_replaced() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
    let _importer = import.importer();
    let first = Recording { slides: 9, ..recording(1, &[Presentation, Video]) };
    import.arrives(&first);
    only_this_is_there(&import, &bucket, &first, "published");
    let second = Recording { slides: 4, formats: vec![Presentation, Screenshare, Video], seed: 9, ..first };
    import.arrives(&second);
    import.imported(&second);
    only_this_is_there(&import, &bucket, &second, "published");
}

#[test]
fn a_name_that_no_object_can_have_makes_the_archive_bad() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
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
    import.arrives_as("bad.tar", &std::fs::read(archive).unwrap());
    let importer = import.importer();
    eventually("it is in failed/", || import.path("spool").join("failed/bad.tar.error").exists());
    let why = std::fs::read_to_string(import.path("spool").join("failed/bad.tar.error")).unwrap();
    assert!(why.contains("cannot be an object's name"), "{why}");
    import.nothing_is_visible();
    eventually("nothing is left in the bucket", || bucket.keys().is_empty() || importer.log().is_empty());
}

fn killed_in_the_middle(import: &Import, bucket: &Bucket, importer: Importer, before: u64) {
    eventually("some of it is uploaded", || bucket.network.passed() > before + 14_000_000);
    importer.kill();
    assert!(!bucket.keys().is_empty(), "it was not in the middle");
    assert!(import.path("spool").read_dir().unwrap().count() > 0, "it was done");
}

#[test]
fn killed_in_mid_upload_there_is_one_whole_recording_in_the_end() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
    let recording = large();
    import.arrives(&recording);
    killed_in_the_middle(&import, &bucket, import.importer(), 0);
    import.nothing_is_visible();
    assert!(bucket.unfinished() > 0, "a film was on its way");
    let _successor = import.importer();
    only_this_is_there(&import, &bucket, &recording, "published");
}

#[test]
fn killed_while_its_successor_comes_a_recording_stays_as_it_was() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
    let importer = import.importer();
    let first = recording(1, &[Presentation, Video]);
    import.arrives(&first);
    only_this_is_there(&import, &bucket, &first, "published");
    let second = Recording { seed: 5, ..large() };
    let before = bucket.network.passed();
    import.arrives(&second);
    killed_in_the_middle(&import, &bucket, importer, before);
    let on_shelf: BTreeMap<_, _> =
        bucket.objects().into_iter().filter(|(key, _)| key.starts_with("published/video/")).collect();
    let old: BTreeMap<_, _> = expected(&first, "published")
        .into_iter()
        .filter(|(key, _)| key.starts_with("published/video/"))
        .collect();
    assert!(on_shelf == old, "what is watched has not changed yet");
    let _successor = import.importer();
    only_this_is_there(&import, &bucket, &second, "published");
}

#[test]
fn a_network_that_breaks_again_and_again_loses_nothing() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
    let recording = large();
    // A part of a film never gets through, until the network has enough of it.
    bucket.network.cut_after(3_000_000, 40);
    import.arrives(&recording);
    let importer = import.importer();
    eventually("an attempt has failed", || importer.logged("import failed") > 0);
    import.nothing_is_visible();
    only_this_is_there(&import, &bucket, &recording, "published");
    assert_eq!(bucket.network.cuts(), 40);
}

#[test]
fn while_s3_is_down_archives_wait() {
    let bucket = Bucket::start();
    let import = on(&bucket, &[]);
    bucket.network.down(true);
    let recording = recording(1, &[Notes, Video]);
    import.arrives(&recording);
    let importer = import.importer();
    eventually("an attempt has failed", || importer.logged("import failed") > 0);
    import.nothing_is_visible();
    bucket.network.down(false);
    only_this_is_there(&import, &bucket, &recording, "published");
}
