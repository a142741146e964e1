//! Rows about how long one thing takes: the start of a replica, and getMeetings over many slow servers.

use super::http;
use super::pool::{Pool, Replica, SECRET, signed};
use super::processes::{Redis, until};
use super::report::{Limit, Row};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Instant;

/// From the spawn of `sl serve` to the first 200 of its health check, which asks Redis.
pub fn start(directory: &Path) -> Result<Row> {
    eprintln!("start to first answer");
    let redis = Redis::start(directory)?;
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        let replica = Replica::spawn(&redis, directory)?;
        until("sl serve answers", || replica.answers()).with_context(|| replica.log())?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(row("sl: start to first answer, of 10", &times, Limit::BelowMs(200.0)))
}

/// getMeetings, one after the other, over 100 servers that each take 50 ms: from a replica that has not
/// spoken to any of them, and then with connections that are there.
pub fn get_meetings(directory: &Path) -> Result<Vec<Row>> {
    const SERVERS: usize = 100;
    eprintln!("getMeetings over {SERVERS} servers");
    let mut pool = Pool::start(SERVERS, directory)?;
    for n in 1..=SERVERS {
        pool.sim.order(&format!("/servers/{n}/meetings"), &format!(r#"{{"id":"room-{n}","people":5}}"#))?;
        let slow = r#"{"kind":"slow","ms":50,"calls":["getMeetings"]}"#;
        pool.sim.order(&format!("/servers/{n}/fault"), slow)?;
    }
    let target = signed("getMeetings", "", SECRET);
    let ask = |replica: &Replica| {
        let begun = Instant::now();
        let answer = http::get(&replica.address, &target)?;
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        let meetings = answer.text.matches("<meeting>").count();
        ensure!(meetings == SERVERS, "{meetings} meetings instead of {SERVERS}; {}", replica.log());
        anyhow::Ok(ms)
    };
    let mut first = Vec::new();
    for _ in 0..5 {
        pool.replica = Replica::spawn(&pool.redis, directory)?;
        until("sl serve answers", || pool.replica.answers())?;
        first.push(ask(&pool.replica)?);
    }
    let then: Vec<f64> = (0..20).map(|_| ask(&pool.replica)).collect::<Result<_>>()?;
    Ok(vec![
        row("sl: getMeetings, 100 servers of 50 ms, first of a replica", &first, Limit::BelowMs(120.0)),
        row("sl: getMeetings, 100 servers of 50 ms, next 20", &then, Limit::BelowMs(120.0)),
    ])
}

fn row(case: &str, times: &[f64], limit: Limit) -> Row {
    let row = Row {
        case: case.to_owned(),
        p50_ms: Some(super::median(times.iter().copied())),
        max_ms: Some(times.iter().copied().fold(0.0, f64::max)),
        ..Row::default()
    };
    row.judged(Some(limit))
}
