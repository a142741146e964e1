//! Import of large archives, compared with `tar -x` and `mv`, and of two thousand small ones. All on one disk.

use super::postgres::Postgres;
use super::processes::{Process, SL, wait_until};
use super::report::{Limit, Row};
use super::{median, number};
use anyhow::{Context, Result, ensure};
use sl_sim::{Compression, Recording, RecordingFormat};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Archives of one hour, as BBB servers make them: about 40 MB and 200 files.
const LARGE_ARCHIVES: u64 = 10;
const SMALL_ARCHIVES: u64 = 2_000;

pub fn run(postgres: &Postgres, directory: &Path) -> Result<Vec<Row>> {
    let rounds = number("SL_BENCH_ROUNDS", 3)?;
    postgres.sql("CREATE DATABASE import");
    let bench =
        Bench { url: postgres.url().replace("/postgres", "/import"), directory: directory.join("import") };
    bench.make_directories()?;
    let output = bench.sl("2").arg("migrate").output()?;
    ensure!(output.status.success(), "sl migrate: {}", String::from_utf8_lossy(&output.stderr));
    let (mut shell, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}: import of {LARGE_ARCHIVES} archives");
        let (archives, bytes) = bench.make_archives(LARGE_ARCHIVES, round, 60, 20_000_000)?;
        shell.push(bytes as f64 / 1e6 / bench.tar_and_mv(&archives)?);
        // One archive at a time, like tar.
        ours.push(bytes as f64 / 1e6 / bench.import(&archives, "1")?);
        bench.clear_directories()?;
    }
    let ratio = median(ours.iter().zip(&shell).map(|(ours, shell)| ours / shell));
    eprintln!("import of {SMALL_ARCHIVES} small archives");
    let (archives, _) = bench.make_archives(SMALL_ARCHIVES, 0, 1, 0)?;
    let cores = std::thread::available_parallelism()?.to_string();
    let seconds = bench.import(&archives, &cores)?;
    Ok(vec![
        Row {
            case: "tar -x and mv of large archives, MB/s".into(),
            per_second: Some(median(shell)),
            ..Row::default()
        },
        Row {
            case: "import of the same, MB/s".into(),
            per_second: Some(median(ours)),
            ratio: Some(ratio),
            ..Row::default()
        }
        .with_limit(Some(Limit::RatioAtLeast(0.5))),
        Row {
            case: format!("import of {SMALL_ARCHIVES} small archives, and how long it takes"),
            per_second: Some(SMALL_ARCHIVES as f64 / seconds),
            p50_ms: Some(seconds * 1000.0),
            ..Row::default()
        }
        .with_limit(Some(Limit::BelowMs(120_000.0))),
    ])
}

struct Bench {
    url: String,
    directory: PathBuf,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn make_directories(&self) -> Result<()> {
        for name in ["made", "spool", "published", "unpublished", "work"] {
            fs::create_dir_all(self.path(name))?;
        }
        Ok(())
    }

    fn clear_directories(&self) -> Result<()> {
        fs::remove_dir_all(&self.directory)?;
        self.make_directories()
    }

    fn sl(&self, workers: &str) -> Command {
        let mut command = Command::new(SL);
        command.env_clear().env("DATABASE_URL", &self.url).env("RECORDING_IMPORT_WORKERS", workers);
        for (variable, name) in
            [("SPOOL", "spool"), ("WORK", "work"), ("PUBLISH", "published"), ("UNPUBLISH", "unpublished")]
        {
            command.env(format!("RECORDING_{variable}_DIR"), self.path(name));
        }
        command
    }

    /// Makes archives beside the spool; their paths and total bytes.
    fn make_archives(&self, count: u64, round: u64, slides: u32, size: u64) -> Result<(Vec<PathBuf>, u64)> {
        let mut archives = Vec::new();
        let mut bytes = 0;
        for n in 0..count {
            let recording = Recording {
                meeting_id: format!("bench-{round}-{n}"),
                formats: vec![RecordingFormat::Presentation, RecordingFormat::Video],
                slides,
                size,
                // The videos of small archives take a second, a few kilobytes.
                duration_ms: if size == 0 { 1_000 } else { 3_600_000 },
                seed: n + 1,
                ..Recording::default()
            };
            let path = recording.write_archive(&self.path("made"), Compression::None)?;
            bytes += fs::metadata(&path)?.len();
            archives.push(path);
        }
        // Earlier writes must not slow down the measurement.
        ensure!(Command::new("sync").status()?.success(), "sync");
        Ok((archives, bytes))
    }

    /// By hand: unpacks beside the shelf and moves each format there. Returns seconds.
    fn tar_and_mv(&self, archives: &[PathBuf]) -> Result<f64> {
        let shelf = self.path("by-hand");
        fs::create_dir_all(&shelf)?;
        let script = "for archive; do tar -xf \"$archive\" -C \"$WORK\" && for format in \"$WORK\"/*; do \
             mkdir -p \"$SHELF/${format##*/}\" && mv \"$format\"/* \"$SHELF/${format##*/}/\" && rmdir \"$format\" \
             || exit 1; done || exit 1; done";
        let started = Instant::now();
        let status = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(archives)
            .env("WORK", self.path("work"))
            .env("SHELF", &shelf)
            .status()?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(status.success(), "tar and mv failed");
        ensure!(Command::new("sync").status()?.success(), "sync");
        Ok(seconds)
    }

    /// From the start of an importer until the spool is empty and all recordings are in the index. Returns seconds.
    fn import(&self, archives: &[PathBuf], workers: &str) -> Result<f64> {
        for archive in archives {
            fs::rename(
                archive,
                self.path("spool").join(archive.file_name().context("an archive without a name")?),
            )?;
        }
        let log = self.path("log");
        let mut command = self.sl(workers);
        command.arg("importer").stdout(Stdio::null()).stderr(File::create(&log)?);
        let started = Instant::now();
        let importer = Process::start(&mut command).context("cannot start sl importer")?;
        let log_text = || fs::read_to_string(&log).unwrap_or_default();
        while fs::read_dir(self.path("spool"))?.next().is_some() {
            ensure!(started.elapsed().as_secs() < 600, "the import does not finish: {}", log_text());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let seconds = started.elapsed().as_secs_f64();
        wait_until("the totals are logged", || log_text().contains("no archive is ready to import"))?;
        drop(importer);
        let expected = format!("archives={} formats={}", archives.len(), 2 * archives.len());
        ensure!(log_text().contains(&expected), "no {expected} in {}", log_text());
        Ok(seconds)
    }
}
