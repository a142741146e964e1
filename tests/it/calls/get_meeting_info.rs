//! getMeetingInfo.

use crate::assert_response;
use crate::support::{CannedServer, Pool};

#[test]
fn get_meeting_info_returns_server_response() {
    let pool = Pool::start(1);
    let query = "meetingID=m1&name=One&attendeePW=ap&moderatorPW=mp&meta_%C3%A9x=1&meta_a=%3Cb%3E";
    pool.get("create", query).success();
    pool.get("join", "meetingID=m1&fullName=J%C3%BCrgen+O'Neil&role=MODERATOR&userID=u1&redirect=false")
        .success();
    let through = pool.get("getMeetingInfo", "meetingID=m1");
    assert_eq!(through.body, pool.get_from_server(1, "getMeetingInfo", "meetingID=m1").body);
    assert_response!(through);
}

#[test]
fn get_meeting_info_fails_for_unknown_meeting() {
    let pool = Pool::start(1);
    assert_response!(
        pool.get("getMeetingInfo", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find a meeting with that meeting ID - perhaps the meeting is not yet running?</message>\
              </response>"
    );
    assert_eq!(pool.get("getMeetingInfo", "meetingId=m1").failed(), "missingParamMeetingID");
}

#[test]
fn get_meeting_info_accepts_form_body() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    let form = "application/x-www-form-urlencoded";
    let reply = pool.post("getMeetingInfo", "", form, b"meetingID=m1").success();
    assert_eq!(reply.xml("meetingID"), Some("m1"));
}

/// Unusual but valid XML.
const ODD: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes' ?>\r\n<!-- a comment -->\r\n\
    <response >\r\n\t<returncode> SUCCESS </returncode >\n<meetingID>m1</meetingID><x a='1'  b=\"&#x41;\"/>\
    <message>&amp;amp; &#128512; \u{1f600} ]]&gt;</message>\n\n</response>\n\n<!-- the end -->\n";

#[test]
fn success_response_is_forwarded_byte_for_byte() {
    let odd = CannedServer::start(ODD.as_bytes());
    let mut pool = Pool::empty(1, &[]);
    pool.sl_ok(&["servers", "add", &odd.url(), "secret", "--id", "odd"]);
    pool.sl_ok(&["servers", "enable", "odd"]);
    pool.serve(&["--no-poller"]);
    for call in ["create", "getMeetingInfo", "isMeetingRunning", "sendChatMessage", "end"] {
        let reply = pool.get(call, "meetingID=m1&message=x");
        assert_eq!((reply.status, reply.body.as_str()), (200, ODD), "{call}");
        assert_eq!(reply.header("content-type"), Some("text/xml; charset=utf-8"));
    }
}

#[test]
fn failure_response_is_forwarded_byte_for_byte() {
    let odd = CannedServer::start(ODD.as_bytes());
    let mut pool = Pool::empty(1, &[]);
    pool.sl_ok(&["servers", "add", &odd.url(), "secret", "--id", "odd"]);
    pool.sl_ok(&["servers", "enable", "odd"]);
    pool.serve(&["--no-poller"]);
    pool.get("create", "meetingID=m1");
    for refusal in [
        "<response><returncode>FAILED</returncode><errors><error key='k' message='a &lt; b'/></errors></response>",
        "<response><returncode>FAILED</returncode><messageKey>own</messageKey><message>M</message><more>x</more></response>",
        "<response><returncode>FAILED</returncode></response>",
    ] {
        odd.set_body(refusal.as_bytes());
        for call in ["getMeetingInfo", "isMeetingRunning", "end", "create"] {
            assert_eq!(pool.get(call, "meetingID=m1").body, refusal, "{call}");
        }
    }
}
