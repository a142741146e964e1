//! The poll lease: one replica polls; when it stops, another takes over.

use crate::support::{Pool, eventually, within};
use std::process::Command;
use std::time::Duration;

const FAST: [(&str, &str); 2] = [("POLL_INTERVAL", "0.3"), ("POLL_LEASE", "1")];

/// A pool whose replicas all compete for the lease.
fn polling_pool(replicas: usize, more: &[(&str, &str)]) -> Pool {
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
    let holder_id = pool.redis.cli(&["GET", "scalelite:sl:poll_lease"]);
    let pid: u32 = holder_id.split(':').nth(1)?.parse().ok()?;
    pool.replicas.iter().position(|replica| replica.child.id() == pid)
}

fn wait_for_holder(pool: &Pool) -> usize {
    let mut found = None;
    eventually("a replica holds the lease", || {
        found = holder(pool);
        found.is_some()
    });
    found.unwrap()
}

fn signal(pool: &Pool, replica: usize, signal: &str) {
    let pid = pool.replicas[replica].child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// Starts a meeting on the server itself, so that only a poll can find it.
fn assert_poll_finds(pool: &Pool, meeting: &str) {
    pool.server(1).create_meeting(meeting, "M");
    eventually("a poll finds it", || {
        pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{meeting}")]) == "1"
    });
}

#[test]
fn killed_poller_is_replaced_within_two_leases() {
    let mut pool = polling_pool(3, &[]);
    for round in 0..2 {
        let at = wait_for_holder(&pool);
        pool.replicas[at].child.kill().unwrap();
        pool.replicas[at].child.wait().unwrap();
        // Two leases take two seconds; the rest is for a busy machine.
        within(Duration::from_secs(12), "another replica polls", || {
            holder(&pool).is_some_and(|now| now != at)
        });
        assert_poll_finds(&pool, &format!("m{round}"));
    }
}

#[test]
fn stopping_poller_releases_lease() {
    // Too long to expire within this test.
    let mut pool = polling_pool(1, &[("POLL_LEASE", "600")]);
    let at = wait_for_holder(&pool);
    pool.replicas[at].terminate();
    pool.replicas[at].wait_for_exit(Duration::from_secs(10));
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:poll_lease"]), "0");
    pool.serve(&[]);
    eventually("another replica polls", || holder(&pool) == Some(1));
}

#[test]
fn paused_poller_does_not_retake_lease() {
    let pool = polling_pool(2, &[]);
    let paused = wait_for_holder(&pool);
    signal(&pool, paused, "-STOP");
    eventually("the other polls", || holder(&pool).is_some_and(|now| now != paused));
    let fence = pool.redis.cli(&["GET", "scalelite:sl:poll_fence"]);
    signal(&pool, paused, "-CONT");
    assert_poll_finds(&pool, "after");
    assert_eq!(pool.redis.cli(&["GET", "scalelite:sl:poll_fence"]), fence, "the lease did not change hands");
    assert!(holder(&pool) != Some(paused));
}

#[test]
fn polling_resumes_after_redis_data_loss() {
    let mut pool = polling_pool(2, &[]);
    wait_for_holder(&pool);
    pool.redis.down();
    pool.redis.up();
    let server = pool.server(1);
    pool.redis.eval("add_server", &["bbb1", &server.url(), server.secret()]);
    pool.redis.eval("set_state", &["bbb1", "enabled"]);
    eventually("the server is online again", || {
        pool.redis.cli(&["HGET", "scalelite:server:bbb1", "online"]) == "true"
    });
    assert_poll_finds(&pool, "found");
}

#[test]
fn status_shows_poller_and_warns_without_one() {
    let mut pool = polling_pool(1, &[]);
    wait_for_holder(&pool);
    eventually("a poll round ran", || pool.redis.cli(&["EXISTS", "scalelite:sl:poll_round"]) == "1");
    let pid = pool.replicas[0].child.id();
    let status: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
    let holder_id = status["poller"]["holder"].as_str().unwrap();
    assert!(holder_id.contains(&format!(":{pid}:")), "{status:#}");
    assert!(!pool.sl_ok(&["status"]).contains("WARNING"));
    pool.replicas[0].child.kill().unwrap();
    pool.replicas[0].child.wait().unwrap();
    eventually("status warns", || pool.sl_ok(&["status"]).contains("WARNING: no replica has polled"));
    // `sl poll` by hand or from cron counts as polling.
    pool.set("POLL_INTERVAL", "60");
    pool.sl_ok(&["poll"]);
    assert!(!pool.sl_ok(&["status"]).contains("WARNING"));
}
