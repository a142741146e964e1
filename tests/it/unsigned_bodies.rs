//! Bodies that no checksum covers: they change nothing that is signed, and cost little.

use crate::support::client::{connect, send_raw};
use crate::support::{Pool, RecordingEnv, eventually, parameter, sign};
use std::io::{Read, Write};
use std::net::TcpStream;

const FORM: &str = "application/x-www-form-urlencoded";

/// Both kinds of form with the same fields.
fn forms(fields: &[(&str, &str)]) -> [(&'static str, String); 2] {
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut parts = String::new();
    for (name, value) in fields {
        parts += &format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    [(FORM, pairs.join("&")), ("multipart/form-data; boundary=B", parts + "--B--\r\n")]
}

#[test]
fn form_cannot_end_a_meeting_that_the_query_does_not_name() {
    let pool = Pool::start(1);
    for (kind, body) in forms(&[("meetingID", "victim"), ("password", "mp")]) {
        pool.get("create", "meetingID=victim&moderatorPW=mp").success();
        pool.get("create", "meetingID=mine&moderatorPW=mp").success();
        pool.post("end", "meetingID=mine", kind, body.as_bytes()).success();
        assert!(pool.server(1).meeting("victim").is_some(), "{kind}");
        assert!(pool.server(1).meeting("mine").is_none(), "{kind}");
        pool.get("getMeetingInfo", "meetingID=victim").success();
    }
}

#[test]
fn form_cannot_change_what_is_forwarded() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=victim").success();
    let fields = [("meetingID", "victim"), ("MEETINGID", "victim"), ("meetingid", "victim"), ("added", "1")];
    for call in ["create", "isMeetingRunning", "getMeetingInfo"] {
        for (kind, body) in forms(&fields) {
            pool.post(call, "meetingID=mine", kind, body.as_bytes()).success();
            let request = pool.server(1).last_request(call).unwrap();
            let sent = format!("{}{}", request.query(), request.body);
            assert_eq!(parameter(&request, "meetingID").as_deref(), Some("mine"), "{call} {kind}");
            assert!(!sent.contains("victim") && sent.contains("added=1"), "{call} {kind}: {sent}");
        }
    }
}

#[test]
fn form_cannot_choose_other_recordings() {
    let env = RecordingEnv::start();
    env.add("r1", "mine", 1);
    env.add("r2", "victim", 2);
    let fields = [
        ("recordID", "r2"),
        ("RECORDID", "r2"),
        ("meetingID", "victim"),
        ("publish", "true"),
        ("meta_name", "evil"),
        ("META_NAME", "evil"),
        ("meta_Name", "evil"),
    ];
    for (kind, body) in forms(&fields) {
        let ask = |call: &str, query: &str| env.pool.post(call, query, kind, body.as_bytes()).success();
        let listed = ask("getRecordings", "recordID=r1&meetingID=mine&meta_name=");
        assert!(!listed.body.contains("r2"), "{listed:?}");
        let list = ask("getRecordings", "recordID=r1&meetingID=mine&meta_bbb-origin=moodle&meta_name=%25");
        assert!(!list.body.contains("r2"), "{list:?}");
        assert_eq!(ask("publishRecordings", "recordID=r1&publish=false").xml("published"), Some("false"));
        assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
        ask("publishRecordings", "recordID=r1&publish=TRUE");
        ask("updateRecordings", "recordID=r1&meta_NAME=mine");
        let names = "SELECT r.record_id || '=' || m.value FROM metadata m JOIN recordings r ON r.id = m.recording_id \
                     WHERE m.key = 'name'";
        assert_eq!(env.postgres.sql(names), "r1=mine");
    }
    for (n, (kind, body)) in forms(&fields).into_iter().enumerate() {
        let id = format!("gone{n}");
        env.add(&id, "mine", 3);
        env.pool.post("deleteRecordings", &format!("recordID={id}"), kind, body.as_bytes()).success();
    }
    let mut left = env.record_ids("");
    left.sort();
    assert_eq!(left, ["r1", "r2"]);
}

#[test]
fn values_of_a_list_are_all_forwarded() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&a[]=1&a%5B%5D=2&a=3").success();
    let query = pool.server(1).last_request("create").unwrap().query().to_owned();
    assert!(query.contains("&a%5B%5D=1&a%5B%5D=2&a=3&"), "{query}");
    pool.post("create", "meetingID=m1&a[]=1&a[]=2", FORM, b"a[]=4&b[]=5&b[]=6").success();
    let query = pool.server(1).last_request("create").unwrap().query().to_owned();
    assert!(query.contains("&a%5B%5D=1&a%5B%5D=2&b%5B%5D=5&b%5B%5D=6&"), "{query}");
}

#[test]
fn body_checksum_is_refused_by_setting() {
    let pool = Pool::with(1, 1, &[("ALLOW_BODY_CHECKSUM", "false")]);
    let body = format!("meetingID=m1&checksum={}", sign("sha1", "create", "", &pool.secret));
    let reply = pool.fetch("POST", "/bigbluebutton/api/create", &[("content-type", FORM)], body.as_bytes());
    assert_eq!(reply.failed(), "checksumError");
    pool.post("create", "", FORM, b"meetingID=m1").success();
}

