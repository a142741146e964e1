//! BBB servers that fail in every way: calls get a clear error in time, and the replica keeps working.

use crate::support::client::fetch;
use crate::support::{CannedServer, Pool, Reply, SHORT_TIMEOUTS};
use sl_sim::FaultKind;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Calls to a meeting's server, and the error message when it fails.
const CALLS: [(&str, &str, &str); 6] = [
    ("isMeetingRunning", "", "Unable to access meeting on server."),
    ("getMeetingInfo", "", "Unable to access meeting on server."),
    ("sendChatMessage", "&message=x", "Unable to access meeting on server."),
    ("join", "&fullName=A&role=VIEWER&redirect=false", "Unable to access meeting on server."),
    ("insertDocument", "", "Unable to insert document on server."),
    ("create", "&moderatorPW=mp", "Unable to create meeting on server."),
];

fn call_on_m1(pool: &Pool, call: &str, more: &str) -> Reply {
    let query = format!("meetingID=m1{more}");
    match call {
        "insertDocument" => pool.post(call, &query, "text/xml", b"<modules/>"),
        _ => pool.get(call, &query),
    }
}

/// A pool with meeting m1 on its one server.
fn meeting(variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(1, 1, variables);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool
}

/// Makes all calls concurrently; each returns the error of the table. Afterwards everything works again.
fn assert_calls_fail_cleanly(kind: FaultKind) {
    let mut pool = meeting(&SHORT_TIMEOUTS);
    pool.server(1).set_fault(kind);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (call, more, message) in CALLS {
            let pool = &pool;
            scope.spawn(move || {
                let reply = call_on_m1(pool, call, more);
                assert_eq!(reply.failed(), "internalError", "{call}");
                assert_eq!(reply.xml("message"), Some(message), "{call}");
            });
        }
    });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    pool.server(1).clear_faults();
    // It may have been marked offline in the meantime.
    pool.sl_ok(&["poll"]);
    pool.assert_meeting_recorded("m1");
    // A meeting without participants takes no chat messages.
    pool.server(1).add_people("m1", 1);
    for (call, more, _) in CALLS {
        call_on_m1(&pool, call, more).success();
    }
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn calls_fail_cleanly_when_server_is_down() {
    assert_calls_fail_cleanly(FaultKind::Refuse);
}

#[test]
fn calls_fail_cleanly_when_server_hangs() {
    assert_calls_fail_cleanly(FaultKind::Hang);
}

#[test]
fn calls_fail_cleanly_when_server_resets_connections() {
    assert_calls_fail_cleanly(FaultKind::Reset);
}

#[test]
fn calls_fail_cleanly_when_server_returns_500() {
    assert_calls_fail_cleanly(FaultKind::Status { code: 500 });
}

#[test]
fn calls_fail_cleanly_when_proxy_of_server_returns_502() {
    assert_calls_fail_cleanly(FaultKind::Status { code: 502 });
}

#[test]
fn calls_fail_cleanly_when_server_returns_404() {
    assert_calls_fail_cleanly(FaultKind::Status { code: 404 });
}

#[test]
fn calls_fail_cleanly_when_server_redirects() {
    assert_calls_fail_cleanly(FaultKind::Status { code: 302 });
}

#[test]
fn calls_fail_cleanly_when_server_returns_garbage() {
    assert_calls_fail_cleanly(FaultKind::Garbage);
}

#[test]
fn calls_fail_cleanly_when_server_returns_html() {
    assert_calls_fail_cleanly(FaultKind::NotXmlHtml);
}

#[test]
fn calls_fail_cleanly_when_returncode_is_missing() {
    assert_calls_fail_cleanly(FaultKind::NoReturncode);
}

#[test]
fn calls_fail_cleanly_when_response_headers_never_end() {
    assert_calls_fail_cleanly(FaultKind::EndlessHeaders);
}

#[test]
fn calls_fail_cleanly_when_xml_is_deeply_nested() {
    assert_calls_fail_cleanly(FaultKind::DeepXml { depth: 100_000 });
}

#[test]
fn calls_fail_cleanly_when_xml_entities_expand_to_gigabytes() {
    assert_calls_fail_cleanly(FaultKind::Entities);
}

#[test]
fn calls_fail_cleanly_when_response_is_truncated() {
    assert_calls_fail_cleanly(FaultKind::Truncated);
}

