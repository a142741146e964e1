//! insertDocument.

use crate::assert_response;
use crate::support::{Pool, SHORT_TIMEOUTS, parameter};
use sl_sim::FaultKind;

const DOCUMENT: &str = "<modules>\n <module name='presentation'><document name=\"\u{e9}\">QUJD+/==</document></module></modules>";

fn meeting(variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(1, 1, variables);
    pool.get("create", "meetingID=m1").success();
    pool
}

#[test]
fn document_is_forwarded_unchanged() {
    let pool = meeting(&[]);
    for kind in ["application/xml", "text/xml;charset=UTF-8"] {
        let reply = pool.post("insertDocument", "meetingID=m1&x=%20", kind, DOCUMENT.as_bytes());
        assert_response!(
            reply,
            xml @"<response><returncode>SUCCESS</returncode><message>Presentation is being \
                  uploaded</message></response>"
        );
        let request = pool.server(1).last_request("insertDocument").unwrap();
        assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", DOCUMENT));
        assert_eq!(request.header("content-type"), Some(kind));
        assert_eq!(parameter(&request, "x").as_deref(), Some(" "));
    }
    assert_eq!(pool.server(1).meeting("m1").unwrap().documents, 2);
}

#[test]
fn document_of_8_mb_is_forwarded_complete() {
    let pool = meeting(&[]);
    let document =
        format!("<modules><module><document>{}</document></module></modules>", "QUJD".repeat(2_000_000));
    pool.post("insertDocument", "meetingID=m1", "text/xml", document.as_bytes()).success();
    assert!(pool.server(1).last_request("insertDocument").unwrap().body == document);
}

#[test]
fn document_that_is_not_xml_is_rejected() {
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
fn empty_document_is_forwarded_as_post() {
    let pool = meeting(&[]);
    let reply = pool.post("insertDocument", "meetingID=m1", "text/xml", b"");
    let request = pool.server(1).last_request("insertDocument").unwrap();
    assert_eq!(request.method, "POST", "BBB accepts only POST: {reply:?}");
}

#[test]
fn insert_document_fails_for_unknown_meeting() {
    let pool = meeting(&[]);
    let reply = pool.post("insertDocument", "meetingID=m2", "text/xml", DOCUMENT.as_bytes());
    assert_response!(
        reply,
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find a meeting with that meeting ID - perhaps the meeting is not yet running?</message>\
              </response>"
    );
    let blank = pool.post("insertDocument", "", "text/xml", DOCUMENT.as_bytes());
    assert_eq!(blank.failed(), "missingParamMeetingID");
}

#[test]
fn insert_document_has_its_own_error_when_server_fails() {
    let pool = meeting(&SHORT_TIMEOUTS);
    pool.server(1).set_fault(FaultKind::Reset);
    assert_response!(
        pool.post("insertDocument", "meetingID=m1", "text/xml", DOCUMENT.as_bytes()),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey>\
              <message>Unable to insert document on server.</message></response>"
    );
}
