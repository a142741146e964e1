//! What scripts write beside their main effect: each case failed to fail when that line was broken.

use super::Lab;

#[test]
fn panic_clears_figures_state_and_list_of_meetings() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.poll("s1", &[("a", 40, 0)]);
    lab.redis.cli(&["ZADD", "scalelite:sl:server_meetings:s1", "1", "expired"]);
    lab.redis.eval("panic", &["s1"]);
    for figure in ["meetings", "users", "largest_meeting", "videos"] {
        assert_eq!(lab.hget("scalelite:server:s1", figure), "0", "{figure}");
    }
    assert_eq!(lab.redis.cli(&["SISMEMBER", "scalelite:server_enabled", "s1"]), "0");
    assert!(!lab.exists("scalelite:sl:server_meetings:s1"));
}

#[test]
fn set_state_says_whether_it_changed_anything() {
    let lab = Lab::with_servers(1);
    assert_eq!(lab.redis.eval("set_state", &["s1", "enabled"]), ["same", "enabled", "0"]);
    assert_eq!(lab.redis.eval("set_state", &["s1", "cordoned"]), ["changed", "enabled", "0"]);
}

#[test]
fn a_suspect_is_polled_a_second_after_its_last_poll() {
    let lab = Lab::with_servers(1);
    let wait = || lab.redis.eval("suspect", &["s1", "2"])[2].parse::<u64>().unwrap();
    let poll_from = |ms: u64| {
        lab.redis.cli(&["HDEL", "scalelite:sl:server:s1", "probe_until"]);
        lab.redis.cli(&["HSET", "scalelite:sl:server:s1", "probe_from", &ms.to_string()]);
    };
    let now = lab.run(lab.store.now_ms()).unwrap();
    poll_from(now - 5000);
    assert_eq!(wait(), 0);
    poll_from(now + 60_000);
    assert_eq!(wait(), 1000, "never longer");
}

#[test]
fn an_ended_meeting_is_noted_for_two_minutes() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.eval("release", &["a"]);
    let ttl: i64 = lab.redis.cli(&["TTL", "scalelite:sl:ending:s1"]).parse().unwrap();
    assert!((100..=120).contains(&ttl), "{ttl}");
}

#[test]
fn joins_beyond_the_reservation_are_no_extra_participants() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    let extra = || lab.hget("scalelite:sl:meeting:a", "extra");
    for _ in 0..15 {
        lab.redis.eval("join", &["a", "", "1", "1"]);
    }
    assert_eq!((extra().as_str(), lab.load("s1")), ("15", Some(30.0)));
    lab.redis.eval("join", &["a", "", "1", "1"]);
    assert_eq!((extra().as_str(), lab.load("s1")), ("15", Some(31.0)));
    lab.redis.eval("join", &["a", "", "-1", "1"]);
    lab.redis.eval("join", &["a", "", "-1", "1"]);
    assert_eq!((extra().as_str(), lab.load("s1")), ("14", Some(29.0)));
}

#[test]
fn a_meeting_that_is_created_again_begins_afresh() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.eval("join", &["a", "", "1", "1"]);
    lab.poll("s1", &[("a", 3, 0)]);
    lab.age("a", 3600);
    lab.redis.cli(&["HSET", "scalelite:sl:meeting:a", "extra", "4"]);
    assert_eq!(lab.redis.eval("recreated", &["a", "s1", "real", "15"]), ["noted"]);
    for field in ["extra", "seen"] {
        assert_eq!(lab.hget("scalelite:sl:meeting:a", field), "", "{field}");
    }
    let listed_at = lab.redis.cli(&["ZSCORE", "scalelite:sl:server_meetings:s1", "a"]);
    assert_eq!(listed_at, lab.hget("scalelite:sl:meeting:a", "created"));
    // Without a password, the recorded one stays.
    lab.redis.eval("recreated", &["a", "s1", "", "15"]);
    assert_eq!(lab.hget("scalelite:meeting:a", "moderator_pw"), "real");
    // Young and not listed yet, it is the meeting that another create has just made.
    lab.redis.eval("join", &["a"]);
    lab.redis.eval("recreated", &["a", "s1", "real", "15"]);
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "users"), "1");
}

#[test]
fn a_new_server_is_in_the_index_at_once() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    assert_ne!(lab.hget("scalelite:sl:index", "built"), "");
    lab.redis.eval("add_server", &["s2", "http://s2/bigbluebutton/api", "x"]);
    assert_eq!(lab.hget("scalelite:sl:index", "built"), "");
}