#[test]
fn calls_fail_cleanly_when_content_length_is_not_a_number() {
    assert_calls_fail_cleanly(FaultKind::BadLength { value: "twelve".into() });
}

#[test]
fn calls_fail_cleanly_when_response_is_shorter_than_content_length() {
    assert_calls_fail_cleanly(FaultKind::BadLength { value: "1000000".into() });
}

#[test]
fn calls_fail_cleanly_when_response_is_longer_than_content_length() {
    assert_calls_fail_cleanly(FaultKind::BadLength { value: "20".into() });
}

#[test]
fn gigabyte_response_is_rejected_without_buffering() {
    let pool = meeting(&[]);
    let before = pool.replicas[0].memory();
    pool.server(1).set_fault(FaultKind::Huge { bytes: 1 << 30 });
    for _ in 0..3 {
        let reply = pool.get("getMeetingInfo", "meetingID=m1");
        assert_eq!(reply.failed(), "internalError");
    }
    assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"));
    let more = pool.replicas[0].memory() - before;
    assert!(more < 100 * 1024, "{more} KiB more");
    pool.server(1).clear_faults();
    pool.get("getMeetingInfo", "meetingID=m1").success();
}

#[test]
fn max_answer_size_limits_server_responses() {
    let pool = meeting(&[("MAX_ANSWER_SIZE", "65536")]);
    pool.server(1).set_fault(FaultKind::Huge { bytes: 60_000 });
    pool.get("getMeetingInfo", "meetingID=m1").success();
    pool.server(1).set_fault(FaultKind::Huge { bytes: 66_000 });
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
}

#[test]
fn trickling_response_is_aborted_at_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<response>");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let pool = meeting(&SHORT_TIMEOUTS);
    let url = format!("http://127.0.0.1:{port}/bigbluebutton/api");
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", &url]);
    let started = Instant::now();
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn element_with_150000_attributes_is_parsed_in_time() {
    let attributes: String = (0..150_000).map(|n| format!(" a{n}=''")).collect();
    let body = format!("<response><returncode>SUCCESS</returncode><x{attributes}/></response>");
    let canned = CannedServer::start(body.as_bytes());
    let pool = meeting(&[]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", &canned.url()]);
    let target = pool.target("getMeetingInfo", "meetingID=m1");
    // Success and failure are both fine; raw_get waits for ten seconds.
    let response = pool.raw_get(&target);
    assert!(response.contains("<returncode>"), "no response: {response:?}");
}

#[test]
fn invalid_server_url_fails_calls_without_crash() {
    let mut pool = meeting(&[]);
    for url in [
        "",
        "nonsense",
        "ftp://127.0.0.1/x",
        "http://",
        "http://[::1",
        "http://a b/",
        "http://127.0.0.1:99999/x",
    ] {
        pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", url]);
        assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError", "{url}");
        assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"), "{url}");
        pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
    }
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn server_refusal_keeps_its_message_key() {
    let pool = meeting(&[]);
    let (message_key, message) = ("ownKey".to_owned(), "Own <message> & more".to_owned());
    pool.server(1).set_fault(FaultKind::Failed { message_key, message });
    for (call, more, _) in CALLS {
        let reply = call_on_m1(&pool, call, more);
        assert_eq!(reply.failed(), "ownKey", "{call}");
        assert_eq!(reply.xml("message"), Some("Own &lt;message&gt; &amp; more"), "{call}");
    }
}

#[test]
fn hanging_server_does_not_delay_calls_to_other_servers() {
    let pool = Pool::with(2, 1, &[("RESPONSE_TIMEOUT", "30")]);
    for id in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={id}")).success();
    }
    let (stuck, free) = (pool.holder("m1").unwrap(), pool.holder("m2").unwrap());
    assert_ne!(stuck, free);
    pool.server(stuck).set_fault(FaultKind::Hang);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(pool.address(0)).unwrap();
            let target = pool.target("getMeetingInfo", "meetingID=m1");
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    crate::support::eventually("all requests hang", || pool.server(stuck).counts().get_meeting_info == 50);
    let started = Instant::now();
    for _ in 0..20 {
        fetch("GET", &pool.url_at(0, "getMeetingInfo", "meetingID=m2"), &[], b"").success();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop(waiting);
}
