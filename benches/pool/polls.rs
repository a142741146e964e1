//! What polls and failover cost: a round over 1,000 servers with 100 meetings each, and a create whose
//! server refuses.

use super::pool::{Pool, Replica, SECRET, signed, sl};
use super::processes::{Redis, SIM_SECRET, Sim, until};
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

/// Three rows: the time of a round, its memory, and the others' time while 50 servers hang.
pub fn round(directory: &Path) -> Result<Vec<Row>> {
    eprintln!("a round of polls over {SERVERS} servers with {MEETINGS} meetings each");
    let redis = Redis::start(directory)?;
    let sim = Sim::start(SERVERS)?;
    for n in 1..=SERVERS {
        let bulk = format!(r#"{{"id":"room-{n}","count":{MEETINGS},"people":3}}"#);
        sim.order(&format!("/servers/{n}/meetings"), &bulk)?;
    }
    let mut connection = redis.connect()?;
    add_all(&sim, &mut connection)?;
    // The first takes 100,000 meetings up; the next ones are rounds like any other.
    poll(&redis, SERVERS)?;
    let mut samples = Vec::new();
    let (redis_pid, sim_pid) = ([redis.process.pid()], [sim.process.pid()]);
    let used = || anyhow::Ok((cpu::of(&redis_pid)?, cpu::of(&sim_pid)?, cpu::of_ended_children()));
    let before = used()?;
    for _ in 0..ROUNDS {
        samples.push(poll(&redis, SERVERS)?);
    }
    let after = used()?;
    let each = |seconds: f64| seconds * 1e6 / (ROUNDS * SERVERS) as f64;
    let recorded: usize = redis::cmd("SCARD").arg(format!("{PREFIX}meetings")).query(&mut connection)?;
    ensure!(recorded == SERVERS * MEETINGS, "{recorded} meetings are recorded");
    for n in 1..=HANGING {
        let hang = r#"{"kind":"hang","calls":["getMeetings"]}"#;
        sim.order(&format!("/servers/{}/fault", n * SERVERS / HANGING), hang)?;
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
        round.judged(Some(Limit::BelowMs(5000.0))),
        Row { case: format!("{name}: memory"), memory_mb: Some(memory), ..Row::default() }
            .judged(Some(Limit::BelowMb(300.0))),
        time(format!("{name}, {HANGING} hang: all others"), others, others)
            .judged(Some(Limit::BelowMs(5000.0))),
    ])
}

/// Enabled, by the project's own scripts.
fn add_all(sim: &Sim, connection: &mut Connection) -> Result<()> {
    let add = Script::new(scripts::text("add_server").context("no script add_server")?);
    let set_state = Script::new(scripts::text("set_state").context("no script set_state")?);
    for (n, url) in sim.urls.iter().enumerate() {
        let id = format!("bbb{}", n + 1);
        let _: String = add.key(PREFIX).arg(&id).arg(url).arg(SIM_SECRET).invoke(connection)?;
        let _: Vec<String> = set_state.key(PREFIX).arg(&id).arg("enabled").invoke(connection)?;
    }
    Ok(())
}

/// One `sl poll`: ms that the round took, and the most memory that the process had, MB.
fn poll(redis: &Redis, expected: usize) -> Result<(f64, f64)> {
    let mut child =
        sl(redis).env("LOG_LEVEL", "error").args(["poll", "--json"]).stdout(Stdio::piped()).spawn()?;
    let mut text = String::new();
    child.stdout.take().context("no standard output")?.read_to_string(&mut text)?;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    // SAFETY: our own child, which nobody else waits for; both places are ours to write.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
    ensure!(waited > 0 && status == 0, "sl poll failed: {text}");
    // SAFETY: zeroed, and wait4 has filled it.
    let usage = unsafe { usage.assume_init() };
    let said: Value = serde_json::from_str(&text)?;
    ensure!(said["answered"] == expected, "{expected} should have answered: {text}");
    let seconds = said["seconds"].as_f64().context("no seconds")?;
    Ok((seconds * 1000.0, usage.ru_maxrss as f64 / 1024.0))
}

/// From the begin of the last round until the last of the servers that answered it was written.
fn others_answered_ms(connection: &mut Connection) -> Result<f64> {
    let began: f64 = redis::cmd("GET").arg(format!("{PREFIX}sl:poll_round")).query(connection)?;
    let mut last = began;
    for n in 1..=SERVERS {
        let key = format!("{PREFIX}sl:server:bbb{n}");
        let polled: f64 = redis::cmd("HGET").arg(key).arg("polled").query(connection)?;
        last = last.max(polled);
    }
    Ok(last - began)
}

/// A create whose server answers, and one whose server refuses and that goes on to the next.
pub fn failover(directory: &Path) -> Result<Vec<Row>> {
    const TIMES: usize = 200;
    eprintln!("create, and create whose server refuses");
    let pool = Pool::start(2, directory)?;
    let mut connection = pool.redis.connect()?;
    let create = |replica: &Replica, id: &str| {
        let target = signed("create", &format!("meetingID={id}&moderatorPW=mp"), SECRET);
        let begun = Instant::now();
        let answer = http::get(&replica.address, &target)?;
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        ensure!(answer.body().contains("<returncode>SUCCESS</returncode>"), "{}", answer.text);
        anyhow::Ok(ms)
    };
    // Server 1 is always the least loaded, online, and not held back.
    let prefer = |connection: &mut Connection| -> Result<()> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HSET").arg(format!("{PREFIX}server:bbb1")).arg("online").arg("true").ignore();
        pipeline.cmd("ZADD").arg(format!("{PREFIX}server_load")).arg(0).arg("bbb1").ignore();
        pipeline.cmd("ZADD").arg(format!("{PREFIX}server_load")).arg(1_000_000).arg("bbb2").ignore();
        pipeline.cmd("DEL").arg(format!("{PREFIX}sl:held")).ignore();
        Ok(pipeline.exec(connection)?)
    };
    let mut measure = |name: &str| -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for n in 0..TIMES {
            prefer(&mut connection)?;
            times.push(create(&pool.replica, &format!("{name}-{n}"))?);
        }
        Ok(times)
    };
    measure("warm")?;
    let answers = measure("answers")?;
    pool.sim.order("/servers/1/fault", r#"{"kind":"refuse"}"#)?;
    until("connections are refused", || std::net::TcpStream::connect(pool.sim.address(1)).is_err())?;
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
