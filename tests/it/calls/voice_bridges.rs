//! create: the dial-in numbers that meetings get.

use crate::support::Pool;

/// A live meeting of somebody else holds this number.
fn taken(pool: &Pool, number: &str) {
    pool.redis.cli(&["HSET", "scalelite:voice_bridges", number, "other"]);
    pool.redis.cli(&["HSET", "scalelite:meeting:other", "server_id", "bbb1"]);
}

#[test]
fn a_number_that_is_taken_gives_way_to_the_next_of_ten() {
    let pool = Pool::start(1);
    taken(&pool, "979198380");
    taken(&pool, "207144650");
    assert_eq!(pool.get("create", "meetingID=m1").success().xml("voiceBridge"), Some("829265303"));
}

#[test]
fn a_clients_own_number_is_never_the_echo_test() {
    let pool = Pool::with(1, 1, &[("USE_EXTERNAL_VOICE_BRIDGE", "true")]);
    let reply = pool.get("create", "meetingID=m1&voiceBridge=99999").success();
    assert_eq!(reply.xml("voiceBridge"), Some("979198380"));
}
