//! Malformed requests: a clear error, no effect, and the replica keeps working.

use crate::assert_response;
use crate::support::client::send_raw;
use crate::support::{Pool, sign};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn query_with_invalid_percent_encoding_gets_400() {
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
fn form_with_invalid_percent_encoding_gets_400() {
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
fn raw_bytes_invalid_in_query_get_400() {
    let pool = Pool::start(1);
    for bad in [&b"\xff\xfe"[..], b"\xc3", b"\x01", b"\x7f", b"\"", b"<", b">"] {
        let mut request = b"GET /bigbluebutton/api/isMeetingRunning?meetingID=a".to_vec();
        request.extend_from_slice(bad);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
        let response = send_raw(&pool.address(0), &request);
        assert!(
            response.starts_with("HTTP/1.1 400 ") && response.ends_with("\r\n\r\n"),
            "{bad:?}: {response:?}"
        );
    }
    pool.get("isMeetingRunning", "meetingID=m1").success();
}

#[test]
fn malformed_multipart_form_is_rejected() {
    let pool = Pool::start(1);
    let valid = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nOne\r\n--B--\r\n";
    for (kind, body) in [
        ("multipart/form-data", valid),
        ("multipart/form-data; boundary=", valid),
        ("multipart/form-data; boundary=other", valid),
        ("multipart/form-data; boundary=B", "name=One"),
        ("multipart/form-data; boundary=B", &valid[..40]),
        ("multipart/form-data; boundary=B", &valid[..valid.len() - 9]),
    ] {
        let reply = pool.post("create", "meetingID=m1", kind, body.as_bytes());
        assert_eq!(reply.failed(), "badRequestBody", "{kind} {body}");
    }
    assert_response!(
        pool.post("create", "meetingID=m1", "multipart/form-data", valid.as_bytes()),
        xml @"<response><returncode>FAILED</returncode><messageKey>badRequestBody</messageKey><message>The \
              request body could not be read: multipart/form-data without a boundary.</message></response>"
    );
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn file_field_of_form_is_not_a_parameter() {
    let pool = Pool::start(1);
    let body =
        "--B\r\nContent-Disposition: form-data; name=\"name\"; filename=\"a.txt\"\r\n\r\nFile\r\n--B--\r\n";
    let kind = "multipart/form-data; boundary=B";
    pool.post("create", "meetingID=m1&name=Query", kind, body.as_bytes()).success();
    assert_eq!(pool.server(1).meeting("m1").unwrap().name, "Query");
}

const LIMIT: [(&str, &str); 1] = [("MAX_BODY_SIZE", "2000")];

#[test]
fn body_is_rejected_only_above_size_limit() {
    let pool = Pool::with(1, 1, &LIMIT);
    let body = |length: usize| format!("name={}", "x".repeat(length - 5));
    pool.post("create", "meetingID=m1", FORM, body(2000).as_bytes()).success();
    assert_response!(
        pool.post("create", "meetingID=m2", FORM, body(2001).as_bytes()),
        xml @"<response><returncode>FAILED</returncode><messageKey>requestTooLarge</messageKey><message>The \
              request body is larger than the 2000 bytes that are accepted.</message></response>"
    );
    assert_eq!(pool.server(1).counts().create, 1);
}

#[test]
fn form_with_200000_parameters_is_answered_in_time() {
    let pool = Pool::start(1);
    // This is unsigned, but the form must be read to find that out.
    let body: String = (0..200_000).map(|n| format!("p{n}&")).collect();
    let request = format!(
        "POST /bigbluebutton/api/create HTTP/1.1\r\nHost: sl\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let response = send_raw(&pool.address(0), request.as_bytes());
    assert!(
        response.contains("<returncode>FAILED</returncode>") || response.starts_with("HTTP/1.1 4"),
        "{response:?}"
    );
}

#[test]
fn body_is_rejected_early_when_content_length_exceeds_limit() {
    let pool = Pool::with(1, 1, &LIMIT);
    let target = pool.target("create", "meetingID=m1");
    for length in ["2001", "99999999999", "18446744073709551615"] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
        );
        let response = send_raw(&pool.address(0), head.as_bytes());
        let refused = response.contains("<messageKey>requestTooLarge</messageKey>")
            || response.starts_with("HTTP/1.1 4");
        assert!(refused, "{length}: {response}");
    }
}

/// As curl does it: keeps reading when the server stops accepting the body.
#[test]
fn rejection_reaches_client_that_is_still_sending_body() {
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
        let response = send_raw(&pool.address(0), request.as_bytes());
        assert!(response.contains(&format!("<messageKey>{key}</messageKey>")), "{key}: {response:?}");
    }
}

#[test]
fn chunked_body_is_rejected_once_it_exceeds_limit() {
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
    // The body never ends; the response arrives anyway.
    let mut response = [0; 1000];
    let n = stream.read(&mut response).unwrap();
    let response = String::from_utf8_lossy(&response[..n]).into_owned();
    assert!(response.contains("<messageKey>requestTooLarge</messageKey>"), "{response}");
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn truncated_body_creates_no_meeting() {
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
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(!response.contains("SUCCESS"), "{response}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
    pool.assert_meeting_released("m1");
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn malformed_chunked_body_is_rejected() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for chunks in
        ["zz\r\n<a/>\r\n0\r\n\r\n", "fffffffffffffffff\r\n<a/>", "-1\r\n\r\n", "4\r\n<a/>XX0\r\n\r\n"]
    {
        let response = send_raw(&pool.address(0), format!("{head}{chunks}").as_bytes());
        assert!(!response.contains("SUCCESS"), "{chunks}: {response}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn non_http_bytes_are_rejected() {
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
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let response = String::from_utf8_lossy(&response);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{bytes:?}: {response}");
    }
    assert!(pool.replicas[0].is_alive());
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn oversized_request_heads_are_rejected() {
    let pool = Pool::start(1);
    let long = format!("GET /?{} HTTP/1.1\r\nHost: sl\r\n\r\n", "x".repeat(300_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: sl\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    let many = format!("GET / HTTP/1.1\r\nHost: sl\r\n{}\r\n", "X-A: b\r\n".repeat(5000));
    for request in [long, wide, many] {
        let response = send_raw(&pool.address(0), request.as_bytes());
        assert!(
            response.is_empty() || response.starts_with("HTTP/1.1 4"),
            "{}",
            &response[..response.len().min(300)]
        );
    }
    pool.get("create", "meetingID=m1").success();
}

#[test]
fn smuggled_request_is_not_executed() {
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
    send_raw(&pool.address(0), request.as_bytes());
    assert_eq!(pool.holder("smuggled"), None);
}

#[test]
fn form_is_not_read_for_call_without_checksum() {
    let pool = Pool::start(1);
    let request = b"POST /bigbluebutton/api?checksum=x HTTP/1.1\r\nHost: x\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2000000\r\n\r\n";
    let mut stream = crate::support::client::connect(&pool.address(0));
    stream.write_all(request).unwrap();
    let response = crate::support::client::read_responses(&mut stream, 1);
    assert!(response.contains("<version>2.0</version>"), "{response}");
}
