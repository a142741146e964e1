//! BBB servers behind TLS: a real nginx with a certificate of a private authority.

use crate::support::nginx::{Authority, Nginx};
use crate::support::{Pool, eventually};

struct Secured {
    pool: Pool,
    nginx: Nginx,
    authority: Authority,
}

/// Simulated server 1 behind nginx with TLS; its certificate is for this host.
fn secured(host: &str, http2: bool) -> Secured {
    let pool = Pool::empty(1, &[("CONNECT_TIMEOUT", "3"), ("RESPONSE_TIMEOUT", "3")]);
    let authority = Authority::new();
    let (certificate, key) = authority.issue(host);
    let nginx = Nginx::start(&format!(
        "server {{ listen 127.0.0.1:PORT ssl{}; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass http://127.0.0.1:{}; proxy_set_header Host $host:PORT; }} }}",
        if http2 { " http2" } else { "" },
        certificate.display(),
        key.display(),
        pool.server(1).port(),
    ));
    let url = format!("https://localhost:{}/bigbluebutton/api", nginx.port);
    pool.sl_ok(&["servers", "add", &url, pool.server(1).secret(), "--id", "bbb1"]);
    Secured { pool, nginx, authority }
}

impl Secured {
    fn trust(&mut self) {
        let file = self.authority.file();
        self.pool.set("EXTRA_CA_FILE", file.to_str().unwrap());
    }
}

#[test]
fn a_server_with_a_certificate_of_a_private_authority_is_used_over_http2() {
    let mut secured = secured("localhost", true);
    secured.trust();
    secured.pool.enable(1);
    let replica = secured.pool.serve(&["--no-poller"]);
    let pool = &secured.pool;
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 0.0)], "{}", pool.replicas[replica].log());
    pool.get("create", "meetingID=m1&name=M").success();
    pool.get("isMeetingRunning", "meetingID=m1").success();
    let joined = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
    assert!(joined.header("location").unwrap().starts_with("https://localhost:"), "{joined:?}");
    eventually("nginx has written its log", || secured.nginx.access_log().contains("isMeetingRunning"));
    let log = secured.nginx.access_log();
    assert!(log.lines().all(|line| line.starts_with("HTTP/2.0 200")), "{log}");
}

#[test]
fn http_1_1_over_tls_is_used_where_there_is_no_http2() {
    let mut secured = secured("localhost", false);
    secured.trust();
    secured.pool.enable(1);
    secured.pool.serve(&["--no-poller"]);
    secured.pool.get("create", "meetingID=m1&name=M").success();
    eventually("nginx has written its log", || secured.nginx.access_log().contains("create"));
    assert!(secured.nginx.access_log().lines().all(|line| line.starts_with("HTTP/1.1 200")));
}

#[test]
fn without_the_authority_or_for_another_host_it_is_not_trusted() {
    let unknown = secured("localhost", true);
    let said = unknown.pool.sl_ok(&["servers", "enable", "bbb1"]);
    assert!(said.contains("enabled, but offline (cannot connect: ") && said.contains("ertificate"), "{said}");
    let mut other = secured("bbb.example.org", true);
    other.trust();
    let said = other.pool.sl_ok(&["servers", "enable", "bbb1"]);
    assert!(said.contains("offline (cannot connect: ") && said.contains("not valid for name"), "{said}");
    assert_eq!(other.pool.redis.loads(), []);
}
