//! create.

use crate::support::Pool;

#[test]
fn a_meeting_is_created_and_found_again() {
    let pool = Pool::start(2);
    let first = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(first.xml("voiceBridge"), Some("979198380"));
    assert_eq!(first.xml("messageKey"), Some(""));
    let again = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert!(pool.holder("m1").is_some());
}
