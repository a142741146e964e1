//! BBB servers behind TLS: a real nginx with a certificate of a private certificate authority.

use crate::support::nginx::{Authority, Nginx};
use crate::support::{Pool, eventually};

struct TlsPool {
    pool: Pool,
    nginx: Nginx,
    authority: Authority,
}

/// Simulated server 1 behind nginx with TLS; its certificate is for this host.
fn tls_pool(host: &str, http2: bool) -> TlsPool {
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
    TlsPool { pool, nginx, authority }
}

impl TlsPool {
    fn trust(&mut self) {
        let file = self.authority.file();
        self.pool.set("EXTRA_CA_FILE", file.to_str().unwrap());
    }
}

#[test]
fn server_with_private_ca_is_used_over_http2() {
    let mut tls_pool = tls_pool("localhost", true);
    tls_pool.trust();
    tls_pool.pool.enable(1);
    let replica = tls_pool.pool.serve(&["--no-poller"]);
    let pool = &tls_pool.pool;
    assert_eq!(pool.redis.loads(), [("bbb1".to_owned(), 0.0)], "{}", pool.replicas[replica].log());
    pool.get("create", "meetingID=m1&name=M").success();
    pool.get("isMeetingRunning", "meetingID=m1").success();
    let joined = pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
    assert!(joined.header("location").unwrap().starts_with("https://localhost:"), "{joined:?}");
    eventually("nginx has written its log", || tls_pool.nginx.access_log().contains("isMeetingRunning"));
    let log = tls_pool.nginx.access_log();
    assert!(log.lines().all(|line| line.starts_with("HTTP/2.0 200")), "{log}");
}

#[test]
fn http_1_1_is_used_over_tls_without_http2() {
    let mut tls_pool = tls_pool("localhost", false);
    tls_pool.trust();
    tls_pool.pool.enable(1);
    tls_pool.pool.serve(&["--no-poller"]);
    tls_pool.pool.get("create", "meetingID=m1&name=M").success();
    eventually("nginx has written its log", || tls_pool.nginx.access_log().contains("create"));
    assert!(tls_pool.nginx.access_log().lines().all(|line| line.starts_with("HTTP/1.1 200")));
}

#[test]
fn server_with_unknown_ca_or_wrong_host_is_not_trusted() {
    let unknown = tls_pool("localhost", true);
    let output = unknown.pool.sl_ok(&["servers", "enable", "bbb1"]);
    assert!(
        output.contains("enabled, but offline (cannot connect: ") && output.contains("ertificate"),
        "{output}"
    );
    let mut other = tls_pool("bbb.example.org", true);
    other.trust();
    let output = other.pool.sl_ok(&["servers", "enable", "bbb1"]);
    assert!(
        output.contains("offline (cannot connect: ") && output.contains("not valid for name"),
        "{output}"
    );
    assert_eq!(other.pool.redis.loads(), []);
}
