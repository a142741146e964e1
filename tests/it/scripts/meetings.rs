//! find.lua, join.lua, release.lua, sweep.lua

use super::{Lab, assigned};
use sl::config::Accounting;
use sl::store::{FindOutcome, JoinOutcome, MeetingKey, ReleaseOutcome, Swept};

#[test]
fn find_returns_the_server_and_writes_nothing() {
    let lab = Lab::with_servers(1);
    assigned(lab.assign_as("a", "", &["77"]));
    lab.redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]); // every write fails now
    let FindOutcome::Found(at, Some(record)) = lab.run(lab.store.find(&MeetingKey::of("a"), true)).unwrap()
    else {
        panic!("not found")
    };
    assert_eq!((at.id.as_str(), record.generation.as_str()), ("s1", "1"));
    assert_eq!(at.url, "http://s1/bigbluebutton/api");
    assert_eq!(at.secret.expose(), "secret");
    let unknown = lab.run(lab.store.find(&MeetingKey::of("b"), false)).unwrap();
    assert!(matches!(unknown, FindOutcome::Unknown));
}

#[test]
fn health_counts_the_servers_and_fails_only_where_writes_fail() {
    let lab = Lab::with_servers(2);
    let keys = lab.redis.cli(&["KEYS", "*"]);
    let servers: u64 = lab.redis.cli(&["SCARD", "scalelite:servers"]).parse().unwrap();
    assert_eq!(lab.run(lab.store.check_writes()).unwrap(), servers);
    assert_eq!(lab.redis.cli(&["KEYS", "*"]), keys, "nothing is written");
    for (name, value, off) in [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")] {
        lab.redis.cli(&["CONFIG", "SET", name, value]);
        assert!(lab.run(lab.store.check_writes()).unwrap_err().is_write_refused(), "{name}");
        lab.redis.cli(&["CONFIG", "SET", name, off]);
    }
    lab.run(lab.store.check_writes()).unwrap();
}

fn join(lab: &Lab, meeting: &str) -> JoinOutcome {
    lab.run(lab.store.join(&MeetingKey::of(meeting), false, Accounting::Reserve)).unwrap()
}

#[test]
fn joins_add_load_only_beyond_the_reservation() {
    let lab = Lab::new();
    lab.server("s1", 2.0, "");
    lab.assign("a");
    assert_eq!(lab.load("s1"), Some(30.0));
    for _ in 0..15 {
        assert!(matches!(join(&lab, "a"), JoinOutcome::Found(_)));
    }
    assert_eq!(lab.load("s1"), Some(30.0));
    join(&lab, "a");
    join(&lab, "a");
    assert_eq!(lab.load("s1"), Some(34.0));
    lab.assert_index_matches();
}

#[test]
fn unjoin_subtracts_a_participant() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    let key = MeetingKey::of("a");
    for _ in 0..16 {
        join(&lab, "a");
    }
    assert_eq!(lab.load("s1"), Some(16.0));
    for left in [15.0, 15.0, 15.0] {
        lab.run(lab.store.unjoin(&key, Accounting::Reserve)).unwrap();
        assert_eq!(lab.load("s1"), Some(left));
    }
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "users"), "13");
    lab.assert_index_matches();
}

#[test]
fn recreated_records_a_password_only_on_the_meetings_server() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.run(lab.store.recreated(&MeetingKey::of("a"), "s2", "other", 15)).unwrap();
    assert_eq!(lab.hget("scalelite:meeting:a", "moderator_pw"), "mp");
    lab.run(lab.store.recreated(&MeetingKey::of("a"), "s1", "real", 15)).unwrap();
    assert_eq!(lab.hget("scalelite:meeting:a", "moderator_pw"), "real");
    lab.run(lab.store.recreated(&MeetingKey::of("b"), "s1", "real", 15)).unwrap();
    assert!(!lab.exists("scalelite:meeting:b"));
}

#[test]
fn join_on_an_offline_server_is_refused_and_not_counted() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.cli(&["HSET", "scalelite:server:s1", "online", "false"]);
    assert!(matches!(join(&lab, "a"), JoinOutcome::Unavailable));
    assert_eq!(lab.hget("scalelite:sl:meeting:a", "users"), "0");
}

#[test]
fn join_on_a_disabled_server_works_unless_refused() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.eval("set_state", &["s1", "disabled"]);
    assert!(matches!(join(&lab, "a"), JoinOutcome::Found(_)));
    let refused = lab.run(lab.store.join(&MeetingKey::of("a"), true, Accounting::Reserve)).unwrap();
    assert!(matches!(refused, JoinOutcome::Unavailable));
    lab.redis.eval("set_state", &["s1", "cordoned"]);
    let cordoned = lab.run(lab.store.join(&MeetingKey::of("a"), true, Accounting::Reserve)).unwrap();
    assert!(matches!(cordoned, JoinOutcome::Found(_)));
}

