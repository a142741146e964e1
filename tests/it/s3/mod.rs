//! Recordings in S3: a real server that speaks it, and all that a network and a kill can do meanwhile.

mod faults;
mod imports;
mod kills;
mod life;
mod storage;
mod watching;

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

/// The files of a format as an importer unpacked it; `text` tells it from others.
fn files(text: &str) -> Vec<(&'static str, String)> {
    vec![
        ("metadata.xml", format!("<x>{text}</x>")),
        ("deep/er/file.txt", text.to_owned()),
        ("a b~[1]%41#?.png", format!("odd {text}")),
    ]
}

/// A directory with files.
fn unpacked(work: &TempDir, files: &[(&str, String)]) -> PathBuf {
    let directory = work.path().join(uuid::Uuid::new_v4().to_string());
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// Puts a format straight onto a shelf.
fn lay(bucket: &Bucket, at: &str, text: &str) {
    for (name, text) in files(text) {
        bucket.lay(&format!("{at}/{ID}/{name}"), text.as_bytes());
    }
}

/// Exactly these formats are in the bucket, whole, and nothing else: `published/video`, and its text.
#[track_caller]
fn holds(bucket: &Bucket, formats: &[(&str, &str)]) {
    let expected: BTreeMap<String, Vec<u8>> = formats
        .iter()
        .flat_map(|(at, text)| {
            files(text).into_iter().map(move |(name, text)| (format!("{at}/{ID}/{name}"), text.into_bytes()))
        })
        .collect();
    let found = bucket.objects();
    let names = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    assert!(found == expected, "the keys are right, and what is in them is not");
    assert_eq!(bucket.unfinished(), 0);
}

/// Moves a recording and finishes the move.
async fn move_and_finish(storage: &Storage, current: Option<Shelf>, to: Shelf) -> MoveOutcome {
    let shelf_move = storage.move_to_shelf(&id(), current, to).await.unwrap();
    let outcome = shelf_move.outcome;
    storage.finish_move(shelf_move).await;
    outcome
}
