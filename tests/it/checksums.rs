//! Checksums: valid ones as clients make them, and invalid ones.

use crate::assert_response;
use crate::support::{Pool, Reply, sign};

const VECTORS: &str = include_str!("../vectors/checksum.tsv");

/// A pool of one server and one meeting, m1, whose clients sign with this secret.
fn signed_with(secret: &str, variables: &[(&str, &str)]) -> Pool {
    let mut pool = Pool::empty(1, variables);
    pool.secret = secret.to_owned();
    pool.add(1, &[]);
    pool.enable(1);
    pool.serve(&["--no-poller"]);
    pool
}

fn is_meeting_running(pool: &Pool, query: &str) -> Reply {
    pool.fetch("GET", &format!("/bigbluebutton/api/isMeetingRunning?{query}"), &[], b"")
}

#[track_caller]
fn assert_accepted(reply: &Reply) {
    assert_ne!(reply.xml("messageKey"), Some("checksumError"), "{reply:#?}");
    assert!(reply.status == 302 || reply.xml("returncode").is_some(), "{reply:#?}");
}

#[test]
fn checksum_vectors_pass_in_either_case_and_altered_ones_fail() {
    let pool = signed_with("639259d4-9dd8-4b25-bf01-95f9567eaf4b", &[]);
    let mut rows = 0;
    for line in VECTORS.lines().skip(1) {
        let [call, query, _, _, checksum] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("malformed vector: {line}")
        };
        let and = if query.is_empty() { "" } else { "&" };
        let ask = |sum: &str| {
            pool.fetch("GET", &format!("/bigbluebutton/api/{call}?{query}{and}checksum={sum}"), &[], b"")
        };
        if ask(checksum).xml("messageKey") == Some("unsupportedRequest") {
            continue;
        }
        assert_accepted(&ask(checksum));
        assert_accepted(&ask(&checksum.to_uppercase()));
        let last = if checksum.ends_with('0') { "1" } else { "0" };
        for wrong in
            [&checksum[1..], &format!("{}{last}", &checksum[..checksum.len() - 1]), &format!("{checksum}0")]
        {
            assert_eq!(ask(wrong).failed(), "checksumError", "{line}");
        }
        rows += 1;
    }
    assert!(rows >= 12, "{rows}");
}

#[test]
fn missing_or_wrong_checksum_gets_bbb_checksum_error() {
    let pool = Pool::start(1);
    assert_response!(
        is_meeting_running(&pool, "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>checksumError</messageKey><message>You \
              did not pass the checksum security check</message></response>"
    );
    for sum in [
        "",
        "x",
        "0",
        "%30",
        &"0".repeat(40),
        &"g".repeat(40),
        &"0".repeat(39),
        &"0".repeat(1000),
        &"é".repeat(20),
    ] {
        let reply = is_meeting_running(&pool, &format!("meetingID=m1&checksum={sum}"));
        assert_eq!(reply.failed(), "checksumError", "{sum}");
    }
    assert_eq!(is_meeting_running(&pool, "meetingID=m1&checksum").failed(), "checksumError");
    assert_eq!(is_meeting_running(&pool, "").failed(), "checksumError");
    assert_eq!(pool.server(1).counts().is_meeting_running, 0);
}

#[test]
fn every_call_except_index_requires_checksum() {
    let pool = Pool::start(1);
    for call in
        ["create", "join", "end", "isMeetingRunning", "getMeetingInfo", "getMeetings", "sendChatMessage"]
    {
        let reply = pool.fetch("GET", &format!("/bigbluebutton/api/{call}?meetingID=m1"), &[], b"");
        assert_eq!(reply.failed(), "checksumError", "{call}");
    }
    for (call, kind) in
        [("insertDocument", "text/xml"), ("create", "text/xml"), ("end", "application/x-www-form-urlencoded")]
    {
        let target = format!("/bigbluebutton/api/{call}?meetingID=m1");
        let reply = pool.fetch("POST", &target, &[("content-type", kind)], b"<a/>");
        assert_eq!(reply.failed(), "checksumError", "POST {call}");
    }
}

#[test]
fn checksum_of_another_call_or_secret_is_rejected() {
    let pool = Pool::start(1);
    for sum in [
        sign("sha1", "create", "meetingID=m1", &pool.secret),
        sign("sha1", "isMeetingRunning", "meetingID=m2", &pool.secret),
        sign("sha1", "isMeetingRunning", "meetingID=m1", pool.server(1).secret()),
        sign("sha1", "isMeetingRunning", "meetingID=m1", ""),
        sign("sha1", "ismeetingrunning", "meetingID=m1", &pool.secret),
    ] {
        assert_eq!(
            is_meeting_running(&pool, &format!("meetingID=m1&checksum={sum}")).failed(),
            "checksumError"
        );
    }
}

#[test]
fn duplicate_checksum_is_rejected_in_query_and_form() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "isMeetingRunning", "meetingID=m1", &pool.secret);
    for query in [
        format!("meetingID=m1&checksum={sum}&checksum={sum}"),
        format!("checksum=x&meetingID=m1&checksum={sum}"),
        format!("meetingID=m1&checksum={sum}&checksum="),
    ] {
        assert_eq!(is_meeting_running(&pool, &query).failed(), "checksumError", "{query}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let target = format!("/bigbluebutton/api/isMeetingRunning?meetingID=m1&checksum={sum}");
    let both = pool.fetch("POST", &target, &form, format!("checksum={sum}").as_bytes());
    assert_eq!(both.failed(), "checksumError", "in the query and in the form");
    let empty = sign("sha1", "isMeetingRunning", "", &pool.secret);
    let twice = format!("meetingID=m1&checksum={empty}&checksum={empty}");
    let twice = pool.fetch("POST", "/bigbluebutton/api/isMeetingRunning", &form, twice.as_bytes());
    assert_eq!(twice.failed(), "checksumError", "twice in the form");
}

#[test]
fn duplicate_checksum_is_rejected_in_multipart_form() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "isMeetingRunning", "", &pool.secret);
    let field = format!("--B\r\nContent-Disposition: form-data; name=\"checksum\"\r\n\r\n{sum}\r\n");
    let id = "--B\r\nContent-Disposition: form-data; name=\"meetingID\"\r\n\r\nm1\r\n--B--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=B")];
    let ask =
        |body: String| pool.fetch("POST", "/bigbluebutton/api/isMeetingRunning", &headers, body.as_bytes());
    ask(format!("{field}{id}")).success();
    assert_eq!(ask(format!("{field}{field}{id}")).failed(), "checksumError");
}

