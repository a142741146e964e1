//! getMeetings: the meetings of all servers as one list.

use crate::assert_response;
use crate::support::{Pool, SHORT_TIMEOUTS};
use sl_sim::{Fault, FaultKind};
use std::time::{Duration, Instant};

fn pool_with_meetings(servers: usize, variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(servers, 1, variables);
    for n in 1..=servers {
        pool.server(n).create_meeting(&format!("on-{n}"), "A meeting");
    }
    pool
}

fn meeting_ids(pool: &Pool) -> Vec<String> {
    let body = pool.get("getMeetings", "").success().body;
    let mut ids: Vec<_> =
        body.split("<meetingID>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn get_meetings_merges_meetings_of_all_servers() {
    let pool = Pool::start(3);
    // Delay the second server so that the order is known.
    pool.server(2).set_fault(FaultKind::Slow { ms: 300 });
    for (id, n) in [("m1", 1), ("m2", 1), ("m3", 2)] {
        pool.get_from_server(
            n,
            "create",
            &format!("meetingID={id}&name=M&attendeePW=ap&moderatorPW=mp&voiceBridge=1{n}{}", &id[1..]),
        );
    }
    pool.get_from_server(1, "join", "meetingID=m1&fullName=A+%26+B&userID=u1&role=VIEWER");
    assert_response!(pool.get("getMeetings", ""));
}

#[test]
fn meeting_elements_are_forwarded_byte_for_byte() {
    let pool = Pool::start(1);
    pool.server(1).create_meeting("m1", "One & <Two> \u{1f600}");
    pool.server(1).add_breakouts("m1", 2, true);
    let inner = |body: &str| {
        let from = body.find("<meetings>").unwrap() + "<meetings>".len();
        body[from..body.find("</meetings>").unwrap()].to_owned()
    };
    let through = pool.get("getMeetings", "").success();
    assert_eq!(inner(&through.body), inner(&pool.get_from_server(1, "getMeetings", "").body));
    assert!(through.body.contains("<isBreakout>true</isBreakout>"));
}

#[test]
fn get_meetings_without_meetings_returns_no_meetings_success() {
    let pool = Pool::start(2);
    assert_response!(
        pool.get("getMeetings", ""),
        xml @"<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey><message>no \
              meetings were found on this server</message><meetings/></response>"
    );
}

#[test]
fn get_meetings_without_servers_returns_no_meetings() {
    let pool = Pool::with(0, 1, &[]);
    assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"));
}

#[test]
fn disabled_get_meetings_returns_none_even_unsigned() {
    let pool = pool_with_meetings(1, &[("GET_MEETINGS_API_DISABLED", "true")]);
    assert_response!(
        pool.fetch("GET", "/bigbluebutton/api/getMeetings", &[], b""),
        xml @"<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey><message>no \
              meetings were found on this server</message><meetings/></response>"
    );
    assert_eq!(meeting_ids(&pool), [""; 0]);
    let wrong = pool.fetch("GET", "/bigbluebutton/api/getMeetings?checksum=x", &[], b"");
    assert_eq!(wrong.success().xml("messageKey"), Some("noMeetings"));
    assert_eq!(
        pool.fetch("POST", "/bigbluebutton/api/getMeetings", &[], b"").xml("returncode"),
        Some("SUCCESS")
    );
}

#[test]
fn enabled_get_meetings_requires_checksum() {
    let pool = pool_with_meetings(1, &[]);
    assert_eq!(pool.fetch("GET", "/bigbluebutton/api/getMeetings", &[], b"").failed(), "checksumError");
}

#[test]
fn get_meetings_skips_and_logs_failing_servers() {
    let pool = pool_with_meetings(8, &SHORT_TIMEOUTS);
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
    assert_eq!(meeting_ids(&pool), ["on-8"]);
    let log = pool.replicas[0].log();
    for n in 1..=7 {
        assert!(log.contains(&format!("bbb{n}\"")), "bbb{n} is not named: {log}");
    }
    assert!(!log.contains("bbb8"), "{log}");
    (1..=7).for_each(|n| pool.server(n).clear_faults());
    assert_eq!(meeting_ids(&pool).len(), 8);
}

#[test]
fn get_meetings_returns_empty_list_when_all_servers_fail() {
    let pool = pool_with_meetings(3, &SHORT_TIMEOUTS);
    (1..=3).for_each(|n| pool.server(n).set_fault(FaultKind::Reset));
    let reply = pool.get("getMeetings", "").success();
    assert_eq!(reply.xml("messageKey"), Some("noMeetings"));
}

#[test]
fn get_meetings_queries_servers_concurrently() {
    let pool = pool_with_meetings(8, &[]);
    for n in 1..=8 {
        pool.server(n).set_fault(FaultKind::Slow { ms: 1000 });
    }
    let started = Instant::now();
    assert_eq!(meeting_ids(&pool).len(), 8);
    assert!(started.elapsed() < Duration::from_secs(7), "one after the other: {:?}", started.elapsed());
}

#[test]
fn get_meetings_queries_cordoned_and_disabled_but_not_offline_servers() {
    let pool = pool_with_meetings(3, &[]);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    pool.sl_ok(&["servers", "cordon", "bbb2"]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb3", "online", "false"]);
    pool.server(3).reset_counts();
    assert_eq!(meeting_ids(&pool), ["on-1", "on-2"]);
    assert_eq!(pool.server(3).counts().total, 0);
}

#[test]
fn get_meetings_accepts_form_body() {
    let pool = pool_with_meetings(1, &[]);
    let reply = pool.post("getMeetings", "", "application/x-www-form-urlencoded", b"anything=1");
    assert_eq!(reply.success().xml("meetingID"), Some("on-1"));
}

#[test]
fn get_meetings_returns_500_meetings_complete() {
    let pool = Pool::start(2);
    for m in 0..500 {
        pool.server(1 + m % 2).create_meeting(&format!("m{m:03}"), "A meeting");
    }
    let ids = meeting_ids(&pool);
    assert_eq!(ids.len(), 500);
    assert_eq!((ids[0].as_str(), ids[499].as_str()), ("m000", "m499"));
    assert!(pool.get("getMeetings", "").body.ends_with("</meetings></response>"));
}
