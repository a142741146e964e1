//! The load rows: wrk against nginx and against `sl`, in front of the same simulated servers.
//!
//! Every row is measured once a round, and the table shows the median of the rounds: what else the machine
//! does then meets all rows alike.

use super::pool::{Pool, SECRET, signed};
use super::processes::{Nginx, SIM_SECRET};
use super::report::{Limit, Row};
use super::wrk::{Ask, CONNECTIONS, Load, Wrk};
use super::{Settings, cpu, http};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const CREATE: &str = "attendeePW=ap&moderatorPW=mp&name=A+Room&record=false&meta_origin=bench&meetingID=";

enum What {
    /// The same target again and again; what its answer says.
    Same { target: String, says: &'static str },
    /// create of meetings that do not exist, signed with this secret. The pool is reset after it.
    Creates { secret: &'static str },
}

struct Case {
    name: &'static str,
    address: String,
    what: What,
    /// What stands in front: its CPU is the row's.
    front: Vec<u32>,
    /// The simulator's counter that must have counted every request.
    counter: Option<&'static str>,
    /// The row that it is compared with: the same request, or the nearest thing, without `sl`.
    reference: &'static str,
    limit: Option<Limit>,
}

/// What most rows are compared with.
const PROXY: &str = "nginx proxy_pass: isMeetingRunning";
/// Making a meeting costs a server more than asking after one: creates have a row of their own.
const PROXY_CREATE: &str = "nginx proxy_pass: create, new meetings";

/// One row of one round.
struct Sample {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: BTreeMap<&'static str, f64>,
    memory: f64,
    /// The share of the machine that programs other than ours used.
    others: f64,
}

/// All load rows, and what others used of the machine meanwhile (the worst share, 0 to 1).
pub fn run(settings: &Settings, directory: &Path) -> Result<(Vec<Row>, f64)> {
    let pool = Pool::start(3, directory)?;
    let nginx = Nginx::start(directory, pool.sim.address(1))?;
    let wrk = Wrk::new(directory)?;
    let cases = cases(&pool, &nginx);
    let mut samples: Vec<Vec<Sample>> = cases.iter().map(|_| Vec::new()).collect();
    populate(&pool)?;
    for round in 1..=settings.rounds {
        for (case, samples) in cases.iter().zip(&mut samples) {
            eprintln!("round {round} of {}: {}", settings.rounds, case.name);
            let sample = measure(case, &pool, &wrk, settings, directory, round)
                .with_context(|| format!("{}; the replica's log: {}", case.name, pool.replica.log()))?;
            samples.push(sample);
        }
    }
    let reference = |case: &Case| {
        let at = cases.iter().position(|other| other.name == case.reference).unwrap_or(0);
        samples[at].as_slice()
    };
    let mut rows: Vec<Row> =
        cases.iter().zip(&samples).map(|(case, own)| row(case, own, reference(case))).collect();
    let peak = cpu::peak(pool.replica.process.pid())? as f64 / 1024.0;
    let memory =
        Row { case: "sl: most memory under all of this".into(), memory_mb: Some(peak), ..Row::default() };
    rows.push(memory.judged(Some(Limit::BelowMb(40.0))));
    let others = samples.iter().flatten().map(|sample| sample.others).fold(0.0, f64::max);
    Ok((rows, others))
}

/// The meetings that the rows ask for: `live` came through the balancer, `direct` is on server 1.
fn populate(pool: &Pool) -> Result<()> {
    pool.call("create", &format!("{CREATE}live"))?;
    for n in 1..=pool.sim.urls.len() {
        if http::get(&pool.sim.control, &format!("/servers/{n}/meetings/live"))?.status == 200 {
            pool.sim.order(&format!("/servers/{n}/meetings/live/people"), r#"{"add":2}"#)?;
        }
    }
    pool.sim.order("/servers/1/meetings", r#"{"id":"direct","people":2}"#)
}

fn cases(pool: &Pool, nginx: &Nginx) -> Vec<Case> {
    let sl = |name, what, counter, limit: Option<f64>| Case {
        name,
        address: pool.replica.address.clone(),
        what,
        front: vec![pool.replica.process.pid()],
        counter,
        reference: PROXY,
        limit: limit.map(Limit::RatioAtLeast),
    };
    let beside = |name, address: &str, what, counter| Case {
        name,
        address: address.to_owned(),
        what,
        front: nginx.workers.clone(),
        counter,
        reference: PROXY,
        limit: None,
    };
    let same = |call, query: &str, secret, says| What::Same { target: signed(call, query, secret), says };
    let create_live = format!("{CREATE}live");
    let running = "<running>true</running>";
    let join = "fullName=Ada+Lovelace&meetingID=live&password=mp";
    vec![
        beside(
            PROXY,
            &nginx.proxy,
            same("isMeetingRunning", "meetingID=direct", SIM_SECRET, running),
            Some("is_meeting_running"),
        ),
        sl(
            "sl: isMeetingRunning",
            same("isMeetingRunning", "meetingID=live", SECRET, running),
            Some("is_meeting_running"),
            Some(0.45),
        ),
        beside(
            "nginx return 302",
            &nginx.redirect,
            What::Same { target: "/bigbluebutton/api/join".into(), says: "302 " },
            None,
        ),
        sl("sl: join", same("join", join, SECRET, "location: http"), None, Some(0.7)),
        sl(
            "sl: create, existing meeting",
            same("create", &create_live, SECRET, "duplicateWarning"),
            Some("create_duplicate"),
            Some(0.35),
        ),
        sl(
            "sl: getMeetings, 3 servers",
            same("getMeetings", "", SECRET, "<meetingID>live</meetingID>"),
            Some("get_meetings"),
            None,
        ),
        Case {
            reference: PROXY_CREATE,
            ..sl("sl: create, new meetings", What::Creates { secret: SECRET }, Some("create_new"), Some(0.35))
        },
        beside(PROXY_CREATE, &nginx.proxy, What::Creates { secret: SIM_SECRET }, Some("create_new")),
    ]
}

fn measure(
    case: &Case,
    pool: &Pool,
    wrk: &Wrk,
    settings: &Settings,
    directory: &Path,
    round: u64,
) -> Result<Sample> {
    let file = directory.join("requests");
    match &case.what {
        What::Same { target, says } => {
            let expected = check(&case.address, target, says)?;
            let ask = Ask::Same(target);
            wrk.run(&case.address, &ask, 1)?;
            let sample = under_load(case, pool, expected, || wrk.run(&case.address, &ask, settings.seconds))?;
            check(&case.address, target, says)?;
            Ok(sample)
        }
        What::Creates { secret } => {
            let create = |id: &str| signed("create", &format!("{CREATE}{id}"), secret);
            let says = "<messageKey></messageKey>";
            let expected = check(&case.address, &create(&format!("before-{round:06}")), says)?;
            write(&file, 100_000, |n| create(&format!("warm-{round}-{n:06}")))?;
            let warm = wrk.run(&case.address, &Ask::Each(&file), 1)?;
            let enough = (warm.rate() * 2.0 * settings.seconds as f64) as u64 + 20_000;
            write(&file, enough, |n| create(&format!("room-{round}-{n:06}")))?;
            let sample = under_load(case, pool, expected, || {
                wrk.run(&case.address, &Ask::Each(&file), settings.seconds)
            })?;
            check(&case.address, &create(&format!("after-{round:06}")), says)?;
            pool.reset()?;
            populate(pool)?;
            Ok(sample)
        }
    }
}

fn write(file: &Path, lines: u64, line: impl Fn(u64) -> String) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for n in 0..lines {
        writeln!(out, "{}", line(n))?;
    }
    Ok(out.flush()?)
}

/// Asks once, the answer must say so; returns its size.
fn check(address: &str, target: &str, says: &str) -> Result<f64> {
    let answer = http::get(address, target)?;
    ensure!(
        matches!(answer.status, 200 | 302) && answer.text.contains(says),
        "a wrong answer: {}",
        answer.text
    );
    Ok(answer.bytes as f64)
}

fn under_load(
    case: &Case,
    pool: &Pool,
    expected: f64,
    load: impl FnOnce() -> Result<Load>,
) -> Result<Sample> {
    let (redis, sim) = ([pool.redis.process.pid()], [pool.sim.process.pid()]);
    let used =
        || anyhow::Ok([cpu::of(&case.front)?, cpu::of(&redis)?, cpu::of(&sim)?, cpu::of_ended_children()]);
    let seen = || {
        anyhow::Ok((pool.sim.count("checksum_failures")?, pool.sim.count(case.counter.unwrap_or("total"))?))
    };
    let counted = seen()?;
    let (busy, all, before) = (cpu::machine()?.0, cpu::machine()?.1, used()?);
    let load = load()?;
    let (after, (busy_then, all_then)) = (used()?, cpu::machine()?);
    let memory = case.front.iter().map(|pid| cpu::resident(*pid)).sum::<Result<u64>>()?;
    let counted_then = seen()?;
    ensure!(counted_then.0 == counted.0, "the simulator refused checksums");
    if case.counter.is_some() {
        let (here, there) = (load.requests, counted_then.1 - counted.1);
        ensure!(there >= here, "{here} answers, but only {there} of such requests reached the servers");
    }
    let size = load.bytes as f64 / load.requests as f64;
    let few = CONNECTIONS as f64 / load.requests as f64;
    ensure!(
        (size / expected - 1.0).abs() < 0.05 + few,
        "answers of {size:.0} bytes under load, but of {expected:.0} otherwise"
    );
    let spent: Vec<f64> = after.iter().zip(before).map(|(then, now)| then - now).collect();
    let each = spent.iter().map(|seconds| seconds * 1e6 / load.requests as f64);
    Ok(Sample {
        rate: load.rate(),
        p50: load.p50 as f64 / 1000.0,
        p99: load.p99 as f64 / 1000.0,
        cpu: ["front", "redis", "sim", "wrk"].into_iter().zip(each).collect(),
        memory: memory as f64 / 1024.0,
        others: ((busy_then - busy - spent.iter().sum::<f64>()) / (all_then - all)).max(0.0),
    })
}

fn row(case: &Case, own: &[Sample], reference: &[Sample]) -> Row {
    let all = |sample: &Sample| sample.cpu.values().sum::<f64>();
    let of = |figure: &dyn Fn(&Sample) -> f64| super::median(own.iter().map(figure));
    let pairs = || own.iter().zip(reference);
    let row = Row {
        case: case.name.to_owned(),
        per_second: Some(of(&|s| s.rate)),
        p50_ms: Some(of(&|s| s.p50)),
        p99_ms: Some(of(&|s| s.p99)),
        cpu_us: own[0].cpu.keys().map(|who| (*who, of(&|s| s.cpu[who]))).collect(),
        memory_mb: Some(of(&|s| s.memory)),
        ratio: Some(super::median(pairs().map(|(own, other)| own.rate / other.rate))),
        cpu_ratio: Some(super::median(pairs().map(|(own, other)| all(other) / all(own)))),
        ..Row::default()
    };
    row.judged(case.limit)
}
