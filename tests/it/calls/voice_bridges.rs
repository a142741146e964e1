//! create: the voice bridges that meetings get.

use crate::support::Pool;

/// Gives this number to another live meeting.
fn occupy_voice_bridge(pool: &Pool, number: &str) {
    pool.redis.cli(&["HSET", "scalelite:voice_bridges", number, "other"]);
    pool.redis.cli(&["HSET", "scalelite:meeting:other", "server_id", "bbb1"]);
}

#[test]
fn taken_voice_bridge_is_replaced_by_next_candidate() {
    let pool = Pool::start(1);
    occupy_voice_bridge(&pool, "979198380");
    occupy_voice_bridge(&pool, "207144650");
    assert_eq!(pool.get("create", "meetingID=m1").success().xml("voiceBridge"), Some("829265303"));
}

#[test]
fn voice_bridge_of_client_is_never_the_echo_test_number() {
    let pool = Pool::with(1, 1, &[("USE_EXTERNAL_VOICE_BRIDGE", "true")]);
    let reply = pool.get("create", "meetingID=m1&voiceBridge=99999").success();
    assert_eq!(reply.xml("voiceBridge"), Some("979198380"));
}
