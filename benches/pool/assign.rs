//! The cost of `lua/assign.lua` in Redis with few and with many servers: redis-benchmark runs it, and Redis reports the
//! time.

use super::Settings;
use super::processes::{Redis, start_error};
use super::report::{Limit, Row};
use anyhow::{Context, Result, ensure};
use redis::{Connection, Script};
use sl::store::scripts;
use std::path::Path;
use std::process::Command;

const PREFIX: &str = "scalelite:";
const FEW_SERVERS: usize = 10;
const MANY_SERVERS: usize = 10_000;

/// One run: time per call in Redis in µs, calls per second, p50 and p99 in ms.
struct Sample {
    micros: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

/// Two rows, the second with the ratio of their costs.
pub fn run(settings: &Settings, directory: &Path) -> Result<Vec<Row>> {
    let (few, many) = (Redis::start(directory)?, Redis::start(directory)?);
    add_servers(&few, FEW_SERVERS)?;
    add_servers(&many, MANY_SERVERS)?;
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for round in 1..=settings.rounds {
        eprintln!("round {round} of {}: redis-benchmark, assign.lua", settings.rounds);
        samples[0].push(measure(&few, round)?);
        samples[1].push(measure(&many, round)?);
    }
    let [few, many] = samples;
    let ratio = super::median(few.iter().zip(&many).map(|(few, many)| many.micros / few.micros));
    let mut many = row(&format!("redis-benchmark: assign.lua, {MANY_SERVERS} servers"), &many);
    many.ratio = Some(ratio);
    let few = row(&format!("redis-benchmark: assign.lua, {FEW_SERVERS} servers"), &few);
    Ok(vec![few, many.with_limit(Some(Limit::RatioAtMost(1.5)))])
}

fn row(case: &str, samples: &[Sample]) -> Row {
    let of = |figure: &dyn Fn(&Sample) -> f64| Some(super::median(samples.iter().map(figure)));
    Row {
        case: case.to_owned(),
        per_second: of(&|s| s.rate),
        p50_ms: of(&|s| s.p50),
        p99_ms: of(&|s| s.p99),
        cpu_us: of(&|s| s.micros).map(|micros| ("redis", micros)).into_iter().collect(),
        ..Row::default()
    }
}

/// Adds servers that are enabled and online, with the project's own scripts.
fn add_servers(redis: &Redis, servers: usize) -> Result<()> {
    let mut connection = redis.connect()?;
    let add = Script::new(scripts::text("add_server").context("no script add_server")?);
    let set_state = Script::new(scripts::text("set_state").context("no script set_state")?);
    for script in [&add, &set_state] {
        script.prepare_invoke().load(&mut connection)?;
    }
    let ids: Vec<usize> = (1..=servers).collect();
    for chunk in ids.chunks(500) {
        let mut pipeline = redis::pipe();
        for n in chunk {
            let (id, url) = (format!("bbb{n}"), format!("https://bbb{n}.example.org/bigbluebutton/api"));
            pipeline.cmd("EVALSHA").arg(add.get_hash()).arg(1).arg(PREFIX);
            pipeline.arg(&id).arg(url).arg("a-secret").arg("1.0").arg("").ignore();
            // As the first successful poll would set it.
            pipeline.cmd("HSET").arg(format!("{PREFIX}server:{id}")).arg("online").arg("true").ignore();
            pipeline
                .cmd("EVALSHA")
                .arg(set_state.get_hash())
                .arg(1)
                .arg(PREFIX)
                .arg(&id)
                .arg("enabled")
                .ignore();
        }
        pipeline.exec(&mut connection)?;
    }
    redis::cmd("DEL").arg(format!("{PREFIX}sl:unpolled")).exec(&mut connection)?;
    let candidates: usize = redis::cmd("ZCARD").arg(format!("{PREFIX}server_load")).query(&mut connection)?;
    ensure!(candidates == servers, "{candidates} candidates instead of {servers}");
    Ok(())
}

fn measure(redis: &Redis, round: u64) -> Result<Sample> {
    let mut connection = redis.connect()?;
    let script = scripts::text("assign").context("no script assign")?;
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut connection)?;
    // Not measured: the first call builds the index of the pool.
    run_redis_benchmark(redis, &sha, 1000, &format!("{round}0"))?;
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut connection)?;
    let meetings = count_meetings(&mut connection)?;
    let csv = run_redis_benchmark(redis, &sha, 40_000, &format!("{round}1"))?;
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut connection)?;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).context("no evalsha")?;
    let stat = |name: &str| {
        let value = line.split(',').find_map(|pair| pair.strip_prefix(name));
        value.and_then(|n| n.trim().parse::<f64>().ok()).with_context(|| format!("no {name} in {line}"))
    };
    let (calls, failed) = (stat("calls=")?, stat("failed_calls=")? + stat("rejected_calls=")?);
    ensure!(failed == 0.0, "assign.lua failed {failed} times");
    let new = count_meetings(&mut connection)? - meetings;
    ensure!(new > 0.99 * calls, "{calls} calls placed only {new} meetings");
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_…","p99_…","max_…"
    let last = csv.lines().last().unwrap_or_default();
    let fields: Vec<&str> = last.split("\",\"").map(|field| field.trim_matches('"')).collect();
    let field = |n: usize| {
        let value = fields.len().checked_sub(n).and_then(|at| fields[at].parse::<f64>().ok());
        value.with_context(|| format!("redis-benchmark printed {csv}"))
    };
    Ok(Sample { micros: stat("usec_per_call=")?, rate: field(7)?, p50: field(4)?, p99: field(2)? })
}

fn count_meetings(connection: &mut Connection) -> Result<f64> {
    Ok(redis::cmd("SCARD").arg(format!("{PREFIX}meetings")).query(connection)?)
}

/// Eight clients create meetings; redis-benchmark replaces each `__rand_int__` by a random number. Two runs may draw the
/// same numbers, so `prefix` distinguishes them.
fn run_redis_benchmark(redis: &Redis, sha: &str, calls: usize, prefix: &str) -> Result<String> {
    let number = format!("{prefix}__rand_int__");
    let output = Command::new("redis-benchmark")
        .args([
            "-p",
            &redis.port.to_string(),
            "-c",
            "8",
            "-n",
            &calls.to_string(),
            "-r",
            "2000000000",
            "--csv",
        ])
        .args([
            "EVALSHA",
            sha,
            "1",
            PREFIX,
            &format!("bench-{number}"),
            "",
            "15",
            "86400",
            "password",
            "",
            "",
            "",
        ])
        .args([&number, &number])
        .output()
        .map_err(|error| start_error("redis-benchmark", "redis-tools", error))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "redis-benchmark failed: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
