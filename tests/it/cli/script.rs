//! `sl script`

use crate::support::Pool;
use sl::store::scripts;
use std::process::Command;

#[test]
fn script_prints_text_that_redis_cli_evaluates() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=algebra-101&name=A").success();
    for (script, first) in [("find scalelite: ,", "found"), ("release scalelite: ,", "released")] {
        let (name, rest) = script.split_once(' ').unwrap();
        let line = format!(
            "redis-cli -p {} --eval <({} script {name}) {rest} algebra-101",
            pool.redis.port,
            env!("CARGO_BIN_EXE_sl"),
        );
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(answer.lines().next(), Some(first), "{line}: {answer}");
    }
}

#[test]
fn script_lists_every_script_with_what_it_does() {
    let pool = Pool::empty(1, &[]);
    let list = pool.sl_ok(&["script", "--list"]);
    assert_eq!(list.lines().count(), scripts::NAMES.len());
    assert!(list.contains("\nfind             says where a meeting runs.\n"), "{list}");
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&pool.sl_ok(&["script", "--list", "--json"])).unwrap();
    assert_eq!(json.len(), scripts::NAMES.len());
    assert_eq!(json[0]["name"], "abandon");
    let json: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["script", "find", "--json"])).unwrap();
    assert_eq!((json["name"].as_str(), json["text"].as_str()), (Some("find"), scripts::text("find")));
}

#[test]
fn an_unknown_script_is_an_error_that_names_the_list() {
    let pool = Pool::empty(1, &[]);
    let line = pool.sl_fails(&["script", "fnd"]);
    assert_eq!(line, "sl: there is no script fnd: see `sl script --list`");
    assert_eq!(pool.sl(&["script"]).status.code(), Some(2));
    assert!(pool.sl_ok(&["completions", "bash"]).contains("poll_failed poll_unreadable reassign"));
}
