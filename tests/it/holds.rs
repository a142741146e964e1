//! Which servers a failed create keeps new meetings away from: those at fault, not those where a bad create
//! happened to fail.

use crate::support::{Pool, SHORT_TIMEOUTS, eventually};
use sl_sim::{Fault, FaultKind};

fn creates_failing(pool: &Pool, servers: impl IntoIterator<Item = usize>) {
    for n in servers {
        pool.server(n).set_fault(Fault::new(FaultKind::Status { code: 500 }).on(["create"]));
    }
}

fn created(pool: &Pool, servers: usize) -> Vec<u64> {
    (1..=servers).map(|n| pool.server(n).counts().create).collect()
}

/// Creates meetings; returns how many each server has.
fn spread(pool: &Pool, servers: usize, meetings: usize) -> Vec<usize> {
    for n in 0..meetings {
        pool.get("create", &format!("meetingID=good{n}&moderatorPW=p")).success();
    }
    (1..=servers).map(|n| pool.server(n).meetings().len()).collect()
}

#[test]
fn create_that_fails_on_every_server_holds_none_of_them() {
    let pool = Pool::start(6);
    creates_failing(&pool, 1..=6);
    assert_eq!(pool.get("create", "meetingID=bad").failed(), "internalError");
    assert_eq!(created(&pool, 6).iter().sum::<u64>(), 3);
    (1..=6).for_each(|n| pool.server(n).clear_faults());
    assert_eq!(spread(&pool, 6, 24), [4; 6]);
}

#[test]
fn repeats_of_create_that_failed_try_fewer_servers_and_hold_none() {
    let pool = Pool::start(6);
    creates_failing(&pool, 1..=6);
    let mut tried = Vec::new();
    for _ in 0..5 {
        (1..=6).for_each(|n| pool.server(n).reset_counts());
        assert_eq!(pool.get("create", "meetingID=bad").failed(), "internalError");
        tried.push(created(&pool, 6).iter().sum::<u64>());
    }
    assert_eq!(tried, [3, 2, 1, 1, 1]);
    // Another meeting is not held to account for it.
    (1..=6).for_each(|n| pool.server(n).reset_counts());
    assert_eq!(pool.get("create", "meetingID=other").failed(), "internalError");
    assert_eq!(created(&pool, 6).iter().sum::<u64>(), 3);
    (1..=6).for_each(|n| pool.server(n).clear_faults());
    assert_eq!(spread(&pool, 6, 24), [4; 6]);
    // The bad one works again where its servers do.
    pool.get("create", "meetingID=bad").success();
}

#[test]
fn server_where_creates_of_two_meetings_fail_is_held() {
    let pool = Pool::start(4);
    creates_failing(&pool, [1]);
    let spread = spread(&pool, 4, 30);
    assert_eq!((spread[0], spread.iter().sum::<usize>()), (0, 30));
    assert_eq!(pool.server(1).counts().create, 2, "then it is held");
}

#[test]
fn several_servers_that_fail_all_creates_are_held_though_each_create_is_bounded() {
    // More servers are ill than one create may try.
    let pool = Pool::with(6, 1, &[("CREATE_FAILOVER_TRIES", "1")]);
    creates_failing(&pool, 1..=3);
    let mut n = 0;
    eventually("creates succeed in a row", || {
        n += 1;
        (0..6).all(|m| {
            let reply = pool.get("create", &format!("meetingID=m{n}-{m}&moderatorPW=p"));
            reply.xml("returncode") == Some("SUCCESS")
        })
    });
}

#[test]
fn create_that_a_poll_saw_before_its_answer_was_lost_is_answered() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    for n in 1..=2 {
        pool.server(n).set_fault(Fault::new(FaultKind::HangAfter).on(["create"]).times(1));
        pool.server(n).add_fault(Fault::new(FaultKind::Status { code: 500 }).on(["getMeetingInfo"]).times(1));
    }
    std::thread::scope(|scope| {
        let create = scope.spawn(|| pool.get("create", "meetingID=m1&moderatorPW=mp"));
        eventually("a server has it", || pool.holder("m1").is_some());
        pool.sl_ok(&["poll"]);
        assert_eq!(pool.redis.cli(&["HGET", "scalelite:sl:meeting:m1", "seen"]), "1");
        create.join().unwrap().success();
    });
    let holder = pool.holder("m1").unwrap();
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "server_id"]), format!("bbb{holder}"));
    assert!(pool.server(3 - holder).meetings().is_empty());
}
