//! What servers answer is data of strangers: odd names cost nobody anything, and what goes out can be parsed.
//!
//! The judges are roxmltree, and the parsers of Python (expat) and PHP (libxml2), which most clients use.

use crate::support::{Pool, ROOT, SHORT_TIMEOUTS, eventually, within};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sl_sim::{Fault, FaultKind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// `userdata-` names as they are in a URL, and as an element in BBB's response.
const NAMES: [(&str, &str); 24] = [
    ("2fa", "_2fa"),
    ("%24a", "_a"),
    ("(", "_"),
    ("a,b", "a_b"),
    ("%5Bx%5D", "_x_"),
    ("a%40b", "a_b"),
    ("a/", "a_"),
    ("a%3Db", "a_b"),
    ("%7B", "_"),
    ("!", "_"),
    (";", "_"),
    ("%2B", "_"),
    ("%23", "_"),
    ("a+b", "a_b"),
    ("%22", "_"),
    ("gr%C3%B6%C3%9Fe", "größe"),
    ("%F0%9F%98%80", "_"),
    ("xml", "xml"),
    ("xml:lang", "xml_lang"),
    ("a:b", "a_b"),
    ("a%0Bb", "ab"),
    ("%EF%BF%BE", "_"),
    ("/meeting", "_meeting"),
    ("!--", "_--"),
];

fn is_online(pool: &Pool, n: usize) -> bool {
    pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "online"]) == "true"
}

fn is_recorded(pool: &Pool, meeting: &str) -> bool {
    pool.redis.cli(&["EXISTS", &format!("scalelite:meeting:{meeting}")]) == "1"
}

/// Makes a meeting old enough to be released when its server does not list it.
fn age(pool: &Pool, server: usize, meeting: &str) {
    pool.redis.cli(&["ZADD", &format!("scalelite:sl:server_meetings:bbb{server}"), "1", meeting]);
    pool.redis.cli(&["HSET", &format!("scalelite:sl:meeting:{meeting}"), "created", "1"]);
}

