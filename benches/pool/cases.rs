//! The load rows: wrk against nginx and against `sl`, in front of the same simulated servers.
//!
//! Each row is measured once in each round, and the table shows the median: other load on the machine then affects all
//! rows alike.

use super::pool::{Pool, SECRET, signed_target};
use super::processes::{Nginx, SIM_SECRET};
use super::report::{Limit, Row};
use super::wrk::{CONNECTIONS, Load, Targets, Wrk};
use super::{Settings, cpu, http};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const CREATE: &str = "attendeePW=ap&moderatorPW=mp&name=A+Room&record=false&meta_origin=bench&meetingID=";

enum Workload {
    /// The same target repeatedly; its response must contain `expected`.
    Same { target: String, expected: &'static str },
    /// create of new meetings, signed with this secret. The pool is reset afterwards.
    Creates { secret: &'static str },
}

struct Case {
    name: &'static str,
    address: String,
    workload: Workload,
    /// Pids of what wrk connects to: the row shows their CPU time.
    front: Vec<u32>,
    /// The simulator's counter that must count every request; or some, of requests that share queries of the servers.
    counter: Option<&'static str>,
    /// The row that it is compared with: the same or the most similar request, without `sl`.
    reference: &'static str,
    limit: Option<Limit>,
}

/// The reference of most rows.
const PROXY: &str = "nginx proxy_pass: isMeetingRunning";
/// The reference of creates, which cost a server more than isMeetingRunning.
const PROXY_CREATE: &str = "nginx proxy_pass: create, new meetings";

/// One row of one round.
struct Sample {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: BTreeMap<&'static str, f64>,
    memory: f64,
    /// Share of the machine's CPU that programs outside this benchmark used.
    others: f64,
}

/// All load rows, and the largest share of the CPU (0 to 1) that other programs used.
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
    let peak = cpu::peak_resident_kib(pool.replica.process.pid())? as f64 / 1024.0;
    let memory =
        Row { case: "sl: most memory under all of this".into(), memory_mb: Some(peak), ..Row::default() };
    rows.push(memory.with_limit(Some(Limit::BelowMb(40.0))));
    let others = samples.iter().flatten().map(|sample| sample.others).fold(0.0, f64::max);
    Ok((rows, others))
}

/// Creates the meetings that the rows request: `live` through the proxy, `direct` on server 1.
fn populate(pool: &Pool) -> Result<()> {
    pool.call("create", &format!("{CREATE}live"))?;
    for n in 1..=pool.sim.urls.len() {
        if http::get(&pool.sim.control, &format!("/servers/{n}/meetings/live"))?.status == 200 {
            pool.sim.post_control(&format!("/servers/{n}/meetings/live/people"), r#"{"add":2}"#)?;
        }
    }
    pool.sim.post_control("/servers/1/meetings", r#"{"id":"direct","people":2}"#)
}

fn cases(pool: &Pool, nginx: &Nginx) -> Vec<Case> {
    let sl_case = |name, workload, counter, limit: Option<f64>| Case {
        name,
        address: pool.replica.address.clone(),
        workload,
        front: vec![pool.replica.process.pid()],
        counter,
        reference: PROXY,
        limit: limit.map(Limit::RatioAtLeast),
    };
    let nginx_case = |name, address: &str, workload, counter| Case {
        name,
        address: address.to_owned(),
        workload,
        front: nginx.workers.clone(),
        counter,
        reference: PROXY,
        limit: None,
    };
    let same = |call, query: &str, secret, expected| Workload::Same {
        target: signed_target(call, query, secret),
        expected,
    };
    let create_live = format!("{CREATE}live");
    let running = "<running>true</running>";
    let join = "fullName=Ada+Lovelace&meetingID=live&password=mp";
    vec![
        nginx_case(
            PROXY,
            &nginx.proxy,
            same("isMeetingRunning", "meetingID=direct", SIM_SECRET, running),
            Some("is_meeting_running"),
        ),
        sl_case(
            "sl: isMeetingRunning",
            same("isMeetingRunning", "meetingID=live", SECRET, running),
            Some("is_meeting_running"),
            Some(0.45),
        ),
        nginx_case(
            "nginx return 302",
            &nginx.redirect,
            Workload::Same { target: "/bigbluebutton/api/join".into(), expected: "302 " },
            None,
        ),
        sl_case("sl: join", same("join", join, SECRET, "location: http"), None, Some(0.7)),
        sl_case(
            "sl: create, existing meeting",
            same("create", &create_live, SECRET, "duplicateWarning"),
            Some("create_duplicate"),
            Some(0.35),
        ),
        sl_case(
            "sl: getMeetings, 3 servers",
            same("getMeetings", "", SECRET, "<meetingID>live</meetingID>"),
            Some("get_meetings"),
            None,
        ),
        Case {
            reference: PROXY_CREATE,
            ..sl_case(
                "sl: create, new meetings",
                Workload::Creates { secret: SECRET },
                Some("create_new"),
                Some(0.35),
            )
        },
        nginx_case(PROXY_CREATE, &nginx.proxy, Workload::Creates { secret: SIM_SECRET }, Some("create_new")),
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
    match &case.workload {
        Workload::Same { target, expected } => {
            let bytes = check_response(&case.address, target, expected)?;
            let targets = Targets::Same(target);
            wrk.run(&case.address, &targets, 1)?;
            let sample =
                measure_load(case, pool, bytes, || wrk.run(&case.address, &targets, settings.seconds))?;
            check_response(&case.address, target, expected)?;
            Ok(sample)
        }
        Workload::Creates { secret } => {
            let create = |id: &str| signed_target("create", &format!("{CREATE}{id}"), secret);
            let expected = "<messageKey></messageKey>";
            let bytes = check_response(&case.address, &create(&format!("before-{round:06}")), expected)?;
            write_targets(&file, 100_000, |n| create(&format!("warm-{round}-{n:06}")))?;
            let warm = wrk.run(&case.address, &Targets::Each(&file), 1)?;
            let count = (warm.rate() * 2.0 * settings.seconds as f64) as u64 + 20_000;
            write_targets(&file, count, |n| create(&format!("room-{round}-{n:06}")))?;
            let sample = measure_load(case, pool, bytes, || {
                wrk.run(&case.address, &Targets::Each(&file), settings.seconds)
            })?;
            check_response(&case.address, &create(&format!("after-{round:06}")), expected)?;
            pool.reset()?;
            populate(pool)?;
            Ok(sample)
        }
    }
}

fn write_targets(file: &Path, lines: u64, line: impl Fn(u64) -> String) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for n in 0..lines {
        writeln!(out, "{}", line(n))?;
    }
    Ok(out.flush()?)
}

/// Sends one request, whose response must contain `expected`; returns the response's bytes.
fn check_response(address: &str, target: &str, expected: &str) -> Result<f64> {
    let response = http::get(address, target)?;
    ensure!(
        matches!(response.status, 200 | 302) && response.text.contains(expected),
        "a wrong response: {}",
        response.text
    );
    Ok(response.bytes as f64)
}

fn measure_load(
    case: &Case,
    pool: &Pool,
    expected_bytes: f64,
    load: impl FnOnce() -> Result<Load>,
) -> Result<Sample> {
    let (redis, sim) = ([pool.redis.process.pid()], [pool.sim.process.pid()]);
    let used = || {
        anyhow::Ok([
            cpu::cpu_seconds(&case.front)?,
            cpu::cpu_seconds(&redis)?,
            cpu::cpu_seconds(&sim)?,
            cpu::children_cpu_seconds(),
        ])
    };
    let counted = || {
        anyhow::Ok((
            pool.sim.counter_total("checksum_failures")?,
            pool.sim.counter_total(case.counter.unwrap_or("total"))?,
        ))
    };
    let counts_before = counted()?;
    let (busy_before, all_before, before) =
        (cpu::machine_cpu_seconds()?.0, cpu::machine_cpu_seconds()?.1, used()?);
    let load = load()?;
    let (after, (busy_after, all_after)) = (used()?, cpu::machine_cpu_seconds()?);
    let memory = case.front.iter().map(|pid| cpu::resident_kib(*pid)).sum::<Result<u64>>()?;
    let counts_after = counted()?;
    ensure!(counts_after.0 == counts_before.0, "the servers refused checksums");
    if case.counter.is_some() {
        let (answered, received) = (load.requests, counts_after.1 - counts_before.1);
        let is_shared = case.counter == Some("get_meetings");
        ensure!(
            received >= if is_shared { 1 } else { answered },
            "{answered} responses, but the servers received only {received} such requests"
        );
    }
    let size = load.bytes as f64 / load.requests as f64;
    let unfinished = CONNECTIONS as f64 / load.requests as f64;
    ensure!(
        (size / expected_bytes - 1.0).abs() < 0.05 + unfinished,
        "responses of {size:.0} bytes under load, but of {expected_bytes:.0} otherwise"
    );
    let spent: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let each = spent.iter().map(|seconds| seconds * 1e6 / load.requests as f64);
    Ok(Sample {
        rate: load.rate(),
        p50: load.p50 as f64 / 1000.0,
        p99: load.p99 as f64 / 1000.0,
        cpu: ["front", "redis", "sim", "wrk"].into_iter().zip(each).collect(),
        memory: memory as f64 / 1024.0,
        others: ((busy_after - busy_before - spent.iter().sum::<f64>()) / (all_after - all_before)).max(0.0),
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
        cpu_us: own[0].cpu.keys().map(|process| (*process, of(&|s| s.cpu[process]))).collect(),
        memory_mb: Some(of(&|s| s.memory)),
        ratio: Some(super::median(pairs().map(|(own, other)| own.rate / other.rate))),
        cpu_ratio: Some(super::median(pairs().map(|(own, other)| all(other) / all(own)))),
        ..Row::default()
    };
    row.with_limit(case.limit)
}
