//! TLS with a private certificate authority: BBB servers behind a real nginx, Redis, Postgres. Refused connections to
//! Postgres.

use crate::support::nginx::{Authority, Nginx};
use crate::support::{Pool, Postgres, eventually};

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

#[test]
fn redis_with_private_ca_that_demands_a_client_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let (our_certificate, our_key) = authority.issue("balancer");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let mut pool = Pool::empty(1, &[]);
    pool.redis.down();
    let port = crate::support::free_port();
    pool.redis.up_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path(&certificate),
        "--tls-key-file",
        &path(&key),
        "--tls-ca-cert-file",
        &path(&authority.file()),
        "--tls-auth-clients",
        "yes",
    ]);
    pool.set("REDIS_URL", &format!("rediss://localhost:{port}"));
    let error = pool.sl_fails(&["servers"]);
    assert!(error.contains("ertificate"), "its authority is unknown: {error}");
    pool.set("EXTRA_CA_FILE", &path(&authority.file()));
    let error = pool.sl_fails(&["servers"]);
    assert!(error.contains("cannot reach Redis"), "we present no certificate: {error}");
    pool.set("REDIS_TLS_CERT", &path(&our_certificate));
    let error = pool.sl_fails(&["servers"]);
    assert!(error.contains("REDIS_TLS_KEY must be set"), "{error}");
    pool.set("REDIS_TLS_KEY", &path(&our_key));
    pool.add(1, &[]);
    pool.enable(1);
    pool.serve(&[]);
    pool.get("create", "meetingID=m1&name=M").success();
    assert_eq!(pool.fetch("GET", "/health_check", &[], b"").body, "success");
    pool.set("REDIS_TLS_KEY", &path(&authority.file()));
    let error = pool.sl_fails(&["servers"]);
    assert!(error.contains("REDIS_TLS_CERT and REDIS_TLS_KEY must be PEM files"), "{error}");
    pool.set("REDIS_URL", &pool.redis.url());
    let output = pool.sl(&["servers"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("REDIS_TLS_CERT has no effect without TLS"), "{error}");
}

#[test]
fn postgres_with_private_ca_that_demands_a_client_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let (our_certificate, our_key) = authority.issue("sl");
    let mut postgres = Postgres::start();
    postgres.use_tls(&authority.file(), &certificate, &key);
    let mut pool = Pool::empty(0, &[("DB_CONNECTION_RETRY_COUNT", "1")]);
    let verified = format!("postgres://sl@localhost:{}/postgres?sslmode=verify-full", postgres.port);
    pool.set("DATABASE_URL", &verified);
    let error = pool.sl_fails(&["migrate"]);
    assert!(error.contains("ertificate"), "its authority is unknown: {error}");
    pool.set("EXTRA_CA_FILE", authority.file().to_str().unwrap());
    let error = pool.sl_fails(&["migrate"]);
    assert!(error.contains("client certificate"), "we present no certificate: {error}");
    let ours = format!("&sslcert={}&sslkey={}", our_certificate.display(), our_key.display());
    pool.set("DATABASE_URL", &(verified + &ours));
    pool.sl_ok(&["migrate"]);
    pool.sl_ok(&["recordings", "list"]);
}

#[test]
fn refused_connection_to_postgres_fails_at_once_with_its_reason() {
    let mut postgres = Postgres::start();
    postgres.demand_password();
    // A minute of attempts: only a Postgres that may come back is worth them.
    let mut pool = Pool::empty(0, &[("DB_CONNECTION_RETRY_COUNT", "60")]);
    let port = postgres.port;
    for (url, reason) in [
        (format!("postgres://sl:wrong@127.0.0.1:{port}/postgres"), "password authentication failed"),
        (format!("postgres://trusted@127.0.0.1:{port}/missing"), "database \"missing\" does not exist"),
    ] {
        pool.set("DATABASE_URL", &url);
        for command in [&["migrate"][..], &["recordings", "list"]] {
            let error = pool.sl_fails(command);
            assert!(error.contains("cannot reach Postgres") && error.contains(reason), "{error}");
        }
    }
    postgres.down();
    pool.set("DB_CONNECTION_RETRY_COUNT", "1");
    let error = pool.sl_fails(&["recordings", "list"]);
    assert!(error.contains("refused"), "not a timeout of the pool: {error}");
}
