//! /health_check and the root.

use crate::assert_answer;
use crate::support::{Library, Pool, QUICK, eventually};

#[test]
fn health_check_of_healthy_replica_returns_success() {
    let pool = Pool::with(0, 1, &[]);
    let reply = pool.fetch("GET", "/health_check", &[], b"");
    for target in ["/", "/health_check/", "/health_check?x=%zz"] {
        assert_eq!(pool.fetch("GET", target, &[], b"").body, "success", "{target}");
    }
    assert_eq!(pool.fetch("HEAD", "/health_check", &[], b"").status, 200);
    assert_answer!(reply);
}

#[test]
fn health_check_fails_without_redis_and_recovers() {
    let mut pool = Pool::with(0, 1, &QUICK);
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
        let mut library = Library::with(1, variables);
        let check = |library: &Library| library.pool.fetch("GET", "/health_check", &[], b"");
        assert_eq!(check(&library).status, 200);
        library.postgres.down();
        let reply = check(&library);
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.body.contains("index"), status == 503, "{}", reply.body);
        library.postgres.up();
        assert_eq!(check(&library).status, 200);
    }
}
