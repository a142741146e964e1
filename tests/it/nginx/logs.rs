//! Logs say what happened, and hold no secrets.

use super::fake::{Do, stopping};
use super::{Fake, Site};
use crate::support::{eventually, free_port};

const SECRETS: [&str; 6] = ["hunter2", "c0ffee", "Ada", "algebra", "elsewhere", "?"];

const TARGET: &str = "?meetingID=algebra&fullName=Ada&password=hunter2&checksum=c0ffee";

/// Makes a request, then gives its line in the access log, when all logs have been looked through.
fn logged(site: &Site, call: &str) -> String {
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
        ("sl.error.log", site.nginx.file("sl.error.log")),
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
fn a_line_has_all_that_is_needed_and_no_query() {
    let fake = Fake::start(|_| Do::Say("here"));
    let site = Site::start("plain", &[fake.port]);
    let line = logged(&site, "join");
    assert!(line.contains("\"GET /bigbluebutton/api/join\" 200 "), "{line}");
    assert!(line.contains("id=the-id "), "{line}");
    assert!(line.contains(&format!("replica=\"127.0.0.1:{}\" said=\"200\"", fake.port)), "{line}");
}

#[test]
fn neither_has_an_error() {
    for call in ["join", "getMeetings"] {
        let (gone, dead) = (Fake::start(|_| stopping()), free_port());
        let broken = Fake::start(|_| Do::Reset);
        let site = Site::start("plain", &[gone.port, dead, broken.port]);
        let line = logged(&site, call);
        // Which replica failed, and how, is in the access log all the same.
        for port in [gone.port, dead, broken.port] {
            assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
        }
        assert!(line.contains("said=\"503, 502"), "{line}");
    }
}

#[test]
fn nor_has_what_nginx_answers_itself() {
    let fake = Fake::start(|_| Do::Say("here"));
    let site = Site::start("plain", &[fake.port]);
    for call in ["../../metrics", "../../sl/x", "../../static-resource/x", "..%2f..%2fmetrics"] {
        let line = logged(&site, call);
        assert!(line.contains(&format!("\"GET /bigbluebutton/api/{call}\"")), "{line}");
    }
}
