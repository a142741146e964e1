//! Breakout rooms, the two ids of a meeting, and what differs between the versions of BBB.

use super::calls::{elements, key, text};
use super::client::*;
use crate::protocol::checksum::sha1_hex;
use crate::*;

const HOST: &str = "Host: b\r\nConnection: close\r\n";

fn start_version(version: &str) -> Sim {
    Sim::start(SimConfig { version: version.parse().unwrap(), ..SimConfig::default() }).unwrap()
}

#[test]
fn breakout_room_belongs_to_its_parent() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let room = "meetingID=room-a1&name=R&isBreakout=true&freeJoin=true";
    assert_eq!(key(&get(server, "create", &format!("{room}&sequence=1"))), "parentMeetingIDMissing");
    let orphan = get(server, "create", &format!("{room}&sequence=1&parentMeetingID=mm"));
    assert_eq!(
        (key(&orphan), text(&orphan, "message")),
        ("parentMeetingDoesNotExist", "No parent meeting exists for the breakout room")
    );
    let parent = get(server, "create", "meetingID=mm&name=P");
    let without_sequence = get_request(server, "create", &format!("{room}&parentMeetingID=mm"));
    assert!(send(server, &without_sequence).0.starts_with("HTTP/1.1 500"));

    let internal = text(&parent, "internalMeetingID");
    let created = get(server, "create", &format!("{room}&sequence=7&parentMeetingID=+mm"));
    let id = format!("{}-a1", sha1_hex(&format!("{internal}-a1-7")));
    assert_eq!(text(&created, "meetingID"), id);
    assert_eq!(text(&created, "internalMeetingID"), "room-a1");
    assert_eq!(text(&created, "parentMeetingID"), internal);
    let info = get(server, "getMeetingInfo", "meetingID=room-a1");
    assert!(info.contains(&format!(
        "<isBreakout>true</isBreakout><parentMeetingID>{internal}</parentMeetingID>\
         <sequence>7</sequence><freeJoin>true</freeJoin>"
    )));
    assert_eq!(key(&get(server, "getMeetingInfo", &format!("meetingID={id}"))), "notFound");
    let all = get(server, "getMeetings", "");
    assert!(all.contains(&format!("<breakoutRooms><breakout>{id}</breakout></breakoutRooms>")));
    assert_eq!(server.meeting("room-a1").unwrap().breakout_of.as_deref(), Some(internal));

    let by_internal_id = format!("meetingID=room-b2&isBreakout=true&sequence=8&parentMeetingID={internal}");
    get(server, "create", &by_internal_id);
    assert_eq!(server.totals().0, 3);
    get(server, "end", "meetingID=mm");
    assert_eq!(server.totals().0, 0, "rooms end with their parent");
}

#[test]
fn every_call_takes_the_internal_id_and_an_id_with_spaces() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let created = get(server, "create", "meetingID=+room+0+&moderatorPW=mp");
    assert_eq!(text(&created, "meetingID"), "room 0");
    let internal = text(&created, "internalMeetingID");
    assert!(internal.starts_with(&sha1_hex("room 0")));
    assert_eq!(key(&get(server, "create", "meetingID=room+0")), "duplicateWarning");
    for id in [internal, "room+0", "%09room+0+"] {
        let query = format!("meetingID={id}&fullName=x&role=VIEWER&redirect=false&message=hi");
        assert_eq!(key(&get(server, "join", &query)), "successfullyJoined", "{id}");
        assert_eq!(text(&get(server, "isMeetingRunning", &query), "running"), "true", "{id}");
        assert_eq!(text(&get(server, "getMeetingInfo", &query), "meetingID"), "room 0", "{id}");
        assert_eq!(text(&get(server, "sendChatMessage", &query), "returncode"), "SUCCESS", "{id}");
        let insert = target(server, "insertDocument", &format!("meetingID={id}"));
        assert_eq!(text(&post(server, &insert, "text/xml", "<m/>"), "returncode"), "SUCCESS", "{id}");
    }
    assert_eq!(key(&get(server, "end", &format!("meetingID={internal}"))), "sentEndMeetingRequest");
    assert_eq!(server.totals(), (0, 0));
}

