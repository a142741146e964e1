//! Connections from clients and nginx: headers, hosts, keep-alive, unix sockets.

use crate::assert_response;
use crate::support::Pool;
use crate::support::client::{connect, fetch, read_responses, send_raw};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn connections_accepted_during_startup_are_answered() {
    let mut pool = Pool::with(0, 0, &[]);
    for _ in 0..12 {
        let port = crate::support::free_port();
        let early_clients: Vec<_> = (0..3)
            .map(|_| {
                std::thread::spawn(move || {
                    let deadline = Instant::now() + Duration::from_secs(10);
                    let mut stream = loop {
                        match TcpStream::connect(("127.0.0.1", port)) {
                            Ok(stream) => break stream,
                            Err(e) => assert!(Instant::now() < deadline, "{e}"),
                        }
                    };
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    stream.write_all(b"GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
                    read_responses(&mut stream, 1);
                })
            })
            .collect();
        pool.spawn(&format!("tcp://127.0.0.1:{port}"), port, &[]);
        for client in early_clients {
            client.join().unwrap();
        }
        pool.replicas.clear();
    }
}

#[test]
fn valid_request_id_is_returned() {
    let pool = Pool::with(0, 1, &[]);
    for target in [
        "/bigbluebutton/api",
        "/nothing",
        "/health_check",
        "/bigbluebutton/api/end?%zz",
        "/bigbluebutton/api/end",
    ] {
        let reply = pool.fetch("GET", target, &[("x-request-id", "a-B_1.2")], b"");
        assert_eq!(reply.header("x-request-id"), Some("a-B_1.2"), "{target}");
    }
}

#[test]
fn invalid_request_id_is_replaced() {
    let pool = Pool::with(0, 1, &[]);
    let mut seen = Vec::new();
    for given in ["", "a b", "<x>", "a\"b", "ü", &"x".repeat(129)] {
        let reply = pool.fetch("GET", "/bigbluebutton/api", &[("x-request-id", given)], b"");
        let made = reply.header("x-request-id").unwrap().to_owned();
        assert!(made.len() == 36 && !seen.contains(&made), "{given}: {made}");
        seen.push(made);
    }
    assert_eq!(fetch("GET", &pool.url_at(0, "end", ""), &[], b"").header("x-request-id").unwrap().len(), 36);
}

#[test]
fn every_response_has_scalelite_security_headers() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    for reply in [
        pool.get("create", "meetingID=m1"),
        pool.get("getMeetings", ""),
        pool.get("join", "meetingID=m1&fullName=A&role=VIEWER"),
        pool.get("end", "meetingID=%zz"),
        pool.fetch("GET", "/health_check", &[], b""),
        pool.fetch("GET", "/nothing", &[], b""),
    ] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply:?}");
        assert_eq!(reply.header("referrer-policy"), Some("strict-origin-when-cross-origin"));
    }
}

#[test]
fn only_url_host_and_its_subdomains_are_served() {
    let pool = Pool::with(1, 1, &[("URL_HOST", "sl.example.org")]);
    let get = |target: &str, host: &str| pool.fetch("GET", target, &[("host", host)], b"");
    for host in [
        "sl.example.org",
        "SL.Example.org",
        "sl.example.org:8443",
        "tenant.sl.example.org",
        "sl.example.org.",
    ] {
        assert_eq!(get("/bigbluebutton/api", host).status, 200, "{host}");
    }
    for host in [
        "example.org",
        "evilsl.example.org",
        "sl.example.org.evil",
        "127.0.0.1",
        "sl.example.org@evil",
        "x:y:z",
    ] {
        for target in ["/bigbluebutton/api", "/nothing", "/bigbluebutton/api/create?checksum=x"] {
            let reply = get(target, host);
            assert_eq!((reply.status, reply.body.as_str()), (403, ""), "{host} {target}");
        }
        assert_eq!(get("/health_check", host).body, "success", "{host}");
    }
    let without = send_raw(&pool.address(0), b"GET /bigbluebutton/api HTTP/1.0\r\n\r\n");
    assert!(without.starts_with("HTTP/1.0 403") || without.starts_with("HTTP/1.1 403"), "{without}");
}

