//! What servers are loaded with between polls is what the next poll would find.

use crate::support::client::fetch;
use crate::support::{Pool, Reply};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, Option<u8>),
    Join(u8),
    End(u8),
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..8u8, prop::option::of(1..30u8)).prop_map(|(id, hint)| Step::Create(id, hint)),
        8 => (0..8u8).prop_map(Step::Join),
        1 => (0..8u8).prop_map(Step::End),
        1 => Just(Step::Poll),
    ];
    prop::collection::vec(step, 1..60)
}

/// A join as a browser makes it: the redirect is followed.
fn join(pool: &Pool, meeting: &str) -> Reply {
    let reply = pool.get("join", &format!("meetingID={meeting}&fullName=F&password=mp"));
    if let Some(to) = reply.header("location") {
        fetch("GET", to, &[], b"");
    }
    reply
}

/// What a poll would find, by the servers themselves: people, at least what was reserved.
fn recount(pool: &Pool, reserved: &BTreeMap<String, f64>, multipliers: &[f64]) -> Vec<(String, f64)> {
    let mut loads: Vec<(String, f64)> = multipliers
        .iter()
        .enumerate()
        .map(|(n, multiplier)| {
            let weigh = |m: &sl_sim::MeetingView| (m.people.len() as f64).max(reserved[&m.id]);
            let sum: f64 = pool.server(n + 1).meetings().iter().map(weigh).sum();
            (format!("bbb{}", n + 1), sum * multiplier)
        })
        .collect();
    loads.sort_by(|a, b| a.0.cmp(&b.0));
    loads
}

fn live(pool: &Pool) -> Vec<(String, f64)> {
    let mut loads = pool.redis.loads();
    loads.sort_by(|a, b| a.0.cmp(&b.0));
    loads
}

#[test]
fn the_live_load_is_what_the_next_poll_would_find() {
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
    let result = runner.run(&steps(), |steps| {
        let mut reserved = BTreeMap::new();
        for step in steps {
            match &step {
                Step::Create(id, hint) => {
                    let hinted = hint.map_or(String::new(), |n| format!("&meta_expected-users={n}"));
                    pool.get("create", &format!("meetingID=m{id}&moderatorPW=mp{hinted}")).success();
                    reserved.entry(format!("m{id}")).or_insert(hint.map_or(15.0, f64::from));
                }
                Step::Join(id) => drop(join(&pool, &format!("m{id}"))),
                Step::End(id) => {
                    pool.get("end", &format!("meetingID=m{id}&password=mp"));
                    reserved.remove(&format!("m{id}"));
                }
                Step::Poll => drop(pool.sl_ok(&["poll"])),
            }
            prop_assert_eq!(live(&pool), recount(&pool, &reserved, &MULTIPLIERS), "after {:?}", step);
        }
        for id in 0..8 {
            pool.get("end", &format!("meetingID=m{id}&password=mp"));
        }
        prop_assert_eq!(live(&pool).iter().map(|(_, load)| load).sum::<f64>(), 0.0);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn increment_counts_as_scalelite_does() {
    let pool = Pool::with(1, 1, &[("LOAD_ACCOUNTING", "increment")]);
    let load = || live(&pool)[0].1;
    pool.get("create", "meetingID=aa&moderatorPW=mp&meta_expected-users=50").success();
    assert_eq!(load(), 1.0, "one for a create");
    pool.get("create", "meetingID=bb&moderatorPW=mp").success();
    for _ in 0..3 {
        join(&pool, "aa");
    }
    assert_eq!(load(), 5.0, "and one for each join");
    pool.sl_ok(&["poll"]);
    assert_eq!(load(), 30.0, "the poll counts a young meeting as fifteen");
    join(&pool, "aa");
    assert_eq!(load(), 31.0, "and every join on top");
    pool.get("end", "meetingID=aa&password=mp").success();
    assert_eq!(load(), 15.0);
    pool.get("end", "meetingID=bb&password=mp").success();
    assert_eq!(load(), 0.0);
}

#[test]
fn a_hint_of_size_is_reserved_and_stays_so_over_polls() {
    let pool = Pool::with(1, 1, &[]);
    let load = || live(&pool)[0].1;
    pool.get("create", "meetingID=aa&moderatorPW=mp&meta_expected-users=80").success();
    assert_eq!(load(), 80.0);
    join(&pool, "aa");
    pool.sl_ok(&["poll"]);
    assert_eq!(load(), 80.0);
    let sent = pool.server(1).last_request("create").unwrap();
    assert_eq!(crate::support::parameter(&sent, "meta_expected-users").as_deref(), Some("80"));
}
