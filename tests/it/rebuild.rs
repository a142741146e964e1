//! Redis has lost its data, or a server was just added: no meeting gets a second server.

use crate::support::{Pool, SHORT_TIMEOUTS, eventually};
use sl_sim::FaultKind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn recorded_on(pool: &Pool, meeting: &str) -> String {
    pool.redis.cli(&["HGET", &format!("scalelite:meeting:{meeting}"), "server_id"])
}

fn add_unpolled(pool: &Pool, n: usize) {
    let server = pool.server(n);
    let added = pool.redis.eval("add_server", &[&format!("bbb{n}"), &server.url(), server.secret()]);
    assert_eq!(added, ["added"]);
}

#[test]
fn no_meeting_gets_two_servers_while_an_emptied_pool_is_rebuilt_under_load() {
    const SERVERS: usize = 6;
    const MEETINGS: usize = 30;
    let pool = Pool::with(SERVERS, 3, &[]);
    let create = |replica: usize, n: usize| {
        pool.get_at(replica, "create", &format!("meetingID=m{n}&moderatorPW=mp&attendeePW=ap"))
    };
    for n in 0..MEETINGS {
        create(n % 3, n).success();
    }
    let holders: Vec<_> = (0..MEETINGS).map(|n| pool.holder(&format!("m{n}"))).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..3 {
            let (create, stop) = (&create, &stop);
            scope.spawn(move || {
                for n in (client..MEETINGS).step_by(3).cycle() {
                    if stop.load(Relaxed) {
                        break;
                    }
                    create((client + n) % 3, n);
                }
            });
        }
        pool.redis.cli(&["FLUSHALL"]);
        for n in 1..=SERVERS {
            pool.add(n, &[]);
            pool.enable(n);
        }
        stop.store(true, Relaxed);
    });
    for (n, first_holder) in holders.iter().enumerate() {
        let reply = create(n % 3, n).success();
        assert_eq!(reply.xml("messageKey"), Some("duplicateWarning"));
        // Panics if two servers have it.
        let holder = pool.holder(&format!("m{n}"));
        assert_eq!(holder, *first_holder);
        assert_eq!(recorded_on(&pool, &format!("m{n}")), format!("bbb{}", holder.unwrap()));
    }
    create(0, MEETINGS).success();
}

#[test]
fn create_finds_a_meeting_on_a_server_that_was_never_polled() {
    let mut pool = Pool::empty(2, &[]);
    pool.add(1, &[]);
    pool.enable(1);
    pool.serve(&["--no-poller"]);
    pool.server(2).create_meeting("m1", "M");
    add_unpolled(&pool, 2);
    let reply = pool.get("create", "meetingID=m1&moderatorPW=mp");
    assert_ne!(reply.xml("messageKey"), Some(""), "the server has it already: {reply:?}");
    assert_eq!((pool.holder("m1"), recorded_on(&pool, "m1").as_str()), (Some(2), "bbb2"));
    // An id that no server knows is placed.
    pool.get("create", "meetingID=new").success();
    assert_eq!(recorded_on(&pool, "new"), "bbb1");
    // Polled: nobody is asked any more.
    pool.sl_ok(&["poll"]);
    let asked = |n: usize| pool.server(n).counts().get_meeting_info;
    let before = (asked(1), asked(2));
    pool.get("create", "meetingID=new2").success();
    assert_eq!((asked(1), asked(2)), before);
}

#[test]
fn server_that_is_asked_cannot_claim_a_meeting_without_the_mark() {
    let mut pool = Pool::empty(2, &[]);
    pool.add(1, &[]);
    pool.enable(1);
    pool.sl_ok(&["poll"]);
    pool.serve(&["--no-poller"]);
    pool.redis.cli(&["DEL", "scalelite:sl:rebuild"]);
    pool.server(2).create_meeting("exam-42", "X");
    add_unpolled(&pool, 2);
    pool.get("create", "meetingID=exam-42&moderatorPW=secret").success();
    assert_eq!(recorded_on(&pool, "exam-42"), "bbb1");
    assert_eq!(pool.server(2).counts().get_meeting_info, 1, "it was asked");
}

