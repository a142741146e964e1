//! The cost of polls and failover: a round over 1,000 servers with 100 meetings each, and a create whose server refuses
//! the connection.

use super::pool::{Pool, Replica, SECRET, signed_target, sl_command};
use super::processes::{Redis, SIM_SECRET, Sim, wait_until};
use super::report::{Limit, Row};
use super::{cpu, http};
use anyhow::{Context, Result, ensure};
use redis::{Connection, Script};
use serde_json::Value;
use sl::store::scripts;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

const SERVERS: usize = 1000;
const MEETINGS: usize = 100;
const HANGING: usize = 50;
const ROUNDS: usize = 3;
const PREFIX: &str = "scalelite:";

/// Three rows: the time of a round, its memory, and the time until all other servers are polled while 50 hang.
pub fn round(directory: &Path) -> Result<Vec<Row>> {
    eprintln!("a poll round over {SERVERS} servers with {MEETINGS} meetings each");
    let redis = Redis::start(directory)?;
    let sim = Sim::start(SERVERS)?;
    for n in 1..=SERVERS {
        let bulk = format!(r#"{{"id":"room-{n}","count":{MEETINGS},"people":3}}"#);
        sim.post_control(&format!("/servers/{n}/meetings"), &bulk)?;
    }
    let mut connection = redis.connect()?;
    add_servers(&sim, &mut connection)?;
    // The first round adopts 100,000 meetings; the next ones are ordinary.
    poll(&redis, SERVERS)?;
    let mut samples = Vec::new();
    let (redis_pid, sim_pid) = ([redis.process.pid()], [sim.process.pid()]);
    let used = || {
        anyhow::Ok((cpu::cpu_seconds(&redis_pid)?, cpu::cpu_seconds(&sim_pid)?, cpu::children_cpu_seconds()))
    };
    let before = used()?;
    for _ in 0..ROUNDS {
        samples.push(poll(&redis, SERVERS)?);
    }
    let after = used()?;
    let each = |seconds: f64| seconds * 1e6 / (ROUNDS * SERVERS) as f64;
    let recorded: usize = redis::cmd("SCARD").arg(format!("{PREFIX}meetings")).query(&mut connection)?;
    ensure!(recorded == SERVERS * MEETINGS, "{recorded} meetings have records");
    for n in 1..=HANGING {
        let hang = r#"{"kind":"hang","calls":["getMeetings"]}"#;
        sim.post_control(&format!("/servers/{}/fault", n * SERVERS / HANGING), hang)?;
    }
    poll(&redis, SERVERS - HANGING)?;
    let others = others_answered_ms(&mut connection)?;
    let name = format!("sl poll: {SERVERS} servers, {MEETINGS} meetings each");
    let times: Vec<f64> = samples.iter().map(|(ms, _)| *ms).collect();
    let memory = samples.iter().map(|(_, mb)| *mb).fold(0.0, f64::max);
    let time =
        |case: String, ms: f64, max: f64| Row { case, p50_ms: Some(ms), max_ms: Some(max), ..Row::default() };
    let mut round =
        time(name.clone(), super::median(times.iter().copied()), times.iter().copied().fold(0.0, f64::max));
    round.cpu_us = [
        ("front", each(after.2 - before.2)),
        ("redis", each(after.0 - before.0)),
        ("sim", each(after.1 - before.1)),
    ]
    .into_iter()
    .collect();
    Ok(vec![
        round.with_limit(Some(Limit::BelowMs(5000.0))),
        Row { case: format!("{name}: memory"), memory_mb: Some(memory), ..Row::default() }
            .with_limit(Some(Limit::BelowMb(300.0))),
        time(format!("{name}, {HANGING} hang: all others"), others, others)
            .with_limit(Some(Limit::BelowMs(5000.0))),
    ])
}

/// Adds and enables all servers, with the project's own scripts.
fn add_servers(sim: &Sim, connection: &mut Connection) -> Result<()> {
    let add = Script::new(scripts::text("add_server").context("no script add_server")?);
    let set_state = Script::new(scripts::text("set_state").context("no script set_state")?);
    for (n, url) in sim.urls.iter().enumerate() {
        let id = format!("bbb{}", n + 1);
        let _: String = add.key(PREFIX).arg(&id).arg(url).arg(SIM_SECRET).invoke(connection)?;
        let _: Vec<String> = set_state.key(PREFIX).arg(&id).arg("enabled").invoke(connection)?;
    }
    Ok(())
}

/// Runs `sl poll`: the time of the round in ms, and the peak memory of the process in MB.
fn poll(redis: &Redis, expected: usize) -> Result<(f64, f64)> {
    let mut child = sl_command(redis)
        .env("LOG_LEVEL", "error")
        .args(["poll", "--json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut text = String::new();
    child.stdout.take().context("no standard output")?.read_to_string(&mut text)?;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    // SAFETY: our own child, which nothing else waits for; both pointers are to our own variables.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
    ensure!(waited > 0 && status == 0, "sl poll failed: {text}");
    // SAFETY: zeroed, and filled by wait4.
    let usage = unsafe { usage.assume_init() };
    let report: Value = serde_json::from_str(&text)?;
    ensure!(report["answered"] == expected, "{expected} should have answered: {text}");
    let seconds = report["seconds"].as_f64().context("no seconds")?;
    Ok((seconds * 1000.0, usage.ru_maxrss as f64 / 1024.0))
}

/// From the start of the last round to the last write of a server that answered, in ms.
fn others_answered_ms(connection: &mut Connection) -> Result<f64> {
    let started: f64 = redis::cmd("GET").arg(format!("{PREFIX}sl:poll_round")).query(connection)?;
    let mut last = started;
    for n in 1..=SERVERS {
        let key = format!("{PREFIX}sl:server:bbb{n}");
        let polled: f64 = redis::cmd("HGET").arg(key).arg("polled").query(connection)?;
        last = last.max(polled);
    }
    Ok(last - started)
}

/// A create whose server answers, and one that fails over because its server refuses the connection.
pub fn failover(directory: &Path) -> Result<Vec<Row>> {
    const CREATES: usize = 200;
    eprintln!("create, and create whose server refuses");
    let pool = Pool::start(2, directory)?;
    let mut connection = pool.redis.connect()?;
    let create = |replica: &Replica, id: &str| {
        let target = signed_target("create", &format!("meetingID={id}&moderatorPW=mp"), SECRET);
        let started = Instant::now();
        let response = http::get(&replica.address, &target)?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        ensure!(response.body().contains("<returncode>SUCCESS</returncode>"), "{}", response.text);
        anyhow::Ok(ms)
    };
    // Makes server 1 the least loaded, online and not on hold.
    let prefer_server_1 = |connection: &mut Connection| -> Result<()> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HSET").arg(format!("{PREFIX}server:bbb1")).arg("online").arg("true").ignore();
        pipeline.cmd("ZADD").arg(format!("{PREFIX}server_load")).arg(0).arg("bbb1").ignore();
        pipeline.cmd("ZADD").arg(format!("{PREFIX}server_load")).arg(1_000_000).arg("bbb2").ignore();
        pipeline.cmd("DEL").arg(format!("{PREFIX}sl:held")).ignore();
        Ok(pipeline.exec(connection)?)
    };
    let mut measure = |name: &str| -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for n in 0..CREATES {
            prefer_server_1(&mut connection)?;
            times.push(create(&pool.replica, &format!("{name}-{n}"))?);
        }
        Ok(times)
    };
    measure("warm")?;
    let answers = measure("answers")?;
    pool.sim.post_control("/servers/1/fault", r#"{"kind":"refuse"}"#)?;
    wait_until("connections are refused", || std::net::TcpStream::connect(pool.sim.address(1)).is_err())?;
    let refuses = measure("refuses")?;
    let row = |case: &str, times: &[f64]| Row {
        case: case.to_owned(),
        p50_ms: Some(super::median(times.iter().copied())),
        max_ms: Some(times.iter().copied().fold(0.0, f64::max)),
        ..Row::default()
    };
    let mut second = row("sl: create, one at a time, its server refuses", &refuses);
    second.ratio = second.p50_ms.map(|ms| ms / super::median(answers.iter().copied()));
    Ok(vec![row("sl: create, one at a time", &answers), second])
}
