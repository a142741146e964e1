//! Slow clients: disconnected at the deadline, without delaying other clients.

use crate::support::client::{connect, read_responses, send_raw};
use crate::support::{Pool, within};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn unfinished_request_head_times_out() {
    let pool = Pool::with(0, 1, &[("HEADER_TIMEOUT", "0.3")]);
    for head in ["", "GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n", "G"] {
        let mut stream = connect(&pool.address(0));
        stream.write_all(head.as_bytes()).unwrap();
        let started = Instant::now();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
        assert!(started.elapsed() < Duration::from_secs(5), "{head:?}: {:?}", started.elapsed());
    }
    assert_eq!(pool.fetch("GET", "/health_check", &[], b"").status, 200);
}

#[test]
fn trickling_request_head_times_out() {
    let pool = Pool::with(0, 1, &[("HEADER_TIMEOUT", "0.5")]);
    let mut stream = connect(&pool.address(0));
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    within(Duration::from_secs(8), "the connection is closed", || {
        let _ = stream.write_all(b"X: y\r\n");
        !matches!(stream.read(&mut [0; 100]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    });
}

#[test]
fn idle_connection_is_closed() {
    let pool = Pool::with(0, 1, &[("HEADER_TIMEOUT", "0.3")]);
    let mut stream = connect(&pool.address(0));
    stream.write_all(b"GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
    read_responses(&mut stream, 1);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn missing_body_is_rejected_at_deadline() {
    let pool = Pool::with(1, 1, &[("BODY_TIMEOUT", "0.3")]);
    let target = pool.target("create", "meetingID=m1");
    for kind in ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\nname="
        );
        let response = send_raw(&pool.address(0), head.as_bytes());
        assert!(response.contains("<messageKey>badRequestBody</messageKey>"), "{response}");
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn trickling_body_is_rejected_at_deadline() {
    let pool = Pool::with(1, 1, &[("BODY_TIMEOUT", "0.5")]);
    let mut stream = connect(&pool.address(0));
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut response = Vec::new();
    within(Duration::from_secs(8), "a response arrives", || {
        let _ = stream.write_all(b"x");
        let mut chunk = [0; 1000];
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => response.extend_from_slice(&chunk[..n]),
            _ => {}
        }
        String::from_utf8_lossy(&response).contains("badRequestBody")
    });
}

#[test]
fn silent_clients_do_not_block_others() {
    let pool = Pool::start(1);
    let silent: Vec<_> = (0..300).map(|_| connect(&pool.address(0))).collect();
    for n in 0..5 {
        pool.get("create", &format!("meetingID=m{n}")).success();
    }
    drop(silent);
}
