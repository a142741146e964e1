//! Requests that nobody should send: a clear refusal, nothing done, and the replica goes on.

use crate::assert_answer;
use crate::support::client::raw;
use crate::support::{Pool, sign};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_query_that_is_not_percent_encoded_utf8_is_a_bad_request() {
    let pool = Pool::start(1);
    for bad in ["%zz", "%", "%4", "%4g", "%ff", "%C3", "%ED%A0%80", "%C0%AF", "%F4%90%80%80", "%u00e9"] {
        for query in
            [format!("meetingID={bad}"), format!("meetingID=m1&{bad}=1"), format!("meetingID=m1&{bad}")]
        {
            for call in ["create", "isMeetingRunning", "getMeetings"] {
                let reply = pool.fetch("GET", &pool.target(call, &query), &[], b"");
                assert_eq!((reply.status, reply.body.as_str()), (400, ""), "{call}?{query}");
                assert!(reply.header("x-request-id").is_some());
            }
        }
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn a_form_that_is_not_percent_encoded_utf8_is_a_bad_request() {
    let pool = Pool::start(1);
    for bad in [&b"name=%zz"[..], b"name=%ff", b"name=\xff", b"\x00\x80=1", b"%"] {
        let reply = pool.post("create", "meetingID=m1", FORM, bad);
        assert_eq!((reply.status, reply.body.as_str()), (400, ""), "{bad:?}");
    }
    let part = b"--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n\xff\xfe\r\n--B--\r\n";
    let reply = pool.post("create", "meetingID=m1", "multipart/form-data; boundary=B", part);
    assert_eq!((reply.status, reply.body.as_str()), (400, ""));
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn raw_bytes_that_no_query_may_hold_are_a_bad_request() {
    let pool = Pool::start(1);
    for bad in [&b"\xff\xfe"[..], b"\xc3", b"\x01", b"\x7f", b"\"", b"<", b">"] {
        let mut request = b"GET /bigbluebutton/api/isMeetingRunning?meetingID=a".to_vec();
        request.extend_from_slice(bad);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
        let answer = raw(&pool.address(0), &request);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{bad:?}: {answer:?}");
    }
    pool.get("isMeetingRunning", "meetingID=m1").success();
}

#[test]
fn a_multipart_form_that_is_none_is_refused() {
    let pool = Pool::start(1);
    let fine = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nOne\r\n--B--\r\n";
    for (kind, body) in [
        ("multipart/form-data", fine),
        ("multipart/form-data; boundary=", fine),
        ("multipart/form-data; boundary=other", fine),
        ("multipart/form-data; boundary=B", "name=One"),
        ("multipart/form-data; boundary=B", &fine[..40]),
        ("multipart/form-data; boundary=B", &fine[..fine.len() - 9]),
    ] {
        let reply = pool.post("create", "meetingID=m1", kind, body.as_bytes());
        assert_eq!(reply.failed(), "badRequestBody", "{kind} {body}");
    }
    assert_answer!(pool.post("create", "meetingID=m1", "multipart/form-data", fine.as_bytes()));
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn a_form_field_that_holds_a_file_is_no_parameter() {
    let pool = Pool::start(1);
    let body =
        "--B\r\nContent-Disposition: form-data; name=\"name\"; filename=\"a.txt\"\r\n\r\nFile\r\n--B--\r\n";
    let kind = "multipart/form-data; boundary=B";
    pool.post("create", "meetingID=m1&name=Query", kind, body.as_bytes()).success();
    assert_eq!(pool.server(1).meeting("m1").unwrap().name, "Query");
}

const LIMIT: [(&str, &str); 1] = [("MAX_BODY_SIZE", "2000")];

#[test]
fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let pool = Pool::with(1, 1, &LIMIT);
    let body = |length: usize| format!("name={}", "x".repeat(length - 5));
    pool.post("create", "meetingID=m1", FORM, body(2000).as_bytes()).success();
    assert_answer!(pool.post("create", "meetingID=m2", FORM, body(2001).as_bytes()));
    assert_eq!(pool.server(1).counts().create, 1);
}

#[test]
fn a_form_of_countless_parameters_does_not_occupy_us() {
    let pool = Pool::start(1);
    // Nobody has signed this, but a form must be read to see that.
    let body: String = (0..200_000).map(|n| format!("p{n}&")).collect();
    let request = format!(
        "POST /bigbluebutton/api/create HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&pool.address(0), request.as_bytes());
    assert!(
        answer.contains("<returncode>FAILED</returncode>") || answer.starts_with("HTTP/1.1 4"),
        "{answer:?}"
    );
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_comes() {
    let pool = Pool::with(1, 1, &LIMIT);
    let target = pool.target("create", "meetingID=m1");
    for length in ["2001", "99999999999", "18446744073709551615"] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = raw(&pool.address(0), head.as_bytes());
        let refused =
            answer.contains("<messageKey>requestTooLarge</messageKey>") || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{length}: {answer}");
    }
}

/// As curl does it: goes on to read when the other side does not take more.
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending_a_large_body() {
    let pool = Pool::with(1, 1, &LIMIT);
    let body = "x".repeat(5_000_000);
    let signed = pool.target("create", "meetingID=m1");
    for (target, kind, key) in [
        (signed.as_str(), "text/xml", "requestTooLarge"),
        (signed.as_str(), "application/json", "unsupportedContentType"),
        ("/bigbluebutton/api/create?meetingID=m1", "text/xml", "checksumError"),
        ("/bigbluebutton/api/nothing", "text/xml", "unsupportedRequest"),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(&pool.address(0), request.as_bytes());
        assert!(answer.contains(&format!("<messageKey>{key}</messageKey>")), "{key}: {answer:?}");
    }
}

#[test]
fn a_body_in_pieces_is_refused_once_it_is_too_large() {
    let pool = Pool::with(1, 1, &LIMIT);
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut stream = TcpStream::connect(pool.address(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..3 {
        let _ = stream.write_all(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes());
    }
    // The body never ends; the answer comes all the same.
    let mut answer = [0; 1000];
    let n = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.contains("<messageKey>requestTooLarge</messageKey>"), "{answer}");
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn a_body_that_is_cut_off_creates_nothing() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    for (kind, framing) in [
        (FORM, "Content-Length: 100"),
        ("text/xml", "Content-Length: 100"),
        ("text/xml", "Transfer-Encoding: chunked"),
    ] {
        let body = if framing.starts_with("Content") { "name=One" } else { "64\r\nname=One" };
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n{body}");
        let mut stream = TcpStream::connect(pool.address(0)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains("SUCCESS"), "{answer}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
    pool.nothing_is_left_of("m1");
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn a_body_in_broken_pieces_is_refused() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for pieces in
        ["zz\r\n<a/>\r\n0\r\n\r\n", "fffffffffffffffff\r\n<a/>", "-1\r\n\r\n", "4\r\n<a/>XX0\r\n\r\n"]
    {
        let answer = raw(&pool.address(0), format!("{head}{pieces}").as_bytes());
        assert!(!answer.contains("SUCCESS"), "{pieces}: {answer}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn what_is_not_http_is_refused() {
    let mut pool = Pool::start(1);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x01\x02\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(pool.address(0)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
    assert!(pool.replicas[0].is_alive());
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn heads_without_measure_are_refused() {
    let pool = Pool::start(1);
    let long = format!("GET /?{} HTTP/1.1\r\nHost: sl\r\n\r\n", "x".repeat(300_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: sl\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    let many = format!("GET / HTTP/1.1\r\nHost: sl\r\n{}\r\n", "X-A: b\r\n".repeat(5000));
    for request in [long, wide, many] {
        let answer = raw(&pool.address(0), request.as_bytes());
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{}",
            &answer[..answer.len().min(300)]
        );
    }
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn a_request_smuggled_behind_two_lengths_is_not_answered() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "create", "meetingID=smuggled", &pool.secret);
    let hidden = format!(
        "GET /bigbluebutton/api/create?meetingID=smuggled&checksum={sum} HTTP/1.1\r\nHost: sl\r\n\r\n"
    );
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        pool.target("create", "meetingID=m1"),
        hidden.len() + 5,
    );
    raw(&pool.address(0), request.as_bytes());
    assert_eq!(pool.holder("smuggled"), None);
}

#[test]
fn a_call_that_needs_no_checksum_reads_no_large_form_for_one() {
    let pool = Pool::start(1);
    let request = b"POST /bigbluebutton/api?checksum=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2000000\r\n\r\n";
    let answer = crate::support::client::raw(&pool.address(0), request);
    assert!(answer.contains("requestTooLarge"), "{answer}");
}
