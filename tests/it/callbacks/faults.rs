//! Outages of Postgres or Redis.

use super::*;
use sl_sim::{Fault, FaultKind};
use std::sync::{Arc, Barrier};

#[test]
fn callback_url_survives_postgres_outage_during_create() {
    let mut env = start_env(1, &[]);
    let receiver = Receiver::start();
    env.postgres.down();
    let id = create(&env, "room", &receiver.url("/"));
    env.postgres.up();
    // Either may arrive first: the URL or the recording.
    import(&env, &recording("room", &id));
    wait_for_state(&env, "delivered");
    assert_eq!(record_ids(&receiver.wait_for_requests(1), &env.pool.secret), [id]);
    eventually("nothing waits in Redis", || env.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0");
}

#[test]
fn callback_url_stored_after_its_recording_is_called() {
    let env = start_env(1, &[]);
    let receiver = Receiver::start();
    let id = env.pool.get("create", "meetingID=room").success().xml("internalMeetingID").unwrap().to_owned();
    import(&env, &recording("room", &id));
    assert_eq!(callbacks(&env), "");
    // As entries wait in Redis during a Postgres outage. Unrecognised and invalid entries must not block others.
    let outbox_entry = |meeting: &str, url: &str| {
        serde_json::json!({"meeting_id": meeting, "internal_meeting_id": id, "url": url, "at_ms": 1_767_225_600_000i64})
            .to_string()
    };
    for text in
        ["not ours", &outbox_entry("a\0b", "https://e.org"), &outbox_entry("room", &receiver.url("/"))]
    {
        env.pool.redis.cli(&["RPUSH", "scalelite:sl:outbox", text]);
    }
    wait_for_state(&env, "delivered");
    assert_eq!(record_ids(&receiver.wait_for_requests(1), &env.pool.secret), [id]);
    eventually("nothing waits in Redis", || env.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0");
}

#[test]
fn callback_url_survives_redis_outage_during_create() {
    let mut env = start_env(1, &[]);
    env.pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 1500 }).on(["create"]));
    let reply = std::thread::scope(|scope| {
        let pool = &env.pool;
        let creating = scope.spawn(move || {
            pool.get("create", "meetingID=room&meta_bn-recording-ready-url=https%3A%2F%2Fe.org%2F").success()
        });
        eventually("the server has the create", || pool.server(1).meeting("room").is_some());
        let pid = pool.redis.cli(&["INFO", "server"]);
        let pid = pid.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().to_owned();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        creating.join().unwrap()
    });
    let id = reply.xml("internalMeetingID").unwrap();
    // Immediately: the client has its response.
    let stored = env.postgres.sql("SELECT internal_meeting_id, url FROM callback_urls");
    assert_eq!(stored, format!("{id}|https://e.org/"));
    env.pool.redis.down();
}

#[test]
fn callback_is_delivered_once_despite_postgres_outage() {
    let mut env = start_env_without_server(2, &[("CALLBACK_TIMEOUT", "30")]);
    let gate = Arc::new(Barrier::new(2));
    let opened = gate.clone();
    let receiver = Receiver::responding(move |_| {
        opened.wait();
        status("200 OK")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    receiver.wait_for_requests(1);
    env.postgres.down();
    gate.wait();
    eventually("a replica notices", || {
        env.pool.replicas.iter().any(|replica| replica.log().contains("delivery of callbacks is paused"))
    });
    env.postgres.up();
    wait_for_state(&env, "delivered");
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(callbacks(&env), "r1|delivered|1|status 200");
    // They resume without intervention.
    insert_callback(&env, "r2", &receiver.url("/"));
    receiver.wait_for_requests(2);
    gate.wait();
    wait_for_state(&env, "delivered");
}
