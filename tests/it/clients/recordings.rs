//! Recordings as clients request them: bbbctl, bigbluebutton-js, and the exact queries of Moodle and Greenlight.

use super::*;
use crate::support::RecordingEnv;

fn three_recordings() -> RecordingEnv {
    let env = RecordingEnv::start();
    for n in 1..=3 {
        env.add(&format!("r-{n}"), &format!("room {n}"), n);
    }
    env
}

fn origin(env: &RecordingEnv) -> String {
    format!("http://{}", env.pool.address(0))
}

#[test]
fn bbbctl_lists_publishes_and_deletes_recordings() {
    let env = three_recordings();
    let ctl = |args: &[&str]| {
        let mut command = program(&installed(".venv/bin/bbbctl"));
        command.env("BBBCTL_SERVER", origin(&env)).env("BBBCTL_SECRET", &env.pool.secret);
        text_output(command.args(["--format", "jsonline", "record"]).args(args))
    };
    let list = |args: &[&str]| -> Vec<Value> {
        let mut all = vec!["list"];
        all.extend(args);
        ctl(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let ids =
        |list: &[Value]| list.iter().map(|r| r["recordID"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&list(&[])), ["r-3", "r-2", "r-1"]);
    assert_eq!(ids(&list(&["--meeting", "room 2"])), ["r-2"]);
    let info: Value = serde_json::from_str(ctl(&["info", "r-1"]).trim()).unwrap();
    assert_eq!((&info["name"], &info["metadata"]["bbb-origin"]), (&json!("Algebra & Co"), &json!("moodle")));
    ctl(&["unpublish", "r-1"]);
    assert_eq!(env.record_ids("state=unpublished"), ["r-1"]);
    ctl(&["publish", "r-1"]);
    assert_eq!(env.record_ids("state=unpublished"), [""; 0]);
    ctl(&["delete", "r-3"]);
    assert_eq!(ids(&list(&[])), ["r-2", "r-1"]);
}

#[test]
fn js_library_lists_publishes_updates_and_deletes_recordings() {
    let env = three_recordings();
    let js = |step: &str, args: &[Value]| {
        let package = installed(".tools/node/node_modules/bigbluebutton-js");
        let mut command = program(Path::new("node"));
        command.env("NODE_PATH", package.parent().unwrap());
        command.arg(Path::new(ROOT).join("tests/clients/drive.cjs"));
        let base = format!("{}/bigbluebutton/", origin(&env));
        json_output(command.args([&base, &env.pool.secret, step]).args(args.iter().map(Value::to_string)))
    };
    let listed = js("recordings", &[json!({ "meetingID": "room 1,room 3" })]);
    let first = &listed["recordings"][0];
    assert_eq!((&first["recordID"], &first["published"]), (&json!("r-3"), &json!(true)));
    let formats = first["playback"]["format"].as_array().unwrap();
    assert_eq!(formats.len(), 2);
    assert_eq!(formats[1]["url"], format!("{}/playback/video/r-3/", origin(&env)));
    assert_eq!(js("publish", &[json!("r-3"), json!(false)])["published"], false);
    assert_eq!(js("update", &[json!("r-3"), json!({ "meta_gl-listed": "true" })])["updated"], true);
    let hidden = js("recordings", &[json!({ "state": "unpublished", "meta_gl-listed": "true" })]);
    assert_eq!(hidden["recordings"][0]["recordID"], "r-3");
    assert_eq!(js("remove", &[json!("r-3,r-2")])["deleted"], true);
    assert_eq!(js("recordings", &[json!({})])["recordings"].as_array().unwrap().len(), 1);
    assert_eq!(js("recordings", &[json!({ "meetingID": "none" })])["messageKey"], "noRecordings");
}

/// Moodle's BigBlueButton module: all states, a page of 25 ids, filtered by this Moodle as origin.
#[test]
fn moodle_query_for_25_recordings_of_any_state_works() {
    let env = three_recordings();
    env.pool.get("publishRecordings", "recordID=r-2&publish=false").success();
    let ids: Vec<String> = (1..=25).map(|n| format!("r-{n}")).collect();
    let query = format!("recordID={}&state=any&meta_bbb-origin=moodle", ids.join("%2C"));
    assert_eq!(env.record_ids(&query), ["r-3", "r-2", "r-1"]);
    let rooms: Vec<String> = (1..=25).map(|n| format!("room+{n}")).collect();
    let query = format!("meetingID={}&state=any", rooms.join("%2C"));
    let reply = env.pool.post("getRecordings", "", "application/x-www-form-urlencoded", query.as_bytes());
    assert_eq!(reply.success().body.matches("<recording>").count(), 3);
    env.pool
        .get("updateRecordings", "recordID=r-1&meta_bbb-recording-name=Week+1&meta_name=Week+1")
        .success();
    assert!(env.pool.get("getRecordings", "recordID=r-1").body.contains("<bbb-recording-name>Week 1</"));
}

/// Greenlight: publishes, lists, protects, deletes.
#[test]
fn greenlight_changes_visibility_of_recordings() {
    let env = RecordingEnv::with(1, &[("PROTECTED_RECORDINGS_ENABLED", "true")]);
    env.add("r-1", "room", 1);
    let updated =
        |query: &str| env.pool.get("updateRecordings", query).success().xml("updated") == Some("true");
    assert!(updated("recordID=r-1&meta_gl-listed=true"));
    assert!(updated("recordID=r-1&protect=true"));
    let body = env.pool.get("getRecordings", "meetingID=room&meta_gl-listed=true").success().body;
    assert!(body.contains("<protected>true</protected>") && body.contains("?token="), "{body}");
    assert!(!body.contains("<preview>"), "{body}");
    assert!(updated("recordID=r-1&protect=false&meta_gl-listed=false"));
    assert!(!env.pool.get("getRecordings", "recordID=r-1").body.contains("?token="));
    env.pool.get("publishRecordings", "recordID=r-1&publish=false").success();
    env.pool.get("deleteRecordings", "recordID=r-1").success();
    assert_eq!(env.record_ids("meetingID=room"), [""; 0]);
}
