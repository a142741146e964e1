//! Latency rows: the start of a replica, and getMeetings over many slow servers.

use super::http;
use super::pool::{Pool, Replica, SECRET, signed_target};
use super::processes::{Redis, wait_until};
use super::report::{Limit, Row};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Instant;

/// From spawning `sl serve` to the first 200 of its health check, which queries Redis.
pub fn start(directory: &Path) -> Result<Row> {
    eprintln!("start to first answer");
    let redis = Redis::start(directory)?;
    let mut times = Vec::new();
    for _ in 0..10 {
        let started = Instant::now();
        let replica = Replica::spawn(&redis, directory)?;
        wait_until("sl serve answers", || replica.is_ready()).with_context(|| replica.log())?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(row("sl: start to first answer, of 10", &times, Limit::BelowMs(200.0)))
}

/// Sequential getMeetings over 100 servers that each take 50 ms: first from a new replica without connections to
/// them, then with open connections.
pub fn get_meetings(directory: &Path) -> Result<Vec<Row>> {
    const SERVERS: usize = 100;
    eprintln!("getMeetings over {SERVERS} servers");
    let mut pool = Pool::start(SERVERS, directory)?;
    for n in 1..=SERVERS {
        pool.sim
            .post_control(&format!("/servers/{n}/meetings"), &format!(r#"{{"id":"room-{n}","people":5}}"#))?;
        let slow = r#"{"kind":"slow","ms":50,"calls":["getMeetings"]}"#;
        pool.sim.post_control(&format!("/servers/{n}/fault"), slow)?;
    }
    let target = signed_target("getMeetings", "", SECRET);
    let measure = |replica: &Replica| {
        let started = Instant::now();
        let response = http::get(&replica.address, &target)?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        let meetings = response.text.matches("<meeting>").count();
        ensure!(meetings == SERVERS, "{meetings} meetings instead of {SERVERS}; {}", replica.log());
        anyhow::Ok(ms)
    };
    let mut first = Vec::new();
    for _ in 0..5 {
        pool.replica = Replica::spawn(&pool.redis, directory)?;
        wait_until("sl serve answers", || pool.replica.is_ready())?;
        first.push(measure(&pool.replica)?);
    }
    let next: Vec<f64> = (0..20).map(|_| measure(&pool.replica)).collect::<Result<_>>()?;
    Ok(vec![
        row("sl: getMeetings, 100 servers of 50 ms, first of a replica", &first, Limit::BelowMs(120.0)),
        row("sl: getMeetings, 100 servers of 50 ms, next 20", &next, Limit::BelowMs(120.0)),
    ])
}

fn row(case: &str, times: &[f64], limit: Limit) -> Row {
    let row = Row {
        case: case.to_owned(),
        p50_ms: Some(super::median(times.iter().copied())),
        max_ms: Some(times.iter().copied().fold(0.0, f64::max)),
        ..Row::default()
    };
    row.with_limit(Some(limit))
}
