//! join with errorRedirectUrl: errors of ours go there.

use crate::support::Pool;
use crate::support::client::fetch;

const TO: &str = "errorRedirectUrl=https%3A%2F%2Fapp.example%2Fx%3Fy%3D1";

#[test]
fn join_error_is_sent_to_error_redirect_url() {
    let pool = Pool::start(1);
    let reply = pool.get("join", &format!("meetingID=m2&fullName=A&role=VIEWER&{TO}"));
    assert_eq!((reply.status, reply.body.as_str()), (302, ""));
    assert_eq!(
        reply.header("location"),
        Some(
            "https://app.example/x?y=1&errors=[%7B%22message%22:%22We%20could%20not%20find%20a%20meeting%20with\
             %20that%20meeting%20ID%20-%20perhaps%20the%20meeting%20is%20not%20yet%20running%3F%22,\
             %22key%22:%22notFound%22%7D]"
        )
    );
    let missing = pool.get("join", &format!("fullName=A&{TO}"));
    assert!(missing.header("location").unwrap().contains("%22missingParamMeetingID%22"), "{missing:?}");

    pool.get("create", "meetingID=m1").success();
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "online", "false"]);
    let offline = pool.get("join", &format!("meetingID=m1&fullName=A&role=VIEWER&{TO}"));
    assert!(offline.header("location").unwrap().contains("%22serverUnavailable%22"), "{offline:?}");
}

#[test]
fn join_error_is_xml_without_a_usable_error_redirect_url() {
    let pool = Pool::start(1);
    for more in [
        "",
        "&errorRedirectUrl=",
        "&errorRedirectUrl=javascript%3Aalert(1)",
        "&errorRedirectUrl=%2F%2Fevil.example",
        "&errorRedirectUrl=data%3Atext%2Fhtml%2Cx",
        &format!("&{TO}&redirect=false"),
    ] {
        let reply = pool.get("join", &format!("meetingID=m2&fullName=A&role=VIEWER{more}"));
        assert_eq!((reply.status, reply.failed()), (200, "notFound"), "{more}");
    }
}

#[test]
fn unsigned_join_is_never_redirected() {
    let pool = Pool::start(1);
    let url = format!("http://{}/bigbluebutton/api/join?meetingID=m2&fullName=A&{TO}", pool.address(0));
    for checksum in ["", "&checksum=", "&checksum=0000000000000000000000000000000000000000"] {
        let reply = fetch("GET", &format!("{url}{checksum}"), &[], b"");
        assert_eq!((reply.status, reply.failed()), (200, "checksumError"), "{checksum}");
    }
}

#[test]
fn error_redirect_url_reaches_the_server() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1").success();
    let reply = pool.get("join", &format!("meetingID=m1&fullName=A&role=VIEWER&{TO}"));
    let location = reply.header("location").unwrap();
    assert!(location.starts_with(&pool.server(1).url()) && location.contains(TO), "{location}");
}
