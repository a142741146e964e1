//! The faults and the control door, over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::test_client::*;
use super::*;

const RUNNING: &str = "meetingID=mm";

fn ask(server: &SimServer) -> String {
    get_request(server, "isMeetingRunning", RUNNING)
}

/// The body answered to isMeetingRunning under a fault.
fn under(server: &SimServer, fault: impl Into<Fault>) -> (String, String) {
    server.set_fault(fault);
    raw(server, &ask(server))
}

fn healthy(server: &SimServer) -> bool {
    get(server, "isMeetingRunning", RUNNING).contains("<running>false</running>")
}

#[test]
fn refusing_closes_the_port_and_clearing_opens_the_same_one() {
    let sim = Sim::start(SimConfig { threads: 3, ..SimConfig::default() }).unwrap();
    let server = &sim.servers()[0];
    for _ in 0..3 {
        let mut open = connect(server).unwrap();
        assert!(healthy(server));
        server.set_fault(FaultKind::Refuse);
        for _ in 0..10 {
            let refused = connect(server).expect_err("refused");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        // The one that was open is dropped.
        assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)));
        server.clear_faults();
        assert!(healthy(server));
    }
    server.set_fault(FaultKind::Refuse);
    server.set_fault(FaultKind::Garbage);
    assert!(connect(server).is_ok(), "another fault ends refusing");
}

#[test]
fn reset_is_a_reset_with_or_without_the_work() {
    let sim = one();
    let server = &sim.servers()[0];
    let create = get_request(server, "create", RUNNING);
    server.set_fault(FaultKind::Reset);
    let error = exchange(server, &create).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.meetings(), []);
    server.set_fault(FaultKind::ResetAfter);
    let error = exchange(server, &create).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.meetings().len(), 1);
    assert_eq!(server.counts().faults, 2);
}

