//! Redis down, frozen, empty, read-only, full: calls get a clear error in time and work again once Redis is
//! back.

use crate::assert_response;
use crate::support::{Pool, Reply, eventually};
use std::time::{Duration, Instant};

/// Short Redis timeouts, but long enough for commands on a loaded test machine.
const SHORT_TIMEOUTS: [(&str, &str); 3] =
    [("REDIS_CONNECT_TIMEOUT", "1"), ("REDIS_RESPONSE_TIMEOUT", "1"), ("RESPONSE_TIMEOUT", "2")];

const CALLS: [(&str, &str); 8] = [
    ("create", "meetingID=m1&moderatorPW=mp"),
    ("isMeetingRunning", "meetingID=m1"),
    ("getMeetingInfo", "meetingID=m1"),
    ("getMeetings", ""),
    ("join", "meetingID=m1&fullName=A&role=VIEWER"),
    ("sendChatMessage", "meetingID=m1&message=x"),
    ("insertDocument", "meetingID=m1"),
    ("end", "meetingID=m1&password=mp"),
];

fn call_with(pool: &Pool, call: &str, query: &str) -> Reply {
    match call {
        "sendChatMessage" => {
            // Only a meeting with participants takes one.
            pool.sim.servers().iter().for_each(|server| {
                let _ = server.add_people("m1", 1);
            });
            pool.get(call, query)
        }
        "insertDocument" => pool.post(call, query, "text/xml", b"<modules/>"),
        _ => pool.get(call, query),
    }
}

/// Every call returns internalError, soon.
#[track_caller]
fn assert_all_calls_fail_fast(pool: &Pool) {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (call, query) in CALLS {
            scope.spawn(move || assert_eq!(call_with(pool, call, query).failed(), "internalError", "{call}"));
        }
    });
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// Every call works: a meeting from create to end.
#[track_caller]
fn assert_all_calls_work(pool: &Pool) {
    for (call, query) in CALLS {
        let reply = call_with(pool, call, query);
        assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
    }
    pool.assert_no_meetings_recorded();
}

#[track_caller]
fn wait_for_recovery(pool: &Pool) {
    // Each worker thread has its own connection to re-establish.
    let mut in_a_row = 0;
    eventually("every worker has reconnected", || {
        let ok = pool.get("isMeetingRunning", "meetingID=nobody").xml("returncode") == Some("SUCCESS");
        in_a_row = if ok { in_a_row + 1 } else { 0 };
        in_a_row == 20
    });
}

#[test]
fn replica_starts_without_redis_and_connects_later() {
    let mut pool = Pool::empty(1, &SHORT_TIMEOUTS);
    pool.redis.down();
    pool.serve(&["--no-poller"]);
    assert_all_calls_fail_fast(&pool);
    assert_response!(
        pool.get("create", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>The \
              load balancer cannot reach its state. Please try again.</message></response>"
    );
    assert_eq!(pool.fetch("GET", "/bigbluebutton/api", &[], b"").status, 200);
    pool.redis.up();
    pool.add(1, &[]);
    pool.enable(1);
    wait_for_recovery(&pool);
    assert_all_calls_work(&pool);
}

#[test]
fn checksums_are_checked_without_redis() {
    let mut pool = Pool::with(0, 1, &SHORT_TIMEOUTS);
    pool.redis.down();
    let reply = pool.fetch("GET", "/bigbluebutton/api/create?meetingID=m1&checksum=x", &[], b"");
    assert_eq!(reply.failed(), "checksumError");
    assert_eq!(pool.get("create", "").failed(), "missingParamMeetingID");
    assert_eq!(pool.fetch("GET", "/nothing", &[], b"").failed(), "unsupportedRequest");
}

#[test]
fn pool_is_empty_after_redis_restarts_without_data() {
    let mut pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.redis.down();
    assert_all_calls_fail_fast(&pool);
    pool.redis.up();
    wait_for_recovery(&pool);
    let running = pool.get("isMeetingRunning", "meetingID=m1").success();
    assert_eq!(running.xml("running"), Some("false"));
    assert_eq!(pool.get("join", "meetingID=m1&fullName=A&role=VIEWER").failed(), "notFound");
    let no_servers = pool.get("create", "meetingID=m1&moderatorPW=mp");
    assert_eq!(no_servers.xml("message"), Some("Could not find any available servers."));
    pool.add(1, &[]);
    pool.enable(1);
    let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"), "its server still has it");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), "bbb1");
}

#[test]
fn frozen_redis_loses_nothing() {
    let mut pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=kept&moderatorPW=mp").success();
    pool.redis.freeze();
    assert_all_calls_fail_fast(&pool);
    let health = pool.fetch("GET", "/health_check", &[], b"");
    assert_eq!(health.status, 503);
    pool.redis.thaw();
    wait_for_recovery(&pool);
    assert_eq!(pool.get("join", "meetingID=kept&fullName=A&role=VIEWER").status, 302);
    pool.get("end", "meetingID=kept&password=mp").success();
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn replica_starts_while_redis_is_frozen() {
    let mut pool = Pool::empty(1, &SHORT_TIMEOUTS);
    pool.add(1, &[]);
    pool.enable(1);
    pool.redis.freeze();
    pool.serve(&["--no-poller"]);
    assert_all_calls_fail_fast(&pool);
    pool.redis.thaw();
    wait_for_recovery(&pool);
    assert_all_calls_work(&pool);
}

#[test]
fn create_can_be_retried_after_redis_timeout() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    assert_all_calls_work(&pool); // Loads the scripts: Redis will run what it reads when it thaws.
    pool.redis.freeze();
    assert_eq!(pool.get("create", "meetingID=m1").failed(), "internalError");
    pool.redis.thaw();
    wait_for_recovery(&pool);
    pool.get("create", "meetingID=m1").success();
    pool.assert_meeting_recorded("m1");
    let server = pool.server(pool.holder("m1").unwrap());
    let recorded = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "moderator_pw"]);
    assert_eq!(
        server.meeting("m1").unwrap().moderator_pw,
        recorded,
        "`sl servers panic` ends it with this password"
    );
}

