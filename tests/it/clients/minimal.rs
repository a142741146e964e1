//! Minimal clients of a few lines: every way to encode a query, every hash algorithm.

use super::*;

#[track_caller]
fn python(fixture: &ClientFixture, algorithm: &str, encoding: &str, call: &str, pairs: &[String]) -> Value {
    let base = format!("{}/bigbluebutton/api", fixture.origin());
    let mut command = program(&installed(".venv/bin/python"));
    command.arg(Path::new(ROOT).join("tests/clients/minimal.py"));
    json_output(command.args([&base, &fixture.pool.secret, algorithm, encoding, call]).args(pairs))
}

#[test]
fn every_query_encoding_and_algorithm_is_accepted() {
    let fixture = ClientFixture::new();
    let encodings = ["plus", "percent", "raw", "first", "form"].map(|encoding| ("sha1", encoding));
    let algorithms = ["sha256", "sha384", "sha512"].map(|algorithm| (algorithm, "percent"));
    for (algorithm, encoding) in encodings.into_iter().chain(algorithms) {
        let call = |call: &str, more: &[(&str, &str)]| {
            let pairs = [("meetingID", ID)].iter().chain(more).map(|(n, v)| format!("{n}={v}"));
            python(&fixture, algorithm, encoding, call, &pairs.collect::<Vec<_>>())
        };
        let created = call("create", &[("name", NAME), ("moderatorPW", "m~*'p"), ("meta_x y", NAME)]);
        assert_eq!(created["returncode"], "SUCCESS", "{algorithm} {encoding}: {created}");
        let (_, meeting) = fixture.find_meeting(ID);
        assert_eq!((meeting.name.as_str(), meeting.moderator_pw.as_str()), (NAME, "m~*'p"), "{encoding}");
        assert_eq!(meeting.metadata.get("x y").map(String::as_str), Some(NAME), "{encoding}");
        let info = call("getMeetingInfo", &[]);
        assert_eq!(info["internalMeetingID"], meeting.internal_id.as_str(), "{info}");
        assert_eq!(info["meetingName"], NAME);
        let ended = call("end", &[("password", "m~*'p")]);
        assert_eq!(ended["messageKey"], "sentEndMeetingRequest", "{algorithm} {encoding}: {ended}");
        fixture.assert_no_meetings();
    }
}

#[test]
fn shell_client_with_curl_works() {
    let fixture = ClientFixture::new();
    let sh = |args: &[&str]| {
        let base = format!("{}/bigbluebutton/api", fixture.origin());
        let mut command = program(Path::new("sh"));
        command.arg(Path::new(ROOT).join("tests/clients/minimal.sh")).args([&base, &fixture.pool.secret]);
        text_output(command.args(args))
    };
    assert!(sh(&["getMeetings"]).contains("<messageKey>noMeetings</messageKey>"));
    let created = sh(&["create", "meetingID=a room", &format!("name={NAME}"), "moderatorPW=mp"]);
    let (_, meeting) = fixture.find_meeting("a room");
    assert!(created.contains(&meeting.internal_id), "{created}");
    assert_eq!(meeting.name, NAME);
    let listed = sh(&["getMeetings"]);
    assert!(listed.contains("<meetingID>a room</meetingID>"), "{listed}");
    let inside = sh(&["join", "meetingID=a room", "fullName=Ada L", "role=MODERATOR", "redirect=false"]);
    assert!(inside.contains("<messageKey>successfullyJoined</messageKey>"), "{inside}");
    fixture.assert_participants("a room", &[("Ada L", true)]);
    assert!(sh(&["isMeetingRunning", "meetingID=a room"]).contains("<running>true</running>"));
    assert!(sh(&["end", "meetingID=a room", "password=mp"]).contains("sentEndMeetingRequest"));
    fixture.assert_no_meetings();
}
