//! create with a body: forms, multipart forms, documents.

use crate::assert_response;
use crate::support::client::send_raw;
use crate::support::{Pool, parameter, sign};

const FORM: &str = "application/x-www-form-urlencoded";

const SLIDES: &str = "<?xml version='1.0'?>\r\n<modules>\n\t<module name=\"presentation\">\
    <document url=\"https://example.org/a%20b.pdf?x=1&amp;y=2\" filename=\"\u{e9}.pdf\"/></module>  </modules>\n";

#[test]
fn form_adds_to_signed_query() {
    let pool = Pool::start(1);
    let reply = pool.post("create", "meetingID=m1&name=Query", FORM, b"name=Form&welcome=Hi+%C3%A9");
    assert_eq!(reply.success().xml("meetingID"), Some("m1"));
    let request = pool.server(1).last_request("create").unwrap();
    assert_eq!(parameter(&request, "name").as_deref(), Some("Query"));
    assert_eq!(parameter(&request, "welcome").as_deref(), Some("Hi é"));
    assert_eq!(parameter(&request, "meetingID").as_deref(), Some("m1"));
}

#[test]
fn form_may_carry_checksum_of_empty_query() {
    let pool = Pool::start(1);
    let sum = sign("sha256", "create", "", &pool.secret);
    let body = format!("meetingID=m1&name=One&checksum={sum}&moderatorPW=mp");
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    pool.fetch("POST", "/bigbluebutton/api/create", &headers, body.as_bytes()).success();
    let request = pool.server(1).last_request("create").unwrap();
    assert!(!request.target.contains(&sum) && !request.body.contains(&sum), "{request:?}");
    assert_eq!(pool.server(1).counts().checksum_failures, 0);
    assert_eq!(parameter(&request, "moderatorPW").as_deref(), Some("mp"));
}

#[test]
fn checksum_in_form_signs_accompanying_query() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "create", "meetingID=m1", &pool.secret);
    let body = format!("name=One&checksum={sum}");
    let headers = [("content-type", FORM)];
    pool.fetch("POST", "/bigbluebutton/api/create?meetingID=m1", &headers, body.as_bytes()).success();
    let other = pool.fetch("POST", "/bigbluebutton/api/create?meetingID=m2", &headers, body.as_bytes());
    assert_eq!(other.failed(), "checksumError");
}

fn multipart(fields: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!(
            "--BoUnD\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body + "--BoUnD--\r\n"
}

#[test]
fn multipart_form_is_parsed_like_form() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "create", "", &pool.secret);
    let body = multipart(&[("meetingID", "m 1"), ("name", "a & b\r\né"), ("checksum", &sum)]);
    let headers = [("content-type", "multipart/form-data; charset=utf-8; boundary=BoUnD")];
    pool.fetch("POST", "/bigbluebutton/api/create", &headers, body.as_bytes()).success();
    let request = pool.server(1).last_request("create").unwrap();
    assert_eq!(parameter(&request, "meetingID").as_deref(), Some("m 1"));
    assert_eq!(parameter(&request, "name").as_deref(), Some("a & b\r\né"));
    assert_eq!(parameter(&request, "checksum"), None);
}

#[test]
fn multipart_form_adds_to_signed_query() {
    let pool = Pool::start(1);
    let body = multipart(&[("name", "Form"), ("welcome", "First"), ("welcome", "Last")]);
    let kind = "multipart/form-data; boundary=\"BoUnD\"";
    pool.post("create", "meetingID=m1&name=Query", kind, body.as_bytes()).success();
    let request = pool.server(1).last_request("create").unwrap();
    assert_eq!(parameter(&request, "name").as_deref(), Some("Query"));
    assert_eq!(parameter(&request, "welcome").as_deref(), Some("Last"));
}

#[test]
fn slides_are_forwarded_unchanged_with_their_content_type() {
    let pool = Pool::start(1);
    let kinds =
        ["application/xml", "text/xml", "text/xml; charset=utf-8", "Application/XML;charset=\"UTF-8\""];
    for (n, kind) in kinds.into_iter().enumerate() {
        pool.post("create", &format!("meetingID=m{n}&name=One"), kind, SLIDES.as_bytes()).success();
        let request = pool.server(1).last_request("create").unwrap();
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, SLIDES);
        assert_eq!(request.header("content-type"), Some(kind));
        assert_eq!(parameter(&request, "name").as_deref(), Some("One"));
        assert_eq!(pool.server(1).meeting(&format!("m{n}")).unwrap().documents, 1);
    }
}

#[test]
fn chunked_slides_are_forwarded_complete() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    let (one, two) = SLIDES.split_at(40);
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    let response = send_raw(&pool.address(0), request.as_bytes());
    assert!(response.contains("<returncode>SUCCESS</returncode>"), "{response}");
    assert_eq!(pool.server(1).last_request("create").unwrap().body, SLIDES);
}

#[test]
fn checksum_inside_document_is_ignored() {
    let pool = Pool::start(1);
    let sum = sign("sha1", "create", "", &pool.secret);
    let body = format!("<checksum>{sum}</checksum>");
    let headers = [("content-type", "text/xml")];
    let reply = pool.fetch("POST", "/bigbluebutton/api/create", &headers, body.as_bytes());
    assert_eq!(reply.failed(), "checksumError");
}

#[test]
fn body_of_unsupported_content_type_is_rejected() {
    let pool = Pool::start(1);
    assert_response!(
        pool.post("create", "meetingID=m1", "application/json", b"{}"),
        xml @"<response><returncode>FAILED</returncode><messageKey>unsupportedContentType</messageKey>\
              <message>POST request Content-Type is missing or unsupported</message></response>"
    );
    for kind in ["text/plain", "application/xmlx", "text", "", "application/octet-stream", "xml", "text/html"]
    {
        let reply = pool.post("create", "meetingID=m1", kind, b"<modules/>");
        assert_eq!(reply.failed(), "unsupportedContentType", "{kind}");
    }
    let target = pool.target("create", "meetingID=m1");
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: sl\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=1");
    let without = send_raw(&pool.address(0), head.as_bytes());
    assert!(without.contains("<messageKey>unsupportedContentType</messageKey>"), "{without}");
    assert_eq!(pool.server(1).counts().create, 0);
}

#[test]
fn post_without_body_needs_no_content_type() {
    let pool = Pool::start(1);
    let target = pool.target("create", "meetingID=m1");
    for kind in ["", "Content-Type: application/json\r\n", "Content-Type: text/xml\r\n"] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: sl\r\n{kind}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let response = send_raw(&pool.address(0), head.as_bytes());
        assert!(response.contains("<returncode>SUCCESS</returncode>"), "{kind}{response}");
    }
}
