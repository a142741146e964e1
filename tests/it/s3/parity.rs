//! The whole lifecycle of a recording, in S3 and in directories: same responses, same files.

use super::*;
use crate::importer::recording;
use crate::support::snapshot::render;
use crate::support::{RecordingEnv, s3::tree};
use RecordingFormat::{Notes, Presentation, Video};
use sl_sim::{Compression, Recording, RecordingFormat};
use std::fs;

/// A pool with recordings whose files are in directories or in a bucket.
struct LifecycleFixture {
    env: RecordingEnv,
    bucket: Option<Bucket>,
    archives: TempDir,
    /// Every response, and the files after it.
    transcript: Vec<String>,
}

impl LifecycleFixture {
    fn new(bucket: Option<Bucket>) -> LifecycleFixture {
        let variables = bucket.as_ref().map_or(Vec::new(), Bucket::variables);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        LifecycleFixture {
            env: RecordingEnv::with(1, &variables),
            bucket,
            archives: TempDir::new().unwrap(),
            transcript: Vec::new(),
        }
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        if let Some(bucket) = &self.bucket {
            return bucket.objects();
        }
        let mut files = BTreeMap::new();
        for (shelf, directory) in
            [("published", self.env.published()), ("unpublished", self.env.unpublished())]
        {
            files
                .extend(tree(&directory).into_iter().map(|(name, bytes)| (format!("{shelf}/{name}"), bytes)));
        }
        files
    }

    /// Moves the files below one prefix to another, or deletes them, as an operator might.
    fn move_by_hand(&self, from: &str, to: Option<&str>) {
        let files: Vec<_> = self.files().into_iter().filter(|(name, _)| name.starts_with(from)).collect();
        assert!(!files.is_empty(), "{from}");
        let root = self.env.published().parent().unwrap().to_owned();
        for (name, bytes) in files {
            let moved = to.map(|to| name.replacen(from, to, 1));
            match (&self.bucket, moved) {
                (Some(bucket), moved) => {
                    bucket.remove(&name);
                    moved.into_iter().for_each(|moved| bucket.put(&moved, &bytes));
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

    /// Records a response and the files there are now.
    fn record(&mut self, what: &str, response: String) {
        let mut text = format!("{what}\n{response}\n");
        for (name, bytes) in self.files() {
            text += &format!(
                "{name} {}\n",
                bytes.iter().fold(bytes.len() as u64, |n, b| n.wrapping_mul(31) + u64::from(*b))
            );
        }
        let address = self.env.pool.address(0);
        self.transcript.push(
            text.replace(&address, "[server]").replace(self.archives.path().to_str().unwrap(), "[archives]"),
        );
    }

    fn call(&mut self, call: &str, query: &str) {
        let reply = self.env.pool.get(call, query);
        self.record(&format!("{call}?{query}"), render(&reply));
    }

    fn sl(&mut self, args: &[&str]) {
        let output = self.env.pool.sl(args);
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).join("");
        self.record(&format!("{args:?}: {:?}", output.status.code()), text);
    }

    fn import(&mut self, recording: &Recording) {
        let archive = recording.write_archive(self.archives.path(), Compression::None).unwrap();
        self.sl(&["--json", "recordings", "import", archive.to_str().unwrap()]);
    }
}

fn exercise(bucket: Option<Bucket>) -> Vec<String> {
    let mut fixture = LifecycleFixture::new(bucket);
    let one = recording(1, &[Notes, Presentation, Video]);
    let (two, three) = (recording(2, &[Video]), recording(3, &[Notes, Video]));
    let (id, id2, id3) = (one.record_id(), two.record_id(), three.record_id());
    let verify = ["--json", "recordings", "verify"];
    let repair = ["--json", "recordings", "verify", "--repair"];
    for recording in [&one, &two, &three] {
        fixture.import(recording);
    }
    fixture.call("getRecordings", "");
    fixture.sl(&verify);
    fixture.call("publishRecordings", &format!("recordID={id}&publish=false"));
    fixture.call("publishRecordings", &format!("recordID={id}&publish=false"));
    fixture.call("updateRecordings", &format!("recordID={id}&meta_name=Algebra"));
    // Reprocessed with other slides, it stays on the shelf that the client chose.
    fixture.import(&Recording { formats: vec![Presentation], slides: 2, seed: 7, ..one.clone() });
    fixture.call("getRecordings", &format!("recordID={id}"));
    fixture.call("publishRecordings", &format!("recordID={id}&publish=true"));
    fixture.sl(&["recordings", "unpublish", &id2]);
    fixture.call("deleteRecordings", &format!("recordID={id2}"));
    fixture.call("publishRecordings", &format!("recordID={id2}&publish=true"));
    fixture.call("getRecordings", "state=any");
    // Manual mistakes: a wrong shelf, a lost format, a format missing in the index.
    fixture.move_by_hand(
        &format!("published/presentation/{id}/"),
        Some(&format!("unpublished/presentation/{id}/")),
    );
    fixture.move_by_hand(&format!("published/notes/{id}/"), None);
    fixture.env.postgres.sql(&format!(
        "DELETE FROM playback_formats USING recordings r WHERE r.id = recording_id AND record_id = '{id3}' \
         AND format = 'notes'"
    ));
    fixture.sl(&verify);
    fixture.sl(&repair);
    fixture.sl(&verify);
    fixture.call("getRecordings", "");
    // All its files are lost.
    for format in ["presentation", "video"] {
        fixture.move_by_hand(&format!("published/{format}/{id}/"), None);
    }
    fixture.call("publishRecordings", &format!("recordID={id}&publish=false"));
    fixture.import(&one);
    fixture.sl(&verify);
    fixture.sl(&["--json", "recordings", "retain", "--older-than", "1h", "--dry-run"]);
    fixture.sl(&["--json", "recordings", "retain", "--older-than", "1h", "--yes"]);
    assert!(fixture.files().is_empty(), "{:?}", fixture.files().keys());
    fixture.call("getRecordings", "state=any");
    fixture.sl(&verify);
    fixture.transcript
}

#[test]
fn s3_and_directories_behave_the_same() {
    let (directories, bucket) = (exercise(None), exercise(Some(Bucket::start())));
    assert_eq!(directories.len(), bucket.len());
    for (directory, bucket) in directories.iter().zip(&bucket) {
        assert_eq!(directory, bucket);
    }
    // Both did something: every kind of finding occurred, and none is left in the end.
    let all = directories.join("");
    for problem in ["wrong_shelf", "missing", "not_indexed", "The files of the recording are missing"] {
        assert!(all.contains(problem), "{problem}");
    }
    assert!(directories.last().unwrap().contains("\"left\": 0"), "{}", directories.last().unwrap());
}
