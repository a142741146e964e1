//! A slow server, or many requests for all meetings, do not consume a replica.

use crate::support::{Pool, eventually};
use sl_sim::{Fault, FaultKind};
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn calls_beyond_bound_fail_at_once_and_concern_no_other_server() {
    let pool = Pool::with(
        2,
        1,
        &[("MAX_CALLS_PER_SERVER", "2"), ("WORKER_THREADS", "1"), ("RESPONSE_TIMEOUT", "5")],
    );
    for id in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={id}&moderatorPW=p")).success();
    }
    let slow = pool.holder("m1").unwrap();
    let count = || pool.server(slow).counts().get_meeting_info;
    pool.server(slow).set_fault(Fault::new(FaultKind::Hang).on(["getMeetingInfo"]));
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..2).map(|_| scope.spawn(|| pool.get("getMeetingInfo", "meetingID=m1"))).collect();
        eventually("both wait", || count() == 2);
        let reply = pool.get("getMeetingInfo", "meetingID=m1");
        assert_eq!(reply.xml("message"), Some("Unable to access meeting on server."));
        assert_eq!((reply.failed(), count()), ("internalError", 2));
        pool.get("getMeetingInfo", "meetingID=m2").success();
        // New meetings go where there is room; that is no failure of the slow server.
        for n in 0..4 {
            pool.get("create", &format!("meetingID=new{n}&moderatorPW=p")).success();
        }
        assert_eq!(pool.server(slow).meetings().len(), 1);
        assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:held"]), "0");
        assert!(waiting.iter().all(|call| !call.is_finished()), "all of this took no time");
        for call in waiting {
            assert_eq!(call.join().unwrap().failed(), "internalError");
        }
    });
    assert!(pool.replicas[0].log().contains("too many calls wait for this server"));
    pool.server(slow).clear_faults();
    pool.get("getMeetingInfo", "meetingID=m1").success();
}

#[test]
fn requests_for_all_meetings_share_one_query_of_servers() {
    let pool = Pool::with(2, 1, &[("WORKER_THREADS", "1")]);
    pool.server(1).create_meeting("m1", "M");
    pool.server(2).set_fault(Fault::new(FaultKind::Slow { ms: 700 }).on(["getMeetings"]));
    pool.server(1).reset_counts();
    let before = pool.server(1).counts().get_meetings;
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let body = pool.get("getMeetings", "").success().body;
                assert!(
                    body.contains("<meetingID>m1</meetingID>") && body.ends_with("</meetings></response>")
                );
                answered.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(answered.load(Ordering::SeqCst), 30);
    let queries = pool.server(1).counts().get_meetings - before;
    assert!((1..=6).contains(&queries), "{queries} queries for 30 requests");
}

#[test]
fn request_for_all_meetings_has_what_was_created_before_it() {
    let pool = Pool::with(2, 1, &[("WORKER_THREADS", "1")]);
    pool.server(2).set_fault(Fault::new(FaultKind::Slow { ms: 500 }).on(["getMeetings"]));
    pool.server(1).create_meeting("first", "M");
    std::thread::scope(|scope| {
        let earlier = scope.spawn(|| pool.get("getMeetings", "").success());
        eventually("it has begun", || pool.server(1).counts().get_meetings > 0);
        pool.get("create", "meetingID=second&moderatorPW=p").success();
        let body = pool.get("getMeetings", "").success().body;
        assert!(body.contains("<meetingID>first<") && body.contains("<meetingID>second<"), "{body}");
        earlier.join().unwrap();
    });
}
