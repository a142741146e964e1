//! A create whose server fails goes to the next one; the client sees no failure.

use crate::support::client::fetch;
use crate::support::{Pool, QUICK, eventually, parameter};
use sl_sim::{Fault, FaultKind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Two servers of which the first is the one that is picked, and fails.
fn goes_elsewhere(fault: impl Into<Fault>) -> Pool {
    let pool = Pool::with(2, 1, &QUICK);
    pool.server(2).create_meeting("busy", "B");
    pool.server(2).add_people("busy", 100);
    pool.sl_ok(&["poll"]);
    pool.server(1).set_fault(fault);
    let reply = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(reply.xml("messageKey"), Some(""), "a first create, as the client sees it");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), "bbb2");
    assert!(pool.server(2).meeting("m1").is_some());
    let load = |id: &str| pool.redis.loads().into_iter().find(|l| l.0 == id).map(|l| l.1);
    assert_eq!(load("bbb2"), Some(115.0));
    assert!(matches!(load("bbb1"), None | Some(0.0)), "its load is taken off");
    let bridge = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "voice_bridge"]);
    let sent = pool.server(2).last_request("create").unwrap();
    assert_eq!(parameter(&sent, "voiceBridge"), Some(bridge), "the same number goes along");
    pool.get("end", "meetingID=m1&password=mp").success();
    pool
}

#[test]
fn from_a_server_that_refuses() {
    let pool = goes_elsewhere(FaultKind::Refuse);
    assert_eq!(pool.server(1).counts().get_meeting_info, 0);
}

#[test]
fn from_a_server_that_resets() {
    goes_elsewhere(Fault::new(FaultKind::Reset).on(["create"]));
}

#[test]
fn from_a_server_that_hangs() {
    goes_elsewhere(Fault::new(FaultKind::Hang).on(["create"]));
}

#[test]
fn from_a_server_that_hangs_whatever_it_is_asked() {
    goes_elsewhere(FaultKind::Hang);
}

#[test]
fn from_a_server_that_answers_500() {
    goes_elsewhere(Fault::new(FaultKind::Status { code: 500 }).on(["create"]));
}

#[test]
fn from_a_server_that_answers_garbage() {
    goes_elsewhere(Fault::new(FaultKind::Garbage).on(["create"]));
}

/// The server has made the meeting, and only its answer was lost: it stays there.
fn stays(kind: FaultKind) {
    let pool = Pool::with(2, 1, &QUICK);
    (1..=2).for_each(|n| pool.server(n).set_fault(Fault::new(kind.clone()).on(["create"]).times(1)));
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let holder = pool.holder("m1").expect("one server has it");
    let recorded = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]);
    assert_eq!(recorded, format!("bbb{holder}"));
    assert_eq!(pool.server(holder).counts().create, 2, "it was asked once more");
    pool.all_is_kept_of("m1");
}

#[test]
fn a_meeting_that_came_to_be_before_the_server_hung_stays() {
    stays(FaultKind::HangAfter);
}

#[test]
fn a_meeting_that_came_to_be_before_the_connection_broke_stays() {
    stays(FaultKind::ResetAfter);
}

#[test]
fn a_meeting_whose_answer_was_cut_off_stays() {
    stays(FaultKind::Truncated);
}

#[test]
fn so_many_servers_more_are_tried_as_is_set() {
    for (tries, asked) in [("0", 1), ("1", 2), ("2", 3), ("9", 5)] {
        let mut settings = QUICK.to_vec();
        settings.push(("CREATE_FAILOVER_TRIES", tries));
        let pool = Pool::with(5, 1, &settings);
        (1..=5).for_each(|n| pool.server(n).set_fault(Fault::new(FaultKind::Reset).on(["create"])));
        assert_eq!(pool.get("create", "meetingID=m1").failed(), "internalError");
        let counts: Vec<u64> = (1..=5).map(|n| pool.server(n).counts().create).collect();
        assert_eq!(counts.iter().sum::<u64>(), asked, "{counts:?} with {tries}");
        assert!(counts.iter().all(|n| *n <= 1), "none twice: {counts:?}");
        pool.nothing_is_left_of("m1");
    }
}

#[test]
fn the_tag_that_goes_along_is_the_new_servers() {
    let mut pool = Pool::empty(3, &QUICK);
    pool.add(1, &["--tag", "gpu"]);
    pool.add(2, &[]);
    pool.add(3, &[]);
    (1..=2).for_each(|n| pool.enable(n));
    pool.serve(&["--no-poller"]);
    pool.server(1).set_fault(FaultKind::Refuse);
    pool.get("create", "meetingID=m1&meta_server-tag=gpu").success();
    let sent = pool.server(2).last_request("create").unwrap();
    assert_eq!(parameter(&sent, "meta_server-tag"), None);
    // Where the tag is required, there is no other.
    let reply = pool.get("create", "meetingID=m2&meta_server-tag=gpu!");
    assert!(["internalError", "serverTagUnavailable"].contains(&reply.failed()));
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:meeting:m2"]), "0");
}

#[test]
fn three_of_five_servers_fail_in_three_ways_and_no_client_sees_it() {
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
    // Every meeting that was answered is where its record says. A server may hold one more, that it
    // made before it fell silent.
    for n in 0..300 {
        let at = pool.redis.cli(&["HGET", &format!("scalelite:meeting:m{n}"), "server_id"]);
        let at: usize = at.trim_start_matches("bbb").parse().unwrap();
        assert!(pool.server(at).meeting(&format!("m{n}")).is_some(), "m{n} is not on bbb{at}");
    }
    eventually("the three are found offline", || {
        let loads = pool.redis.loads();
        loads.len() == 2 && loads.iter().all(|(id, _)| ["bbb4", "bbb5"].contains(&id.as_str()))
    });
    (1..=3).for_each(|n| pool.server(n).clear_faults());
    pool.sl_ok(&["poll"]);
    let recount: usize = (1..=5).map(|n| pool.server(n).meetings().len()).sum();
    let loads: f64 = pool.redis.loads().iter().map(|(_, load)| load).sum();
    assert_eq!(loads, recount as f64 * 15.0);
}

#[test]
fn many_creates_of_one_meeting_whose_server_refuses_end_on_one_other() {
    let pool = Pool::with(3, 2, &QUICK);
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
