//! join: sends a browser to the server of its meeting.

use crate::assert_answer;
use crate::support::client::fetch;
use crate::support::{Pool, QUICK};
use sl_sim::FaultKind;

fn users(pool: &Pool, meeting: &str) -> String {
    pool.redis.cli(&["HGET", &format!("scalelite:sl:meeting:{meeting}"), "users"])
}

fn meeting(variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(1, 1, variables);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool
}

const QUERY: &str = "meetingID=m1&fullName=J%C3%BCrgen%20O'Neil&role=MODERATOR";

#[test]
fn a_browser_is_sent_to_the_signed_url_of_the_meetings_server() {
    let pool = meeting(&[]);
    assert_answer!(pool.get("join", QUERY));
    assert_eq!(pool.server(1).counts().join, 0, "nobody asked the server");
}

#[test]
fn whoever_follows_the_redirect_is_in() {
    let pool = meeting(&[]);
    let location = pool.get("join", QUERY).header("location").unwrap().to_owned();
    assert!(location.starts_with(&format!("{}/join?", pool.server(1).url())), "{location}");
    let page = fetch("GET", &location, &[], b"");
    assert_eq!(page.status, 302, "{page:?}");
    let people = pool.server(1).meeting("m1").unwrap().people;
    assert_eq!(people[0].full_name, "Jürgen O'Neil");
    assert_eq!(users(&pool, "m1"), "1");
}

#[test]
fn without_a_redirect_the_server_is_asked_and_its_xml_answered() {
    let pool = meeting(&[]);
    assert_answer!(pool.get("join", &format!("{QUERY}&redirect=false")));
    assert_eq!(pool.server(1).counts().joined, 1);
    pool.get("join", &format!("{QUERY}&redirect=FALSE")).success();
    assert_eq!(pool.get("join", &format!("{QUERY}&redirect=true")).status, 302);
}

#[test]
fn the_query_is_encoded_anew_as_a_form() {
    let pool = meeting(&[]);
    let reply = pool.get("join", "meetingID=m1&fullName=a%20b+c~%7E'%2A*&role=VIEWER&bare&userdata-x[]=%0a");
    let location = reply.header("location").unwrap();
    let query = location.split_once('?').unwrap().1.rsplit_once("&checksum=").unwrap().0;
    assert_eq!(query, "meetingID=m1&fullName=a+b+c%7E%7E%27**&role=VIEWER&bare&userdata-x%5B%5D=%0A");
}

#[test]
fn an_unknown_meeting_cannot_be_joined() {
    let pool = meeting(&[]);
    assert_answer!(pool.get("join", "meetingID=m2&fullName=A&role=VIEWER"));
    assert_eq!(pool.get("join", "fullName=A").failed(), "missingParamMeetingID");
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:meeting:m2"]), "0");
}

#[test]
fn a_meeting_on_a_server_that_is_offline_cannot_be_joined() {
    let pool = meeting(&[]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "online", "false"]);
    pool.redis.cli(&["ZREM", "scalelite:server_load", "bbb1"]);
    assert_answer!(pool.get("join", QUERY));
    assert_eq!(pool.get("join", &format!("{QUERY}&redirect=false")).failed(), "serverUnavailable");
    assert_eq!(users(&pool, "m1"), "0", "nobody joined");
}

#[test]
fn a_meeting_on_a_disabled_server_can_still_be_joined() {
    let pool = meeting(&[]);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
    pool.sl_ok(&["servers", "cordon", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
}

#[test]
fn joins_to_a_disabled_server_can_be_refused() {
    let pool = meeting(&[("DISABLED_REFUSES_JOINS", "true")]);
    pool.sl_ok(&["servers", "cordon", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    let reply = pool.get("join", QUERY);
    assert_eq!(reply.failed(), "serverUnavailable");
    assert_eq!(reply.xml("message"), Some("The server for this meeting is disabled/offline."));
}

#[test]
fn a_join_that_the_server_refuses_counts_nobody() {
    let pool = meeting(&[("LOAD_MIN_USER_COUNT", "0")]);
    assert_eq!(pool.get("join", "meetingID=m1&redirect=false").failed(), "missingParamFullName");
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 0.0)]);
    pool.get("join", &format!("{QUERY}&redirect=false")).success();
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 1.0)]);
}

#[test]
fn a_server_that_does_not_answer_a_join_is_an_error_of_ours() {
    let pool = meeting(&QUICK);
    pool.server(1).set_fault(FaultKind::Reset);
    let reply = pool.get("join", &format!("{QUERY}&redirect=false"));
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(reply.xml("message"), Some("Unable to access meeting on server."));
}

#[test]
fn operators_add_to_joins_force_on_them_and_take_from_them() {
    let pool = meeting(&[
        ("DEFAULT_JOIN_PARAMS", "userdata-a=1,userdata-b=1"),
        ("OVERRIDE_JOIN_PARAMS", "userdata-c=1,role=VIEWER"),
        ("JOIN_EXCLUDE_PARAMS", "avatarURL"),
    ]);
    let reply =
        pool.get("join", "meetingID=m1&fullName=A&role=MODERATOR&userdata-b=2&userdata-c=2&avatarURL=x");
    let location = reply.header("location").unwrap();
    let query = location.split_once('?').unwrap().1;
    let mut pairs: Vec<_> = query.split('&').filter(|p| !p.starts_with("checksum=")).collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        ["fullName=A", "meetingID=m1", "role=VIEWER", "userdata-a=1", "userdata-b=2", "userdata-c=1"]
    );
}

#[test]
fn a_long_join_is_answered_by_the_server_all_the_same() {
    let pool = meeting(&[]);
    let long = format!("{QUERY}&userdata-x={}", "x".repeat(4000));
    let location = pool.get("join", &long).header("location").unwrap().to_owned();
    assert_eq!(fetch("GET", &location, &[], b"").status, 302);
    pool.get("join", &format!("{long}&redirect=false")).success();
    let method = pool.server(1).last_request("join").unwrap().method;
    assert_eq!(method, "GET", "BBB takes join as GET only");
}
