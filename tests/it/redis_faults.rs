//! Redis down, lost, frozen, empty, forgetful: a clear answer in time, and all is well when it is
//! back.

use crate::assert_answer;
use crate::support::{Pool, Reply, eventually};
use std::time::{Duration, Instant};

/// Short deadlines towards Redis. Not too short: commands of this test machine under load keep them.
const QUICK: [(&str, &str); 3] =
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

fn ask(pool: &Pool, call: &str, query: &str) -> Reply {
    match call {
        "insertDocument" => pool.post(call, query, "text/xml", b"<modules/>"),
        _ => pool.get(call, query),
    }
}

/// Every call is answered internalError, soon.
#[track_caller]
fn all_fail_fast(pool: &Pool) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (call, query) in CALLS {
            scope.spawn(move || assert_eq!(ask(pool, call, query).failed(), "internalError", "{call}"));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// Every call works: a meeting from create to end.
#[track_caller]
fn all_work(pool: &Pool) {
    for (call, query) in CALLS {
        let reply = ask(pool, call, query);
        assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
    }
    pool.nothing_is_left();
}

#[track_caller]
fn recovers(pool: &Pool) {
    // Each worker thread has a connection of its own to find again.
    let mut in_a_row = 0;
    eventually("Redis is found again", || {
        let ok = pool.get("isMeetingRunning", "meetingID=nobody").xml("returncode") == Some("SUCCESS");
        in_a_row = if ok { in_a_row + 1 } else { 0 };
        in_a_row == 20
    });
}

#[test]
fn a_replica_starts_without_redis_and_finds_it_when_it_comes() {
    let mut pool = Pool::empty(1, &QUICK);
    pool.redis.down();
    pool.serve(&["--no-poller"]);
    all_fail_fast(&pool);
    assert_answer!(pool.get("create", "meetingID=m1"));
    assert_eq!(pool.fetch("GET", "/bigbluebutton/api", &[], b"").status, 200);
    pool.redis.up();
    pool.add(1, &[]);
    pool.enable(1);
    recovers(&pool);
    all_work(&pool);
}

#[test]
fn without_redis_a_bad_checksum_is_still_a_bad_checksum() {
    let mut pool = Pool::with(0, 1, &QUICK);
    pool.redis.down();
    let reply = pool.fetch("GET", "/bigbluebutton/api/create?meetingID=m1&checksum=x", &[], b"");
    assert_eq!(reply.failed(), "checksumError");
    assert_eq!(pool.get("create", "").failed(), "missingParamMeetingID");
    assert_eq!(pool.fetch("GET", "/nothing", &[], b"").failed(), "unsupportedRequest");
}

#[test]
fn redis_lost_and_back_empty_is_a_pool_to_be_filled_anew() {
    let mut pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.redis.down();
    all_fail_fast(&pool);
    pool.redis.up();
    recovers(&pool);
    let running = pool.get("isMeetingRunning", "meetingID=m1").success();
    assert_eq!(running.xml("running"), Some("false"));
    assert_eq!(pool.get("join", "meetingID=m1&fullName=A&role=VIEWER").failed(), "notFound");
    let none = pool.get("create", "meetingID=m1&moderatorPW=mp");
    assert_eq!(none.xml("message"), Some("Could not find any available servers."));
    pool.add(1, &[]);
    pool.enable(1);
    let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"), "its server has it still");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), "bbb1");
}

#[test]
fn redis_frozen_and_thawed_has_lost_nothing() {
    let mut pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=kept&moderatorPW=mp").success();
    pool.redis.freeze();
    all_fail_fast(&pool);
    let health = pool.fetch("GET", "/health_check", &[], b"");
    assert_eq!(health.status, 503);
    pool.redis.thaw();
    recovers(&pool);
    assert_eq!(pool.get("join", "meetingID=kept&fullName=A&role=VIEWER").status, 302);
    pool.get("end", "meetingID=kept&password=mp").success();
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn a_replica_that_starts_while_redis_is_frozen_answers_all_the_same() {
    let mut pool = Pool::empty(1, &QUICK);
    pool.add(1, &[]);
    pool.enable(1);
    pool.redis.freeze();
    pool.serve(&["--no-poller"]);
    all_fail_fast(&pool);
    pool.redis.thaw();
    recovers(&pool);
    all_work(&pool);
}

#[test]
fn a_create_that_redis_answered_too_late_can_be_repeated() {
    let pool = Pool::with(2, 1, &QUICK);
    all_work(&pool); // Redis knows the scripts, and will run what it reads when it wakes up.
    pool.redis.freeze();
    assert_eq!(pool.get("create", "meetingID=m1").failed(), "internalError");
    pool.redis.thaw();
    recovers(&pool);
    pool.get("create", "meetingID=m1").success();
    pool.all_is_kept_of("m1");
    let server = pool.server(pool.holder("m1").unwrap());
    let noted = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "moderator_pw"]);
    assert_eq!(server.meeting("m1").unwrap().moderator_pw, noted, "`sl servers panic` ends it with this");
}

#[test]
fn scripts_that_redis_forgot_are_loaded_again() {
    let pool = Pool::start(1);
    all_work(&pool);
    pool.redis.cli(&["SCRIPT", "FLUSH"]);
    all_work(&pool);
    for (call, query) in CALLS {
        pool.redis.cli(&["SCRIPT", "FLUSH"]);
        let reply = ask(&pool, call, query);
        assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
    }
}

#[test]
fn connections_that_redis_closed_are_opened_again() {
    let pool = Pool::with(1, 1, &QUICK);
    for _ in 0..3 {
        all_work(&pool);
        pool.redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        recovers(&pool);
    }
}

#[test]
fn a_redis_that_takes_no_writes_is_an_error_until_it_does() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.redis.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    pool.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let reply = pool.get("create", "meetingID=m1");
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(pool.holder("m1"), None);
    pool.redis.cli(&["REPLICAOF", "NO", "ONE"]);
    recovers(&pool);
    all_work(&pool);
}

#[test]
fn a_redis_that_is_full_places_a_meeting_wholly_or_not_at_all() {
    let pool = Pool::with(1, 1, &QUICK);
    all_work(&pool);
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    // Redis refuses the first write of a script, or none of them.
    let reply = pool.get("create", "meetingID=m1");
    if reply.xml("returncode") == Some("SUCCESS") {
        pool.all_is_kept_of("m1");
    } else {
        assert_eq!(reply.failed(), "internalError");
        assert_eq!(pool.holder("m1"), None);
        pool.nothing_is_left_of("m1");
    }
    pool.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    pool.get("create", "meetingID=m2").success();
}

#[test]
fn keys_of_another_shape_are_an_error_for_those_who_need_them_only() {
    let mut pool = Pool::start(1);
    pool.redis.cli(&["SET", "scalelite:meeting:m1", "a string"]);
    for (call, query) in CALLS {
        if call != "getMeetings" {
            assert_eq!(ask(&pool, call, query).failed(), "internalError", "{call}");
        }
    }
    pool.redis.cli(&["DEL", "scalelite:meeting:m1"]);
    all_work(&pool);
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn an_end_that_redis_could_not_note_can_be_repeated() {
    let pool = Pool::with(1, 1, &QUICK);
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
    recovers(&pool);
    pool.get("end", "meetingID=m1&password=mp").failed();
    pool.nothing_is_left_of("m1");
}