#[test]
fn flushed_scripts_are_reloaded() {
    let pool = Pool::start(1);
    assert_all_calls_work(&pool);
    pool.redis.cli(&["SCRIPT", "FLUSH"]);
    assert_all_calls_work(&pool);
    for (call, query) in CALLS {
        pool.redis.cli(&["SCRIPT", "FLUSH"]);
        if call == "sendChatMessage" {
            pool.server(1).add_people("m1", 1);
        }
        let reply = call_with(&pool, call, query);
        assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
    }
}

#[test]
fn connections_closed_by_redis_are_reopened() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    for _ in 0..3 {
        assert_all_calls_work(&pool);
        pool.redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        wait_for_recovery(&pool);
    }
}

#[test]
fn read_only_redis_is_an_error_until_writable() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.redis.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    pool.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let reply = pool.get("create", "meetingID=m1");
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(pool.holder("m1"), None);
    pool.redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_for_recovery(&pool);
    assert_all_calls_work(&pool);
}

#[test]
fn full_redis_places_meeting_entirely_or_not_at_all() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    assert_all_calls_work(&pool);
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    // Redis rejects the first write of a script, or none of them.
    let reply = pool.get("create", "meetingID=m1");
    if reply.xml("returncode") == Some("SUCCESS") {
        pool.assert_meeting_recorded("m1");
    } else {
        assert_eq!(reply.failed(), "internalError");
        assert_eq!(pool.holder("m1"), None);
        pool.assert_meeting_released("m1");
    }
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    pool.get("create", "meetingID=m2").success();
}

#[test]
fn key_of_wrong_type_fails_only_calls_that_read_it() {
    let mut pool = Pool::start(1);
    pool.redis.cli(&["SET", "scalelite:meeting:m1", "a string"]);
    for (call, query) in CALLS {
        if call != "getMeetings" {
            assert_eq!(call_with(&pool, call, query).failed(), "internalError", "{call}");
        }
    }
    pool.redis.cli(&["DEL", "scalelite:meeting:m1"]);
    assert_all_calls_work(&pool);
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn end_can_be_retried_after_redis_failure() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.server(1).set_fault(sl_sim::Fault::new(sl_sim::FaultKind::Slow { ms: 400 }).on(["end"]));
    std::thread::scope(|scope| {
        let end = scope.spawn(|| pool.get("end", "meetingID=m1&password=mp"));
        eventually("the server got the end", || pool.server(1).counts().end == 1);
        pool.redis.freeze();
        let reply = end.join().unwrap();
        pool.redis.thaw();
        assert!(reply.xml("returncode").is_some(), "{reply:?}");
    });
    pool.server(1).clear_faults();
    wait_for_recovery(&pool);
    pool.get("end", "meetingID=m1&password=mp").failed();
    pool.assert_meeting_released("m1");
}

