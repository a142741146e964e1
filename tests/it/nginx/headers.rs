//! Headers: what reaches a replica and what returns to the client.

use super::fake_replica::Reaction;
use super::site::HOST;
use super::{FakeReplica, Site};
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

fn replica() -> FakeReplica {
    FakeReplica::start(|_| Reaction::Respond("<response/>"))
}

/// The headers that say where a request came from.
fn forwarded(replica: &FakeReplica) -> [String; 4] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host"]
        .map(|name| replica.header(name).unwrap_or_default())
}

#[test]
fn forwarded_headers_of_clients_are_overwritten() {
    let replica = replica();
    let site = Site::start("plain", &[replica.port]);
    let reply = site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    let here = format!("127.0.0.1:{}", site.nginx.port);
    assert_eq!(forwarded(&replica), ["127.0.0.1", "http", &here, &here]);
    assert_eq!(replica.header("forwarded"), None);
    assert_eq!(replica.header("x-sl-retries-503").as_deref(), Some("yes"));
    assert_eq!(replica.header("connection"), None, "the connection is kept alive");
    // Clients may choose the request id.
    assert_eq!(replica.header("x-request-id").as_deref(), Some("from-the-client.1"));
    assert_eq!(reply.header("x-request-id"), Some("from-the-client.1"));
}

#[test]
fn forwarded_headers_of_trusted_proxy_are_used() {
    let replica = replica();
    let site = Site::start("behind-proxy", &[replica.port]);
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    assert_eq!(forwarded(&replica), ["203.0.113.7", "https", "outer.example.org", "outer.example.org"]);
    // A proxy that keeps the Host header, in a chain of proxies.
    let chain =
        [("x-forwarded-for", "203.0.113.7, 10.1.2.3"), ("x-forwarded-proto", "HTTPS, http"), ("host", HOST)];
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &chain);
    assert_eq!(forwarded(&replica), ["10.1.2.3", "https", HOST, HOST], "the outer one is not listed");
    let listed = "set_real_ip_from 127.0.0.1;\nset_real_ip_from 10.1.2.3;";
    let edit = ("sl/trust-proxy.conf", "set_real_ip_from 127.0.0.1;", listed);
    let site = Site::edited("behind-proxy", &[replica.port], &[edit]);
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &chain);
    assert_eq!(forwarded(&replica), ["203.0.113.7", "https", HOST, HOST]);
    // Invalid values are not forwarded.
    let nonsense = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a b/c"),
        ("host", HOST),
    ];
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &nonsense);
    assert_eq!(forwarded(&replica), ["203.0.113.7", "http", HOST, HOST]);
}

#[test]
fn forwarded_headers_of_untrusted_proxy_are_ignored() {
    let replica = replica();
    let edit = ("sl/trust-proxy.conf", "set_real_ip_from 127.0.0.1;", "set_real_ip_from 192.0.2.1;");
    let site = Site::edited("behind-proxy", &[replica.port], &[edit]);
    site.fetch("GET", "/bigbluebutton/api/join?a=1", &FORGED);
    let here = format!("127.0.0.1:{}", site.nginx.port);
    assert_eq!(forwarded(&replica), ["127.0.0.1", "http", &here, &here]);
}

#[test]
fn replica_learns_of_https_over_tls_and_http2() {
    let replica = replica();
    let site = Site::start("tls", &[replica.port]);
    let authority = format!("{HOST}:{}", site.nginx.port);
    for version in ["--http2", "--http1.1"] {
        let output = site.curl(&format!("https://{authority}/bigbluebutton/api/join?a=1%20b"), &[version]);
        let status = if version == "--http2" { "HTTP/2 200" } else { "HTTP/1.1 200" };
        assert!(output.starts_with(status), "{output}");
        assert_eq!(forwarded(&replica), ["127.0.0.1", "https", &authority, &authority]);
        assert!(
            replica
                .received()
                .last()
                .unwrap()
                .starts_with("GET /bigbluebutton/api/join?a=1%20b HTTP/1.1\r\n")
        );
    }
}

#[test]
fn missing_or_invalid_request_id_is_generated() {
    let replica = replica();
    let site = Site::start("plain", &[replica.port]);
    let too_long = "x".repeat(129);
    let mut ids = std::collections::HashSet::new();
    for bad in ["", "a b", "a\"b", "<script>", &too_long] {
        let reply = site.fetch("GET", "/bigbluebutton/api/end?a=1", &[("x-request-id", bad)]);
        let id = replica.header("x-request-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(reply.header("x-request-id"), Some(id.as_str()));
        assert!(ids.insert(id));
    }
    // Responses of nginx itself have one too.
    assert_eq!(site.get("/metrics").header("x-request-id").unwrap().len(), 32);
}

#[test]
fn response_has_request_id_once() {
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
fn path_and_query_reach_first_and_second_replica_unchanged() {
    let target = "/bigbluebutton//api/%6Aoin/?fullName=J%c3%bcrgen+%7e~'*()&x=%2F&&y&checksum=ab";
    for replicas in [0, 1] {
        let replica = replica();
        let mut ports: Vec<u16> = (0..replicas).map(|_| free_port()).collect();
        ports.push(replica.port);
        let site = Site::start("plain", &ports);
        assert_eq!(site.get(target).status, 200);
        assert!(
            replica.received()[0].starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{:?}",
            replica.received()
        );
    }
}
