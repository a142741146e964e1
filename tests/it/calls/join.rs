//! join: sends a browser to the server of its meeting.

use crate::assert_response;
use crate::support::client::fetch;
use crate::support::{Pool, SHORT_TIMEOUTS};
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
fn join_redirects_to_signed_url_of_server() {
    let pool = meeting(&[]);
    assert_response!(pool.get("join", QUERY));
    assert_eq!(pool.server(1).counts().join, 0, "sl must not contact the server");
}

#[test]
fn following_join_redirect_enters_meeting() {
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
fn join_without_redirect_returns_server_xml() {
    let pool = meeting(&[]);
    assert_response!(pool.get("join", &format!("{QUERY}&redirect=false")));
    assert_eq!(pool.server(1).counts().joined, 1);
    pool.get("join", &format!("{QUERY}&redirect=FALSE")).success();
    assert_eq!(pool.get("join", &format!("{QUERY}&redirect=true")).status, 302);
}

#[test]
fn join_query_is_reencoded_as_form() {
    let pool = meeting(&[]);
    let reply = pool.get("join", "meetingID=m1&fullName=a%20b+c~%7E'%2A*&role=VIEWER&bare&userdata-x[]=%0a");
    let location = reply.header("location").unwrap();
    let query = location.split_once('?').unwrap().1.rsplit_once("&checksum=").unwrap().0;
    assert_eq!(query, "meetingID=m1&fullName=a+b+c%7E%7E%27**&role=VIEWER&bare&userdata-x%5B%5D=%0A");
}

#[test]
fn join_fails_for_unknown_meeting() {
    let pool = meeting(&[]);
    assert_response!(
        pool.get("join", "meetingID=m2&fullName=A&role=VIEWER"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find a meeting with that meeting ID - perhaps the meeting is not yet running?</message>\
              </response>"
    );
    assert_eq!(pool.get("join", "fullName=A").failed(), "missingParamMeetingID");
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:meeting:m2"]), "0");
}

#[test]
fn join_fails_when_server_is_offline() {
    let pool = meeting(&[]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "online", "false"]);
    pool.redis.cli(&["ZREM", "scalelite:server_load", "bbb1"]);
    assert_response!(
        pool.get("join", QUERY),
        xml @"<response><returncode>FAILED</returncode><messageKey>serverUnavailable</messageKey>\
              <message>The server for this meeting is disabled/offline.</message></response>"
    );
    assert_eq!(pool.get("join", &format!("{QUERY}&redirect=false")).failed(), "serverUnavailable");
    assert_eq!(users(&pool, "m1"), "0", "a failed join is not counted");
}

#[test]
fn join_works_on_disabled_server() {
    let pool = meeting(&[]);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
    pool.sl_ok(&["servers", "cordon", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
}

#[test]
fn join_to_disabled_server_is_rejected_if_configured() {
    let pool = meeting(&[("DISABLED_REFUSES_JOINS", "true")]);
    pool.sl_ok(&["servers", "cordon", "bbb1"]);
    assert_eq!(pool.get("join", QUERY).status, 302);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    let reply = pool.get("join", QUERY);
    assert_eq!(reply.failed(), "serverUnavailable");
    assert_eq!(reply.xml("message"), Some("The server for this meeting is disabled/offline."));
}

#[test]
fn join_rejected_by_server_counts_no_participant() {
    let pool = meeting(&[("LOAD_MIN_USER_COUNT", "0")]);
    assert_eq!(pool.get("join", "meetingID=m1&redirect=false").failed(), "missingParamFullName");
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 0.0)]);
    pool.get("join", &format!("{QUERY}&redirect=false")).success();
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 1.0)]);
}

#[test]
fn join_fails_with_internal_error_when_server_does_not_answer() {
    let pool = meeting(&SHORT_TIMEOUTS);
    pool.server(1).set_fault(FaultKind::Reset);
    let reply = pool.get("join", &format!("{QUERY}&redirect=false"));
    assert_eq!(reply.failed(), "internalError");
    assert_eq!(reply.xml("message"), Some("Unable to access meeting on server."));
}

#[test]
fn operator_join_params_add_override_and_exclude() {
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
fn long_join_query_is_forwarded_as_get() {
    let pool = meeting(&[]);
    let long = format!("{QUERY}&userdata-x={}", "x".repeat(4000));
    let location = pool.get("join", &long).header("location").unwrap().to_owned();
    assert_eq!(fetch("GET", &location, &[], b"").status, 302);
    pool.get("join", &format!("{long}&redirect=false")).success();
    let method = pool.server(1).last_request("join").unwrap().method;
    assert_eq!(method, "GET", "BBB accepts join only as GET");
}