/// Makes Redis refuse writes while `during` runs, in both ways that occur.
fn while_redis_refuses_writes(pool: &Pool, during: impl Fn(&str)) {
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    during("full");
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    pool.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    during("a replica");
    pool.redis.cli(&["REPLICAOF", "NO", "ONE"]);
}

#[test]
fn joins_are_redirected_while_redis_refuses_writes() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    assert_all_calls_work(&pool);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let users = || pool.redis.cli(&["HGET", "scalelite:sl:meeting:m1", "users"]);
    while_redis_refuses_writes(&pool, |state| {
        let before = users();
        let join = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
        assert_eq!(join.status, 302, "{state}: {join:?}");
        let inline = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER&redirect=false");
        assert_eq!(inline.xml("returncode"), Some("SUCCESS"), "{state}: {inline:?}");
        pool.server(pool.holder("m1").unwrap()).set_fault(
            sl_sim::Fault::new(sl_sim::FaultKind::Failed {
                message_key: "noRoom".into(),
                message: "No.".into(),
            })
            .on(["join"]),
        );
        let refused = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER&redirect=false");
        assert_eq!(refused.xml("returncode"), Some("FAILED"), "{state}");
        assert_ne!(refused.xml("messageKey"), Some("internalError"), "{state}: the server's own answer");
        pool.server(pool.holder("m1").unwrap()).clear_faults();
        assert_eq!(pool.get("join", "meetingID=none&fullName=A&role=VIEWER").failed(), "notFound", "{state}");
        pool.get("isMeetingRunning", "meetingID=m1").success();
        pool.get("getMeetingInfo", "meetingID=m1").success();
        pool.get("getMeetings", "").success();
        assert_eq!(pool.get("create", "meetingID=m9").failed(), "internalError", "{state}");
        assert_eq!(users(), before, "{state}: nothing is counted");
    });
    let holder = format!("bbb{}", pool.holder("m1").unwrap());
    pool.redis.cli(&["HSET", &format!("scalelite:server:{holder}"), "online", "false"]);
    while_redis_refuses_writes(&pool, |state| {
        let join = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
        assert_eq!(join.failed(), "serverUnavailable", "{state}");
    });
}

#[test]
fn end_that_was_carried_out_succeeds_while_redis_refuses_writes() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    assert_all_calls_work(&pool);
    while_redis_refuses_writes(&pool, |state| {
        pool.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        pool.redis.cli(&["REPLICAOF", "NO", "ONE"]);
        pool.get("create", "meetingID=m1&moderatorPW=mp").success();
        if state == "full" {
            pool.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        } else {
            pool.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        }
        pool.get("end", "meetingID=m1&password=mp").success();
        assert_eq!(pool.holder("m1"), None, "{state}: it has ended");
    });
}

#[test]
fn outage_of_redis_is_logged_once_a_second() {
    let mut pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.redis.down();
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(pool.get("getMeetings", "").failed(), "internalError");
    }
    let most = begun.elapsed().as_secs() as usize + 1;
    let log = pool.replicas[0].log();
    let lines = log.lines().filter(|line| line.contains("Redis query of a request failed")).count();
    assert!((1..=most).contains(&lines), "{lines} in {:?}: {log}", begun.elapsed());
}

#[test]
fn connection_to_a_demoted_redis_is_replaced() {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

    // A name that leads to the master: new connections go to the new one, old ones stay.
    let mut pool = Pool::with(1, 0, &SHORT_TIMEOUTS);
    let old = crate::support::Redis::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let master = Arc::new(AtomicU16::new(pool.redis.port));
    let target = master.clone();
    std::thread::spawn(move || {
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            let mut bytes = [0; 65536];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        };
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(("127.0.0.1", target.load(Relaxed))).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pump(from, to));
            std::thread::spawn(move || pump(server, client));
        }
    });
    pool.set("REDIS_URL", &format!("redis://{address}"));
    // The other Redis is demoted, and all workers are connected to it.
    master.store(old.port, Relaxed);
    pool.serve(&["--no-poller"]);
    for _ in 0..16 {
        assert_eq!(pool.get("create", "meetingID=m1").failed(), "internalError", "it has no server");
    }
    old.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    master.store(pool.redis.port, Relaxed);
    eventually("creates reach the new master", || {
        (0..16).all(|n| {
            pool.get("create", &format!("meetingID=m{n}&name=M")).xml("returncode") == Some("SUCCESS")
        })
    });
}