/// Opens a request for a form without a checksum in its query, and sends all of the form but its last byte.
fn begin_form(address: &str, size: usize) -> TcpStream {
    let mut stream = connect(address);
    let head = format!(
        "POST /bigbluebutton/api/create HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The replica may have refused it already.
    let _ = stream.write_all(&vec![b'a'; size - 1]);
    stream
}

#[test]
fn unfinished_unsigned_bodies_hold_bounded_memory() {
    let pool = Pool::start(1);
    let before = pool.replicas[0].memory();
    let size = 256 * 1024;
    let mut streams: Vec<_> = (0..300).map(|_| begin_form(&pool.address(0), size)).collect();
    // Of 300, at most 128 of this size are held; the others are answered and closed.
    let is_held = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let mut response = [0; 600];
        match stream.read(&mut response) {
            Ok(n) => {
                let response = String::from_utf8_lossy(&response[..n]);
                assert!(response.contains("<messageKey>internalError</messageKey>"), "{response}");
                false
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    eventually("all others are refused", || {
        streams.retain_mut(is_held);
        streams.len() <= 128
    });
    assert!(streams.len() > 64, "{}", streams.len());
    let held = pool.replicas[0].memory().saturating_sub(before);
    assert!(held < 150_000_000, "{held}");
    // Signed requests are served meanwhile, with bodies too; and all others once the slow ones are gone.
    pool.post("create", "meetingID=m1", FORM, b"name=One").success();
    drop(streams);
    let body = format!("meetingID=m2&checksum={}", sign("sha1", "create", "", &pool.secret));
    let headers = [("content-type", FORM)];
    eventually("unsigned bodies are read again", || {
        let reply = pool.fetch("POST", "/bigbluebutton/api/create", &headers, body.as_bytes());
        reply.xml("returncode") == Some("SUCCESS")
    });
}

#[test]
fn unsigned_form_over_limit_is_refused_before_it_is_read() {
    let pool = Pool::start(1);
    let head = format!(
        "POST /bigbluebutton/api/create HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nContent-Length: 262145\r\n\r\n"
    );
    let mut stream = connect(&pool.address(0));
    stream.write_all(head.as_bytes()).unwrap();
    let response = crate::support::client::read_responses(&mut stream, 1);
    assert!(response.contains("<messageKey>requestTooLarge</messageKey>"), "{response}");
    assert!(response.contains("262144 bytes that are accepted unless the checksum is in the query"));
    // The same with a checksum in the query, which is verified first.
    let welcome = format!("welcome={}", "w".repeat(300_000));
    pool.post("create", "meetingID=m1", FORM, welcome.as_bytes()).success();
}

#[test]
fn empty_chunked_post_is_an_empty_post() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    for kind in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/xml\r\n",
        "Content-Type: multipart/form-data; boundary=B\r\n",
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: sl\r\n{kind}Transfer-Encoding: chunked\r\n\r\n");
        let response = send_raw(&pool.address(0), format!("{head}0\r\n\r\n").as_bytes());
        assert!(response.contains("<returncode>SUCCESS</returncode>"), "{kind}{response}");
    }
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
    let response = send_raw(&pool.address(0), head.as_bytes());
    assert!(response.contains("unsupportedContentType"), "{response}");
}

#[test]
fn connections_over_limit_are_answered_and_closed() {
    let mut pool = Pool::with(1, 1, &[("MAX_CONNECTIONS", "20")]);
    let mut open: Vec<_> = (0..40).map(|_| connect(&pool.address(0))).collect();
    let target = pool.target("create", "meetingID=m1");
    let request = format!("GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
    // Not before the replica has accepted enough of them.
    eventually("a connection is refused", || {
        open.push(connect(&pool.address(0)));
        let response = send_raw(&pool.address(0), request.as_bytes());
        response.starts_with("HTTP/1.1 503 ") && response.ends_with("\r\n\r\ntoo many connections\n")
    });
    assert!(pool.replicas[0].log().contains("MAX_CONNECTIONS"), "{}", pool.replicas[0].log());
    assert!(pool.replicas[0].log().matches("MAX_CONNECTIONS").count() <= 16);
    drop(open);
    eventually("connections are accepted again", || {
        send_raw(&pool.address(0), request.as_bytes()).contains("SUCCESS")
    });
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn bare_line_feeds_in_request_heads_are_refused() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    for head in [
        format!("GET {target} HTTP/1.1\nHost: sl\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: sl\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\n"),
        format!("GET {target} HTTP/1.1\r\nHost: sl\r\nX: a\nY: b\r\n\r\n"),
        format!("\nGET {target} HTTP/1.1\r\nHost: sl\r\n\r\n"),
    ] {
        let response = send_raw(&pool.address(0), head.as_bytes());
        assert!(response.starts_with("HTTP/1.1 400 "), "{head:?}: {response}");
    }
    // In the head of a later request of the connection, after a body with line feeds.
    let first = pool.target("getMeetings", "");
    let requests = format!(
        "POST {first} HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nContent-Length: 3\r\n\r\n\na\nGET {target} HTTP/1.1\nHost: sl\r\n\r\n"
    );
    let response = send_raw(&pool.address(0), requests.as_bytes());
    assert!(response.contains("noMeetings") && response.contains("HTTP/1.1 400 "), "{response}");
    // After a chunked body there is no later request.
    let requests = format!(
        "POST {first} HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\nGET {target} HTTP/1.1\r\nHost: sl\r\n\r\n"
    );
    let response = send_raw(&pool.address(0), requests.as_bytes());
    assert!(response.contains("noMeetings") && response.contains("connection: close"), "{response}");
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    assert_eq!(pool.server(1).counts().create, 0);
}
