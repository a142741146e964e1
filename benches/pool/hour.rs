//! The start of the hour: 200 meetings are created within 30 seconds, 20 participants join each over the next two
//! minutes, and 10 servers are polled every minute. It runs 15 times as fast, because only the order of events
//! matters. The result compares the participants of the fullest server with the mean.

use super::http;
use super::pool::{Pool, Replica, SECRET, signed_target};
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
const PEOPLE_PER_MEETING: usize = 20;
const SPEEDUP: f64 = 15.0;
const CREATES_SECONDS: f64 = 30.0 / SPEEDUP;
const JOINS_SECONDS: f64 = 120.0 / SPEEDUP;
const POLL_INTERVAL_SECONDS: f64 = 60.0 / SPEEDUP;
const CLIENTS: usize = 8;

/// One row for each LOAD_ACCOUNTING: its ratio is the participants of the fullest server over the mean.
pub fn run(directory: &Path) -> Result<Vec<Row>> {
    ["increment", "reserve"].iter().map(|accounting| simulate(accounting, directory)).collect()
}

fn simulate(accounting: &str, directory: &Path) -> Result<Row> {
    eprintln!("the start of the hour, LOAD_ACCOUNTING={accounting}");
    let mut pool = Pool::start(SERVERS, directory)?;
    let interval = POLL_INTERVAL_SECONDS.to_string();
    let settings = [("LOAD_ACCOUNTING", accounting), ("POLL_INTERVAL", interval.as_str())];
    pool.replica = Replica::spawn_polling(&pool.redis, directory, &settings)?;
    super::processes::wait_until("sl serve answers", || pool.replica.is_ready())?;

    // The same events for both: when each meeting is created, and when each participant joins.
    let mut random = StdRng::seed_from_u64(9);
    let mut events: Vec<(f64, String)> = Vec::new();
    for n in 0..MEETINGS {
        let create_at = CREATES_SECONDS * n as f64 / MEETINGS as f64;
        events.push((
            create_at,
            signed_target("create", &format!("meetingID=room-{n}&moderatorPW=mp"), SECRET),
        ));
        for person in 0..PEOPLE_PER_MEETING {
            let join_at = create_at + 0.1 + random.random::<f64>() * JOINS_SECONDS;
            let query = format!("fullName=P{person}&meetingID=room-{n}&password=mp");
            events.push((join_at, signed_target("join", &query, SECRET)));
        }
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (next, started, failure) = (AtomicUsize::new(0), Instant::now(), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((at, target)) = events.get(next.fetch_add(1, Ordering::Relaxed)) {
                    std::thread::sleep(Duration::from_secs_f64(*at).saturating_sub(started.elapsed()));
                    if let Err(error) = send_request(&pool.replica.address, target)
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
    ensure!(total as usize == MEETINGS * PEOPLE_PER_MEETING, "{total} participants joined");
    let most = people.iter().copied().fold(0.0, f64::max);
    Ok(Row {
        case: format!("start of the hour, {accounting}: people on the fullest server, to the mean"),
        ratio: Some(most / (total / SERVERS as f64)),
        ..Row::default()
    })
}

/// Sends a request, and follows the redirect of join as a browser does.
fn send_request(address: &str, target: &str) -> Result<()> {
    let response = http::get(address, target)?;
    if response.status == 200 {
        ensure!(response.body().contains("<returncode>SUCCESS</returncode>"), "{}", response.text);
        return Ok(());
    }
    let location = response
        .text
        .lines()
        .find_map(|line| line.strip_prefix("location: http://"))
        .context("no location")?;
    let (host, path) = location.split_once('/').context("a location without a path")?;
    let page = http::get(host, &format!("/{path}"))?;
    ensure!(page.status < 400, "the server answered {} to the redirect of join", page.status);
    Ok(())
}
