//! add_server.lua, update_server.lua, set_state.lua, remove_server.lua, panic.lua, online.lua

use super::Lab;
use sl::bbb::Secret;
use sl::store::{AddOutcome, PanicOutcome, RemoveOutcome, ServerState, SetStateOutcome};

#[test]
fn a_new_server_is_disabled_and_offline_and_its_id_is_unique() {
    let lab = Lab::new();
    let add = |url: &str| lab.run(lab.store.add_server("s1", url, &Secret::from("x"), None, Some("gpu")));
    assert_eq!(add("http://a/bigbluebutton/api").unwrap(), AddOutcome::Added);
    assert_eq!(add("http://a/bigbluebutton/api").unwrap(), AddOutcome::Same);
    assert_eq!(add("http://b/bigbluebutton/api").unwrap(), AddOutcome::Exists);
    let server = lab.run(lab.store.server("s1")).unwrap().unwrap();
    assert_eq!(server.at.url, "http://a/bigbluebutton/api");
    assert_eq!((server.state, server.online), (ServerState::Disabled, false));
    assert_eq!((server.tag.as_str(), server.load_multiplier, server.load), ("gpu", 1.0, None));
    assert_eq!(lab.hget("scalelite:server:s1", "load_multiplier"), "1.0");
}

#[test]
fn invalid_arguments_change_nothing() {
    let lab = Lab::with_servers(1);
    let before = lab.redis.cli(&["HGETALL", "scalelite:server:s1"]);
    for (args, says) in [
        (vec!["s1", "load_multiplier", "0"], "above 0"),
        (vec!["s1", "tag", "x", "load_multiplier", "-1"], "above 0"),
        (vec!["s1", "load_multiplier", "inf"], "above 0"),
        (vec!["s1", "tag", "x", "color", "red"], "no such field"),
        (vec!["s1", "url", ""], "must not be empty"),
        (vec!["s1", "tag"], "without a value"),
        (vec!["s1", "tag", "gpu!"], "must not contain ; or !"),
        (vec!["s1", "tag", "a;b"], "must not contain ; or !"),
        (vec!["s1", "tag", "none"], "must not be none"),
        (vec!["s1", "tag", "a b"], "spaces"),
        (vec!["s1", "load_multiplier", "nan"], "above 0"),
        (vec!["s1", "load_multiplier", "2", "url", "ftp://a/api"], "must begin with http"),
        (vec!["s1", "url", "http://u@a/api"], "without credentials"),
        (vec!["s1", "secret", "a\nb"], "control characters"),
    ] {
        let answer = lab.redis.eval("update_server", &args).join(" ");
        assert!(answer.contains(says), "{args:?}: {answer}");
    }
    for (args, says) in [
        (vec!["", "http://a/api", "x"], "are needed"),
        (vec!["s2", "http://a/api"], "are needed"),
        (vec!["s2", "http://a/api", "x", "zero"], "above 0"),
        (vec!["s 2", "http://a/api", "x"], "spaces"),
        (vec!["{s2}", "http://a/api", "x"], "letters, digits"),
        (vec!["s2", "a/api", "x"], "must begin with http"),
        (vec!["s2", "http://a/api?b", "x"], "query"),
        (vec!["s2", "http:///api", "x"], "must begin with http"),
        (vec!["s2", "http://a/api", "x y"], "spaces"),
        (vec!["s2", "http://a/api", "x", "", "a;b"], "must not contain ; or !"),
        (vec![&"x".repeat(1025), "http://a/api", "x"], "too long"),
    ] {
        let answer = lab.redis.eval("add_server", &args).join(" ");
        assert!(answer.contains(says), "{args:?}: {answer}");
    }
    assert!(lab.redis.eval("set_state", &["s1", "tired"]).join(" ").contains("must be"));
    assert_eq!(lab.redis.cli(&["HGETALL", "scalelite:server:s1"]), before);
    assert_eq!(lab.redis.cli(&["SCARD", "scalelite:servers"]), "2");
}

#[test]
fn update_server_applies_multiplier_and_tag_at_once() {
    let lab = Lab::with_servers(2);
    lab.assign("a");
    lab.assign("b");
    assert_eq!(lab.redis.eval("update_server", &["s1", "load_multiplier", "3", "tag", "gpu"]), ["updated"]);
    assert_eq!(lab.load("s1"), Some(45.0));
    lab.assert_index_matches();
    assert_eq!(lab.assign_tagged("c", "gpu!"), "s1");
    assert_eq!(lab.redis.eval("update_server", &["s1", "tag", ""]), ["updated"]);
    assert_eq!(lab.redis.cli(&["HEXISTS", "scalelite:server:s1", "tag"]), "0");
    lab.assert_index_matches();
    assert_eq!(lab.redis.eval("update_server", &["s9", "tag", "x"]), ["unknown"]);
}

