//! Paths, calls and methods that sl does not serve.

use crate::assert_response;
use crate::support::Pool;
use crate::support::client::send_raw;

#[track_caller]
fn assert_unsupported(pool: &Pool, method: &str, target: &str) {
    let reply = pool.fetch(method, target, &[], b"");
    assert_eq!(reply.failed(), "unsupportedRequest", "{method} {target}");
    assert_eq!(reply.xml("message"), Some("This request is not supported."), "{method} {target}");
}

#[track_caller]
fn assert_unsupported_json(pool: &Pool, method: &str, target: &str) {
    let reply = pool.fetch(method, target, &[], b"");
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"), "{method} {target}");
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let expected = serde_json::json!({ "response": {
        "returncode": "FAILED",
        "messageKey": "unsupportedRequest",
        "message": "This request is not supported.",
    } });
    assert_eq!((reply.status, body), (200, expected), "{method} {target}");
}

#[test]
fn unknown_paths_and_calls_are_unsupported() {
    let pool = Pool::with(0, 1, &[]);
    for target in [
        "/nothing",
        "/bigbluebutton/apiary",
        "/bigbluebutton/api/nothing?checksum=x",
        "/bigbluebutton/api/create/more",
        "/BigBlueButton/api",
        "/api/create",
        "/bigbluebutton/api/cre%61te",
        "/bigbluebutton/api/..%2fapi",
        "/%zz",
        "/bigbluebutton/api/getDefaultConfigXML",
        "/bigbluebutton/api/setConfigXML",
        "/favicon.ico",
        "/robots.txt",
    ] {
        assert_unsupported(&pool, "GET", target);
        assert_unsupported(&pool, "POST", target);
    }
    assert_response!(
        pool.fetch("GET", "/nothing", &[], b""),
        xml @"<response><returncode>FAILED</returncode><messageKey>unsupportedRequest</messageKey>\
              <message>This request is not supported.</message></response>"
    );
}

#[test]
fn browser_calls_to_bbb_server_are_unsupported() {
    let pool = Pool::with(0, 1, &[]);
    for call in ["signOut", "getSessions"] {
        assert_unsupported(&pool, "GET", &pool.target(call, "sessionToken=x"));
        assert_unsupported(&pool, "POST", &pool.target(call, "sessionToken=x"));
    }
    for call in ["getJoinUrl", "learningDashboard", "feedback", "stuns", "enter", "guestWait"] {
        for method in ["GET", "POST"] {
            assert_unsupported_json(&pool, method, &pool.target(call, "sessionToken=x"));
        }
    }
    // A call of ours that answers JSON, with a wrong method.
    assert_unsupported_json(&pool, "PUT", &pool.target("getRecordingTextTracks", "recordID=x"));
    assert_unsupported(&pool, "GET", &pool.target("getJoinURL", "sessionToken=x"));
}

#[test]
fn wrong_http_method_is_unsupported() {
    let pool = Pool::with(1, 1, &[]);
    pool.get("create", "meetingID=m1").success();
    assert_unsupported(&pool, "POST", &pool.target("join", "meetingID=m1&fullName=A&role=VIEWER"));
    assert_unsupported(&pool, "GET", &pool.target("insertDocument", "meetingID=m1"));
    assert_unsupported(&pool, "POST", &pool.target("sendChatMessage", "meetingID=m1&message=x"));
    assert_unsupported(&pool, "POST", "/health_check");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        assert_unsupported(&pool, method, &pool.target("create", "meetingID=m2"));
    }
    assert_eq!(pool.server(1).counts().create, 1);
}

#[test]
fn call_names_are_case_sensitive_and_have_no_suffix() {
    let pool = Pool::with(0, 1, &[]);
    for call in ["create.xml", "Create", "CREATE", "ismeetingrunning", "getmeetings", "getMeetings.xml"] {
        assert_unsupported(&pool, "GET", &pool.target(call, "meetingID=m1"));
    }
}

#[test]
fn extra_slashes_in_path_are_ignored() {
    let pool = Pool::start(1);
    for (n, path) in
        ["//bigbluebutton//api///create", "/bigbluebutton/api/create/", "/bigbluebutton/api//create//"]
            .into_iter()
            .enumerate()
    {
        let target = pool.target("create", &format!("meetingID=m{n}"));
        let query = target.split_once('?').unwrap().1;
        let response = pool.raw_get(&format!("{path}?{query}"));
        assert!(response.contains("<returncode>SUCCESS</returncode>"), "{path}: {response}");
    }
}

#[test]
fn head_executes_call_without_response_body() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    let request = format!("HEAD {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
    let response = send_raw(&pool.address(0), request.as_bytes());
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/xml; charset=utf-8"), "{head}");
    assert_eq!(body, "");
    assert!(pool.server(1).meeting("m1").is_some(), "the call was made");
    assert_head_of_post_call_does_nothing(&pool);
}

fn assert_head_of_post_call_does_nothing(pool: &Pool) {
    let target = pool.target("insertDocument", "meetingID=m1");
    assert_eq!(pool.fetch("HEAD", &target, &[], b"").status, 200);
    assert_eq!(pool.server(1).counts().insert_document, 0);
}
