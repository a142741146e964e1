//! The same steps by `sl` and by an operator with `redis-cli --eval` leave the same state.

use super::Lab;
use crate::support::Redis;
use sl::bbb::Secret;
use sl::config::Accounting;
use sl::store::{Assignment, Fence, Listed, MeetingKey, ReassignReason, ServerState};
use std::collections::BTreeMap;
use std::time::Duration;

/// All keys under a prefix, without the times.
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
                    .filter(|pair| {
                        ![
                            "created",
                            "built",
                            "polled",
                            "asked",
                            "probe_from",
                            "probe_until",
                            "since",
                            "again",
                        ]
                        .contains(&pair[0])
                    })
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
            "zset"
                if name.contains("server_meetings")
                    || name.contains("released")
                    || name.contains("ending") =>
            {
                redis.cli(&["ZRANGE", key, "0", "-1"])
            }
            "zset" => redis.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
            "string" => redis.cli(&["GET", key]),
            other => panic!("{key} is a {other}"),
        };
        let text = match name {
            "sl:poll_fence" | "sl:poll_round" => "a time".to_owned(),
            "sl:mark_key" => "random".to_owned(),
            _ => text.replace('\n', " "),
        };
        all.insert(name.to_owned(), text);
    }
    all
}

#[test]
fn sl_and_redis_cli_leave_the_same_state() {
    let program = Lab::new();
    program.run(program.store.mark_key()).unwrap();
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
        program.run(program.store.join(&key("m2"), false, Accounting::Reserve)).unwrap();
    }
    program.run(program.store.unjoin(&key("m2"), Accounting::Reserve)).unwrap();
    program.run(program.store.recreated(&key("m2"), "s3", "real", 15)).unwrap();
    program.run(program.store.find(&key("m1"), true)).unwrap();
    program.run(program.store.check_writes()).unwrap();
    program.run(program.store.release(&key("m1"), None)).unwrap();
    program.run(program.store.poll_failed("s1", 0, &Fence::None, &program.config.poll)).unwrap();
    program.run(program.store.poll_unreadable("s1", 0, &Fence::None, Duration::from_secs(86_400))).unwrap();
    program.run(program.store.suspect("s3", &program.config.poll)).unwrap();
    program.run(program.store.update_brake(3, 3, &Fence::None)).unwrap();
    program.run(program.store.abandon("s1", Duration::ZERO, &Fence::None)).unwrap();
    let adopted = Listed { users: 4, created_ms: 0, voice_bridge: "14".into(), ..Listed::default() };
    let load = &program.config.load;
    program
        .run(program.store.adopt("s3", 0, &Fence::None, load, [(&key("m4"), &adopted)].into_iter()))
        .unwrap();
    program.assign_as("m5", "", &["15"]);
    let m5 = program.hget("scalelite:meeting:m5", "server_id");
    let meeting = key("m5");
    let wanted = Assignment {
        meeting: &meeting,
        tag: "",
        reserve: 15,
        moderator_pw: "",
        tenant: "",
        any_if_no_untagged: false,
        asked: true,
        ttl_seconds: 86_400,
        voice_bridges: &[],
    };
    program.run(program.store.reassign(&wanted, &m5, ReassignReason::Gone, &[])).unwrap();
    let room = key("room");
    let room = Assignment { meeting: &room, moderator_pw: "mp", voice_bridges: &["16".to_owned()], ..wanted };
    program.run(program.store.assign_breakout(&room, &key("m2"))).unwrap();
    program.run(program.store.lease("me", Duration::from_secs(60), true)).unwrap();
    program.run(program.store.panic("s2", false)).unwrap();
    program.run(program.store.remove_server("s1", true)).unwrap();
    program.run(program.store.sweep()).unwrap();
    program.run(program.store.reindex()).unwrap();
    program.run(program.store.online_servers()).unwrap();

    // Without a prefix, and under one that Redis Cluster keeps in one slot.
    for prefix in ["", "{sl}:"] {
        let redis = Redis::start();
        let eval = |name: &str, args: &[&str]| redis.eval_in(prefix, name, args);
        assert_eq!(eval("mark_key", &[&"0b".repeat(32), ""]), ["0b".repeat(32)]);
        assert_eq!(eval("mark_key", &[&"0c".repeat(32), ""]), ["0b".repeat(32)]);
        for id in ["s1", "s2", "s3"] {
            let url = format!("http://{id}/bigbluebutton/api");
            assert_eq!(eval("add_server", &[id, &url, "secret"]), ["added"]);
            assert_eq!(eval("set_state", &[id, "enabled"]), ["changed", "disabled", "0"]);
            let polled =
                eval("apply_poll", &[id, "0", "1", "15", "900000", "86400", "3.0.9", "0", "0", "0", "0"]);
            assert_eq!(polled, ["online", "enabled", "0", "1", "0", "0"]);
        }
        assert_eq!(eval("update_server", &["s3", "tag", "gpu", "load_multiplier", "2.0"]), ["updated"]);
        let assigned = eval("assign", &["m1", "", "15", "86400", "mp", "", "", "1", "11"]);
        assert_eq!((assigned[0].as_str(), assigned[5].as_str()), ("assigned", "11"));
        assert_eq!(eval("assign", &["m2", "gpu!", "15", "86400", "mp", "", "", "1", "12"])[1], "s3");
        assert_eq!(eval("assign", &["m2", "", "15", "86400", "mp", "", "", "1", "12"])[0], "existing");
        eval("assign", &["m3", "", "15", "86400", "mp", "", "", "1", "13"]);
        for _ in 0..17 {
            assert_eq!(eval("join", &["m2"])[..2], ["found", "s3"]);
        }
        assert_eq!(eval("join", &["m2", "", "-1"])[0], "found");
        assert_eq!(eval("recreated", &["m2", "s3", "real", "15"]), ["noted"]);
        assert_eq!(eval("find", &["m1"])[0], "found");
        assert_eq!(eval("find", &["m9"]), ["unknown"]);
        assert_eq!(eval("health", &[]), ["3"]);
        assert_eq!(eval("release", &["m1"]), ["released"]);
        assert_eq!(eval("poll_failed", &["s1", "2"]), ["online", "enabled", "1", "0"]);
        assert_eq!(eval("poll_unreadable", &["s1"]), ["online", "enabled"]);
        assert_eq!(eval("suspect", &["s3", "2"])[..2], ["probe", "1"]);
        assert_eq!(eval("brake", &["3", "3"]), ["on"]);
        assert_eq!(eval("abandon", &["s1", "0"]), ["online"]);
        let adopt = ["s3", "0", "", "15", "900000", "86400", "m4", "0", "4", "14", "", ""];
        assert_eq!(eval("adopt", &adopt), ["adopted", "m4"]);
        assert_eq!(eval("assign", &["m5", "", "15", "86400", "mp", "", "", "1", "15"])[1], m5);
        assert_eq!(eval("reassign", &["m5", &m5, "", "15", "86400", "", "gone"])[0], "moved");
        let room = eval("assign_breakout", &["room", "m2", "15", "86400", "mp", "", "16"]);
        assert_eq!((room[0].as_str(), room[1].as_str()), ("assigned", "s3"));
        assert_eq!(eval("sweep_index", &["voice_bridges"])[0], "0");
        assert_eq!(eval("sweep_index", &["sl:internal_ids"])[0], "0");
        assert_eq!(eval("lease", &["me", "60000", "1"])[0], "held");
        let panicked = eval("panic", &["s2"]);
        assert_eq!(panicked[0], "panicked");
        assert_eq!(eval("remove_server", &["s1", "1"])[0], "removed");
        assert_eq!(eval("sweep", &[])[0], "0");
        assert_eq!(eval("reindex", &[]), ["2"]);
        assert_eq!(eval("online", &[]).len(), 6);
        assert_eq!(state(&redis, prefix), state(&program.redis, "scalelite:"), "prefix `{prefix}`");
    }
}
