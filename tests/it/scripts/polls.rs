//! apply_poll.lua, poll_failed.lua and poll_unreadable.lua

use super::Lab;
use sl::store::{Fence, PollOutcome, ServerState};

fn applied(outcome: PollOutcome) -> (bool, bool, ServerState, Vec<String>) {
    match outcome {
        PollOutcome::Applied { online, changed, state, released, .. } => (online, changed, state, released),
        other => panic!("{other:?}"),
    }
}

fn fail(lab: &Lab, id: &str) -> (bool, bool) {
    let outcome = lab.run(lab.store.poll_failed(id, 0, &Fence::None, &lab.config.poll)).unwrap();
    let (online, changed, ..) = applied(outcome);
    (online, changed)
}

#[test]
fn load_counts_participants_and_young_meetings_at_least_their_reservation() {
    let lab = Lab::new();
    lab.server("s1", 2.0, "");
    lab.assign("young");
    lab.assign("old");
    lab.assign("full");
    lab.age("old", 16 * 60);
    lab.poll(
        "s1",
        &[("young", 3, 0), ("old", 3, 960), ("full", 40, 0), ("stray", 1, 0), ("old stray", 1, 901)],
    );
    // 15 + 3 + 40 + 15 + 1, twice
    assert_eq!(lab.load("s1"), Some(148.0));
    assert_eq!(lab.hget("scalelite:server:s1", "users"), "48");
    assert_eq!(lab.hget("scalelite:server:s1", "meetings"), "5");
    assert_eq!(lab.hget("scalelite:server:s1", "largest_meeting"), "40");
    assert_eq!(lab.hget("scalelite:server:s1", "bbb_version"), "3.0.9");
    lab.assert_index_matches();
    // Joins count from what the poll found.
    lab.redis.eval("join", &["full"]);
    lab.redis.eval("join", &["young"]);
    assert_eq!(lab.load("s1"), Some(150.0));
}

#[test]
fn a_poll_confirms_the_load_that_assign_added() {
    let lab = Lab::with_servers(1);
    for n in 0..4 {
        lab.assign(&format!("m{n}"));
    }
    let live = lab.load("s1");
    lab.poll("s1", &[("m0", 0, 0), ("m1", 1, 0), ("m2", 2, 0), ("m3", 15, 0)]);
    assert_eq!(lab.load("s1"), live);
}

#[test]
fn a_meeting_assigned_during_a_poll_keeps_its_load() {
    let lab = Lab::with_servers(1);
    let started = lab.tick();
    lab.assign("meanwhile");
    lab.poll_sent_at("s1", &[], started);
    assert_eq!(lab.load("s1"), Some(15.0));
    assert!(lab.exists("scalelite:meeting:meanwhile"));
}

#[test]
fn a_meeting_is_released_after_two_polls_without_it_and_a_minute() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    for _ in 0..3 {
        assert!(applied(lab.poll("s1", &[])).3.is_empty(), "younger than a minute");
    }
    lab.age("a", 61);
    lab.poll("s1", &[("a", 2, 61)]);
    assert!(applied(lab.poll("s1", &[])).3.is_empty(), "missed once");
    assert!(applied(lab.poll("s1", &[("a", 2, 61)])).3.is_empty());
    assert!(applied(lab.poll("s1", &[])).3.is_empty(), "missed once again");
    assert_eq!(applied(lab.poll("s1", &[])).3, ["a"]);
    for key in ["meeting:a", "sl:meeting:a", "meetings", "sl:server_meetings:s1"] {
        assert!(!lab.exists(&format!("scalelite:{key}")), "{key}");
    }
    assert_eq!(lab.load("s1"), Some(0.0));
}

#[test]
fn polls_renew_the_records_of_running_meetings() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    for key in ["scalelite:meeting:a", "scalelite:sl:meeting:a"] {
        lab.redis.cli(&["EXPIRE", key, "10"]);
    }
    lab.poll("s1", &[("a", 1, 100)]);
    // Its record is renewed with each poll; sl:meeting:{id} when it changes.
    lab.redis.cli(&["EXPIRE", "scalelite:meeting:a", "10"]);
    lab.poll("s1", &[("a", 1, 100)]);
    for key in ["scalelite:meeting:a", "scalelite:sl:meeting:a"] {
        let ttl: i64 = lab.redis.cli(&["TTL", key]).parse().unwrap();
        assert!(ttl > 80_000, "{key} {ttl}");
    }
}