#[test]
fn checksum_may_be_anywhere_in_query() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "isMeetingRunning", "meetingID=m1&password=", &pool.secret);
    for query in [
        format!("checksum={sum}&meetingID=m1&password="),
        format!("meetingID=m1&checksum={sum}&password="),
        format!("meetingID=m1&password=&checksum={sum}"),
    ] {
        is_meeting_running(&pool, &query).success();
    }
    for query in ["checksum=", "&checksum="] {
        let sum = sign("sha1", "getMeetings", "", &pool.secret);
        pool.fetch("GET", &format!("/bigbluebutton/api/getMeetings?{query}{sum}"), &[], b"").success();
    }
}

#[test]
fn parameter_whose_name_ends_in_checksum_is_not_the_checksum() {
    let pool = Pool::start(1);
    pool.get("isMeetingRunning", "meetingID=m1&mychecksum=1&Checksum=2").success();
}

#[test]
fn query_is_hashed_byte_for_byte() {
    let pool = Pool::start(1);
    for query in [
        "meetingID=a+b",
        "meetingID=a%20b",
        "meetingID=a~b",
        "meetingID=a%7Eb",
        "meetingID=a%7eb",
        "meetingID=a*b'(c)!",
        "meetingID=a%2Ab%27",
        "meetingID=a/b?c:d@e",
        "meetingID=m1&&x&=y&z=",
        "meetingID=\u{fc}\u{1f600}",
        "meetingID=a{}|^`\\b[]",
    ] {
        let response = pool.raw_get(&pool.target("isMeetingRunning", query));
        assert!(response.contains("<running>false</running>"), "{query}: {response}");
    }
}

#[test]
fn body_is_never_hashed() {
    let pool = Pool::start(1);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let over_both = sign("sha1", "isMeetingRunning", "meetingID=m1", &pool.secret);
    let target = format!("/bigbluebutton/api/isMeetingRunning?checksum={over_both}");
    assert_eq!(pool.fetch("POST", &target, &form, b"meetingID=m1").failed(), "checksumError");
    pool.post("isMeetingRunning", "", form[0].1, b"meetingID=m1").success();
}

#[test]
fn any_configured_secret_may_sign() {
    let pool = Pool::with(0, 1, &[("LOADBALANCER_SECRETS", "second: third ::")]);
    for (secret, valid) in [
        (pool.secret.as_str(), true),
        ("second", true),
        ("third", true),
        ("", false),
        ("fourth", false),
        ("second: third ::", false),
    ] {
        let sum = sign("sha256", "isMeetingRunning", "meetingID=m1", secret);
        let reply = is_meeting_running(&pool, &format!("meetingID=m1&checksum={sum}"));
        let refused = reply.xml("messageKey") == Some("checksumError");
        assert_eq!(!refused, valid, "{secret:?}");
    }
}

#[test]
fn only_configured_algorithms_are_accepted() {
    let pool = Pool::with(0, 1, &[("LOADBALANCER_CHECKSUM_ALGORITHM", "SHA256")]);
    for (algorithm, valid) in [("sha1", false), ("sha256", true), ("sha384", false), ("sha512", false)] {
        let sum = sign(algorithm, "isMeetingRunning", "meetingID=m1", &pool.secret);
        let reply = is_meeting_running(&pool, &format!("meetingID=m1&checksum={sum}"));
        assert_eq!(reply.xml("returncode") == Some("SUCCESS"), valid, "{algorithm}: {reply:?}");
    }
}

#[test]
fn content_type_is_checked_before_checksum_and_checksum_before_parameters() {
    let pool = Pool::start(1);
    let json = [("content-type", "application/json")];
    let reply = pool.fetch("POST", "/bigbluebutton/api/create?checksum=wrong", &json, b"{}");
    assert_eq!(reply.failed(), "unsupportedContentType");
    assert_eq!(is_meeting_running(&pool, "checksum=wrong").failed(), "checksumError");
    assert_eq!(pool.get("isMeetingRunning", "").failed(), "missingParamMeetingID");
}
