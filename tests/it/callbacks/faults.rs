//! Postgres or Redis is away for a while.

use super::*;
use sl_sim::{Fault, FaultKind};
use std::sync::{Arc, Barrier};

#[test]
fn postgres_away_at_the_create_loses_no_url() {
    let mut library = library(1, &[]);
    let receiver = Receiver::start();
    library.postgres.down();
    let id = create(&library, "room", &receiver.url("/"));
    library.postgres.up();
    // Whichever comes first: the URL or the recording.
    import(&library, &recording("room", &id));
    all_are(&library, "delivered");
    assert_eq!(told(&receiver.got(1), &library.pool.secret), [id]);
    eventually("nothing waits in Redis", || {
        library.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0"
    });
}

#[test]
fn a_url_that_comes_after_its_recording_is_called() {
    let library = library(1, &[]);
    let receiver = Receiver::start();
    let id =
        library.pool.get("create", "meetingID=room").success().xml("internalMeetingID").unwrap().to_owned();
    import(&library, &recording("room", &id));
    assert_eq!(callbacks(&library), "");
    // As it waits in Redis while Postgres is away. What is not ours, or nothing for Postgres, holds nobody up.
    let waiting = |meeting: &str, url: &str| {
        serde_json::json!({"meeting_id": meeting, "internal_meeting_id": id, "url": url, "at_ms": 1_767_225_600_000i64})
            .to_string()
    };
    for text in ["not ours", &waiting("a\0b", "https://e.org"), &waiting("room", &receiver.url("/"))] {
        library.pool.redis.cli(&["RPUSH", "scalelite:sl:outbox", text]);
    }
    all_are(&library, "delivered");
    assert_eq!(told(&receiver.got(1), &library.pool.secret), [id]);
    eventually("nothing waits in Redis", || {
        library.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0"
    });
}

#[test]
fn redis_going_away_during_the_create_loses_no_url() {
    let mut library = library(1, &[]);
    library.pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 1500 }).on(["create"]));
    let reply = std::thread::scope(|scope| {
        let pool = &library.pool;
        let creating = scope.spawn(move || {
            pool.get("create", "meetingID=room&meta_bn-recording-ready-url=https%3A%2F%2Fe.org%2F").success()
        });
        eventually("the server is asked", || pool.server(1).meeting("room").is_some());
        let pid = pool.redis.cli(&["INFO", "server"]);
        let pid = pid.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().to_owned();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        creating.join().unwrap()
    });
    let id = reply.xml("internalMeetingID").unwrap();
    // At once: the client has its answer.
    let noted = library.postgres.sql("SELECT internal_meeting_id, url FROM callback_urls");
    assert_eq!(noted, format!("{id}|https://e.org/"));
    library.pool.redis.down();
}

#[test]
fn postgres_away_during_a_delivery_delivers_once() {
    let mut library = index(2, &[("CALLBACK_TIMEOUT", "30")]);
    let gate = Arc::new(Barrier::new(2));
    let opened = gate.clone();
    let receiver = Receiver::answering(move |_| {
        opened.wait();
        status("200 OK")
    });
    put_up(&library, "r1", &receiver.url("/"));
    receiver.got(1);
    library.postgres.down();
    gate.wait();
    eventually("the others notice", || {
        library.pool.replicas.iter().any(|replica| replica.log().contains("callbacks wait for Postgres"))
    });
    library.postgres.up();
    all_are(&library, "delivered");
    assert_eq!(receiver.seen().len(), 1);
    assert_eq!(callbacks(&library), "r1|delivered|1|status 200");
    // And they go on by themselves.
    put_up(&library, "r2", &receiver.url("/"));
    receiver.got(2);
    gate.wait();
    all_are(&library, "delivered");
}
