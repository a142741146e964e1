//! A replica that is frozen: it accepts connections and answers nothing.

use super::Site;
use crate::support::client::Reply;
use crate::support::{Pool, eventually};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

const CLIENTS: usize = 8;
const REQUESTS: usize = 200;

/// The project's time limits, shorter.
const LIMITS: [(&str, &str, &str); 3] = [
    ("sl/api.conf", "proxy_read_timeout 5s;", "proxy_read_timeout 1s;"),
    ("sl/api.conf", "proxy_read_timeout 17s;", "proxy_read_timeout 2s;"),
    ("sl/api.conf", "proxy_read_timeout 65s;", "proxy_read_timeout 3s;"),
];

fn send_signal(pool: &Pool, replica: usize, signal: &str) {
    let pid = pool.replicas[replica].child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// Request `n` of a mix. Returns its description and whether the response is right.
fn request(pool: &Pool, site: &Site, n: usize) -> (String, Reply, bool) {
    let (call, query) = match n % 8 {
        0 | 4 => ("join", format!("meetingID=mm&fullName=P{n}&password=mp")),
        1 => ("create", format!("meetingID=new{n}&name=N")),
        2 => ("isMeetingRunning", "meetingID=mm".to_owned()),
        3 => ("getMeetingInfo", "meetingID=mm".to_owned()),
        5 => ("getMeetings", String::new()),
        6 => ("join", format!("meetingID=mm&fullName=Q{n}&role=VIEWER")),
        _ => ("create", "meetingID=mm&moderatorPW=mp".to_owned()),
    };
    let reply = site.get(&pool.target(call, &query));
    let right = match call {
        "join" => {
            reply.status == 302 && reply.header("location").is_some_and(|to| to.contains("meetingID=mm"))
        }
        "getMeetings" => reply.status == 200 && reply.body.contains("<meetingID>mm</meetingID>"),
        _ => reply.status == 200 && reply.xml("returncode") == Some("SUCCESS"),
    };
    (format!("{call}?{query}"), reply, right)
}

#[test]
fn frozen_replica_costs_a_bounded_number_of_requests_some_time() {
    let mut pool = Pool::with(3, 0, &[]);
    for _ in 0..2 {
        pool.serve(&["--no-poller"]);
    }
    let site = Site::edited("plain", &[pool.replicas[0].port, pool.replicas[1].port], &LIMITS);
    site.get(&pool.target("create", "meetingID=mm&moderatorPW=mp")).success();
    send_signal(&pool, 0, "-STOP");
    let (started, next) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let n @ 0..REQUESTS = next.fetch_add(1, Relaxed) {
                    let (request, reply, right) = request(&pool, &site, n);
                    assert!(right, "{request}: {reply:?}");
                }
            });
        }
    });
    // nginx learned of it from those that were on their way together, and then tries it once in two seconds.
    let frozen = pool.address(0);
    let log = site.nginx.file("sl.access.log");
    let delayed = log.lines().filter(|line| line.contains(&frozen) && line.contains("said=\"504")).count();
    let tries = started.elapsed().as_secs() as usize / 2 + 1;
    assert!((1..=CLIENTS + tries).contains(&delayed), "{delayed} of {REQUESTS} waited for it, {tries} tries");
    send_signal(&pool, 0, "-CONT");
    // It carries out what it was sent while frozen: no meeting is on two servers (`holder` checks).
    eventually("it answers again", || pool.get("isMeetingRunning", "meetingID=mm").status == 200);
    for n in (1..REQUESTS).step_by(8) {
        assert!(pool.holder(&format!("new{n}")).is_some(), "new{n}");
    }
}

#[test]
fn end_that_a_frozen_replica_may_carry_out_is_not_repeated() {
    let mut pool = Pool::with(1, 0, &[]);
    for _ in 0..2 {
        pool.serve(&["--no-poller"]);
    }
    let site = Site::edited("plain", &[pool.replicas[0].port, pool.replicas[1].port], &LIMITS);
    let meetings: Vec<_> = (0..4).map(|n| format!("meeting{n}")).collect();
    for meeting in &meetings {
        pool.get_at(1, "create", &format!("meetingID={meeting}&moderatorPW=mp")).success();
    }
    send_signal(&pool, 0, "-STOP");
    // One of the first two goes to the frozen replica, and may be carried out there; the others do not.
    let end = |meeting: &String| site.get(&pool.target("end", &format!("meetingID={meeting}&password=mp")));
    let replies: Vec<_> = meetings.iter().map(end).collect();
    let failed: Vec<_> = replies.iter().zip(&meetings).filter(|(reply, _)| reply.status == 502).collect();
    assert_eq!(failed.len(), 1, "{replies:?}");
    pool.get_at(1, "getMeetingInfo", &format!("meetingID={}", failed[0].1)).success();
    assert_eq!(pool.server(1).counts().end, 3);
    send_signal(&pool, 0, "-CONT");
    eventually("it answers again", || pool.get("isMeetingRunning", "meetingID=mm").status == 200);
    assert!(pool.server(1).counts().end <= 4);
}
