//! `sl servers drain`, `sl rebuild`

use crate::support::{Pool, eventually};
use std::process::Stdio;

#[test]
fn drain_cordons_and_reports_running_meetings() {
    let pool = Pool::with(2, 1, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let server = format!("bbb{}", pool.holder("m1").unwrap());
    assert_eq!(pool.sl_ok(&["servers", "drain", &server]), format!("OK {server}: cordoned, meetings 1\n"));
    assert_eq!(pool.redis.cli(&["HGET", &format!("scalelite:server:{server}"), "state"]), "cordoned");
}

#[test]
fn drain_waits_for_last_meeting_to_end() {
    let pool = Pool::with(2, 1, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let server = pool.holder("m1").unwrap();
    let id = format!("bbb{server}");
    let child = pool
        .command()
        .args(["servers", "drain", &id, "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it is cordoned", || {
        pool.redis.cli(&["HGET", &format!("scalelite:server:{id}"), "state"]) == "cordoned"
    });
    pool.get("end", "meetingID=m1&password=mp").success();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, format!("OK {id}: drained, meetings 0, state disabled\n"));
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains(": 1 meetings, 0 users"), "{progress}");
}

#[test]
fn drain_applies_then_action_at_deadline() {
    let pool = Pool::with(3, 1, &[]);
    for n in 1..=3 {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp")).success();
    }
    let state = |n: usize| pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "state"]);
    let error = pool.sl(&["servers", "drain", "bbb1", "--deadline", "0.1s"]);
    assert_eq!(error.status.code(), Some(1));
    let text = String::from_utf8(error.stderr).unwrap();
    assert!(
        text.lines().last().unwrap().contains("1 meetings are still running: bbb1 stays cordoned"),
        "{text}"
    );
    assert_eq!(state(1), "cordoned");
    pool.sl_ok(&["servers", "drain", "bbb2", "--deadline", "0.1s", "--then", "disable"]);
    assert_eq!((state(2).as_str(), pool.server(2).meetings().len()), ("disabled", 1));
    let output = pool.sl_ok(&["servers", "drain", "bbb3", "--deadline", "0.1s", "--then", "panic"]);
    assert!(output.starts_with("OK bbb3: panicked"), "{output}");
    assert_eq!((state(3).as_str(), pool.server(3).meetings().len()), ("disabled", 0));
    let usage = pool.sl(&["servers", "drain", "bbb3", "--then", "panic"]);
    assert_eq!(usage.status.code(), Some(2), "--then requires --deadline");
}

#[test]
fn rebuild_corrects_all_records() {
    let pool = Pool::with(3, 1, &[]);
    for n in 0..6 {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp")).success();
    }
    // A stray meeting, a wrong load, and a record that names an unknown server.
    pool.server(1).create_meeting("stray", "S");
    pool.redis.cli(&["ZADD", "scalelite:server_load", "999", "bbb2"]);
    pool.redis.cli(&["SADD", "scalelite:meetings", "orphan"]);
    pool.redis.cli(&["HSET", "scalelite:meeting:orphan", "server_id", "gone", "voice_bridge", "77"]);
    pool.redis.cli(&["HSET", "scalelite:voice_bridges", "77", "orphan"]);
    let output = pool.sl_ok(&["rebuild"]);
    assert!(output.contains("3 of 3 servers answered\n7 meetings are recorded now\n"), "{output}");
    assert!(
        output.contains("  1 ran without a record") && output.contains("  1 were on servers"),
        "{output}"
    );
    let mut loads: Vec<f64> = pool.redis.loads().iter().map(|(_, load)| *load).collect();
    loads.sort_by(f64::total_cmp);
    assert_eq!(loads, [30.0, 30.0, 45.0]);
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:voice_bridges", "77"]), "");
    let json: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["rebuild", "--json"])).unwrap();
    assert_eq!((&json["meetings_adopted"], &json["records_dropped"]), (&0.into(), &0.into()));
}
