//! Meeting ids of any kind: what BBB takes works from create to end, what it refuses leaves nothing.

use crate::support::Pool;

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// From create to end, and the id that its server knows it by.
fn lives_and_ends(pool: &Pool, id: &str) {
    let query = format!("meetingID={}", encoded(id));
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
    pool.nothing_is_left();
}

#[test]
fn punctuation_and_what_xml_and_urls_mean_something_by() {
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
        lives_and_ends(&pool, &format!("{id}."));
    }
}

#[test]
fn control_characters() {
    let pool = Pool::start(1);
    for id in ["a\0b", "a\r\nb", "\t\u{1}\u{7f}x", "\u{85}\u{2028}x", "\u{fffe}\u{ffff}x"] {
        lives_and_ends(&pool, id);
    }
}

#[test]
fn any_unicode() {
    let pool = Pool::start(1);
    for id in ["Übung 日本 😀", "\u{202e}abc\u{200b}", "é", "\u{10ffff}\u{e000}", "e\u{301}", "ﷺ ﷺ"]
    {
        lives_and_ends(&pool, &format!("{id}."));
    }
}

#[test]
fn ids_that_differ_in_normal_form_or_case_are_different_meetings() {
    let pool = Pool::start(1);
    for id in ["\u{e9}t\u{e9}", "e\u{301}te\u{301}", "\u{c9}t\u{e9}", " \u{e9}t\u{e9}"] {
        let reply = pool.get("create", &format!("meetingID={}", encoded(id))).success();
        assert_eq!(reply.xml("messageKey"), Some(""), "{id:?}");
    }
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:meetings"]), "4");
}

#[test]
fn ids_of_256_characters() {
    let pool = Pool::start(1);
    for c in ["x", "é", "日", "😀"] {
        lives_and_ends(&pool, &c.repeat(256));
    }
}

#[test]
fn ids_that_bbb_refuses_are_refused_by_it_and_leave_nothing() {
    let pool = Pool::start(1);
    for id in ["x", "a,b", ",", &"x".repeat(257), &"😀".repeat(257), &"x".repeat(10_000), &"é".repeat(10_000)]
    {
        let reply = pool.get("create", &format!("meetingID={}", encoded(id)));
        assert_eq!(reply.failed(), "", "{}: {reply:?}", id.len());
        assert!(reply.body.contains("<errors><error key=\"validationError\""), "{reply:?}");
        pool.nothing_is_left();
    }
}

#[test]
fn ids_that_no_server_would_take_are_unknown() {
    let pool = Pool::start(1);
    for id in ["x", "a,b", &"x".repeat(10_000)] {
        let query = format!("meetingID={}&fullName=A&role=VIEWER&message=x", encoded(id));
        for call in ["join", "end", "getMeetingInfo", "sendChatMessage"] {
            assert_eq!(pool.get(call, &query).failed(), "notFound", "{call}");
        }
        let running = pool.get("isMeetingRunning", &query).success();
        assert_eq!(running.xml("running"), Some("false"));
    }
    assert_eq!(pool.server(1).counts().checksum_failures, 0);
}

#[test]
fn ids_that_are_blank_or_absent_are_missing() {
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
fn names_and_values_of_any_kind_reach_the_server() {
    let pool = Pool::start(1);
    let name = "Jürgen O'Neil <b>&\"+~% 日本 😀";
    pool.get("create", &format!("meetingID=m1&name={}&meta_x={}", encoded(name), encoded(name))).success();
    let meeting = pool.server(1).meeting("m1").unwrap();
    assert_eq!((meeting.name.as_str(), meeting.metadata["x"].as_str()), (name, name));
    pool.get("join", &format!("meetingID=m1&redirect=false&role=VIEWER&fullName={}", encoded(name)))
        .success();
    assert_eq!(pool.server(1).meeting("m1").unwrap().people[0].full_name, name);
}
