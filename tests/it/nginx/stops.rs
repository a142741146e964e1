//! Replicas that stop or die under load. What was under way is never answered wrongly, nor done twice.

use super::load::{CROWD, Load, Plan, all_is_true};
use super::{Fake, Site};
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
fn replicas_that_are_restarted_in_turn_under_load_cost_nobody_anything() {
    let (mut pool, site) = behind_nginx(&["--no-poller"], &[]);
    site.get(&pool.target("create", &format!("meetingID={CROWD}&name=M&moderatorPW=mp"))).success();
    let load = Load::start(&pool, &site, Plan { all: true, may_fail: false });
    let mut at = [0, 1];
    for pause in [true, true, false] {
        for n in &mut at {
            // At last without a pause: nginx does not know yet that the other one is back.
            if pause {
                load.goes_on(5);
            }
            let replica = &mut pool.replicas[*n];
            replica.terminate();
            let status = replica.ended_within(Duration::from_secs(40));
            assert_eq!(status.code(), Some(0));
            let port = replica.port;
            if pause {
                load.goes_on(5);
            }
            *n = pool.serve_at(port, &["--no-poller"]);
        }
    }
    load.goes_on(5);
    let seen = load.finish();
    assert!(seen.kept.len() > 20 && seen.ended.len() > 40 && seen.crowd > 60, "{seen:?}");
    // Each call reached a server once.
    let sum = |count: fn(sl_sim::Counts) -> u64| -> usize {
        pool.sim.servers().iter().map(|server| count(server.counts()) as usize).sum()
    };
    assert_eq!(sum(|c| c.create), seen.kept.len() + seen.ended.len() + 1);
    assert_eq!(sum(|c| c.end), seen.ended.len());
    all_is_true(&pool, &seen, false);
}

#[test]
fn replicas_that_are_killed_under_load_spoil_nothing() {
    let (mut pool, site) = behind_nginx(&[], &[("POLL_INTERVAL", "1"), ("POLL_LEASE", "2")]);
    let load = Load::start(&pool, &site, Plan { all: false, may_fail: true });
    let mut at = [0, 1];
    for _ in 0..3 {
        for n in &mut at {
            load.goes_on(5);
            let replica = &mut pool.replicas[*n];
            replica.child.kill().unwrap();
            replica.child.wait().unwrap();
            let port = replica.port;
            // Whoever of the two polled: the other one does.
            let polled = || pool.redis.cli(&["HGET", "scalelite:sl:server:bbb1", "polled"]);
            let before = polled();
            eventually("the servers are polled on", || polled() != before);
            load.goes_on(5);
            *n = pool.serve_at(port, &[]);
        }
    }
    load.goes_on(5);
    let mut seen = load.finish();
    assert!(seen.kept.len() > 20 && seen.ended.len() > 40, "{seen:?}");
    // A replica dies with one request of each client at most.
    assert!(seen.failed.len() <= 6 * 4, "{:?}", seen.failed);
    // An end that was cut off may have come to its server or not; it is repeated.
    for id in std::mem::take(&mut seen.doubtful) {
        let reply = site.get(&pool.target("end", &format!("meetingID={id}&password=mp")));
        assert!(reply.xml("messageKey").is_some(), "{reply:?}");
    }
    all_is_true(&pool, &seen, true);
}

/// A request on a connection of its own; None if the replica did not take it any more.
fn ask(pool: &Pool, n: usize, headers: &str, body: &str) -> Option<String> {
    let target = pool.target("create", "meetingID=m1&name=M&moderatorPW=p");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: sl\r\n{headers}Content-Length: {}\r\n", body.len());
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(pool.address(n)).ok()?;
    stream.write_all(format!("{head}{kind}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok().filter(|n| *n > 0)?;
    Some(answer)
}

#[test]
fn a_replica_that_stops_turns_away_those_who_will_ask_another() {
    let mut pool = Pool::with(1, 0, &[]);
    let moves = "X-Sl-Retries-503: yes\r\n";
    let long = "a=".repeat(300_000);
    // It does so for a second, in which a busy machine may not come to ask.
    let seen = (0..10).any(|_| {
        let n = pool.serve(&["--no-poller"]);
        assert!(ask(&pool, n, moves, "").unwrap().starts_with("HTTP/1.1 200 "));
        pool.replicas[n].terminate();
        let mut answers = std::iter::from_fn(|| ask(&pool, n, moves, ""));
        let turned_away = answers.find(|answer| !answer.starts_with("HTTP/1.1 200 "));
        // With a body too, of which all is read. Others are served as ever.
        let (posted, other) = (ask(&pool, n, moves, &long), ask(&pool, n, "", ""));
        for answer in turned_away.iter().chain(&posted) {
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
        }
        assert!(other.as_ref().is_none_or(|answer| answer.contains("<returncode>SUCCESS<")), "{other:?}");
        assert_eq!(pool.replicas[n].ended_within(Duration::from_secs(30)).code(), Some(0));
        turned_away.is_some() && posted.is_some() && other.is_some()
    });
    assert!(seen);
}

#[test]
fn a_replica_that_says_nothing_is_given_up_where_that_does_no_harm() {
    // Reads go on after their time, and do not wait for it when nobody listens.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = Fake::start(|_| super::fake::Do::Say("alive"));
    let edit = ("sl/api.conf", "proxy_read_timeout 30s;", "proxy_read_timeout 1s;");
    let edits = [edit, ("sl/server.conf", "proxy_read_timeout 120s;", "proxy_read_timeout 1s;")];
    for (call, status) in [("getMeetingInfo", 200), ("create", 502), ("join", 502), ("end", 502)] {
        let ports = [silent.local_addr().unwrap().port(), alive.port];
        let site = Site::edited("plain", &ports, &edits);
        let before = alive.seen().len();
        let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
        assert_eq!(reply.status, status, "{call}");
        assert_eq!(alive.seen().len() - before, usize::from(status == 200), "{call}");
    }
}
