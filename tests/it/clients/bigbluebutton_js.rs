//! bigbluebutton-js, a library for Node: SHA-1, Node's own query encoding (`~*()!` stay), answers through
//! a parser that makes numbers of what looks like one.

use super::*;

/// The [`NAME`] without its apostrophe; see the test about that.
const NAME: &str = "Größe <1> & \"2\" ~*()!+ %41 = 日本 🎓";

#[track_caller]
fn at(origin: &str, secret: &str, step: &str, args: &[Value]) -> Value {
    let package = installed(".tools/node/node_modules/bigbluebutton-js");
    let base = format!("{origin}/bigbluebutton/");
    let mut command = program(Path::new("node"));
    command.env("NODE_PATH", package.parent().unwrap());
    command.arg(Path::new(ROOT).join("tests/clients/drive.cjs"));
    told(command.args([&base, secret, step]).args(args.iter().map(Value::to_string)))
}

#[track_caller]
fn step(stage: &Stage, secret: &str, step: &str, args: &[Value]) -> Value {
    at(&stage.origin(), secret, step, args)
}

/// The library leaves entities in what it answers.
fn text(value: &Value) -> String {
    quick_xml::escape::unescape(value.as_str().unwrap()).unwrap().into_owned()
}

#[test]
fn takes_meetings_from_create_to_end() {
    let stage = Stage::new();
    let js = |name: &str, args: &[Value]| step(&stage, &stage.pool.secret, name, args);
    assert_eq!(js("meetings", &[])["messageKey"], "noMeetings");
    assert_eq!(js("running", &[json!(ID)]), json!({"returncode": "SUCCESS", "running": false}));

    let more = json!({"moderatorPW": "mp~", "attendeePW": "ap", "welcome": NAME, "record": true,
        "duration": 90, "meta_room": "Café = 1"});
    let created = js("create", &[json!(NAME), json!(ID), more.clone()]);
    let (n, held) = stage.held(ID);
    assert_eq!(created["returncode"], "SUCCESS");
    assert_eq!(text(&created["meetingID"]), ID);
    assert_eq!(created["internalMeetingID"], held.internal_id.as_str());
    assert_eq!(created["createTime"], held.created_ms);
    assert_eq!(created["voiceBridge"].to_string(), held.voice_bridge);
    assert_eq!((held.name.as_str(), held.moderator_pw.as_str()), (NAME, "mp~"));
    assert_eq!((held.duration, held.metadata["room"].as_str()), (90, "Café = 1"));
    assert_eq!(stage.sent(ID, "create", "welcome").as_deref(), Some(NAME));
    assert_eq!(stage.sent(ID, "create", "record").as_deref(), Some("true"));

    let again = js("create", &[json!(NAME), json!(ID), more]);
    assert_eq!(again["messageKey"], "duplicateWarning");
    assert_eq!((stage.held(ID).0, stage.all_held().len()), (n, 1));

    for (who, password) in [("Zoë (mod)", "mp~"), (NAME, "ap")] {
        let link = js("join", &[json!(who), json!(ID), json!(password), json!({"userID": "u/1"})]);
        stage.enter(link.as_str().unwrap(), ID);
    }
    stage.inside(ID, &[("Zoë (mod)", true), (NAME, false)]);
    assert_eq!(stage.held(ID).1.people[0].user_id, "u/1");
    assert_eq!(js("running", &[json!(ID)])["running"], true);

    let info = js("info", &[json!(ID)]);
    assert_eq!(text(&info["meetingName"]), NAME);
    assert_eq!((&info["running"], &info["participantCount"]), (&json!(true), &json!(2)));
    assert_eq!(text(&info["attendees"]["attendee"][1]["fullName"]), NAME);
    assert_eq!(info["metadata"]["room"], "Café = 1");

    // One meeting is a list of one; three are on three servers.
    assert_eq!(js("meetings", &[])["meetings"].as_array().unwrap().len(), 1);
    for id in ["m-2", "m-3"] {
        js("create", &[json!(id), json!(id)]);
    }
    assert_eq!(sorted(["m-2", "m-3", ID].map(|id| stage.held(id).0)), [1, 2, 3]);
    let list = js("meetings", &[])["meetings"].clone();
    let ids = list.as_array().unwrap().iter().map(|meeting| text(&meeting["meetingID"]));
    assert_eq!(sorted(ids), stage.all_held());

    assert_eq!(js("end", &[json!(ID), json!("wrong")])["messageKey"], "invalidPassword");
    assert_eq!(stage.held(ID).0, n);
    assert_eq!(js("end", &[json!(ID), json!("mp~")])["messageKey"], "sentEndMeetingRequest");
    assert_eq!(stage.all_held(), ["m-2", "m-3"]);
    assert_eq!(js("info", &[json!(ID)])["messageKey"], "notFound");
    for id in ["m-2", "m-3"] {
        let password = stage.held(id).1.moderator_pw;
        js("end", &[json!(id), json!(password)]);
    }
    stage.all_gone();
    assert_eq!(js("running", &[json!(ID)])["running"], false);
}

#[test]
fn is_refused_with_a_wrong_secret() {
    let stage = Stage::new();
    let refused = step(&stage, "wrong", "create", &[json!(NAME), json!(ID)]);
    assert_eq!(refused["messageKey"], "checksumError");
    stage.all_gone();
}

/// It signs `'`, and its HTTP library then sends `%27`. The checksum is over the bytes as they were
/// sent, so every BBB server refuses that; a balancer that took it would sign for what nobody signed.
#[test]
fn an_apostrophe_is_refused_as_a_bbb_server_refuses_it() {
    let stage = Stage::new();
    let create = [json!("Ada's room"), json!(ID)];
    let server = stage.pool.server(1);
    let at_server = at(&format!("http://127.0.0.1:{}", server.port()), server.secret(), "create", &create);
    let at_pool = step(&stage, &stage.pool.secret, "create", &create);
    assert_eq!(at_server["messageKey"], "checksumError");
    assert_eq!(at_pool["messageKey"], "checksumError");
    stage.all_gone();
}
