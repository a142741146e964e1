//! `sl callbacks …`

use super::*;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn json(env: &RecordingEnv, args: &[&str]) -> Value {
    let mut all = vec!["--json", "callbacks"];
    all.extend(args);
    serde_json::from_str(&env.pool.sl_ok(&all)).unwrap()
}

fn id_of(env: &RecordingEnv, record_id: &str) -> String {
    env.postgres.sql(&format!("SELECT id FROM callbacks WHERE record_id = '{record_id}'"))
}

#[test]
fn callbacks_can_be_listed_retried_and_dropped() {
    let env = start_env_without_server(1, &[]);
    assert_eq!(env.pool.sl_ok(&["callbacks", "list"]), "No callbacks.\n");
    let healthy = Arc::new(AtomicBool::new(false));
    let is_healthy = healthy.clone();
    let mut receiver = Receiver::responding(move |_| {
        status(if is_healthy.load(Ordering::Relaxed) { "200 OK" } else { "410 Gone" })
    });
    for id in ["r1", "r2"] {
        insert_callback(&env, id, &receiver.url("/ready?token=hush"));
    }
    wait_for_state(&env, "failed");
    receiver.down();
    insert_callback(&env, "r3", &receiver.url("/ready?token=hush"));
    eventually("it has been tried", || callbacks(&env).contains("r3|pending|"));

    let text = env.pool.sl_ok(&["callbacks", "list"]);
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines.len(), 4, "{text}");
    let to = format!("http://127.0.0.1:{}", receiver.port);
    assert_eq!(lines[1][1..4], ["pending", "r3", &to], "{text}");
    assert_eq!(lines[3][..5], [&*id_of(&env, "r1"), "failed", "r1", &to, "1"], "{text}");
    assert!(text.contains("status 410") && !text.contains("hush"), "{text}");
    assert_eq!(env.pool.sl_ok(&["callbacks"]), text);
    let record_ids = |args: &[&str]| -> Vec<String> {
        let list = json(&env, args);
        list.as_array().unwrap().iter().map(|c| c["record_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(record_ids(&["list", "--state", "failed"]), ["r2", "r1"]);
    assert_eq!(record_ids(&["list", "--state", "pending"]), ["r3"]);
    assert_eq!(record_ids(&["list", "--state", "delivered"]), [""; 0]);
    assert_eq!(record_ids(&["list", "--limit", "1"]), ["r3"]);
    let failed = &json(&env, &["list", "--state", "failed"])[1];
    assert_eq!(
        (failed["meeting_id"].as_str(), failed["kind"].as_str()),
        (Some("m-r1"), Some("recording-ready"))
    );
    assert_eq!((&failed["url"], &failed["tries"]), (&Value::Null, &1.into()));
    let secret = &json(&env, &["list", "--show-secrets"])[0];
    assert_eq!(secret["url"].as_str(), Some(&*receiver.url("/ready?token=hush")));

    // A dropped callback is not tried again.
    assert_eq!(env.pool.sl_ok(&["callbacks", "drop", &id_of(&env, "r3")]).lines().count(), 1);
    assert!(env.pool.sl_fails(&["callbacks", "drop", "999"]).contains("999: there is no such callback"));
    healthy.store(true, Ordering::Relaxed);
    receiver.up();
    let before = receiver.received().len();
    let one = id_of(&env, "r1");
    assert_eq!(env.pool.sl_ok(&["callbacks", "retry", &one]), format!("OK {one}\n"));
    eventually("it is delivered", || callbacks(&env).contains("r1|delivered|1|status 200"));
    let retried = json(&env, &["retry", "--all-failed"]);
    assert_eq!(retried["retried"][0].to_string(), id_of(&env, "r2"));
    wait_for_state(&env, "delivered");
    assert_eq!(receiver.received().len(), before + 2);
    // A delivered callback can be sent again.
    env.pool.sl_ok(&["callbacks", "retry", &one]);
    receiver.wait_for_requests(before + 3);
    assert!(env.pool.sl_fails(&["callbacks", "retry", "999"]).contains("999"));
    assert_eq!(env.pool.sl(&["callbacks", "retry"]).status.code(), Some(2));
}

#[test]
fn retry_is_rejected_while_delivery_is_in_progress() {
    let env = start_env_without_server(1, &[]);
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let receiver = Receiver::responding(move |_| {
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        status("200 OK")
    });
    insert_callback(&env, "r1", &receiver.url("/"));
    receiver.wait_for_requests(1);
    let id = id_of(&env, "r1");
    assert_eq!(json(&env, &["list"])[0]["in_hand"], true);
    assert!(env.pool.sl_fails(&["callbacks", "retry", &id]).contains("right now"));
    release.store(true, Ordering::Relaxed);
    wait_for_state(&env, "delivered");
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn callbacks_commands_without_database_name_required_setting() {
    let mut env = RecordingEnv::empty(&[]);
    env.pool.set("DATABASE_URL", "");
    assert!(env.pool.sl_fails(&["callbacks", "list"]).contains("DATABASE_URL"));
    env.pool.set("CALLBACK_ALLOW_PRIVATE", "perhaps");
    let line = env.pool.sl_fails(&["config"]);
    assert!(line.contains("CALLBACK_ALLOW_PRIVATE must be true, false, or networks"), "{line}");
}
