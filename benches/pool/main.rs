//! `make bench` (`cargo bench --bench pool`): `sl` under load compared with nginx, in one run, as one table.
//! docs/BENCHMARKS.md explains what is measured and how to read it.
//!
//! - `cases`: the load rows; `latency`: start and getMeetings over slow servers; `assign`: the Lua script
//! - `polls`: a poll round over a large pool, failover; `hour`: how evenly participants are distributed
//! - `pool`, `processes`: what is measured, each part in its own process
//! - `wrk`, `http`: the clients; `cpu`: CPU time and memory of processes; `report`: the table
//!
//! A wrong or failed response ends the run with status 1. A missed limit is only printed: times are never asserted.

mod assign;
mod cases;
mod cpu;
mod hour;
mod http;
mod latency;
mod polls;
mod pool;
mod processes;
mod report;
mod wrk;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;

/// How long to measure.
pub struct Settings {
    /// SL_BENCH_SECONDS: how long each load row is measured in each round.
    pub seconds: u64,
    /// SL_BENCH_ROUNDS: how often each row is measured; the median counts.
    pub rounds: u64,
}

fn main() -> Result<()> {
    // `cargo test --benches` runs this too, only to check that it builds and starts.
    if std::env::args().any(|arg| arg == "--test") || !std::env::args().any(|arg| arg == "--bench") {
        eprintln!("to measure: make bench");
        return Ok(());
    }
    // SL_BENCH_ONLY: only these parts, separated by commas: load, latency, assign, polls, hour.
    let settings =
        Settings { seconds: number("SL_BENCH_SECONDS", 2)?, rounds: number("SL_BENCH_ROUNDS", 3)? };
    let directory = tempfile::Builder::new().prefix("sl-bench-").tempdir()?;
    let only = std::env::var("SL_BENCH_ONLY").ok();
    let is_wanted = |part: &str| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == part));
    let (mut rows, mut others) = (Vec::new(), 0.0);
    if is_wanted("load") {
        (rows, others) = cases::run(&settings, directory.path())?;
    }
    if is_wanted("latency") {
        rows.push(latency::start(directory.path())?);
        rows.extend(latency::get_meetings(directory.path())?);
    }
    if is_wanted("assign") {
        rows.extend(assign::run(&settings, directory.path())?);
    }
    if is_wanted("polls") {
        rows.extend(polls::round(directory.path())?);
        rows.extend(polls::failover(directory.path())?);
    }
    if is_wanted("hour") {
        rows.extend(hour::run(directory.path())?);
    }

    println!("\n{}", report::table(&rows));
    let cores = std::thread::available_parallelism()?;
    let missed = rows.iter().filter(|row| row.reached == Some(false)).count();
    println!("\n{cores} cores; other programs used up to {:.0} % of them under load.", others * 100.0);
    match missed {
        0 => println!("Every limit is reached."),
        _ => println!("{missed} limits MISSED."),
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
    let report = json!({
        "cores": cores, "seconds": settings.seconds, "rounds": settings.rounds, "others": others, "rows": rows,
    });
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}

fn number(name: &str, default: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().with_context(|| format!("{name} must be a number, not {text:?}"))?;
    ensure!((1..=600).contains(&number), "{name} must be from 1 to 600");
    Ok(number)
}

/// The middle value, or the mean of the two middle values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