/// The meetings in each response, as strict parsers see them.
fn strictly_parsed(bodies: &[String]) -> Vec<String> {
    let directory = tempfile::TempDir::new().unwrap();
    let files: Vec<PathBuf> = (0..bodies.len()).map(|n| directory.path().join(format!("{n}.xml"))).collect();
    for (file, body) in files.iter().zip(bodies) {
        std::fs::write(file, body).unwrap();
    }
    let parse = |program: &str, script: &str| {
        let script = format!("{ROOT}/tests/clients/{script}");
        let output = Command::new(program).arg(script).args(&files).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run: scripts/setup test"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let seen = parse("python3", "strict.py");
    assert_eq!(seen, parse("php", "strict.php"));
    for (body, seen) in bodies.iter().zip(&seen) {
        let document = roxmltree::Document::parse(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let lists = document.root_element().children().filter(|node| node.has_tag_name("meetings"));
        let meetings = lists.flat_map(|list| list.children()).filter(|node| node.has_tag_name("meeting"));
        let mut ids: Vec<_> = meetings
            .map(|meeting| {
                meeting.children().find(|n| n.has_tag_name("meetingID")).unwrap().text().unwrap_or("")
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(&ids.join(","), seen);
    }
    seen
}

#[test]
fn odd_customdata_costs_its_server_and_its_meeting_nothing() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    for id in ["plain", "odd"] {
        pool.get("create", &format!("meetingID={id}&attendeePW=ap&moderatorPW=mp&meta_2x=%0B")).success();
    }
    let server = pool.holder("odd").unwrap();
    let mut bodies = Vec::new();
    for (n, (name, _)) in NAMES.iter().enumerate() {
        let query =
            format!("meetingID=odd&fullName=A%0B{n}&password=ap&redirect=false&userdata-{name}=v{n}%0C");
        bodies.push(pool.get("join", &query).success().body);
    }
    age(&pool, server, "odd");
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    assert!(is_online(&pool, server) && is_recorded(&pool, "odd"));
    assert_eq!(pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{server}"), "users"]), "24");
    bodies.push(pool.get("getMeetings", "").success().body);
    bodies.push(pool.get("getMeetingInfo", "meetingID=odd").success().body);
    bodies.push(pool.get("create", "meetingID=odd&attendeePW=ap&moderatorPW=mp").success().body);
    bodies.push(pool.get("isMeetingRunning", "meetingID=odd").success().body);
    for body in &bodies[NAMES.len()..NAMES.len() + 2] {
        for (n, (_, element)) in NAMES.iter().enumerate() {
            assert!(body.contains(&format!("<{element}>v{n}</{element}>")), "{element}: {body}");
            assert!(body.contains(&format!("<fullName>A{n}</fullName>")), "{body}");
        }
        assert!(body.contains("<metadata><_2x></_2x><sl-mark>"), "{body}");
    }
    let seen = strictly_parsed(&bodies);
    assert_eq!(seen[NAMES.len()], "odd,plain");
    bodies = vec![pool.get("end", "meetingID=odd&password=mp").success().body];
    strictly_parsed(&bodies);
}

/// The poll knows a meeting by the id that its create named, which is not the id that goes out.
#[test]
fn meetings_whose_ids_have_control_characters_are_polled() {
    let pool = Pool::with(2, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=a%0Bb%01c&attendeePW=ap&moderatorPW=mp").success();
    let server = pool.holder("a\u{b}b\u{1}c").unwrap();
    age(&pool, server, "a\u{b}b\u{1}c");
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    let again = pool.get("create", "meetingID=a%0Bb%01c&attendeePW=ap&moderatorPW=mp").success();
    assert_eq!(again.xml("messageKey"), Some("duplicateWarning"));
    assert_eq!(again.xml("meetingID"), Some("abc"));
    assert!(is_recorded(&pool, "a\u{b}b\u{1}c") && !is_recorded(&pool, "abc"));
}

/// A pool of two servers with a meeting on the first, polled once, each record old.
fn pool_with_meeting() -> Pool {
    let pool = Pool::with(2, 0, &SHORT_TIMEOUTS);
    pool.server(1).create_meeting("m1", "M");
    pool.server(1).add_people("m1", 3);
    pool.sl_ok(&["poll"]);
    age(&pool, 1, "m1");
    pool
}

fn figures(pool: &Pool) -> String {
    let load = pool.redis.cli(&["ZSCORE", "scalelite:server_load", "bbb1"]);
    load + " "
        + &pool
            .redis
            .cli(&["HMGET", "scalelite:server:bbb1", "online", "meetings", "users"])
            .replace('\n', " ")
}

#[test]
fn an_unreadable_list_changes_nothing_and_takes_no_server_offline() {
    for (fault, reason) in [
        (FaultKind::CutOff, "the response was cut off after "),
        (FaultKind::Truncated, "the response was cut off after "),
        (FaultKind::Entities, "hostile XML (DOCTYPE)"),
        (FaultKind::DeepXml { depth: 1000 }, "hostile XML (nested too deep)"),
        (FaultKind::Huge { bytes: 0 }, "larger than 16777216 bytes"),
    ] {
        let pool = pool_with_meeting();
        let before = figures(&pool);
        assert!(before.ends_with("true 1 3"), "{before}");
        pool.server(1).set_fault(Fault::new(fault).on(["getMeetings"]));
        pool.redis.cli(&["EXPIRE", "scalelite:meeting:m1", "60"]);
        for _ in 0..4 {
            let output = pool.sl(&["poll"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains(reason) && text.contains("2 of 2 servers answered"), "{text}");
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(log.contains("ERROR") && log.contains("cannot be read") && log.contains("bbb1"), "{log}");
        }
        assert_eq!(figures(&pool), before);
        assert!(is_recorded(&pool, "m1"));
        let ttl: i64 = pool.redis.cli(&["TTL", "scalelite:meeting:m1"]).parse().unwrap();
        assert!(ttl > 60, "its record is renewed: {ttl}");
        assert!(pool.sl_ok(&["status"]).contains("the list of meetings of bbb1 cannot be read"));
        pool.server(1).clear_faults();
        pool.server(1).end_meeting("m1");
        (0..2).for_each(|_| drop(pool.sl_ok(&["poll"])));
        assert!(!is_recorded(&pool, "m1"), "a list that can be read counts again");
    }
}

#[test]
fn hostile_lists_of_a_server_that_answers_nothing_else_count_against_it() {
    let pool = pool_with_meeting();
    pool.server(1).add_fault(Fault::new(FaultKind::Entities).on(["getMeetings"]));
    pool.server(1).add_fault(Fault::new(FaultKind::Reset).on(["index"]));
    (0..2).for_each(|_| drop(pool.sl(&["poll"])));
    assert!(!is_online(&pool, 1));
    pool.server(1).clear_faults();
    pool.sl_ok(&["poll"]);
    // A cut off list does not bring an offline server back, and does not abandon it.
    (0..2).for_each(|_| {
        pool.server(1).set_fault(FaultKind::Refuse);
        pool.sl(&["poll"]);
    });
    pool.server(1).set_fault(Fault::new(FaultKind::CutOff).on(["getMeetings"]));
    pool.redis.cli(&["HSET", "scalelite:sl:server:bbb1", "offline_since", "1"]);
    pool.sl(&["poll"]);
    assert!(!is_online(&pool, 1) && is_recorded(&pool, "m1"));
}

#[test]
fn failed_calls_do_not_make_a_suspect_of_a_server_whose_response_is_unreadable() {
    let pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    for fault in [FaultKind::CutOff, FaultKind::Truncated, FaultKind::Entities] {
        pool.server(1).set_fault(fault);
        for _ in 0..3 {
            assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
        }
        assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"));
    }
    assert_eq!(pool.redis.cli(&["SCARD", "scalelite:sl:suspects"]), "0");
    assert!(is_online(&pool, 1));
}

#[test]
fn a_meeting_that_cannot_be_read_is_left_out_and_keeps_its_record() {
    let mut pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    for id in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={id}&moderatorPW=mp")).success();
        age(&pool, 1, id);
    }
    let meeting = |inner: &str| format!("<meeting><meetingName>x</meetingName>{inner}</meeting>");
    let m1 = meeting(
        "<meetingID>m1</meetingID><participantCount>2</participantCount><isBreakout>false</isBreakout>",
    );
    let body = format!(
        "<response><returncode>SUCCESS</returncode><meetings>{}{m1}</meetings></response>",
        meeting("<2><\u{b}>")
    );
    let canned = crate::support::CannedServer::start(body.as_bytes());
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", &canned.url()]);
    for _ in 0..3 {
        pool.sl_ok(&["poll"]);
    }
    assert!(is_recorded(&pool, "m1") && is_recorded(&pool, "m2"));
    assert!(is_online(&pool, 1));
    assert!(pool.get("getMeetings", "").success().body.contains(&format!("<meetings>{m1}</meetings>")));
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn polls_say_why_a_server_was_refused() {
    let pool = Pool::with(1, 0, &SHORT_TIMEOUTS);
    for (fault, reason) in [
        (FaultKind::WrongChecksum, "checksumError: check the server's secret"),
        (FaultKind::Status { code: 502 }, "answered an HTML page with HTTP 502"),
        (FaultKind::NotXmlHtml, "answered an HTML page with HTTP 200"),
        (FaultKind::Full, "answered FAILED with maxConcurrentMeetings (The maximum number of"),
    ] {
        pool.server(1).set_fault(fault);
        let output = pool.sl(&["poll"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(!text.contains("not well-formed"), "{text}");
    }
}

/// Names and values as strangers choose them. NUL is left out: it cannot be in an argument of redis-cli.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(
            &["meeting", "/meeting", "/meetings", "/response", "/attendee", "!--", "--", "]]"][..]
        )
        .prop_map(str::to_owned),
        proptest::sample::select(&["![CDATA[", "?xml", "!DOCTYPE x", "xmlns:a", "&#11;", "]]>", "2fa"][..])
            .prop_map(str::to_owned),
        "[<>&;#\"'/!\\[\\]?(){}$@,+= :\t\r\n\u{1}\u{b}\u{1f}\u{7f}\u{fffe}\u{ffff}-]{1,3}",
        "\\PC{1,4}",
        "[a-z0-9]{1,4}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// As many polls as two hours have.
#[test]
fn two_hours_of_polls_with_the_oddest_attendees_lose_nothing() {
    const ROUNDS: u64 = 120;
    let mut pool = Pool::with(6, 0, &[]);
    pool.set("POLL_INTERVAL", "0.1");
    pool.set("OFFLINE_GRACE", "0.1");
    pool.serve(&[]);
    let mut expected = Vec::new();
    for n in 0..12 {
        let id = format!("m{n:02}");
        pool.get("create", &format!("meetingID={id}&moderatorPW=mp&attendeePW=ap")).success();
        age(&pool, pool.holder(&id).unwrap(), &id);
        expected.push(id);
    }
    let odd_server = pool.server(pool.holder("m00").unwrap());
    let odd_meetings: Vec<_> = odd_server.meetings().into_iter().map(|meeting| meeting.id).collect();
    let mut runner = TestRunner::deterministic();
    let mut draw = || odd_text().new_tree(&mut runner).unwrap().current();
    let mut bodies = Vec::new();
    let polls = odd_server.counts().get_meetings;
    for round in 1..=ROUNDS {
        for meeting in &odd_meetings {
            let customdata: Vec<_> = (0..4).map(|_| (draw(), draw())).collect();
            let customdata: Vec<_> = customdata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            odd_server.remove_people(meeting, usize::from(round > 20));
            assert!(odd_server.add_person(meeting, &draw(), &customdata));
        }
        within(Duration::from_secs(60), "another poll", || odd_server.counts().get_meetings >= polls + round);
        bodies.push(pool.get("getMeetings", "").success().body);
    }
    let seen = strictly_parsed(&bodies);
    assert!(seen.iter().all(|ids| *ids == expected.join(",")), "{seen:?}");
    assert!((1..=6).all(|n| is_online(&pool, n)));
    assert!(expected.iter().all(|id| is_recorded(&pool, id)));
    let log = pool.replicas[0].log();
    for word in ["offline", "has ended", "adopted", "cannot be read"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    eventually("the replica still polls", || pool.replicas[0].is_alive());
}
