//! create with isBreakout: on the server of its parent.

use crate::assert_response;
use crate::support::{Pool, SHORT_TIMEOUTS};
use sl_sim::FaultKind;

const ROOM: &str = "name=R&isBreakout=true&freeJoin=true&sequence=1";

/// Six servers; the parent's has the highest load.
fn pool_with_parent() -> (Pool, usize) {
    let pool = Pool::start(6);
    pool.get("create", "meetingID=parent&name=P&moderatorPW=mp&meta_expected-users=500").success();
    let holder = pool.holder("parent").unwrap();
    (pool, holder)
}

fn is_recorded(pool: &Pool, id: &str) -> bool {
    pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{id}")]) == "1"
}

fn rooms_on(pool: &Pool, server: usize) -> usize {
    pool.server(server).meetings().iter().filter(|m| m.breakout_of.is_some()).count()
}

#[test]
fn breakout_room_is_created_on_its_parents_server() {
    let (pool, holder) = pool_with_parent();
    let internal = pool.server(holder).meeting("parent").unwrap().internal_id;
    for (n, parent) in ["parent", "+parent%09", &internal].into_iter().enumerate() {
        let query = format!("meetingID=room-{n}&{ROOM}{n}&parentMeetingID={parent}");
        let created = pool.get("create", &query).success();
        assert_eq!(created.xml("parentMeetingID"), Some(internal.as_str()));
        assert_eq!(rooms_on(&pool, holder), n + 1);
        let id = format!("room-{n}");
        assert!(is_recorded(&pool, &id));
        let join = pool.get("join", &format!("meetingID={id}&fullName=F&role=VIEWER"));
        assert!(join.header("location").unwrap().starts_with(&pool.server(holder).url()));
        pool.get("getMeetingInfo", &format!("meetingID={id}")).success();
    }
    pool.get("end", "meetingID=room-0").success();
    assert!(!is_recorded(&pool, "room-0"));
    assert_eq!(rooms_on(&pool, holder), 2);
}

#[test]
fn breakout_room_goes_to_a_cordoned_or_disabled_server_with_its_parent() {
    let (pool, holder) = pool_with_parent();
    for (n, state) in ["cordoned", "disabled"].into_iter().enumerate() {
        pool.redis.eval("set_state", &[&format!("bbb{holder}"), state]);
        pool.get("create", &format!("meetingID=room-{n}&{ROOM}{n}&parentMeetingID=parent")).success();
        assert_eq!(rooms_on(&pool, holder), n + 1, "{state}");
    }
}

#[test]
fn breakout_room_without_its_parent_gets_bbbs_errors() {
    let (pool, holder) = pool_with_parent();
    assert_response!(
        pool.get("create", &format!("meetingID=room-1&{ROOM}&parentMeetingID=nobody")),
        xml @"<response><returncode>FAILED</returncode>\
              <messageKey>parentMeetingDoesNotExist</messageKey>\
              <message>No parent meeting exists for the breakout room</message></response>"
    );
    assert_response!(
        pool.get("create", &format!("meetingID=room-1&{ROOM}&parentMeetingID=+")),
        xml @"<response><returncode>FAILED</returncode>\
              <messageKey>parentMeetingIDMissing</messageKey>\
              <message>No parent meeting ID was provided for the breakout room</message></response>"
    );
    assert_eq!(pool.get("create", &format!("meetingID=room-1&{ROOM}")).failed(), "parentMeetingIDMissing");
    assert_response!(
        pool.get("create", "meetingID=room-1&isBreakout=TRUE&parentMeetingID=parent&sequence=x"),
        xml @"<response><returncode>FAILED</returncode>\
              <messageKey>validationError</messageKey>\
              <message>You must provide the sequence of the breakout room, a whole number</message></response>"
    );
    let creates: u64 = pool.sim.servers().iter().map(|server| server.counts().create).sum();
    assert_eq!(creates, 1, "no server was bothered");
    assert!(!is_recorded(&pool, "room-1"));

    // Recorded, but gone from its server: the server's own answer, and no record of the room.
    pool.server(holder).forget_meeting("parent");
    let reply = pool.get("create", &format!("meetingID=room-1&{ROOM}&parentMeetingID=parent"));
    assert_eq!(reply.failed(), "parentMeetingDoesNotExist");
    assert!(!is_recorded(&pool, "room-1"));
    assert_eq!(pool.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 500.0);
}

#[test]
fn breakout_room_never_moves_to_another_server() {
    let pool = Pool::with(3, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=parent").success();
    let holder = pool.holder("parent").unwrap();
    for fault in [FaultKind::Refuse, FaultKind::Status { code: 500 }, FaultKind::ResetAfter] {
        pool.server(holder).set_fault(fault.clone());
        let reply = pool.get("create", &format!("meetingID=room-1&{ROOM}&parentMeetingID=parent"));
        assert_eq!(reply.failed(), "internalError", "{fault:?}");
        pool.server(holder).clear_faults();
        pool.server(holder).forget_meeting("room-1");
        for n in (1..=3).filter(|n| *n != holder) {
            assert_eq!(pool.server(n).counts().create, 0, "{fault:?}");
        }
        pool.redis.eval("release", &["room-1"]);
    }
}

#[test]
fn is_breakout_false_is_an_ordinary_meeting() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1").success();
    pool.get("create", "meetingID=m2&isBreakout=false&parentMeetingID=m1").success();
    assert_ne!(pool.holder("m1"), pool.holder("m2"));
}

#[test]
fn polls_keep_a_recorded_breakout_room_and_count_it() {
    let (pool, holder) = pool_with_parent();
    let bbb = format!("bbb{holder}");
    let load = || pool.redis.loads().into_iter().find(|(id, _)| *id == bbb).unwrap().1;
    pool.get("create", &format!("meetingID=room-1&{ROOM}&parentMeetingID=parent")).success();
    assert_eq!(load(), 515.0, "a room reserves as a meeting does");
    // Rooms that a moderator makes have no record, and do not count.
    pool.server(holder).add_breakouts("parent", 2, true);
    pool.server(holder).add_people("room-1", 20);
    let old = pool.redis.now_ms() - 90_000;
    pool.redis.cli(&["HSET", "scalelite:sl:meeting:room-1", "created", &old.to_string()]);
    pool.redis.cli(&[
        "ZADD",
        &format!("scalelite:sl:server_meetings:{bbb}"),
        "XX",
        &old.to_string(),
        "room-1",
    ]);
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
        assert_eq!(load(), 520.0);
    }
    assert!(is_recorded(&pool, "room-1"));
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "2", "no room is adopted");

    pool.get("end", "meetingID=parent&password=mp").success();
    for _ in 0..2 {
        pool.sl_ok(&["poll"]);
    }
    pool.assert_no_meetings_recorded();
    assert_eq!(load(), 0.0);
}

#[test]
fn second_create_of_a_breakout_room_finds_it() {
    let (pool, holder) = pool_with_parent();
    let query = format!("meetingID=room-1&{ROOM}&parentMeetingID=parent&moderatorPW=mp");
    pool.get("create", &query).success();
    pool.get("create", &query).success();
    assert_eq!(rooms_on(&pool, holder), 1);
    assert_eq!(pool.server(holder).counts().create, 3);
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "2");
}
