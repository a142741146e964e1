//! Retries: which requests nginx sends to a second replica when the first does not respond.

use super::fake_replica::{Reaction, draining};
use super::{FakeReplica, Site};
use crate::support::client::{Reply, fetch};
use crate::support::{eventually, free_port};

const READS: [&str; 10] = [
    "isMeetingRunning",
    "getMeetingInfo",
    "getMeetingInfo/",
    "getMeetings",
    "getRecordings",
    "getRecordingTextTracks",
    "create",
    "create/",
    "join",
    "join/",
];

const WRITES: [&str; 11] = [
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

/// Sends a call through a fresh nginx, which knows nothing yet of these replicas.
fn send_call(call: &str, method: &str, replicas: &[u16]) -> Reply {
    let site = Site::start("plain", replicas);
    let url = site.url(&format!("/bigbluebutton/api/{call}?meetingID=a%20b+c~%7E'*&checksum=1"));
    let body = if method == "POST" { BODY } else { b"" };
    fetch(method, &url, &[("content-type", "application/x-www-form-urlencoded")], body)
}

fn every_call() -> impl Iterator<Item = (&'static str, &'static str)> {
    READS.into_iter().chain(WRITES).flat_map(|call| [(call, "GET"), (call, "POST")])
}

/// Asserts that the replica received this request once, complete, as the client wrote it.
#[track_caller]
fn assert_received_once(fake: &FakeReplica, call: &str, method: &str) {
    let received = fake.received();
    assert_eq!(received.len(), 1, "{method} {call}: {received:?}");
    let line = format!("{method} /bigbluebutton/api/{call}?meetingID=a%20b+c~%7E'*&checksum=1 HTTP/1.1\r\n");
    assert!(received[0].starts_with(&line), "{received:?}");
    assert_eq!(received[0].ends_with("\r\n\r\na=1&b=2"), method == "POST", "{received:?}");
}

#[test]
fn unreachable_replica_is_skipped_for_every_call() {
    for (call, method) in every_call() {
        let alive = FakeReplica::start(|_| Reaction::Respond("alive"));
        let reply = send_call(call, method, &[free_port(), free_port(), alive.port]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
        assert_received_once(&alive, call, method);
    }
}

#[test]
fn replica_that_times_out_connecting_is_skipped() {
    // Its backlog is full: another connection attempt gets no reply.
    let vanished = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    vanished.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    vanished.listen(0).unwrap();
    let address = vanished.local_addr().unwrap().as_socket().unwrap();
    let _taken = std::net::TcpStream::connect(address).unwrap();
    let edit = ("sl/server.conf", "proxy_connect_timeout 2s;", "proxy_connect_timeout 200ms;");
    for call in ["getMeetingInfo", "create", "join", "end"] {
        let alive = FakeReplica::start(|_| Reaction::Respond("alive"));
        let site = Site::edited("plain", &[address.port(), alive.port], &[edit]);
        let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
        assert_eq!((reply.status, alive.received().len()), (200, 1), "{call}");
        eventually("the log shows the timeout of the first", || {
            site.nginx.file("sl.access.log").contains("said=\"504")
        });
    }
}

#[test]
fn draining_replica_is_skipped_for_every_call() {
    for (call, method) in every_call() {
        let (drained, alive) =
            (FakeReplica::start(|_| draining()), FakeReplica::start(|_| Reaction::Respond("alive")));
        let reply = send_call(call, method, &[drained.port, free_port(), alive.port]);
        assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
        assert_received_once(&drained, call, method);
        assert_received_once(&alive, call, method);
    }
}

#[test]
fn reads_joins_and_creates_are_retried_when_connection_breaks() {
    for call in READS {
        for method in ["GET", "POST"] {
            let (broken, alive) =
                (FakeReplica::start(|_| Reaction::Reset), FakeReplica::start(|_| Reaction::Respond("alive")));
            let reply = send_call(call, method, &[broken.port, alive.port]);
            assert_eq!((reply.status, reply.body.as_str()), (200, "alive"), "{method} {call}");
            assert_received_once(&broken, call, method);
            assert_received_once(&alive, call, method);
        }
    }
}

#[test]
fn writes_are_not_retried_when_connection_breaks() {
    for call in WRITES {
        for method in ["GET", "POST"] {
            let (broken, alive) =
                (FakeReplica::start(|_| Reaction::Reset), FakeReplica::start(|_| Reaction::Respond("alive")));
            let reply = send_call(call, method, &[broken.port, alive.port]);
            assert_eq!(reply.status, 502, "{method} {call}: {reply:?}");
            assert_received_once(&broken, call, method);
            assert_eq!(alive.received().len(), 0, "{method} {call}");
        }
    }
}

/// The replica makes such a join on the BBB server: a second one would be a second participant.
#[test]
fn join_without_redirect_is_not_retried() {
    for query in ["meetingID=m&redirect=false", "redirect=FALSE&meetingID=m"] {
        let (broken, alive) =
            (FakeReplica::start(|_| Reaction::Reset), FakeReplica::start(|_| Reaction::Respond("alive")));
        let site = Site::start("plain", &[broken.port, alive.port]);
        let target = format!("/bigbluebutton/api/join?{query}");
        assert_eq!(site.get(&target).status, 502, "{query}");
        assert!(broken.received()[0].starts_with(&format!("GET {target} HTTP/1.1\r\n")));
        assert_eq!((broken.received().len(), alive.received().len()), (1, 0), "{query}");
        // nginx knows of the failure now; a replica that is not reached is skipped.
        assert_eq!(site.get(&target).body, "alive");
    }
    let alive = FakeReplica::start(|_| Reaction::Respond("alive"));
    let site = Site::start("plain", &[free_port(), alive.port]);
    assert_eq!(site.get("/bigbluebutton/api/join?redirect=false").body, "alive");
}

#[test]
fn writes_of_any_length_are_not_retried() {
    // Byte counts that end in any digit: the pattern for 0 bytes must not match 610.
    let alive = FakeReplica::start(|_| Reaction::Respond("alive"));
    for length in 0..10 {
        let broken = FakeReplica::start(|_| Reaction::Reset);
        let site = Site::start("plain", &[broken.port, alive.port]);
        let reply = site.get(&format!("/bigbluebutton/api/end?a={}", "a".repeat(length)));
        assert_eq!((reply.status, broken.received().len()), (502, 1));
    }
    assert_eq!(alive.received().len(), 0);
}

#[test]
fn write_is_not_retried_after_skipping_unreachable_replica() {
    let (broken, alive) =
        (FakeReplica::start(|_| Reaction::Reset), FakeReplica::start(|_| Reaction::Respond("alive")));
    let reply = send_call("end", "GET", &[free_port(), broken.port, alive.port]);
    assert_eq!(reply.status, 502);
    assert_eq!([broken.received().len(), alive.received().len()], [1, 0]);
}

#[test]
fn write_on_kept_connection_is_not_retried() {
    let kept =
        FakeReplica::start(|number| if number == 1 { Reaction::Respond("first") } else { Reaction::Reset });
    let alive = FakeReplica::start(|_| Reaction::Respond("alive"));
    let site = Site::start("plain", &[kept.port, alive.port]);
    assert_eq!(site.get("/bigbluebutton/api/end?n=1").body, "first");
    assert_eq!(site.get("/bigbluebutton/api/end?n=2").body, "alive");
    assert_eq!(site.get("/bigbluebutton/api/end?n=3").status, 502);
    assert_eq!([kept.received().len(), alive.received().len()], [2, 1]);
    assert_eq!(site.get("/bigbluebutton/api/end?n=4").body, "alive");
}

#[test]
fn calls_get_502_without_any_replica() {
    let site = Site::start("plain", &[free_port(), free_port()]);
    for call in ["isMeetingRunning", "create", "join", "end"] {
        // The first call detects the failures; for the next ones nginx knows already.
        for _ in 0..3 {
            let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
            assert_eq!(reply.status, 502, "{call}: {reply:?}");
        }
    }
}

#[test]
fn failed_replica_is_tried_again_when_no_other_is_left() {
    for call in ["isMeetingRunning", "create", "join", "end"] {
        let returned =
            FakeReplica::start(|number| if number == 1 { draining() } else { Reaction::Respond("back") });
        let drained = FakeReplica::start(|_| draining());
        let site = Site::start("plain", &[returned.port, drained.port]);
        for _ in 0..3 {
            let reply = site.get(&format!("/bigbluebutton/api/{call}?meetingID=m"));
            assert_eq!((reply.status, reply.body.as_str()), (200, "back"), "{call}");
        }
    }
}

#[test]
fn replicas_conf_names_each_replica_twice() {
    let text = std::fs::read_to_string(format!("{}/nginx/sl/replicas.conf", crate::support::ROOT)).unwrap();
    let servers: Vec<_> = text.lines().map(str::trim).filter(|line| line.starts_with("server ")).collect();
    let (backup, first): (Vec<&str>, Vec<&str>) = servers.iter().partition(|line| line.ends_with(" backup;"));
    let address = |line: &&str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(first.iter().map(address).collect::<Vec<_>>(), backup.iter().map(address).collect::<Vec<_>>());
    assert!(first.len() >= 2);
}
