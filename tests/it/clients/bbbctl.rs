//! bbbctl, a command line: SHA-1, urllib's form encoding, join links with a createTime.

use super::*;

fn bbbctl(fixture: &ClientFixture, secret: &str, args: &[&str]) -> Command {
    let mut command = program(&installed(".venv/bin/bbbctl"));
    command.env("BBBCTL_SERVER", fixture.origin()).env("BBBCTL_SECRET", secret);
    command.args(["--format", "jsonline"]).args(args);
    command
}

fn ctl(fixture: &ClientFixture, args: &[&str]) -> Command {
    bbbctl(fixture, &fixture.pool.secret, args)
}

#[track_caller]
fn list(fixture: &ClientFixture) -> Vec<Value> {
    let text = text_output(&mut ctl(fixture, &["meeting", "list"]));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a command that must fail. Returns the messageKey that it printed.
#[track_caller]
fn message_key_of_failure(command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    let key = errors.lines().find_map(|line| line.trim().strip_prefix("messageKey: "));
    key.unwrap_or_else(|| panic!("{errors}")).to_owned()
}

#[test]
fn bbbctl_runs_meetings_from_create_to_end() {
    let fixture = ClientFixture::new();
    assert_eq!(list(&fixture), Vec::<Value>::new());

    let mut create = ctl(&fixture, &["meeting", "create", ID, NAME, "moderatorPW=mp +&", "attendeePW=ap"]);
    create.args(["--welcome", NAME, "--meta", "room=Café = 1", "--muteOnStart"]);
    create.args(["--maxParticipants", "9", "--join", "Zoë & Co"]);
    let links = text_output(&mut create);
    let (n, meeting) = fixture.find_meeting(ID);
    assert_eq!((meeting.name.as_str(), meeting.moderator_pw.as_str()), (NAME, "mp +&"));
    assert_eq!(meeting.metadata["room"], "Café = 1");
    assert_eq!(fixture.received_parameter(ID, "create", "welcome").as_deref(), Some(NAME));
    assert_eq!(fixture.received_parameter(ID, "create", "muteOnStart").as_deref(), Some("true"));
    assert_eq!(fixture.received_parameter(ID, "create", "maxParticipants").as_deref(), Some("9"));

    // The link that create printed, and one made later; both contain the meeting's createTime.
    fixture.follow_join_link(links.trim().strip_prefix("Zoë & Co: ").unwrap(), ID);
    fixture.assert_participants(ID, &[("Zoë & Co", true)]);
    let link = text_output(&mut ctl(&fixture, &["meeting", "join", ID, NAME]));
    fixture.follow_join_link(link.trim(), ID);
    fixture.assert_participants(ID, &[("Zoë & Co", true), (NAME, false)]);

    let info = json_output(&mut ctl(&fixture, &["meeting", "info", ID]));
    assert_eq!(info["meetingID"], ID);
    assert_eq!(info["meetingName"], NAME);
    assert_eq!(info["internalMeetingID"], meeting.internal_id.as_str());
    assert_eq!(info["createTime"], meeting.created_ms);
    assert_eq!(info["voiceBridge"], meeting.voice_bridge.as_str());
    assert_eq!((&info["running"], &info["participantCount"]), (&json!(true), &json!(2)));
    assert_eq!(info["attendees"][1]["fullName"], NAME);
    assert_eq!(info["metadata"]["room"], "Café = 1");

    // With two more meetings each of the three servers has one, and the list has all of them.
    for id in ["m-2", "m-3"] {
        text_output(&mut ctl(&fixture, &["meeting", "create", id, id]));
    }
    assert_eq!(sorted(["m-2", "m-3", ID].map(|id| fixture.find_meeting(id).0)), [1, 2, 3]);
    let listed = list(&fixture);
    assert_eq!(sorted(listed.iter().map(|m| m["meetingID"].as_str().unwrap())), fixture.meeting_ids());
    for item in &listed {
        let (_, meeting) = fixture.find_meeting(item["meetingID"].as_str().unwrap());
        assert_eq!(item["internalMeetingID"], meeting.internal_id.as_str());
        assert_eq!(item["participantCount"], meeting.people.len());
    }

    // Repeating the create succeeds and makes no second meeting.
    text_output(&mut ctl(&fixture, &["meeting", "create", ID, NAME]));
    assert_eq!(fixture.find_meeting(ID).0, n);

    text_output(&mut ctl(&fixture, &["meeting", "chat", ID, NAME, "--name", "Zoë"]));
    assert_eq!(fixture.find_meeting(ID).1.chat, [NAME]);
    // Only meetings with participants take messages.
    for id in ["m-2", "m-3"] {
        let (server, _) = fixture.find_meeting(id);
        fixture.pool.server(server).add_people(id, 1);
    }
    text_output(&mut ctl(&fixture, &["meeting", "chat", "BROADCAST", "to all"]));
    assert_eq!(fixture.find_meeting("m-3").1.chat, ["to all"]);

    text_output(&mut ctl(&fixture, &["meeting", "end", ID]));
    assert_eq!(fixture.meeting_ids(), ["m-2", "m-3"]);
    assert_eq!(message_key_of_failure(&mut ctl(&fixture, &["meeting", "info", ID])), "notFound");
    assert_eq!(message_key_of_failure(&mut ctl(&fixture, &["meeting", "end", ID])), "notFound");
    text_output(&mut ctl(&fixture, &["meeting", "nuke", "--doit"]));
    fixture.assert_no_meetings();
    assert_eq!(list(&fixture), Vec::<Value>::new());
}

#[test]
fn bbbctl_is_rejected_with_wrong_secret() {
    let fixture = ClientFixture::new();
    assert_eq!(message_key_of_failure(&mut bbbctl(&fixture, "wrong", &["meeting", "list"])), "checksumError");
    assert_eq!(
        message_key_of_failure(&mut bbbctl(&fixture, "wrong", &["meeting", "create", ID, NAME])),
        "checksumError"
    );
    fixture.assert_no_meetings();
}

#[test]
fn bbbctl_signs_links_for_other_calls() {
    let fixture = ClientFixture::new();
    text_output(&mut ctl(&fixture, &["meeting", "create", ID, NAME]));
    let call = format!("meetingID={ID}");
    let link = text_output(&mut ctl(&fixture, &["sign", "isMeetingRunning", &call]));
    assert_eq!(fetch("GET", link.trim(), &[], b"").success().xml("running"), Some("false"));
}
