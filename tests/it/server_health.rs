//! Servers that go offline, return, return empty; the brake; stale records.

use crate::support::{Pool, SHORT_TIMEOUTS, eventually};
use sl_sim::{Fault, FaultKind};

/// A pool with a fast poller and a meeting `mN` on each server.
fn polling_pool(servers: usize, more: &[(&str, &str)]) -> Pool {
    let mut pool = Pool::with(servers, 0, &SHORT_TIMEOUTS);
    for (name, value) in [("POLL_INTERVAL", "0.3"), ("POLLER_WAIT_TIMEOUT", "0.5")].iter().chain(more) {
        pool.set(name, value);
    }
    pool.serve(&[]);
    for n in 1..=servers {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp&attendeePW=ap")).success();
    }
    pool
}

fn is_online(pool: &Pool, n: usize) -> bool {
    pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "online"]) == "true"
}

fn join(pool: &Pool, meeting: &str) -> String {
    let reply = pool.get("join", &format!("meetingID={meeting}&fullName=F&password=ap"));
    match reply.status {
        302 => "joined".to_owned(),
        _ => reply.failed().to_owned(),
    }
}

fn is_recorded(pool: &Pool, meeting: &str) -> bool {
    pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{meeting}")]) == "1"
}

/// Waits until three more poll rounds have started.
fn wait_for_poll_rounds(pool: &Pool) {
    for _ in 0..3 {
        let before = pool.redis.cli(&["GET", "scalelite:sl:poll_round"]);
        eventually("another poll round", || pool.redis.cli(&["GET", "scalelite:sl:poll_round"]) != before);
    }
}

#[test]
fn meetings_survive_short_outage_of_their_server() {
    let pool = polling_pool(3, &[("OFFLINE_GRACE", "600")]);
    let server = pool.holder("m1").unwrap();
    pool.server(server).set_fault(FaultKind::Refuse);
    eventually("it is offline", || !is_online(&pool, server));
    assert_eq!(join(&pool, "m1"), "serverUnavailable");
    for n in 0..4 {
        pool.get("create", &format!("meetingID=new{n}")).success();
        assert_ne!(pool.holder(&format!("new{n}")), Some(server), "an offline server gets no new meetings");
    }
    wait_for_poll_rounds(&pool);
    pool.server(server).clear_faults();
    eventually("it is back", || is_online(&pool, server));
    assert_eq!(join(&pool, "m1"), "joined");
}

#[test]
fn meetings_of_server_offline_past_grace_are_created_elsewhere() {
    let pool = polling_pool(3, &[("OFFLINE_GRACE", "0.5")]);
    let server = pool.holder("m1").unwrap();
    pool.server(server).set_fault(FaultKind::Refuse);
    eventually("its meetings are released", || !is_recorded(&pool, "m1"));
    assert_eq!(join(&pool, "m1"), "notFound");
    assert!(is_recorded(&pool, "m2") && is_recorded(&pool, "m3"), "meetings of other servers stay");
    pool.get("create", "meetingID=m1&moderatorPW=mp&attendeePW=ap").success();
    assert_ne!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{server}"));
    assert_eq!(join(&pool, "m1"), "joined");
    // It returns with its old copy of the meeting: the newer record wins.
    pool.server(server).create_meeting("only here", "O");
    pool.server(server).clear_faults();
    eventually("the stray meeting is adopted", || is_recorded(&pool, "only here"));
    assert_ne!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{server}"));
}

#[test]
fn meetings_of_restarted_server_are_released_after_two_polls() {
    let pool = polling_pool(2, &[]);
    let server = pool.holder("m1").unwrap();
    pool.server(server).restart();
    wait_for_poll_rounds(&pool);
    assert!(is_recorded(&pool, "m1"), "a record younger than a minute is kept");
    for key in ["sl:meeting:m1", &format!("sl:server_meetings:bbb{server}")] {
        let key = format!("scalelite:{key}");
        if key.contains("server_meetings") {
            pool.redis.cli(&["ZADD", &key, "1", "m1"]);
        } else {
            pool.redis.cli(&["HSET", &key, "created", "1"]);
        }
    }
    eventually("it is released", || !is_recorded(&pool, "m1"));
}

#[test]
fn brake_keeps_all_meetings_and_logs_once_when_whole_pool_is_unreachable() {
    let pool = polling_pool(5, &[("OFFLINE_GRACE", "0.3")]);
    (1..=5).for_each(|n| pool.server(n).set_fault(FaultKind::Refuse));
    eventually("all are offline", || (1..=5).all(|n| !is_online(&pool, n)));
    (0..3).for_each(|_| wait_for_poll_rounds(&pool));
    for n in 1..=5 {
        assert!(is_recorded(&pool, &format!("m{n}")));
    }
    let log = pool.replicas[0].log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("do not answer")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(errors[0].contains("ERROR") && errors[0].contains("of 5 servers do not answer"), "{}", errors[0]);
    let status = pool.sl_ok(&["status"]);
    assert!(status.contains("WARNING: 5 of 5 servers have not answered for"), "{status}");
    (1..=5).for_each(|n| pool.server(n).clear_faults());
    eventually("all are back", || (1..=5).all(|n| is_online(&pool, n)));
    for n in 1..=5 {
        assert_eq!(join(&pool, &format!("m{n}")), "joined");
    }
    eventually("the brake is off", || !pool.sl_ok(&["status"]).contains("WARNING"));
}

