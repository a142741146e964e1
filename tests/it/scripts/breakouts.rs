//! assign_breakout: a room on the server of its parent; and how polls count it.

use super::Lab;
use crate::support::Redis;
use crate::support::client::sign;

fn assign(redis: &Redis, room: &str, parent: &str, bridges: &[&str]) -> Vec<String> {
    redis.eval("assign_breakout", &[&[room, parent, "15", "86400", "mp", ""], bridges].concat())
}

#[test]
fn assign_breakout_records_the_room_with_its_parent() {
    let lab = Lab::with_servers(3);
    let at = lab.assign("parent");
    let internal = format!("{}-1764089000000", sign("sha1", "parent", "", ""));
    for (n, parent) in ["parent", &internal, &internal.to_uppercase()].into_iter().enumerate() {
        let room = format!("room{n}");
        let bridge = format!("{n}");
        let url = format!("http://{at}/bigbluebutton/api");
        assert_eq!(
            assign(&lab.redis, &room, parent, &["0", &bridge]),
            ["assigned", &at, &url, "secret", "", &bridge, "mp", "1", "enabled"]
        );
        assert_eq!(lab.load(&at), Some(30.0 + 15.0 * n as f64));
    }
    assert_eq!(lab.hget("scalelite:meeting:room1", "moderator_pw"), "mp");
    // A repeat.
    let again = assign(&lab.redis, "room0", "parent", &["9"]);
    assert_eq!((again[0].as_str(), again[5].as_str(), again[7].as_str()), ("existing", "0", "2"));
    assert_eq!(lab.load(&at), Some(60.0), "counted once");
    lab.assert_index_matches();
}

#[test]
fn assign_breakout_follows_the_parent_whatever_its_servers_state() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("parent");
    lab.redis.eval("set_state", &[&at, "disabled"]);
    let room = assign(&lab.redis, "a", "parent", &[]);
    assert_eq!((room[0].as_str(), room[1].as_str(), room[8].as_str()), ("assigned", at.as_str(), "disabled"));
    lab.redis.cli(&["HSET", &format!("scalelite:server:{at}"), "online", "false"]);
    assert_eq!(assign(&lab.redis, "b", "parent", &[])[8], "offline");
}

#[test]
fn assign_breakout_writes_nothing_without_a_parent_or_a_voice_bridge() {
    let lab = Lab::with_servers(2);
    assert_eq!(assign(&lab.redis, "room", "parent", &["1"]), ["no_parent"]);
    let at = lab.assign("parent");
    lab.redis.cli(&["HSET", "scalelite:voice_bridges", "1", "parent"]);
    assert_eq!(assign(&lab.redis, "room", "parent", &["1"]), ["no_voice_bridge"]);
    lab.redis.cli(&["DEL", &format!("scalelite:server:{at}")]);
    assert_eq!(assign(&lab.redis, "room", "parent", &["2"]), ["no_parent"]);
    assert!(!lab.exists("scalelite:meeting:room") && !lab.exists("scalelite:sl:meeting:room"));
    assert_eq!(lab.redis.cli(&["HKEYS", "scalelite:voice_bridges"]), "1");
}

#[test]
fn polls_count_recorded_rooms_only() {
    let lab = Lab::with_servers(1);
    lab.assign("parent");
    assign(&lab.redis, "room", "parent", &[]);
    let now = lab.run(lab.store.now_ms()).unwrap().to_string();
    let mut poll = vec!["s1", "0", "1", "15", "900000", "86400", "", "3", "27", "20", "0", "", "", "", ""];
    poll.extend(["parent", "0", &now, "room", "20", "breakout", "made by BBB", "7", "breakout"]);
    let answer = lab.redis.eval("apply_poll", &poll);
    assert_eq!(answer, ["online", "enabled", "35", "0", "0", "0"], "no room is returned as unrecorded");
    assert_eq!(lab.hget("scalelite:sl:meeting:room", "users"), "20");
    assert_eq!(lab.hget("scalelite:sl:meeting:room", "missed"), "0");
}
