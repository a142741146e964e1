//! The log: which server failed and why; never a secret, a checksum or a signed URL.

use crate::support::client::fetch;
use crate::support::{Pool, SHORT_TIMEOUTS, eventually, sign};
use sl_sim::FaultKind;
use std::io::{Read, Write};

/// Makes every kind of call, with success and with failure.
fn exercise_all_calls(pool: &Pool) {
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    for kind in [None, Some(FaultKind::Reset), Some(FaultKind::Garbage), Some(FaultKind::Refuse)] {
        if let Some(kind) = kind {
            pool.server(1).set_fault(kind);
        }
        for (call, query) in [
            ("isMeetingRunning", "meetingID=m1"),
            ("getMeetingInfo", "meetingID=m1"),
            ("getMeetings", ""),
            ("join", "meetingID=m1&fullName=A&role=VIEWER"),
            ("join", "meetingID=m1&fullName=A&role=VIEWER&redirect=false"),
            ("create", "meetingID=m1&moderatorPW=mp"),
            ("create", "meetingID=m2"),
        ] {
            pool.get(call, query);
        }
    }
    pool.server(1).clear_faults();
    let long = format!("meetingID=m3&welcome={}", "w".repeat(5000));
    pool.get("create", &long).success();
    for target in ["end?meetingID=m1&checksum=00", "end?checksum=x&checksum=y", "end?%zz"] {
        pool.fetch("GET", &format!("/bigbluebutton/api/{target}"), &[], b"");
    }
    let form = format!("checksum={}", sign("sha1", "end", "", &pool.secret));
    pool.post("end", "meetingID=m1", "application/x-www-form-urlencoded", form.as_bytes());
    pool.get("end", "meetingID=m3").success();
}

#[track_caller]
fn assert_no_secrets(pool: &Pool, log: &str) {
    assert!(log.lines().count() > 10, "too few log lines to judge: {log}");
    for secret in [pool.secret.as_str(), pool.server(1).secret(), "second-secret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for line in log.lines() {
        let digits = line
            .split("checksum=")
            .skip(1)
            .map(|rest| rest.bytes().take_while(u8::is_ascii_hexdigit).count());
        assert!(digits.max().unwrap_or(0) < 32, "a checksum is in the log: {line}");
        for digits in line.split(|c: char| !c.is_ascii_hexdigit()) {
            assert!(!matches!(digits.len(), 40 | 64 | 96 | 128), "a digest is in the log: {line}");
        }
    }
}

#[test]
fn trace_log_contains_no_secrets() {
    let mut settings = SHORT_TIMEOUTS.to_vec();
    settings.extend([("LOG_LEVEL", "trace"), ("LOADBALANCER_SECRETS", "second-secret")]);
    let pool = Pool::with(1, 1, &settings);
    exercise_all_calls(&pool);
    assert_no_secrets(&pool, &pool.replicas[0].log());
}

#[test]
fn json_log_contains_no_secrets() {
    let mut settings = SHORT_TIMEOUTS.to_vec();
    settings.extend([
        ("LOG_LEVEL", "trace"),
        ("LOG_FORMAT", "json"),
        ("LOADBALANCER_SECRETS", "second-secret"),
    ]);
    let pool = Pool::with(1, 1, &settings);
    exercise_all_calls(&pool);
    let log = pool.replicas[0].log();
    assert_no_secrets(&pool, &log);
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn trace_log_of_libraries_contains_no_secrets() {
    let mut settings = SHORT_TIMEOUTS.to_vec();
    settings.extend([("RUST_LOG", "trace"), ("LOADBALANCER_SECRETS", "second-secret")]);
    let pool = Pool::with(1, 1, &settings);
    exercise_all_calls(&pool);
    assert_no_secrets(&pool, &pool.replicas[0].log());
}

#[test]
fn redis_password_is_not_logged() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("sl.sock");
    let mut pool = Pool::with(1, 0, &SHORT_TIMEOUTS);
    pool.redis.cli(&["ACL", "SETUSER", "sl", "on", ">hunter2-hunter2", "~*", "&*", "+@all"]);
    let url = format!("redis://sl:hunter2-hunter2@127.0.0.1:{}", pool.redis.port);
    let n = pool.serve_unix(&path, &[("REDIS_URL", &url), ("LOG_LEVEL", "trace")]);
    let health = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /health_check HTTP/1.0\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    assert!(health().ends_with("success"));
    pool.redis.down();
    // It is kept for a second.
    eventually("the health check fails", || {
        let reason = health();
        assert!(!reason.contains("hunter2"), "{reason}");
        !reason.ends_with("success")
    });
    let log = pool.replicas[n].log();
    assert!(log.contains("health check") && !log.contains("hunter2"), "{log}");
}

#[test]
fn client_input_cannot_forge_log_lines() {
    let pool = Pool::with(1, 1, &[("LOG_LEVEL", "trace")]);
    for id in ["a%0A2026-01-01T00:00:00Z%20ERROR%20made%20up", "a%0D%0Ab", "a%1B%5B2Jb%00c", "a%E2%80%A8b"] {
        pool.get("create", &format!("meetingID={id}&meta_server-tag={id}")).success();
        pool.get("end", &format!("meetingID={id}"));
        pool.get("create", &format!("meetingID={id}&meta_server-tag={id}!")).failed();
    }
    let log = pool.replicas[0].log();
    assert!(log.lines().count() > 4, "{log}");
    for line in log.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        assert!(line.starts_with("20") && !line.starts_with("2026-01-01"), "{line:?}");
        assert!(!line.contains(['\u{1b}', '\0']), "{line:?}");
    }
}

#[test]
fn failed_server_is_logged_with_reason() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1").success();
    for (kind, reason) in [
        (FaultKind::Refuse, "cannot connect"),
        (FaultKind::Hang, "no response within"),
        (FaultKind::Status { code: 502 }, "answered an HTML page with HTTP 502"),
        (FaultKind::Garbage, "not well-formed XML"),
        (FaultKind::NoReturncode, "returncode"),
    ] {
        pool.server(1).set_fault(kind);
        fetch("GET", &pool.url_at(0, "getMeetingInfo", "meetingID=m1"), &[], b"");
        pool.server(1).clear_faults();
        let log = pool.replicas[0].log();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains("bbb1") && last.contains(reason), "{reason}: {log}");
    }
}
