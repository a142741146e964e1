//! Shutdown, and clients that disconnect: calls in flight are finished.

use crate::support::client::fetch;
use crate::support::{Pool, SHORT_TIMEOUTS, eventually};
use sl_sim::{Fault, FaultKind};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends a create and does not wait for the response.
fn start_create(pool: &Pool, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(pool.address(0)).unwrap();
    let target = pool.target("create", &format!("meetingID={id}"));
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
    eventually("the server got the create", || pool.server(1).counts().create == 1);
    stream
}

#[test]
fn create_in_flight_is_answered_before_exit() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Slow { ms: 1000 });
    let url = pool.url_at(0, "create", "meetingID=m1");
    let create = std::thread::spawn(move || fetch("GET", &url, &[], b""));
    eventually("the server got the create", || pool.server(1).counts().create == 1);
    pool.replicas[0].terminate();
    let address = pool.address(0);
    eventually("new connections are refused", || TcpStream::connect(&address).is_err());
    assert!(pool.replicas[0].is_alive(), "it waits for the request in flight");
    create.join().unwrap().success();
    let status = pool.replicas[0].wait_for_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    pool.assert_meeting_recorded("m1");
    assert_eq!(pool.holder("m1"), Some(1));
}

#[test]
fn request_with_incomplete_body_is_answered_before_exit() {
    let mut pool = Pool::start(1);
    let mut stream = TcpStream::connect(pool.address(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap(); // 100 Continue: the request has started
    stream.write_all(b"<modu").unwrap();
    pool.replicas[0].terminate();
    let address = pool.address(0);
    eventually("new connections are refused", || TcpStream::connect(&address).is_err());
    stream.write_all(b"les/>").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains("<returncode>SUCCESS</returncode>"), "{response}");
    assert_eq!(pool.replicas[0].wait_for_exit(Duration::from_secs(10)).code(), Some(0));
    assert_eq!(pool.holder("m1"), Some(1));
}

#[test]
fn idle_connections_do_not_delay_exit() {
    let mut pool = Pool::start(1);
    let never_used = TcpStream::connect(pool.address(0)).unwrap();
    let mut used = TcpStream::connect(pool.address(0)).unwrap();
    used.write_all(b"GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
    assert!(used.read(&mut [0; 1000]).unwrap() > 0);
    pool.replicas[0].terminate();
    let status = pool.replicas[0].wait_for_exit(Duration::from_secs(8));
    assert_eq!(status.code(), Some(0));
    drop((never_used, used));
}

#[test]
fn request_exceeding_shutdown_grace_does_not_delay_exit() {
    let mut pool = Pool::with(1, 1, &[("SHUTDOWN_GRACE", "2"), ("RESPONSE_TIMEOUT", "60")]);
    pool.server(1).set_fault(FaultKind::Hang);
    let _stream = start_create(&pool, "m1");
    pool.replicas[0].terminate();
    // One grace period in all: not one for connections and another for the calls they started.
    pool.replicas[0].wait_for_exit(Duration::from_millis(3700));
}

#[test]
fn create_completes_after_client_disconnects() {
    let pool = Pool::start(1);
    // The server creates the meeting some time after the request arrived.
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 0 }).on(["create"]).after_ms(300));
    drop(start_create(&pool, "m1"));
    eventually("the meeting is there", || pool.holder("m1") == Some(1));
    pool.assert_meeting_recorded("m1");
    pool.server(1).clear_faults();
    let again = pool.get("create", "meetingID=m1").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
}

#[test]
fn failed_create_is_cleaned_up_after_client_disconnects() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.server(1).set_fault(FaultKind::Hang);
    drop(start_create(&pool, "m1"));
    eventually("the record is deleted", || pool.redis.cli(&["EXISTS", "scalelite:meeting:m1"]) == "0");
    pool.assert_meeting_released("m1");
}

