//! Unusual meeting ids: those BBB accepts work from create to end, those it rejects leave nothing behind.

use crate::support::Pool;

fn percent_encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Runs a meeting from create to end; its server must know it by the same id.
fn assert_full_lifecycle(pool: &Pool, id: &str) {
    let query = format!("meetingID={}", percent_encode(id));
    pool.get("create", &format!("{query}&moderatorPW=mp")).success();
    assert_eq!(pool.holder(id), Some(1), "{id:?}");
    let again = pool.get("create", &format!("{query}&moderatorPW=mp")).success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"), "{id:?}");
    pool.get("getMeetingInfo", &query).success();
    pool.get("join", &format!("{query}&fullName=A&role=VIEWER&redirect=false")).success();
    assert_eq!(pool.get("join", &format!("{query}&fullName=A&role=VIEWER")).status, 302, "{id:?}");
    let running = pool.get("isMeetingRunning", &query).success();
    assert_eq!(running.xml("running"), Some("true"), "{id:?}");
    pool.get("end", &format!("{query}&password=mp")).success();
    pool.assert_no_meetings_recorded();
}

#[test]
fn meeting_ids_may_contain_xml_and_url_metacharacters() {
    let pool = Pool::start(1);
    for id in [
        "it's <b>&+~%\"",
        "a/b?c#d=e&f",
        "{sl}",
        "a:b:c",
        "*",
        "\\x",
        "../..",
        "%41%zz",
        "a;b!",
        "$(x)`",
        "--help",
    ] {
        assert_full_lifecycle(&pool, &format!("{id}."));
    }
}

#[test]
fn meeting_ids_may_contain_control_characters() {
    let pool = Pool::start(1);
    for id in ["a\0b", "a\r\nb", "x\t\u{1}\u{7f}x", "\u{85}\u{2028}x", "\u{fffe}\u{ffff}x"] {
        assert_full_lifecycle(&pool, id);
    }
}

#[test]
fn meeting_ids_may_contain_any_unicode() {
    let pool = Pool::start(1);
    for id in ["Übung 日本 😀", "\u{202e}abc\u{200b}", "é", "\u{10ffff}\u{e000}", "e\u{301}", "ﷺ ﷺ"]
    {
        assert_full_lifecycle(&pool, &format!("{id}."));
    }
}

#[test]
fn meeting_ids_differing_in_case_or_normalization_are_distinct() {
    let pool = Pool::start(1);
    for id in ["\u{e9}t\u{e9}", "e\u{301}te\u{301}", "\u{c9}t\u{e9}", "\u{e9} t\u{e9}"] {
        let reply = pool.get("create", &format!("meetingID={}", percent_encode(id))).success();
        assert_eq!(reply.xml("messageKey"), Some(""), "{id:?}");
    }
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "4");
}

#[test]
fn meeting_ids_may_have_256_characters() {
    let pool = Pool::start(1);
    for c in ["x", "é", "日", "😀"] {
        assert_full_lifecycle(&pool, &c.repeat(256));
    }
}

#[test]
fn meeting_ids_rejected_by_bbb_leave_no_record() {
    let pool = Pool::start(1);
    for id in ["x", "a,b", ",", &"x".repeat(257), &"😀".repeat(257), &"x".repeat(10_000), &"é".repeat(10_000)]
    {
        let reply = pool.get("create", &format!("meetingID={}", percent_encode(id)));
        assert_eq!(reply.failed(), "", "{}: {reply:?}", id.len());
        assert!(reply.body.contains("<errors><error key=\"validationError\""), "{reply:?}");
        pool.assert_no_meetings_recorded();
    }
}

#[test]
fn meeting_ids_no_server_accepts_are_not_found() {
    let pool = Pool::start(1);
    for id in ["x", "a,b", &"x".repeat(10_000)] {
        let query = format!("meetingID={}&fullName=A&role=VIEWER&message=x", percent_encode(id));
        for call in ["join", "end", "getMeetingInfo"] {
            assert_eq!(pool.get(call, &query).failed(), "notFound", "{call}");
        }
        assert_eq!(pool.get("sendChatMessage", &query).failed(), "meetingNotFound");
        let running = pool.get("isMeetingRunning", &query).success();
        assert_eq!(running.xml("running"), Some("false"));
    }
    assert_eq!(pool.server(1).counts().checksum_failures, 0);
}

#[test]
fn blank_or_absent_meeting_id_is_reported_missing() {
    let pool = Pool::start(1);
    for query in [
        "",
        "meetingID=",
        "meetingID",
        "meetingID=%20%09%0A",
        "meetingID=%E3%80%80",
        "meetingID=m1&meetingID=",
    ] {
        for call in ["create", "join", "end", "isMeetingRunning", "getMeetingInfo", "sendChatMessage"] {
            assert_eq!(pool.get(call, query).failed(), "missingParamMeetingID", "{call}?{query}");
        }
    }
}

#[test]
fn names_and_metadata_reach_server_unchanged() {
    let pool = Pool::start(1);
    let name = "Jürgen O'Neil <b>&\"+~% 日本 😀";
    pool.get(
        "create",
        &format!("meetingID=m1&name={}&meta_x={}", percent_encode(name), percent_encode(name)),
    )
    .success();
    let meeting = pool.server(1).meeting("m1").unwrap();
    assert_eq!((meeting.name.as_str(), meeting.metadata["x"].as_str()), (name, name));
    pool.get("join", &format!("meetingID=m1&redirect=false&role=VIEWER&fullName={}", percent_encode(name)))
        .success();
    assert_eq!(pool.server(1).meeting("m1").unwrap().people[0].full_name, name);
}
