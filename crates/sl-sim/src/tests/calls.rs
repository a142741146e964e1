//! The calls, over TCP.

use std::io;
use std::time::Duration;

use super::client::*;
use crate::protocol::checksum;
use crate::*;

/// The names of the elements inside the outermost one, or inside `within`.
pub(super) fn elements<'a>(xml: &'a str, within: &str) -> Vec<&'a str> {
    let inner = xml
        .split_once(&format!("<{within}>"))
        .and_then(|(_, rest)| rest.rsplit_once(&format!("</{within}>")))
        .map_or("", |(inner, _)| inner);
    let mut names = Vec::new();
    let mut rest = inner;
    while let Some((_, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>').unwrap();
        if let Some(name) = name.strip_suffix('/') {
            names.push(name);
            rest = after;
        } else {
            names.push(name);
            rest = after.split_once(&format!("</{name}>")).unwrap().1;
        }
    }
    names
}

/// The text of the first element with this name.
pub(super) fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    xml.split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map_or("", |(text, _)| text)
}

pub(super) fn key(xml: &str) -> &str {
    text(xml, "messageKey")
}

const CREATE: [&str; 15] = [
    "returncode",
    "meetingID",
    "internalMeetingID",
    "parentMeetingID",
    "attendeePW",
    "moderatorPW",
    "createTime",
    "voiceBridge",
    "dialNumber",
    "createDate",
    "hasUserJoined",
    "duration",
    "hasBeenForciblyEnded",
    "messageKey",
    "message",
];

const MEETING: [&str; 25] = [
    "meetingName",
    "meetingID",
    "internalMeetingID",
    "createTime",
    "createDate",
    "voiceBridge",
    "dialNumber",
    "attendeePW",
    "moderatorPW",
    "running",
    "duration",
    "hasUserJoined",
    "recording",
    "hasBeenForciblyEnded",
    "startTime",
    "endTime",
    "participantCount",
    "listenerCount",
    "voiceParticipantCount",
    "videoCount",
    "maxUsers",
    "moderatorCount",
    "attendees",
    "metadata",
    "isBreakout",
];

#[test]
fn create_writes_elements_in_bbb_order_and_detects_duplicates() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let query = "meetingID=m1&name=A%26B&attendeePW=a&moderatorPW=m&voiceBridge=979198380\
                 &meta_Tenant-ID=x%3Cy&duration=5";
    let first = get(server, "create", query);
    assert_eq!(elements(&first, "response"), CREATE);
    assert_eq!(text(&first, "parentMeetingID"), "bbb-none");
    assert_eq!(text(&first, "voiceBridge"), "979198380");
    assert_eq!(key(&first), "");
    let created = text(&first, "createTime");
    assert_eq!(
        text(&first, "internalMeetingID"),
        format!("f6c5e47a7adc27eaccd1dd15a9ed6a2b44de2a53-{created}")
            .replace("f6c5e47a7adc27eaccd1dd15a9ed6a2b44de2a53", &checksum::sha1_hex("m1"))
    );
    let second = get(server, "create", query);
    assert_eq!(key(&second), "duplicateWarning");
    assert_eq!(text(&second, "createTime"), created);
    assert_eq!(key(&get(server, "create", "meetingID=m1")), "duplicateWarning");
    assert_eq!(key(&get(server, "create", "meetingID=m1&moderatorPW=other")), "idNotUnique");
    assert_eq!(key(&get(server, "create", "meetingID=m2&voiceBridge=979198380")), "nonUniqueVoiceBridge");
    let counts = server.counts();
    assert_eq!((counts.create, counts.create_new, counts.create_duplicate), (5, 1, 2));
    let meeting = server.meeting("m1").unwrap();
    assert_eq!(meeting.name, "A&B");
    assert_eq!(meeting.metadata["tenant-id"], "x<y");
    server.advance_clock(Duration::from_secs(301));
    assert_eq!(server.meetings(), [], "its duration has passed");
}

#[test]
fn invalid_meeting_ids_get_bbbs_two_error_forms() {
    let sim = start_one();
    let server = &sim.servers()[0];
    assert_eq!(key(&get(server, "create", "name=x")), "missingParamMeetingID");
    let long = format!("meetingID={}", "i".repeat(257));
    for query in [long.as_str(), "meetingID=i", "meetingID=a%2Cb"] {
        let response = get(server, "create", query);
        assert!(response.contains("<errors><error key=\"validationError\""));
        assert!(!response.contains("messageKey"));
    }
    let longest = format!("meetingID={}", "%C3%A9".repeat(256));
    assert_eq!(elements(&get(server, "create", &longest), "response"), CREATE);
}

