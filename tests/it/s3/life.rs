//! The whole life of a recording, on S3 and on directories: the same answers, the same files.

use super::*;
use crate::importing::recording;
use crate::support::snapshot::shown;
use crate::support::{Library, s3::tree};
use RecordingFormat::{Notes, Presentation, Video};
use sl_sim::{Compression, Recording, RecordingFormat};
use std::fs;

/// A pool with recordings, wherever its files are.
struct Place {
    library: Library,
    bucket: Option<Bucket>,
    archives: TempDir,
    /// All that was answered and seen.
    seen: Vec<String>,
}

impl Place {
    fn new(bucket: Option<Bucket>) -> Place {
        let variables = bucket.as_ref().map_or(Vec::new(), Bucket::variables);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Place {
            library: Library::with(1, &variables),
            bucket,
            archives: TempDir::new().unwrap(),
            seen: Vec::new(),
        }
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        if let Some(bucket) = &self.bucket {
            return bucket.objects();
        }
        let mut files = BTreeMap::new();
        for (shelf, directory) in
            [("published", self.library.published()), ("unpublished", self.library.unpublished())]
        {
            files
                .extend(tree(&directory).into_iter().map(|(name, bytes)| (format!("{shelf}/{name}"), bytes)));
        }
        files
    }

    /// Moves what is below one prefix to another, or away, as an operator might.
    fn by_hand(&self, from: &str, to: Option<&str>) {
        let files: Vec<_> = self.files().into_iter().filter(|(name, _)| name.starts_with(from)).collect();
        assert!(!files.is_empty(), "{from}");
        let root = self.library.published().parent().unwrap().to_owned();
        for (name, bytes) in files {
            let moved = to.map(|to| name.replacen(from, to, 1));
            match (&self.bucket, moved) {
                (Some(bucket), moved) => {
                    bucket.take(&name);
                    moved.into_iter().for_each(|moved| bucket.lay(&moved, &bytes));
                }
                (None, Some(moved)) => {
                    fs::create_dir_all(root.join(&moved).parent().unwrap()).unwrap();
                    fs::rename(root.join(&name), root.join(&moved)).unwrap();
                }
                (None, None) => fs::remove_file(root.join(&name)).unwrap(),
            }
        }
        if self.bucket.is_none() {
            let _ = fs::remove_dir_all(root.join(from));
        }
    }

    /// What an answer was, and which files there are now.
    fn see(&mut self, what: &str, answer: String) {
        let mut text = format!("{what}\n{answer}\n");
        for (name, bytes) in self.files() {
            text += &format!(
                "{name} {}\n",
                bytes.iter().fold(bytes.len() as u64, |n, b| n.wrapping_mul(31) + u64::from(*b))
            );
        }
        let address = self.library.pool.address(0);
        self.seen.push(
            text.replace(&address, "[server]").replace(self.archives.path().to_str().unwrap(), "[archives]"),
        );
    }

    fn call(&mut self, call: &str, query: &str) {
        let reply = self.library.pool.get(call, query);
        self.see(&format!("{call}?{query}"), shown(&reply));
    }

    fn sl(&mut self, args: &[&str]) {
        let output = self.library.pool.sl(args);
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).join("");
        self.see(&format!("{args:?}: {:?}", output.status.code()), text);
    }

    fn import(&mut self, recording: &Recording) {
        let archive = recording.write_archive(self.archives.path(), Compression::None).unwrap();
        self.sl(&["--json", "recordings", "import", archive.to_str().unwrap()]);
    }
}

fn live(bucket: Option<Bucket>) -> Vec<String> {
    let mut place = Place::new(bucket);
    let one = recording(1, &[Notes, Presentation, Video]);
    let (two, three) = (recording(2, &[Video]), recording(3, &[Notes, Video]));
    let (id, id2, id3) = (one.record_id(), two.record_id(), three.record_id());
    let verify = ["--json", "recordings", "verify"];
    let repair = ["--json", "recordings", "verify", "--repair"];
    for recording in [&one, &two, &three] {
        place.import(recording);
    }
    place.call("getRecordings", "");
    place.sl(&verify);
    place.call("publishRecordings", &format!("recordID={id}&publish=false"));
    place.call("publishRecordings", &format!("recordID={id}&publish=false"));
    place.call("updateRecordings", &format!("recordID={id}&meta_name=Algebra"));
    // Reprocessed, with other slides, it stays where the client wants it.
    place.import(&Recording { formats: vec![Presentation], slides: 2, seed: 7, ..one.clone() });
    place.call("getRecordings", &format!("recordID={id}"));
    place.call("publishRecordings", &format!("recordID={id}&publish=true"));
    place.sl(&["recordings", "unpublish", &id2]);
    place.call("deleteRecordings", &format!("recordID={id2}"));
    place.call("publishRecordings", &format!("recordID={id2}&publish=true"));
    place.call("getRecordings", "state=any");
    // What an operator may do by hand: the wrong shelf, a format lost, one that nobody knows.
    place.by_hand(&format!("published/presentation/{id}/"), Some(&format!("unpublished/presentation/{id}/")));
    place.by_hand(&format!("published/notes/{id}/"), None);
    place.library.postgres.sql(&format!(
        "DELETE FROM playback_formats USING recordings r WHERE r.id = recording_id AND record_id = '{id3}' \
         AND format = 'notes'"
    ));
    place.sl(&verify);
    place.sl(&repair);
    place.sl(&verify);
    place.call("getRecordings", "");
    // Its files are nowhere.
    for format in ["presentation", "video"] {
        place.by_hand(&format!("published/{format}/{id}/"), None);
    }
    place.call("publishRecordings", &format!("recordID={id}&publish=false"));
    place.import(&one);
    place.sl(&verify);
    place.sl(&["--json", "recordings", "retain", "--older-than", "1h", "--dry-run"]);
    place.sl(&["--json", "recordings", "retain", "--older-than", "1h", "--yes"]);
    assert!(place.files().is_empty(), "{:?}", place.files().keys());
    place.call("getRecordings", "state=any");
    place.sl(&verify);
    place.seen
}

#[test]
fn s3_and_directories_answer_the_same() {
    let (directories, bucket) = (live(None), live(Some(Bucket::start())));
    assert_eq!(directories.len(), bucket.len());
    for (directory, bucket) in directories.iter().zip(&bucket) {
        assert_eq!(directory, bucket);
    }
    // Both did something: all kinds of findings, and in the end nothing to find.
    let all = directories.join("");
    for problem in ["wrong_shelf", "missing", "not_indexed", "The files of the recording are missing"] {
        assert!(all.contains(problem), "{problem}");
    }
    assert!(directories.last().unwrap().contains("\"left\": 0"), "{}", directories.last().unwrap());
}
