//! A log that cannot be written costs log lines and nothing else: full disk, closed pipe, a pipe without a reader.

use crate::support::{Pool, SHORT_TIMEOUTS, client, eventually};
use sl_sim::FaultKind;
use std::io::{Read, Write};
use std::process::Stdio;

/// Two servers of which the second fails, and no replica yet. Every request and every poll has something to log.
fn pool() -> Pool {
    let mut settings = SHORT_TIMEOUTS.to_vec();
    settings.extend([("POLL_INTERVAL", "1"), ("LOG_LEVEL", "trace"), ("WORKER_THREADS", "2")]);
    let pool = Pool::with(2, 0, &settings);
    pool.server(2).set_fault(FaultKind::Status { code: 500 });
    pool
}

/// Uses everything that logs, and checks that the replica and its poller are unimpressed.
#[track_caller]
fn assert_works(pool: &mut Pool, replica: usize) {
    for n in 0..100 {
        let query = format!("meetingID=m{n}&name=M&moderatorPW=mp&fullName=A&role=VIEWER&password=mp");
        pool.get_at(replica, "create", &query).success();
        assert_eq!(pool.get_at(replica, "join", &query).status, 302);
        pool.get_at(replica, "isMeetingRunning", &query).success();
        pool.get_at(replica, "getMeetings", "").success();
        pool.get_at(replica, "end", &query).success();
    }
    let polls = pool.server(1).counts().get_meetings;
    eventually("polls continue", || pool.server(1).counts().get_meetings > polls + 2);
    eventually("the failed server is offline", || {
        pool.redis.cli(&["ZSCORE", "scalelite:server_load", "bbb2"]).is_empty()
    });
    pool.server(2).clear_faults();
    eventually("it is back", || !pool.redis.cli(&["ZSCORE", "scalelite:server_load", "bbb2"]).is_empty());
    assert!(pool.replicas[replica].is_alive());
    pool.replicas[replica].terminate();
    assert_eq!(pool.replicas[replica].wait_for_exit(std::time::Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn replica_works_while_its_log_is_on_a_full_disk() {
    let mut pool = pool();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let replica = pool.serve_writing_to(&[], full);
    assert_works(&mut pool, replica);
}

#[test]
fn replica_works_after_the_reader_of_its_log_has_gone() {
    let mut pool = pool();
    let (reader, writer) = std::io::pipe().unwrap();
    let replica = pool.serve_writing_to(&[], writer);
    drop(reader);
    assert_works(&mut pool, replica);
}

#[test]
fn replica_works_while_the_reader_of_its_log_reads_nothing() {
    let mut pool = pool();
    let (reader, writer) = std::io::pipe().unwrap();
    let replica = pool.serve_writing_to(&[], writer);
    assert_works(&mut pool, replica);
    drop(reader);
}

#[test]
fn lost_log_lines_are_counted_in_the_log_once_it_is_read_again() {
    let mut pool = Pool::with(1, 0, &[("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let replica = pool.serve_writing_to(&["--no-poller"], writer);
    // More than the pipe and the queue hold.
    let mut stream = client::connect(&pool.address(replica));
    for _ in 0..200 {
        stream
            .write_all(
                "GET /bigbluebutton/api/end?meetingID=m HTTP/1.1\r\nHost: sl\r\n\r\n".repeat(100).as_bytes(),
            )
            .unwrap();
        client::read_responses(&mut stream, 100);
    }
    drop(stream);
    pool.replicas[replica].terminate();
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    let lost = log.lines().find(|line| line.contains("log lines were lost")).expect("lines were lost");
    let lost: serde_json::Value = serde_json::from_str(lost).unwrap();
    assert!(lost["lines"].as_u64().unwrap() > 0, "{lost}");
    assert!(log.lines().last().unwrap().contains("stopped"), "the last lines come out");
}

#[test]
fn last_lines_are_written_before_exit() {
    let mut pool = Pool::with(1, 0, &[]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let replica = pool.serve_writing_to(&["--no-poller"], writer);
    pool.replicas[replica].terminate();
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(log.trim_end().ends_with("stopped"), "{log}");
}

#[test]
fn command_reports_its_failure_by_its_status_where_it_cannot_print_it() {
    let pool = Pool::empty(0, &[]);
    let mut command = pool.command();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = command.args(["servers", "enable", "none"]).stdout(Stdio::null()).stderr(full).status();
    assert_eq!(status.unwrap().code(), Some(1));
}
