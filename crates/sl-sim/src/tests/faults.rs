//! The faults, over TCP.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::client::*;
use crate::*;

const RUNNING: &str = "meetingID=mm";

fn is_running_request(server: &SimServer) -> String {
    get_request(server, "isMeetingRunning", RUNNING)
}

/// Sends isMeetingRunning under a fault; the response's head and body.
fn send_with_fault(server: &SimServer, fault: impl Into<Fault>) -> (String, String) {
    server.set_fault(fault);
    send(server, &is_running_request(server))
}

fn is_healthy(server: &SimServer) -> bool {
    get(server, "isMeetingRunning", RUNNING).contains("<running>false</running>")
}

#[test]
fn refuse_closes_the_port_and_clearing_reopens_it() {
    let sim = Sim::start(SimConfig { threads: 3, ..SimConfig::default() }).unwrap();
    let server = &sim.servers()[0];
    for _ in 0..3 {
        let mut open = connect(server).unwrap();
        assert!(is_healthy(server));
        server.set_fault(FaultKind::Refuse);
        for _ in 0..10 {
            let refused = connect(server).expect_err("refused");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        // The open connection is dropped.
        assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)));
        server.clear_faults();
        assert!(is_healthy(server));
    }
    server.set_fault(FaultKind::Refuse);
    server.set_fault(FaultKind::Garbage);
    assert!(connect(server).is_ok(), "another fault replaces refuse");
}

#[test]
fn reset_sends_rst_before_or_after_the_call() {
    let sim = start_one();
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
fn fault_applies_to_keep_alive_connections() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let mut stream = connect(server).unwrap();
    let request = is_running_request(server).replace("Connection: close\r\n", "");
    let mut buffer = [0; 1024];
    stream.write_all(request.as_bytes()).unwrap();
    assert!(stream.read(&mut buffer).unwrap() > 0);
    server.set_fault(FaultKind::Reset);
    stream.write_all(request.as_bytes()).unwrap();
    let error = stream.read(&mut buffer).expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn hang_never_responds_and_hang_after_executes_the_call() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let create = get_request(server, "create", RUNNING);
    for (fault, meetings) in [(FaultKind::Hang, 0), (FaultKind::HangAfter, 1)] {
        server.set_fault(fault);
        let before = server.last_requests().len();
        let mut stream = connect(server).unwrap();
        stream.write_all(create.as_bytes()).unwrap();
        eventually("the request is recorded", || server.last_requests().len() > before);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = stream.read(&mut [0]).expect_err("no response");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        eventually("the call is executed", || server.meetings().len() == meetings);
    }
}

#[test]
fn slow_delays_the_response_and_limits_apply() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let slow = Fault::new(FaultKind::Slow { ms: 80 }).on(["isMeetingRunning"]).times(1);
    server.set_fault(slow.after_ms(40));
    let start = Instant::now();
    get(server, "getMeetings", "");
    assert_eq!(server.faults().len(), 1, "another call does not count");
    assert!(is_healthy(server));
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(server.faults(), [], "the limit is reached");
    server.set_fault(Fault::new(FaultKind::Full).on(["create"]).times(2));
    for key in ["maxConcurrentMeetings", "maxConcurrentMeetings", "<messageKey></messageKey>"] {
        assert!(get(server, "create", RUNNING).contains(key));
    }
}

#[test]
fn every_kind_of_wrong_response() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let contains = |fault: FaultKind, text: &str| {
        let (head, body) = send_with_fault(server, fault);
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
    let (head, body) = send_with_fault(server, FaultKind::CutOff);
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.starts_with("<response><returncode>") && !body.contains("</response>"), "{body}");
    let failed = FaultKind::Failed { message_key: "some<Key".into(), message: "why".into() };
    contains(failed, "<messageKey>some&lt;Key</messageKey><message>why</message>");
    let length = FaultKind::BadLength { value: "12".into() };
    server.set_fault(length);
    let mut stream = connect(server).unwrap();
    stream.write_all(is_running_request(server).as_bytes()).unwrap();
    let mut text = String::new();
    while !text.ends_with("</response>") {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    assert!(text.contains("\r\nContent-Length: 12\r\n"));
    server.set_fault(FaultKind::Garbage);
    let garbage = exchange(server, &is_running_request(server)).unwrap();
    assert!(String::from_utf8(garbage).is_err());
}

#[test]
fn truncated_huge_and_endless_responses() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let (head, body) = send_with_fault(server, FaultKind::Truncated);
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    assert!(body.len() < length && body.starts_with("<response>"));

    let (head, body) = send_with_fault(server, FaultKind::Huge { bytes: 300_000 });
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert!(body.len() > 300_000 && body.contains("</message></response>"));

    let more_than = |fault: FaultKind, bytes: usize, starts: &str| {
        server.set_fault(fault);
        let mut stream = connect(server).unwrap();
        stream.write_all(is_running_request(server).as_bytes()).unwrap();
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
    assert!(is_healthy(server));
}