#[test]
fn keep_alive_connection_serves_several_requests() {
    let pool = Pool::start(1);
    let mut stream = connect(&pool.address(0));
    for n in 0..5 {
        let target = pool.target("create", &format!("meetingID=m{n}"));
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
        let response = read_responses(&mut stream, 1);
        assert!(response.contains(&format!("<meetingID>m{n}</meetingID>")), "{response}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let pool = Pool::start(1);
    let mut stream = connect(&pool.address(0));
    let requests: String = (0..5)
        .map(|n| {
            format!("GET {} HTTP/1.1\r\nHost: sl\r\n\r\n", pool.target("create", &format!("meetingID=m{n}")))
        })
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    let responses = read_responses(&mut stream, 5);
    let positions: Vec<_> = (0..5).map(|n| responses.find(&format!("<meetingID>m{n}<")).unwrap()).collect();
    assert!(positions.is_sorted(), "{responses}");
}

#[test]
fn response_does_not_wait_for_rest_of_pipelined_request() {
    let pool = Pool::with(0, 1, &[]);
    let mut stream = connect(&pool.address(0));
    stream.write_all(b"GET /bigbluebutton/api HTTP/1.1\r\nHost: sl\r\n\r\nGET /bigbluebutton/a").unwrap();
    read_responses(&mut stream, 1);
    stream.write_all(b"pi HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
    read_responses(&mut stream, 1);
}

#[test]
fn unusual_request_forms_are_accepted() {
    let pool = Pool::start(1);
    let target = pool.target("isMeetingRunning", "meetingID=m1");
    for head in [
        format!("GET {target} HTTP/1.0\r\n\r\n"),
        format!("GET http://sl{target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nhOsT: sl\r\nCONNECTION: Close\r\n\r\n"),
        format!("\r\nGET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
    ] {
        let response = send_raw(&pool.address(0), head.as_bytes());
        assert!(response.contains("<running>false</running>"), "{head}: {response}");
    }
}

#[test]
fn expect_100_continue_is_answered() {
    let pool = Pool::start(1);
    let mut stream = connect(&pool.address(0));
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"<modules/>").unwrap();
    assert!(read_responses(&mut stream, 1).contains("SUCCESS"));
}

#[test]
fn replica_recovers_from_running_out_of_file_descriptors() {
    let mut pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    let pid = pool.replicas[0].child.id().to_string();
    let limit = ["--pid", pid.as_str(), "--nofile=60:60"];
    assert!(std::process::Command::new("prlimit").args(limit).status().unwrap().success());
    let many: Vec<_> = (0..150).map(|_| connect(&pool.address(0))).collect();
    crate::support::eventually("the replica logs it", || pool.replicas[0].log().contains("cannot accept"));
    drop(many);
    assert!(pool.replicas[0].is_alive());
    pool.get("isMeetingRunning", "meetingID=m1").success();
    pool.get("create", "meetingID=m2").success();
}

fn request_over_unix(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn replica_serves_on_unix_socket() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("sl.sock");
    let mut pool = Pool::with(1, 0, &[]);
    let n = pool.serve_unix(&path, &[]);
    let target = pool.target("create", "meetingID=m1");
    let response =
        request_over_unix(&path, &format!("GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n"));
    assert!(response.contains("<meetingID>m1</meetingID>"), "{response}");
    pool.replicas[n].terminate();
    assert_eq!(pool.replicas[n].wait_for_exit(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn stale_unix_socket_is_replaced() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("sl.sock");
    let mut pool = Pool::with(1, 0, &[]);
    let n = pool.serve_unix(&path, &[]);
    pool.replicas[n].child.kill().unwrap();
    pool.replicas[n].child.wait().unwrap();
    assert!(path.exists());
    pool.serve_unix(&path, &[]);
    let response =
        request_over_unix(&path, "GET /health_check HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
    assert!(response.ends_with("success"), "{response}");
}

#[test]
fn non_http_client_leaves_no_log_line() {
    let pool = Pool::with(0, 1, &[]);
    send_raw(&pool.address(0), b"\x16\x03\x01\x00\x00\r\n\r\n");
    assert_response!(
        pool.fetch("GET", "/bigbluebutton/api", &[], b""),
        xml @"<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>\
              </response>"
    );
    // Only the lines of the start.
    let log = pool.replicas[0].log();
    assert!(log.lines().all(|line| line.contains(" INFO ")), "{log}");
    assert!(log.lines().count() <= 2, "{log}");
}
