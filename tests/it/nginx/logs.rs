//! The logs of nginx: complete, and without secrets.

use super::fake_replica::{Reaction, draining};
use super::{FakeReplica, Site};
use crate::support::{eventually, free_port};

const SECRETS: [&str; 6] = ["hunter2", "c0ffee", "Ada", "algebra", "elsewhere", "?"];

const TARGET: &str = "?meetingID=algebra&fullName=Ada&password=hunter2&checksum=c0ffee";

/// Makes a request, checks all logs for secrets and returns its line in the access log.
fn log_line(site: &Site, call: &str) -> String {
    let target = format!("/bigbluebutton/api/{call}{TARGET}");
    site.fetch(
        "GET",
        &target,
        &[("referer", "http://elsewhere/?checksum=c0ffee"), ("x-request-id", "the-id")],
    );
    eventually("nginx has written its log", || site.nginx.file("sl.access.log").contains(call));
    let access = site.nginx.file("sl.access.log");
    for (name, text) in [
        ("sl.access.log", access.clone()),
        ("access.log", site.nginx.file("access.log")),
        ("error.log", site.nginx.file("error.log")),
    ] {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {name}: {text}");
        }
    }
    access.lines().find(|line| line.contains(call)).unwrap().to_owned()
}

#[test]
fn access_log_line_is_complete_and_has_no_query() {
    let fake = FakeReplica::start(|_| Reaction::Respond("here"));
    let site = Site::start("plain", &[fake.port]);
    let line = log_line(&site, "join");
    assert!(line.contains("\"GET /bigbluebutton/api/join\" 200 "), "{line}");
    assert!(line.contains("id=the-id "), "{line}");
    assert!(line.contains(&format!("replica=\"127.0.0.1:{}\" said=\"200\"", fake.port)), "{line}");
}

#[test]
fn error_log_has_no_secrets() {
    for call in ["join", "getMeetings"] {
        let (draining_replica, dead) = (FakeReplica::start(|_| draining()), free_port());
        let broken = FakeReplica::start(|_| Reaction::Reset);
        let site = Site::start("plain", &[draining_replica.port, dead, broken.port]);
        let line = log_line(&site, call);
        // The access log still has which replica failed and how.
        for port in [draining_replica.port, dead, broken.port] {
            assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
        }
        assert!(line.contains("said=\"503, 502"), "{line}");
    }
}

/// nginx logs this at the level crit.
#[test]
fn error_log_has_no_secrets_when_a_unix_socket_is_missing() {
    let edit = ("sl/replicas.conf", "127.0.0.1:3000", "unix:/nowhere/sl.sock");
    for call in ["join", "getMeetings", "end", "create"] {
        let site = Site::edited("plain", &[], &[edit]);
        let line = log_line(&site, call);
        assert!(line.contains("unix:/nowhere/sl.sock") && line.contains("said=\"502"), "{line}");
    }
}

#[test]
fn no_file_holds_what_nginx_says_about_a_request() {
    for entry in std::fs::read_dir(format!("{}/nginx/sl", crate::support::ROOT)).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("error_log")) {
            assert_eq!(line, "error_log /dev/null emerg;");
        }
    }
}

#[test]
fn log_of_requests_nginx_answers_itself_has_no_secrets() {
    let fake = FakeReplica::start(|_| Reaction::Respond("here"));
    let site = Site::start("plain", &[fake.port]);
    for call in ["../../metrics", "../../sl/x", "../../static-resource/x", "..%2f..%2fmetrics"] {
        let line = log_line(&site, call);
        assert!(line.contains(&format!("\"GET /bigbluebutton/api/{call}\"")), "{line}");
    }
}
