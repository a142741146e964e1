//! Failover: a create whose server fails moves to the next candidate; the client sees no failure.

use crate::support::client::fetch;
use crate::support::{Pool, SHORT_TIMEOUTS, eventually, parameter};
use sl_sim::{Fault, FaultKind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two servers; the first is chosen for the create and fails.
fn assert_create_fails_over(fault: impl Into<Fault>) -> Pool {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    pool.server(2).create_meeting("busy", "B");
    pool.server(2).add_people("busy", 100);
    pool.sl_ok(&["poll"]);
    pool.server(1).set_fault(fault);
    let reply = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(reply.xml("messageKey"), Some(""), "the client sees a first create");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), "bbb2");
    assert!(pool.server(2).meeting("m1").is_some());
    let load = |id: &str| pool.redis.loads().into_iter().find(|l| l.0 == id).map(|l| l.1);
    assert_eq!(load("bbb2"), Some(115.0));
    assert!(matches!(load("bbb1"), None | Some(0.0)), "its load is released");
    let bridge = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "voice_bridge"]);
    let sent = pool.server(2).last_request("create").unwrap();
    assert_eq!(parameter(&sent, "voiceBridge"), Some(bridge), "failover keeps the voice bridge");
    pool.get("end", "meetingID=m1&password=mp").success();
    pool
}

#[test]
fn create_fails_over_when_server_refuses_connections() {
    let pool = assert_create_fails_over(FaultKind::Refuse);
    assert_eq!(pool.server(1).counts().get_meeting_info, 0);
}

#[test]
fn create_fails_over_when_server_resets_connection() {
    assert_create_fails_over(Fault::new(FaultKind::Reset).on(["create"]));
}

#[test]
fn create_fails_over_when_server_hangs() {
    assert_create_fails_over(Fault::new(FaultKind::Hang).on(["create"]));
}

#[test]
fn create_fails_over_when_server_hangs_on_every_call() {
    assert_create_fails_over(FaultKind::Hang);
}

#[test]
fn create_fails_over_when_server_returns_500() {
    assert_create_fails_over(Fault::new(FaultKind::Status { code: 500 }).on(["create"]));
}

#[test]
fn create_fails_over_when_server_returns_garbage() {
    assert_create_fails_over(Fault::new(FaultKind::Garbage).on(["create"]));
}

/// The server created the meeting and only its response was lost: the meeting stays there.
fn assert_meeting_stays(kind: FaultKind) {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    (1..=2).for_each(|n| pool.server(n).set_fault(Fault::new(kind.clone()).on(["create"]).times(1)));
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let holder = pool.holder("m1").expect("one server has it");
    let recorded = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]);
    assert_eq!(recorded, format!("bbb{holder}"));
    assert_eq!(pool.server(holder).counts().create, 2, "the create was sent again");
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_does_not_fail_over_when_server_hangs_after_creating_meeting() {
    assert_meeting_stays(FaultKind::HangAfter);
}

#[test]
fn create_does_not_fail_over_when_connection_breaks_after_creating_meeting() {
    assert_meeting_stays(FaultKind::ResetAfter);
}

#[test]
fn create_does_not_fail_over_when_response_is_truncated() {
    assert_meeting_stays(FaultKind::Truncated);
}

#[test]
fn create_failover_tries_limits_number_of_servers_tried() {
    for (tries, expected) in [("0", 1), ("1", 2), ("2", 3), ("9", 5)] {
        let mut settings = SHORT_TIMEOUTS.to_vec();
        settings.push(("CREATE_FAILOVER_TRIES", tries));
        let pool = Pool::with(5, 1, &settings);
        (1..=5).for_each(|n| pool.server(n).set_fault(Fault::new(FaultKind::Reset).on(["create"])));
        assert_eq!(pool.get("create", "meetingID=m1").failed(), "internalError");
        let counts: Vec<u64> = (1..=5).map(|n| pool.server(n).counts().create).collect();
        assert_eq!(counts.iter().sum::<u64>(), expected, "{counts:?} with {tries}");
        assert!(counts.iter().all(|n| *n <= 1), "a server was tried twice: {counts:?}");
        pool.assert_meeting_released("m1");
    }
}

#[test]
fn failover_sends_server_tag_of_new_server() {
    let mut pool = Pool::empty(3, &SHORT_TIMEOUTS);
    pool.add(1, &["--tag", "gpu"]);
    pool.add(2, &[]);
    pool.add(3, &[]);
    (1..=2).for_each(|n| pool.enable(n));
    pool.serve(&["--no-poller"]);
    pool.server(1).set_fault(FaultKind::Refuse);
    pool.get("create", "meetingID=m1&meta_server-tag=gpu").success();
    let sent = pool.server(2).last_request("create").unwrap();
    assert_eq!(parameter(&sent, "meta_server-tag"), None);
    // If the tag is required, there is no other candidate.
    let reply = pool.get("create", "meetingID=m2&meta_server-tag=gpu!");
    assert!(["internalError", "serverTagUnavailable"].contains(&reply.failed()));
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:meeting:m2"]), "0");
}

#[test]
fn no_client_sees_failure_of_three_of_five_servers() {
    let pool = Pool::with(5, 2, &[]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    match n {
                        60 => pool.server(1).set_fault(FaultKind::Refuse),
                        70 => pool.server(2).set_fault(FaultKind::Reset),
                        80 => pool.server(3).set_fault(FaultKind::Status { code: 500 }),
                        300.. => return,
                        _ => {}
                    }
                    let url = pool.url_at(n % 2, "create", &format!("meetingID=m{n}&moderatorPW=p"));
                    fetch("GET", &url, &[], b"").success();
                }
            });
        }
    });
    // Every acknowledged meeting is on the server that its record names. A server may hold one more, created
    // just before it failed.
    for n in 0..300 {
        let at = pool.redis.cli(&["HGET", &format!("scalelite:meeting:m{n}"), "server_id"]);
        let at: usize = at.trim_start_matches("bbb").parse().unwrap();
        assert!(pool.server(at).meeting(&format!("m{n}")).is_some(), "m{n} is not on bbb{at}");
    }
    eventually("the three servers are marked offline", || {
        let loads = pool.redis.loads();
        loads.len() == 2 && loads.iter().all(|(id, _)| ["bbb4", "bbb5"].contains(&id.as_str()))
    });
    (1..=3).for_each(|n| pool.server(n).clear_faults());
    pool.sl_ok(&["poll"]);
    let running: usize = (1..=5).map(|n| pool.server(n).meetings().len()).sum();
    let loads: f64 = pool.redis.loads().iter().map(|(_, load)| load).sum();
    assert_eq!(loads, running as f64 * 15.0);
}

#[test]
fn concurrent_creates_of_one_meeting_fail_over_to_one_server() {
    let pool = Pool::with(3, 2, &SHORT_TIMEOUTS);
    pool.server(1).set_fault(FaultKind::Refuse);
    pool.server(2).set_fault(FaultKind::Refuse);
    std::thread::scope(|scope| {
        for n in 0..30 {
            let url = pool.url_at(n % 2, "create", "meetingID=same&moderatorPW=p");
            scope.spawn(move || fetch("GET", &url, &[], b"").success());
        }
    });
    assert_eq!(pool.holder("same"), Some(3));
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:same", "server_id"]), "bbb3");
}