#[test]
fn chat_message_needs_a_participant() {
    let sim = start_one();
    let server = &sim.servers()[0];
    get(server, "create", "meetingID=empty");
    for id in ["empty", "gone"] {
        let response = get(server, "sendChatMessage", &format!("meetingID={id}&message=hi"));
        assert_eq!(
            (key(&response), text(&response, "message")),
            ("meetingNotFound", "Meeting not found or not active"),
            "{id}"
        );
    }
}

#[test]
fn bbb_2_4_validates_the_id_of_a_meeting_that_is_gone() {
    for (version, expected) in [("2.4.9", "validationError"), ("2.5", "notFound"), ("3.0.9", "notFound")] {
        let sim = start_version(version);
        let server = &sim.servers()[0];
        let query = "meetingID=gone&fullName=x&role=VIEWER";
        for call in ["end", "getMeetingInfo", "join"] {
            assert_eq!(key(&get(server, call, query)), expected, "{version} {call}");
        }
        let insert = target(server, "insertDocument", query);
        assert_eq!(key(&post(server, &insert, "text/xml", "<m/>")), expected, "{version}");
        assert_eq!(text(&get(server, "isMeetingRunning", query), "running"), "false", "{version}");
    }
}

#[test]
fn unknown_calls_get_404_before_3_0() {
    let sim = start_version("2.7.3");
    let server = &sim.servers()[0];
    for call in ["nonsense", "sendChatMessage", "getJoinUrl"] {
        let (head, body) = send(server, &get_request(server, call, "meetingID=mm"));
        assert!(head.starts_with("HTTP/1.1 404") && head.contains("application/xml"), "{head}");
        assert_eq!(elements(&body, "Map"), ["timestamp", "status", "error", "path"]);
        assert_eq!(text(&body, "path"), format!("/bigbluebutton/api/{call}"));
    }
    server.set_version("3.0.9".parse().unwrap());
    assert_eq!(key(&get(server, "nonsense", "")), "unsupportedRequest");
}

#[test]
fn index_answers_json_from_3_0_on_if_the_request_is_json() {
    let sim = start_version("3.0.4");
    let server = &sim.servers()[0];
    let json = format!("GET /bigbluebutton/api HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n\r\n");
    let (head, body) = send(server, &json);
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["response"]["returncode"], "SUCCESS");
    assert_eq!(body["response"]["bbbVersion"], "3.0.4");
    let plain = format!("GET /bigbluebutton/api/ HTTP/1.1\r\n{HOST}\r\n");
    assert_eq!(text(&send(server, &plain).1, "bbbVersion"), "3.0.4");
    server.set_version("2.7".parse().unwrap());
    let (head, body) = send(server, &json);
    assert!(head.contains("content-type: text/xml"), "{head}");
    assert_eq!(elements(&body, "response"), ["returncode", "version", "apiVersion", "bbbVersion"]);
}

#[test]
fn session_calls_answer_json() {
    let sim = start_one();
    let server = &sim.servers()[0];
    get(server, "create", "meetingID=mm");
    let joined = get(server, "join", "meetingID=mm&fullName=x&role=VIEWER&redirect=false");
    let token = text(&joined, "session_token");
    let call = |call: &str, token: &str| {
        let path = format!("/bigbluebutton/api/{call}?sessionToken={token}");
        let (head, body) = send(server, &format!("GET {path} HTTP/1.1\r\n{HOST}\r\n"));
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    assert_eq!(call("getJoinUrl", token)["response"]["returncode"], "SUCCESS");
    assert_eq!(call("getJoinUrl", "no")["response"]["message"], "Invalid Session");
    assert_eq!(call("learningDashboard", token)["response"]["returncode"], "FAILED");
    assert!(call("stuns", token)["stunServers"].is_array());
    assert_eq!(call("stuns", "no")["returncode"], "FAILED");
    assert_eq!(key(&get(server, "getSessions", "")), "noSessions");
    let sign_out = format!("GET /bigbluebutton/api/signOut?sessionToken={token} HTTP/1.1\r\n{HOST}\r\n");
    assert_eq!(text(&send(server, &sign_out).1, "returncode"), "SUCCESS");
    assert_eq!(server.totals(), (1, 0));
}
