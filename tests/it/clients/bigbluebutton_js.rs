//! bigbluebutton-js, a library for Node: SHA-1, Node's own query encoding (`~*()!` stay), and a response parser
//! that turns everything that looks like a number into one.

use super::*;

/// The other [`NAME`] without its apostrophe; see the test about that.
const NAME: &str = "Größe <1> & \"2\" ~*()!+ %41 = 日本 🎓";

#[track_caller]
fn run_step_at(origin: &str, secret: &str, run_step: &str, args: &[Value]) -> Value {
    let package = installed(".tools/node/node_modules/bigbluebutton-js");
    let base = format!("{origin}/bigbluebutton/");
    let mut command = program(Path::new("node"));
    command.env("NODE_PATH", package.parent().unwrap());
    command.arg(Path::new(ROOT).join("tests/clients/drive.cjs"));
    json_output(command.args([&base, secret, run_step]).args(args.iter().map(Value::to_string)))
}

#[track_caller]
fn run_step(fixture: &ClientFixture, secret: &str, run_step: &str, args: &[Value]) -> Value {
    run_step_at(&fixture.origin(), secret, run_step, args)
}

/// Unescapes a value: the library leaves XML entities in place.
fn text(value: &Value) -> String {
    quick_xml::escape::unescape(value.as_str().unwrap()).unwrap().into_owned()
}

#[test]
fn js_library_runs_meetings_from_create_to_end() {
    let fixture = ClientFixture::new();
    let js = |name: &str, args: &[Value]| run_step(&fixture, &fixture.pool.secret, name, args);
    assert_eq!(js("meetings", &[])["messageKey"], "noMeetings");
    assert_eq!(js("running", &[json!(ID)]), json!({"returncode": "SUCCESS", "running": false}));

    let params = json!({"moderatorPW": "mp~", "attendeePW": "ap", "welcome": NAME, "record": true,
        "duration": 90, "meta_room": "Café = 1"});
    let created = js("create", &[json!(NAME), json!(ID), params.clone()]);
    let (n, meeting) = fixture.find_meeting(ID);
    assert_eq!(created["returncode"], "SUCCESS");
    assert_eq!(text(&created["meetingID"]), ID);
    assert_eq!(created["internalMeetingID"], meeting.internal_id.as_str());
    assert_eq!(created["createTime"], meeting.created_ms);
    assert_eq!(created["voiceBridge"].to_string(), meeting.voice_bridge);
    assert_eq!((meeting.name.as_str(), meeting.moderator_pw.as_str()), (NAME, "mp~"));
    assert_eq!((meeting.duration, meeting.metadata["room"].as_str()), (90, "Café = 1"));
    assert_eq!(fixture.received_parameter(ID, "create", "welcome").as_deref(), Some(NAME));
    assert_eq!(fixture.received_parameter(ID, "create", "record").as_deref(), Some("true"));

    let again = js("create", &[json!(NAME), json!(ID), params]);
    assert_eq!(again["messageKey"], "duplicateWarning");
    assert_eq!((fixture.find_meeting(ID).0, fixture.meeting_ids().len()), (n, 1));

    for (name, password) in [("Zoë (mod)", "mp~"), (NAME, "ap")] {
        let link = js("join", &[json!(name), json!(ID), json!(password), json!({"userID": "u/1"})]);
        fixture.follow_join_link(link.as_str().unwrap(), ID);
    }
    fixture.assert_participants(ID, &[("Zoë (mod)", true), (NAME, false)]);
    assert_eq!(fixture.find_meeting(ID).1.people[0].user_id, "u/1");
    assert_eq!(js("running", &[json!(ID)])["running"], true);

    let info = js("info", &[json!(ID)]);
    assert_eq!(text(&info["meetingName"]), NAME);
    assert_eq!((&info["running"], &info["participantCount"]), (&json!(true), &json!(2)));
    assert_eq!(text(&info["attendees"]["attendee"][1]["fullName"]), NAME);
    assert_eq!(info["metadata"]["room"], "Café = 1");

    // One meeting gives a list of one; three meetings are on three servers.
    assert_eq!(js("meetings", &[])["meetings"].as_array().unwrap().len(), 1);
    for id in ["m-2", "m-3"] {
        js("create", &[json!(id), json!(id)]);
    }
    assert_eq!(sorted(["m-2", "m-3", ID].map(|id| fixture.find_meeting(id).0)), [1, 2, 3]);
    let list = js("meetings", &[])["meetings"].clone();
    let ids = list.as_array().unwrap().iter().map(|meeting| text(&meeting["meetingID"]));
    assert_eq!(sorted(ids), fixture.meeting_ids());

    assert_eq!(js("end", &[json!(ID), json!("wrong")])["messageKey"], "invalidPassword");
    assert_eq!(fixture.find_meeting(ID).0, n);
    assert_eq!(js("end", &[json!(ID), json!("mp~")])["messageKey"], "sentEndMeetingRequest");
    assert_eq!(fixture.meeting_ids(), ["m-2", "m-3"]);
    assert_eq!(js("info", &[json!(ID)])["messageKey"], "notFound");
    for id in ["m-2", "m-3"] {
        let password = fixture.find_meeting(id).1.moderator_pw;
        js("end", &[json!(id), json!(password)]);
    }
    fixture.assert_no_meetings();
    assert_eq!(js("running", &[json!(ID)])["running"], false);
}

#[test]
fn js_library_is_rejected_with_wrong_secret() {
    let fixture = ClientFixture::new();
    let failure = run_step(&fixture, "wrong", "create", &[json!(NAME), json!(ID)]);
    assert_eq!(failure["messageKey"], "checksumError");
    fixture.assert_no_meetings();
}

/// The library signs `'`, and its HTTP library then sends `%27`. The checksum covers the bytes as sent, so every
/// BBB server rejects that; a balancer that accepted it would accept a query that the client never signed.
#[test]
fn apostrophe_of_js_library_fails_checksum_as_on_bbb_server() {
    let fixture = ClientFixture::new();
    let create = [json!("Ada's room"), json!(ID)];
    let server = fixture.pool.server(1);
    let at_server =
        run_step_at(&format!("http://127.0.0.1:{}", server.port()), server.secret(), "create", &create);
    let at_pool = run_step(&fixture, &fixture.pool.secret, "create", &create);
    assert_eq!(at_server["messageKey"], "checksumError");
    assert_eq!(at_pool["messageKey"], "checksumError");
    fixture.assert_no_meetings();
}
