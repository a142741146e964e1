//! create: its responses, and on which server the meeting is placed.

use crate::assert_response;
use crate::support::{Pool, parameter};

#[test]
fn second_create_finds_existing_meeting() {
    let pool = Pool::start(2);
    let first = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(first.xml("voiceBridge"), Some("979198380"));
    assert_eq!(first.xml("messageKey"), Some(""));
    let again = pool.get("create", "meetingID=m1&name=One&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert!(pool.holder("m1").is_some());
}

#[test]
fn create_and_duplicate_return_server_response() {
    let pool = Pool::start(1);
    let query = "meetingID=m1&name=One+%26+%3CTwo%3E&attendeePW=ap&moderatorPW=mp&meta_a=b";
    assert_response!(pool.get("create", query));
    assert_response!(pool.get("create", query));
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_with_other_password_is_rejected_by_server() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    assert_response!(
        pool.get("create", "meetingID=m1&moderatorPW=another"),
        xml @"<response><returncode>FAILED</returncode><messageKey>idNotUnique</messageKey><message>A \
              meeting already exists with that meeting ID.  Please use a different meeting ID.</message>\
              </response>"
    );
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_requires_non_blank_meeting_id() {
    let pool = Pool::start(1);
    assert_response!(
        pool.get("create", "name=One"),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParamMeetingID</messageKey>\
              <message>You must specify a meeting ID for the meeting.</message></response>"
    );
    for query in
        ["", "meetingID=", "meetingID", "meetingID=+%09%20", "meetingid=m1", "meetingID=m1&meetingID="]
    {
        let reply = pool.get("create", query);
        assert_eq!(reply.failed(), "missingParamMeetingID", "{query}");
    }
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn create_fails_without_servers() {
    let pool = Pool::with(0, 1, &[]);
    assert_response!(
        pool.get("create", "meetingID=m1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>Could \
              not find any available servers.</message></response>"
    );
    pool.assert_meeting_released("m1");
}

#[test]
fn create_avoids_disabled_and_offline_servers() {
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
fn create_fails_with_tag_in_error_when_required_tag_is_missing() {
    let pool = Pool::start(1);
    assert_response!(
        pool.get("create", "meetingID=m1&meta_server-tag=gpu%3Bbig!"),
        xml @"<response><returncode>FAILED</returncode><messageKey>serverTagUnavailable</messageKey>\
              <message>There is no available server with the required tag=gpu;big.</message></response>"
    );
    pool.assert_meeting_released("m1");
    assert_eq!(pool.server(1).counts().create, 0);
    // The tag is client input and appears in XML.
    assert_response!(
        pool.get("create", "meetingID=m1&meta_server-tag=%3Ca%26%22'%3E%01!"),
        xml @"<response><returncode>FAILED</returncode><messageKey>serverTagUnavailable</messageKey>\
              <message>There is no available server with the required \
              tag=&lt;a&amp;&quot;&apos;&gt;�.</message></response>"
    );
}

#[test]
fn create_prefers_tagged_server_and_falls_back_to_untagged() {
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
fn repeated_creates_stay_on_same_server() {
    let pool = Pool::start(3);
    pool.get("create", "meetingID=m1").success();
    let holder = pool.holder("m1").unwrap();
    for _ in 0..5 {
        pool.get("create", "meetingID=m1").success();
    }
    assert_eq!(pool.server(holder).counts().create_duplicate, 5);
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_moves_meeting_after_forced_server_removal() {
    let pool = Pool::start(2);
    pool.get("create", "meetingID=m1").success();
    let before = pool.holder("m1").unwrap();
    pool.sl_ok(&["servers", "remove", &format!("bbb{before}"), "--force", "--yes"]);
    pool.server(before).forget_all();
    pool.get("create", "meetingID=m1").success();
    assert_eq!(pool.holder("m1"), Some(3 - before));
    pool.assert_meeting_recorded("m1");
}

#[test]
fn create_moves_meeting_after_server_record_is_deleted() {
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
    assert_eq!(bridge.as_deref(), Some("979198380"), "participants already have this number");
    assert_eq!(pool.redis.loads(), [(format!("bbb{after}"), 15.0)]);
}

#[test]
fn create_forwards_server_rejection_and_releases_record() {
    let pool = Pool::start(2);
    let long = "x".repeat(257);
    assert_response!(
        pool.get("create", &format!("meetingID={long}")),
        xml @"<response><returncode>FAILED</returncode><errors><error key=\"validationError\" \
              message=\"Meeting ID must be between 2 and 256 characters\"/></errors></response>"
    );
    pool.assert_meeting_released(&long);
}
