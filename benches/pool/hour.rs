//! The start of the hour: 200 meetings within 30 seconds, each of which 20 people enter over the next two
//! minutes, on 10 servers that are polled every minute. Fifteen times as fast as that: what counts is the
//! order of things. How many people the fullest server has, beside the mean.

use super::http;
use super::pool::{Pool, Replica, SECRET, signed};
use super::report::Row;
use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SERVERS: usize = 10;
const MEETINGS: usize = 200;
const PEOPLE: usize = 20;
const FASTER: f64 = 15.0;
const CREATES_WITHIN: f64 = 30.0 / FASTER;
const JOINS_WITHIN: f64 = 120.0 / FASTER;
const POLL_INTERVAL: f64 = 60.0 / FASTER;
const CLIENTS: usize = 8;

/// A row for each way of counting: the ratio is the fullest server's people over the mean.
pub fn run(directory: &Path) -> Result<Vec<Row>> {
    ["increment", "reserve"].iter().map(|accounting| simulate(accounting, directory)).collect()
}

fn simulate(accounting: &str, directory: &Path) -> Result<Row> {
    eprintln!("the start of the hour, LOAD_ACCOUNTING={accounting}");
    let mut pool = Pool::start(SERVERS, directory)?;
    let interval = POLL_INTERVAL.to_string();
    let settings = [("LOAD_ACCOUNTING", accounting), ("POLL_INTERVAL", interval.as_str())];
    pool.replica = Replica::spawn_polling(&pool.redis, directory, &settings)?;
    super::processes::until("sl serve answers", || pool.replica.answers())?;

    // The same for both: when each meeting begins, and when each of its people comes.
    let mut random = StdRng::seed_from_u64(9);
    let mut events: Vec<(f64, String)> = Vec::new();
    for n in 0..MEETINGS {
        let begins = CREATES_WITHIN * n as f64 / MEETINGS as f64;
        events.push((begins, signed("create", &format!("meetingID=room-{n}&moderatorPW=mp"), SECRET)));
        for person in 0..PEOPLE {
            let comes = begins + 0.1 + random.random::<f64>() * JOINS_WITHIN;
            let query = format!("fullName=P{person}&meetingID=room-{n}&password=mp");
            events.push((comes, signed("join", &query, SECRET)));
        }
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (next, begun, failure) = (AtomicUsize::new(0), Instant::now(), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((at, target)) = events.get(next.fetch_add(1, Ordering::Relaxed)) {
                    std::thread::sleep(Duration::from_secs_f64(*at).saturating_sub(begun.elapsed()));
                    if let Err(error) = visit(&pool.replica.address, target)
                        && let Ok(mut failure) = failure.lock()
                    {
                        *failure = Some(error);
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().ok().flatten() {
        return Err(error);
    }
    let servers: Vec<Value> = serde_json::from_str(http::get(&pool.sim.control, "/servers")?.body())?;
    let people: Vec<f64> =
        servers.iter().map(|s| s["people"].as_f64().context("no people")).collect::<Result<_>>()?;
    let total: f64 = people.iter().sum();
    ensure!(total as usize == MEETINGS * PEOPLE, "{total} people came");
    let most = people.iter().copied().fold(0.0, f64::max);
    Ok(Row {
        case: format!("start of the hour, {accounting}: people on the fullest server, to the mean"),
        ratio: Some(most / (total / SERVERS as f64)),
        ..Row::default()
    })
}

/// Makes a request; a join's redirect is followed, as a browser does.
fn visit(address: &str, target: &str) -> Result<()> {
    let answer = http::get(address, target)?;
    if answer.status == 200 {
        ensure!(answer.body().contains("<returncode>SUCCESS</returncode>"), "{}", answer.text);
        return Ok(());
    }
    let location =
        answer.text.lines().find_map(|line| line.strip_prefix("location: http://")).context("no location")?;
    let (host, path) = location.split_once('/').context("a location without a path")?;
    let page = http::get(host, &format!("/{path}"))?;
    ensure!(page.status < 400, "the server said {} to a join", page.status);
    Ok(())
}