#[test]
fn brake_ignores_disabled_servers() {
    let pool = Pool::with(5, 0, &SHORT_TIMEOUTS);
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
fn suspect_server_is_probed_outside_poll_round() {
    // No regular poll round happens within this test.
    let mut pool = Pool::with(3, 0, &SHORT_TIMEOUTS);
    pool.set("POLL_INTERVAL", "600");
    pool.serve(&[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let server = pool.holder("m1").unwrap();
    pool.server(server).set_fault(FaultKind::Refuse);
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    eventually("it is offline", || !is_online(&pool, server));
    pool.server(server).clear_faults();
    eventually("it is online again", || is_online(&pool, server));
    pool.get("getMeetingInfo", "meetingID=m1").success();
}

#[test]
fn server_stays_online_when_only_one_call_fails() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.server(1).set_fault(Fault::new(FaultKind::Status { code: 500 }).on(["getMeetingInfo"]));
    let polls = pool.server(1).counts().get_meetings;
    for _ in 0..10 {
        assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    }
    eventually("it was polled", || pool.server(1).counts().get_meetings > polls);
    eventually("it is cleared", || pool.redis.cli(&["HGET", "scalelite:sl:server:bbb1", "unhealthy"]) == "0");
    assert!(is_online(&pool, 1));
}

#[test]
fn one_poll_rebuilds_all_records_after_redis_data_loss() {
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
    let report: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["poll", "--json"])).unwrap();
    assert_eq!(report["meetings_adopted"], 200);
    assert_eq!(bridges(), before, "voice bridges are unchanged");
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
fn server_cordoned_during_poll_does_not_become_candidate() {
    let pool = Pool::with(1, 0, &[]);
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 700 }).on(["getMeetings"]));
    let polls = pool.server(1).counts().get_meetings;
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| pool.sl_ok(&["poll"]));
        eventually("it is being polled", || pool.server(1).counts().get_meetings > polls);
        pool.redis.eval("set_state", &["bbb1", "cordoned"]);
        poll.join().unwrap();
    });
    assert!(pool.redis.loads().is_empty());
}

/// A meeting whose server is cordoned or disabled; `runs` says whether it still runs there.
fn meeting_on_closed_server(state: &str, runs: bool) -> (Pool, usize) {
    let pool = Pool::with(3, 2, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let server = pool.holder("m1").unwrap();
    pool.sl_ok(&["servers", state, &format!("bbb{server}")]);
    if !runs {
        pool.server(server).end_meeting("m1");
    }
    (pool, server)
}

#[test]
fn running_meeting_stays_on_cordoned_or_disabled_server() {
    for state in ["cordon", "disable"] {
        let (pool, server) = meeting_on_closed_server(state, true);
        let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
        assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
        assert_eq!(pool.holder("m1"), Some(server));
        // It also stays while its server is unreachable.
        pool.server(server).set_fault(FaultKind::Refuse);
        assert_eq!(pool.get("create", "meetingID=m1&moderatorPW=mp").failed(), "internalError");
        assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{server}"));
    }
}

#[test]
fn ended_meeting_moves_once_off_cordoned_or_disabled_server() {
    for state in ["cordon", "disable"] {
        let (pool, server) = meeting_on_closed_server(state, false);
        std::thread::scope(|scope| {
            for n in 0..40 {
                let url = pool.url_at(n % 2, "create", "meetingID=m1&moderatorPW=mp");
                scope.spawn(move || crate::support::client::fetch("GET", &url, &[], b"").success());
            }
        });
        let now = pool.holder("m1").unwrap();
        assert_ne!(now, server);
        assert_eq!(pool.server(now).counts().create_new, 1);
        assert_eq!(pool.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 15.0);
    }
}

#[test]
fn meeting_of_removed_server_is_created_once_elsewhere() {
    let pool = Pool::with(3, 2, &[]);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let server = pool.holder("m1").unwrap();
    // As Scalelite removes a server: the meeting's record stays.
    pool.redis.cli(&["DEL", &format!("scalelite:server:bbb{server}")]);
    for key in ["servers", "server_enabled"] {
        pool.redis.cli(&["SREM", &format!("scalelite:{key}"), &format!("bbb{server}")]);
    }
    pool.redis.cli(&["ZREM", "scalelite:server_load", &format!("bbb{server}")]);
    std::thread::scope(|scope| {
        for n in 0..40 {
            let url = pool.url_at(n % 2, "create", "meetingID=m1&moderatorPW=mp");
            scope.spawn(move || crate::support::client::fetch("GET", &url, &[], b"").success());
        }
    });
    let created: u64 = (1..=3).filter(|n| *n != server).map(|n| pool.server(n).counts().create_new).sum();
    assert_eq!(created, 1);
}

#[test]
fn status_and_log_warn_while_no_server_can_take_a_meeting() {
    let pool = polling_pool(1, &[]);
    let warning = "no server is enabled and online, so every create fails";
    let warnings = || {
        let status: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
        status["warnings"].as_array().unwrap().clone()
    };
    wait_for_poll_rounds(&pool);
    assert!(warnings().is_empty());
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    eventually("a warning", || warnings().len() == 1);
    wait_for_poll_rounds(&pool);
    assert_eq!(warnings()[0]["kind"], "no-candidate");
    assert!(pool.sl_ok(&["status"]).contains(&format!("WARNING: {warning}")));
    pool.sl_ok(&["servers", "enable", "bbb1"]);
    eventually("no warning", || warnings().is_empty());
    let log = pool.replicas[0].log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines(warning), 2, "logged once when it appears and once when it is gone: {log}");
    assert_eq!(lines("no longer: "), 1, "{log}");
}
