//! bigbluebutton-api-python, a library: SHA-1, quote_plus, calls with a bare `?checksum=`.

use super::*;

#[track_caller]
fn run_step(fixture: &ClientFixture, secret: &str, run_step: &str, args: &[Value]) -> Value {
    let mut command = program(&installed(".venv/bin/python"));
    command.arg(Path::new(ROOT).join("tests/clients/drive.py")).args([&fixture.origin(), secret, run_step]);
    json_output(command.args(args.iter().map(Value::to_string)))
}

#[test]
fn python_library_runs_meetings_from_create_to_end() {
    let fixture = ClientFixture::new();
    let py = |name: &str, args: &[Value]| run_step(&fixture, &fixture.pool.secret, name, args);
    assert_eq!(py("version", &[]), "2.0");
    assert_eq!(py("meetings", &[]), json!([]));
    assert_eq!(py("running", &[json!(ID)]), false);

    let params =
        json!({"name": NAME, "moderatorPW": "mp", "attendeePW": "ap", "record": true, "logoutURL": ""});
    let created = py("create", &[json!(ID), params.clone(), json!({"room": "Café = 1"})]);
    let (n, meeting) = fixture.find_meeting(ID);
    assert_eq!((&created["id"], &created["key"]), (&json!(ID), &json!("")));
    assert_eq!(created["voice_bridge"], meeting.voice_bridge.as_str());
    assert_eq!((meeting.name.as_str(), meeting.metadata["room"].as_str()), (NAME, "Café = 1"));
    assert_eq!(fixture.received_parameter(ID, "create", "record").as_deref(), Some("true"));
    let again = py("create", &[json!(ID), params, json!({})]);
    assert_eq!((again["key"].as_str(), fixture.find_meeting(ID).0), (Some("duplicateWarning"), n));

    // The library misparses a list of one meeting, with any server: so make two.
    py("create", &[json!("m-2"), json!({"name": "m-2"}), json!({})]);
    assert_ne!(fixture.find_meeting("m-2").0, n);
    let ids = py("meetings", &[]);
    assert_eq!(sorted(ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap())), fixture.meeting_ids());

    for (name, password) in [(NAME, "mp"), ("Zoë", "ap")] {
        let link = py("join", &[json!(name), json!(ID), json!(password)]);
        fixture.follow_join_link(link.as_str().unwrap(), ID);
    }
    fixture.assert_participants(ID, &[(NAME, true), ("Zoë", false)]);
    assert_eq!(py("running", &[json!(ID)]), true);
    let info = py("info", &[json!(ID)]);
    assert_eq!((&info["id"], &info["name"]), (&json!(ID), &json!(NAME)));
    assert_eq!(info["internal"], meeting.internal_id.as_str());
    assert_eq!((&info["participants"], &info["has_user_joined"]), (&json!(2), &json!(true)));
    let attendees = json!([{"name": NAME, "role": "MODERATOR", "presenter": true},
        {"name": "Zoë", "role": "VIEWER", "presenter": false}]);
    assert_eq!(info["attendees"], attendees);

    assert_eq!(py("end", &[json!(ID), json!("mp")]), "sentEndMeetingRequest");
    assert_eq!(py("info", &[json!(ID)])["failed"], "notFound");
    assert_eq!(fixture.meeting_ids(), ["m-2"]);
    py("end", &[json!("m-2"), json!(fixture.find_meeting("m-2").1.moderator_pw)]);
    fixture.assert_no_meetings();
}

#[test]
fn python_library_is_rejected_with_wrong_secret() {
    let fixture = ClientFixture::new();
    let failure = run_step(&fixture, "wrong", "create", &[json!(ID), json!({"name": NAME}), json!({})]);
    assert_eq!(failure["failed"], "checksumError");
    fixture.assert_no_meetings();
}
