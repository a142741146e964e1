//! bbbctl, a command line: SHA-1, urllib's form encoding, join links with a createTime.

use super::*;

fn bbbctl(stage: &Stage, secret: &str, args: &[&str]) -> Command {
    let mut command = program(&installed(".venv/bin/bbbctl"));
    command.env("BBBCTL_SERVER", stage.origin()).env("BBBCTL_SECRET", secret);
    command.args(["--format", "jsonline"]).args(args);
    command
}

fn ctl(stage: &Stage, args: &[&str]) -> Command {
    bbbctl(stage, &stage.pool.secret, args)
}

#[track_caller]
fn list(stage: &Stage) -> Vec<Value> {
    let text = printed(&mut ctl(stage, &["meeting", "list"]));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// It must have failed, and told what the API said.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let key = told.lines().find_map(|line| line.trim().strip_prefix("messageKey: "));
    key.unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[test]
fn takes_meetings_from_create_to_end() {
    let stage = Stage::new();
    assert_eq!(list(&stage), Vec::<Value>::new());

    let mut create = ctl(&stage, &["meeting", "create", ID, NAME, "moderatorPW=mp +&", "attendeePW=ap"]);
    create.args(["--welcome", NAME, "--meta", "room=Café = 1", "--muteOnStart"]);
    create.args(["--maxParticipants", "9", "--join", "Zoë & Co"]);
    let links = printed(&mut create);
    let (n, held) = stage.held(ID);
    assert_eq!((held.name.as_str(), held.moderator_pw.as_str()), (NAME, "mp +&"));
    assert_eq!(held.metadata["room"], "Café = 1");
    assert_eq!(stage.sent(ID, "create", "welcome").as_deref(), Some(NAME));
    assert_eq!(stage.sent(ID, "create", "muteOnStart").as_deref(), Some("true"));
    assert_eq!(stage.sent(ID, "create", "maxParticipants").as_deref(), Some("9"));

    // The link that create printed, and one made later; both carry the meeting's createTime.
    stage.enter(links.trim().strip_prefix("Zoë & Co: ").unwrap(), ID);
    stage.inside(ID, &[("Zoë & Co", true)]);
    let link = printed(&mut ctl(&stage, &["meeting", "join", ID, NAME]));
    stage.enter(link.trim(), ID);
    stage.inside(ID, &[("Zoë & Co", true), (NAME, false)]);

    let info = told(&mut ctl(&stage, &["meeting", "info", ID]));
    assert_eq!(info["meetingID"], ID);
    assert_eq!(info["meetingName"], NAME);
    assert_eq!(info["internalMeetingID"], held.internal_id.as_str());
    assert_eq!(info["createTime"], held.created_ms);
    assert_eq!(info["voiceBridge"], held.voice_bridge.as_str());
    assert_eq!((&info["running"], &info["participantCount"]), (&json!(true), &json!(2)));
    assert_eq!(info["attendees"][1]["fullName"], NAME);
    assert_eq!(info["metadata"]["room"], "Café = 1");

    // Two more: one meeting for each of the three servers, and the list is of all of them.
    for id in ["m-2", "m-3"] {
        printed(&mut ctl(&stage, &["meeting", "create", id, id]));
    }
    assert_eq!(sorted(["m-2", "m-3", ID].map(|id| stage.held(id).0)), [1, 2, 3]);
    let listed = list(&stage);
    assert_eq!(sorted(listed.iter().map(|m| m["meetingID"].as_str().unwrap())), stage.all_held());
    for meeting in &listed {
        let (_, held) = stage.held(meeting["meetingID"].as_str().unwrap());
        assert_eq!(meeting["internalMeetingID"], held.internal_id.as_str());
        assert_eq!(meeting["participantCount"], held.people.len());
    }

    // A second create of the same is no error and makes no second meeting.
    printed(&mut ctl(&stage, &["meeting", "create", ID, NAME]));
    assert_eq!(stage.held(ID).0, n);

    printed(&mut ctl(&stage, &["meeting", "chat", ID, NAME, "--name", "Zoë"]));
    assert_eq!(stage.held(ID).1.chat, [NAME]);
    printed(&mut ctl(&stage, &["meeting", "chat", "BROADCAST", "to all"]));
    assert_eq!(stage.held("m-3").1.chat, ["to all"]);

    printed(&mut ctl(&stage, &["meeting", "end", ID]));
    assert_eq!(stage.all_held(), ["m-2", "m-3"]);
    assert_eq!(refused(&mut ctl(&stage, &["meeting", "info", ID])), "notFound");
    assert_eq!(refused(&mut ctl(&stage, &["meeting", "end", ID])), "notFound");
    printed(&mut ctl(&stage, &["meeting", "nuke", "--doit"]));
    stage.all_gone();
    assert_eq!(list(&stage), Vec::<Value>::new());
}

#[test]
fn is_refused_with_a_wrong_secret() {
    let stage = Stage::new();
    assert_eq!(refused(&mut bbbctl(&stage, "wrong", &["meeting", "list"])), "checksumError");
    assert_eq!(refused(&mut bbbctl(&stage, "wrong", &["meeting", "create", ID, NAME])), "checksumError");
    stage.all_gone();
}

#[test]
fn signs_links_for_calls_it_has_no_command_for() {
    let stage = Stage::new();
    printed(&mut ctl(&stage, &["meeting", "create", ID, NAME]));
    let call = format!("meetingID={ID}");
    let link = printed(&mut ctl(&stage, &["sign", "isMeetingRunning", &call]));
    assert_eq!(fetch("GET", link.trim(), &[], b"").success().xml("running"), Some("false"));
}
