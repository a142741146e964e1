//! Stops, and clients that do not wait: what has begun is finished.

use crate::support::client::fetch;
use crate::support::{Pool, QUICK, eventually};
use sl_sim::{Fault, FaultKind};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends a create and does not wait for the answer.
fn begin_create(pool: &Pool, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(pool.address(0)).unwrap();
    let target = pool.target("create", &format!("meetingID={id}"));
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
    eventually("the server got the create", || pool.server(1).counts().create == 1);
    stream
}

#[test]
fn a_create_that_is_under_way_is_answered_before_the_process_ends() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Slow { ms: 1000 });
    let url = pool.url_at(0, "create", "meetingID=m1");
    let create = std::thread::spawn(move || fetch("GET", &url, &[], b""));
    eventually("the server got the create", || pool.server(1).counts().create == 1);
    pool.replicas[0].terminate();
    let address = pool.address(0);
    eventually("new connections are refused", || TcpStream::connect(&address).is_err());
    assert!(pool.replicas[0].is_alive(), "it waits for what has begun");
    create.join().unwrap().success();
    let status = pool.replicas[0].ended_within(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    pool.all_is_kept_of("m1");
    assert_eq!(pool.holder("m1"), Some(1));
}

#[test]
fn a_request_whose_body_is_still_coming_is_answered_before_the_process_ends() {
    let mut pool = Pool::start(1);
    let mut stream = TcpStream::connect(pool.address(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap(); // it asks for the body: the request has begun
    stream.write_all(b"<modu").unwrap();
    pool.replicas[0].terminate();
    let address = pool.address(0);
    eventually("new connections are refused", || TcpStream::connect(&address).is_err());
    stream.write_all(b"les/>").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("<returncode>SUCCESS</returncode>"), "{answer}");
    assert_eq!(pool.replicas[0].ended_within(Duration::from_secs(10)).code(), Some(0));
    assert_eq!(pool.holder("m1"), Some(1));
}

#[test]
fn connections_that_are_idle_do_not_delay_the_end() {
    let mut pool = Pool::start(1);
    let never_used = TcpStream::connect(pool.address(0)).unwrap();
    let mut used = TcpStream::connect(pool.address(0)).unwrap();
    used.write_all(b"GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
    assert!(used.read(&mut [0; 1000]).unwrap() > 0);
    pool.replicas[0].terminate();
    let status = pool.replicas[0].ended_within(Duration::from_secs(8));
    assert_eq!(status.code(), Some(0));
    drop((never_used, used));
}

#[test]
fn a_request_that_takes_longer_than_the_grace_does_not_keep_the_process() {
    let mut pool = Pool::with(1, 1, &[("SHUTDOWN_GRACE", "2"), ("RESPONSE_TIMEOUT", "60")]);
    pool.server(1).set_fault(FaultKind::Hang);
    let _stream = begin_create(&pool, "m1");
    pool.replicas[0].terminate();
    // The grace, once; not once for connections and once more for what they began.
    pool.replicas[0].ended_within(Duration::from_millis(3700));
}

#[test]
fn an_interrupt_stops_as_gently() {
    let mut pool = Pool::start(1);
    let pid = pool.replicas[0].child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(pool.replicas[0].ended_within(Duration::from_secs(8)).code(), Some(0));
}

#[test]
fn a_meeting_is_created_and_recorded_though_the_client_hung_up() {
    let pool = Pool::start(1);
    // The server does its work some time after the request came.
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 0 }).on(["create"]).after_ms(300));
    drop(begin_create(&pool, "m1"));
    eventually("the meeting is there", || pool.holder("m1") == Some(1));
    pool.all_is_kept_of("m1");
    pool.server(1).clear_faults();
    let again = pool.get("create", "meetingID=m1").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
}

#[test]
fn a_create_that_fails_leaves_nothing_though_the_client_hung_up() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.server(1).set_fault(FaultKind::Hang);
    drop(begin_create(&pool, "m1"));
    eventually("the record goes", || pool.redis.cli(&["EXISTS", "scalelite:meeting:m1"]) == "0");
    pool.nothing_is_left_of("m1");
}

#[test]
fn what_a_client_who_hung_up_had_begun_is_finished_before_the_process_ends() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(Fault::new(FaultKind::Slow { ms: 0 }).on(["create"]).after_ms(700));
    drop(begin_create(&pool, "m1"));
    pool.replicas[0].terminate();
    assert_eq!(pool.replicas[0].ended_within(Duration::from_secs(8)).code(), Some(0));
    assert_eq!(pool.holder("m1"), Some(1));
    pool.all_is_kept_of("m1");
}

#[test]
fn a_kill_in_the_middle_of_a_create_leaves_a_record_that_the_next_create_makes_good() {
    let mut pool = Pool::start(1);
    pool.server(1).set_fault(Fault::new(FaultKind::Hang).on(["create"]).times(1));
    let _stream = begin_create(&pool, "m1");
    pool.replicas[0].child.kill().unwrap();
    pool.replicas[0].child.wait().unwrap();
    let n = pool.serve(&["--no-poller"]);
    let reply = pool.get_at(n, "create", "meetingID=m1").success();
    assert_eq!(reply.xml("messageKey"), Some(""));
    pool.all_is_kept_of("m1");
    let noted = pool.redis.cli(&["HGET", "scalelite:meeting:m1", "moderator_pw"]);
    let real = pool.server(1).meeting("m1").unwrap().moderator_pw;
    assert_eq!(real, noted, "`sl servers panic` ends the meeting with the password noted");
}
