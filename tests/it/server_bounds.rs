//! What one bad server can do to the rest of the pool is bounded.

use crate::support::{CannedServer, Pool, eventually};
use std::fmt::Write;

fn list(ids: impl Iterator<Item = String>) -> String {
    let mut body = "<response><returncode>SUCCESS</returncode><version>2.0</version><meetings>".to_owned();
    for id in ids {
        write!(body, "<meeting><meetingID>{id}</meetingID><participantCount>1</participantCount></meeting>")
            .unwrap();
    }
    body + "</meetings></response>"
}

fn warnings(pool: &Pool) -> Vec<serde_json::Value> {
    let status: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
    status["warnings"].as_array().unwrap().clone()
}

/// A pool with a simulated server, bbb1, and one that answers with these bytes, `bad`.
fn pool_with(body: &str, variables: &[(&str, &str)]) -> (Pool, CannedServer) {
    let canned = CannedServer::start(body.as_bytes());
    let pool = Pool::with(1, 0, variables);
    pool.sl_ok(&["servers", "add", &canned.url(), "secret", "--id", "bad", "--no-check"]);
    pool.sl_ok(&["servers", "enable", "bad"]);
    (pool, canned)
}

#[test]
fn list_longer_than_limit_changes_only_that_the_server_answers() {
    let few = list((0..3).map(|n| format!("m{n}")));
    let (mut pool, canned) = pool_with(&few, &[("MAX_MEETINGS_PER_SERVER", "100")]);
    pool.sl_ok(&["poll"]);
    let figures = || pool.redis.cli(&["HGETALL", "scalelite:server:bad"]);
    let meetings = || pool.redis.cli(&["SCARD", "scalelite:meetings"]);
    let (before, recorded) = (figures(), meetings());
    assert!(warnings(&pool).is_empty());
    canned.set_body(list((0..101).map(|n| format!("other{n}"))).as_bytes());
    for _ in 0..3 {
        let output = pool.sl_ok(&["poll"]);
        assert!(output.contains("2 of 2 servers answered"), "{output}");
    }
    assert_eq!((figures(), meetings()), (before, recorded));
    pool.serve(&["--no-poller"]);
    let listed = pool.get("getMeetings", "").body;
    assert!(listed.contains("noMeetings"), "clients do not get the list either: {listed}");
    let warning = &warnings(&pool)[0];
    assert_eq!((&warning["kind"], &warning["subject"]), (&"too-many-meetings".into(), &"bad".into()));
    assert!(warning["text"].as_str().unwrap().contains("it lists 101 meetings, more than 100"), "{warning}");
    canned.set_body(few.as_bytes());
    pool.sl_ok(&["poll"]);
    assert!(warnings(&pool).is_empty());
}

#[test]
fn meetings_with_ids_longer_than_bbb_allows_are_not_recorded() {
    let (pool, _canned) = pool_with(&list(["x".repeat(257), "é".repeat(256)].into_iter()), &[]);
    pool.sl_ok(&["poll"]);
    assert_eq!(pool.redis.cli(&["SMEMBERS", "scalelite:meetings"]), "é".repeat(256));
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:server:bad", "meetings"]), "2");
}

#[test]
fn many_adopted_and_released_meetings_are_a_bounded_number_of_log_lines() {
    let canned = CannedServer::start(list((0..900).map(|n| format!("m{n}"))).as_bytes());
    let mut pool = Pool::empty(0, &[("POLL_INTERVAL", "0.3"), ("LOG_LEVEL", "info")]);
    pool.sl_ok(&["servers", "add", &canned.url(), "secret", "--id", "bad", "--no-check"]);
    pool.sl_ok(&["servers", "enable", "bad"]);
    for key in pool.redis.cli(&["KEYS", "scalelite:*meeting*"]).lines() {
        pool.redis.cli(&["DEL", key]);
    }
    pool.serve(&[]);
    eventually("all are adopted", || pool.redis.cli(&["SCARD", "scalelite:meetings"]) == "900");
    let log = || pool.replicas[0].log();
    eventually("the log says so", || log().contains("and 880 more"));
    assert_eq!(log().lines().filter(|line| line.contains("adopted a meeting")).count(), 21);
}

#[test]
fn status_warns_of_another_poller() {
    let pool = Pool::with(1, 0, &[]);
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    pool.sl_ok(&["servers", "panic", "bbb1", "--yes"]);
    pool.sl_ok(&["servers", "update", "bbb1", "--tag", "gpu"]);
    pool.sl_ok(&["servers", "enable", "bbb1"]);
    pool.sl_ok(&["poll"]);
    assert!(warnings(&pool).iter().all(|w| w["kind"] != "foreign-poller"), "{:?}", warnings(&pool));
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "users", "7"]);
    pool.sl_ok(&["poll"]);
    let warning = warnings(&pool);
    assert_eq!((&warning[0]["kind"], &warning[0]["subject"]), (&"foreign-poller".into(), &"bbb1".into()));
    pool.sl_ok(&["poll"]);
    assert_eq!(warnings(&pool).len(), 1, "it is not forgotten with the next round");
    let ttl: i64 = pool.redis.cli(&["TTL", "scalelite:sl:foreign_poller"]).parse().unwrap();
    assert!((500..=600).contains(&ttl), "{ttl}");
}