#[test]
fn thresholds_decide_online_and_offline_and_meetings_stay_recorded() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    assert_eq!(fail(&lab, "s1"), (true, false));
    assert_eq!(lab.load("s1"), Some(15.0));
    assert_eq!(fail(&lab, "s1"), (false, true));
    assert_eq!(lab.load("s1"), None);
    lab.assert_index_matches();
    assert_eq!(fail(&lab, "s1"), (false, false));
    assert!(lab.exists("scalelite:meeting:a"));
    let (online, changed, ..) = applied(lab.poll("s1", &[("a", 1, 0)]));
    assert!(online && changed);
    assert_eq!(lab.load("s1"), Some(15.0));
    // A success in between resets the count.
    fail(&lab, "s1");
    lab.poll("s1", &[("a", 1, 0)]);
    assert_eq!(fail(&lab, "s1"), (true, false));
}

#[test]
fn a_server_comes_online_after_the_healthy_threshold_of_polls() {
    let lab = Lab::with_servers(1);
    fail(&lab, "s1");
    fail(&lab, "s1");
    let poll = |threshold: &str| lab.redis.eval("apply_poll", &["s1", "0", threshold]);
    assert_eq!(poll("3")[0], "offline");
    assert_eq!(poll("3")[0], "offline");
    assert_eq!(lab.load("s1"), None);
    assert_eq!(poll("3")[0], "online");
    assert_eq!(lab.load("s1"), Some(0.0));
}

#[test]
fn only_enabled_servers_become_candidates() {
    let lab = Lab::with_servers(2);
    lab.redis.eval("set_state", &["s1", "disabled"]);
    lab.poll("s1", &[("x", 5, 0)]);
    assert_eq!(lab.load("s1"), None);
    lab.redis.eval("set_state", &["s1", "cordoned"]);
    lab.poll("s1", &[("x", 50, 0)]);
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.redis.cli(&["ZSCORE", "scalelite:cordoned_server_load", "s1"]), "50");
    lab.assert_index_matches();
}

#[test]
fn a_cordoned_server_without_meetings_becomes_disabled() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.eval("set_state", &["s1", "cordoned"]);
    assert_eq!(applied(lab.poll("s1", &[("a", 1, 0)])).2, ServerState::Cordoned);
    lab.redis.eval("release", &["a"]);
    assert_eq!(applied(lab.poll("s1", &[("stray", 1, 0)])).2, ServerState::Cordoned);
    assert_eq!(applied(lab.poll("s1", &[])).2, ServerState::Disabled);
    assert!(!lab.exists("scalelite:cordoned_server_load"));
}

#[test]
fn a_poll_of_a_removed_server_writes_nothing() {
    let lab = Lab::with_servers(1);
    lab.redis.eval("remove_server", &["s1"]);
    assert_eq!(lab.poll("s1", &[]), PollOutcome::Unknown);
    assert_eq!(
        lab.run(lab.store.poll_failed("s1", 0, &Fence::None, &lab.config.poll)).unwrap(),
        PollOutcome::Unknown
    );
    let left = lab.redis.cli(&["KEYS", "*s1*"]);
    assert_eq!(left, "");
}

#[test]
fn a_create_during_a_poll_keeps_the_record_it_found() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.age("a", 3600);
    lab.poll("s1", &[]); // it has ended on the server: missed once
    let started = lab.tick();
    lab.tick();
    super::existing(lab.assign_as("a", "", &[]));
    assert!(applied(lab.poll_sent_at("s1", &[], started)).3.is_empty());
    assert!(applied(lab.poll("s1", &[])).3.is_empty(), "missed once since");
    assert!(lab.exists("scalelite:meeting:a"));
}

#[test]
fn a_recreated_meeting_counts_as_new() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.age("a", 3600);
    lab.poll("s1", &[("a", 4, 3600)]);
    assert_eq!(lab.load("s1"), Some(4.0));
    let meeting = sl::store::MeetingKey::of("a");
    lab.run(lab.store.recreated(&meeting, "s1", "new", 15)).unwrap();
    assert_eq!(lab.load("s1"), Some(15.0));
    assert_eq!(lab.hget("scalelite:meeting:a", "moderator_pw"), "new");
    lab.poll("s1", &[("a", 1, 0)]);
    assert_eq!(lab.load("s1"), Some(15.0), "as the poll finds it");
}

#[test]
fn sweep_frees_the_voice_bridges_of_expired_meetings() {
    let lab = Lab::with_servers(1);
    lab.assign_as("a", "", &["71"]);
    lab.assign_as("b", "", &["72"]);
    lab.redis.cli(&["DEL", "scalelite:meeting:a", "scalelite:sl:meeting:a"]);
    lab.poll("s1", &[("b", 1, 0)]);
    lab.run(lab.store.sweep()).unwrap();
    assert_eq!(lab.redis.cli(&["HGETALL", "scalelite:voice_bridges"]), "72\nb");
}

