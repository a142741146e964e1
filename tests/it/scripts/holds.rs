//! Which servers reassign.lua, release.lua and poll_failed.lua hold (sl:held).

use super::Lab;

/// A create of this meeting fails on this server: `failed`, `unreachable` or `busy`. Returns the outcome.
fn fails(lab: &Lab, meeting: &str, at: &str, reason: &str) -> String {
    fails_with(lab, meeting, at, reason, "2")
}

fn fails_with(lab: &Lab, meeting: &str, at: &str, reason: &str, tries_left: &str) -> String {
    lab.redis.eval("reassign", &[meeting, at, "", "15", "86400", "", reason, tries_left, at])[0].clone()
}

/// A create of this meeting has failed on all of these servers, and gives up.
fn gives_up(lab: &Lab, meeting: &str, tried: &[&str]) {
    let args = [&[meeting, "", "", "1"], tried].concat();
    lab.redis.eval("release", &args);
}

fn held(lab: &Lab) -> Vec<String> {
    let text = lab.redis.cli(&["ZRANGE", "scalelite:sl:held", "0", "-1"]);
    text.lines().map(str::to_owned).collect()
}

/// Records a meeting on a server of our choice.
fn record(lab: &Lab, meeting: &str, at: &str) {
    lab.redis.eval("assign", &[meeting, "", "15", "86400", "mp", "", ""]);
    let was = lab.hget(&format!("scalelite:meeting:{meeting}"), "server_id");
    if was != at {
        lab.redis.cli(&["HSET", &format!("scalelite:meeting:{meeting}"), "server_id", at]);
        lab.redis.cli(&["ZREM", &format!("scalelite:sl:server_meetings:{was}"), meeting]);
        let now = lab.run(lab.store.now_ms()).unwrap().to_string();
        lab.redis.cli(&["ZADD", &format!("scalelite:sl:server_meetings:{at}"), &now, meeting]);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_held_at_once_and_a_busy_one_is_not() {
    let lab = Lab::with_servers(3);
    record(&lab, "a", "s1");
    assert_eq!(fails(&lab, "a", "s1", "busy"), "moved");
    assert!(held(&lab).is_empty());
    record(&lab, "b", "s1");
    assert_eq!(fails(&lab, "b", "s1", "unreachable"), "moved");
    assert_eq!(held(&lab), ["s1"]);
    lab.poll("s2", &[("x", 500, 0)]);
    lab.poll("s3", &[("y", 500, 0)]);
    for n in 0..6 {
        assert_ne!(lab.assign(&format!("m{n}")), "s1", "though it is the least loaded by far");
    }
    for id in ["s2", "s3"] {
        lab.redis.eval("set_state", &[id, "disabled"]);
    }
    assert_eq!(lab.assign("last resort"), "s1", "there is no other");
    for id in ["s2", "s3"] {
        lab.redis.eval("set_state", &[id, "enabled"]);
    }
    lab.redis.cli(&["ZADD", "scalelite:sl:held", "1", "s1"]);
    assert_eq!(lab.assign("later"), "s1", "it is no longer held");
    assert!(held(&lab).is_empty());
}

#[test]
fn a_hold_grows_with_each_failure_up_to_two_minutes() {
    let lab = Lab::with_servers(3);
    let mut seconds = Vec::new();
    for n in 0..15 {
        let meeting = format!("m{n}");
        record(&lab, &meeting, "s1");
        fails(&lab, &meeting, "s1", "unreachable");
        let until: f64 = lab.redis.cli(&["ZSCORE", "scalelite:sl:held", "s1"]).parse().unwrap();
        let now = lab.run(lab.store.now_ms()).unwrap();
        seconds.push(((until - now as f64) / 10_000.0).round() as u64 * 10);
        let past = (now - 2000).to_string();
        lab.redis.cli(&["HSET", "scalelite:sl:server:s1", "held_at", &past]);
    }
    assert_eq!((seconds[0], seconds[1], seconds[10], seconds[14]), (10, 20, 110, 120), "{seconds:?}");
    // After five minutes without a failure it begins again; failures at the same time are one.
    let past = lab.run(lab.store.now_ms()).unwrap() - 301_000;
    lab.redis.cli(&["HSET", "scalelite:sl:server:s1", "held_at", &past.to_string()]);
    for meeting in ["x", "y"] {
        record(&lab, meeting, "s1");
        fails(&lab, meeting, "s1", "unreachable");
        assert_eq!(lab.hget("scalelite:sl:server:s1", "held"), "1");
    }
}

#[test]
fn a_server_that_answers_is_held_when_creates_of_two_meetings_fail_there() {
    let lab = Lab::with_servers(3);
    for _ in 0..3 {
        record(&lab, "a", "s1");
        assert_eq!(fails(&lab, "a", "s1", "failed"), "moved");
        assert!(held(&lab).is_empty(), "of one meeting, however often");
        lab.redis.eval("release", &["a"]);
    }
    record(&lab, "b", "s1");
    fails(&lab, "b", "s1", "failed");
    assert_eq!(held(&lab), ["s1"]);
    // Enabled again by an operator, it begins afresh.
    lab.redis.eval("set_state", &["s1", "enabled"]);
    record(&lab, "c", "s1");
    fails(&lab, "c", "s1", "failed");
    assert!(held(&lab).is_empty());
    // A minute later the failure no longer counts.
    let past = lab.run(lab.store.now_ms()).unwrap() - 61_000;
    lab.redis.cli(&["ZADD", "scalelite:sl:failed_creates:s1", &past.to_string(), "c"]);
    record(&lab, "d", "s1");
    fails(&lab, "d", "s1", "failed");
    assert!(held(&lab).is_empty());
    // Removed, it leaves nothing behind.
    lab.redis.eval("remove_server", &["s1", "1"]);
    assert!(!lab.exists("scalelite:sl:failed_creates:s1") && !lab.exists("scalelite:sl:server:s1"));
}

#[test]
fn a_server_that_answers_is_held_when_a_poll_fails_after_a_create() {
    let lab = Lab::with_servers(3);
    let fail = |id: &str| lab.redis.eval("poll_failed", &[id, "9"])[0].clone();
    assert_eq!(fail("s2"), "online");
    assert!(held(&lab).is_empty());
    record(&lab, "a", "s1");
    fails(&lab, "a", "s1", "failed");
    assert_eq!(fail("s1"), "online");
    assert_eq!(held(&lab), ["s1"]);
    // What a poll has shown is not taken back for a meeting that fails elsewhere too.
    gives_up(&lab, "a", &["s1", "s2"]);
    assert_eq!(held(&lab), ["s1"]);
}

#[test]
fn a_meeting_that_failed_on_several_servers_holds_none() {
    let lab = Lab::with_servers(4);
    for meeting in ["a", "b"] {
        record(&lab, meeting, "s1");
        assert_eq!(fails(&lab, meeting, "s1", "failed"), "moved");
    }
    assert_eq!(held(&lab), ["s1"]);
    gives_up(&lab, "a", &["s1", "s2"]);
    assert!(held(&lab).is_empty(), "only one other create has failed there");
    assert_eq!(lab.hget("scalelite:sl:server:s1", "held"), "");
    gives_up(&lab, "b", &["s1", "s2"]);
    // Nor do its repeats.
    record(&lab, "a", "s2");
    assert_eq!(fails_with(&lab, "a", "s2", "failed", "2"), "moved");
    record(&lab, "a", "s3");
    assert_eq!(fails_with(&lab, "a", "s3", "failed", "1"), "spent");
    gives_up(&lab, "a", &["s2", "s3"]);
    assert!(held(&lab).is_empty());
    record(&lab, "a", "s4");
    assert_eq!(fails_with(&lab, "a", "s4", "failed", "2"), "spent");
    // It may be moved off a server that cannot be reached all the same.
    assert_eq!(fails_with(&lab, "a", "s4", "unreachable", "1"), "moved");
    let ttl: i64 = lab.redis.cli(&["TTL", "scalelite:sl:bad_create:a"]).parse().unwrap();
    assert!((290..=300).contains(&ttl), "{ttl}");
    lab.redis.cli(&["DEL", "scalelite:sl:bad_create:a"]);
    record(&lab, "a", "s2");
    assert_eq!(fails_with(&lab, "a", "s2", "failed", "1"), "moved");
}

#[test]
fn a_create_that_could_try_one_server_only_speaks_against_that_server() {
    let lab = Lab::with_servers(3);
    gives_up(&lab, "a", &["s1"]);
    assert!(held(&lab).is_empty());
    gives_up(&lab, "b", &["s1"]);
    assert_eq!(held(&lab), ["s1"]);
    assert!(!lab.exists("scalelite:sl:bad_create:a"));
    // Not a server that has left the pool.
    gives_up(&lab, "a", &["s9"]);
    assert!(!lab.exists("scalelite:sl:failed_creates:s9"));
}

/// Creates of these meetings have failed on s1 and elsewhere, four seconds ago.
fn bad_creates(lab: &Lab, count: usize) {
    for n in 0..count {
        let meeting = format!("bad{n}");
        gives_up(lab, &meeting, &["s1", "s2"]);
        let past = lab.run(lab.store.now_ms()).unwrap() - 4000;
        lab.redis.cli(&["ZADD", "scalelite:sl:failed_creates:s1", &past.to_string(), &meeting]);
    }
}

#[test]
fn a_server_that_creates_nothing_is_held_when_creates_of_five_bad_meetings_fail_there() {
    let lab = Lab::with_servers(3);
    bad_creates(&lab, 3);
    gives_up(&lab, "fourth", &["s1", "s2"]);
    assert!(held(&lab).is_empty(), "four are not enough");
    gives_up(&lab, "fifth", &["s1", "s2"]);
    assert_eq!(held(&lab), ["s1"], "s2 has failed for less than three seconds");
}

#[test]
fn a_server_that_creates_other_meetings_is_not_held_for_bad_ones() {
    let lab = Lab::with_servers(3);
    bad_creates(&lab, 5);
    record(&lab, "good", "s1");
    lab.poll("s1", &[("good", 0, 0)]);
    gives_up(&lab, "sixth", &["s1", "s2"]);
    assert!(held(&lab).is_empty());
}
