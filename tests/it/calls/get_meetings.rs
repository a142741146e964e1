//! getMeetings: the meetings of all servers as one list.

use crate::assert_answer;
use crate::support::{Pool, QUICK};
use sl_sim::{Fault, FaultKind};
use std::time::{Duration, Instant};

fn busy(servers: usize, variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(servers, 1, variables);
    for n in 1..=servers {
        pool.server(n).create_meeting(&format!("on-{n}"), "A meeting");
    }
    pool
}

fn listed(pool: &Pool) -> Vec<String> {
    let body = pool.get("getMeetings", "").success().body;
    let mut ids: Vec<_> =
        body.split("<meetingID>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn the_meetings_of_all_servers_are_one_list() {
    let pool = Pool::start(3);
    // One after the other, so that the order is known.
    pool.server(2).set_fault(FaultKind::Slow { ms: 300 });
    for (id, n) in [("m1", 1), ("m2", 1), ("m3", 2)] {
        pool.directly(
            n,
            "create",
            &format!("meetingID={id}&name=M&attendeePW=ap&moderatorPW=mp&voiceBridge=1{n}{}", &id[1..]),
        );
    }
    pool.directly(1, "join", "meetingID=m1&fullName=A+%26+B&userID=u1&role=VIEWER");
    assert_answer!(pool.get("getMeetings", ""));
}

#[test]
fn what_stands_between_the_tags_goes_through_byte_for_byte() {
    let pool = Pool::start(1);
    pool.server(1).create_meeting("m1", "One & <Two> \u{1f600}");
    pool.server(1).add_breakouts("m1", 2, true);
    let inner = |body: &str| {
        let from = body.find("<meetings>").unwrap() + "<meetings>".len();
        body[from..body.find("</meetings>").unwrap()].to_owned()
    };
    let through = pool.get("getMeetings", "").success();
    assert_eq!(inner(&through.body), inner(&pool.directly(1, "getMeetings", "").body));
    assert!(through.body.contains("<isBreakout>true</isBreakout>"));
}

#[test]
fn no_meeting_anywhere_is_a_success_of_its_own_kind() {
    let pool = Pool::start(2);
    assert_answer!(pool.get("getMeetings", ""));
}

#[test]
fn no_server_at_all_is_the_same() {
    let pool = Pool::with(0, 1, &[]);
    assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"));
}

#[test]
fn switched_off_it_answers_that_there_are_none_unsigned_too() {
    let pool = busy(1, &[("GET_MEETINGS_API_DISABLED", "true")]);
    assert_answer!(pool.fetch("GET", "/bigbluebutton/api/getMeetings", &[], b""));
    assert_eq!(listed(&pool), [""; 0]);
    let wrong = pool.fetch("GET", "/bigbluebutton/api/getMeetings?checksum=x", &[], b"");
    assert_eq!(wrong.success().xml("messageKey"), Some("noMeetings"));
    assert_eq!(
        pool.fetch("POST", "/bigbluebutton/api/getMeetings", &[], b"").xml("returncode"),
        Some("SUCCESS")
    );
}

#[test]
fn switched_on_it_needs_a_checksum() {
    let pool = busy(1, &[]);
    assert_eq!(pool.fetch("GET", "/bigbluebutton/api/getMeetings", &[], b"").failed(), "checksumError");
}

#[test]
fn every_server_that_fails_is_left_out_and_named_in_the_log() {
    let pool = busy(8, &QUICK);
    for (n, kind) in [
        FaultKind::Refuse,
        FaultKind::Reset,
        FaultKind::Hang,
        FaultKind::Garbage,
        FaultKind::Status { code: 500 },
        FaultKind::DeepXml { depth: 1000 },
        FaultKind::Full,
    ]
    .into_iter()
    .enumerate()
    {
        pool.server(n + 1).set_fault(Fault::new(kind).on(["getMeetings"]));
    }
    assert_eq!(listed(&pool), ["on-8"]);
    let log = pool.replicas[0].log();
    for n in 1..=7 {
        assert!(log.contains(&format!("bbb{n}\"")), "bbb{n} is not named: {log}");
    }
    assert!(!log.contains("bbb8"), "{log}");
    (1..=7).for_each(|n| pool.server(n).clear_faults());
    assert_eq!(listed(&pool).len(), 8);
}

#[test]
fn all_servers_failing_is_an_empty_list_and_no_error() {
    let pool = busy(3, &QUICK);
    (1..=3).for_each(|n| pool.server(n).set_fault(FaultKind::Reset));
    let reply = pool.get("getMeetings", "").success();
    assert_eq!(reply.xml("messageKey"), Some("noMeetings"));
}

#[test]
fn all_servers_are_asked_at_once() {
    let pool = busy(8, &[]);
    for n in 1..=8 {
        pool.server(n).set_fault(FaultKind::Slow { ms: 1000 });
    }
    let begun = Instant::now();
    assert_eq!(listed(&pool).len(), 8);
    assert!(begun.elapsed() < Duration::from_secs(7), "one after the other: {:?}", begun.elapsed());
}

#[test]
fn servers_that_are_cordoned_or_disabled_are_asked_and_those_offline_are_not() {
    let pool = busy(3, &[]);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    pool.sl_ok(&["servers", "cordon", "bbb2"]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb3", "online", "false"]);
    pool.server(3).reset_counts();
    assert_eq!(listed(&pool), ["on-1", "on-2"]);
    assert_eq!(pool.server(3).counts().total, 0);
}

#[test]
fn it_may_come_as_a_form() {
    let pool = busy(1, &[]);
    let reply = pool.post("getMeetings", "", "application/x-www-form-urlencoded", b"anything=1");
    assert_eq!(reply.success().xml("meetingID"), Some("on-1"));
}

#[test]
fn five_hundred_meetings_come_whole() {
    let pool = Pool::start(2);
    for m in 0..500 {
        pool.server(1 + m % 2).create_meeting(&format!("m{m:03}"), "A meeting");
    }
    let ids = listed(&pool);
    assert_eq!(ids.len(), 500);
    assert_eq!((ids[0].as_str(), ids[499].as_str()), ("m000", "m499"));
    assert!(pool.get("getMeetings", "").body.ends_with("</meetings></response>"));
}