#[test]
fn untagged_servers_can_be_required_in_a_pool_without_tags() {
    let lab = Lab::new();
    lab.server("s1", 1.0, "");
    assert_eq!(lab.assign_tagged("a", "none!"), "s1");
}

#[test]
fn a_panicked_server_that_goes_on_listing_meetings_has_their_load() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("a");
    lab.poll(&at, &[("a", 40, 0)]);
    lab.redis.eval("panic", &[&at]);
    lab.redis.eval("set_state", &[&at, "enabled"]);
    lab.poll(&at, &[("a", 40, 0)]);
    assert_eq!(lab.load(&at), Some(40.0));
    assert_ne!(lab.assign("b"), at);
}

#[test]
fn a_meeting_that_is_ending_weighs_nothing_for_two_minutes() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.poll("s1", &[("a", 40, 0)]);
    lab.redis.eval("release", &["a"]);
    lab.poll("s1", &[("a", 40, 0)]);
    assert_eq!(lab.load("s1"), Some(0.0), "its server is ending it");
    let then = lab.run(lab.store.now_ms()).unwrap() - 121_000;
    lab.redis.cli(&["ZADD", "scalelite:sl:ending:s1", &then.to_string(), "a"]);
    lab.poll("s1", &[("a", 40, 0)]);
    assert_eq!(lab.load("s1"), Some(40.0), "it is not");
}

#[test]
fn an_unreadable_poll_changes_nothing_but_the_failures_before_it() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.age("a", 3600);
    let ttl = std::time::Duration::from_secs(1000);
    let fails = || lab.run(lab.store.poll_failed("s1", 0, &Fence::None, &lab.config.poll)).unwrap();
    let unreadable =
        |started, fence: &Fence| lab.run(lab.store.poll_unreadable("s1", started, fence, ttl)).unwrap();
    let is_online = |outcome| applied(outcome).0;
    let state = |lab: &Lab| (lab.load("s1"), lab.redis.cli(&["HGETALL", "scalelite:server:s1"]));
    let before = state(&lab);
    for _ in 0..3 {
        assert!(is_online(fails()), "the first failure in a row");
        assert!(is_online(unreadable(0, &Fence::None)));
    }
    assert_eq!(state(&lab), before);
    assert_eq!(lab.redis.cli(&["SISMEMBER", "scalelite:sl:suspects", "s1"]), "0");
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "missed"), "0");
    let renewed: u64 = lab.redis.cli(&["TTL", "scalelite:meeting:a"]).parse().unwrap();
    assert!((900..=1000).contains(&renewed), "{renewed}");
    // Offline it stays, and a suspect.
    fails();
    assert!(!is_online(fails()));
    assert!(!is_online(unreadable(0, &Fence::None)));
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.redis.cli(&["SISMEMBER", "scalelite:sl:suspects", "s1"]), "1");
    assert_eq!(
        lab.hget("scalelite:sl:server:s1", "offline_since"),
        "",
        "its grace begins with its next failure"
    );
    // Too late, or gone.
    let started = lab.tick();
    lab.poll_sent_at("s1", &[], started);
    assert_eq!(unreadable(started, &Fence::None), PollOutcome::Stale);
    lab.redis.cli(&["DEL", "scalelite:meeting:a"]);
    lab.redis.eval("remove_server", &["s1", "1"]);
    assert_eq!(unreadable(0, &Fence::None), PollOutcome::Unknown);
    assert_eq!(lab.redis.cli(&["EXISTS", "scalelite:sl:server:s1"]), "0");
}

#[test]
fn a_meeting_created_again_while_a_poll_is_under_way_is_not_missed() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.age("a", 100);
    lab.poll_sent_at("s1", &[], lab.tick());
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "missed"), "1");
    let sent = lab.tick();
    lab.tick();
    lab.redis.eval("assign", &["a"]);
    for _ in 0..2 {
        lab.redis.cli(&["HDEL", "scalelite:sl:server:s1", "asked"]);
        lab.poll_sent_at("s1", &[], sent);
        assert_eq!(lab.hget("scalelite:sl:meeting:a", "missed"), "0");
    }
    lab.poll_sent_at("s1", &[], lab.tick());
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "missed"), "1", "a later poll counts");
}

#[test]
fn a_server_whose_meetings_have_no_records_is_enabled_with_their_load() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("a");
    lab.poll(&at, &[("a", 40, 0)]);
    lab.redis.eval("panic", &[&at]);
    lab.poll(&at, &[("a", 40, 0)]);
    lab.redis.eval("set_state", &[&at, "enabled"]);
    assert_eq!(lab.load(&at), Some(40.0), "before the next poll");
}
