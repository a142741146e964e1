//! Several replicas on one Redis decide as one.

use crate::support::Pool;
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread::{Builder, JoinHandle};

use crate::support::client::{Reply, fetch};

/// Makes all of these requests at the same time, each from a thread of its own.
fn at_once(urls: Vec<String>) -> Vec<Reply> {
    let barrier = Arc::new(Barrier::new(urls.len()));
    let threads: Vec<JoinHandle<Reply>> = urls
        .into_iter()
        .map(|url| {
            let barrier = barrier.clone();
            let run = move || {
                barrier.wait();
                fetch("GET", &url, &[], b"")
            };
            Builder::new().stack_size(512 * 1024).spawn(run).unwrap()
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn meetings_per_server(pool: &Pool) -> Vec<usize> {
    pool.sim.servers().iter().map(|server| server.meetings().len()).collect()
}

#[test]
fn a_thousand_creates_at_once_through_four_replicas_spread_evenly() {
    let pool = Pool::with(20, 4, &[]);
    let urls = (0..1000).map(|n| pool.url_at(n % 4, "create", &format!("meetingID=m{n}&name=M"))).collect();
    for reply in at_once(urls) {
        reply.success();
    }
    assert_eq!(meetings_per_server(&pool), [50; 20]);
    // Redis says of each meeting what is so.
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(&pool.sl_ok(&["meetings", "list", "--json"])).unwrap();
    let recorded: BTreeMap<_, _> =
        listed.iter().map(|m| (m["id"].as_str().unwrap(), m["server_id"].as_str().unwrap())).collect();
    assert_eq!(recorded.len(), 1000);
    for (n, server) in pool.sim.servers().iter().enumerate() {
        for meeting in server.meetings() {
            assert_eq!(recorded[meeting.id.as_str()], format!("bbb{}", n + 1));
        }
    }
    assert_eq!(pool.redis.loads().len(), 20);
    for (id, load) in pool.redis.loads() {
        assert_eq!(load, 750.0, "{id}");
    }
    let distinct: std::collections::HashSet<String> =
        pool.sim.servers().iter().flat_map(|s| s.meetings()).map(|m| m.voice_bridge).collect();
    assert_eq!(distinct.len(), 1000, "voice bridges are unique in the pool");
}

/// The same pool, with multipliers and tags; creates in one order or all at once.
fn mixed(replicas: usize, concurrent: bool) -> BTreeMap<String, usize> {
    let mut pool = Pool::empty(6, &[]);
    for (n, options) in [
        vec![],
        vec!["--load-multiplier", "2.0"],
        vec!["--load-multiplier", "0.5"],
        vec!["--tag", "gpu"],
        vec!["--tag", "gpu", "--load-multiplier", "3.0"],
        vec!["--tag", "lab"],
    ]
    .iter()
    .enumerate()
    {
        pool.add(n + 1, options);
        pool.enable(n + 1);
    }
    for _ in 0..replicas {
        pool.serve(&["--no-poller"]);
    }
    // Each kind on its own, since who comes first decides between kinds that share servers.
    for (kind, tag) in [("plain", ""), ("gpu", "gpu!"), ("both", "gpu;lab"), ("none", "missing")] {
        let urls: Vec<_> = (0..120)
            .map(|n| {
                let query = format!("meetingID={kind}-{n}&name=M&meta_server-tag={tag}");
                pool.url_at(n % replicas, "create", &query)
            })
            .collect();
        let replies = if concurrent {
            at_once(urls)
        } else {
            urls.iter().map(|url| fetch("GET", url, &[], b"")).collect()
        };
        for reply in replies {
            reply.success();
        }
    }
    let mut placed = BTreeMap::new();
    for (n, server) in pool.sim.servers().iter().enumerate() {
        for meeting in server.meetings() {
            let kind = meeting.id.split('-').next().unwrap().to_owned();
            *placed.entry(format!("{kind} on bbb{}", n + 1)).or_default() += 1;
        }
    }
    placed
}

#[test]
fn with_multipliers_and_tags_creates_at_once_place_as_a_serial_run_does() {
    let serial = mixed(1, false);
    // Twice the weight, half the meetings.
    let plain = ["bbb1", "bbb2", "bbb3"].map(|id| serial[&format!("plain on {id}")]);
    assert_eq!(plain, [34, 18, 68], "{serial:#?}");
    assert_eq!(mixed(4, true), serial);
}

#[test]
fn one_id_two_hundred_times_at_once_is_one_meeting_on_one_server() {
    let pool = Pool::with(5, 4, &[]);
    let query = "meetingID=same&name=Same&moderatorPW=mp&attendeePW=ap";
    let urls = (0..200).map(|n| pool.url_at(n % 4, "create", query)).collect();
    let replies: Vec<_> = at_once(urls).into_iter().map(Reply::success).collect();
    let first = replies.iter().filter(|r| r.xml("messageKey") != Some("duplicateWarning")).count();
    assert_eq!(first, 1, "one create is no duplicate");
    assert_eq!(meetings_per_server(&pool).iter().sum::<usize>(), 1);
    let created: u64 = pool.sim.servers().iter().map(|s| s.counts().create_new).sum();
    assert_eq!(created, 1);
    assert_eq!(pool.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 15.0);
}

#[test]
fn a_redis_that_was_away_and_is_back_costs_no_request() {
    // Four threads, of which each has lost its connection and is not told.
    let mut pool = Pool::with(1, 1, &[("WORKER_THREADS", "4")]);
    for _ in 0..16 {
        assert_eq!(pool.get("getMeetingInfo", "meetingID=none").failed(), "notFound");
    }
    pool.redis.down();
    for _ in 0..16 {
        assert_eq!(pool.get("getMeetingInfo", "meetingID=none").failed(), "internalError");
    }
    pool.redis.up();
    for _ in 0..32 {
        assert_eq!(pool.get("getMeetingInfo", "meetingID=none").failed(), "notFound");
    }
}

#[test]
fn the_hot_calls_make_one_round_trip_each() {
    let pool = Pool::start(3);
    // The scripts are loaded and the connections stand.
    for call in ["create", "isMeetingRunning", "getMeetingInfo", "join", "end"] {
        pool.get(call, "meetingID=warm&name=M&fullName=F&moderatorPW=p&password=p");
    }
    pool.get("getMeetings", "").success();
    let cost = |call: &str, query: &str| {
        pool.redis.cli(&["CONFIG", "RESETSTAT"]);
        let watched = pool.redis.monitor(|| {
            let reply = pool.get(call, query);
            assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
        });
        assert!(watched.iter().all(|command| command == "evalsha"), "{call}: {watched:?}");
        (pool.redis.calls("evalsha"), watched.len())
    };
    let query = "meetingID=hot&name=M&fullName=F&moderatorPW=p&password=p";
    assert_eq!(cost("create", query), (1, 1));
    assert_eq!(cost("create", query), (1, 1), "of a meeting that exists");
    assert_eq!(cost("isMeetingRunning", query), (1, 1));
    assert_eq!(cost("getMeetingInfo", query), (1, 1));
    assert_eq!(cost("join", query), (1, 1));
    assert_eq!(cost("getMeetings", ""), (1, 1));
    assert_eq!(cost("end", query), (2, 2), "one before and one after the server was asked");
}
