//! Redis data of a running Scalelite, written by hand here, is served as it is.

use crate::support::{Pool, eventually};

/// Three servers as Scalelite records them: one with today's fields, two of an old version without
/// `state`, of which one is enabled; and two meetings.
fn scalelite_pool() -> Pool {
    let mut pool = Pool::empty(3, &[]);
    let set = |args: &[&str]| {
        pool.redis.cli(args);
    };
    let server = |n: usize| (pool.server(n).url(), pool.server(n).secret().to_owned());
    let (url, secret) = server(1);
    set(&[
        "HSET",
        "scalelite:server:2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7",
        "url",
        &url,
        "secret",
        &secret,
        "tag",
        "",
        "online",
        "true",
        "load_multiplier",
        "2.0",
        "state",
        "enabled",
        "meetings",
        "1",
        "users",
        "2",
        "largest_meeting",
        "2",
        "videos",
        "0",
        "bbb_version",
        "3.0.9",
    ]);
    let (url, secret) = server(2);
    set(&["HSET", "scalelite:server:old-enabled", "url", &url, "secret", &secret, "online", "true"]);
    let (url, secret) = server(3);
    set(&["HSET", "scalelite:server:old-disabled", "url", &url, "secret", &secret, "online", "true"]);
    set(&[
        "SADD",
        "scalelite:servers",
        "2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7",
        "old-enabled",
        "old-disabled",
    ]);
    set(&["SADD", "scalelite:server_enabled", "2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7", "old-enabled"]);
    set(&[
        "ZADD",
        "scalelite:server_load",
        "21.0",
        "2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7",
        "3",
        "old-enabled",
    ]);
    for (meeting, server, number, n) in [
        ("algebra-101", "2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7", "817727950", 1),
        ("old meeting", "old-disabled", "123456789", 3),
    ] {
        let key = format!("scalelite:meeting:{meeting}");
        set(&[
            "HSET",
            &key,
            "server_id",
            server,
            "moderator_pw",
            "mp",
            "voice_bridge",
            number,
            "tenant_id",
            "",
        ]);
        set(&["EXPIRE", &key, "80000"]);
        set(&["SADD", "scalelite:meetings", meeting]);
        set(&["HSET", "scalelite:voice_bridges", number, meeting]);
        assert!(pool.server(n).create_meeting(meeting, meeting));
        assert!(pool.server(n).add_people(meeting, 2));
    }
    pool.serve(&["--no-poller"]);
    pool
}

#[test]
fn meetings_of_scalelite_keep_running() {
    let pool = scalelite_pool();
    assert_eq!(pool.get("isMeetingRunning", "meetingID=algebra-101").success().xml("running"), Some("true"));
    let joined = pool.get("join", "meetingID=old+meeting&fullName=Ada&role=VIEWER");
    assert_eq!(joined.status, 302, "join must work on a disabled server: {joined:?}");
    assert!(joined.header("location").unwrap().starts_with(&pool.server(3).url()));
    let again = pool.get("create", "meetingID=algebra-101&name=A").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert_eq!(pool.holder("algebra-101"), Some(1));
    // The record that Scalelite reads is unchanged.
    let record = pool.redis.cli(&["HGETALL", "scalelite:meeting:algebra-101"]);
    let fields: Vec<_> = record.split('\n').collect();
    assert_eq!(fields.len(), 8, "{record}");
    let password = pool.server(1).meeting("algebra-101").unwrap().moderator_pw;
    pool.get("end", &format!("meetingID=algebra-101&password={password}")).success();
    assert_eq!(pool.redis.cli(&["SMEMBERS", "scalelite:meetings"]), "old meeting");
    assert_eq!(pool.redis.cli(&["HLEN", "scalelite:voice_bridges"]), "1");
}

#[test]
fn loads_and_old_records_of_scalelite_are_honoured() {
    let pool = scalelite_pool();
    pool.get("create", "meetingID=new&name=N").success();
    assert_eq!(pool.holder("new"), Some(2), "load 3 against 21");
    assert_eq!(pool.redis.loads()[0], ("old-enabled".to_owned(), 18.0));
    let status = pool.sl_ok(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let state = |id: &str| {
        status["servers"].as_array().unwrap().iter().find(|s| s["id"] == id).unwrap()["state"].clone()
    };
    assert_eq!(state("old-enabled"), "enabled");
    assert_eq!(state("old-disabled"), "disabled");
    assert_eq!(pool.get("getMeetings", "").success().body.matches("<meeting>").count(), 3);
}

#[test]
fn first_poll_updates_loads_and_indexes_meetings_of_scalelite() {
    let pool = scalelite_pool();
    pool.sl_ok(&["poll"]);
    let loads = pool.redis.loads();
    // New meetings count 15; the multiplier is 2.
    assert_eq!(loads[0], ("old-enabled".to_owned(), 0.0));
    assert_eq!(loads[1], ("2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7".to_owned(), 30.0));
    let indexed = pool.redis.cli(&["ZRANGE", "scalelite:sl:server_meetings:old-disabled", "0", "-1"]);
    assert_eq!(indexed, "old meeting");
}

#[test]
fn redis_namespace_may_be_custom_or_empty() {
    for namespace in ["{sl}", ""] {
        let mut pool = Pool::empty(1, &[("REDIS_NAMESPACE", namespace)]);
        pool.add(1, &[]);
        pool.enable(1);
        pool.serve(&["--no-poller"]);
        pool.get("create", "meetingID=m1&name=M").success();
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}:") };
        assert_eq!(pool.redis.cli(&["SMEMBERS", &format!("{prefix}meetings")]), "m1");
        let keys = pool.redis.cli(&["KEYS", "*"]);
        assert!(keys.lines().all(|key| key.starts_with(&prefix)), "{keys}");
    }
}

#[test]
fn redis_may_be_reached_by_unix_socket_and_acl_user() {
    let mut pool = Pool::empty(1, &[]);
    let socket = format!("redis+unix://{}", pool.redis.socket().display());
    pool.set("REDIS_URL", &socket);
    pool.add(1, &[]);
    pool.redis.cli(&["ACL", "SETUSER", "balancer", "on", ">hush", "~scalelite:*", "+@all"]);
    pool.set("REDIS_URL", &format!("redis://balancer:hush@127.0.0.1:{}", pool.redis.port));
    pool.enable(1);
    pool.serve(&[]);
    eventually("the meeting is created", || {
        pool.get("create", "meetingID=m1").xml("returncode") == Some("SUCCESS")
    });
    let config = pool.sl_ok(&["config"]);
    assert!(config.contains("balancer:***@") && !config.contains("hush"), "{config}");
    pool.set("REDIS_URL", &format!("redis://balancer:wrong@127.0.0.1:{}", pool.redis.port));
    let error = pool.sl_fails(&["status"]);
    assert!(error.starts_with("sl: cannot reach Redis at redis://balancer:***@127.0.0.1"), "{error}");
    assert!(!error.contains("wrong"), "{error}");
}
