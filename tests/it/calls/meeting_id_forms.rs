//! One meeting under several spellings of its id: with spaces around it, and its internal id.

use crate::support::{Pool, Reply, eventually};
use std::time::Duration;

fn join(pool: &Pool, id: &str) -> Reply {
    pool.get("join", &format!("meetingID={id}&fullName=F&role=VIEWER"))
}

#[test]
fn spaces_around_an_id_make_no_second_meeting() {
    let pool = Pool::start(3);
    pool.get("create", "meetingID=room+0+&name=x&moderatorPW=mp").success();
    let sent = pool.sim.servers().iter().find_map(|server| server.last_request("create")).unwrap();
    assert_eq!(crate::support::parameter(&sent, "meetingID").as_deref(), Some("room 0"));
    pool.assert_meeting_recorded("room 0");
    for spelling in ["room+0", "+room+0", "%09room+0%0D%0A", "%E2%80%83room+0%E3%80%80"] {
        let again = pool.get("create", &format!("meetingID={spelling}&moderatorPW=mp")).success();
        assert_eq!(again.xml("messageKey"), Some("duplicateWarning"), "{spelling}");
        assert_eq!(again.xml("meetingID"), Some("room 0"), "{spelling}");
        assert_eq!(join(&pool, spelling).status, 302, "{spelling}");
        pool.get("getMeetingInfo", &format!("meetingID={spelling}")).success();
        let running = pool.get("isMeetingRunning", &format!("meetingID={spelling}")).success();
        assert_eq!(running.xml("running"), Some("false"), "{spelling}");
        pool.post("insertDocument", &format!("meetingID={spelling}"), "text/xml", b"<m/>").success();
    }
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "1");
    pool.get("end", "meetingID=+room+0&password=mp").success();
    pool.assert_no_meetings_recorded();
}

#[test]
fn polls_keep_a_meeting_created_with_spaces() {
    let pool = Pool::start(3);
    pool.get("create", "meetingID=room+0+&name=x").success();
    let holder = pool.holder("room 0");
    // Older than a minute, so that two polls that do not list it would release it.
    let old = pool.redis.now_ms() - Duration::from_secs(90).as_millis() as u64;
    pool.redis.cli(&["HSET", "scalelite:sl:meeting:room 0", "created", &old.to_string()]);
    for n in 1..=3 {
        let list = format!("scalelite:sl:server_meetings:bbb{n}");
        pool.redis.cli(&["ZADD", &list, "XX", &old.to_string(), "room 0"]);
    }
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    pool.assert_meeting_recorded("room 0");
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "1", "and adopt no other");
    pool.get("create", "meetingID=room+0+&name=x").success();
    assert_eq!(pool.holder("room 0"), holder);
}

#[test]
fn no_break_space_belongs_to_the_id() {
    let pool = Pool::start(1);
    let reply = pool.get("create", "meetingID=%C2%A0room").success();
    assert_eq!(reply.xml("meetingID"), Some("\u{a0}room"));
    pool.sl_ok(&["poll"]);
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "1", "the poll sees the same meeting");
    pool.get("create", "meetingID=room").success();
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "2");
}

#[test]
fn calls_take_the_internal_id() {
    let pool = Pool::start(3);
    let created = pool.get("create", "meetingID=m+1&moderatorPW=mp").success();
    let internal = created.xml("internalMeetingID").unwrap();
    let holder = pool.holder("m 1").unwrap();
    let query = format!("meetingID={internal}");
    let to = join(&pool, internal);
    assert!(to.header("location").unwrap().starts_with(&pool.server(holder).url()), "{to:?}");
    pool.get("join", &format!("{query}&fullName=F&role=VIEWER&redirect=false")).success();
    assert_eq!(pool.get("getMeetingInfo", &query).success().xml("meetingID"), Some("m 1"));
    assert_eq!(pool.get("isMeetingRunning", &query).success().xml("running"), Some("true"));
    pool.post("insertDocument", &query, "text/xml", b"<m/>").success();
    pool.get("sendChatMessage", &format!("{query}&message=hi")).success();
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:sl:meeting:m 1", "users"]), "2", "counted once each");
    pool.get("end", &format!("{query}&password=mp")).success();
    pool.assert_meeting_released("m 1");
    assert_eq!(pool.get("getMeetingInfo", &query).failed(), "notFound");
    assert_eq!(pool.get("isMeetingRunning", &query).success().xml("running"), Some("false"));
}

#[test]
fn internal_id_of_an_earlier_meeting_does_not_release_its_successor() {
    let pool = Pool::start(1);
    let first = pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let internal = first.xml("internalMeetingID").unwrap();
    pool.server(1).end_meeting("m1");
    pool.server(1).advance_clock(Duration::from_secs(1));
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_eq!(pool.get("end", &format!("meetingID={internal}")).failed(), "notFound");
    pool.assert_meeting_recorded("m1");
    pool.get("end", "meetingID=m1").success();
}

#[test]
fn meeting_id_in_the_form_of_an_internal_id_is_a_meeting_of_its_own() {
    let pool = Pool::start(2);
    let created = pool.get("create", "meetingID=m1").success();
    let internal = created.xml("internalMeetingID").unwrap();
    let twin = format!("{}-1", &internal[..40]);
    let created = pool.get("create", &format!("meetingID={twin}")).success();
    assert_eq!(created.xml("meetingID"), Some(twin.as_str()));
    let info = pool.get("getMeetingInfo", &format!("meetingID={twin}")).success();
    assert_eq!(info.xml("meetingID"), Some(twin.as_str()));
    pool.get("end", &format!("meetingID={twin}")).success();
    assert_eq!(pool.redis.cli(&["SMEMBERS", "scalelite:meetings"]), "m1");
}

#[test]
fn internal_ids_are_found_after_adoption_and_forgotten_with_their_records() {
    let pool = Pool::start(1);
    pool.server(1).create_meeting("stray", "S");
    let internal = pool.server(1).meeting("stray").unwrap().internal_id;
    pool.sl_ok(&["poll"]);
    pool.get("getMeetingInfo", &format!("meetingID={internal}")).success();
    let known = || pool.redis.cli(&["HLEN", "scalelite:sl:internal_ids"]);
    assert_eq!(known(), "1");
    pool.redis.cli(&["DEL", "scalelite:sl:internal_ids"]);
    pool.sl_ok(&["poll"]);
    assert_eq!(known(), "1", "the poll restores it");
    // The record expires, and another program deletes the id from the set of meetings too.
    pool.redis.cli(&["DEL", "scalelite:meeting:stray", "scalelite:sl:meeting:stray"]);
    pool.redis.cli(&["SREM", "scalelite:meetings", "stray"]);
    pool.server(1).forget_meeting("stray");
    eventually("the sweep deletes it", || {
        pool.sl_ok(&["rebuild"]);
        known() == "0"
    });
}