#[test]
fn set_state_moves_the_load_and_keeps_the_meetings() {
    let lab = Lab::with_servers(2);
    lab.assign("a");
    lab.assign("b");
    let set = |state| match lab.run(lab.store.set_state("s1", state)).unwrap() {
        SetStateOutcome::Set { meetings } => Some(meetings),
        SetStateOutcome::Unknown => None,
    };
    assert_eq!(set(ServerState::Cordoned), Some(1));
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.redis.cli(&["ZSCORE", "scalelite:cordoned_server_load", "s1"]), "15");
    assert_eq!(lab.redis.cli(&["SMEMBERS", "scalelite:server_enabled"]), "s2");
    assert_eq!(set(ServerState::Disabled), Some(1));
    assert!(!lab.exists("scalelite:cordoned_server_load"));
    assert_eq!(lab.assign("c"), "s2");
    // Enabled again, with the load of the meetings that still run there.
    assert_eq!(set(ServerState::Enabled), Some(1));
    assert_eq!(lab.load("s1"), Some(15.0));
    lab.assert_index_matches();
    assert_eq!(lab.run(lab.store.set_state("s9", ServerState::Enabled)).unwrap(), SetStateOutcome::Unknown);
}

#[test]
fn an_enabled_server_that_is_offline_is_no_candidate() {
    let lab = Lab::with_servers(1);
    lab.redis.eval("set_state", &["s1", "disabled"]);
    lab.redis.cli(&["HSET", "scalelite:server:s1", "online", "false"]);
    lab.redis.eval("set_state", &["s1", "enabled"]);
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.redis.cli(&["SISMEMBER", "scalelite:server_enabled", "s1"]), "1");
}

#[test]
fn remove_server_needs_force_while_meetings_run_and_leaves_no_keys() {
    let lab = Lab::with_servers(1);
    lab.assign_as("a", "", &["77"]);
    let remove = |force| lab.run(lab.store.remove_server("s1", force)).unwrap();
    assert_eq!(remove(false), RemoveOutcome::Busy(1));
    assert!(lab.exists("scalelite:meeting:a"));
    assert_eq!(remove(true), RemoveOutcome::Removed(1));
    lab.redis.eval("remove_server", &["tagged"]);
    let mut left: Vec<_> = lab.redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    left.retain(|key| {
        !["index", "tags", "turn", "rebuild"].iter().any(|name| *key == format!("scalelite:sl:{name}"))
    });
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(remove(true), RemoveOutcome::Unknown);
}

#[test]
fn panic_releases_all_meetings_of_that_server_and_no_others() {
    let lab = Lab::with_servers(2);
    for n in 0..6 {
        lab.assign_as(&format!("m{n}"), "", &[&format!("10{n}")]);
    }
    // One that Scalelite recorded, so that none of our own keys has it.
    lab.redis.cli(&["HSET", "scalelite:meeting:old", "server_id", "s1", "moderator_pw", "opw"]);
    lab.redis.cli(&["SADD", "scalelite:meetings", "old"]);
    let PanicOutcome::Panicked(released) = lab.run(lab.store.panic("s1", false)).unwrap() else {
        panic!("no such server")
    };
    assert_eq!(released.len(), 4);
    assert!(released.iter().any(|(key, password)| key.as_str() == "old" && password == "opw"));
    assert_eq!(lab.redis.cli(&["SCARD", "scalelite:meetings"]), "3");
    assert_eq!(lab.redis.cli(&["HLEN", "scalelite:voice_bridges"]), "3");
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.load("s2"), Some(45.0));
    assert_eq!(lab.hget("scalelite:server:s1", "state"), "disabled");
    assert_eq!(lab.run(lab.store.panic("s1", false)).unwrap(), PanicOutcome::Panicked(vec![]));
    assert_eq!(lab.run(lab.store.panic("s9", false)).unwrap(), PanicOutcome::Unknown);
    lab.assert_index_matches();
}