#[test]
fn join_of_a_meeting_scalelite_recorded_writes_only_keys_that_expire() {
    let lab = Lab::with_servers(1);
    lab.redis.cli(&["HSET", "scalelite:meeting:old", "server_id", "s1", "moderator_pw", "x"]);
    lab.redis.cli(&["EXPIRE", "scalelite:meeting:old", "500"]);
    lab.redis.cli(&["SADD", "scalelite:meetings", "old"]);
    assert!(matches!(join(&lab, "old"), JoinOutcome::Found(_)));
    let ttl: i64 = lab.redis.cli(&["TTL", "scalelite:sl:meeting:old"]).parse().unwrap();
    assert!((490..=500).contains(&ttl), "{ttl}");
}

#[test]
fn release_removes_all_traces_of_a_meeting_and_only_once() {
    let lab = Lab::with_servers(1);
    let before: Vec<_> = lab.redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    assigned(lab.assign_as("a", "", &["77"]));
    for _ in 0..20 {
        join(&lab, "a");
    }
    assert_eq!(lab.load("s1"), Some(20.0));
    let key = MeetingKey::of("a");
    assert_eq!(lab.run(lab.store.release(&key, None)).unwrap(), ReleaseOutcome::Released);
    assert_eq!(lab.load("s1"), Some(0.0));
    assert_eq!(lab.run(lab.store.release(&key, None)).unwrap(), ReleaseOutcome::Unknown);
    assert_eq!(lab.load("s1"), Some(0.0));
    let mut after: Vec<_> = lab.redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    after.retain(|key| !before.contains(key) && !key.contains("sl:index"));
    // The release is noted until its server has stopped listing the meeting.
    after.sort();
    assert_eq!(after, ["scalelite:sl:ending:s1", "scalelite:sl:released:s1"]);
    lab.poll("s1", &[("a", 1, 0)]);
    assert!(lab.exists("scalelite:sl:released:s1"));
    lab.poll("s1", &[]);
    assert!(!lab.exists("scalelite:sl:released:s1"));
    lab.assert_index_matches();
}

#[test]
fn release_keeps_a_meeting_that_was_created_again_or_moved() {
    let lab = Lab::with_servers(1);
    let first = assigned(lab.assign_as("a", "", &[]));
    let key = MeetingKey::of("a");
    lab.assign_as("a", "", &[]); // another create of it
    let kept = lab.run(lab.store.release(&key, Some(("s1", &first.generation)))).unwrap();
    assert_eq!(kept, ReleaseOutcome::Kept);
    let elsewhere = lab.run(lab.store.release(&key, Some(("s9", "")))).unwrap();
    assert_eq!(elsewhere, ReleaseOutcome::Kept);
    assert!(lab.exists("scalelite:meeting:a"));
    let now = lab.run(lab.store.release(&key, Some(("s1", "2")))).unwrap();
    assert_eq!(now, ReleaseOutcome::Released);
}

#[test]
fn release_does_not_take_another_meetings_voice_bridge() {
    let lab = Lab::with_servers(1);
    assigned(lab.assign_as("a", "", &["77"]));
    lab.redis.cli(&["HSET", "scalelite:voice_bridges", "77", "b"]);
    lab.redis.eval("release", &["a"]);
    assert_eq!(lab.hget("scalelite:voice_bridges", "77"), "b");
}

#[test]
fn fractional_loads_leave_no_residue() {
    let lab = Lab::new();
    lab.server("s1", 0.1, "");
    for n in 0..7 {
        lab.assign(&format!("m{n}"));
    }
    for n in 0..7 {
        lab.redis.eval("release", &[&format!("m{n}")]);
    }
    assert_eq!(lab.redis.cli(&["ZSCORE", "scalelite:server_load", "s1"]), "0");
}

#[test]
fn sweep_deletes_expired_ids_and_lists_meetings_of_other_programs() {
    let lab = Lab::with_servers(1);
    for n in 0..1200 {
        lab.assign(&format!("m{n}"));
    }
    lab.redis.cli(&["DEL", "scalelite:meeting:m7"]);
    lab.redis.cli(&["HSET", "scalelite:meeting:foreign", "server_id", "s1"]);
    lab.redis.cli(&["SADD", "scalelite:meetings", "foreign", "nothing"]);
    assert_eq!(lab.run(lab.store.sweep()).unwrap(), Swept { expired: 2, dropped: 0 });
    assert_eq!(lab.redis.cli(&["EXISTS", "scalelite:sl:meeting:m7", "scalelite:sl:meeting:m8"]), "1");
    assert_eq!(lab.redis.cli(&["SCARD", "scalelite:meetings"]), "1200");
    let noted = lab.redis.cli(&["ZSCORE", "scalelite:sl:server_meetings:s1", "foreign"]);
    assert!(noted.parse::<u64>().unwrap() > 1_700_000_000_000, "{noted}");
    assert_eq!(lab.run(lab.store.sweep()).unwrap(), Swept::default());
}
