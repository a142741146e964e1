//! end: ends the meeting on its server, then releases the records.

use crate::assert_response;
use crate::support::{Pool, SHORT_TIMEOUTS};
use sl_sim::FaultKind;

#[test]
fn end_releases_all_records_of_meeting() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.assert_meeting_recorded("m1");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:voice_bridges", "979198380"]), "m1");
    assert_response!(pool.get("end", "meetingID=m1&password=mp"));
    pool.assert_meeting_released("m1");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:voice_bridges", "979198380"]), "");
    assert_eq!(pool.holder("m1"), None);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
}

#[test]
fn end_accepts_form_body() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.post("end", "", "application/x-www-form-urlencoded", b"meetingID=m1&password=mp").success();
    pool.assert_meeting_released("m1");
}

#[test]
fn end_releases_meeting_unknown_to_its_server() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).forget_meeting("m1");
    assert_response!(
        pool.get("end", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find a meeting with that meeting ID</message></response>"
    );
    pool.assert_meeting_released("m1");
}

#[test]
fn end_fails_for_unknown_meeting() {
    let pool = Pool::start(1);
    assert_response!(
        pool.get("end", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find a meeting with that meeting ID - perhaps the meeting is not yet running?</message>\
              </response>"
    );
    assert_eq!(pool.get("end", "meetingID=+").failed(), "missingParamMeetingID");
    assert_eq!(pool.server(1).counts().end, 0);
}

#[test]
fn end_with_wrong_password_keeps_meeting() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(pool.get("end", "meetingID=m1&password=wrong").failed(), "invalidPassword");
    pool.assert_meeting_recorded("m1");
}

#[test]
fn end_keeps_record_when_server_does_not_answer() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
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
        pool.assert_meeting_recorded("m1");
    }
    pool.server(1).clear_faults();
    pool.get("end", "meetingID=m1").success();
    pool.assert_meeting_released("m1");
}

#[test]
fn end_can_be_retried_after_lost_response() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).set_fault(FaultKind::ResetAfter);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "internalError");
    pool.server(1).clear_faults();
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
    pool.assert_meeting_released("m1");
}

#[test]
fn meeting_of_removed_server_is_not_found() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.redis.cli(&["DEL", "scalelite:server:bbb1"]);
    pool.redis.cli(&["SREM", "scalelite:servers", "bbb1"]);
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "notFound");
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "notFound");
    assert_eq!(pool.get("join", "meetingID=m1&fullName=A&role=VIEWER").failed(), "notFound");
    assert_eq!(pool.get("sendChatMessage", "meetingID=m1&message=A").failed(), "meetingNotFound");
    let running = pool.get("isMeetingRunning", "meetingID=m1").success();
    assert_eq!(running.xml("running"), Some("false"));
}

#[test]
fn end_releases_meeting_unknown_to_a_server_of_bbb_2_4() {
    let pool = Pool::start(1);
    pool.server(1).set_version("2.4.9".parse().unwrap());
    pool.get("create", "meetingID=m1").success();
    pool.server(1).forget_meeting("m1");
    assert_eq!(pool.get("end", "meetingID=m1").failed(), "validationError");
    pool.assert_meeting_released("m1");
}
