//! isMeetingRunning.

use crate::assert_response;
use crate::support::Pool;

#[test]
fn unknown_meeting_is_not_running() {
    let pool = Pool::start(1);
    assert_response!(
        pool.get("isMeetingRunning", "meetingID=m1"),
        xml @"<response><returncode>SUCCESS</returncode><running>false</running></response>"
    );
    assert_eq!(pool.server(1).counts().is_meeting_running, 0);
    assert_eq!(pool.get("isMeetingRunning", "").failed(), "missingParamMeetingID");
}

#[test]
fn meeting_is_running_once_a_participant_joined() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1").success();
    assert_eq!(pool.get("isMeetingRunning", "meetingID=m1").success().xml("running"), Some("false"));
    pool.server(pool.holder("m1").unwrap()).add_people("m1", 1);
    assert_response!(
        pool.get("isMeetingRunning", "meetingID=m1"),
        xml @"<response><returncode>SUCCESS</returncode><running>true</running></response>"
    );
}

#[test]
fn is_meeting_running_accepts_form_body() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).add_people("m1", 1);
    let form = "application/x-www-form-urlencoded";
    let reply = pool.post("isMeetingRunning", "", form, b"meetingID=m1").success();
    assert_eq!(reply.xml("running"), Some("true"));
}

#[test]
fn is_meeting_running_queries_server_marked_offline() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).add_people("m1", 1);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "online", "false"]);
    assert_eq!(pool.get("isMeetingRunning", "meetingID=m1").success().xml("running"), Some("true"));
}
