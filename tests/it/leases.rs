//! One replica polls; when it goes, another does.

use crate::support::{Pool, eventually, within};
use std::process::Command;
use std::time::Duration;

const FAST: [(&str, &str); 2] = [("POLL_INTERVAL", "0.3"), ("POLL_LEASE", "1")];

/// Replicas that all take part in the polls.
fn polling(replicas: usize, more: &[(&str, &str)]) -> Pool {
    let mut pool = Pool::with(2, 0, &FAST);
    for (name, value) in more {
        pool.set(name, value);
    }
    for _ in 0..replicas {
        pool.serve(&[]);
    }
    pool
}

/// Which replica holds the lease.
fn holder(pool: &Pool) -> Option<usize> {
    let who = pool.redis.cli(&["GET", "scalelite:sl:poll_lease"]);
    let pid: u32 = who.split(':').nth(1)?.parse().ok()?;
    pool.replicas.iter().position(|replica| replica.child.id() == pid)
}

fn a_holder(pool: &Pool) -> usize {
    let mut found = None;
    eventually("somebody polls", || {
        found = holder(pool);
        found.is_some()
    });
    found.unwrap()
}

fn signal(pool: &Pool, replica: usize, signal: &str) {
    let pid = pool.replicas[replica].child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// A meeting that only a poll can have found, and that did not run before.
fn is_noticed(pool: &Pool, meeting: &str) {
    pool.server(1).create_meeting(meeting, "M");
    eventually("a poll finds it", || {
        pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{meeting}")]) == "1"
    });
}

#[test]
fn a_poller_that_is_killed_is_followed_by_another_within_two_leases() {
    let mut pool = polling(3, &[]);
    for round in 0..2 {
        let at = a_holder(&pool);
        pool.replicas[at].child.kill().unwrap();
        pool.replicas[at].child.wait().unwrap();
        // Two seconds, and what a busy machine takes.
        within(Duration::from_secs(12), "another polls", || holder(&pool).is_some_and(|now| now != at));
        is_noticed(&pool, &format!("m{round}"));
    }
}

#[test]
fn a_poller_that_stops_gives_the_lease_up() {
    // Nobody would take over within this test by waiting for the lease to expire.
    let mut pool = polling(1, &[("POLL_LEASE", "600")]);
    let at = a_holder(&pool);
    pool.replicas[at].terminate();
    pool.replicas[at].ended_within(Duration::from_secs(10));
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:poll_lease"]), "0");
    pool.serve(&[]);
    eventually("another polls", || holder(&pool) == Some(1));
}

#[test]
fn a_poller_that_was_paused_steps_aside_when_it_wakes() {
    let pool = polling(2, &[]);
    let paused = a_holder(&pool);
    signal(&pool, paused, "-STOP");
    eventually("the other polls", || holder(&pool).is_some_and(|now| now != paused));
    let fence = pool.redis.cli(&["GET", "scalelite:sl:poll_fence"]);
    signal(&pool, paused, "-CONT");
    is_noticed(&pool, "after");
    assert_eq!(pool.redis.cli(&["GET", "scalelite:sl:poll_fence"]), fence, "the lease has not moved");
    assert!(holder(&pool) != Some(paused));
}

#[test]
fn a_redis_that_lost_everything_is_polled_again() {
    let mut pool = polling(2, &[]);
    a_holder(&pool);
    pool.redis.down();
    pool.redis.up();
    let server = pool.server(1);
    pool.redis.eval("add_server", &["bbb1", &server.url(), server.secret()]);
    pool.redis.eval("set_state", &["bbb1", "enabled"]);
    eventually("the server is online again", || {
        pool.redis.cli(&["HGET", "scalelite:server:bbb1", "online"]) == "true"
    });
    is_noticed(&pool, "found");
}

#[test]
fn status_says_who_polls_and_when_nobody_does() {
    let mut pool = polling(1, &[]);
    a_holder(&pool);
    eventually("a round", || pool.redis.cli(&["EXISTS", "scalelite:sl:poll_round"]) == "1");
    let pid = pool.replicas[0].child.id();
    let status: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
    let who = status["poller"]["holder"].as_str().unwrap();
    assert!(who.contains(&format!(":{pid}:")), "{status:#}");
    assert!(!pool.sl_ok(&["status"]).contains("WARNING"));
    pool.replicas[0].child.kill().unwrap();
    pool.replicas[0].child.wait().unwrap();
    eventually("it is noticed", || pool.sl_ok(&["status"]).contains("WARNING: no replica has polled"));
    // Who polls by hand, from cron say, does poll.
    pool.set("POLL_INTERVAL", "60");
    pool.sl_ok(&["poll"]);
    assert!(!pool.sl_ok(&["status"]).contains("WARNING"));
}
