//! Servers that go, come back, come back empty; the brake; records that have grown stale.

use crate::support::{Pool, QUICK, eventually};
use sl_sim::{Fault, FaultKind};

/// A pool that polls itself, fast, with a meeting `mN` on each server.
fn polling(servers: usize, more: &[(&str, &str)]) -> Pool {
    let mut pool = Pool::with(servers, 0, &QUICK);
    for (name, value) in [("POLL_INTERVAL", "0.3"), ("POLLER_WAIT_TIMEOUT", "0.5")].iter().chain(more) {
        pool.set(name, value);
    }
    pool.serve(&[]);
    for n in 1..=servers {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp&attendeePW=ap")).success();
    }
    pool
}

fn online(pool: &Pool, n: usize) -> bool {
    pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "online"]) == "true"
}

fn join(pool: &Pool, meeting: &str) -> String {
    let reply = pool.get("join", &format!("meetingID={meeting}&fullName=F&password=ap"));
    match reply.status {
        302 => "joined".to_owned(),
        _ => reply.failed().to_owned(),
    }
}

fn recorded(pool: &Pool, meeting: &str) -> bool {
    pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{meeting}")]) == "1"
}

/// The rounds of polls that have begun so far.
fn a_few_rounds(pool: &Pool) {
    for _ in 0..3 {
        let before = pool.redis.cli(&["GET", "scalelite:sl:poll_round"]);
        eventually("another round", || pool.redis.cli(&["GET", "scalelite:sl:poll_round"]) != before);
    }
}

#[test]
fn a_server_that_is_away_for_a_while_has_its_meetings_when_it_is_back() {
    let pool = polling(3, &[("OFFLINE_GRACE", "600")]);
    let at = pool.holder("m1").unwrap();
    pool.server(at).set_fault(FaultKind::Refuse);
    eventually("it is offline", || !online(&pool, at));
    assert_eq!(join(&pool, "m1"), "serverUnavailable");
    for n in 0..4 {
        pool.get("create", &format!("meetingID=new{n}")).success();
        assert_ne!(pool.holder(&format!("new{n}")), Some(at), "no new meetings there");
    }
    a_few_rounds(&pool);
    pool.server(at).clear_faults();
    eventually("it is back", || online(&pool, at));
    assert_eq!(join(&pool, "m1"), "joined");
}

#[test]
fn after_its_grace_the_meetings_of_an_offline_server_start_anew_elsewhere() {
    let pool = polling(3, &[("OFFLINE_GRACE", "0.5")]);
    let at = pool.holder("m1").unwrap();
    pool.server(at).set_fault(FaultKind::Refuse);
    eventually("its meetings are released", || !recorded(&pool, "m1"));
    assert_eq!(join(&pool, "m1"), "notFound");
    assert!(recorded(&pool, "m2") && recorded(&pool, "m3"), "those of other servers are not");
    pool.get("create", "meetingID=m1&moderatorPW=mp&attendeePW=ap").success();
    assert_ne!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{at}"));
    assert_eq!(join(&pool, "m1"), "joined");
    // It comes back with the old one: the record that is there counts.
    pool.server(at).create_meeting("only here", "O");
    pool.server(at).clear_faults();
    eventually("what runs only there is taken up", || recorded(&pool, "only here"));
    assert_ne!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{at}"));
}

#[test]
fn a_server_that_comes_back_empty_gives_its_meetings_up_after_two_polls() {
    let pool = polling(2, &[]);
    let at = pool.holder("m1").unwrap();
    pool.server(at).restart();
    a_few_rounds(&pool);
    assert!(recorded(&pool, "m1"), "younger than a minute");
    for key in ["sl:meeting:m1", &format!("sl:server_meetings:bbb{at}")] {
        let key = format!("scalelite:{key}");
        if key.contains("server_meetings") {
            pool.redis.cli(&["ZADD", &key, "1", "m1"]);
        } else {
            pool.redis.cli(&["HSET", &key, "created", "1"]);
        }
    }
    eventually("it is released", || !recorded(&pool, "m1"));
}

#[test]
fn the_whole_pool_out_of_reach_destroys_nothing_and_says_so_once() {
    let pool = polling(5, &[("OFFLINE_GRACE", "0.3")]);
    (1..=5).for_each(|n| pool.server(n).set_fault(FaultKind::Refuse));
    eventually("all are offline", || (1..=5).all(|n| !online(&pool, n)));
    (0..3).for_each(|_| a_few_rounds(&pool));
    for n in 1..=5 {
        assert!(recorded(&pool, &format!("m{n}")));
    }
    let log = pool.replicas[0].log();
    let loud: Vec<_> = log.lines().filter(|line| line.contains("do not answer")).collect();
    assert_eq!(loud.len(), 1, "{log}");
    assert!(loud[0].contains("ERROR") && loud[0].contains("of 5 servers do not answer"), "{}", loud[0]);
    let status = pool.sl_ok(&["status"]);
    assert!(status.contains("WARNING: 5 of 5 servers have not answered for"), "{status}");
    (1..=5).for_each(|n| pool.server(n).clear_faults());
    eventually("all are back", || (1..=5).all(|n| online(&pool, n)));
    for n in 1..=5 {
        assert_eq!(join(&pool, &format!("m{n}")), "joined");
    }
    eventually("the brake is off", || !pool.sl_ok(&["status"]).contains("WARNING"));
}

#[test]
fn servers_that_nobody_needs_do_not_put_the_brake_on() {
    let pool = Pool::with(5, 0, &QUICK);
    for n in 2..=5 {
        pool.sl_ok(&["servers", "disable", &format!("bbb{n}")]);
        pool.server(n).set_fault(FaultKind::Refuse);
    }
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    assert!(!pool.sl_ok(&["status"]).contains("WARNING"));
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:brake"]), "0");
}

