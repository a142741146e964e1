//! Clients of a few lines, as everybody has one: every way to spell a query, every hash.

use super::*;

#[track_caller]
fn python(stage: &Stage, algorithm: &str, spelling: &str, call: &str, pairs: &[String]) -> Value {
    let base = format!("{}/bigbluebutton/api", stage.origin());
    let mut command = program(&installed(".venv/bin/python"));
    command.arg(Path::new(ROOT).join("tests/clients/own.py"));
    told(command.args([&base, &stage.pool.secret, algorithm, spelling, call]).args(pairs))
}

#[test]
fn any_spelling_and_any_algorithm_is_understood() {
    let stage = Stage::new();
    let spellings = ["plus", "percent", "raw", "first", "form"].map(|spelling| ("sha1", spelling));
    let algorithms = ["sha256", "sha384", "sha512"].map(|algorithm| (algorithm, "percent"));
    for (algorithm, spelling) in spellings.into_iter().chain(algorithms) {
        let call = |call: &str, more: &[(&str, &str)]| {
            let pairs = [("meetingID", ID)].iter().chain(more).map(|(n, v)| format!("{n}={v}"));
            python(&stage, algorithm, spelling, call, &pairs.collect::<Vec<_>>())
        };
        let created = call("create", &[("name", NAME), ("moderatorPW", "m~*'p"), ("meta_x y", NAME)]);
        assert_eq!(created["returncode"], "SUCCESS", "{algorithm} {spelling}: {created}");
        let (_, held) = stage.held(ID);
        assert_eq!((held.name.as_str(), held.moderator_pw.as_str()), (NAME, "m~*'p"), "{spelling}");
        assert_eq!(held.metadata.get("x y").map(String::as_str), Some(NAME), "{spelling}");
        let info = call("getMeetingInfo", &[]);
        assert_eq!(info["internalMeetingID"], held.internal_id.as_str(), "{info}");
        assert_eq!(info["meetingName"], NAME);
        let ended = call("end", &[("password", "m~*'p")]);
        assert_eq!(ended["messageKey"], "sentEndMeetingRequest", "{algorithm} {spelling}: {ended}");
        stage.all_gone();
    }
}

#[test]
fn curl_and_a_shell_are_enough() {
    let stage = Stage::new();
    let sh = |args: &[&str]| {
        let base = format!("{}/bigbluebutton/api", stage.origin());
        let mut command = program(Path::new("sh"));
        command.arg(Path::new(ROOT).join("tests/clients/own.sh")).args([&base, &stage.pool.secret]);
        printed(command.args(args))
    };
    assert!(sh(&["getMeetings"]).contains("<messageKey>noMeetings</messageKey>"));
    let created = sh(&["create", "meetingID=a room", &format!("name={NAME}"), "moderatorPW=mp"]);
    let (_, held) = stage.held("a room");
    assert!(created.contains(&held.internal_id), "{created}");
    assert_eq!(held.name, NAME);
    let listed = sh(&["getMeetings"]);
    assert!(listed.contains("<meetingID>a room</meetingID>"), "{listed}");
    let inside = sh(&["join", "meetingID=a room", "fullName=Ada L", "role=MODERATOR", "redirect=false"]);
    assert!(inside.contains("<messageKey>successfullyJoined</messageKey>"), "{inside}");
    stage.inside("a room", &[("Ada L", true)]);
    assert!(sh(&["isMeetingRunning", "meetingID=a room"]).contains("<running>true</running>"));
    assert!(sh(&["end", "meetingID=a room", "password=mp"]).contains("sentEndMeetingRequest"));
    stage.all_gone();
}
