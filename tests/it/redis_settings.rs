//! Settings of Redis that endanger the state are in the log and in `sl status`.

use crate::support::{Pool, eventually};

#[test]
fn evicting_and_forgetful_redis_is_in_log_and_status_until_it_is_neither() {
    let mut pool = Pool::with(1, 0, &[("POLL_INTERVAL", "1")]);
    let set = |name: &str, value: &str| assert_eq!(pool.redis.cli(&["CONFIG", "SET", name, value]), "OK");
    set("maxmemory", "1gb");
    set("maxmemory-policy", "volatile-lru");
    set("save", "");
    pool.serve(&[]);
    let status = || pool.sl_ok(&["status"]);
    let warns = |status: &str| {
        (status.contains("maxmemory-policy volatile-lru"), status.contains("keeps nothing over a restart"))
    };
    eventually("status warns", || warns(&status()) == (true, true));
    let log = pool.replicas[0].log();
    assert_eq!(warns(&log), (true, true), "{log}");
    pool.redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    pool.redis.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    eventually("the warnings are gone", || warns(&status()) == (false, false));
    // A managed Redis that refuses CONFIG says only what INFO has.
    pool.redis.cli(&["CONFIG", "SET", "appendonly", "no"]);
    pool.redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    pool.redis.cli(&["ACL", "SETUSER", "default", "-config"]);
    eventually("it warns of what it knows", || status().contains("maxmemory-policy allkeys-lru"));
    assert!(!status().contains("keeps nothing"), "{}", status());
}
