//! create on a server that fails: an error, and nothing left behind. Where it is not clear whether
//! the meeting came to be, its server is asked.

use crate::assert_answer;
use crate::support::{Pool, QUICK, Reply};
use sl_sim::{Fault, FaultKind};

#[track_caller]
fn could_not_create(reply: &Reply) {
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(reply.xml("message"), Some("Unable to create meeting on server."));
}

fn leaves_nothing(fault: impl Into<Fault>) {
    let pool = Pool::with(1, 1, &QUICK);
    pool.server(1).set_fault(fault);
    could_not_create(&pool.get("create", "meetingID=m1"));
    pool.nothing_is_left_of("m1");
    pool.server(1).clear_faults();
    // It may have been found offline meanwhile.
    pool.sl_ok(&["poll"]);
    let reply = pool.get("create", "meetingID=m1").success();
    assert_eq!(reply.xml("messageKey"), Some(""), "it is a new meeting");
    pool.all_is_kept_of("m1");
}

#[test]
fn the_error_is_that_of_scalelite() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Status { code: 500 });
    assert_answer!(pool.get("create", "meetingID=m1"));
}

#[test]
fn a_server_that_refuses_connections_keeps_no_meeting() {
    leaves_nothing(FaultKind::Refuse);
}

#[test]
fn a_server_that_resets_connections_keeps_no_meeting() {
    leaves_nothing(FaultKind::Reset);
}

#[test]
fn a_server_that_hangs_keeps_no_meeting() {
    leaves_nothing(FaultKind::Hang);
}

#[test]
fn a_server_that_hangs_on_create_only_keeps_no_meeting() {
    leaves_nothing(Fault::new(FaultKind::Hang).on(["create"]));
}

#[test]
fn a_server_that_answers_500_keeps_no_meeting() {
    leaves_nothing(FaultKind::Status { code: 500 });
}

#[test]
fn a_server_that_answers_garbage_keeps_no_meeting() {
    leaves_nothing(FaultKind::Garbage);
}

#[test]
fn a_server_that_answers_without_a_returncode_keeps_no_meeting() {
    leaves_nothing(FaultKind::NoReturncode);
}

/// The server has the meeting, though its answer was lost: the record is true and stays.
fn keeps_what_came_to_be(fault: Fault) {
    let pool = Pool::with(2, 1, &QUICK);
    (1..=2).for_each(|n| pool.server(n).set_fault(fault.clone().on(["create"])));
    could_not_create(&pool.get("create", "meetingID=m1&moderatorPW=mp"));
    pool.all_is_kept_of("m1");
    let holder = pool.holder("m1").unwrap();
    (1..=2).for_each(|n| pool.server(n).clear_faults());
    let again = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert_eq!(pool.holder("m1"), Some(holder), "one meeting never lands on two servers");
    pool.get("isMeetingRunning", "meetingID=m1").success();
}

#[test]
fn a_meeting_that_came_to_be_before_the_server_hung_keeps_its_record() {
    keeps_what_came_to_be(Fault::new(FaultKind::HangAfter));
}

#[test]
fn a_meeting_that_came_to_be_before_the_connection_broke_keeps_its_record() {
    keeps_what_came_to_be(Fault::new(FaultKind::ResetAfter));
}

#[test]
fn a_meeting_whose_answer_was_cut_off_keeps_its_record() {
    keeps_what_came_to_be(Fault::new(FaultKind::Truncated));
}

#[test]
fn a_full_server_says_so_itself_and_keeps_no_meeting() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::Full);
    assert_answer!(pool.get("create", "meetingID=m1"));
    pool.nothing_is_left_of("m1");
}

#[test]
fn a_live_meeting_keeps_its_record_when_a_second_create_fails() {
    let pool = Pool::with(1, 1, &QUICK);
    pool.get("create", "meetingID=m1").success();
    for kind in [FaultKind::Refuse, FaultKind::Reset, FaultKind::Full, FaultKind::Forget] {
        pool.server(1).set_fault(kind);
        pool.get("create", "meetingID=m1").failed();
        pool.all_is_kept_of("m1");
    }
}

#[test]
fn a_server_that_lost_its_secret_keeps_no_meeting() {
    let pool = Pool::start(1);
    pool.server(1).set_fault(FaultKind::WrongChecksum);
    pool.get("create", "meetingID=m1").failed();
    pool.nothing_is_left_of("m1");
}
