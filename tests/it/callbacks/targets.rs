//! Which targets callbacks may reach.

use super::*;
use crate::support::nginx::{Authority, Nginx};

#[test]
fn private_addresses_are_refused_in_any_spelling() {
    let env = start_env_without_server(1, &[("CALLBACK_ALLOW_PRIVATE", "false")]);
    let receiver = Receiver::start();
    let port = receiver.port;
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0:{port}/"),
        format!("https://localhost:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        "file:///etc/passwd".to_owned(),
        "no URL".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://[fe80::1]/".to_owned(),
    ];
    for (n, target) in targets.iter().enumerate() {
        insert_callback(&env, &format!("r{n}"), target);
    }
    wait_for_state(&env, "failed");
    let refused =
        "SELECT count(*), count(DISTINCT tries) FROM callbacks WHERE outcome LIKE 'blocked: %' AND tries = 1";
    assert_eq!(env.postgres.sql(refused), format!("{}|1", targets.len()));
    assert_eq!(
        env.postgres.sql("SELECT outcome FROM callbacks WHERE record_id = 'r1'"),
        // Whichever address the name resolves to first.
        match env.postgres.sql("SELECT outcome LIKE '%::1%' FROM callbacks WHERE record_id = 'r1'").as_str() {
            "t" => "blocked: ::1 is not a public address (CALLBACK_ALLOW_PRIVATE)",
            _ => "blocked: 127.0.0.1 is not a public address (CALLBACK_ALLOW_PRIVATE)",
        }
    );
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn redirects_are_followed_only_to_allowed_targets() {
    // One address of this host is allowed, the others are not.
    let env = start_env_without_server(1, &[("CALLBACK_ALLOW_PRIVATE", "127.0.0.2")]);
    let inside = Receiver::start();
    let private = inside.url("/inside");
    let receiver = Receiver::at("127.0.0.2", move |seen| {
        let to = |location: &str| with_header("307 Temporary Redirect", &format!("Location: {location}"));
        match &*seen.line {
            "POST /private" => to(&private),
            "POST /private302" => with_header("302 Found", &format!("Location: {private}")),
            "POST /file" => to("file:///etc/passwd"),
            "POST /moved" => to("/here?a=1"),
            "POST /far" => with_header("301 Moved Permanently", "Location: moved"),
            "POST /loop" => to("/loop"),
            "POST /nowhere" => status("308 Permanent Redirect"),
            "POST /here?a=1" => status("200 OK"),
            _ => status("404 Not Found"),
        }
    });
    for path in ["far", "file", "loop", "moved", "nowhere", "private", "private302"] {
        insert_callback(&env, path, &receiver.url(&format!("/{path}")));
    }
    eventually("all have been tried", || {
        env.postgres.sql("SELECT count(*) FROM callbacks WHERE outcome IS NULL") == "0"
    });
    let outcome = |id: &str| {
        env.postgres.sql(&format!("SELECT state, outcome FROM callbacks WHERE record_id = '{id}'"))
    };
    let refused = "failed|blocked: 127.0.0.1 is not a public address (CALLBACK_ALLOW_PRIVATE)";
    assert_eq!(outcome("private"), refused);
    assert_eq!(outcome("private302"), refused);
    assert_eq!(outcome("file"), "failed|blocked: neither http nor https");
    assert_eq!(outcome("moved"), "delivered|status 200");
    assert_eq!(outcome("far"), "delivered|status 200");
    assert_eq!(outcome("loop"), "pending|more than 3 redirects");
    assert_eq!(outcome("nowhere"), "pending|status 308");
    assert_eq!(inside.connections(), 0);
    // Redirects repeat the form.
    let arrived: Vec<_> =
        receiver.received().into_iter().filter(|seen| seen.line == "POST /here?a=1").collect();
    assert_eq!(record_ids(&arrived, &env.pool.secret), ["far", "moved"]);
}

#[test]
fn url_credentials_are_sent_as_basic_auth() {
    let env = start_env_without_server(1, &[]);
    let receiver = Receiver::start();
    insert_callback(&env, "r1", &format!("http://us:pw@127.0.0.1:{}/x", receiver.port));
    let seen = &receiver.wait_for_requests(1)[0];
    assert_eq!(seen.line, "POST /x");
    assert!(seen.head.to_lowercase().contains("authorization: basic dxm6chc="), "{}", seen.head);
}

#[test]
fn certificates_are_verified_and_https_is_never_downgraded() {
    let mut env = start_env_without_server(0, &[]);
    let receiver = Receiver::responding(|_| status("200 OK"));
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let nginx = Nginx::start(&format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass http://127.0.0.1:{}; }}\n\
         location /down {{ return 307 http://127.0.0.1:{}/plain; }} }}",
        certificate.display(),
        key.display(),
        receiver.port,
        receiver.port,
    ));
    env.pool.serve(&["--no-poller"]);
    let secure = |path: &str| format!("https://localhost:{}{path}", nginx.port);
    insert_callback(&env, "unknown", &secure("/"));
    eventually("it is not trusted", || {
        let all = callbacks(&env).to_lowercase();
        all.contains("unknown|pending") && all.contains("certificate")
    });
    env.postgres.sql("DELETE FROM callbacks");
    env.pool.replicas.clear();
    env.pool.set("EXTRA_CA_FILE", authority.file().to_str().unwrap());
    env.pool.serve(&["--no-poller"]);
    insert_callback(&env, "known", &secure("/ready"));
    insert_callback(&env, "down", &secure("/down"));
    eventually("both have an outcome", || {
        callbacks(&env) == "down|failed|1|blocked: a redirect away from https\nknown|delivered|1|status 200"
    });
    assert_eq!(record_ids(&receiver.received(), &env.pool.secret), ["known"]);
}
