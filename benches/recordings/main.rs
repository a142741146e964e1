//! `make bench` (`cargo bench --bench recordings`): getRecordings on a small index and on one with a million recordings,
//! the memory to stream a hundred thousand, import, uploads, and files in playback. SL_BENCH_IMPORT=1: only import;
//! SL_BENCH_UPLOAD=1: only uploads; SL_BENCH_PLAYBACK=1: only playback. docs/BENCHMARKS.md explains how to read it.
//!
//! A wrong response ends the run with status 1. A missed limit is only printed: times are never asserted.

#[path = "../pool/cpu.rs"]
#[allow(dead_code)]
mod cpu;
mod data;
#[path = "../pool/http.rs"]
#[allow(dead_code)]
mod http;
mod import;
mod playback;
#[path = "../../tests/it/support/postgres.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]
mod postgres;
#[path = "../pool/processes.rs"]
#[allow(dead_code)]
mod processes;
#[path = "../pool/report.rs"]
#[allow(dead_code)]
mod report;
mod stream;
mod upload;
#[path = "../pool/wrk.rs"]
#[allow(dead_code)]
mod wrk;

use anyhow::{Context, Result, ensure};
use data::{Database, QueryShape};
use postgres::Postgres;
use processes::{Process, Redis, SL};
use report::{Limit, Row};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use wrk::{Targets, Wrk};

const SECRET: &str = "a-secret-of-the-bench";

/// Scalelite handles 75 of these queries a second on the same machine; the limit is 60 times that.
const MIN_RATE: Limit = Limit::PerSecondAtLeast(4500.0);

