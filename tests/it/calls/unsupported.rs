//! Paths, calls and methods that we do not serve.

use crate::assert_answer;
use crate::support::Pool;
use crate::support::client::raw;

#[track_caller]
fn unsupported(pool: &Pool, method: &str, target: &str) {
    let reply = pool.fetch(method, target, &[], b"");
    assert_eq!(reply.failed(), "unsupportedRequest", "{method} {target}");
    assert_eq!(reply.xml("message"), Some("This request is not supported."), "{method} {target}");
}

#[test]
fn unknown_paths_and_calls_are_not_supported() {
    let pool = Pool::with(0, 1, &[]);
    for target in [
        "/nothing",
        "/bigbluebutton",
        "/bigbluebutton/",
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
        unsupported(&pool, "GET", target);
        unsupported(&pool, "POST", target);
    }
    assert_answer!(pool.fetch("GET", "/nothing", &[], b""));
}

#[test]
fn calls_of_browsers_to_their_own_server_are_not_supported() {
    let pool = Pool::with(0, 1, &[]);
    for call in ["getJoinUrl", "learningDashboard", "feedback", "stuns", "signOut", "getSessions"] {
        unsupported(&pool, "GET", &pool.target(call, "sessionToken=x"));
    }
}

#[test]
fn the_wrong_method_is_not_supported() {
    let pool = Pool::with(1, 1, &[]);
    pool.get("create", "meetingID=m1").success();
    unsupported(&pool, "POST", &pool.target("join", "meetingID=m1&fullName=A&role=VIEWER"));
    unsupported(&pool, "GET", &pool.target("insertDocument", "meetingID=m1"));
    unsupported(&pool, "POST", &pool.target("sendChatMessage", "meetingID=m1&message=x"));
    unsupported(&pool, "POST", "/health_check");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        unsupported(&pool, method, &pool.target("create", "meetingID=m2"));
    }
    assert_eq!(pool.server(1).counts().create, 1);
}

#[test]
fn a_suffix_or_another_case_is_another_call() {
    let pool = Pool::with(0, 1, &[]);
    for call in ["create.xml", "Create", "CREATE", "ismeetingrunning", "getmeetings", "getMeetings.xml"] {
        unsupported(&pool, "GET", &pool.target(call, "meetingID=m1"));
    }
}

#[test]
fn doubled_and_trailing_slashes_mean_nothing() {
    let pool = Pool::start(1);
    for (n, path) in
        ["//bigbluebutton//api///create", "/bigbluebutton/api/create/", "/bigbluebutton/api//create//"]
            .into_iter()
            .enumerate()
    {
        let target = pool.target("create", &format!("meetingID=m{n}"));
        let query = target.split_once('?').unwrap().1;
        let answer = pool.raw_get(&format!("{path}?{query}"));
        assert!(answer.contains("<returncode>SUCCESS</returncode>"), "{path}: {answer}");
    }
}

#[test]
fn head_is_get_without_a_body() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    let request = format!("HEAD {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
    let answer = raw(&pool.address(0), request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/xml; charset=utf-8"), "{head}");
    assert_eq!(body, "");
    assert!(pool.server(1).meeting("m1").is_some(), "the call was made");
    unsupported_head(&pool);
}

fn unsupported_head(pool: &Pool) {
    let target = pool.target("insertDocument", "meetingID=m1");
    assert_eq!(pool.fetch("HEAD", &target, &[], b"").status, 200);
    assert_eq!(pool.server(1).counts().insert_document, 0);
}
