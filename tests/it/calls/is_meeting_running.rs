//! isMeetingRunning.

use crate::assert_answer;
use crate::support::Pool;

#[test]
fn an_unknown_meeting_does_not_run() {
    let pool = Pool::start(1);
    assert_answer!(pool.get("isMeetingRunning", "meetingID=m1"));
    assert_eq!(pool.server(1).counts().is_meeting_running, 0);
    assert_eq!(pool.get("isMeetingRunning", "").failed(), "missingParamMeetingID");
}

#[test]
fn a_known_meeting_runs_once_somebody_is_in_it() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1").success();
    assert_eq!(pool.get("isMeetingRunning", "meetingID=m1").success().xml("running"), Some("false"));
    pool.server(pool.holder("m1").unwrap()).add_people("m1", 1);
    assert_answer!(pool.get("isMeetingRunning", "meetingID=m1"));
}

#[test]
fn it_may_come_as_a_form() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).add_people("m1", 1);
    let form = "application/x-www-form-urlencoded";
    let reply = pool.post("isMeetingRunning", "", form, b"meetingID=m1").success();
    assert_eq!(reply.xml("running"), Some("true"));
}

#[test]
fn a_meeting_on_a_server_that_is_marked_offline_is_still_asked_for() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).add_people("m1", 1);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "online", "false"]);
    assert_eq!(pool.get("isMeetingRunning", "meetingID=m1").success().xml("running"), Some("true"));
}