#[test]
fn get_meetings_and_get_meeting_info_show_participants_and_metadata() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let none = get(server, "getMeetings", "");
    assert_eq!(key(&none), "noMeetings");
    get(server, "create", "meetingID=mm&moderatorPW=mp&attendeePW=ap&meta_a=1&meta_b%3E=2");
    for (query, expected) in [
        ("meetingID=mm&password=mp", "missingParamFullName"),
        ("meetingID=mm&password=no&fullName=x", "invalidPassword"),
        ("meetingID=zz&password=mp&fullName=x", "notFound"),
        ("meetingID=mm&password=mp&fullName=x&createTime=1", "mismatchCreateTimeParam"),
    ] {
        assert_eq!(key(&get(server, "join", query)), expected);
    }
    let running = |id: &str| {
        let response = get(server, "isMeetingRunning", &format!("meetingID={id}"));
        text(&response, "running").to_string()
    };
    assert_eq!((running("mm").as_str(), running("zz").as_str()), ("false", "false"));
    let joined = get(
        server,
        "join",
        "meetingID=mm&password=mp&fullName=%3Cb%3E+%01%1F&redirect=false&userID=u1&userdata-2fa=%26&userdata-a+b",
    );
    assert_eq!(
        elements(&joined, "response"),
        [
            "returncode",
            "messageKey",
            "message",
            "meeting_id",
            "user_id",
            "auth_token",
            "session_token",
            "guestStatus",
            "url"
        ]
    );
    assert_eq!(running("mm"), "true");
    assert!(server.add_people("mm", 3));
    assert_eq!(server.add_breakouts("mm", 1, true).len(), 1);

    let info = get(server, "getMeetingInfo", "meetingID=mm");
    let mut names = vec!["returncode"];
    names.extend(MEETING);
    names.push("breakoutRooms");
    assert_eq!(elements(&info, "response"), names);
    assert_eq!(elements(&info, "attendees"), ["attendee"; 4], "one joined, three were added");
    assert_eq!(text(&info, "fullName"), "&lt;b&gt; \u{1}\u{1f}", "raw, as BBB");
    assert_eq!(text(&info, "metadata"), "<a>1</a><b&gt;>2</b&gt;>");
    assert_eq!(text(&info, "customdata"), "<2fa>&amp;</2fa><a b></a b>");
    assert_eq!(text(&info, "participantCount"), "4");
    assert_eq!(text(&info, "moderatorCount"), "1");

    let all = get(server, "getMeetings", "");
    assert_eq!(elements(&all, "response"), ["returncode", "meetings"]);
    assert_eq!(elements(&all, "meetings"), ["meeting", "meeting"]);
    let room = all.rsplit_once("<meeting>").unwrap().1;
    assert_eq!(text(room, "isBreakout"), "true");
    assert_eq!(text(room, "parentMeetingID"), text(&info, "internalMeetingID"));
    assert!(room.contains("<sequence>1</sequence><freeJoin>true</freeJoin></meeting>"));

    assert_eq!(key(&get(server, "end", "meetingID=mm&password=ap")), "invalidPassword");
    assert_eq!(key(&get(server, "end", "meetingID=mm&password=mp")), "sentEndMeetingRequest");
    for call in ["end", "getMeetingInfo", "join"] {
        let query = "meetingID=mm&message=hi&fullName=x&role=VIEWER";
        assert_eq!(key(&get(server, call, query)), "notFound", "{call}");
    }
    assert_eq!(server.totals(), (0, 0));
}

#[test]
fn join_redirects_to_a_page_that_escapes_names() {
    let sim = start_one();
    let server = &sim.servers()[0];
    get(server, "create", "meetingID=mm&name=%3Cscript%3E");
    let query = "meetingID=mm&role=MODERATOR&fullName=%22%3Ei";
    let (head, body) = send(server, &get_request(server, "join", query));
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    assert_eq!(body, "");
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("location: http://bbb.test:80"))
        .expect("a location on the requested host");
    let page = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n");
        send(server, &request)
    };
    let (head, body) = page(location);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("You joined &lt;script&gt;") && body.contains("<b>&quot;&gt;i</b>"));
    assert!(page("/html5client/join?sessionToken=").0.starts_with("HTTP/1.1 404"));
    assert_eq!(server.counts().joined, 1);
}

