//! insertDocument.

use crate::assert_answer;
use crate::support::{Pool, QUICK, parameter};
use sl_sim::FaultKind;

const DOCUMENT: &str = "<modules>\n <module name='presentation'><document name=\"\u{e9}\">QUJD+/==</document></module></modules>";

fn meeting(variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(1, 1, variables);
    pool.get("create", "meetingID=m1").success();
    pool
}

#[test]
fn a_document_is_forwarded_untouched() {
    let pool = meeting(&[]);
    for kind in ["application/xml", "text/xml;charset=UTF-8"] {
        let reply = pool.post("insertDocument", "meetingID=m1&x=%20", kind, DOCUMENT.as_bytes());
        assert_answer!(reply);
        let request = pool.server(1).last_request("insertDocument").unwrap();
        assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", DOCUMENT));
        assert_eq!(request.header("content-type"), Some(kind));
        assert_eq!(parameter(&request, "x").as_deref(), Some(" "));
    }
    assert_eq!(pool.server(1).meeting("m1").unwrap().documents, 2);
}

#[test]
fn a_document_of_megabytes_arrives_whole() {
    let pool = meeting(&[]);
    let document =
        format!("<modules><module><document>{}</document></module></modules>", "QUJD".repeat(2_000_000));
    pool.post("insertDocument", "meetingID=m1", "text/xml", document.as_bytes()).success();
    assert!(pool.server(1).last_request("insertDocument").unwrap().body == document);
}

#[test]
fn anything_but_xml_is_refused() {
    let pool = meeting(&[]);
    for kind in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json",
    ] {
        let reply = pool.post("insertDocument", "meetingID=m1", kind, b"x=1");
        assert_eq!(reply.failed(), "unsupportedContentType", "{kind}");
    }
    assert_eq!(pool.server(1).counts().insert_document, 0);
}

#[test]
fn without_a_document_the_server_has_the_word() {
    let pool = meeting(&[]);
    let reply = pool.post("insertDocument", "meetingID=m1", "text/xml", b"");
    let request = pool.server(1).last_request("insertDocument").unwrap();
    assert_eq!(request.method, "POST", "it came as POST, the only method that BBB takes: {reply:?}");
}

#[test]
fn an_unknown_meeting_takes_no_document() {
    let pool = meeting(&[]);
    let reply = pool.post("insertDocument", "meetingID=m2", "text/xml", DOCUMENT.as_bytes());
    assert_answer!(reply);
    let blank = pool.post("insertDocument", "", "text/xml", DOCUMENT.as_bytes());
    assert_eq!(blank.failed(), "missingParamMeetingID");
}

#[test]
fn a_server_that_does_not_answer_has_an_error_of_its_own() {
    let pool = meeting(&QUICK);
    pool.server(1).set_fault(FaultKind::Reset);
    assert_answer!(pool.post("insertDocument", "meetingID=m1", "text/xml", DOCUMENT.as_bytes()));
}
