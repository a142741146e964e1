//! Meetings without a record: adopted if they carry the pool's mark, or during a rebuild; otherwise strays.
//! Meetings on two servers.

use crate::support::{Pool, parameter};
use serde_json::Value;
use sl_sim::FaultKind;
use std::time::Duration;

fn recorded_on(pool: &Pool, meeting: &str) -> String {
    pool.redis.cli(&["HGET", &format!("scalelite:meeting:{meeting}"), "server_id"])
}

/// A pool whose rebuild, which begins with its first server, is over.
fn settled_pool(servers: usize) -> Pool {
    let pool = Pool::with(servers, 1, &[]);
    pool.redis.cli(&["DEL", "scalelite:sl:rebuild"]);
    pool
}

/// As if Redis had lost this record alone.
fn lose_record(pool: &Pool, meeting: &str) {
    let keys = [format!("scalelite:meeting:{meeting}"), format!("scalelite:sl:meeting:{meeting}")];
    pool.redis.cli(&["DEL", &keys[0], &keys[1]]);
    pool.redis.cli(&["SREM", "scalelite:meetings", meeting]);
}

fn strays(pool: &Pool) -> Vec<(String, String)> {
    let rows: Vec<Value> = serde_json::from_str(&pool.sl_ok(&["meetings", "--strays", "--json"])).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "id"), text(row, "server_id"))).collect()
}

fn warnings(pool: &Pool) -> Vec<(String, String, String)> {
    let status: Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = status["warnings"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "kind"), text(row, "subject"), text(row, "text"))).collect()
}

#[test]
fn server_cannot_claim_a_meeting_before_it_is_created() {
    let pool = settled_pool(2);
    let thief = pool.server(1);
    thief.create_meeting("exam-42", "X");
    thief.add_people("exam-42", 40);
    pool.sl_ok(&["poll"]);
    assert_eq!(recorded_on(&pool, "exam-42"), "", "it is a stray");
    assert_eq!(strays(&pool), [("exam-42".to_owned(), "bbb1".to_owned())]);
    let found = warnings(&pool);
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("strays", "bbb1"), "{found:?}");
    assert!(found[0].2.contains("sl meetings --strays"), "{found:?}");
    pool.get("create", "meetingID=exam-42&moderatorPW=secret").success();
    assert_eq!(recorded_on(&pool, "exam-42"), "bbb2", "the thief's participants count as its load");
}

#[test]
fn operator_adopts_a_stray_by_hand() {
    let pool = settled_pool(2);
    pool.server(1).create_meeting("by hand", "X");
    pool.server(1).create_meeting("other", "X");
    pool.sl_ok(&["poll"]);
    assert!(pool.sl_ok(&["meetings", "--strays"]).contains("by hand"));
    assert!(pool.sl_fails(&["meetings", "adopt", "bbb2", "by hand"]).contains("does not run the meeting"));
    assert_eq!(pool.sl_ok(&["meetings", "adopt", "bbb1", "by hand"]), "OK by hand\n");
    assert_eq!(recorded_on(&pool, "by hand"), "bbb1");
    assert_eq!(strays(&pool), [("other".to_owned(), "bbb1".to_owned())]);
    assert!(pool.sl_fails(&["meetings", "adopt", "bbb1", "by hand"]).contains("has a record already"));
    pool.sl_ok(&["rebuild"]);
    assert_eq!(recorded_on(&pool, "other"), "bbb1", "a rebuild adopts all of them");
}

#[test]
fn meeting_with_the_mark_is_adopted_when_its_record_is_lost() {
    let pool = settled_pool(3);
    for n in 0..3 {
        pool.get("create", &format!("meetingID=m{n}&moderatorPW=mp&meta_sl-mark=forged")).success();
    }
    let before: Vec<_> = (0..3).map(|n| recorded_on(&pool, &format!("m{n}"))).collect();
    (0..3).for_each(|n| lose_record(&pool, &format!("m{n}")));
    pool.sl_ok(&["poll"]);
    let after: Vec<_> = (0..3).map(|n| recorded_on(&pool, &format!("m{n}"))).collect();
    assert_eq!(after, before);
    assert_eq!(strays(&pool), []);
}

#[test]
fn mark_is_valid_for_its_meeting_on_its_server_only() {
    let pool = settled_pool(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let (from, to) = if pool.holder("m1") == Some(1) { (1, 2) } else { (2, 1) };
    let mark = parameter(&pool.server(from).last_request("create").unwrap(), "meta_sl-mark").unwrap();
    assert_eq!(mark.len(), 32);
    pool.server(from).forget_meeting("m1");
    lose_record(&pool, "m1");
    pool.get_from_server(to, "create", &format!("meetingID=m1&meta_sl-mark={mark}")).success();
    pool.get_from_server(from, "create", &format!("meetingID=m2&meta_sl-mark={mark}")).success();
    pool.sl_ok(&["poll"]);
    assert_eq!((recorded_on(&pool, "m1"), recorded_on(&pool, "m2")), (String::new(), String::new()));
    assert_eq!(strays(&pool).len(), 2);
}

#[test]
fn mark_fits_the_server_that_a_failover_chose() {
    let pool = settled_pool(2);
    pool.server(1).set_fault(FaultKind::Refuse);
    // One of the two goes to the server that refuses at first.
    for meeting in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={meeting}")).success();
        assert_eq!(recorded_on(&pool, meeting), "bbb2");
        lose_record(&pool, meeting);
    }
    pool.server(1).clear_faults();
    pool.sl_ok(&["poll"]);
    assert_eq!((recorded_on(&pool, "m1"), recorded_on(&pool, "m2")), ("bbb2".into(), "bbb2".into()));
}

