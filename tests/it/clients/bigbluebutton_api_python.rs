//! bigbluebutton-api-python, a library: SHA-1, quote_plus, calls with a bare `?checksum=`.

use super::*;

#[track_caller]
fn step(stage: &Stage, secret: &str, step: &str, args: &[Value]) -> Value {
    let mut command = program(&installed(".venv/bin/python"));
    command.arg(Path::new(ROOT).join("tests/clients/drive.py")).args([&stage.origin(), secret, step]);
    told(command.args(args.iter().map(Value::to_string)))
}

#[test]
fn takes_meetings_from_create_to_end() {
    let stage = Stage::new();
    let py = |name: &str, args: &[Value]| step(&stage, &stage.pool.secret, name, args);
    assert_eq!(py("version", &[]), "2.0");
    assert_eq!(py("meetings", &[]), json!([]));
    assert_eq!(py("running", &[json!(ID)]), false);

    let params =
        json!({"name": NAME, "moderatorPW": "mp", "attendeePW": "ap", "record": true, "logoutURL": ""});
    let created = py("create", &[json!(ID), params.clone(), json!({"room": "Café = 1"})]);
    let (n, held) = stage.held(ID);
    assert_eq!((&created["id"], &created["key"]), (&json!(ID), &json!("")));
    assert_eq!(created["voice_bridge"], held.voice_bridge.as_str());
    assert_eq!((held.name.as_str(), held.metadata["room"].as_str()), (NAME, "Café = 1"));
    assert_eq!(stage.sent(ID, "create", "record").as_deref(), Some("true"));
    let again = py("create", &[json!(ID), params, json!({})]);
    assert_eq!((again["key"].as_str(), stage.held(ID).0), (Some("duplicateWarning"), n));

    // What it makes of a list of one meeting is wrong with any server: there have to be two.
    py("create", &[json!("m-2"), json!({"name": "m-2"}), json!({})]);
    assert_ne!(stage.held("m-2").0, n);
    let ids = py("meetings", &[]);
    assert_eq!(sorted(ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap())), stage.all_held());

    for (who, password) in [(NAME, "mp"), ("Zoë", "ap")] {
        let link = py("join", &[json!(who), json!(ID), json!(password)]);
        stage.enter(link.as_str().unwrap(), ID);
    }
    stage.inside(ID, &[(NAME, true), ("Zoë", false)]);
    assert_eq!(py("running", &[json!(ID)]), true);
    let info = py("info", &[json!(ID)]);
    assert_eq!((&info["id"], &info["name"]), (&json!(ID), &json!(NAME)));
    assert_eq!(info["internal"], held.internal_id.as_str());
    assert_eq!((&info["participants"], &info["has_user_joined"]), (&json!(2), &json!(true)));
    let attendees = json!([{"name": NAME, "role": "MODERATOR", "presenter": true},
        {"name": "Zoë", "role": "VIEWER", "presenter": false}]);
    assert_eq!(info["attendees"], attendees);

    assert_eq!(py("end", &[json!(ID), json!("mp")]), "sentEndMeetingRequest");
    assert_eq!(py("info", &[json!(ID)])["failed"], "notFound");
    assert_eq!(stage.all_held(), ["m-2"]);
    py("end", &[json!("m-2"), json!(stage.held("m-2").1.moderator_pw)]);
    stage.all_gone();
}

#[test]
fn is_refused_with_a_wrong_secret() {
    let stage = Stage::new();
    let refused = step(&stage, "wrong", "create", &[json!(ID), json!({"name": NAME}), json!({})]);
    assert_eq!(refused["failed"], "checksumError");
    stage.all_gone();
}