#[test]
fn panic_can_keep_the_state() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.run(lab.store.panic("s1", true)).unwrap();
    assert_eq!(lab.hget("scalelite:server:s1", "state"), "enabled");
    assert_eq!(lab.load("s1"), Some(0.0));
    assert_eq!(lab.assign("a"), "s1");
}

#[test]
fn no_two_servers_have_one_url() {
    let lab = Lab::new();
    let add = |id: &str, url: &str, tag: &str| lab.redis.eval("add_server", &[id, url, "x", "", tag]);
    assert_eq!(add("s1", "https://bbb1.example.com/bigbluebutton/api", "gpu"), ["added"]);
    assert_eq!(add("s1", "https://bbb1.example.com/bigbluebutton/api/", "gpu"), ["same"]);
    assert_eq!(add("s1", "https://bbb1.example.com/bigbluebutton/api", ""), ["exists"]);
    assert_eq!(
        lab.redis.eval("add_server", &["s1", "https://bbb1.example.com/bigbluebutton", "y", "", "gpu"]),
        ["exists"]
    );
    for url in [
        "https://bbb1.example.com/bigbluebutton/api",
        "HTTPS://BBB1.example.com/bigbluebutton/api/",
        "https://bbb1.example.com:443/bigbluebutton/api//",
        "https://bbb1.example.com/bigbluebutton",
    ] {
        assert_eq!(add("s2", url, "gpu"), ["url_taken", "s1", "1"], "{url}");
        assert_eq!(add("s2", url, ""), ["url_taken", "s1", "0"], "{url}");
    }
    for (n, url) in [
        "https://bbb1.example.com:8443/bigbluebutton/api",
        "https://bbb1.example.com/second/api",
        "https://bbb10.example.com/bigbluebutton/api",
        "https://bbb1.example.com/BigBlueButton/api",
        "http://bbb1.example.com:443/bigbluebutton/api",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(add(&format!("other{n}"), url, ""), ["added"], "{url}");
    }
    assert_eq!(lab.redis.cli(&["SCARD", "scalelite:servers"]), "6");

    // An update takes and frees one.
    let update = |id: &str, url: &str| lab.redis.eval("update_server", &[id, "tag", "new", "url", url]);
    assert_eq!(update("other0", "https://BBB1.example.com/bigbluebutton/api"), ["url_taken", "s1"]);
    assert_eq!(lab.hget("scalelite:server:other0", "tag"), "", "nothing has changed");
    assert_eq!(update("s1", "https://bbb1.example.com/bigbluebutton/api/"), ["updated"], "its own");
    assert_eq!(update("s1", "https://moved.example.com/bigbluebutton/api"), ["updated"]);
    assert_eq!(add("s3", "https://moved.example.com/bigbluebutton/api", ""), ["url_taken", "s1", "0"]);
    assert_eq!(add("s3", "https://bbb1.example.com/bigbluebutton/api", ""), ["added"]);

    // So does the removal of a server.
    lab.redis.eval("remove_server", &["s3"]);
    assert_eq!(add("s4", "https://bbb1.example.com/bigbluebutton/api", ""), ["added"]);

    // One that Scalelite has added counts; one whose URL was edited by hand does after a round of polls.
    lab.redis.cli(&[
        "HSET",
        "scalelite:server:theirs",
        "url",
        "https://theirs.example.com/bigbluebutton/api/",
    ]);
    lab.redis.cli(&["SADD", "scalelite:servers", "theirs"]);
    assert_eq!(add("s5", "https://theirs.example.com/bigbluebutton/api", "")[..2], ["url_taken", "theirs"]);
    lab.redis.cli(&[
        "HSET",
        "scalelite:server:theirs",
        "url",
        "https://edited.example.com/bigbluebutton/api/",
    ]);
    lab.redis.eval("reindex", &[]);
    assert_eq!(add("s5", "https://edited.example.com/bigbluebutton/api", "")[..2], ["url_taken", "theirs"]);
    assert_eq!(add("s5", "https://theirs.example.com/bigbluebutton/api", ""), ["added"]);
}

#[test]
fn online_lists_servers_in_any_state() {
    let lab = Lab::with_servers(3);
    lab.redis.eval("set_state", &["s1", "disabled"]);
    lab.redis.cli(&["HSET", "scalelite:server:s2", "online", "false"]);
    let mut ids: Vec<_> = lab.run(lab.store.online_servers()).unwrap().into_iter().map(|s| s.id).collect();
    ids.sort();
    assert_eq!(ids, ["s1", "s3"]);
}