#[test]
fn breakout_rooms_are_never_adopted() {
    let pool = Pool::with(1, 1, &[]);
    pool.get("create", "meetingID=m1").success();
    let rooms = pool.server(1).add_breakouts("m1", 2, true);
    pool.sl_ok(&["rebuild"]);
    assert!(rooms.iter().all(|room| recorded_on(&pool, room).is_empty()));
    assert_eq!(pool.redis.cli(&["SMEMBERS", "scalelite:meetings"]), "m1");
    assert_eq!(strays(&pool), []);
}

/// A meeting that both servers of a pool run, with the mark of each; the numbers of the server that its record
/// names and of the other one.
fn duplicated_meeting(pool: &Pool) -> (usize, usize) {
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let copy = pool.holder("m1").unwrap();
    let recorded = 3 - copy;
    lose_record(pool, "m1");
    // Recorded and created on the other one, as after a failover.
    pool.server(copy).set_fault(FaultKind::Refuse);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.server(copy).clear_faults();
    pool.redis.cli(&["DEL", "scalelite:sl:held"]);
    assert_eq!(recorded_on(pool, "m1"), format!("bbb{recorded}"));
    (recorded, copy)
}

#[test]
fn meeting_on_two_servers_is_reported_with_the_one_of_its_record() {
    let pool = settled_pool(2);
    let (recorded, copy) = duplicated_meeting(&pool);
    pool.server(copy).add_people("m1", 2);
    // The second round sees that the server of the record lists it.
    pool.sl_ok(&["poll"]);
    pool.sl_ok(&["poll"]);
    let found = warnings(&pool);
    let found = found.iter().find(|w| w.0 == "meeting-on-two-servers").unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(found.1, "m1");
    assert!(found.2.contains(&format!("(bbb{recorded}), where its record is")), "{found:?}");
    assert!(found.2.contains(&format!("(bbb{copy})")), "{found:?}");
    assert!(pool.server(copy).meeting("m1").is_some(), "it is not ended: participants are in it");
    let rows: Value = serde_json::from_str(&pool.sl_ok(&["meetings", "--strays", "--json"])).unwrap();
    assert_eq!(rows[0]["recorded_on"], format!("bbb{recorded}"));
    pool.server(copy).end_meeting("m1");
    pool.sl_ok(&["poll"]);
    assert!(warnings(&pool).iter().all(|w| w.0 != "meeting-on-two-servers"));
}

#[test]
fn empty_copy_that_a_failover_left_is_ended() {
    let pool = settled_pool(2);
    let (recorded, copy) = duplicated_meeting(&pool);
    pool.sl_ok(&["poll"]);
    pool.sl_ok(&["poll"]);
    assert!(pool.server(copy).meeting("m1").is_some(), "its create may still be under way");
    // The servers' clocks are a minute behind: the copy is older by that of Redis.
    pool.server(copy).forget_meeting("m1");
    let mark = parameter(&pool.server(copy).last_request("create").unwrap(), "meta_sl-mark").unwrap();
    make_old_copy(&pool, copy, &mark);
    pool.sl_ok(&["poll"]);
    assert!(pool.server(copy).meeting("m1").is_none(), "ended");
    assert!(pool.server(recorded).meeting("m1").is_some());
    assert_eq!(recorded_on(&pool, "m1"), format!("bbb{recorded}"));
    assert!(warnings(&pool).iter().all(|w| w.0 != "meeting-on-two-servers"));
}

#[test]
fn empty_copy_without_the_mark_or_without_the_other_meeting_is_not_ended() {
    let pool = settled_pool(2);
    let (recorded, copy) = duplicated_meeting(&pool);
    let mark = parameter(&pool.server(copy).last_request("create").unwrap(), "meta_sl-mark").unwrap();
    pool.sl_ok(&["poll"]);
    pool.server(copy).forget_meeting("m1");
    make_old_copy(&pool, copy, "5e");
    pool.sl_ok(&["poll"]);
    assert!(pool.server(copy).meeting("m1").is_some(), "it is not the pool's");
    pool.server(copy).forget_meeting("m1");
    make_old_copy(&pool, copy, &mark);
    pool.server(recorded).forget_meeting("m1");
    pool.sl_ok(&["poll"]);
    assert!(pool.server(copy).meeting("m1").is_some(), "it is the only one");
}

/// A meeting m1 on this server, created two minutes ago.
fn make_old_copy(pool: &Pool, server: usize, mark: &str) {
    pool.server(server).rewind_clock(Duration::from_secs(120));
    pool.get_from_server(server, "create", &format!("meetingID=m1&moderatorPW=mp&meta_sl-mark={mark}"))
        .success();
    pool.server(server).advance_clock(Duration::from_secs(120));
}
