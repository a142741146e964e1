//! end: the server first, then the records.

use crate::assert_answer;
use crate::support::{Pool, QUICK};
use sl_sim::FaultKind;

#[test]
fn a_meeting_that_ended_leaves_nothing_behind() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.all_is_kept_of("m1");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:voice_bridges", "979198380"]), "m1");
    assert_answer!(pool.get("end", "meetingID=m1&password=mp"));
    pool.nothing_is_left_of("m1");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:voice_bridges", "979198380"]), "");
    assert_eq!(pool.holder("m1"), None);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
}

#[test]
fn end_may_come_as_a_form() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.post("end", "", "application/x-www-form-urlencoded", b"meetingID=m1&password=mp").success();
    pool.nothing_is_left_of("m1");
}

#[test]
fn a_meeting_that_its_server_does_not_know_any_more_is_forgotten() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).forget_meeting("m1");
    assert_answer!(pool.get("end", "meetingID=m1"));
    pool.nothing_is_left_of("m1");
}

#[test]
fn an_unknown_meeting_cannot_be_ended() {
    let pool = Pool::start(1);
    assert_answer!(pool.get("end", "meetingID=m1"));
    assert_eq!(pool.get("end", "meetingID=+").failed(), "missingParamMeetingID");
    assert_eq!(pool.server(1).counts().end, 0);
}

#[test]
fn a_wrong_password_ends_nothing() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(pool.get("end", "meetingID=m1&password=wrong").failed(), "invalidPassword");
    pool.all_is_kept_of("m1");
}

#[test]
fn a_server_that_does_not_answer_keeps_its_meeting() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=m1").success();
    for kind in [
        FaultKind::Refuse,
        FaultKind::Reset,
        FaultKind::Hang,
        FaultKind::Garbage,
        FaultKind::Status { code: 503 },
        FaultKind::Status { code: 404 },
    ] {
        pool.server(1).set_fault(kind);
        let reply = pool.get("end", "meetingID=m1");
        assert_eq!(reply.failed(), "internalError");
        assert_eq!(reply.xml("message"), Some("Unable to access meeting on server."));
        pool.all_is_kept_of("m1");
    }
    pool.server(1).clear_faults();
    pool.get("end", "meetingID=m1").success();
    pool.nothing_is_left_of("m1");
}

#[test]
fn an_end_whose_answer_was_lost_can_be_repeated() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).set_fault(FaultKind::ResetAfter);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "internalError");
    pool.server(1).clear_faults();
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
    pool.nothing_is_left_of("m1");
}

#[test]
fn a_meeting_whose_server_left_the_pool_is_unknown() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.redis.cli(&["DEL", "scalelite:server:bbb1"]);
    pool.redis.cli(&["SREM", "scalelite:servers", "bbb1"]);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "notFound");
    assert_eq!(pool.get("join", "meetingID=m1&fullName=A&role=VIEWER").failed(), "notFound");
    assert_eq!(pool.get("sendChatMessage", "meetingID=m1&message=A").failed(), "notFound");
    let running = pool.get("isMeetingRunning", "meetingID=m1").success();
    assert_eq!(running.xml("running"), Some("false"));
}
