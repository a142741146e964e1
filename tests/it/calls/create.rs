//! create: what it answers, and where the meeting goes.

use crate::assert_answer;
use crate::support::{Pool, parameter};

#[test]
fn a_meeting_is_created_and_found_again() {
    let pool = Pool::start(2);
    let first = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(first.xml("voiceBridge"), Some("979198380"));
    assert_eq!(first.xml("messageKey"), Some(""));
    let again = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert!(pool.holder("m1").is_some());
}

#[test]
fn the_first_create_and_its_duplicate_answer_what_the_server_says() {
    let pool = Pool::start(1);
    let query = "meetingID=m1&name=One+%26+%3CTwo%3E&attendeePW=ap&moderatorPW=mp&meta_a=b";
    assert_answer!(pool.get("create", query));
    assert_answer!(pool.get("create", query));
    pool.all_is_kept_of("m1");
}

#[test]
fn another_password_for_a_live_meeting_is_refused_by_its_server() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_answer!(pool.get("create", "meetingID=m1&moderatorPW=another"));
    pool.all_is_kept_of("m1");
}

#[test]
fn a_meeting_id_is_required_and_may_not_be_blank() {
    let pool = Pool::start(1);
    assert_answer!(pool.get("create", "name=One"));
    for query in
        ["", "meetingID=", "meetingID", "meetingID=+%09%20", "meetingid=m1", "meetingID=m1&meetingID="]
    {
        let reply = pool.get("create", query);
        assert_eq!(reply.failed(), "missingParamMeetingID", "{query}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn without_any_server_there_is_none_to_be_found() {
    let pool = Pool::with(0, 1, &[]);
    assert_answer!(pool.get("create", "meetingID=m1"));
    pool.nothing_is_left_of("m1");
}

#[test]
fn a_server_that_is_disabled_or_offline_gets_no_new_meeting() {
    let pool = Pool::start(2);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb2", "online", "false"]);
    pool.redis.cli(&["ZREM", "scalelite:server_load", "bbb2"]);
    let reply = pool.get("create", "meetingID=m1");
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(reply.xml("message"), Some("Could not find any available servers."));
    assert_eq!(pool.holder("m1"), None);
}

#[test]
fn a_required_tag_that_no_server_has_is_named_in_the_error() {
    let pool = Pool::start(1);
    assert_answer!(pool.get("create", "meetingID=m1&meta_server-tag=gpu%3Bbig!"));
    pool.nothing_is_left_of("m1");
    assert_eq!(pool.server(1).counts().create, 0);
    // The tag comes from outside and stands in XML.
    assert_answer!(pool.get("create", "meetingID=m1&meta_server-tag=%3Ca%26%22'%3E%01!"));
}

#[test]
fn a_wanted_tag_leads_to_its_server_or_falls_back_to_an_untagged_one() {
    let pool = Pool::empty(2, &[]);
    pool.add(1, &["--tag", "gpu"]);
    pool.add(2, &[]);
    (1..=2).for_each(|n| pool.enable(n));
    let mut pool = pool;
    pool.serve(&["--no-poller"]);
    for (id, tag, server) in [
        ("m1", "gpu", 1),
        ("m2", "gpu!", 1),
        ("m3", "other", 2),
        ("m4", "", 2),
        ("m5", "other%3Bgpu", 1),
        ("m6", "!", 2),
    ] {
        pool.get("create", &format!("meetingID={id}&meta_server-tag={tag}")).success();
        assert_eq!(pool.holder(id), Some(server), "{tag}");
    }
    assert_eq!(pool.get("create", "meetingID=m7&meta_server-tag=other!").failed(), "serverTagUnavailable");
}

#[test]
fn a_second_create_goes_to_the_same_server_though_others_are_idle() {
    let pool = Pool::start(3);
    pool.get("create", "meetingID=m1").success();
    let holder = pool.holder("m1").unwrap();
    for _ in 0..5 {
        pool.get("create", "meetingID=m1").success();
    }
    assert_eq!(pool.server(holder).counts().create_duplicate, 5);
    pool.all_is_kept_of("m1");
}

#[test]
fn a_meeting_whose_server_was_removed_by_force_is_created_anew_elsewhere() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1").success();
    let before = pool.holder("m1").unwrap();
    pool.sl_ok(&["servers", "remove", &format!("bbb{before}"), "--force"]);
    pool.server(before).forget_all();
    pool.get("create", "meetingID=m1").success();
    assert_eq!(pool.holder("m1"), Some(3 - before));
    pool.all_is_kept_of("m1");
}

#[test]
fn a_meeting_whose_server_was_deleted_by_hand_is_created_anew_elsewhere() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let before = pool.holder("m1").unwrap();
    let id = format!("bbb{before}");
    pool.redis.cli(&["DEL", &format!("scalelite:server:{id}")]);
    pool.redis.cli(&["SREM", "scalelite:servers", &id]);
    pool.redis.cli(&["ZREM", "scalelite:server_load", &id]);
    pool.server(before).forget_all();
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    let after = 3 - before;
    assert_eq!(pool.holder("m1"), Some(after));
    let bridge = parameter(&pool.server(after).last_request("create").unwrap(), "voiceBridge");
    assert_eq!(bridge.as_deref(), Some("979198380"), "people have this number already");
    assert_eq!(pool.redis.loads(), [(format!("bbb{after}"), 15.0)]);
}

#[test]
fn a_refusal_of_the_server_is_passed_on_whole_and_leaves_nothing_behind() {
    let pool = Pool::start(2);
    let long = "x".repeat(257);
    assert_answer!(pool.get("create", &format!("meetingID={long}")));
    pool.nothing_is_left_of(&long);
}
