//! assign.lua

use super::{Lab, assigned, existing};
use sl::store::AssignOutcome;
use std::collections::BTreeMap;

#[test]
fn assign_picks_the_least_loaded_candidate_and_adds_the_reservation() {
    let lab = Lab::with_servers(3);
    lab.poll("s1", &[("x", 40, 0)]);
    lab.poll("s2", &[("y", 20, 0)]);
    lab.poll("s3", &[("z", 30, 0)]);
    assert_eq!(lab.assign("a"), "s2");
    assert_eq!(lab.load("s2"), Some(35.0));
    assert_eq!(lab.assign("b"), "s3");
    lab.assert_index_matches();
}

#[test]
fn assign_writes_a_record_as_scalelite_does_with_an_expiry() {
    let lab = Lab::with_servers(1);
    let placement = assigned(lab.assign_as("a", "", &["123456789"]));
    assert_eq!(placement.voice_bridge, "123456789");
    let record = lab.redis.cli(&["HGETALL", "scalelite:meeting:a"]);
    let mut fields: Vec<_> = record.split('\n').collect::<Vec<_>>().chunks(2).map(|c| c.join("=")).collect();
    fields.sort();
    assert_eq!(fields, ["moderator_pw=mp", "server_id=s1", "tenant_id=", "voice_bridge=123456789"]);
    assert_eq!(lab.hget("scalelite:voice_bridges", "123456789"), "a");
    assert_eq!(lab.redis.cli(&["SISMEMBER", "scalelite:meetings", "a"]), "1");
    let ttl: i64 = lab.redis.cli(&["TTL", "scalelite:meeting:a"]).parse().unwrap();
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[test]
fn a_repeated_assign_finds_the_record_and_adds_no_load() {
    let lab = Lab::with_servers(3);
    let first = assigned(lab.assign_as("a", "", &["1", "2"]));
    let again = existing(lab.assign_as("a", "", &["1", "2"]));
    assert_eq!(again.server.id, first.server.id);
    assert_eq!(again.voice_bridge, "1");
    assert_eq!(again.moderator_pw, "mp");
    assert_eq!(lab.redis.loads().iter().map(|(_, l)| l).sum::<f64>(), 15.0);
    assert_eq!((first.generation.as_str(), again.generation.as_str()), ("1", "2"));
}

#[test]
fn equally_loaded_servers_are_taken_in_turn() {
    let lab = Lab::with_servers(5);
    // One at a time on an idle pool: no server is favoured.
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..50 {
        let id = format!("m{n}");
        *taken.entry(lab.assign(&id)).or_default() += 1;
        lab.redis.eval("release", &[&id]);
    }
    assert_eq!(taken.values().copied().collect::<Vec<_>>(), [10; 5]);
}

#[test]
fn load_multipliers_scale_the_load() {
    let lab = Lab::new();
    lab.server("big", 0.5, "");
    lab.server("small", 2.0, "");
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..50 {
        *taken.entry(lab.assign(&format!("m{n}"))).or_default() += 1;
    }
    assert_eq!(taken, BTreeMap::from([("big".to_owned(), 40), ("small".to_owned(), 10)]));
    assert_eq!(lab.load("big"), lab.load("small"));
}

#[test]
fn each_tag_argument_picks_the_servers_it_names() {
    let lab = Lab::new();
    lab.server("plain", 1.0, "");
    lab.server("gpu", 1.0, "gpu");
    lab.server("lab", 1.0, "lab");
    for (n, (tag, expected)) in [
        ("", "plain"),
        ("!", "plain"),
        ("gpu", "gpu"),
        ("gpu!", "gpu"),
        ("gpu;lab", "lab"),
        ("none", "plain"),
        ("none!", "plain"),
        ("nowhere", "plain"),
        ("nowhere;lab!", "lab"),
        (";;gpu;", "gpu"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(lab.assign_tagged(&format!("m{n}"), tag), expected, "tag `{tag}`");
    }
    match lab.assign_as("x", "nowhere!", &[]) {
        AssignOutcome::TagUnavailable(tag) => assert_eq!(tag, "nowhere"),
        other => panic!("{other:?}"),
    }
    assert!(!lab.exists("scalelite:meeting:x"));
    lab.assert_index_matches();
}

#[test]
fn several_tags_pick_the_least_loaded_of_all_and_equals_in_turn() {
    let lab = Lab::new();
    lab.server("a1", 1.0, "a");
    lab.server("b1", 1.0, "b");
    lab.server("plain", 1.0, "");
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..30 {
        *taken.entry(lab.assign_tagged(&format!("m{n}"), "a;b;none")).or_default() += 1;
    }
    assert_eq!(taken.values().copied().collect::<Vec<_>>(), [10; 3]);
}

#[test]
fn assign_without_candidates_writes_nothing() {
    let lab = Lab::new();
    lab.server("gpu", 1.0, "gpu");
    assert!(matches!(lab.assign_as("a", "", &["1"]), AssignOutcome::NoServer));
    assert!(!lab.exists("scalelite:meeting:a"));
    assert!(!lab.exists("scalelite:voice_bridges"));
    // By hand, with UNTAGGED_FALLBACK: the pool has no untagged server, so any server will do.
    let answer = lab.redis.eval("assign", &["a", "", "15", "60", "pw", "", "1", "1"]);
    assert_eq!(&answer[..2], ["assigned", "gpu"]);
    // With one untagged server in the pool, even offline, there is no fallback.
    lab.redis.cli(&["SADD", "scalelite:servers", "plain"]);
    lab.redis.cli(&["HSET", "scalelite:server:plain", "url", "http://p/bigbluebutton/api", "secret", "s"]);
    lab.redis.eval("reindex", &[]);
    assert_eq!(lab.redis.eval("assign", &["b", "", "15", "60", "pw", "", "1", "1"]), ["none"]);
}

#[test]
fn assign_takes_the_next_voice_bridge_when_one_is_taken() {
    let lab = Lab::with_servers(2);
    assert_eq!(assigned(lab.assign_as("a", "", &["11", "12"])).voice_bridge, "11");
    assert_eq!(assigned(lab.assign_as("b", "", &["11", "12"])).voice_bridge, "12");
    let before = lab.redis.loads();
    assert!(matches!(lab.assign_as("c", "", &["11", "12"]), AssignOutcome::NoVoiceBridge));
    assert!(!lab.exists("scalelite:meeting:c"));
    assert_eq!(lab.redis.loads(), before);
    // The voice bridge of a meeting whose record has expired is free.
    lab.redis.cli(&["DEL", "scalelite:meeting:a"]);
    assert_eq!(assigned(lab.assign_as("c", "", &["11", "12"])).voice_bridge, "11");
    assert_eq!(lab.hget("scalelite:voice_bridges", "11"), "c");
}

#[test]
fn a_meeting_recorded_on_a_removed_server_is_assigned_again() {
    let lab = Lab::with_servers(2);
    let first = assigned(lab.assign_as("a", "", &["11"]));
    // Scalelite, or an operator with redis-cli, removes a server: the record of the meeting stays.
    let gone = first.server.id;
    lab.redis.cli(&["DEL", &format!("scalelite:server:{gone}")]);
    lab.redis.cli(&["SREM", "scalelite:servers", &gone]);
    lab.redis.cli(&["ZREM", "scalelite:server_load", &gone]);
    let second = assigned(lab.assign_as("a", "", &["11"]));
    assert_ne!(second.server.id, gone);
    assert_eq!(second.voice_bridge, "11");
    assert!(!lab.exists(&format!("scalelite:sl:server_meetings:{gone}")));
}

#[test]
fn assign_corrects_its_index_after_edits_by_hand() {
    let lab = Lab::with_servers(3);
    lab.assign("warm");
    lab.redis.eval("release", &["warm"]);
    // Removed from the candidates.
    lab.redis.cli(&["ZREM", "scalelite:server_load", "s1"]);
    for n in 0..6 {
        assert_ne!(lab.assign(&format!("a{n}")), "s1");
    }
    // Added again.
    lab.redis.cli(&["ZADD", "scalelite:server_load", "0", "s1"]);
    assert_eq!(lab.assign("b"), "s1");
    // A tag that no other server has is found, since a failed search rebuilds the index.
    lab.redis.cli(&["HSET", "scalelite:server:s2", "tag", "gpu"]);
    lab.redis.cli(&["HDEL", "scalelite:sl:index", "built"]);
    assert_eq!(lab.assign_tagged("c", "gpu!"), "s2");
    // Tagged servers get no untagged meetings, whatever the index says.
    lab.redis.cli(&["ZADD", "scalelite:sl:tag_load:", "-5", "s2"]);
    assert_ne!(lab.assign("d"), "s2");
    // A load that was raised by hand.
    lab.redis.cli(&["ZADD", "scalelite:server_load", "1000", "s1"]);
    assert_eq!(lab.assign("e"), "s3");
    lab.redis.eval("reindex", &[]);
    lab.assert_index_matches();
}

#[test]
fn assign_rebuilds_an_old_index() {
    let lab = Lab::with_servers(2);
    lab.assign("warm");
    lab.redis.cli(&["HSET", "scalelite:server:s1", "tag", "gpu"]);
    let built: u64 = lab.hget("scalelite:sl:index", "built").parse().unwrap();
    lab.redis.cli(&["HSET", "scalelite:sl:index", "built", &(built - 6000).to_string()]);
    assert_eq!(lab.assign_tagged("a", "gpu!"), "s1");
    lab.assert_index_matches();
}

#[test]
fn assign_skips_a_candidate_without_a_record() {
    let lab = Lab::with_servers(1);
    lab.redis.cli(&["ZADD", "scalelite:server_load", "-1", "ghost"]);
    assert_eq!(lab.assign("a"), "s1");
    assert_eq!(lab.assign("b"), "s1");
}