fn main() -> Result<()> {
    if std::env::args().any(|arg| arg == "--test") || !std::env::args().any(|arg| arg == "--bench") {
        eprintln!("to measure: make bench");
        return Ok(());
    }
    let seconds = number("SL_BENCH_SECONDS", 2)?;
    let rounds = number("SL_BENCH_ROUNDS", 3)?;
    let many = number("SL_BENCH_RECORDINGS", 1_000_000)?;
    let directory = tempfile::Builder::new().prefix("sl-bench-").tempdir()?;
    let postgres = Postgres::with(&["shared_buffers=256MB", "max_wal_size=4GB", "full_page_writes=off"]);
    let redis = Redis::start(directory.path())?;
    if std::env::var_os("SL_BENCH_UPLOAD").is_some() {
        let empty = Database::fill(&postgres, &redis, "empty", 100)?;
        println!("\n{}", report::table(&upload::run(&redis, &empty, directory.path())?));
        return Ok(());
    }
    let playback = || playback::run(&postgres, &redis, directory.path(), seconds, rounds);
    if std::env::var_os("SL_BENCH_PLAYBACK").is_some() {
        println!("\n{}", report::table(&playback()?));
        return Ok(());
    }
    let import = import::run(&postgres, directory.path())?;
    if std::env::var_os("SL_BENCH_IMPORT").is_some() {
        println!("\n{}", report::table(&import));
        return Ok(());
    }
    let playback = playback()?;
    let small = Database::fill(&postgres, &redis, "small", 2_000)?;
    let large = Database::fill(&postgres, &redis, "large", many)?;
    let medium = Database::fill(&postgres, &redis, "medium", many.min(100_000))?;

    let wrk = Wrk::new(directory.path())?;
    let replicas = [
        Replica::start(&redis, &small, directory.path())?,
        Replica::start(&redis, &large, directory.path())?,
    ];
    let mut rates = vec![[Vec::new(), Vec::new()]; QueryShape::ALL.len()];
    let mut rows: Vec<[Row; 2]> = Vec::new();
    for round in 1..=rounds {
        for (shape, rates) in QueryShape::ALL.iter().zip(&mut rates) {
            for ((database, replica), rates) in [&small, &large].into_iter().zip(&replicas).zip(rates) {
                eprintln!("round {round} of {rounds}: {} of {}", shape.name(), database.size);
                let file = directory.path().join("requests");
                write_targets(&file, seconds, |n| shape.target(database, n))?;
                check_response(replica, shape, database)?;
                wrk.run(&replica.address, &Targets::Each(&file), 1)?;
                let load = wrk.run(&replica.address, &Targets::Each(&file), seconds)?;
                rates.push((load.rate(), load.p50 as f64 / 1000.0, load.p99 as f64 / 1000.0));
            }
        }
    }
    for (shape, [few, most]) in QueryShape::ALL.iter().zip(&rates) {
        let of = |samples: &[(f64, f64, f64)], which: fn(&(f64, f64, f64)) -> f64| {
            Some(median(samples.iter().map(which)))
        };
        let row = |samples: &[(f64, f64, f64)], size| Row {
            case: format!("getRecordings {}, {size}", shape.name()),
            per_second: of(samples, |s| s.0),
            p50_ms: of(samples, |s| s.1),
            p99_ms: of(samples, |s| s.2),
            ..Row::default()
        };
        let first = row(few, small.size).with_limit(shape.has_limit().then_some(MIN_RATE));
        let ratio = median(few.iter().zip(most).map(|(few, most)| few.0 / most.0));
        let second =
            Row { ratio: Some(ratio), ..row(most, large.size) }.with_limit(Some(Limit::RatioAtMost(2.5)));
        rows.push([first, second]);
    }
    drop(replicas);
    let mut rows: Vec<Row> = rows.into_iter().flatten().collect();
    rows.push(stream::run(&redis, &medium, directory.path())?);
    rows.extend(import);
    rows.extend(upload::run(&redis, &small, directory.path())?);
    rows.extend(playback);

    println!("\n{}", report::table(&rows));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-recordings.json");
    std::fs::write(&file, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}

/// One `sl serve` without the poller, on one of the databases.
struct Replica {
    process: Process,
    address: String,
}

impl Replica {
    fn start(redis: &Redis, database: &Database, directory: &Path) -> Result<Replica> {
        let address = format!("127.0.0.1:{}", processes::free_port()?);
        let log = directory.join("replica.log");
        let mut command = Command::new(SL);
        command
            .args(["serve", "--no-poller"])
            .env_clear()
            .env("REDIS_URL", redis.url())
            .env("DATABASE_URL", &database.url)
            .env("LOADBALANCER_SECRET", SECRET)
            .env("LOG_LEVEL", "warn")
            .env("BIND", format!("tcp://{address}"))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let process = Process::start(&mut command).context("cannot start sl serve")?;
        let target = signed_target("meetingID=nobody");
        processes::wait_until("sl serve answers", || {
            http::get(&address, &target).is_ok_and(|response| response.text.contains("noRecordings"))
        })
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Replica { process, address })
    }
}

/// Path and query of a signed getRecordings.
fn signed_target(query: &str) -> String {
    let checksum = hex::encode(Sha1::digest(format!("getRecordings{query}{SECRET}")));
    let separator = if query.is_empty() { "" } else { "&" };
    format!("/bigbluebutton/api/getRecordings?{query}{separator}checksum={checksum}")
}

fn write_targets(file: &Path, seconds: u64, target: impl Fn(u64) -> String) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for n in 0..(seconds + 1) * 20_000 {
        writeln!(out, "{}", target(n))?;
    }
    Ok(out.flush()?)
}

fn check_response(replica: &Replica, shape: &QueryShape, database: &Database) -> Result<()> {
    let response = http::get(&replica.address, &shape.target(database, 7))?;
    let found = response.text.matches("<recording>").count() as u64;
    ensure!(found == shape.found(), "{}: {found} recordings: {}", shape.name(), response.text);
    let (images, metadata) =
        (response.text.matches("<image ").count() as u64, response.text.matches("<course>").count());
    ensure!(images == 3 * found && metadata as u64 == found, "incomplete recordings: {}", response.text);
    Ok(())
}

fn number(name: &str, default: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    text.parse().with_context(|| format!("{name} must be a number, not {text:?}"))
}

/// The middle value, or the mean of the two middle values.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    if let Err(timeout) = processes::wait_until(what, is_so) {
        panic!("{timeout}");
    }
}

fn free_port() -> u16 {
    processes::free_port().unwrap_or_default()
}
