//! Several replicas that share one Redis act as one.

use crate::support::{Pool, eventually};
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread::{Builder, JoinHandle};

use crate::support::client::{Reply, fetch};

/// Makes all of these requests at the same time, each from its own thread.
fn fetch_concurrently(urls: Vec<String>) -> Vec<Reply> {
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
fn concurrent_creates_through_four_replicas_spread_evenly() {
    let pool = Pool::with(20, 4, &[]);
    let urls = (0..1000).map(|n| pool.url_at(n % 4, "create", &format!("meetingID=m{n}&name=M"))).collect();
    for reply in fetch_concurrently(urls) {
        reply.success();
    }
    assert_eq!(meetings_per_server(&pool), [50; 20]);
    // The records in Redis match the servers.
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

/// A pool with multipliers and tags; creates made one after another or concurrently. The number of meetings
/// by kind and server.
fn place_mixed_meetings(replicas: usize, concurrent: bool) -> BTreeMap<String, usize> {
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
    // One kind after another: between kinds that share servers, the order would decide.
    for (kind, tag) in [("plain", ""), ("gpu", "gpu!"), ("both", "gpu;lab"), ("none", "missing")] {
        let urls: Vec<_> = (0..120)
            .map(|n| {
                let query = format!("meetingID={kind}-{n}&name=M&meta_server-tag={tag}");
                pool.url_at(n % replicas, "create", &query)
            })
            .collect();
        let replies = if concurrent {
            fetch_concurrently(urls)
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
fn concurrent_creates_with_multipliers_and_tags_match_serial_placement() {
    let serial = place_mixed_meetings(1, false);
    // Twice the weight, half the meetings.
    let plain = ["bbb1", "bbb2", "bbb3"].map(|id| serial[&format!("plain on {id}")]);
    assert_eq!(plain, [34, 18, 68], "{serial:#?}");
    assert_eq!(place_mixed_meetings(4, true), serial);
}

#[test]
fn concurrent_creates_of_one_id_make_one_meeting() {
    let pool = Pool::with(5, 4, &[]);
    let query = "meetingID=same&name=Same&moderatorPW=mp&attendeePW=ap";
    let urls = (0..200).map(|n| pool.url_at(n % 4, "create", query)).collect();
    let replies: Vec<_> = fetch_concurrently(urls).into_iter().map(Reply::success).collect();
    let first = replies.iter().filter(|r| r.xml("messageKey") != Some("duplicateWarning")).count();
    assert_eq!(first, 1, "exactly one create is not a duplicate");
    assert_eq!(meetings_per_server(&pool).iter().sum::<usize>(), 1);
    let created: u64 = pool.sim.servers().iter().map(|s| s.counts().create_new).sum();
    assert_eq!(created, 1);
    assert_eq!(pool.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 15.0);
}

#[test]
fn no_request_fails_after_redis_returns() {
    // Four worker threads; each has lost its connection and does not know yet.
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
fn hot_calls_make_one_redis_round_trip() {
    let pool = Pool::with(3, 1, &[("WORKER_THREADS", "1")]);
    // Load the scripts and open the connections.
    for call in ["create", "isMeetingRunning", "getMeetingInfo", "join", "end"] {
        pool.get(call, "meetingID=warm&name=M&fullName=F&moderatorPW=p&password=p");
    }
    pool.get("getMeetings", "").success();
    // How many scripts ran, and all commands. One pipeline is one round trip.
    let cost = |call: &str, query: &str| {
        pool.redis.cli(&["CONFIG", "RESETSTAT"]);
        let commands = pool.redis.monitor(|| {
            let reply = pool.get(call, query);
            assert!(reply.status == 302 || reply.xml("returncode") == Some("SUCCESS"), "{call}: {reply:?}");
        });
        (pool.redis.calls("evalsha"), commands)
    };
    let one_script = || (1, vec!["evalsha".to_owned()]);
    let query = "meetingID=hot&name=M&fullName=F&moderatorPW=p&password=p";
    assert_eq!(cost("create", query), one_script());
    assert_eq!(cost("create", query), one_script(), "for a meeting that exists");
    let (scripts, commands) = cost("isMeetingRunning", query);
    assert_eq!(scripts, 1);
    assert_eq!(commands[..3], ["client", "client", "evalsha"], "client tracking is switched on");
    eventually("a lookup is cached", || cost("isMeetingRunning", query) == (0, vec![]));
    assert_eq!(cost("getMeetingInfo", query), (0, vec![]));
    assert_eq!(cost("join", query), one_script());
    assert_eq!(cost("getMeetings", ""), one_script());
    assert_eq!(
        cost("end", query),
        (2, vec!["evalsha".to_owned(); 2]),
        "one script before and one after the request to the server"
    );
}

#[test]
fn change_by_one_replica_invalidates_caches_of_others() {
    let mut pool = Pool::with(2, 2, &[("WORKER_THREADS", "1")]);
    // The meeting's internal id, or the error if there is none.
    let seen = |pool: &Pool, replica: usize| {
        let reply = fetch("GET", &pool.url_at(replica, "getMeetingInfo", "meetingID=mm"), &[], b"");
        reply.xml("internalMeetingID").or(reply.xml("messageKey")).unwrap().to_owned()
    };
    let create = |pool: &Pool| {
        let url = pool.url_at(0, "create", "meetingID=mm&name=M&moderatorPW=p");
        fetch("GET", &url, &[], b"").success().xml("internalMeetingID").unwrap().to_owned()
    };
    let first = create(&pool);
    for _ in 0..5 {
        assert_eq!([seen(&pool, 0), seen(&pool, 1)], [first.as_str(); 2]);
    }

    // Ended through one replica, then created again on the other server.
    fetch("GET", &pool.url_at(0, "end", "meetingID=mm&password=p"), &[], b"").success();
    eventually("the other replica sees the end", || seen(&pool, 1) == "notFound");
    let second = create(&pool);
    assert_ne!(second, first);
    eventually("the other replica sees the new meeting", || seen(&pool, 1) == second);

    // Moved by hand, and moved back.
    let key = |name: &str| format!("scalelite:{name}");
    let server = pool.redis.cli(&["HGET", &key("meeting:mm"), "server_id"]);
    let (server, other) = if server.trim() == "bbb1" { (1, 2) } else { (2, 1) };
    let move_to = |n: usize| pool.redis.cli(&["HSET", &key("meeting:mm"), "server_id", &format!("bbb{n}")]);
    move_to(other);
    eventually("the request goes to the other server", || seen(&pool, 1) == "notFound");
    move_to(server);
    eventually("the request goes to the first server again", || seen(&pool, 1) == second);

    // Its server gets another URL.
    let url = pool.server(other).url();
    pool.redis.cli(&["HSET", &key(&format!("server:bbb{server}")), "url", &url]);
    eventually("the request goes to the new URL", || seen(&pool, 1) != second);

    // Redis goes down and returns empty.
    pool.redis.cli(&["HSET", &key(&format!("server:bbb{server}")), "url", &pool.server(server).url()]);
    eventually("the request goes to the old URL", || seen(&pool, 1) == second);
    pool.redis.down();
    eventually("no cached record is used", || seen(&pool, 1) == "internalError");
    pool.redis.up();
    eventually("the meeting is unknown", || seen(&pool, 1) == "notFound");
}
