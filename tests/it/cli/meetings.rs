//! `sl meetings`

use crate::support::Pool;
use serde_json::Value;

#[test]
fn meetings_commands_list_locate_show_and_end() {
    let pool = Pool::start(2);
    assert_eq!(pool.sl_ok(&["meetings"]), "No meetings.\n");
    for n in 0..4 {
        pool.get("create", &format!("meetingID=m{n}&name=M&moderatorPW=mp")).success();
    }
    let all: Vec<Value> = serde_json::from_str(&pool.sl_ok(&["meetings", "--json"])).unwrap();
    assert_eq!(all.iter().map(|m| m["id"].as_str().unwrap()).collect::<Vec<_>>(), ["m0", "m1", "m2", "m3"]);
    let holder = pool.holder("m0").unwrap();
    let id = format!("bbb{holder}");
    let some: Vec<Value> = serde_json::from_str(&pool.sl_ok(&["meetings", "list", &id, "--json"])).unwrap();
    assert_eq!(some.len(), 2);
    assert!(some.iter().all(|m| m["server_id"] == id.as_str()));
    assert!(pool.sl_ok(&["meetings", "list"]).contains("979198380"), "the voice bridge of m1");
    let place = pool.sl_ok(&["meetings", "where", "m0"]);
    assert_eq!(place, format!("{id}\t127.0.0.1:{}\n", pool.server(holder).port()));
    pool.server(holder).add_people("m0", 3);
    let info = pool.sl_ok(&["meetings", "info", "m0"]);
    assert!(info.contains("participantCount: 3\n") && info.contains("running: true\n"), "{info}");
    assert!(!info.contains("moderatorPW"), "{info}");
    assert!(pool.sl_ok(&["meetings", "info", "m0", "--show-secrets"]).contains("moderatorPW: mp\n"));
    let json: Value = serde_json::from_str(&pool.sl_ok(&["meetings", "info", "m0", "--json"])).unwrap();
    assert_eq!(json["server_says"]["participantCount"], "3");

    let error = pool.sl_fails(&["meetings", "end", "m0"]);
    assert!(error.contains("--yes"), "without a terminal --yes is required: {error}");
    assert_eq!(pool.sl_ok(&["meetings", "end", "m0", "m1", "--yes"]), "OK m0\nOK m1\n");
    assert_eq!(pool.holder("m0"), None);
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "2");
}

#[test]
fn control_characters_in_names_are_escaped() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=red%1B%5B31m&name=M").success();
    let listed = pool.sl_ok(&["meetings"]);
    assert!(listed.contains("red\\u{1b}[31m") && !listed.contains('\u{1b}'), "{listed}");
}

#[test]
fn meetings_end_keeps_record_when_server_fails() {
    let pool = Pool::with(1, 1, &[("CONNECT_TIMEOUT", "0.5"), ("RESPONSE_TIMEOUT", "0.5")]);
    pool.get("create", "meetingID=m1&name=M").success();
    pool.server(1).set_fault(sl_sim::FaultKind::Refuse);
    let line = pool.sl_fails(&["meetings", "end", "m1", "--yes"]);
    assert!(line.contains("its record stays"), "{line}");
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "1");
}
