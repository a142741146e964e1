//! /health_check and the root.

use crate::assert_response;
use crate::support::{Pool, RecordingEnv, SHORT_TIMEOUTS, eventually, free_port};

#[test]
fn health_check_of_healthy_replica_returns_success() {
    let pool = Pool::with(1, 1, &[]);
    let reply = pool.fetch("GET", "/health_check", &[], b"");
    for target in ["/", "/health_check/", "/health_check?x=%zz"] {
        assert_eq!(pool.fetch("GET", target, &[], b"").body, "success", "{target}");
    }
    assert_eq!(pool.fetch("HEAD", "/health_check", &[], b"").status, 200);
    assert_response!(reply);
}

#[test]
fn health_check_fails_without_redis_and_recovers() {
    let mut pool = Pool::with(1, 1, &SHORT_TIMEOUTS);
    pool.redis.down();
    let reply = pool.fetch("GET", "/health_check", &[], b"");
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("Redis"), "{}", reply.body);
    assert_eq!(pool.fetch("GET", "/", &[], b"").status, 503);
    pool.redis.up();
    eventually("it is healthy again", || pool.fetch("GET", "/health_check", &[], b"").status == 200);
}

#[test]
fn health_check_ignores_postgres_unless_configured() {
    for (variables, status) in [(&[][..], 200), (&[("HEALTH_CHECK_INDEX", "true")], 503)] {
        let mut env = RecordingEnv::with(1, variables);
        let check = |env: &RecordingEnv| env.pool.fetch("GET", "/health_check", &[], b"");
        assert_eq!(check(&env).status, 200);
        env.postgres.down();
        // A result is used for a second.
        eventually("the check has noticed", || check(&env).status == status);
        let reply = check(&env);
        assert_eq!(reply.body.contains("index"), status == 503, "{}", reply.body);
        env.postgres.up();
        eventually("it is healthy again", || check(&env).status == 200);
    }
}

/// Waits until the check has this status. Its text.
#[track_caller]
fn wait_for(pool: &Pool, status: u16) -> String {
    let mut reply = None;
    eventually("the health check has noticed", || {
        let now = pool.fetch("GET", "/health_check", &[], b"");
        let done = now.status == status;
        reply = Some(now.body);
        done
    });
    reply.unwrap()
}

#[test]
fn health_check_fails_while_redis_answers_but_refuses_to_write() {
    // Each worker has a result of its own.
    let pool = Pool::with(1, 1, &[("WORKER_THREADS", "1")]);
    let keys = || pool.redis.cli(&["KEYS", "*"]).lines().count();
    let before = keys();
    assert_eq!(wait_for(&pool, 200), "success");
    assert_eq!(keys(), before, "a check writes nothing");
    let set = |name: &str, value: &str| assert_eq!(pool.redis.cli(&["CONFIG", "SET", name, value]), "OK");

    set("maxmemory", "1");
    let text = wait_for(&pool, 503);
    assert!(text.contains("Redis") && text.contains("OOM"), "{text}");
    set("maxmemory", "0");
    wait_for(&pool, 200);

    pool.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let text = wait_for(&pool, 503);
    assert!(text.to_uppercase().contains("READONLY"), "{text}");
    pool.redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_for(&pool, 200);

    set("min-replicas-to-write", "1");
    let text = wait_for(&pool, 503);
    assert!(text.contains("NOREPLICAS"), "{text}");
    set("min-replicas-to-write", "0");
    wait_for(&pool, 200);
}

#[test]
fn health_check_fails_on_a_node_of_a_cluster_without_our_keys() {
    let mut pool = Pool::with(1, 0, &SHORT_TIMEOUTS);
    pool.redis.down();
    // Without a port of its own, the bus takes one that may not exist.
    let bus = free_port().to_string();
    pool.redis.up_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    pool.serve(&["--no-poller"]);
    let text = wait_for(&pool, 503);
    assert!(text.contains("slot not served") || text.contains("MOVED"), "{text}");
}

#[test]
fn health_check_does_not_say_success_without_servers() {
    let pool = Pool::with(0, 1, &[]);
    let text = wait_for(&pool, 200);
    assert_eq!(text, "The pool has no server. Add one: sl servers add URL SECRET\n");
    pool.redis.eval("add_server", &["bbb1", &pool.server(1).url(), "s"]);
    eventually("it sees the server", || wait_for(&pool, 200) == "success");
}

#[test]
fn health_checks_cost_redis_one_script_a_second_for_each_worker() {
    let pool = Pool::with(1, 1, &[("WORKER_THREADS", "1")]);
    wait_for(&pool, 200);
    pool.redis.cli(&["CONFIG", "RESETSTAT"]);
    let begun = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(pool.fetch("GET", "/health_check", &[], b"").status, 200);
    }
    let most = begun.elapsed().as_secs() + 2;
    let scripts = pool.redis.calls("evalsha");
    assert!(scripts <= most, "{scripts} in {:?}", begun.elapsed());
}
