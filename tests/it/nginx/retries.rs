//! Which requests nginx sends to a second replica when the first gave no answer.

use super::fake::{Do, stopping};
use super::{Fake, Site};
use crate::support::client::{Reply, fetch};
use crate::support::{eventually, free_port};

const READS: [&str; 8] = [
    "isMeetingRunning",
    "getMeetingInfo",
    "getMeetingInfo/",
    "getMeetings",
    "getRecordings",
    "getRecordingTextTracks",
    "create",
    "create/",
];

const WRITES: [&str; 13] = [
    "join",
    "join/",
    "end",
    "sendChatMessage",
    "insertDocument",
    "publishRecordings",
    "deleteRecordings",
    "updateRecordings",
    "putRecordingTextTrack",
    "hooks/create",
    "hooks/destroy",
    "analytics_callback",
    "whatever",
];

const BODY: &[u8] = b"a=1&b=2";

/// A call in both methods, each through an nginx that knows nothing yet of these replicas.
fn ask(call: &str, method: &str, replicas: &[u16]) -> Reply {
    let site = Site::start("plain", replicas);
    let url = site.url(&format!("/bigbluebutton/api/{call}?meetingID=a%20b+c~%7E'*&checksum=1"));
    let body = if method == "POST" { BODY } else { b"" };
    fetch(method, &url, &[("content-type", "application/x-www-form-urlencoded")], body)
}

fn every_call() -> impl Iterator<Item = (&'static str, &'static str)> {
    READS.into_iter().chain(WRITES).flat_map(|call| [(call, "GET"), (call, "POST")])
}

/// Whether this request reached the replica whole, as the client wrote it.
#[track_caller]
fn got(fake: &Fake, call: &str, method: &str) {
    let seen = fake.seen();
    assert_eq!(seen.len(), 1, "{method} {call}: {seen:?}");
    let line = format!("{method} /bigbluebutton/api/{call}?meetingID=a%20b+c~%7E'*&checksum=1 HTTP/1.1\r\n");
    assert!(seen[0].starts_with(&line), "{seen:?}");
    assert_eq!(seen[0].ends_with("\r\n\r\na=1&b=2"), method == "POST", "{seen:?}");
}

