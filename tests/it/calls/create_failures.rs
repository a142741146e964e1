//! create on a failing server: an error, and no record left. If it is unclear whether the meeting was created,
//! the server is queried.

use crate::assert_response;
use crate::support::{Pool, Reply, SHORT_TIMEOUTS};
use sl_sim::{Fault, FaultKind};

#[track_caller]
fn assert_create_failed(reply: &Reply) {
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(reply.xml("message"), Some("Unable to create meeting on server."));
}

fn assert_no_record_left(fault: impl Into<Fault>) {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.server(1).set_fault(fault);
    assert_create_failed(&pool.get("create", "meetingID=m1"));
    pool.assert_meeting_released("m1");
    pool.server(1).clear_faults();
    // It may have been marked offline in the meantime.
    pool.sl_ok(&["poll"]);
    let reply = pool.get("create", "meetingID=m1").success();
    assert_eq!(reply.xml("messageKey"), Some(""), "the meeting must be new");
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_failure_matches_scalelite_error() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Status { code: 500 });
    assert_response!(
        pool.get("create", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey>\
              <message>Unable to create meeting on server.</message></response>"
    );
}

#[test]
fn create_leaves_no_record_when_server_refuses_connections() {
    assert_no_record_left(FaultKind::Refuse);
}

#[test]
fn create_leaves_no_record_when_server_resets_connections() {
    assert_no_record_left(FaultKind::Reset);
}

#[test]
fn create_leaves_no_record_when_server_hangs() {
    assert_no_record_left(FaultKind::Hang);
}

#[test]
fn create_leaves_no_record_when_server_hangs_on_create_only() {
    assert_no_record_left(Fault::new(FaultKind::Hang).on(["create"]));
}

#[test]
fn create_leaves_no_record_when_server_returns_500() {
    assert_no_record_left(FaultKind::Status { code: 500 });
}

#[test]
fn create_leaves_no_record_when_server_returns_garbage() {
    assert_no_record_left(FaultKind::Garbage);
}

#[test]
fn create_leaves_no_record_when_returncode_is_missing() {
    assert_no_record_left(FaultKind::NoReturncode);
}

/// The server has the meeting though its response was lost: the record is correct and stays.
fn assert_record_kept(fault: Fault) {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    (1..=2).for_each(|n| pool.server(n).set_fault(fault.clone().on(["create"])));
    assert_create_failed(&pool.get("create", "meetingID=m1&moderatorPW=mp"));
    pool.assert_meeting_recorded("m1");
    let holder = pool.holder("m1").unwrap();
    (1..=2).for_each(|n| pool.server(n).clear_faults());
    let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert_eq!(pool.holder("m1"), Some(holder), "a meeting is never on two servers");
    pool.get("isMeetingRunning", "meetingID=m1").success();
}

#[test]
fn create_keeps_record_when_server_hangs_after_creating_meeting() {
    assert_record_kept(Fault::new(FaultKind::HangAfter));
}

#[test]
fn create_keeps_record_when_connection_breaks_after_creating_meeting() {
    assert_record_kept(Fault::new(FaultKind::ResetAfter));
}

#[test]
fn create_keeps_record_when_response_is_truncated() {
    assert_record_kept(Fault::new(FaultKind::Truncated));
}

#[test]
fn create_forwards_error_of_full_server_and_leaves_no_record() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Full);
    assert_response!(
        pool.get("create", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>maxConcurrentMeetings</messageKey>\
              <message>The maximum number of concurrent meetings on this server has been reached.</message>\
              </response>"
    );
    pool.assert_meeting_released("m1");
}

#[test]
fn failed_second_create_keeps_record_of_live_meeting() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1").success();
    for kind in [FaultKind::Refuse, FaultKind::Reset, FaultKind::Full, FaultKind::Forget] {
        pool.server(1).set_fault(kind);
        pool.get("create", "meetingID=m1").failed();
        pool.assert_meeting_recorded("m1");
    }
}

#[test]
fn create_leaves_no_record_when_server_rejects_checksum() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::WrongChecksum);
    pool.get("create", "meetingID=m1").failed();
    pool.assert_meeting_released("m1");
}
