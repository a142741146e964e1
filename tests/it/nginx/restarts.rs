//! Replicas that stop or die under load: no call gets a wrong response or is executed twice.

use super::load::{CROWD, Load, Plan, assert_consistent};
use super::{FakeReplica, Site};
use crate::support::{Pool, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A pool behind nginx, with these arguments for each replica.
fn behind_nginx(args: &[&str], variables: &[(&str, &str)]) -> (Pool, Site) {
    let mut pool = Pool::with(3, 0, variables);
    for _ in 0..2 {
        pool.serve(args);
    }
    let site = Site::start("plain", &[pool.replicas[0].port, pool.replicas[1].port]);
    (pool, site)
}

#[test]
fn rolling_restart_under_load_fails_no_call() {
    let (mut pool, site) = behind_nginx(&["--no-poller"], &[]);
    site.get(&pool.target("create", &format!("meetingID={CROWD}&name=M&moderatorPW=mp"))).success();
    let load = Load::start(&pool, &site, Plan { all: true, may_fail: false });
    let mut replicas = [0, 1];
    for pause in [true, true, false] {
        for n in &mut replicas {
            // The last round is without a pause: nginx does not know yet that the other replica is back.
            if pause {
                load.wait_for_meetings(5);
            }
            let replica = &mut pool.replicas[*n];
            replica.terminate();
            let status = replica.wait_for_exit(Duration::from_secs(40));
            assert_eq!(status.code(), Some(0));
            let port = replica.port;
            if pause {
                load.wait_for_meetings(5);
            }
            *n = pool.serve_at(port, &["--no-poller"]);
        }
    }
    load.wait_for_meetings(5);
    let observed = load.finish();
    assert!(observed.kept.len() > 20 && observed.ended.len() > 40 && observed.crowd > 60, "{observed:?}");
    // Each call reached a server once.
    let sum = |count: fn(sl_sim::Counts) -> u64| -> usize {
        pool.sim.servers().iter().map(|server| count(server.counts()) as usize).sum()
    };
    assert_eq!(sum(|c| c.create), observed.kept.len() + observed.ended.len() + 1);
    assert_eq!(sum(|c| c.end), observed.ended.len());
    assert_consistent(&pool, &observed, false);
}

#[test]
fn killing_replicas_under_load_keeps_state_consistent() {
    let (mut pool, site) = behind_nginx(&[], &[("POLL_INTERVAL", "1"), ("POLL_LEASE", "2")]);
    let load = Load::start(&pool, &site, Plan { all: false, may_fail: true });
    let mut replicas = [0, 1];
    for _ in 0..3 {
        for n in &mut replicas {
            load.wait_for_meetings(5);
            let replica = &mut pool.replicas[*n];
            replica.child.kill().unwrap();
            replica.child.wait().unwrap();
            let port = replica.port;
            // Whichever replica polled, the other one takes over.
            let polled = || pool.redis.cli(&["HGET", "scalelite:sl:server:bbb1", "polled"]);
            let before = polled();
            eventually("the servers are polled again", || polled() != before);
            load.wait_for_meetings(5);
            *n = pool.serve_at(port, &[]);
        }
    }
    load.wait_for_meetings(5);
    let mut observed = load.finish();
    assert!(observed.kept.len() > 20 && observed.ended.len() > 40, "{observed:?}");
    // Each kill breaks at most one request of each client.
    assert!(observed.failed.len() <= 6 * 4, "{:?}", observed.failed);
    // An interrupted end may have reached its server or not; it is repeated.
    for id in std::mem::take(&mut observed.uncertain) {
        let reply = site.get(&pool.target("end", &format!("meetingID={id}&password=mp")));
        assert!(reply.xml("messageKey").is_some(), "{reply:?}");
    }
    assert_consistent(&pool, &observed, true);
}

/// A create on a new connection; None if the replica no longer accepted it.
fn create_on(pool: &Pool, n: usize, headers: &str, body: &str) -> Option<String> {
    let target = pool.target("create", "meetingID=m1&name=M&moderatorPW=p");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: sl\r\n{headers}Content-Length: {}\r\n", body.len());
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(pool.address(n)).ok()?;
    stream.write_all(format!("{head}{kind}{body}").as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok().filter(|n| *n > 0)?;
    Some(response)
}

#[test]
fn draining_replica_answers_503_to_clients_that_retry() {
    let mut pool = Pool::with(1, 0, &[]);
    let retries_503 = "X-Sl-Retries-503: yes\r\n";
    let long = "a=".repeat(300_000);
    // It does so for one second, in which a busy machine may not manage a request.
    let observed = (0..10).any(|_| {
        let n = pool.serve(&["--no-poller"]);
        assert!(create_on(&pool, n, retries_503, "").unwrap().starts_with("HTTP/1.1 200 "));
        pool.replicas[n].terminate();
        let mut responses = std::iter::from_fn(|| create_on(&pool, n, retries_503, ""));
        let rejected = responses.find(|response| !response.starts_with("HTTP/1.1 200 "));
        // With a body too, which is read completely. Clients that do not retry are served normally.
        let (posted, other) = (create_on(&pool, n, retries_503, &long), create_on(&pool, n, "", ""));
        for response in rejected.iter().chain(&posted) {
            assert!(
                response.starts_with("HTTP/1.1 503 ") && response.contains("connection: close"),
                "{response}"
            );
        }
        assert!(other.as_ref().is_none_or(|response| response.contains("<returncode>SUCCESS<")), "{other:?}");
        assert_eq!(pool.replicas[n].wait_for_exit(Duration::from_secs(30)).code(), Some(0));
        rejected.is_some() && posted.is_some() && other.is_some()
    });
    assert!(observed);
}

#[test]
fn silent_replica_is_skipped_unless_it_may_have_carried_out_a_write() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = FakeReplica::start(|_| super::fake_replica::Reaction::Respond("alive"));
    let shorter = |limit: &'static str| ("sl/api.conf", limit, "proxy_read_timeout 1s;");
    let edits = [
        shorter("proxy_read_timeout 5s;"),
        shorter("proxy_read_timeout 17s;"),
        shorter("proxy_read_timeout 65s;"),
        ("sl/server.conf", "proxy_read_timeout 120s;", "proxy_read_timeout 1s;"),
    ];
    for (call, status) in [
        ("getMeetingInfo", 200),
        ("getRecordings", 200),
        ("create", 200),
        ("join", 200),
        ("join?redirect=false", 502),
        ("end", 502),
        ("publishRecordings", 502),
    ] {
        let ports = [silent.local_addr().unwrap().port(), alive.port];
        let site = Site::edited("plain", &ports, &edits);
        let before = alive.received().len();
        let and = if call.contains('?') { "&" } else { "?" };
        let reply = site.get(&format!("/bigbluebutton/api/{call}{and}meetingID=m"));
        assert_eq!(reply.status, status, "{call}");
        assert_eq!(alive.received().len() - before, usize::from(status == 200), "{call}");
    }
}
