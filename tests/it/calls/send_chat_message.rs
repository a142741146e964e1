//! sendChatMessage.

use crate::assert_response;
use crate::support::Pool;

fn meeting() -> Pool {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    pool.server(1).add_people("m1", 1);
    pool
}

#[test]
fn chat_message_reaches_meeting() {
    let pool = meeting();
    assert_response!(
        pool.get("sendChatMessage", "meetingID=m1&message=Hi%20%26+%F0%9F%98%80&userName=Bot"),
        xml @"<response><returncode>SUCCESS</returncode><messageKey></messageKey><message></message>\
              </response>"
    );
    assert_eq!(pool.server(1).meeting("m1").unwrap().chat, ["Hi & 😀"]);
}

#[test]
fn chat_message_of_500_unicode_characters_reaches_meeting() {
    let pool = meeting();
    let query = format!("meetingID=m1&message={}", "%E3%81%82".repeat(500));
    pool.get("sendChatMessage", &query).success();
    assert_eq!(pool.server(1).meeting("m1").unwrap().chat, ["あ".repeat(500)]);
}

#[test]
fn server_error_for_bad_chat_message_is_forwarded() {
    let pool = meeting();
    assert_response!(
        pool.get("sendChatMessage", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><errors><error key=\"validationError\" message=\"You \
              must provide a message\"/></errors></response>"
    );
}

#[test]
fn send_chat_message_fails_for_unknown_meeting() {
    let pool = meeting();
    assert_response!(
        pool.get("sendChatMessage", "meetingID=m2&message=x"),
        xml @"<response><returncode>FAILED</returncode><messageKey>meetingNotFound</messageKey>\
              <message>Meeting not found or not active</message></response>"
    );
    // The server's answer where nobody is.
    pool.server(1).remove_people("m1", 1);
    assert_response!(
        pool.get("sendChatMessage", "meetingID=m1&message=x"),
        xml @"<response><returncode>FAILED</returncode><messageKey>meetingNotFound</messageKey>\
              <message>Meeting not found or not active</message></response>"
    );
    assert_eq!(pool.get("sendChatMessage", "message=x").failed(), "missingParamMeetingID");
}