#[test]
fn a_fault_reaches_connections_that_are_kept_alive() {
    let sim = one();
    let server = &sim.servers()[0];
    let mut stream = connect(server).unwrap();
    let request = ask(server).replace("Connection: close\r\n", "");
    let mut space = [0; 1024];
    stream.write_all(request.as_bytes()).unwrap();
    assert!(stream.read(&mut space).unwrap() > 0);
    server.set_fault(FaultKind::Reset);
    stream.write_all(request.as_bytes()).unwrap();
    let error = stream.read(&mut space).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn hanging_never_answers_and_hang_after_has_done_the_work() {
    let sim = one();
    let server = &sim.servers()[0];
    let create = get_request(server, "create", RUNNING);
    for (fault, done) in [(FaultKind::Hang, 0), (FaultKind::HangAfter, 1)] {
        server.set_fault(fault);
        let before = server.last_requests().len();
        let mut stream = connect(server).unwrap();
        stream.write_all(create.as_bytes()).unwrap();
        eventually("the request is seen", || server.last_requests().len() > before);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = stream.read(&mut [0]).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        eventually("the work is done", || server.meetings().len() == done);
    }
}

#[test]
fn slow_answers_late_and_limits_are_kept() {
    let sim = one();
    let server = &sim.servers()[0];
    let slow = Fault::new(FaultKind::Slow { ms: 80 }).on(["isMeetingRunning"]).times(1);
    server.set_fault(slow.after_ms(40));
    let start = Instant::now();
    get(server, "getMeetings", "");
    assert_eq!(server.faults().len(), 1, "another call");
    assert!(healthy(server));
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(server.faults(), [], "used up");
    server.set_fault(Fault::new(FaultKind::Full).on(["create"]).times(2));
    for key in ["maxConcurrentMeetings", "maxConcurrentMeetings", "<messageKey></messageKey>"] {
        assert!(get(server, "create", RUNNING).contains(key));
    }
}

#[test]
fn wrong_answers_of_every_kind() {
    let sim = one();
    let server = &sim.servers()[0];
    let contains = |fault: FaultKind, text: &str| {
        let (head, body) = under(server, fault);
        assert!(head.contains(text) || body.contains(text), "{text}: {head} {body:.200}");
    };
    contains(FaultKind::NotXmlHtml, "<html>");
    contains(FaultKind::NotXmlHtml, "HTTP/1.1 200");
    contains(FaultKind::NoReturncode, "<response><running>");
    contains(FaultKind::Status { code: 502 }, "HTTP/1.1 502 Bad Gateway");
    contains(FaultKind::Status { code: 502 }, "<h1>502 Bad Gateway</h1>");
    contains(FaultKind::DeepXml { depth: 100_000 }, &"<a>".repeat(100_000));
    contains(FaultKind::Entities, "<!ENTITY l9 \"&l8;&l8;");
    contains(FaultKind::WrongChecksum, "checksumError");
    contains(FaultKind::Forget, "notFound");
    let failed = FaultKind::Failed { message_key: "some<Key".into(), message: "why".into() };
    contains(failed, "<messageKey>some&lt;Key</messageKey><message>why</message>");
    let length = FaultKind::BadLength { value: "12".into() };
    server.set_fault(length);
    let mut stream = connect(server).unwrap();
    stream.write_all(ask(server).as_bytes()).unwrap();
    let mut text = String::new();
    while !text.ends_with("</response>") {
        let mut space = [0; 1024];
        let n = stream.read(&mut space).unwrap();
        assert_ne!(n, 0, "{text}");
        text.push_str(std::str::from_utf8(&space[..n]).unwrap());
    }
    assert!(text.contains("\r\nContent-Length: 12\r\n"));
    server.set_fault(FaultKind::Garbage);
    let garbage = exchange(server, &ask(server)).unwrap();
    assert!(String::from_utf8(garbage).is_err());
}

#[test]
fn bodies_and_headers_of_the_wrong_size() {
    let sim = one();
    let server = &sim.servers()[0];
    let (head, body) = under(server, FaultKind::Truncated);
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    assert!(body.len() < length && body.starts_with("<response>"));

    let (head, body) = under(server, FaultKind::Huge { bytes: 300_000 });
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert!(body.len() > 300_000 && body.contains("</message></response>"));

    let more_than = |fault: FaultKind, bytes: usize, starts: &str| {
        server.set_fault(fault);
        let mut stream = connect(server).unwrap();
        stream.write_all(ask(server).as_bytes()).unwrap();
        let mut all = vec![0; bytes];
        stream.read_exact(&mut all).unwrap();
        let text = String::from_utf8(all).unwrap();
        assert!(text.starts_with(starts));
        text
    };
    let text = more_than(FaultKind::EndlessHeaders, 1 << 20, "HTTP/1.1 200 OK\r\nX-Endless-0");
    assert!(!text.contains("\r\n\r\n"));
    more_than(FaultKind::Huge { bytes: 0 }, 4 << 20, "HTTP/1.1 200 OK\r\n");
    server.clear_faults();
    assert!(healthy(server));
}

/// A request to the control door.
fn control(sim: &Sim, method: &str, path: &str, body: Value) -> (u16, Value) {
    let authority = sim.control_url().replace("http://", "");
    let address: SocketAddr = authority.parse().unwrap();
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn the_control_door_does_what_the_handles_do() {
    let sim =
        Sim::start(SimConfig { servers: 2, secret: Some("s3".into()), ..SimConfig::default() }).unwrap();
    let second = &sim.servers()[1];
    let post = |path: &str, body: Value| control(&sim, "POST", path, body);
    let fetch = |path: &str| control(&sim, "GET", path, Value::Null).1;

    let (status, _) = post("/servers/2/fault", json!({"kind": "forget", "times": 5}));
    assert_eq!(status, 200);
    assert_eq!(second.faults(), [Fault::new(FaultKind::Forget).times(5)]);
    let list = fetch("/servers");
    assert_eq!(list[1]["fault"]["kind"], "forget");
    assert_eq!(list[0]["fault"], Value::Null);
    assert_eq!(list[1]["secret"], "s3");
    assert_eq!(list[1]["url"], second.url());
    control(&sim, "DELETE", "/servers/2/fault", Value::Null);
    assert_eq!(second.faults(), []);

    get(second, "create", "meetingID=a%2Fb");
    let people = "/servers/2/meetings/a%2Fb/people";
    assert_eq!(post(people, json!({"add": 5})).0, 200);
    assert_eq!(post(people, json!({"remove": 2})).0, 200);
    assert_eq!(fetch("/servers/2")["people"], 3);
    post("/servers/2/meetings/a%2Fb/breakouts", json!({"add": 2}));
    assert_eq!(fetch("/servers/2/meetings")[2]["name"], "a/b (Room 2)");
    let requests = fetch("/servers/2/requests");
    assert!(
        requests[0]["target"]
            .as_str()
            .unwrap()
            .starts_with("/bigbluebutton/api/create?meetingID=a%2Fb&checksum=")
    );
    assert_eq!(fetch("/servers/2")["counts"]["create_new"], 1);
    assert_eq!(post("/servers/2/meetings/a%2Fb/forget", Value::Null).0, 200);
    assert_eq!(second.census().0, 2, "its rooms are still there");
    post("/servers/2/meetings", json!({"id": "x", "people": 2}));
    assert_eq!(post("/servers/2/meetings/x/end", Value::Null).0, 200);
    assert_eq!(post("/servers/2/meetings/x/end", Value::Null).0, 404);
    post("/servers/2/restart", Value::Null);
    assert_eq!(second.meetings(), []);

    assert_eq!(post("/servers/3/restart", Value::Null).0, 404);
    assert_eq!(post("/servers/0/restart", Value::Null).0, 404);
    assert_eq!(post("/servers/2/nonsense", Value::Null).0, 404);
    let (status, error) = post("/servers/2/fault", json!({"kind": "nonsense"}));
    assert_eq!(status, 400);
    assert!(error["error"].is_string());
}
