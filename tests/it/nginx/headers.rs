//! What reaches a replica, and what comes back to the client.

use super::fake::Do;
use super::site::HOST;
use super::{Fake, Site};
use crate::support::client::fetch;
use crate::support::{Pool, free_port};

const FORGED: [(&str, &str); 6] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "outer.example.org"),
    ("forwarded", "for=203.0.113.7;proto=https"),
    ("x-request-id", "from-the-client.1"),
    ("x-sl-retries-503", "no"),
];

fn fake() -> Fake {
    Fake::start(|_| Do::Say("<response/>"))
}

/// The headers that say where a request came from.
fn forwarded(fake: &Fake) -> [String; 4] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host"]
        .map(|name| fake.header(name).unwrap_or_default())
}

#[test]
fn what_clients_claim_of_themselves_is_overwritten() {
    let fake = fake();
    let site = Site::start("plain", &[fake.port]);
    let reply = site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    let here = format!("127.0.0.1:{}", site.nginx.port);
    assert_eq!(forwarded(&fake), ["127.0.0.1", "http", &here, &here]);
    assert_eq!(fake.header("forwarded"), None);
    assert_eq!(fake.header("x-sl-retries-503").as_deref(), Some("yes"));
    assert_eq!(fake.header("connection"), None, "it is kept");
    // A request id is the client's to choose.
    assert_eq!(fake.header("x-request-id").as_deref(), Some("from-the-client.1"));
    assert_eq!(reply.header("x-request-id"), Some("from-the-client.1"));
}

#[test]
fn another_proxy_is_believed_if_it_is_named() {
    let fake = fake();
    let site = Site::start("behind-proxy", &[fake.port]);
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    assert_eq!(forwarded(&fake), ["203.0.113.7", "https", "outer.example.org", "outer.example.org"]);
    // One that keeps the Host, and names several proxies.
    let chain =
        [("x-forwarded-for", "203.0.113.7, 10.1.2.3"), ("x-forwarded-proto", "HTTPS, http"), ("host", HOST)];
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &chain);
    assert_eq!(forwarded(&fake), ["203.0.113.7", "https", HOST, HOST]);
    // Nonsense is not passed on.
    let nonsense = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a b/c"),
        ("host", HOST),
    ];
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &nonsense);
    assert_eq!(forwarded(&fake), ["203.0.113.7", "http", HOST, HOST]);
}

#[test]
fn anybody_else_is_not() {
    let fake = fake();
    let edit = ("sl/trust-proxy.conf", "set_real_ip_from 127.0.0.1;", "set_real_ip_from 192.0.2.1;");
    let site = Site::edited("behind-proxy", &[fake.port], &[edit]);
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    let here = format!("127.0.0.1:{}", site.nginx.port);
    assert_eq!(forwarded(&fake), ["127.0.0.1", "http", &here, &here]);
}

#[test]
fn over_tls_and_http2_the_replica_learns_of_https() {
    let fake = fake();
    let site = Site::start("tls", &[fake.port]);
    let authority = format!("{HOST}:{}", site.nginx.port);
    for version in ["--http2", "--http1.1"] {
        let said = site.curl(&format!("https://{authority}/bigbluebutton/api/join?a=1%20b"), &[version]);
        let status = if version == "--http2" { "HTTP/2 200" } else { "HTTP/1.1 200" };
        assert!(said.starts_with(status), "{said}");
        assert_eq!(forwarded(&fake), ["127.0.0.1", "https", &authority, &authority]);
        assert!(fake.seen().last().unwrap().starts_with("GET /bigbluebutton/api/join?a=1%20b HTTP/1.1\r\n"));
    }
}

#[test]
fn a_request_id_is_made_up_where_there_is_none_or_a_bad_one() {
    let fake = fake();
    let site = Site::start("plain", &[fake.port]);
    let too_long = "x".repeat(129);
    let mut ids = std::collections::HashSet::new();
    for bad in ["", "a b", "a\"b", "<script>", &too_long] {
        let reply = site.fetch("GET", "/bigbluebutton/api/end?a=1", &[("x-request-id", bad)]);
        let id = fake.header("x-request-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(reply.header("x-request-id"), Some(id.as_str()));
        assert!(ids.insert(id));
    }
    // nginx's own answers have one too.
    assert_eq!(site.get("/metrics").header("x-request-id").unwrap().len(), 32);
}

#[test]
fn an_answer_of_a_real_replica_has_the_request_id_once() {
    let pool = Pool::start(1);
    let site = Site::start("plain", &[pool.replicas[0].port]);
    let reply =
        fetch("GET", &site.url(&pool.target("getMeetings", "")), &[("x-request-id", "mine")], b"").success();
    let ids: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "x-request-id").collect();
    assert_eq!(ids.len(), 1, "{reply:?}");
    assert_eq!(ids[0].1, "mine");
    assert_eq!(reply.header("content-type"), Some("text/xml; charset=utf-8"));
}

#[test]
fn path_and_query_arrive_byte_for_byte_at_the_second_replica_too() {
    let target = "/bigbluebutton//api/%6Aoin/?fullName=J%c3%bcrgen+%7e~'*()&x=%2F&&y&checksum=ab";
    for replicas in [0, 1] {
        let fake = fake();
        let mut ports: Vec<u16> = (0..replicas).map(|_| free_port()).collect();
        ports.push(fake.port);
        let site = Site::start("plain", &ports);
        assert_eq!(site.get(target).status, 200);
        assert!(fake.seen()[0].starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{:?}", fake.seen());
    }
}