#[test]
fn post_bodies_are_parsed_but_not_hashed() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    let checksum = server.signed_url("create", "").rsplit_once('=').unwrap().1.to_string();
    let bare = "/bigbluebutton/api/create";
    let body = format!("meetingID=in+body&name=x&checksum={checksum}");
    assert_eq!(elements(&post(server, bare, form, &body), "response"), CREATE);
    assert!(server.meeting("in body").is_some());
    let twice = format!("{bare}?checksum={checksum}");
    assert_eq!(key(&post(server, &twice, form, &body)), "checksumError");

    let signed = target(server, "create", "meetingID=slides");
    let slides = "<modules><module name=\"presentation\"><document url=\"u\"/></module></modules>";
    post(server, &signed, "application/xml", slides);
    let insert = target(server, "insertDocument", "meetingID=slides");
    let response = post(server, &insert, "text/xml", slides);
    assert_eq!(elements(&response, "response"), ["returncode", "message"]);
    assert_eq!(server.meeting("slides").unwrap().documents, 2);

    assert_eq!(key(&post(server, &signed, "application/json", "{}")), "unsupportedContentType");
    let multipart = "--X\r\nContent-Disposition: form-data; name=\"meetingID\"\r\n\r\nmp\r\n--X--\r\n";
    let signed = target(server, "create", "");
    post(server, &signed, "multipart/form-data; boundary=X", multipart);
    assert!(server.meeting("mp").is_some());
    let last = server.last_request("create").unwrap();
    assert_eq!((last.method.as_str(), last.body.as_str()), ("POST", multipart));
    assert_eq!(last.target, signed);
    assert_eq!(last.header("host"), Some("b"));
}

#[test]
fn other_calls_respond() {
    let sim = start_one();
    let server = &sim.servers()[0];
    let (head, index) =
        send(server, "GET /bigbluebutton/api/ HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n");
    assert!(head.contains("content-type: text/xml;charset=utf-8"), "{head}");
    assert_eq!(text(&index, "version"), "2.0");
    assert_eq!(text(&index, "bbbVersion"), "3.0.9");
    assert_eq!(key(&get(server, "getRecordings", "")), "noRecordings");
    assert_eq!(key(&get(server, "nonsense", "")), "unsupportedRequest");
    assert_eq!(key(&get(server, "insertDocument", "")), "unsupportedRequest");

    get(server, "create", "meetingID=mm");
    get(server, "join", "meetingID=mm&fullName=x&role=VIEWER");
    let response = get(server, "sendChatMessage", "meetingID=mm&message=h%C3%A9");
    assert_eq!(elements(&response, "response"), ["returncode", "messageKey", "message"]);
    assert_eq!(server.meeting("mm").unwrap().chat, ["hé"]);

    let hook = get(server, "hooks/create", "callbackURL=https%3A%2F%2Fe.org%2F%3Fa%26b");
    assert_eq!(text(&hook, "hookID"), "1");
    let again = get(server, "hooks/create", "callbackURL=https%3A%2F%2Fe.org%2F%3Fa%26b");
    assert_eq!((text(&again, "hookID"), key(&again)), ("1", "duplicateWarning"));
    let list = get(server, "hooks/list", "");
    assert_eq!(text(&list, "callbackURL"), "https://e.org/?a&amp;b");
    assert_eq!(text(&get(server, "hooks/destroy", "hookID=1"), "removed"), "true");
    assert_eq!(key(&get(server, "hooks/destroy", "hookID=1")), "destroyMissingHook");

    for bad in ["a=%zz", "a=%ff"] {
        let (head, _) = send(server, &get_request(server, "create", bad));
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    }
    let unsigned = "GET /bigbluebutton/api/getMeetings HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    assert_eq!(key(&send(server, unsigned).1), "checksumError");
    assert_eq!(server.counts().checksum_failures, 1);
    server.restart();
    assert_eq!(server.totals(), (0, 0));
}

#[test]
fn stop_frees_ports_and_two_simulators_cannot_share_one() {
    // An address that no other test uses: none can take the port between stop and start.
    let mut config =
        SimConfig { bind: Ipv4Addr::new(127, 86, 4, 17).into(), threads: 2, ..SimConfig::default() };
    let sim = Sim::start(config.clone()).unwrap();
    let server = sim.servers()[0].clone();
    config.first_port = server.port();
    let taken = Sim::start(config.clone()).expect_err("the port is in use");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(key(&get(&server, "getMeetings", "")), "noMeetings");
    sim.stop();
    server.clear_faults();
    assert!(connect(&server).is_err(), "a handle does not restart it");
    let again = Sim::start(config).unwrap();
    assert_eq!(again.servers()[0].port(), server.port());
}
