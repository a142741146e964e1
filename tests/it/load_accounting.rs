//! Load accounting between polls: a server's live load equals what the next poll computes.

use crate::support::client::fetch;
use crate::support::{Pool, Reply};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One operation of the random sequence.
#[derive(Debug, Clone)]
enum Action {
    Create(u8, Option<u8>),
    Join(u8),
    End(u8),
    Poll,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (0..8u8, prop::option::of(1..30u8)).prop_map(|(id, hint)| Action::Create(id, hint)),
        8 => (0..8u8).prop_map(Action::Join),
        1 => (0..8u8).prop_map(Action::End),
        1 => Just(Action::Poll),
    ];
    prop::collection::vec(action, 1..60)
}

/// Joins as a browser does: follows the redirect.
fn join(pool: &Pool, meeting: &str) -> Reply {
    let reply = pool.get("join", &format!("meetingID={meeting}&fullName=F&password=mp"));
    if let Some(to) = reply.header("location") {
        fetch("GET", to, &[], b"");
    }
    reply
}

/// The load a poll would compute, read from the servers: participants, but at least the reservation.
fn expected_loads(pool: &Pool, reserved: &BTreeMap<String, f64>, multipliers: &[f64]) -> Vec<(String, f64)> {
    let mut loads: Vec<(String, f64)> = multipliers
        .iter()
        .enumerate()
        .map(|(n, multiplier)| {
            let load = |m: &sl_sim::MeetingView| (m.people.len() as f64).max(reserved[&m.id]);
            let sum: f64 = pool.server(n + 1).meetings().iter().map(load).sum();
            (format!("bbb{}", n + 1), sum * multiplier)
        })
        .collect();
    loads.sort_by(|a, b| a.0.cmp(&b.0));
    loads
}

fn live_loads(pool: &Pool) -> Vec<(String, f64)> {
    let mut loads = pool.redis.loads();
    loads.sort_by(|a, b| a.0.cmp(&b.0));
    loads
}

#[test]
fn live_load_equals_what_next_poll_computes() {
    const MULTIPLIERS: [f64; 3] = [1.0, 2.0, 0.5];
    let mut pool = Pool::empty(3, &[]);
    for (n, multiplier) in MULTIPLIERS.iter().enumerate() {
        pool.add(n + 1, &["--load-multiplier", &multiplier.to_string()]);
        pool.enable(n + 1);
    }
    pool.serve(&["--no-poller"]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&actions(), |actions| {
        let mut reserved = BTreeMap::new();
        for action in actions {
            match &action {
                Action::Create(id, hint) => {
                    let hint_param = hint.map_or(String::new(), |n| format!("&meta_expected-users={n}"));
                    pool.get("create", &format!("meetingID=m{id}&moderatorPW=mp{hint_param}")).success();
                    reserved.entry(format!("m{id}")).or_insert(hint.map_or(15.0, f64::from));
                }
                Action::Join(id) => drop(join(&pool, &format!("m{id}"))),
                Action::End(id) => {
                    pool.get("end", &format!("meetingID=m{id}&password=mp"));
                    reserved.remove(&format!("m{id}"));
                }
                Action::Poll => drop(pool.sl_ok(&["poll"])),
            }
            prop_assert_eq!(
                live_loads(&pool),
                expected_loads(&pool, &reserved, &MULTIPLIERS),
                "after {:?}",
                action
            );
        }
        for id in 0..8 {
            pool.get("end", &format!("meetingID=m{id}&password=mp"));
        }
        prop_assert_eq!(live_loads(&pool).iter().map(|(_, load)| load).sum::<f64>(), 0.0);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn increment_accounting_matches_scalelite() {
    let pool = Pool::with(1, 1, &[("LOAD_ACCOUNTING", "increment")]);
    let load = || live_loads(&pool)[0].1;
    pool.get("create", "meetingID=aa&moderatorPW=mp&meta_expected-users=50").success();
    assert_eq!(load(), 1.0, "a create counts one");
    pool.get("create", "meetingID=bb&moderatorPW=mp").success();
    for _ in 0..3 {
        join(&pool, "aa");
    }
    assert_eq!(load(), 5.0, "each join counts one");
    pool.sl_ok(&["poll"]);
    assert_eq!(load(), 30.0, "the poll counts a new meeting as fifteen");
    join(&pool, "aa");
    assert_eq!(load(), 31.0, "joins add to what the poll computed");
    pool.get("end", "meetingID=aa&password=mp").success();
    assert_eq!(load(), 15.0);
    pool.get("end", "meetingID=bb&password=mp").success();
    assert_eq!(load(), 0.0);
}

#[test]
fn expected_users_hint_stays_reserved_across_polls() {
    let pool = Pool::with(1, 1, &[]);
    let load = || live_loads(&pool)[0].1;
    pool.get("create", "meetingID=aa&moderatorPW=mp&meta_expected-users=80").success();
    assert_eq!(load(), 80.0);
    join(&pool, "aa");
    pool.sl_ok(&["poll"]);
    assert_eq!(load(), 80.0);
    let sent = pool.server(1).last_request("create").unwrap();
    assert_eq!(crate::support::parameter(&sent, "meta_expected-users").as_deref(), Some("80"));
}
