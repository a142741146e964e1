//! /health_check and the root.

use crate::assert_response;
use crate::support::{Pool, RecordingEnv, SHORT_TIMEOUTS, eventually};

#[test]
fn health_check_of_healthy_replica_returns_success() {
    let pool = Pool::with(0, 1, &[]);
    let reply = pool.fetch("GET", "/health_check", &[], b"");
    for target in ["/", "/health_check/", "/health_check?x=%zz"] {
        assert_eq!(pool.fetch("GET", target, &[], b"").body, "success", "{target}");
    }
    assert_eq!(pool.fetch("HEAD", "/health_check", &[], b"").status, 200);
    assert_response!(reply);
}

#[test]
fn health_check_fails_without_redis_and_recovers() {
    let mut pool = Pool::with(0, 1, &SHORT_TIMEOUTS);
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
        let reply = check(&env);
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.body.contains("index"), status == 503, "{}", reply.body);
        env.postgres.up();
        assert_eq!(check(&env).status, 200);
    }
}