#[test]
fn create_is_refused_while_its_server_is_not_added_again() {
    let pool = Pool::with(2, 1, &[]);
    for meeting in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={meeting}&moderatorPW=mp")).success();
    }
    let (first, second) = if pool.holder("m1") == Some(1) { ("m1", "m2") } else { ("m2", "m1") };
    pool.redis.cli(&["FLUSHALL"]);
    pool.add(1, &[]);
    pool.enable(1);
    let refused = pool.get("create", &format!("meetingID={second}&moderatorPW=mp"));
    assert_eq!(refused.xml("message"), Some("Could not find any available servers."));
    pool.get("create", &format!("meetingID={first}&moderatorPW=mp")).success();
    pool.add(2, &[]);
    let reply = pool.get("create", &format!("meetingID={second}&moderatorPW=mp")).success();
    assert_eq!(reply.xml("messageKey"), Some("duplicateWarning"), "added, not even enabled");
    assert_eq!((pool.holder(first), pool.holder(second)), (Some(1), Some(2)));
}

#[test]
fn creates_ask_no_longer_once_all_servers_are_back() {
    let mut pool = Pool::with(2, 2, &[]);
    pool.get("create", "meetingID=new").success();
    pool.redis.cli(&["FLUSHALL"]);
    pool.add(1, &[]);
    pool.enable(1);
    eventually("creates ask", || !pool.redis.cli(&["ZSCORE", "scalelite:sl:unpolled", ""]).is_empty());
    // Knows only what is in Redis now, so it cannot tell that bbb2 is missing.
    pool.serve(&["--no-poller"]);
    pool.redis.cli(&["SADD", "scalelite:servers", "other"]);
    pool.redis.cli(&["SREM", "scalelite:servers", "other"]);
    for replica in 0..3 {
        pool.get_at(replica, "create", &format!("meetingID=new{replica}")).success();
    }
    assert!(!pool.redis.cli(&["ZSCORE", "scalelite:sl:unpolled", ""]).is_empty());
    pool.add(2, &[]);
    pool.enable(2);
    eventually("creates do not ask", || pool.redis.cli(&["EXISTS", "scalelite:sl:unpolled"]) == "0");
}

#[test]
fn server_that_never_answers_does_not_keep_the_pool_in_rebuild() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    let dead = pool.server(2).url().replace(&pool.server(2).port().to_string(), "1");
    pool.redis.eval("add_server", &["dead", &dead, "secret"]);
    let is_on = || pool.redis.cli(&["EXISTS", "scalelite:sl:unpolled"]) == "1";
    assert!(is_on());
    pool.get("create", "meetingID=m1").success();
    pool.sl_ok(&["poll"]);
    assert!(is_on(), "it may have been a blip");
    pool.sl_ok(&["poll"]);
    assert!(!is_on());
    // One that nobody polls counts for a limited time.
    add_again(&pool, &dead);
    pool.redis.cli(&["ZADD", "scalelite:sl:unpolled", "1000", "dead"]);
    pool.get("create", "meetingID=m2").success();
    assert!(!is_on());
    assert_eq!(pool.server(1).counts().get_meeting_info, 1, "asked for m1, not for m2");
}

fn add_again(pool: &Pool, url: &str) {
    pool.redis.eval("remove_server", &["dead", "1"]);
    pool.redis.eval("add_server", &["dead", url, "secret"]);
}

#[test]
fn lost_key_of_the_marks_is_given_back_by_a_replica() {
    let pool = Pool::with(1, 1, &[]);
    pool.get("create", "meetingID=m1").success();
    let key = || pool.redis.cli(&["GET", "scalelite:sl:mark_key"]);
    let before = key();
    assert_eq!(before.len(), 64);
    pool.redis.cli(&["FLUSHALL"]);
    eventually("the key is back", || key() == before);
    eventually("creates will ask", || pool.redis.cli(&["ZCARD", "scalelite:sl:unpolled"]) == "1");
}

#[test]
fn server_that_does_not_respond_is_asked_once() {
    let mut pool = Pool::with(2, 0, &SHORT_TIMEOUTS);
    pool.set("WORKER_THREADS", "1");
    pool.serve(&["--no-poller"]);
    pool.redis.eval("add_server", &["dead", "http://127.0.0.1:1/bigbluebutton/api", "secret"]);
    pool.server(2).set_fault(sl_sim::Fault::new(FaultKind::Hang).on(["getMeetingInfo"]));
    for n in 0..3 {
        pool.get("create", &format!("meetingID=m{n}")).success();
    }
    let asked = |n: usize| pool.server(n).counts().get_meeting_info;
    assert_eq!((asked(1), asked(2)), (3, 1));
}