#[test]
fn a_replica_that_cannot_be_reached_costs_nobody_anything() {
    for (call, method) in every_call() {
        let alive = Fake::start(|_| Do::Say("alive"));
        let reply = ask(call, method, &[free_port(), free_port(), alive.port]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
        got(&alive, call, method);
    }
}

#[test]
fn neither_does_a_machine_that_has_vanished() {
    // The one connection that it has room for is taken; nothing answers to another.
    let vanished = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    vanished.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    vanished.listen(0).unwrap();
    let address = vanished.local_addr().unwrap().as_socket().unwrap();
    let _taken = std::net::TcpStream::connect(address).unwrap();
    let edit = ("sl/server.conf", "proxy_connect_timeout 2s;", "proxy_connect_timeout 200ms;");
    for call in ["getMeetingInfo", "create", "join", "end"] {
        let alive = Fake::start(|_| Do::Say("alive"));
        let site = Site::edited("plain", &[address.port(), alive.port], &[edit]);
        let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
        assert_eq!((reply.status, alive.seen().len()), (200, 1), "{call}");
        eventually("the log says that the first was waited for", || {
            site.nginx.file("sl.access.log").contains("said=\"504")
        });
    }
}

#[test]
fn a_replica_that_is_stopping_says_so_and_another_is_asked() {
    for (call, method) in every_call() {
        let (gone, alive) = (Fake::start(|_| stopping()), Fake::start(|_| Do::Say("alive")));
        let reply = ask(call, method, &[gone.port, free_port(), alive.port]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
        got(&gone, call, method);
        got(&alive, call, method);
    }
}

#[test]
fn reads_and_creates_are_sent_again_when_the_connection_breaks() {
    for call in READS {
        for method in ["GET", "POST"] {
            let (broken, alive) = (Fake::start(|_| Do::Reset), Fake::start(|_| Do::Say("alive")));
            let reply = ask(call, method, &[broken.port, alive.port]);
            assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
            got(&broken, call, method);
            got(&alive, call, method);
        }
    }
}

#[test]
fn what_may_have_been_carried_out_is_not_sent_again() {
    for call in WRITES {
        for method in ["GET", "POST"] {
            let (broken, alive) = (Fake::start(|_| Do::Reset), Fake::start(|_| Do::Say("alive")));
            let reply = ask(call, method, &[broken.port, alive.port]);
            assert_eq!(reply.status, 502, "{method} {call}: {reply:?}");
            got(&broken, call, method);
            assert_eq!(alive.seen().len(), 0, "{method} {call}");
        }
    }
}

#[test]
fn it_does_not_matter_how_long_it_was() {
    // Numbers of bytes that end in any digit: 610 is not nothing.
    let alive = Fake::start(|_| Do::Say("alive"));
    for length in 0..10 {
        let broken = Fake::start(|_| Do::Reset);
        let site = Site::start("plain", &[broken.port, alive.port]);
        let reply = site.get(&format!("/bigbluebutton/api/join?a={}", "a".repeat(length)));
        assert_eq!((reply.status, broken.seen().len()), (502, 1));
    }
    assert_eq!(alive.seen().len(), 0);
}

#[test]
fn neither_is_it_when_the_first_replicas_could_not_be_reached() {
    let (broken, alive) = (Fake::start(|_| Do::Reset), Fake::start(|_| Do::Say("alive")));
    let reply = ask("join", "GET", &[free_port(), broken.port, alive.port]);
    assert_eq!(reply.status, 502);
    assert_eq!([broken.seen().len(), alive.seen().len()], [1, 0]);
}

#[test]
fn a_join_on_a_connection_that_was_kept_is_not_sent_again_either() {
    let kept = Fake::start(|number| if number == 1 { Do::Say("first") } else { Do::Reset });
    let alive = Fake::start(|_| Do::Say("alive"));
    let site = Site::start("plain", &[kept.port, alive.port]);
    assert_eq!(site.get("/bigbluebutton/api/join?n=1").body, "first");
    assert_eq!(site.get("/bigbluebutton/api/join?n=2").body, "alive");
    assert_eq!(site.get("/bigbluebutton/api/join?n=3").status, 502);
    assert_eq!([kept.seen().len(), alive.seen().len()], [2, 1]);
    assert_eq!(site.get("/bigbluebutton/api/join?n=4").body, "alive");
}

#[test]
fn with_no_replica_at_all_there_is_a_clean_error() {
    let site = Site::start("plain", &[free_port(), free_port()]);
    for call in ["isMeetingRunning", "create", "join", "end"] {
        // The first finds out, the next ones know.
        for _ in 0..3 {
            let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
            assert_eq!(reply.status, 502, "{call}: {reply:?}");
        }
    }
}

#[test]
fn a_replica_that_failed_before_is_asked_when_no_other_is_left() {
    for call in ["isMeetingRunning", "create", "join", "end"] {
        let back = Fake::start(|number| if number == 1 { stopping() } else { Do::Say("back") });
        let gone = Fake::start(|_| stopping());
        let site = Site::start("plain", &[back.port, gone.port]);
        for _ in 0..3 {
            let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
            assert_eq!((reply.status, reply.body.as_str()), (200, "back"), "{call}");
        }
    }
}

#[test]
fn the_files_name_each_replica_twice() {
    let text = std::fs::read_to_string(format!("{}/nginx/sl/replicas.conf", crate::support::ROOT)).unwrap();
    let servers: Vec<_> = text.lines().map(str::trim).filter(|line| line.starts_with("server ")).collect();
    let (backup, first): (Vec<&str>, Vec<&str>) = servers.iter().partition(|line| line.ends_with(" backup;"));
    let address = |line: &&str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(first.iter().map(address).collect::<Vec<_>>(), backup.iter().map(address).collect::<Vec<_>>());
    assert!(first.len() >= 2);
}
