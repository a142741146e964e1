//! The same steps by the program and by an operator with `redis-cli --eval` leave the same state.

use super::Lab;
use crate::support::Redis;
use sl::bbb::Secret;
use sl::store::{MeetingKey, ServerState};
use std::collections::BTreeMap;

/// Everything under a prefix, without the times.
fn state(redis: &Redis, prefix: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for key in redis.cli(&["KEYS", "*"]).lines() {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        let text = match redis.cli(&["TYPE", key]).as_str() {
            "hash" => {
                let text = redis.cli(&["HGETALL", key]);
                let lines: Vec<_> = text.split('\n').collect();
                let mut fields: Vec<_> = lines
                    .chunks(2)
                    .filter(|pair| !["created", "built", "polled"].contains(&pair[0]))
                    .map(|pair| pair.join("="))
                    .collect();
                fields.sort();
                fields.join(" ")
            }
            "set" => {
                let text = redis.cli(&["SMEMBERS", key]);
                let mut members: Vec<_> = text.split('\n').collect();
                members.sort_unstable();
                members.join(" ")
            }
            "zset" if name.contains("server_meetings") => redis.cli(&["ZRANGE", key, "0", "-1"]),
            "zset" => redis.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
            "string" => redis.cli(&["GET", key]),
            other => panic!("{key} is a {other}"),
        };
        all.insert(name.to_owned(), text.replace('\n', " "));
    }
    all
}

#[test]
fn the_program_and_redis_cli_leave_the_same_state() {
    let program = Lab::new();
    for id in ["s1", "s2", "s3"] {
        let url = format!("http://{id}/bigbluebutton/api");
        let secret = Secret::from("secret");
        program.run(program.store.add_server(id, &url, &secret, Some(1.0), None)).unwrap();
        program.run(program.store.set_state(id, ServerState::Enabled)).unwrap();
        program.poll(id, &[]);
    }
    let fields = [("tag", "gpu".to_owned()), ("load_multiplier", "2.0".to_owned())];
    program.run(program.store.update_server("s3", &fields)).unwrap();
    program.assign_as("m1", "", &["11"]);
    program.assign_as("m2", "gpu!", &["12"]);
    program.assign_as("m2", "", &["12"]);
    program.assign_as("m3", "", &["13"]);
    let key = MeetingKey::of;
    for _ in 0..17 {
        program.run(program.store.join(&key("m2"), false)).unwrap();
    }
    program.run(program.store.unjoin(&key("m2"))).unwrap();
    program.run(program.store.set_password(&key("m2"), "s3", "real")).unwrap();
    program.run(program.store.find(&key("m1"), true)).unwrap();
    program.run(program.store.release(&key("m1"), None)).unwrap();
    program.run(program.store.poll_failed("s1", &program.config.poll)).unwrap();
    program.run(program.store.panic("s2", false)).unwrap();
    program.run(program.store.remove_server("s1", true)).unwrap();
    program.run(program.store.sweep()).unwrap();
    program.run(program.store.reindex()).unwrap();
    program.run(program.store.online_servers()).unwrap();

    // Without a prefix, and under one that Redis Cluster keeps in one slot.
    for prefix in ["", "{sl}:"] {
        let redis = Redis::start();
        let eval = |name: &str, args: &[&str]| redis.eval_in(prefix, name, args);
        for id in ["s1", "s2", "s3"] {
            let url = format!("http://{id}/bigbluebutton/api");
            assert_eq!(eval("add_server", &[id, &url, "secret"]), ["added"]);
            assert_eq!(eval("set_state", &[id, "enabled"]), ["changed", "disabled", "0"]);
            let polled =
                eval("apply_poll", &[id, "0", "1", "15", "900000", "86400", "3.0.9", "0", "0", "0", "0"]);
            assert_eq!(polled, ["online", "enabled", "0", "1"]);
        }
        assert_eq!(eval("update_server", &["s3", "tag", "gpu", "load_multiplier", "2.0"]), ["updated"]);
        let assigned = eval("assign", &["m1", "", "15", "86400", "mp", "", "", "11"]);
        assert_eq!((assigned[0].as_str(), assigned[5].as_str()), ("assigned", "11"));
        assert_eq!(eval("assign", &["m2", "gpu!", "15", "86400", "mp", "", "", "12"])[1], "s3");
        assert_eq!(eval("assign", &["m2", "", "15", "86400", "mp", "", "", "12"])[0], "existing");
        eval("assign", &["m3", "", "15", "86400", "mp", "", "", "13"]);
        for _ in 0..17 {
            assert_eq!(eval("join", &["m2"])[..2], ["found", "s3"]);
        }
        assert_eq!(eval("join", &["m2", "", "-1"])[0], "found");
        assert_eq!(eval("set_password", &["m2", "s3", "real"]), ["noted"]);
        assert_eq!(eval("find", &["m1"])[0], "found");
        assert_eq!(eval("find", &["m9"]), ["unknown"]);
        assert_eq!(eval("release", &["m1"]), ["released"]);
        assert_eq!(eval("poll_failed", &["s1", "2"]), ["online", "enabled", "1", "0"]);
        let panicked = eval("panic", &["s2"]);
        assert_eq!(panicked[0], "panicked");
        assert_eq!(eval("remove_server", &["s1", "1"])[0], "removed");
        assert_eq!(eval("sweep", &[])[0], "0");
        assert_eq!(eval("reindex", &[]), ["2"]);
        assert_eq!(eval("online", &[]).len(), 6);
        assert_eq!(state(&redis, prefix), state(&program.redis, "scalelite:"), "prefix `{prefix}`");
    }
}
