//! Delivery: signed, retried until it succeeds, once.

use super::*;
use crate::support::ROOT;
use sl::callbacks::table::CallbackTable;
use sl::config::Config;
use sl::db::{DEFAULT_CONNECTIONS, Database};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// The claims of a token, by PyJWT.
#[track_caller]
fn pyjwt(token: &str, secret: &str, algorithm: &str) -> serde_json::Value {
    let python = Path::new(ROOT).join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make clients`", python.display());
    let program = "import json, jwt, sys; print(json.dumps(jwt.decode(sys.argv[1], sys.argv[2], algorithms=[sys.argv[3]])))";
    let output = Command::new(python).args(["-c", program, token, secret, algorithm]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn callback_is_delivered_once_after_receiver_outage_and_restart() {
    let mut env = start_env(1, &[]);
    let mut receiver = Receiver::start();
    receiver.down();
    let id = create(&env, "Raum 1", &receiver.url("/ready?token=hush"));
    import(&env, &recording("Raum 1", &id));
    eventually("it has been tried", || callbacks(&env).contains("|pending|"));
    eventually("the connection was refused", || callbacks(&env).contains("refused"));
    env.pool.replicas[0].terminate();
    env.pool.replicas[0].wait_for_exit(Duration::from_secs(20));
    let log = env.pool.replicas[0].log();
    assert!(log.contains("will be retried") && !log.contains("hush"), "{log}");
    env.pool.serve(&["--no-poller", "--importer"]);
    receiver.up();
    wait_for_state(&env, "delivered");
    let seen = receiver.wait_for_requests(1);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].line, "POST /ready?token=hush");
    assert!(seen[0].head.to_lowercase().contains("content-type: application/x-www-form-urlencoded"));
    let claims = pyjwt(&seen[0].token, &env.pool.secret, "HS256");
    assert_eq!(claims, serde_json::json!({ "meeting_id": "Raum 1", "record_id": id }));
    eventually("it is logged", || env.pool.replicas[1].log().contains("a callback was delivered"));
    let log = env.pool.replicas[1].log();
    assert!(!log.contains("hush") && !log.contains(&seen[0].token), "{log}");
}

#[test]
fn callback_token_is_hs512_when_only_sha512_is_allowed() {
    let env = start_env_without_server(1, &[("LOADBALANCER_CHECKSUM_ALGORITHM", "SHA512")]);
    let receiver = Receiver::start();
    insert_callback(&env, "r1", &receiver.url("/"));
    let token = receiver.wait_for_requests(1)[0].token.clone();
    let claims = pyjwt(&token, &env.pool.secret, "HS512");
    assert_eq!(claims, serde_json::json!({ "meeting_id": "m-r1", "record_id": "r1" }));
}

#[test]
fn concurrent_replicas_deliver_each_callback_once() {
    let env = start_env_without_server(3, &[]);
    // Slow enough for the other replicas to poll several times in the meantime.
    let receiver = Receiver::responding(|_| {
        std::thread::sleep(Duration::from_millis(2500));
        status("200 OK")
    });
    let ids: Vec<_> = (10..70).map(|n| format!("r{n}")).collect();
    let rows: Vec<_> =
        ids.iter().map(|id| format!("('recording-ready', '{id}', 'm', '{}')", receiver.url("/"))).collect();
    env.postgres
        .sql(&format!("INSERT INTO callbacks (kind, record_id, meeting_id, url) VALUES {}", rows.join(",")));
    wait_for_state(&env, "delivered");
    assert_eq!(record_ids(&receiver.received(), &env.pool.secret), ids);
    assert_eq!(env.postgres.sql("SELECT DISTINCT tries FROM callbacks"), "1");
    let delivering =
        env.pool.replicas.iter().filter(|replica| replica.log().contains("a callback was delivered"));
    assert!(delivering.count() > 1, "several replicas must deliver");
}

#[test]
fn claim_skips_rows_locked_by_another_worker() {
    let env = start_env_without_server(0, &[]);
    for id in ["r1", "r2"] {
        insert_callback(&env, id, "https://e.org/");
    }
    let url = env.postgres.url();
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.clone())).unwrap();
    let row_lock = env.postgres.session("BEGIN; SELECT 1 FROM callbacks WHERE record_id = 'r1' FOR UPDATE");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Database::for_background(&config.recordings, DEFAULT_CONNECTIONS).unwrap();
        let callbacks = CallbackTable::new(db);
        let claim = async || {
            let claiming = callbacks.claim(10, Duration::from_secs(60));
            let claimed = tokio::time::timeout(Duration::from_secs(10), claiming)
                .await
                .expect("claim must not wait for the lock");
            claimed.unwrap().into_iter().map(|claimed| claimed.record_id).collect::<Vec<_>>()
        };
        assert_eq!(claim().await, ["r2"]);
        drop(row_lock);
        let (one, other) = tokio::join!(claim(), claim());
        assert_eq!([one, other].concat(), ["r1"]);
        assert_eq!(claim().await, [""; 0]);
    });
}

#[test]
fn claim_blocks_other_workers_and_expires_after_kill() {
    // A lease of two seconds and its margin.
    let mut env = start_env_without_server(1, &[("CALLBACK_TIMEOUT", "2")]);
    let hanging = Arc::new(AtomicUsize::new(1));
    let left = hanging.clone();
    let receiver = Receiver::responding(move |_| {
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            std::thread::sleep(Duration::from_secs(15));
        }
        status("200 OK")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    receiver.wait_for_requests(1);
    env.pool.replicas[0].child.kill().unwrap();
    assert_eq!(
        env.postgres.sql("SELECT state, lease IS NOT NULL, due_at > now() FROM callbacks"),
        "pending|t|t"
    );
    env.pool.serve(&["--no-poller"]);
    wait_for_state(&env, "delivered");
    assert_eq!(receiver.received().len(), 2, "the first attempt died, the second succeeded");
    assert_eq!(hanging.load(Ordering::SeqCst), 0);
    assert_eq!(callbacks(&env), "r1|delivered|2|status 200");
}

#[test]
fn paused_worker_does_not_overwrite_newer_outcome() {
    let mut env = start_env_without_server(1, &[("CALLBACK_TIMEOUT", "2"), ("LOG_LEVEL", "debug")]);
    let (count, gate) = (AtomicUsize::new(0), Arc::new(Barrier::new(2)));
    let opened = gate.clone();
    let receiver = Receiver::responding(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) > 0 {
            return status("200 OK");
        }
        opened.wait();
        status("410 Gone")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    receiver.wait_for_requests(1);
    let signal = |env: &RecordingEnv, signal: &str| {
        let pid = env.pool.replicas[0].child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    signal(&env, "-STOP");
    gate.wait();
    env.pool.serve(&["--no-poller"]);
    wait_for_state(&env, "delivered");
    signal(&env, "-CONT");
    eventually("the paused worker has noticed", || {
        env.pool.replicas[0].log().contains("callback was claimed or deleted by another worker")
    });
    assert_eq!(callbacks(&env), "r1|delivered|2|status 200");
    assert_eq!(receiver.received().len(), 2);
}

#[test]
fn only_404_and_410_are_permanent_failures() {
    let env = start_env_without_server(1, &[]);
    let receiver = Receiver::responding(|seen| match &*seen.line {
        "POST /missing" => status("404 Not Found"),
        "POST /gone" => status("410 Gone"),
        "POST /wrong" => status("403 Forbidden"),
        "POST /later" => with_header("503 Service Unavailable", "Retry-After: 1800"),
        "POST /odd" => status("303 See Other"),
        _ => "not HTTP at all\r\n\r\n".to_owned(),
    });
    for path in ["gone", "later", "missing", "noise", "odd", "wrong"] {
        insert_callback(&env, path, &receiver.url(&format!("/{path}")));
    }
    eventually("all have been tried", || {
        env.postgres.sql("SELECT count(*) FROM callbacks WHERE outcome IS NULL") == "0"
    });
    let state = "SELECT string_agg(record_id || ' ' || state, ',' ORDER BY record_id) FROM callbacks";
    assert_eq!(
        env.postgres.sql(state),
        "gone failed,later pending,missing failed,noise pending,odd delivered,wrong pending"
    );
    let outcome =
        |id: &str| env.postgres.sql(&format!("SELECT outcome FROM callbacks WHERE record_id = '{id}'"));
    assert_eq!(outcome("missing"), "status 404");
    assert_eq!(outcome("wrong"), "status 403");
    let wait = env.postgres.sql(
        "SELECT round(extract(epoch FROM due_at - tried_at) / 100) FROM callbacks WHERE record_id = 'later'",
    );
    assert_eq!(wait, "18", "Retry-After is honoured");
}

#[test]
fn callback_tries_each_secret_until_accepted() {
    let mut env = start_env_without_server(0, &[("LOADBALANCER_SECRETS", "second:third")]);
    let receiver = Receiver::responding(|seen| match seen.claims("second") {
        Some(_) => status("200 OK"),
        None => status("401 Unauthorized"),
    });
    env.pool.serve(&["--no-poller"]);
    insert_callback(&env, "r1", &receiver.url("/"));
    wait_for_state(&env, "delivered");
    let seen = receiver.received();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].claims(&env.pool.secret).is_some());
    assert_eq!(callbacks(&env), "r1|delivered|1|status 200");
}

#[test]
fn slow_receiver_times_out_and_is_retried() {
    let env = start_env_without_server(1, &[("CALLBACK_TIMEOUT", "0.5")]);
    let count = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        status("200 OK")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    eventually("it has timed out", || callbacks(&env).contains("no response within 500ms"));
    wait_for_state(&env, "delivered");
    assert_eq!(callbacks(&env), "r1|delivered|2|status 200");
}

#[test]
fn endless_response_is_not_read() {
    let env = start_env_without_server(1, &[("CALLBACK_TIMEOUT", "4")]);
    let receiver = Receiver::responding(|seen| match &*seen.line {
        // The status arrives late, the rest never.
        "POST /held" => {
            std::thread::sleep(Duration::from_millis(3400));
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx".to_owned()
        }
        "POST /body" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(4 << 20)),
        "POST /head" => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(4 << 20)),
        // Content-Length announces more than is sent.
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx".to_owned(),
    });
    for path in ["body", "head", "held", "short"] {
        insert_callback(&env, path, &receiver.url(&format!("/{path}")));
    }
    eventually("the status line decides the outcome", || {
        let all = callbacks(&env);
        ["body", "held", "short"].iter().all(|id| all.contains(&format!("{id}|delivered|1|")))
            && all.contains("head|pending|")
    });
}

#[test]
fn shutdown_finishes_delivery_in_progress() {
    let mut env = start_env_without_server(1, &[]);
    let gate = Arc::new(Barrier::new(2));
    let opened = gate.clone();
    let receiver = Receiver::responding(move |_| {
        opened.wait();
        status("200 OK")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    receiver.wait_for_requests(1);
    env.pool.replicas[0].terminate();
    eventually("it is stopping", || env.pool.replicas[0].log().contains("stopping"));
    gate.wait();
    env.pool.replicas[0].wait_for_exit(Duration::from_secs(20));
    assert_eq!(callbacks(&env), "r1|delivered|1|status 200");
}

#[test]
fn callback_fails_after_a_day_and_is_purged_later() {
    let mut env = start_env_without_server(0, &[]);
    let mut receiver = Receiver::start();
    receiver.down();
    for id in ["old", "new", "done", "shown", "lost", "sad"] {
        insert_callback(&env, id, &receiver.url("/"));
    }
    env.postgres.sql(
        "UPDATE callbacks SET began_at = now() - interval '23 hours 59 minutes', tries = 20 WHERE record_id = 'new'; \
         UPDATE callbacks SET began_at = now() - interval '1 day', tries = 20 WHERE record_id = 'old'; \
         UPDATE callbacks SET state = 'delivered', finished_at = now() - interval '31 days' WHERE record_id = 'done'; \
         UPDATE callbacks SET state = 'delivered', finished_at = now() - interval '29 days' WHERE record_id = 'shown'; \
         UPDATE callbacks SET state = 'failed', finished_at = now() - interval '91 days' WHERE record_id = 'lost'; \
         UPDATE callbacks SET state = 'failed', finished_at = now() - interval '89 days' WHERE record_id = 'sad'; \
         INSERT INTO callback_urls VALUES ('a', 'u', now() - interval '366 days'), ('b', 'u', now() - interval '364 days')",
    );
    env.pool.serve(&["--no-poller"]);
    eventually("the old callback has failed", || callbacks(&env).contains("old|failed|21|"));
    // The last try is made when the day ends, not later.
    let last = "SELECT state, due_at = began_at + interval '1 day' FROM callbacks WHERE record_id = 'new'";
    eventually("it has been tried", || env.postgres.sql(last) == "pending|t");
    eventually("old callbacks are purged", || {
        env.postgres.sql("SELECT string_agg(record_id, ' ' ORDER BY record_id) FROM callbacks")
            == "new old sad shown"
    });
    eventually("old URLs are purged", || {
        env.postgres.sql("SELECT internal_meeting_id FROM callback_urls") == "b"
    });
}