#[test]
fn a_server_that_fails_requests_is_polled_at_once_and_back_soon() {
    // No round of polls will help.
    let mut pool = Pool::with(3, 0, &QUICK);
    pool.set("POLL_INTERVAL", "600");
    pool.serve(&[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let at = pool.holder("m1").unwrap();
    pool.server(at).set_fault(FaultKind::Refuse);
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    eventually("it is offline", || !online(&pool, at));
    pool.server(at).clear_faults();
    eventually("it is online again", || online(&pool, at));
    pool.get("getMeetingInfo", "meetingID=m1").success();
}

#[test]
fn one_request_that_a_healthy_server_cannot_answer_does_not_take_it_offline() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.server(1).set_fault(Fault::new(FaultKind::Status { code: 500 }).on(["getMeetingInfo"]));
    let polls = pool.server(1).counts().get_meetings;
    for _ in 0..10 {
        assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    }
    eventually("it was polled", || pool.server(1).counts().get_meetings > polls);
    eventually("it is cleared", || pool.redis.cli(&["HGET", "scalelite:sl:server:bbb1", "unhealthy"]) == "0");
    assert!(online(&pool, 1));
}

#[test]
fn after_redis_lost_everything_one_poll_makes_the_registry_whole() {
    let pool = Pool::with(5, 1, &[]);
    for n in 0..200 {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp&attendeePW=ap")).success();
    }
    let bridges = || {
        let text = pool.redis.cli(&["HGETALL", "scalelite:voice_bridges"]);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (before, loads) = (bridges(), pool.redis.loads());
    pool.redis.cli(&["FLUSHALL"]);
    for n in 1..=5 {
        pool.add(n, &[]);
        pool.redis.eval("set_state", &[&format!("bbb{n}"), "enabled"]);
    }
    let said: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["poll", "--json"])).unwrap();
    assert_eq!(said["meetings_adopted"], 200);
    assert_eq!(bridges(), before, "the same voice bridges");
    let mut after = pool.redis.loads();
    after.sort_by(|a, b| a.0.cmp(&b.0));
    let mut loads = loads;
    loads.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(after, loads);
    for n in 0..200 {
        assert_eq!(join(&pool, &format!("m{n}")), "joined");
    }
}

#[test]
fn a_server_cordoned_in_the_middle_of_a_poll_never_becomes_a_candidate_by_it() {
    let pool = Pool::with(1, 0, &[]);
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 700 }).on(["getMeetings"]));
    let asked = pool.server(1).counts().get_meetings;
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| pool.sl_ok(&["poll"]));
        eventually("it is being polled", || pool.server(1).counts().get_meetings > asked);
        pool.redis.eval("set_state", &["bbb1", "cordoned"]);
        poll.join().unwrap();
    });
    assert!(pool.redis.loads().is_empty());
}

/// A meeting whose server does not take new ones any more; whether it runs there.
fn on_a_closed_server(state: &str, runs: bool) -> (Pool, usize) {
    let pool = Pool::with(3, 2, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let at = pool.holder("m1").unwrap();
    pool.sl_ok(&["servers", state, &format!("bbb{at}")]);
    if !runs {
        pool.server(at).end_meeting("m1");
    }
    (pool, at)
}

#[test]
fn a_meeting_that_runs_on_a_closed_server_stays_there() {
    for state in ["cordon", "disable"] {
        let (pool, at) = on_a_closed_server(state, true);
        let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
        assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
        assert_eq!(pool.holder("m1"), Some(at));
        // Nor when it cannot be asked.
        pool.server(at).set_fault(FaultKind::Refuse);
        assert_eq!(pool.get("create", "meetingID=m1&moderatorPW=mp").failed(), "internalError");
        assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{at}"));
    }
}

#[test]
fn a_meeting_that_has_ended_on_a_closed_server_starts_anew_elsewhere_and_once() {
    for state in ["cordon", "disable"] {
        let (pool, at) = on_a_closed_server(state, false);
        std::thread::scope(|scope| {
            for n in 0..40 {
                let url = pool.url_at(n % 2, "create", "meetingID=m1&moderatorPW=mp");
                scope.spawn(move || crate::support::client::fetch("GET", &url, &[], b"").success());
            }
        });
        let now = pool.holder("m1").unwrap();
        assert_ne!(now, at);
        assert_eq!(pool.server(now).counts().create_new, 1);
        assert_eq!(pool.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 15.0);
    }
}

#[test]
fn a_meeting_whose_server_left_the_pool_starts_anew_once() {
    let pool = Pool::with(3, 2, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let at = pool.holder("m1").unwrap();
    // As Scalelite does it: the record of the meeting stays.
    pool.redis.cli(&["DEL", &format!("scalelite:server:bbb{at}")]);
    for key in ["servers", "server_enabled"] {
        pool.redis.cli(&["SREM", &format!("scalelite:{key}"), &format!("bbb{at}")]);
    }
    pool.redis.cli(&["ZREM", "scalelite:server_load", &format!("bbb{at}")]);
    std::thread::scope(|scope| {
        for n in 0..40 {
            let url = pool.url_at(n % 2, "create", "meetingID=m1&moderatorPW=mp");
            scope.spawn(move || crate::support::client::fetch("GET", &url, &[], b"").success());
        }
    });
    let created: u64 = (1..=3).filter(|n| *n != at).map(|n| pool.server(n).counts().create_new).sum();
    assert_eq!(created, 1);
}
