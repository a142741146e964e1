//! Recordings in S3: a real S3 server, network failures and kills.

mod faults;
mod importer;
mod parity;
mod playback;
mod recovery;
mod storage;

use crate::support::s3::Bucket;
use sl::recordings::{FormatName, MoveOutcome, RecordId, Shelf, Storage};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;

const ID: &str = "0123456789abcdef0123456789abcdef01234567-1767225600000";

fn id() -> RecordId {
    RecordId::parse(ID).unwrap()
}

fn format(name: &str) -> FormatName {
    FormatName::parse(name).unwrap()
}

/// The files of a format as the importer unpacks them; `text` makes them distinguishable.
fn files(text: &str) -> Vec<(&'static str, String)> {
    vec![
        ("metadata.xml", format!("<x>{text}</x>")),
        ("deep/er/file.txt", text.to_owned()),
        ("a b~[1]%41#?.png", format!("odd {text}")),
    ]
}

/// Creates a directory with files.
fn unpacked(work: &TempDir, files: &[(&str, String)]) -> PathBuf {
    let directory = work.path().join(uuid::Uuid::new_v4().to_string());
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// Writes a format directly to a shelf.
fn put_format(bucket: &Bucket, prefix: &str, text: &str) {
    for (name, text) in files(text) {
        bucket.put(&format!("{prefix}/{ID}/{name}"), text.as_bytes());
    }
}

/// Asserts that the bucket holds exactly these formats, complete: pairs of `published/video` and its text.
#[track_caller]
fn assert_holds(bucket: &Bucket, formats: &[(&str, &str)]) {
    let expected: BTreeMap<String, Vec<u8>> = formats
        .iter()
        .flat_map(|(prefix, text)| {
            files(text)
                .into_iter()
                .map(move |(name, text)| (format!("{prefix}/{ID}/{name}"), text.into_bytes()))
        })
        .collect();
    let found = bucket.objects();
    let names = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    assert!(found == expected, "the keys are right but the contents are not");
    assert_eq!(bucket.unfinished_uploads(), 0);
}

/// Moves a recording and finishes the move.
async fn move_and_finish(storage: &Storage, current: Option<Shelf>, to: Shelf) -> MoveOutcome {
    let shelf_move = storage.move_to_shelf(&id(), current, to).await.unwrap();
    let outcome = shelf_move.outcome;
    storage.finish_move(shelf_move).await;
    outcome
}