#[test]
fn call_of_disconnected_client_is_finished_before_exit() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 0 }).on(["create"]).after_ms(700));
    drop(start_create(&pool, "m1"));
    pool.replicas[0].terminate();
    assert_eq!(pool.replicas[0].wait_for_exit(Duration::from_secs(8)).code(), Some(0));
    assert_eq!(pool.holder("m1"), Some(1));
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_is_repaired_by_next_create_after_kill() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(Fault::new(FaultKind::Hang).on(["create"]).times(1));
    let _stream = start_create(&pool, "m1");
    pool.replicas[0].child.kill().unwrap();
    pool.replicas[0].child.wait().unwrap();
    let n = pool.serve(&["--no-poller"]);
    let reply = pool.get_at(n, "create", "meetingID=m1").success();
    assert_eq!(reply.xml("messageKey"), Some(""));
    pool.assert_meeting_recorded("m1");
    let recorded = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "moderator_pw"]);
    let real = pool.server(1).meeting("m1").unwrap().moderator_pw;
    assert_eq!(real, recorded, "`sl servers panic` ends the meeting with the recorded password");
}

#[test]
fn sighup_is_logged_and_changes_nothing() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Slow { ms: 500 });
    let url = pool.url_at(0, "create", "meetingID=m1");
    let create = std::thread::spawn(move || fetch("GET", &url, &[], b""));
    eventually("the server got the create", || pool.server(1).counts().create == 1);
    pool.replicas[0].signal("-HUP");
    eventually("it is logged", || std::fs::read_to_string(&pool.replicas[0].log).unwrap().contains("SIGHUP"));
    create.join().unwrap().success();
    pool.get("isMeetingRunning", "meetingID=m1").success();
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn sigquit_and_sigint_drain_like_sigterm() {
    for stop in ["-INT", "-QUIT"] {
        let mut pool = Pool::start(1);
        pool.server(1).set_fault(FaultKind::Slow { ms: 500 });
        let url = pool.url_at(0, "create", "meetingID=m1");
        let create = std::thread::spawn(move || fetch("GET", &url, &[], b""));
        eventually("the server got the create", || pool.server(1).counts().create == 1);
        pool.replicas[0].signal(stop);
        create.join().unwrap().success();
        assert_eq!(pool.replicas[0].wait_for_exit(Duration::from_secs(8)).code(), Some(0), "{stop}");
    }
}

#[test]
fn stop_during_start_is_graceful() {
    let mut pool = Pool::empty(1, &[]);
    pool.redis.freeze();
    let n = pool.spawn("tcp://127.0.0.1:0", 0, &[]);
    let handles_signals = |pool: &Pool| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", pool.replicas[n].child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
    };
    eventually("it handles SIGTERM", || handles_signals(&pool));
    pool.replicas[n].terminate();
    assert_eq!(pool.replicas[n].wait_for_exit(Duration::from_secs(8)).code(), Some(0));
    pool.redis.thaw();
}

#[test]
fn only_connections_that_the_drain_cuts_off_are_counted() {
    let mut pool =
        Pool::with(1, 1, &[("SHUTDOWN_GRACE", "2"), ("WORKER_THREADS", "1"), ("RESPONSE_TIMEOUT", "60")]);
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 500 }).on(["end"]));
    pool.get("create", "meetingID=m2&moderatorPW=mp").success();
    pool.server(1).set_fault(Fault::new(FaultKind::Hang).on(["create"]));
    let _hangs = {
        let mut stream = TcpStream::connect(pool.address(0)).unwrap();
        let target = pool.target("create", "meetingID=m1");
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let url = pool.url_at(0, "end", "meetingID=m2&password=mp");
    let end = std::thread::spawn(move || fetch("GET", &url, &[], b""));
    eventually("the server got both", || {
        pool.server(1).counts().create == 2 && pool.server(1).counts().end == 1
    });
    pool.replicas[0].terminate();
    end.join().unwrap().success();
    pool.replicas[0].wait_for_exit(Duration::from_secs(8));
    let log = pool.replicas[0].log();
    assert!(log.contains("connections were closed connections=1"), "{log}");
}
