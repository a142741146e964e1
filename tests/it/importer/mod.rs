//! The importer: the running binary, a private Postgres, archives that the simulator makes.

mod archives;
mod bad_archives;
mod commands;
mod concurrency;
mod crashes;
mod disk_full;
mod shutdown;

use crate::support::{Postgres, eventually};
use sl::config::Config;
use sl::recordings::Index;
use sl_sim::{Compression, Recording, RecordingFormat};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Directories and an index, for importers to work on.
pub struct ImporterFixture {
    pub postgres: Postgres,
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// One `sl importer`, killed when dropped.
pub struct Importer {
    pub child: Child,
    log: PathBuf,
}

impl Importer {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of log lines that contain this.
    pub fn count_logged(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }

    pub fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ImporterFixture {
    pub fn start() -> ImporterFixture {
        ImporterFixture::with(&[])
    }

    pub fn with(variables: &[(&str, &str)]) -> ImporterFixture {
        let directory = scratch_dir();
        let fixture = ImporterFixture {
            postgres: Postgres::start(),
            directory,
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        };
        for name in ["spool", "published", "unpublished", "work"] {
            fs::create_dir(fixture.path(name)).unwrap();
        }
        let url = fixture.postgres.url();
        let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.clone())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            Index::for_background(&config.recordings).unwrap().db().migrate(|_| {}).await.unwrap();
        });
        fixture
    }

    /// A path in the test's directory: `spool`, `published`, `unpublished`, `work`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sl"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_URL", self.postgres.url())
            .env("RECORDING_IMPORT_POLL_INTERVAL", "0.5")
            .env("RECORDING_IMPORT_SETTLE", "0.1")
            .envs(
                [
                    ("SPOOL", "spool"),
                    ("WORK", "work"),
                    ("PUBLISH", "published"),
                    ("UNPUBLISH", "unpublished"),
                ]
                .map(|(variable, name)| (format!("RECORDING_{variable}_DIR"), self.path(name))),
            )
            .envs(self.variables.iter().map(|(n, v)| (n, v)));
        command
    }

    pub fn start_importer(&self) -> Importer {
        let log = self.path(&format!("log-{}", uuid::Uuid::new_v4()));
        let child = self
            .command()
            .arg("importer")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Importer { child, log }
    }

    pub fn sl(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    #[track_caller]
    pub fn sl_ok(&self, args: &[&str]) -> String {
        let output = self.sl(args);
        assert!(output.status.success(), "sl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Puts the archive of a recording into the spool, atomically.
    pub fn add_archive(&self, recording: &Recording) -> PathBuf {
        recording.write_archive(&self.path("spool"), Compression::None).unwrap()
    }

    /// Puts bytes into the spool under a name, atomically.
    pub fn add_spool_file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let hidden = self.path("spool").join(format!(".{name}"));
        fs::write(&hidden, bytes).unwrap();
        let path = self.path("spool").join(name);
        fs::rename(hidden, &path).unwrap();
        path
    }

    /// The formats of a recording in the index.
    pub fn indexed_formats(&self, recording: &Recording) -> Vec<String> {
        let sql = format!(
            "SELECT f.format FROM recordings r JOIN playback_formats f ON f.recording_id = r.id \
             WHERE r.record_id = '{}' ORDER BY 1",
            recording.record_id()
        );
        self.postgres.sql(&sql).lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn wait_until_imported(&self, recording: &Recording) {
        let mut formats: Vec<_> = recording.formats.iter().map(|f| f.name()).collect();
        formats.sort();
        eventually("the recording is in the index", || self.indexed_formats(recording) == formats);
    }

    /// Asserts that the spool is empty and that this recording exists once, complete, byte for byte as the
    /// system's tar unpacks it; nothing else is on the shelves, in the work directory or hidden anywhere.
    #[track_caller]
    pub fn assert_only_recording(&self, recording: &Recording, shelf: &str) {
        self.assert_only_recordings(std::slice::from_ref(recording), shelf);
    }

    #[track_caller]
    pub fn assert_only_recordings(&self, recordings: &[Recording], shelf: &str) {
        eventually("the spool and the work directory are empty", || {
            files(&self.path("spool")).is_empty() && entries(&self.path("work")).is_empty()
        });
        for recording in recordings {
            self.wait_until_imported(recording);
        }
        let count = self.postgres.sql("SELECT count(*), count(DISTINCT record_id) FROM recordings");
        assert_eq!(count, format!("{0}|{0}", recordings.len()));
        let expected = TempDir::new().unwrap();
        for recording in recordings {
            let mut bytes = Vec::new();
            recording.write_tar(&mut bytes).unwrap();
            let archive = expected.path().join("archive.tar");
            fs::write(&archive, bytes).unwrap();
            let status = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(expected.path()).status();
            assert!(status.unwrap().success());
            fs::remove_file(archive).unwrap();
        }
        assert_same_files(expected.path(), &self.path(shelf));
        let other = if shelf == "published" { "unpublished" } else { "published" };
        assert_eq!(files(&self.path(other)), [] as [PathBuf; 0]);
    }

    /// Asserts that the index has no recording.
    #[track_caller]
    pub fn assert_nothing_indexed(&self) {
        assert_eq!(self.postgres.sql("SELECT count(*) FROM recordings"), "0");
    }
}

/// Asserts that two directories hold the same files, hidden ones included.
#[track_caller]
fn assert_same_files(expected: &Path, found: &Path) {
    // diff follows links: an operator may have put a format on another disk.
    let output = Command::new("diff").arg("-r").arg(expected).arg(found).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", text.chars().take(2000).collect::<String>());
}

/// All files below a directory, links followed at its first level only.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = entries(directory);
    while let Some(path) = pending.pop() {
        if path.is_dir() { pending.extend(entries(&path)) } else { found.push(path) }
    }
    found
}

pub fn entries(directory: &Path) -> Vec<PathBuf> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    }
}

/// A directory in memory if there is space for it: writes of other programs slow a disk down.
fn scratch_dir() -> TempDir {
    let shared = rustix::fs::statvfs("/dev/shm").ok();
    let has_room = shared.is_some_and(|fs| fs.f_bavail * fs.f_frsize > 2 << 30);
    if has_room { TempDir::new_in("/dev/shm").unwrap() } else { TempDir::new().unwrap() }
}

/// A small recording, a different one for each number.
pub fn recording(n: u64, formats: &[RecordingFormat]) -> Recording {
    Recording {
        meeting_id: format!("meeting-{n}"),
        name: format!("Meeting <{n}> & more"),
        start_ms: 1_767_225_600_000 + n * 60_000,
        formats: formats.to_vec(),
        seed: n,
        ..Recording::default()
    }
}
